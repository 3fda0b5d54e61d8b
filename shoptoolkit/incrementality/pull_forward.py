"""Whether an ad created orders, or borrowed them from the weeks after it (rule R12).

In: Orders and Assignments. Out: `pull_forward` -> EstimateTable: in flight, after the flight, net at the horizon, and
the share that was borrowed.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from datetime import date, datetime
from typing import Any

import polars as pl

from shoptoolkit.contract import ContractError, EstimateTable, to_polars
from shoptoolkit.contract.check import check_level, check_number
from shoptoolkit.incrementality.door import ESTIMANDS, MEASURES, QUESTION
from shoptoolkit.incrementality.joint import Joint, joints, words_of
from shoptoolkit.incrementality.repurchase import since_start, with_covariates
from shoptoolkit.survival.recurrent import orders_by

_LEAST = 10  # customers of an arm who are watched to the horizon
_NAMES = ("customer_id", "order_id", "order_number")  # numbers that are not to be summed
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
    covariates: Any = None,
    timezone: str = "UTC",
    level: float = 0.95,
) -> EstimateTable:
    """Did the ad create orders, or take them from the weeks after the flight?

    Parameters
    ----------
    orders, assignments, as_of, control, start, covariates, timezone
        As in `repurchase_lift`; covariates sharpen all rows, if they foretell orders.
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
    customers' totals, of both days together (rule R5), by Welch's law. Where some started late, it is that of mean
    cumulative orders, by customers' pseudo-values. Covariates: each arm's own regression (Lin 2013), HC2 errors.

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
    pull-forward, ad - none, 30 days: 0.50 (-0.25 to 2.52) share, n = 80
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
    summed = [name for name, kind in orders.schema.items() if kind.is_numeric() and name not in _NAMES]
    if metric != "orders" and metric not in summed:
        listing = ", ".join(summed)
        raise ContractError(f"orders: metric is {metric!r}; it must be 'orders' or a column of numbers: {listing}.")
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
    days = {f"{metric} in the flight": flight_days, f"{metric} to the horizon": horizon_days}
    totals = orders_by(spells, days, by="arm", amount=metric).rename({"group": "arm"})
    totals, names = with_covariates(totals, covariates)
    followed = _followed(spells)
    told = {"estimand": ESTIMANDS[start], "metric": metric, "level": level, "group": "all"}
    rows: list[dict[str, Any]] = []
    for _, arm, added in joints(totals, control=control, numbers=list(days), covariates=names):
        watched = {name: followed[name] for name in (arm, control)}
        added = replace(added, reason=added.reason or _too_short(watched, horizon_days))
        words = told | {"contrast": f"{arm} - {control}", "method": _method(watched, horizon_days, names)}
        rows += _rows(added, words, flight_days, horizon_days)
    return EstimateTable.from_rows(rows)


def _rows(added: Joint, words: dict[str, Any], flight: int, horizon: int) -> Iterator[dict[str, Any]]:
    """In flight, after it, net, and the share, of an arm."""
    metric = words["metric"]
    flown, whole = f"{metric} in the flight", f"{metric} to the horizon"
    words = words | {"question": QUESTION, "measure": MEASURES.get(metric, metric), "horizon_days": horizon}
    yield added.row({flown: 1.0}, **words | {"horizon_days": flight})
    yield added.row({flown: -1.0, whole: 1.0}, **words | {"metric": f"{metric} after the flight"})
    yield added.row({whole: 1.0}, **words)
    share = words | _BORROWED | ({} if metric == "orders" else {"metric": f"pull-forward of {metric}"})
    won = added.row({flown: 1.0}, **words)
    if won["verdict"] == "ok" and won["low"] <= 0 <= won["high"]:
        reason = (
            f"what the flight added, {won['estimate']:.3g} ({won['low']:.3g} to {won['high']:.3g}) per customer, is "
            "not told from 0, so there is nothing to divide by. Look at the net row, or take more customers."
        )
        added = replace(added, reason=reason)
    yield added.ratio({flown: 1.0, whole: -1.0}, {flown: 1.0}, **share)


def _followed(spells: pl.DataFrame) -> dict[str, pl.Series]:
    """Of each arm, how many days its customers are followed, longest first."""
    ends = spells.group_by("customer_id", "arm").agg(pl.col("stop_days").max()).sort("arm", -pl.col("stop_days"))
    return {str(arm): part["stop_days"] for (arm,), part in ends.group_by("arm", maintain_order=True)}


def _too_short(followed: dict[str, pl.Series], horizon: int) -> str | None:
    """Why nothing is told of the horizon, if too few of an arm are followed to it."""
    watched = {arm: int((days >= horizon).sum()) for arm, days in followed.items()}
    arm = min(watched, key=lambda one: watched[one])
    if watched[arm] >= _LEAST:
        return None
    most = min(days[_LEAST - 1] for days in followed.values())
    return (
        f"only {watched[arm]} of {len(followed[arm]):,} customers of {arm!r} are followed to day {horizon}, and at "
        f"least {_LEAST} are needed; take horizon_days <= {most:g}, or wait."
    )


def _method(followed: dict[str, pl.Series], horizon: int, names: list[str]) -> str:
    is_whole = all((days >= horizon).all() for days in followed.values())
    means = "difference in means" if is_whole else "difference in mean cumulative orders"
    return words_of(means, names)
