"""How many orders a customer places by each day: mean cumulative orders, and how groups differ in them.

In: all spells of each customer, `repurchase_spells(..., index="all")`. Out: `mean_cumulative_orders` and
`mean_cumulative_orders_difference` -> `Curve`, with errors and bands of customers, whatever their orders depend on.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import polars as pl

from shoptoolkit.contract import ContractError
from shoptoolkit.contract.arrays import Floats
from shoptoolkit.contract.check import check_level
from shoptoolkit.contract.estimates import z_of
from shoptoolkit.survival.bands import Moves, band_days, highest
from shoptoolkit.survival.curves import Curve
from shoptoolkit.survival.differences import Side, apart, day_table
from shoptoolkit.survival.risk import RiskTable, risk_tables, spell_names
from shoptoolkit.survival.spells import at_the_door

_WHAT = "orders after the first per customer"


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class _Mean:
    """One group's mean cumulative orders on its grid, its error, and the moves of its customers."""

    risk: RiskTable
    estimate: Floats
    error: Floats
    moves: Moves
    n: int

    @property
    def relative(self) -> Floats:
        """The error of the logarithm; 0 before the first order."""
        return np.divide(self.error, self.estimate, out=np.zeros_like(self.error), where=self.estimate > 0)

    def bounds(self, width: float) -> tuple[Floats, Floats]:
        """Low and high, so many errors of the logarithm away."""
        return self.estimate * np.exp(-width * self.relative), self.estimate * np.exp(width * self.relative)


def mean_cumulative_orders(
    spells: Any,
    *,
    by: str | None = None,
    level: float = 0.95,
    id: str = "customer_id",
    repurchased: str = "repurchased",
    start: str = "start_days",
    stop: str = "stop_days",
    amount: str | None = None,
) -> Curve:
    """How many orders after the first has a customer placed, on average, by each day?

    Parameters
    ----------
    spells
        All spells of each customer, as from `repurchase_spells(..., index="all")`: `id`, `start` and `stop` (days since
        the customer's first order; the customer is watched in between) and `repurchased` (an order on day `stop`).
    by
        Column to split by; it has one value per customer.
    level
        Coverage of the pointwise interval, and of the band.
    amount
        Column of how much the order at the end of a spell counts, where that is not 1: orders of that day, money.

    Returns
    -------
    Curve
        Orders after the first per customer: group, duration_days (since the first order), estimate, standard_error,
        low, high, band_low, band_high. The interval is that of the logarithm. The band holds the whole curve at once,
        from the first to the last day on which the estimate is worth ten independent orders (relative error at most
        1/sqrt(10)) with ten customers watched; it is null outside.

    Raises
    ------
    ContractError
        Columns missing or mistyped, spells that break the contract, overlapping spells of a customer, a customer in two
        groups, or no repeat order at all.

    Notes
    -----
    Customers may differ in their rates, and orders of a customer may depend on each other: the error is that of
    customers (rule R1). What is assumed is that the end of watching says nothing about the orders to come, and that a
    customer can go on ordering: nothing ends it. Customers who left for good count as watched, with no order.

    References
    ----------
    Nelson (1988), Journal of Quality Technology 20, 24-35; robust variance: Lawless and Nadeau (1995), Technometrics
    37, 158-168. Band: the Gaussian process with the covariance of the customers' influences (Lin, Wei, Yang and Ying
    2000, JRSS B 62, 711-730), integrated instead of resampled.

    Examples
    --------
    >>> import polars as pl
    >>> spells = pl.DataFrame({"customer_id": ["a", "a", "b"], "start_days": [0, 4, 0], "stop_days": [4, 10, 10],
    ...                        "repurchased": [True, False, False]})
    >>> mean_cumulative_orders(spells).at([3, 5]).select("duration_days", "estimate").rows()
    [(3.0, 0.0), (5.0, 0.5)]
    """
    means = _means(spells, by, level, _names(id, repurchased, start, stop, amount))
    parts = [_log_curve(mean, level) for mean in means]
    n = sum(mean.n for mean in means)
    return Curve(table=pl.concat(parts), level=level, estimand=_WHAT, n=n)


def mean_cumulative_orders_difference(
    spells: Any,
    *,
    by: str,
    reference: str | None = None,
    level: float = 0.95,
    id: str = "customer_id",
    repurchased: str = "repurchased",
    start: str = "start_days",
    stop: str = "stop_days",
    amount: str | None = None,
) -> Curve:
    """How many orders more has a customer of one group placed than one of the reference, on average, by each day?

    Parameters
    ----------
    spells, by, level, id, repurchased, start, stop, amount
        As in `mean_cumulative_orders`.
    reference
        The group to compare with; None: the first in sorted order.

    Returns
    -------
    Curve
        One part per other group, `group` as "group - reference", as far as both are followed. Interval and band are put
        together from those of both groups (Zou and Donner 2008, Statistics in Medicine 27, 1693-1702). A difference
        between groups that were not assigned at random describes, it is no effect.

    Examples
    --------
    >>> import polars as pl
    >>> spells = pl.DataFrame({"customer_id": ["a", "a", "b"], "start_days": [0, 4, 0], "stop_days": [4, 10, 10],
    ...                        "repurchased": [True, False, False], "arm": ["mail", "mail", "none"]})
    >>> mean_cumulative_orders_difference(spells, by="arm", reference="none").at(5)["estimate"].item()
    1.0
    """
    means = _means(spells, by, level, _names(id, repurchased, start, stop, amount))
    sides = (
        Side(
            group=mean.risk.group,
            n=mean.n,
            days=mean.risk.days,
            estimate=mean.estimate,
            error=mean.error,
            bounds=mean.bounds,
            total=mean.moves.total,
            able=band_days(mean.risk, mean.relative),
            covariance=mean.moves.covariance,
        )
        for mean in means
    )
    return apart(sides, by=by, reference=reference, level=level, estimand=f"difference in {_WHAT}")


