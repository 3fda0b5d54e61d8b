"""Who buys by habit: how regular are the gaps between a customer's orders?

In: Orders. Out: `rhythm` -> `Rhythm`: each customer's gaps, their spread, clumpiness and shape, and the regularity of
all customers together.

A gap of d whole days counts as d - 1/2 where a shape is told: orders of one day are one, so who orders by chance has
gaps of at least a day, and without the half he would look regular.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date, datetime
from typing import Any

import numpy as np
import polars as pl

from shoptoolkit.contract import EstimateTable, Orders, estimate_row, refused_row, require
from shoptoolkit.contract.arrays import Floats, Ints
from shoptoolkit.contract.check import check_level
from shoptoolkit.contract.clock import day_of, local_day
from shoptoolkit.contract.estimates import z_of
from shoptoolkit.contract.show import html_table
from shoptoolkit.features.given import group_of

_GAPS = 5  # of a customer, below which no shape is told
_CUSTOMERS = 30  # of a group, below which no regularity is told
_ROUNDED = 0.5  # days
_STEPS = 12  # of Newton; half of them are enough for 1e-9
_OFF, _TINY = 0.2, 1e-12
_TOLD = {
    "question": "How regularly do customers order?",
    "estimand": "shape of the gaps between orders: 1 is chance, above regular, below clumpy",
    "metric": "regularity",
    "method": "wheat_morrison",
    "measure": "shape",
}


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Rhythm:
    """When customers order. Draw it with `figures.rhythm`.

    `table`, one row per customer: group, customer_id, order_days, gaps, mean_gap_days, cv, clumpiness, shape,
    shape_low, shape_high. `regularity`: one row of Estimates per group.
    """

    table: pl.DataFrame
    regularity: EstimateTable
    level: float
    n: int

    def __repr__(self) -> str:
        told = self.table["shape"].count()
        return f"Rhythm of {self.n:,} customers, {told:,} with a shape of their own\n{self.regularity}"

    def _repr_html_(self) -> str:
        title = "Rhythm of each customer's orders"
        return self.regularity._repr_html_() + html_table(self.table, title=title, max_rows=10)


def rhythm(
    orders: Any,
    *,
    as_of: datetime | date | str,
    by: str | None = None,
    level: float = 0.95,
    timezone: str = "UTC",
) -> Rhythm:
    """How regularly does each customer order, and customers on the whole: by habit, by chance, or in clumps?

    Parameters
    ----------
    orders
        Orders. Several orders of a customer on one day are one.
    as_of
        The first day not looked at.
    by
        Column to split by; a customer is in the group of the first order.
    level
        Coverage of the intervals.
    timezone
        Whole days are days of this zone.

    Returns
    -------
    Rhythm
        `.table`, one row per customer, sorted: order_days and gaps (their number, less one), mean_gap_days, cv (their
        standard deviation by their mean, from two gaps on), clumpiness (from 0, evenly spread, to 1, all at once; from
        one gap on), shape with shape_low and shape_high (from five gaps on, not all equal). `.regularity`: the shape
        that would give all customers' gaps the spread they have, each customer counting alike; refused below 30
        customers with two gaps, or where all gaps are equal.

    Raises
    ------
    ContractError
        The orders break their contract, or have no column `by`.
    ValueError
        No order lies before `as_of`; `level` or `timezone` is none.

    Notes
    -----
    Long gaps are seen less often than short ones before `as_of`, so mean_gap_days is too short, most of all for those
    who joined lately. Shapes are free of that as far as gaps are gamma at a rate of the customer's own: the shares that
    gaps have in their sum do not depend on the sum (Lukacs 1955), and the sum alone decides what is seen. Both shapes
    look at shares alone. Dropping out after an order does them no harm either. A rate that changes does: it makes a
    customer look clumpy; `.regularity` compares each gap with the next one only, and so minds slow changes less.

    Whole days are coarse where gaps are short. With gaps of 4, 10, 30, 60 days in the mean, a true shape of 1 is told
    as 1.16, 1.04, 1.00, 1.00 in the mean; 2 as 1.60, 1.74, 1.88, 1.93; 4 as 2.6, 3.4, 3.8, 3.9; 1/2 as .91, .74, .64,
    .62. So chance is told rightly, habits are not overstated, and clumps look smaller than they are. In the simulated
    shop, whose gaps are rounded up, shapes of 1/2, 1, 2, 4 are told as .56, 1.01, 1.99, 3.86; where shapes differ, .99
    for a true .98 of all its customers.

    clumpiness is 1 + sum(x log x) / log(n), over the n shares x that gaps and the wait from the last order to `as_of`
    have in the days since the first order, so that a newcomer is not clumpy for having joined lately; silence before
    `as_of` counts as a clump before it. It grows less sure with fewer orders: compare customers with about equal
    `gaps`.

    shape is median-unbiased: as often too high as too low. Its interval turns the modified signed root of the
    likelihood of those shares (a Dirichlet law, free of the rate), exact to a few thousandths of its level.

    References
    ----------
    Zhang, Bradlow and Small (2013), Journal of Applied Statistics 40, 2533-2548, (2015), Marketing Science 34, 195-208
    (clumpiness); Wheat and Morrison (1990), Journal of Marketing Research 27, 87-93, where M = gap / (gap + next
    gap) has variance 1 / (8 shape + 4); Lukacs (1955), Annals of Mathematical Statistics 26, 319-324;
    Barndorff-Nielsen (1991), Biometrika 78, 557-563 (modified signed root).

    Examples
    --------
    >>> from datetime import datetime
    >>> import polars as pl
    >>> days = [datetime(2025, 1, day) for day in (1, 8, 15, 23, 30)] + [datetime(2025, 2, 5), datetime(2025, 1, 1)]
    >>> orders = pl.DataFrame({"customer_id": list("aaaaaab"), "order_id": range(7), "ordered_at": days,
    ...     "order_number": [1, 2, 3, 4, 5, 6, 1], "gross_revenue": 9.0, "refunded": 0.0, "revenue": 9.0, "items": 1})
    >>> told = rhythm(orders, as_of="2025-03-01")
    >>> told.table.select("customer_id", "gaps", "mean_gap_days", pl.col("cv", "shape_low").round(2)).rows()
    [('a', 5, 7.0, 0.1, 10.29), ('b', 0, None, None, None)]
    >>> told.regularity
    all: refused. 1 customer has two gaps between orders; at least 30 are needed. Look at a longer log.
    """
    check_level(level)
    days = _days(require(orders, Orders), by, day_of(as_of, timezone=timezone), timezone)
    if days.is_empty():
        raise ValueError(f"as_of is {as_of}, and no order lies before that day.")
    table = days.group_by("customer_id").agg(**_of_customer()).sort("group", "customer_id")
    parts = table.group_by("group", maintain_order=True)
    rows = [_regularity(name, part["unevenness"].drop_nulls().to_numpy(), level) for (name,), part in parts]
    return Rhythm(table=_told(table, level), regularity=EstimateTable.from_rows(rows), level=level, n=len(table))


def _days(orders: pl.DataFrame, by: str | None, end: date, timezone: str) -> pl.DataFrame:
    """Customers' days with an order: the gap before (null at the first), the wait for the next or `end`, in days."""
    group = group_of(orders, by, whose="orders")
    seen = orders.select("customer_id", "ordered_at", group=group, day=local_day("ordered_at", timezone=timezone))
    seen = seen.filter(pl.col("day") < end).sort("customer_id", "ordered_at", "group")
    is_same = (pl.col("customer_id") == pl.col("customer_id").shift()).fill_null(False)
    seen = seen.filter(is_same.not_() | (pl.col("day") != pl.col("day").shift()))
    seen = seen.with_columns(gap=pl.when(is_same).then(pl.col("day").diff().dt.total_days()))
    to_end = (pl.lit(end) - pl.col("day")).dt.total_days()
    fine = pl.col("gap") - _ROUNDED
    return seen.with_columns(
        wait=pl.coalesce(pl.col("gap").shift(-1), to_end),
        fine=fine,
        unevenness=(fine / (fine + fine.shift(-1)) - 0.5) ** 2,
    )


