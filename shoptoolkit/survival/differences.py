"""How far two groups are apart, day by day: with a pointwise interval and a band that holds the whole curve.

In: Spells. Out: `survival_difference` -> `Curve`. `Side` and `apart` serve the differences of other curves too.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any

import numpy as np
import polars as pl

from shoptoolkit.contract.arrays import Floats, Ints
from shoptoolkit.contract.check import check_level
from shoptoolkit.contract.estimates import z_of
from shoptoolkit.survival.bands import band_days, highest
from shoptoolkit.survival.curves import Curve, interval_of
from shoptoolkit.survival.risk import RiskTable, refuse_early_end, risk_tables, spell_names
from shoptoolkit.survival.spells import at_the_door


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Side:
    """One group's curve on its grid.

    `bounds`: low and high so many errors away; `total`: a clock of its roughness (see `bands.highest`); `able`: the
    grid days that can carry a band; `covariance`: of given grid days.
    """

    group: str
    n: int
    days: Floats
    estimate: Floats
    error: Floats
    bounds: Callable[[float], tuple[Floats, Floats]]
    total: Floats
    able: Ints
    covariance: Callable[[Ints], Floats]


def survival_difference(
    spells: Any,
    *,
    by: str,
    reference: str | None = None,
    level: float = 0.95,
    id: str = "customer_id",
    duration: str = "duration_days",
    repurchased: str = "repurchased",
    entry: str = "entry_days",
    weight: str = "weight",
) -> Curve:
    """How much larger is the share of one group that has not bought again than that of the reference, by each day?

    Parameters
    ----------
    spells, by, level, id, duration, repurchased, entry, weight
        As in `kaplan_meier`, one spell per customer.
    reference
        The group to compare with; None: the first in sorted order.

    Returns
    -------
    Curve
        One part per other group, `group` as "group - reference", as far as both are followed. Below 0: the group comes
        back sooner. Interval and band are put together from those of both groups, so they are as skewed as these. The
        band holds the whole curve at once, where both groups can carry one (as in `kaplan_meier`); it is null outside.
        Where everybody of a group came back, no error is told. A difference between groups that were not assigned at
        random describes, it is no effect.

    Raises
    ------
    ContractError
        As in `kaplan_meier`.
    ValueError
        One group only, or `reference` is none.

    References
    ----------
    Interval: Zou and Donner (2008), Statistics in Medicine 27, 1693-1702. The band's critical value is the quantile of
    the highest of a Gaussian process with the covariance S(s) S(t) V(min(s, t)), summed over both groups (Parzen, Wei
    and Ying 1997, Scandinavian Journal of Statistics 24, 309-314, who simulate it; here it is integrated).

    Examples
    --------
    >>> import polars as pl
    >>> spells = pl.DataFrame({"customer_id": range(8), "duration_days": [10, 20, 20, 30, 5, 10, 20, 30],
    ...                        "repurchased": [True, True, False, False] * 2, "arm": ["none"] * 4 + ["mail"] * 4})
    >>> survival_difference(spells, by="arm", reference="none").at([5, 10])["estimate"].to_list()
    [-0.25, -0.25]
    """
    check_level(level)
    names = spell_names(id=id, duration=duration, repurchased=repurchased, entry=entry, weight=weight)
    risks = list(risk_tables(at_the_door(spells, by=by, cluster=None, names=names)))
    refuse_early_end(risks)
    estimand = "difference in the share of customers not yet back"
    return apart((_survival(risk) for risk in risks), by=by, reference=reference, level=level, estimand=estimand)


def _survival(risk: RiskTable) -> Side:
    survival, total = risk.survival, np.cumsum(risk.greenwood)
    with np.errstate(divide="ignore", invalid="ignore"):
        able = band_days(risk, np.where(survival > 0, np.sqrt(total) / -np.log(survival), np.nan))

    def covariance(at: Ints) -> Floats:
        return np.outer(survival[at], survival[at]) * np.minimum.outer(total[at], total[at])

    return Side(
        group=risk.group,
        n=int((risk.observed + risk.censored).sum()),
        days=risk.days,
        estimate=survival,
        error=np.where(survival > 0, survival * np.sqrt(total), np.nan),
        bounds=lambda width: interval_of(survival, np.sqrt(total), z=width, interval="log-log"),
        total=total,
        able=able,
        covariance=covariance,
    )


def apart(sides: Iterable[Side], *, by: str, reference: str | None, level: float, estimand: str) -> Curve:
    """Each group's curve less that of the reference; customers of different groups are independent."""
    groups = {side.group: side for side in sides}
    n = sum(side.n for side in groups.values())
    if len(groups) < 2:
        raise ValueError(f"by is {by!r}, which has the one group {next(iter(groups))!r}; a difference needs two.")
    reference = reference if reference is not None else next(iter(groups))
    if reference not in groups:
        raise ValueError(f"reference is {reference!r}; the groups of {by!r} are {', '.join(map(repr, groups))}.")
    against = groups.pop(reference)
    table = pl.concat(_less(side, against, level) for side in groups.values())
    return Curve(table=table, level=level, estimand=estimand, n=n)


def _less(side: Side, against: Side, level: float) -> pl.DataFrame:
    """On the days of both grids, where the covariances add."""
    both = (side, against)
    grid = np.union1d(side.days, against.days)
    grid = grid[grid <= min(one.days[-1] for one in both)]
    places = [np.searchsorted(one.days, grid, side="right") - 1 for one in both]
    able = [np.isin(place, one.able) for one, place in zip(both, places)]
    days = np.flatnonzero(able[0] & able[1])

    def covariance(at: Ints) -> Floats:
        return np.sum([one.covariance(place[at]) for one, place in zip(both, places)], axis=0)

    total = np.sum([one.total[place] for one, place in zip(both, places)], axis=0)
    critical = highest(days, total, covariance, level) if len(days) else np.nan
    one, other = (each.estimate[place] for each, place in zip(both, places))
    error = np.hypot(*(each.error[place] for each, place in zip(both, places)))
    bounds = []
    for width in (z_of(level), critical):
        (low, high), (least, most) = (
            [bound[place] for bound in each.bounds(width)] for each, place in zip(both, places)
        )
        bounds += [one - other - np.hypot(one - low, most - other), one - other + np.hypot(high - one, other - least)]
    bounds = [np.where(np.isnan(error), np.nan, bound) for bound in bounds]
    return day_table(f"{side.group} - {against.group}", grid, one - other, error, bounds, days)


def day_table(
    group: str, days: Floats, estimate: Floats, error: Floats, bounds: list[Floats], band: Ints
) -> pl.DataFrame:
    """The rows of a `Curve`, of bounds low, high, band_low, band_high; the last two null but on the `band` days."""
    inside = np.isin(np.arange(len(days)), band)
    bounds[2:] = [np.where(inside, bound, np.nan) for bound in bounds[2:]]
    columns = dict(zip(("low", "high", "band_low", "band_high"), bounds))
    table = pl.DataFrame({"duration_days": days, "estimate": estimate, "standard_error": error, **columns})
    return table.select(pl.lit(group).alias("group"), pl.all().fill_nan(None))