def orders_by(
    spells: Any, days: Mapping[str, float], *, by: str, amount: str | None = None, id: str = "customer_id"
) -> pl.DataFrame:
    """What each customer adds to mean cumulative orders by some days: `id`, `group`, and a column per name of `days`.

    Of customers who are followed that long, all of them, it is the orders by that day; else a pseudo-value, whose mean
    is the estimate and whose variance that of the estimate (Andersen, Klein and Rosthoj 2003, Biometrika 90, 15-27).
    """
    told = []
    for mean in _means(spells, by, 0.5, _names(id, "repurchased", "start_days", "stop_days", amount)):
        places = np.searchsorted(mean.risk.days, list(days.values()), side="right") - 1
        values = mean.estimate[places] - mean.n * mean.moves.by_cluster(places)
        who = pl.DataFrame({id: mean.risk.spells["cluster"].unique(maintain_order=True), "group": mean.risk.group})
        told.append(who.hstack(pl.DataFrame(values, schema=list(days))))
    return pl.concat(told)


def _names(id: str, repurchased: str, start: str, stop: str, amount: str | None) -> dict[str, str]:
    names = spell_names(id=id, duration=stop, repurchased=repurchased, entry=start)
    return names if amount is None else names | {amount: "amount"}


def _means(spells: Any, by: str | None, level: float, names: dict[str, str]) -> list[_Mean]:
    check_level(level)
    theirs = {ours: name for name, ours in names.items()}
    id, start = theirs["customer_id"], theirs["entry_days"]
    table = at_the_door(spells, by=by, cluster=id, names=names)
    if "entry_days" not in table.columns:
        raise ContractError(f"spells: {start!r} is missing; take repurchase_spells(..., index='all').")
    if "amount" in table.columns:
        table = table.with_columns(_amount(table, theirs["amount"]))
    table = table.sort("cluster", "entry_days", maintain_order=True)
    is_same = pl.col("cluster") == pl.col("cluster").shift()
    if len(wrong := table.filter(is_same & (pl.col("entry_days") < pl.col("duration_days").shift()))):
        raise ContractError(f"spells: those of customer {wrong['cluster'][0]!r} overlap; each day counts once.")
    if by and len(wrong := table.filter(is_same & (pl.col("group") != pl.col("group").shift()))):
        raise ContractError(
            f"spells: by is {by!r}, and customer {wrong['cluster'][0]!r} has several values of it; take the "
            f"first one: pl.col({by!r}).first().over({id!r}, order_by={start!r})."
        )
    return [_mean(risk) for risk in risk_tables(table)]


def _mean(risk: RiskTable) -> _Mean:
    """Sum of d / Y (Nelson-Aalen), whose derivative jumps by 1 / Y and drifts by d / Y^2."""
    jump = 1 / np.maximum(risk.at_risk, 1)
    amounts = risk.spells["amount"].to_numpy() if "amount" in risk.spells.columns else None
    orders = risk.observed if amounts is None else np.bincount(risk.place, amounts, len(jump))
    moves = Moves.of(risk, total=np.cumsum(orders * jump**2), jump=jump, amounts=amounts)
    error = np.sqrt(moves.variance())
    return _Mean(risk=risk, estimate=np.cumsum(orders * jump), error=error, moves=moves, n=moves.clusters)


def _amount(table: pl.DataFrame, name: str) -> pl.Expr:
    """How much the order at the end of each spell counts, 0 without one."""
    if not table.schema["amount"].is_numeric():
        raise ContractError(f"spells: {name!r} is {table.schema['amount']}; amounts must be numbers.")
    amount = pl.when("repurchased").then(pl.col("amount").cast(pl.Float64)).otherwise(0.0)
    is_good = (amount.is_finite() & (amount >= 0)).fill_null(False)
    if bad := table.select((~is_good).sum()).item():
        raise ContractError(f"spells: {name!r} is null, infinite or below 0 in {bad:,} rows that end in an order.")
    return amount


def _log_curve(mean: _Mean, level: float) -> pl.DataFrame:
    days = band_days(mean.risk, mean.relative)
    critical = highest(days, mean.moves.total, mean.moves.covariance, level) if len(days) else np.nan
    bounds = [bound for width in (z_of(level), critical) for bound in mean.bounds(width)]
    return day_table(mean.risk.group, mean.risk.days, mean.estimate, mean.error, bounds, days)
