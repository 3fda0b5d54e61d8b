"""Who was lost from sight, and when: weights that let those we could follow speak for those we could not.

In: Spells, and a `train` sample if the law of censoring comes from elsewhere. Out: `follow` -> `Followed`, on which
concordance, Brier scores and AUC stand: the share G still followed, and errors that count what G itself may be off by.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import polars as pl

from shoptoolkit.contract import ContractError
from shoptoolkit.contract.arrays import Flags, Floats, Ints
from shoptoolkit.contract.check import check_level, choose
from shoptoolkit.survival.risk import RiskTable, numbered, risk_tables
from shoptoolkit.survival.spells import at_the_door


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Followed:
    """Spells and the law of their censoring, which is their `own` or that of another sample.

    `share`: G on the grid of `law`, the Kaplan-Meier curve of being censored (who came back on a day was not at risk of
    it any more). `place`: where each spell's G stands on the grid, which is the day before unless ties are "pec".
    `per_share`: 1/G of those who came back, 0 of the others.
    """

    table: pl.DataFrame
    law: RiskTable
    own: bool
    ties: str
    duration: Floats
    seen: Flags
    weight: Floats
    share: Floats
    place: Ints
    per_share: Floats

    @property
    def n(self) -> int:
        return round(float(self.weight.sum()))

    @property
    def risk(self) -> RiskTable:
        """The counts of the spells themselves."""
        return self.law if self.own else next(risk_tables(self.table))

    @property
    def end(self) -> float:
        """The largest usable horizon: until then customers are followed, and G > 0."""
        days = self.law.days if self.ties == "exact" else self.law.days[self.share > 0]
        return float(min(self.duration.max(), days[-1]))

    def at(self, day: float) -> int:
        """Where G of a day stands on the grid."""
        return int(_place(self.law.days, day, self.ties))

    def beyond(self, day: float) -> Flags:
        """Who is known to have stayed away longer; who was censored on the day is, unless ties are "pec"."""
        return (self.duration > day) | ((self.duration == day) & ~self.seen & (self.ties == "exact"))

    def worth(self, day: float) -> Floats:
        """1/G of those who came back by a day, 0 of the others."""
        return self.per_share * (self.duration <= day)

    def by_log_g(self, back: Floats, day: float | None = None, away: float = 0.0) -> Floats:
        """Derivatives by log G on the grid of a sum of terms /G: `back` of the spells, `away` of those beyond a day."""
        mass: Floats = -np.bincount(self.place, back, len(self.share)).astype(np.float64)
        if day is not None:
            mass[self.at(day)] -= away
        return mass

    def error(self, influence: Floats, mass: Floats) -> float:
        """Standard error from each spell's influence per unit of weight, summed within clusters.

        `mass`: the estimate's derivatives with respect to log G on the grid; what they add is part of the spell's own
        influence, or the error of an independent sample.
        """
        of_law = slopes(self.law, mass) if mass.any() else np.zeros(len(self.law.spells))
        if self.own:
            return float(np.sqrt(_variance(self.table, influence + of_law)))
        return float(np.sqrt(_variance(self.table, influence) + _variance(self.law.spells, of_law)))


def follow(
    spells: Any, *, train: Any, ties: str, level: float, cluster: str | None, names: Mapping[str, str]
) -> Followed:
    """Checked spells with the law of their censoring."""
    check_level(level)
    choose("ties", ties, ("exact", "pec"))
    table = _watched_from_0(at_the_door(spells, by=None, cluster=cluster, names=names))
    plain = {name: ours for name, ours in names.items() if ours != "score"}
    source = table if train is None else _watched_from_0(at_the_door(train, by=None, cluster=cluster, names=plain))
    law = next(risk_tables(source))
    at_risk = law.at_risk - law.observed
    duration, seen = table["duration_days"].to_numpy(), table["repurchased"].to_numpy()
    share = np.cumprod(1 - law.censored / np.maximum(at_risk, 1))
    place = _place(law.days, duration, ties) if train is not None else law.place - (ties == "exact")
    left = share[place]
    return Followed(
        table=table,
        law=law,
        own=train is None,
        ties=ties,
        duration=duration,
        seen=seen,
        weight=table["weight"].to_numpy().astype(float) if "weight" in table.columns else np.ones(len(table)),
        share=share,
        place=place,
        per_share=np.divide(1.0, left, out=np.zeros(len(left)), where=seen & (left > 0)),
    )


def slopes(risk: RiskTable, mass: Floats, *, of_return: bool = False) -> Floats:
    """Derivative of a statistic with respect to each spell's weight, through the curve that it was computed with.

    `mass`: the statistic's derivatives with respect to log G on the grid (`of_return`: log S). As in the variance of a
    curve, a spell at risk adds c/(n(n-c)) to log G on each day with c of n ending, and takes 1/(n-c) off as it ends.
    """
    seen = risk.spells["repurchased"].to_numpy()
    ends, at_risk = (risk.observed, risk.at_risk) if of_return else (risk.censored, risk.at_risk - risk.observed)
    left = at_risk - ends
    jump = np.cumsum(mass[::-1])[::-1] / np.where(left > 0, left, np.inf)
    waited = np.cumsum(jump * ends / np.maximum(at_risk, 1))
    last = risk.place if of_return else risk.place - seen  # who came back was gone before anybody was censored
    return waited[last] - np.where(seen == of_return, jump[risk.place], 0.0)


def _place(days: Floats, day: Any, ties: str) -> Ints:
    return np.searchsorted(days, day, side="left" if ties == "exact" else "right") - 1


def _variance(table: pl.DataFrame, influence: Floats) -> float:
    """Sum of squares over independent units, with the factor n/(n-1) of a mean."""
    weight: Any = table["weight"].to_numpy() if "weight" in table.columns else 1.0
    if "cluster" in table.columns:
        influence = np.bincount(numbered(table["cluster"]), influence).astype(float)
    n = np.sum(weight) if "weight" in table.columns else len(influence)
    return float((weight * influence**2).sum() * n / max(n - 1, 1))


def _watched_from_0(table: pl.DataFrame) -> pl.DataFrame:
    late = int((table["entry_days"].fill_null(0) > 0).sum()) if "entry_days" in table.columns else 0
    if late:
        raise ContractError(
            f"spells: {late:,} of {len(table):,} enter late (entry_days > 0), and the share still followed is known "
            "only for customers watched from day 0. Keep the spells with entry_days == 0."
        )
    return table
