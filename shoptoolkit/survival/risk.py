"""Who is at risk, comes back and leaves on each day: the counts under every curve, test and restricted mean.

In: Spells from `spells.at_the_door`. Out: `risk_tables`, one `RiskTable` per group.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

import numpy as np
import polars as pl

from shoptoolkit.contract import ContractError
from shoptoolkit.contract.arrays import Floats, Ints


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class RiskTable:
    """Counts of one group on the grid of its durations, day 0 first; `place` and `entered` put the spells on it."""

    group: str
    days: Floats
    at_risk: Ints
    observed: Ints
    censored: Ints
    spells: pl.DataFrame
    place: Ints  # index of the spell's duration on the grid
    entered: Ints  # index of the first grid day on which it is at risk

    @property
    def watched_from(self) -> float:
        """The first day on which somebody is at risk: 0 unless every spell enters late."""
        return float(self.spells["entry_days"].fill_null(0).min()) if len(self.entered) else 0.0  # type: ignore[arg-type]

    @property
    def survival(self) -> Floats:
        """The product-limit estimate on the grid (Kaplan and Meier 1958, JASA 53, 457-481)."""
        return np.cumprod(1 - self.observed / np.maximum(self.at_risk, 1), dtype=np.float64)

    @property
    def greenwood(self) -> Floats:
        """d / (n (n - d)) per day: the increments of the variance of log S (Greenwood 1926); 0 where S falls to 0."""
        left = self.at_risk * (self.at_risk - self.observed).astype(float)
        return np.divide(self.observed, left, out=np.zeros(len(left)), where=left > 0)


def spell_names(
    *, id: str, duration: str, repurchased: str, entry: str = "entry_days", weight: str = "weight"
) -> dict[str, str]:
    """{the caller's column: the contract's}."""
    return {
        id: "customer_id",
        duration: "duration_days",
        repurchased: "repurchased",
        entry: "entry_days",
        weight: "weight",
    }


def risk_tables(table: pl.DataFrame) -> Iterator[RiskTable]:
    """One risk table per group, groups in sorted order; one named "all" where the spells are not split."""
    if "group" not in table.columns:
        yield _risk_table("all", table)
        return
    column, narrow = table["group"], table.select(pl.exclude("customer_id", "group"))
    groups = column.head(1_000).unique().sort()  # text costs most: few groups are seen at once, and told by equality
    are_in = [column == group for group in groups[:8]]
    if sum(is_in.sum() for is_in in are_in) < len(column):
        groups = column.unique().sort()
        are_in = (column == group for group in groups)  # type: ignore[assignment]
    for group, is_in in zip(groups, are_in):
        yield _risk_table(group, narrow.filter(is_in))


def _risk_table(group: str, spells: pl.DataFrame) -> RiskTable:
    days, place = day_grid(spells["duration_days"].to_numpy())
    entered = entered_at(spells, days)
    at_risk, observed, censored = daily_counts(spells, place, entered, len(days))
    return RiskTable(
        group=group,
        days=days,
        at_risk=at_risk,
        observed=observed,
        censored=censored,
        spells=spells,
        place=place,
        entered=entered,
    )


def daily_counts(spells: pl.DataFrame, place: Ints, entered: Ints, size: int) -> tuple[Ints, Ints, Ints]:
    """How many are at risk on each grid day, how many of them come back, and how many are censored."""
    weight = spells["weight"].to_numpy() if "weight" in spells.columns else None
    both = np.bincount(2 * place + spells["repurchased"].to_numpy(), weight, 2 * size).reshape(-1, 2)
    arrivals = np.bincount(entered, weight, size).astype(float)
    if not len(entered):
        arrivals[0] = both.sum()
    censored, observed = np.rint(both.T).astype(np.int64)
    gone = np.concatenate([[0], np.cumsum(observed + censored)[:-1]])
    return np.rint(np.cumsum(arrivals)).astype(np.int64) - gone, observed, censored


def entered_at(spells: pl.DataFrame, days: Floats) -> Ints:
    """Index of the first grid day on which each spell is at risk, on (entry, duration]; empty if all start at 0."""
    if "entry_days" not in spells.columns:
        return np.zeros(0, dtype=np.int64)
    entry = spells["entry_days"].fill_null(0).to_numpy()
    return np.where(entry > 0, np.searchsorted(days, entry, side="right"), 0)


def numbered(cluster: pl.Series) -> Ints:
    """The clusters as whole numbers from 0 in sorted order; a pass of flags where the spells come sorted."""
    if cluster.is_sorted():
        return (cluster != cluster.shift()).fill_null(True).cum_sum().to_numpy().astype(np.int64) - 1
    return cluster.rank("dense").to_numpy().astype(np.int64) - 1


def refuse_early_end(risks: Iterable[RiskTable]) -> None:
    """Raise ContractError where a product-limit curve would fall to 0 while others still enter."""
    for risk in risks:
        emptied = (risk.at_risk == risk.observed) & (risk.observed > 0)
        emptied[-1] = False
        if emptied.any():
            raise ContractError(
                f"spells: in group {risk.group!r} everybody at risk came back on day {risk.days[emptied][0]:g}, while "
                "others only entered later; the curve would stay at 0. Leave out the early days: keep spells that last "
                "beyond that day and raise their entry_days to it."
            )


def day_grid(durations: Floats) -> tuple[Floats, Ints]:
    """The distinct durations after a 0, and each spell's place among them. Whole days are binned, never hashed."""
    top = durations.max()
    if top < 100_000:
        place = durations.astype(np.int64)
        if (place == durations).all():
            is_there = np.bincount(place, minlength=int(top) + 1) > 0
            is_there[0] = True
            places = place if is_there.all() else (np.cumsum(is_there) - 1)[place]
            return np.flatnonzero(is_there).astype(float), places
    days, place = np.unique(durations, return_inverse=True)
    return np.concatenate([[0.0], days]), place + 1
