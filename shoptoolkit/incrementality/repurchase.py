"""Whether an ad brings customers back sooner, and how many orders it adds, day by day since the assignment.

In: Orders and Assignments. Out: `repurchase_lift` -> `RepurchaseLift`. `since_start` makes the spells from a customer's
start on, for `pull_forward` too.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import date, datetime
from typing import Any

import polars as pl

from shoptoolkit import survival
from shoptoolkit.contract import ContractError, EstimateTable, Orders, require, to_polars
from shoptoolkit.contract.check import check_number
from shoptoolkit.contract.clock import day_of, moment
from shoptoolkit.incrementality.assigned import assigned
from shoptoolkit.incrementality.door import COVARIATE, ESTIMANDS, QUESTION, others
from shoptoolkit.incrementality.lift import unfair
from shoptoolkit.incrementality.split import whole_clusters
from shoptoolkit.survival import Curve

_SINCE = {"assigned_at": "the assignment", "eligible_at": "eligibility"}
_DAY = 86_400_000_000  # microseconds


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class RepurchaseLift:
    """What an ad changed in when and how often customers order. Draw the curves with `figures.difference`.

    `estimates`: how many days sooner (-) the next order comes, a row per arm. `survival`: difference in the share of
    customers without an order since the start. `orders`: difference in orders per customer since the start. Both curves
    by day, with interval and band.
    """

    estimates: EstimateTable
    survival: Curve
    orders: Curve

    def __repr__(self) -> str:
        return f"{self.estimates!r}\n{self.survival!r}\n{self.orders!r}"

    def _repr_html_(self) -> str:
        return "".join(one._repr_html_() for one in (self.estimates, self.survival, self.orders))


def repurchase_lift(
    orders: Any,
    assignments: Any,
    *,
    as_of: datetime | date | str,
    horizon_days: int,
    control: str,
    start: str = "assigned_at",
    covariates: Any = None,
    timezone: str = "UTC",
    level: float = 0.95,
) -> RepurchaseLift:
    """Did the ad bring customers back sooner, and how many orders did it add by each day?

    Parameters
    ----------
    orders
        Orders, as from `features.orders(events, as_of=...)`.
    assignments
        Assignments of one experiment, one row per customer. Whoever has no order counts as not yet back.
    as_of
        The first day not looked at (a date, or text like "2011-12-09"); the log must reach to that day.
    horizon_days
        Up to which day since the start to look, a whole number.
    control
        The arm that all others are compared with.
    start
        From which moment on a customer's orders count: "assigned_at", or "eligible_at" (ghost ads: when the ad would
        first have been shown, in both arms; who never was eligible is left out).
    covariates
        A frame with customer_id and columns of numbers or flags known before the start, named pre_..., such as what
        `incrementality.outcomes` gives; all of them sharpen the restricted mean. None: as assigned.
    timezone
        Where the day of `as_of` begins.
    level
        Coverage of the intervals, and of each band.

    Returns
    -------
    RepurchaseLift
        Days are of 24 hours since the start: an order at once is one of day 1. Customers who started late are followed
        for fewer days, and count for those. `estimates`: one row per arm, metric "days until the next order", counting
        at most `horizon_days`: below 0 is sooner. Refused for fewer than 10 customers in an arm, a horizon that nobody
        is followed to, and where nobody of an arm came back.

    Raises
    ------
    ContractError
        Orders or assignments break their contract; several experiments, a customer with several rows, one arm only;
        clusters were dealt, not customers; a sample ratio mismatch; an arm of which nobody is followed for a day; no
        order since the start; customers without covariates, or covariates that are no numbers or constant.
    ValueError
        `control` is no arm, `start` is none of the two, a number is out of its range.

    Notes
    -----
    The follow-up may end for customers on different days, as long as its end says nothing about their orders. Intervals
    and bands follow the normal law; with 60 customers in an arm, bands of 90 % hold about .87 to .9. See
    `survival.restricted_mean_difference`, `survival.survival_difference` and
    `survival.mean_cumulative_orders_difference`.

    Examples
    --------
    >>> from datetime import datetime, timedelta
    >>> start = datetime(2025, 1, 1)
    >>> dealt = pl.DataFrame({"experiment_id": 1, "customer_id": range(40), "assigned_at": start}).with_columns(
    ...     arm=pl.when(pl.col("customer_id") % 2 == 0).then(pl.lit("ad")).otherwise(pl.lit("none")))
    >>> days = [2, 20, 3, 15, 5, 25, 1, 18, 9, 11]
    >>> bought = pl.DataFrame({"customer_id": range(10), "order_id": range(10), "order_number": 1, "items": 1,
    ...     "ordered_at": [start + timedelta(days=day) for day in days], "revenue": 9.0, "gross_revenue": 9.0,
    ...     "refunded": 0.0})
    >>> repurchase_lift(bought, dealt, as_of="2025-02-10", horizon_days=30, control="none").estimates
    ad - none: -3.4 (-8.8 to 1.9) days, n = 40
    """
    spells = since_start(
        orders,
        assignments,
        as_of=as_of,
        horizon_days=horizon_days,
        control=control,
        start=start,
        timezone=timezone,
    )
    first = spells.filter(pl.col("start_days") == 0)
    first, names = with_covariates(first, covariates)
    asked: dict[str, Any] = {"by": "arm", "reference": control, "level": level}
    days = survival.restricted_mean_difference(
        first, horizon_days=horizon_days, duration="stop_days", covariates=names, **asked
    )
    method = "restricted mean" + (f", adjusted for {', '.join(names)}" if names else "")
    words = {
        "question": QUESTION,
        "estimand": ESTIMANDS[start],
        "metric": "days until the next order",
        "method": method,
    }
    rows = (row | words | {"group": "all"} for row in days.table.to_dicts())
    waiting = survival.survival_difference(first, duration="stop_days", **asked)
    added = survival.mean_cumulative_orders_difference(spells, amount="orders", **asked)
    return RepurchaseLift(
        estimates=EstimateTable.from_rows(rows),
        survival=replace(
            waiting, estimand=f"difference in the share of customers without an order since {_SINCE[start]}"
        ),
        orders=replace(added, estimand=f"difference in orders per customer since {_SINCE[start]}"),
    )


def since_start(
    orders: Any,
    assignments: Any,
    *,
    as_of: datetime | date | str,
    horizon_days: int,
    control: str,
    start: str,
    timezone: str,
    metric: str = "orders",
) -> pl.DataFrame:
    """Every customer's spells from the start on, to the horizon or as far as followed by `as_of`.

    customer_id, arm, start_days, stop_days, repurchased, and `metric`: orders of the day on which the spell ended, or
    the sum of that column of orders. Sorted by customer and time; customers with no whole day of follow-up are left
    out.
    """
    check_number("horizon_days", horizon_days, least=1, whole=True)
    end = moment(day_of(as_of, timezone=timezone), timezone=timezone)
    placed = require(orders, Orders)
    people = _people(assignments, placed, control=control, start=start)
    followed = (pl.lit(end) - pl.col("started_at")).dt.total_microseconds() // _DAY
    named = people["arm"].unique().sort()
    people = people.with_columns(followed=pl.min_horizontal(followed, horizon_days)).filter(pl.col("followed") >= 1)
    if late := [arm for arm in named if arm not in people["arm"]]:
        raise ContractError(
            f"assignments: nobody of {late[0]!r} has a whole day from {start} to as_of ({as_of}); take a later as_of."
        )
    amount = pl.lit(1) if metric == "orders" else pl.col(metric)
    came = placed.select("customer_id", "ordered_at", amount.alias(metric)).join(people, on="customer_id")
    day = (pl.col("ordered_at") - pl.col("started_at")).dt.total_microseconds() // _DAY + 1
    came = came.filter(pl.col("ordered_at") >= pl.col("started_at")).with_columns(stop=day)
    came = came.filter(pl.col("stop") <= pl.col("followed")).group_by("customer_id", "arm", "stop").agg(pl.sum(metric))
    if came.is_empty():
        raise ContractError(
            f"orders: none of {len(people):,} customers with a whole day from {start} to as_of ({as_of}) ordered in "
            f"the {horizon_days} days after it. Take a later as_of, or see whether the customer ids are the same."
        )
    ends = people.select("customer_id", "arm", pl.col("followed").alias("stop"), pl.lit(0).alias(metric))
    rows = pl.concat(
        [came.with_columns(repurchased=True), ends.with_columns(repurchased=False)], how="vertical_relaxed"
    )
    rows = rows.sort("customer_id", "stop", pl.col("repurchased").not_())
    is_same = pl.col("customer_id") == pl.col("customer_id").shift()
    before = pl.when(is_same).then(pl.col("stop").shift()).fill_null(0)
    days = {"start_days": before.cast(pl.Float64), "stop_days": pl.col("stop").cast(pl.Float64)}
    return rows.with_columns(**days).filter(pl.col("stop_days") > pl.col("start_days")).drop("stop")


def _people(assignments: Any, placed: pl.DataFrame, *, control: str, start: str) -> pl.DataFrame:
    """customer_id, arm, started_at of those who ever started, in two arms or more."""
    people = assigned(assignments, placed, start=start)
    others(people["arm"].unique(), control, name="assignments")
    if "cluster" in people.columns and whole_clusters(people):
        raise ContractError(
            "assignments: each cluster lies in one arm, so clusters were dealt, and errors here are those of "
            "customers. Take lift(outcomes(...), cluster='cluster') by each day that matters."
        )
    if reason := unfair(people):
        raise ContractError(f"assignments: {reason}")
    return people.select("customer_id", "arm", "started_at").drop_nulls("started_at")


def with_covariates(table: pl.DataFrame, covariates: Any) -> tuple[pl.DataFrame, list[str]]:
    """The table of customers with the pre_ columns of a frame of covariates, and their names; none where it is None."""
    if covariates is None:
        return table, []
    known = to_polars(covariates)
    names = [name for name in known.columns if name.startswith(COVARIATE)]
    if "customer_id" not in known.columns or not names:
        raise ContractError(
            f"covariates: customer_id and columns named {COVARIATE}... are needed. It has: {', '.join(known.columns)}."
        )
    if (theirs := known.schema["customer_id"]) != (ours := table.schema["customer_id"]):
        raise ContractError(f"covariates: 'customer_id' is {theirs}, and {ours} in the assignments; cast one.")
    if known["customer_id"].is_duplicated().any():
        raise ContractError("covariates: customer_id repeats; give one row per customer.")
    both = table.join(known.select("customer_id", *names), on="customer_id", how="inner", maintain_order="left")
    if absent := len(table) - len(both):
        raise ContractError(
            f"covariates: {absent:,} of {len(table):,} customers have no row. Give each one, or leave those out of the "
            "comparison in both arms: assignments.join(covariates, on='customer_id', how='semi')."
        )
    for name in names:
        kind = known.schema[name]
        if not (kind.is_numeric() or kind == pl.Boolean):
            raise ContractError(f"covariates: {name!r} is {kind}; it must be finite numbers or flags, without nulls.")
        if not both[name].cast(pl.Float64).is_finite().all(ignore_nulls=False):
            raise ContractError(f"covariates: {name!r} is null, NaN or infinite for some customers; fill it.")
    return both.with_columns(pl.col(names).cast(pl.Float64)), names
