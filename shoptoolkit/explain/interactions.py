"""Which signals matter together: how much of the answer belongs to a pair, beyond what each adds by itself.

In: a fit of trees, and a frame that it can read. Out: `interactions` -> `Interactions`.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from numbers import Integral
from typing import Any

import numpy as np
import polars as pl

from shoptoolkit.contract.arrays import Floats, Ints
from shoptoolkit.contract.show import html_table
from shoptoolkit.explain.signals import members, owners, signals_of
from shoptoolkit.explain.survival import LOGIT, ranks
from shoptoolkit.explain.values import read, sample_of

_ROWS = 200  # whose pairs are told at once
_TABLE = {"first": pl.String, "second": pl.String, "strength": pl.Float64, "share": pl.Float64, "n": pl.Int64}


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Interactions:
    """The strongest pairs of signals. Draw it with `figures.interactions`.

    `table`, strongest first: first, second (signals), strength (mean absolute SHAP interaction of the two, on `scale`),
    share (of the mean sizes of their contributions, added up; null where these are 0), n (rows). `pairs`: that any tree
    was found to join in these rows, listed or not; `sample`: which rows.
    """

    table: pl.DataFrame
    scale: str
    kind: str
    pairs: int
    n: int
    sample: str

    def __repr__(self) -> str:
        return f"Interactions in {self.n:,} rows ({self.sample}): {self.kind}, {self.scale}\n{self.table}"

    def _repr_html_(self) -> str:
        note = f"mean size, {self.scale}; {self.kind}; {self.sample}. The model, not the cause."
        return html_table(self.table, title="What moves the answer together", note=note)


def interactions(
    fit: Any,
    frame: Any,
    *,
    rows: int,
    rng: int | np.random.Generator,
    signals: Mapping[str, str] | None = None,
    period: int | None = None,
    cause: str | None = None,
    most: int = 10,
) -> Interactions:
    """Which two signals move the answer together, beyond what each adds by itself?

    Parameters
    ----------
    fit
        A fit of trees with `explain_pairs`, e.g. of `behaviour.fit_propensity`, or a fitted hazard.
    frame
        A frame that the fit can read.
    rows, rng
        A sample of so many rows, as in `shap_values`, and its seed or Generator. Pairs take about twice as many times
        as long as contributions as there are features: a few hundred rows are plenty for a ranking.
    signals
        Feature -> signal, whose features count as one; one not named stays by itself. None: `signals_of` the features.
    period
        Of a hazard. None: every row at one of its periods, in turn along the ranked answer from a random one, so that
        every row may meet every period. The period is held fixed and joins no pair.
    cause
        Of a hazard of several causes, the one against going on.
    most
        Pairs listed.

    Returns
    -------
    Interactions
        A row's contributions are what each signal adds by itself, and half of what it adds with each other one. Windows
        of one signal among themselves are no pair.

    Raises
    ------
    ContractError
        The frame has no rows, or is not what the fit reads.
    TypeError
        The fit has no `explain_pairs`.
    ValueError
        `rows`, `most`, `period` or `cause` out of range.

    References
    ----------
    Lundberg et al. (2020), Nature Machine Intelligence 2, 56-67, on SHAP interaction values.
    """
    if not isinstance(most, Integral) or most < 1:
        raise ValueError(f"most is {most!r}; it must be a whole number of at least 1.")
    table, everyone = read(frame, None)
    is_hazard = hasattr(fit, "over")
    if period is not None and not is_hazard:
        raise ValueError(f"period is {period!r}; this fit has none: leave it out.")
    periods = ([period] if period is not None else list(range(1, fit.periods + 1))) if is_hazard else [None]
    parts = [fit.at(one, cause=cause) for one in periods] if is_hazard else [fit]
    if not hasattr(parts[0], "explain_pairs"):
        raise TypeError(f"the fit is {type(fit).__name__}, which has no explain_pairs; trees of one sum have it.")
    rng, codes = np.random.default_rng(rng), parts[0].encode(table).select(pl.all().to_physical().cast(pl.Float64))
    ranked = ranks(np.mean([one.margin(table) for one in parts], axis=0), codes.to_numpy())
    chosen, sample = sample_of(ranked, everyone, rows=rows, rng=rng)
    features = parts[0].features
    own = owners(features, signals_of(features) if signals is None else signals)
    turn = int(rng.integers(len(parts)))
    parts = parts[turn:] + parts[:turn]
    each, alone = _strengths(parts, table[chosen[np.argsort(ranked[chosen])]], own)
    told = _ranked(list(members(own)), each, alone, len(chosen))
    return Interactions(
        table=told.head(most),
        scale=LOGIT if is_hazard else "margin",
        kind="path-dependent TreeSHAP interactions" + (", the period always known" if is_hazard else ""),
        pairs=len(told),
        n=len(chosen),
        sample=sample + (", each at one period, in turn along it" if len(parts) > 1 else ""),
    )


def _strengths(parts: list[Any], table: pl.DataFrame, own: Mapping[str, str]) -> tuple[Floats, Floats]:
    """Mean absolute interaction of each pair of signals, and mean absolute contribution of each signal."""
    names = list(members(own))
    is_of = np.eye(len(names))[[names.index(signal) for signal in own.values()]]
    pairs, sizes = np.zeros((len(names), len(names))), np.zeros(len(names))
    for turn, one in enumerate(parts):
        rows = table.gather_every(len(parts), turn)
        for start in range(0, len(rows), _ROWS):
            told = is_of.T @ one.explain_pairs(rows[start : start + _ROWS]) @ is_of
            pairs += np.abs(told + told.swapaxes(1, 2)).sum(axis=0)
            sizes += np.abs(told.sum(axis=2)).sum(axis=0)
    return pairs / len(table), sizes / len(table)


def _ranked(names: list[str], pairs: Floats, sizes: Floats, n: int) -> pl.DataFrame:
    """One row per pair that any row has."""
    one, two = np.triu_indices(len(names), 1)
    both: Floats = sizes[one] + sizes[two]
    strength: Floats = pairs[one, two]
    places: Ints = np.flatnonzero(strength > 0)
    told = pl.DataFrame(
        {
            "first": [names[place] for place in one[places]],
            "second": [names[place] for place in two[places]],
            "strength": strength[places],
            "share": strength[places] / np.where(both > 0, both, np.nan)[places],
            "n": np.full(len(places), n),
        },
        schema=_TABLE,
        nan_to_null=True,
    )
    return told.sort(-pl.col("strength"), "first", "second")
