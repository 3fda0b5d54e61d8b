"""What are these customers worth within a horizon, one by one and together?

In: fits of orders and of spend, and the frame of `summarise_orders`. Out: `customer_value` -> `CustomerValue`.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import polars as pl

from shoptoolkit.contract import EstimateTable, estimate_row, to_polars
from shoptoolkit.contract.check import check_level
from shoptoolkit.contract.show import html_table
from shoptoolkit.survival.buy_till_you_die import OrdersFit
from shoptoolkit.survival.spend import SpendFit, mean_order, read_values

Floats = npt.NDArray[np.float64]
_CHUNK = 50_000  # customers whose draws are held at once


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class CustomerValue:
    """Value of customers. Draw it with `figures.customer_value`.

    `table`: customer_id (if there), repeat_orders, last_order_age, age, mean_value, expected_orders, value (expected),
    value_low, value_high (prediction interval of what the customer really brings). `total`: two Estimates, the expected
    total (interval: error of the parameters) and the realised one (that, and the customers' own chance).
    """

    table: pl.DataFrame
    total: EstimateTable
    horizon_days: float
    measure: str
    level: float
    n: int

    def __repr__(self) -> str:
        return f"Value of {self.n:,} customers within {self.horizon_days:g} days\n{self.total!r}"

    def _repr_html_(self) -> str:
        note = f"{100 * self.level:g} % prediction intervals of single customers; {self.measure}; n = {self.n:,}"
        top = self.table.sort("value", descending=True).head(10)
        return self.total._repr_html_() + html_table(top, title="The ten customers worth most", note=note)


def customer_value(
    orders_fit: OrdersFit,
    spend_fit: SpendFit,
    frame: Any,
    *,
    horizon_days: float,
    margin: float,
    discount_rate: float = 0.0,
    measure: str = "money",
    level: float = 0.95,
    draws: int = 200,
    rng: int | np.random.Generator,
) -> CustomerValue:
    """What will each of these customers still bring within the horizon, and all of them together?

    Parameters
    ----------
    orders_fit, spend_fit
        From `fit_orders` and `fit_spend`.
    frame
        As from `summarise_orders`, with mean_value and the covariates of the fit, if any.
    horizon_days
        Days after the last day seen.
    margin
        Share of an order's value that is earned, above 0 and at most 1.
    discount_rate
        Per year; an order is discounted by the moment at which it comes: an order a year away counts 1 / (1 + rate).
    measure
        Currency, e.g. "GBP".
    level, draws
        Coverage of the intervals, and how many worlds are drawn for them; at least 2 / (1 - level) are needed.

    Returns
    -------
    CustomerValue
        `value` is expected orders, discounted, times expected value of an order, times margin: the two are independent
        in these models. Intervals of single customers and of the realised total are quantiles of drawn worlds. Each
        world has parameters of its own (normal on the logs), and in it each customer an order rate, a time of leaving,
        a mean value and single orders that vary around it, given the own history.

    Raises
    ------
    ValueError
        An argument cannot be used, or an expected value does not exist.
    """
    _check(margin, level, draws)
    table = to_polars(frame)
    x, m = read_values(table)
    spend_fit.refuse_endless(x)
    orders = orders_fit.expected_orders(table, horizon_days=horizon_days, discount_rate=discount_rate)
    plain = orders_fit.expected_orders(table, horizon_days=horizon_days)["expected_orders"]
    value = margin * orders["expected_orders"].to_numpy() * mean_order(spend_fit.at, x, m)
    worlds = _worlds(orders_fit, spend_fit, table, horizon_days, discount_rate, draws, np.random.default_rng(rng))
    bounds, totals = [], np.zeros(draws)
    for drawn in worlds:
        bounds.append(margin * np.quantile(drawn, [0.5 - level / 2, 0.5 + level / 2], axis=0))
        totals += margin * drawn.sum(axis=1)
    low, high = np.concatenate(bounds, axis=1)
    kept = orders.drop("^expected_orders.*$").with_columns(table["mean_value"], plain)
    error = _error_of_total(orders_fit, spend_fit, table, (x, m), horizon_days, discount_rate) * margin
    common: dict[str, Any] = {
        "question": "What are these customers worth?",
        "method": f"{orders_fit.model} x {spend_fit.model}",
        "group": "all",
        "horizon_days": float(horizon_days),
        "measure": measure,
        "n": len(table),
        "level": level,
    }
    return CustomerValue(
        table=kept.with_columns(value=value, value_low=low, value_high=high),
        total=EstimateTable.from_rows(_rows(float(value.sum()), error, totals, discount_rate, level, common)),
        horizon_days=float(horizon_days),
        measure=measure,
        level=level,
        n=len(table),
    )


def _check(margin: float, level: float, draws: int) -> None:
    check_level(level)
    if not 0 < margin <= 1:
        raise ValueError(f"margin is {margin}; it must be a share above 0 and at most 1, e.g. 0.3.")
    if draws < (least := int(np.ceil(2 / (1 - level)))):
        raise ValueError(f"draws is {draws}; quantiles at level {level:g} need at least {least}.")


def _rows(
    value: float, error: float, totals: Floats, rate: float, level: float, common: dict[str, Any]
) -> Iterator[dict[str, Any]]:
    what = f"margin of all orders within {common['horizon_days']:g} days, discounted at {100 * rate:g} % a year"
    yield estimate_row(
        estimate=value,
        standard_error=error,
        metric="expected_value",
        estimand=f"expected {what}; interval: error of the parameters",
        **common,
    )
    low, high = np.quantile(totals, [0.5 - level / 2, 0.5 + level / 2])
    realised = estimate_row(estimate=value, standard_error=float(totals.std(ddof=1)), metric="realised_value", **common)
    estimand = f"realised {what}; interval: error of the parameters and the customers' own chance"
    yield realised | {"low": float(low), "high": float(high), "estimand": estimand}


def _worlds(
    orders_fit: OrdersFit,
    spend_fit: SpendFit,
    table: pl.DataFrame,
    horizon_days: float,
    rate: float,
    draws: int,
    rng: np.random.Generator,
) -> Iterator[Floats]:
    """Discounted amounts of drawn worlds, one row each, for some customers at a time; the parameters stay the same."""
    of_orders = orders_fit.draw_parameters(draws, rng)
    of_spend = np.exp(rng.multivariate_normal(spend_fit.at, spend_fit.covariance, size=draws, method="eigh"))
    for start in range(0, len(table), _CHUNK):
        some = table.slice(start, _CHUNK)
        mean = read_values(some)[1]
        call: dict[str, Any] = {"discount_rate": rate, "spend": of_spend, "mean": mean}
        yield orders_fit.live(some, of_orders, horizon_days, rng, **call)[2]


def _error_of_total(
    orders_fit: OrdersFit,
    spend_fit: SpendFit,
    table: pl.DataFrame,
    values: tuple[Floats, Floats],
    horizon_days: float,
    rate: float,
) -> float:
    """Standard error of the expected total by the delta method; the two fits count as independent."""
    each = mean_order(spend_fit.at, *values)
    orders, slopes = orders_fit.total(table, each, horizon_days, rate)
    by = 1e-4 * np.eye(3)
    of_spend = [
        (mean_order(spend_fit.at + h, *values) - mean_order(spend_fit.at - h, *values)) @ orders / 2e-4 for h in by
    ]
    variance = slopes @ orders_fit.covariance @ slopes + np.array(of_spend) @ spend_fit.covariance @ np.array(of_spend)
    return float(np.sqrt(np.maximum(variance, 0.0)))