def _of_customer() -> dict[str, pl.Expr]:
    """What the days of one customer come to."""
    gap, wait, fine = pl.col("gap"), pl.col("wait"), pl.col("fine")
    evenness = wait.sum().log() - (wait * wait.log()).sum() / wait.sum()
    return {
        "group": pl.col("group").first(),
        "order_days": pl.len().cast(pl.Int64),
        "gaps": gap.count().cast(pl.Int64),
        "mean_gap_days": gap.mean(),
        "cv": gap.std() / gap.mean(),
        "clumpiness": pl.when(pl.len() > 1).then(1 - evenness / pl.len().log()),
        "log_ratio": fine.log().mean() - fine.mean().log(),
        "unevenness": pl.col("unevenness").mean(),
    }


def _regularity(group: str, unevenness: Floats, level: float) -> dict[str, Any]:
    """The shape k with the variance 1 / (8 k + 4) of M; its interval is that of the variance's logarithm."""
    n = len(unevenness)
    told: dict[str, Any] = _TOLD | {"group": group, "level": level, "n": n}
    if n < _CUSTOMERS:
        have = "customer has" if n == 1 else "customers have"
        reason = f"{n} {have} two gaps between orders; at least {_CUSTOMERS} are needed. Look at a longer log."
        return refused_row(**told, reason=reason)
    variance, error = float(unevenness.mean()), float(unevenness.std(ddof=1)) / n**0.5
    if not variance:
        return refused_row(**told, reason="every gap is as long as the next, so the shape has no bound.")
    reach = np.exp(z_of(level) * error / variance)
    low, high = (max(0.0, 1 / (8 * one) - 0.5) for one in (variance * reach, variance / reach))
    shape, slope = 1 / (8 * variance) - 0.5, 1 / (8 * variance**2)
    return estimate_row(**told, estimate=shape, standard_error=slope * error) | {"low": low, "high": high}


