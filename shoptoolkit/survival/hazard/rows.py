"""Spells -> person-periods: one row per spell and period at risk, told in pieces so that memory stays small.

In: `Waits`, spells in units of periods beside their features. Out: `Waits.until` and `.since` cut them in time;
`pieces` -> who is at risk when, with label and weight; `quantile_matrix` feeds them to XGBoost piece by piece;
`by_period` adds up observed and predicted; `incidence` -> the way back from hazards to shares.

A period of a spell is one row: its label is the cause that ended the spell in it, or 0. A row that was at risk only for
a share of its period, and was not ended, has that share as its weight (the actuarial convention, with the true share in
place of one half): the rate is events over what they were exposed to. It is unbiased where no period is cut, whatever
happens within a period, and to first order in the hazard where one is; the one last cut period of a log that ends on
one day for all is left out by default.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import numpy.typing as npt

from shoptoolkit.contract.arrays import Floats, Ints

Singles = npt.NDArray[np.float32]
MOST_PERIODS = 255  # a period is one byte
_CELLS = 1 << 19  # person-periods told at once
_BINS = 256


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Waits:
    """Spells as arrays: entry and end in periods, `code` of the cause (0 = censored), weight, features (float32)."""

    features: Singles
    entry: Floats
    end: Floats
    code: Ints
    weight: Ints

    def __len__(self) -> int:
        return len(self.end)

    def until(self, period: Floats | float) -> Waits:
        """Censored at the end of that period."""
        return replace(
            self, end=np.minimum(self.end, period), code=np.where(self.end > period, 0, self.code)
        )._at_risk()

    def since(self, period: Floats | float) -> Waits:
        """Seen only after that period."""
        return replace(self, entry=np.maximum(self.entry, period))._at_risk()

    def weighted(self, weight: Ints) -> Waits:
        """As many customers per row."""
        return replace(self, weight=weight)._at_risk()

    def _at_risk(self) -> Waits:
        """A spell that is never at risk stays, as one of no customers: arrays keep their places."""
        return replace(self, weight=np.where(self.entry < self.end, self.weight, 0))


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Piece:
    """Some person-periods: row of the spell, period (1, 2, ...), label (0 = goes on) and weight."""

    row: npt.NDArray[np.uint32]
    period: npt.NDArray[np.uint8]
    label: npt.NDArray[np.uint8]
    weight: Singles


def pieces(waits: Waits, *, thin: float, rng: np.random.Generator) -> list[Piece]:
    """All person-periods; of those that were not ended a share `thin`, drawn at random, weighing 1 / thin."""
    at_risk = np.flatnonzero(waits.weight)
    step = max(1, _CELLS // int(np.ceil(waits.end.max(initial=1))))
    return [_piece(waits, at_risk[start : start + step], thin, rng) for start in range(0, len(at_risk), step)]


def _piece(waits: Waits, rows: Ints, thin: float, rng: np.random.Generator) -> Piece:
    entry, end = waits.entry[rows], waits.end[rows]
    first, last = np.floor(entry).astype(np.int64), np.ceil(end).astype(np.int64)
    counts = last - first
    place = np.repeat(np.arange(len(rows)), counts)
    period = 1 + np.arange(len(place)) - np.repeat(np.cumsum(counts) - counts - first, counts)
    label = np.where(period == last[place], waits.code[rows][place], 0)
    share = np.minimum(end[place], period) - np.maximum(entry[place], period - 1)
    weight = np.where(label > 0, 1.0, share / thin) * waits.weight[rows][place]
    kept = slice(None) if thin == 1 else (label > 0) | (rng.random(len(place)) < thin)
    return Piece(
        row=rows[place][kept].astype(np.uint32),
        period=period[kept].astype(np.uint8),
        label=label[kept].astype(np.uint8),
        weight=weight[kept].astype(np.float32),
    )


def quantile_matrix(
    waits: Waits, parts: Sequence[Piece], *, kinds: list[str], nthread: int, reference: Any = None
) -> Any:
    """XGBoost's binned matrix, one byte per value, read piece by piece: the float32 rows never stand side by side."""
    import xgboost

    class Feed(xgboost.DataIter):
        place = 0

        def next(self, input_data: Callable[..., None]) -> bool:
            if self.place == len(parts):
                return False
            one = parts[self.place]
            self.place += 1
            input_data(data=read(waits, one), label=one.label, weight=one.weight, feature_types=kinds)
            return True

        def reset(self) -> None:
            self.place = 0

    return xgboost.QuantileDMatrix(Feed(), ref=reference, nthread=nthread, max_bin=_BINS)


def read(waits: Waits, piece: Piece) -> Singles:
    """The features of a piece's rows, the period last."""
    return np.column_stack([waits.features[piece.row], piece.period.astype(np.float32)])


def by_period(
    waits: Waits, parts: Sequence[Piece], *, periods: int, causes: int, chance: Callable[[Singles], Floats]
) -> tuple[Floats, Floats, Floats]:
    """Of each period: what was at risk, and of each cause what was seen and foreseen (periods x causes)."""
    at_risk, seen, foreseen = np.zeros(periods), np.zeros((periods, causes)), np.zeros((periods, causes))
    for one in parts:
        place = one.period - 1
        at_risk += np.bincount(place, one.weight, periods)
        told = chance(read(waits, one))
        for cause in range(causes):
            seen[:, cause] += np.bincount(place, one.weight * (one.label == cause + 1), periods)
            foreseen[:, cause] += np.bincount(place, one.weight * told[:, cause], periods)
    return at_risk, seen, foreseen


def blocks(rows: int, periods: int) -> Iterator[slice]:
    """Rows in blocks of so many person-periods as are told at once."""
    step = max(1, _CELLS // max(1, periods))
    return (slice(start, start + step) for start in range(0, max(rows, 1), step))


def incidence(hazards: Floats, at: Floats) -> Floats:
    """Share ended by each cause until a time in periods: rows x times x causes, from rows x periods x causes.

    Within a period the wait goes on at a constant rate, S(k + f) = S(k) (1 - h)^f, shared among the causes as the
    period's hazards are.
    """
    total = np.minimum(hazards.sum(axis=2), 1 - 1e-9)
    survival = np.cumprod(1 - total, axis=1)
    before = np.column_stack([np.ones(len(total)), survival])  # at the start of each period
    share = hazards / np.maximum(total, 1e-300)[:, :, None]
    ended = np.zeros((len(total), total.shape[1] + 1, hazards.shape[2]))
    np.cumsum((before[:, :-1] - survival)[:, :, None] * share, axis=1, out=ended[:, 1:])
    place = np.clip(np.ceil(at).astype(np.int64) - 1, 0, total.shape[1] - 1)
    row = np.arange(len(total))[:, None]
    left = before[row, place]
    now = left * (1 - total[row, place]) ** (at - place)
    return ended[row, place] + (left - now)[:, :, None] * share[row, place]
