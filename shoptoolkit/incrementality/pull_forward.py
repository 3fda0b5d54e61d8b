"""Whether an ad created orders, or borrowed them from the weeks after it (rule R12).

In: Orders and Assignments. Out: `pull_forward` -> EstimateTable: in flight, after the flight, net at the horizon, and
the share that was borrowed.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from datetime import date, datetime
from typing import Any

import numpy as np
import polars as pl

from shoptoolkit.contract import ContractError, EstimateTable, estimate_row, refused_row, to_polars
from shoptoolkit.contract.arrays import Floats
from shoptoolkit.contract.check import check_level, check_number
from shoptoolkit.contract.estimates import critical_of
from shoptoolkit.incrementality.door import MEASURES, QUESTION
from shoptoolkit.incrementality.ratios import ratio_row
from shoptoolkit.incrementality.repurchase import STARTS, since_start
from shoptoolkit.survival.recurrent import OnDays, mean_orders_on

_FLIGHT, _NET, _AFTER = np.array([1.0, 0.0]), np.array([0.0, 1.0]), np.array([-1.0, 1.0])  # of (L(flight), L(horizon))
_LEAST = 10  # customers of an arm who are watched to the horizon
_BORROWED = {
    "question": "Did the ad borrow from later?",
    "estimand": "(L(flight) - L(horizon)) / L(flight)",
    "metric": "pull-forward",
    "measure": "share",
}


def pull_forward(
    orders: Any,
    assignments: Any,
    *,
    as_of: datetime | date | str,
    control: str,
    flight_days: int,
    horizon_days: int,
    metric: str = "orders",
    start: str = "assigned_at",
    timezone: str = "UTC",
    level: float = 0.95,
) -> EstimateTable:
    """Did the ad create orders, or take them from the weeks after the flight?

    Parameters
    ----------
    orders, assignments, as_of, control, start, timezone
        As in `repurchase_lift`.
    flight_days, horizon_days
        Days since the start, whole numbers: when the flight is over, and by when what was borrowed is paid back.
    metric
        "orders" counts them; or a column of orders to be summed, such as "revenue" (less refunds known by `as_of`).
    level
        Coverage of the intervals.

    Returns
    -------
    EstimateTable
        Four rows per arm, L(t) being the orders that the arm has added per customer by day t: L(flight); what came
        after, L(horizon) - L(flight), metric "orders after the flight"; net, L(horizon); and the share pulled forward,
        (L(flight) - L(horizon)) / L(flight), with Fieller's set: 1 says that all was borrowed, 0 nothing, below 0 that
        the ad went on working. Refused: all rows where fewer than ten customers of an arm are followed to the horizon;
        the share where the interval of L(flight) holds 0, as there is nothing to divide by.

    Raises
    ------
    ContractError
        As in `repurchase_lift`; `metric` is no column of numbers of orders, or is below 0 in some.
    ValueError
        As in `repurchase_lift`, or `flight_days` is not below `horizon_days`.

    Notes
    -----
    Where all customers are followed to the horizon, L is the difference of the arms' means and its error is that of
    customers' totals, of both days together (rule R5), by Welch's law. Where some started late, means are those of mean
    cumulative orders, whose error is that of customers too.

    References
    ----------
    Fieller (1954), JRSS B 16, 175-185; Welch (1947), Biometrika 34, 28-35; Lawless and Nadeau (1995), Technometrics 37,
    158-168.

    Examples
    --------
    >>> from datetime import datetime, timedelta
    >>> start = datetime(2025, 1, 1)
    >>> dealt = pl.DataFrame({"experiment_id": 1, "customer_id": range(80), "assigned_at": start}).with_columns(
    ...     arm=pl.when(pl.col("customer_id") < 40).then(pl.lit("ad")).otherwise(pl.lit("none")))
    >>> day = [2] * 20 + [20] * 4 + [5] * 10 + [25] * 9
    >>> who = [*range(24), *range(40, 59)]
    >>> bought = pl.DataFrame({"customer_id": who, "order_id": who, "order_number": 1, "items": 1, "revenue": 9.0,
    ...     "ordered_at": [start + timedelta(days=one) for one in day], "gross_revenue": 9.0, "refunded": 0.0})
    >>> asked = {"as_of": "2025-02-10", "control": "none", "flight_days": 7, "horizon_days": 30}
    >>> pull_forward(bought, dealt, **asked)
    orders, ad - none, 7 days: 0.250 (0.039 to 0.461) orders, n = 80
    orders after the flight, ad - none, 30 days: -0.125 (-0.289 to 0.039) orders, n = 80
    orders, ad - none, 30 days: 0.125 (-0.098 to 0.348) orders, n = 80
    pull-forward, ad - none, 30 days: 0.50 (-0.25 to 2.53) share, n = 80
    """
    check_level(level)
    check_number("flight_days", flight_days, least=1, whole=True)
    check_number("horizon_days", horizon_days, least=1, whole=True)
    if flight_days >= horizon_days:
        raise ValueError(
            f"flight_days is {flight_days} and horizon_days {horizon_days}; what was borrowed is paid back after the "
            "flight, so the horizon must lie beyond it."
        )
    orders = to_polars(orders)
    if metric != "orders" and not (metric in orders.columns and orders.schema[metric].is_numeric()):
        numbers = ", ".join(name for name, kind in orders.schema.items() if kind.is_numeric())
        raise ContractError(f"orders: metric is {metric!r}; it must be 'orders' or a column of numbers: {numbers}.")
    spells = since_start(
        orders,
        assignments,
        as_of=as_of,
        horizon_days=horizon_days,
        control=control,
        start=start,
        timezone=timezone,
        metric=metric,
    )
    days = (int(flight_days), int(horizon_days))
    groups = {one.group: one for one in mean_orders_on(spells, days, by="arm", amount=metric)}
    against = groups.pop(control)
    told = {"estimand": STARTS[start], "metric": metric, "level": level}
    most = _followed(spells)
    rows = (row for one in groups.values() for row in _rows(one, against, days, most, told))
    return EstimateTable.from_rows(rows)


def _followed(spells: pl.DataFrame) -> dict[str, int]:
    """The last day to which ten customers of each arm are followed; 0 in an arm with fewer."""
    ends = spells.group_by("customer_id", "arm").agg(pl.col("stop_days").max())
    last = ends.group_by("arm").agg(pl.col("stop_days").top_k(_LEAST).min(), pl.len())
    return {arm: int(day) if n >= _LEAST else 0 for arm, day, n in last.rows()}


def _rows(
    one: OnDays, against: OnDays, days: tuple[int, int], most: dict[str, int], told: dict[str, Any]
) -> Iterator[dict[str, Any]]:
    """In flight, after it, net, and the share, of an arm."""
    (flight, horizon), metric = days, told["metric"]
    words: dict[str, Any] = {"contrast": f"{one.group} - {against.group}", "group": "all", "n": one.n + against.n}
    words |= {"question": QUESTION, "measure": MEASURES.get(metric, metric), "horizon_days": horizon} | told
    is_whole = one.watched[1] == one.n and against.watched[1] == against.n
    words["method"] = "difference in means" if is_whole else "difference in mean cumulative orders"
    share = words | _BORROWED | ({} if metric == "orders" else {"metric": f"pull-forward of {metric}"})
    parts = (
        (_FLIGHT, words | {"horizon_days": flight}),
        (_AFTER, words | {"metric": f"{metric} after the flight"}),
        (_NET, words),
    )
    if reason := _too_short((one, against), horizon, most):
        yield from (refused_row(reason=reason, **each) for each in (*(each for _, each in parts), share))
        return
    added = one.estimate - against.estimate
    spread = np.array([side.covariance * side.n / (side.n - 1) for side in (one, against)])
    for weights, each in parts:
        error, degrees = _welch(weights, spread, one.n, against.n)
        if error:
            yield estimate_row(estimate=float(added @ weights), standard_error=error, null=0.0, degrees=degrees, **each)
        else:
            yield refused_row(reason="all customers did the same, so no error can be told; wait for orders.", **each)
    degrees = min(_welch(weights, spread, one.n, against.n)[1] for weights in (_FLIGHT, _AFTER))
    yield _share(added, spread, degrees, share)


def _welch(weights: Floats, spread: Floats, *n: int) -> tuple[float, float]:
    """The error of a sum over days, and its degrees of freedom (Welch-Satterthwaite)."""
    each = np.einsum("i,aij,j->a", weights, spread, weights).clip(0)
    total = float(each.sum())
    return math.sqrt(total), total**2 / float((each**2 / (np.array(n) - 1)).sum()) if total else float(sum(n) - 2)


def _share(added: Floats, spread: Floats, degrees: float, words: dict[str, Any]) -> dict[str, Any]:
    """The share pulled forward, unless what the flight added cannot be told from nothing."""
    turn = np.array([-_AFTER, _FLIGHT])
    (top, bottom), covariance = turn @ added, turn @ spread.sum(axis=0) @ turn.T
    reach = critical_of(words["level"], degrees) * math.sqrt(covariance[1, 1])
    if abs(bottom) > reach:
        return ratio_row(
            top=float(top), bottom=float(bottom), covariance=covariance, null=0.0, degrees=degrees, **words
        )
    reason = (
        f"what the flight added, {bottom:.3g} ({bottom - reach:.3g} to {bottom + reach:.3g}) per customer, is not told "
        "from 0, so there is nothing to divide by. Look at the net row, or take more customers."
    )
    return refused_row(reason=reason, **words)


def _too_short(sides: tuple[OnDays, ...], horizon: int, most: dict[str, int]) -> str | None:
    """Why nothing is told of the horizon, if too few of an arm are followed to it."""
    side = min(sides, key=lambda one: one.watched[1])
    if side.watched[1] >= _LEAST:
        return None
    mend = min(most[one.group] for one in sides)
    then = f"take horizon_days <= {mend}, or wait" if mend else "take more customers"
    return (
        f"only {side.watched[1]} of {side.n:,} customers of {side.group!r} are followed to day {horizon}, and at least "
        f"{_LEAST} are needed; {then}."
    )