def _told(table: pl.DataFrame, level: float) -> pl.DataFrame:
    """The customers' table with shapes and their intervals where there are gaps enough."""
    has_shape = (pl.col("gaps") >= _GAPS) & (pl.col("cv") > 0)
    some = table.filter(has_shape)
    found = shapes(some["gaps"].to_numpy(), some["log_ratio"].to_numpy(), level)
    columns = dict(zip(("shape", "shape_low", "shape_high"), map(pl.Series, found), strict=True))
    table = table.select("group", pl.exclude("group", "log_ratio", "unevenness"))
    return table.join(some.select("customer_id", **columns), on="customer_id", how="left", maintain_order="left")


def shapes(gaps: Ints, log_ratio: Floats, level: float) -> list[Floats]:
    """Shapes of gamma gaps, median-unbiased, and their bounds, from the log of geometric by arithmetic mean.

    Given their sum, the gaps' shares are Dirichlet(k, ..., k): an exponential family in k, in which the modified signed
    root r* is normal to third order. Each answer is the k at which r* is 0, z or -z.
    """
    best = _most_likely(gaps, log_ratio)
    z = z_of(level)
    return [_where_root_is(target, best, gaps, log_ratio) for target in (0.0, z, -z)]


def _most_likely(n: Ints, log_ratio: Floats) -> Floats:
    """The maximum of the conditional likelihood by Newton on log k, from Thom's approximation."""
    from scipy.special import polygamma, psi

    s = -log_ratio
    k: Floats = (3 - s + np.sqrt((s - 3) ** 2 + 24 * s)) / (12 * s) * (n - 1) / n
    for _ in range(_STEPS):
        slope = psi(n * k) - psi(k) - np.log(n) + log_ratio
        k = k * np.exp(np.clip(slope / (k * (polygamma(1, k) - n * polygamma(1, n * k))), -2, 2))
    return k


def _where_root_is(target: float, best: Floats, n: Ints, log_ratio: Floats) -> Floats:
    from scipy.special import gammaln, polygamma, psi

    def likelihood(k: Floats) -> Floats:
        return gammaln(n * k) - n * gammaln(k) + n * k * (log_ratio - np.log(n))

    top, spread = likelihood(best), np.sqrt(n * polygamma(1, best) - n**2 * polygamma(1, n * best))
    k = best * np.exp(-(target + _OFF) / (best * spread))  # not at the top itself, where the root is 0/0
    for _ in range(_STEPS):
        root = np.sign(best - k) * np.sqrt(2 * np.maximum(top - likelihood(k), _TINY))
        modified = root + np.log((best - k) * spread / root) / root
        slope = n * (psi(n * k) - psi(k) - np.log(n) + log_ratio) * k / root  # of the root, by log k
        k = k * np.exp(np.clip((modified - target) / slope, -1, 1))
    return k
