"""What are these customers worth within a horizon, one by one and together?

In: fits of orders and of spend, and the frame of `summarise_orders`. Out: `customer_value` -> `CustomerValue`.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from numbers import Real
from typing import Any

import numpy as np
import polars as pl

from shoptoolkit.contract import EstimateTable, estimate_row, to_polars
from shoptoolkit.contract.arrays import Floats
from shoptoolkit.contract.check import check_level, check_number
from shoptoolkit.contract.show import html_table
from shoptoolkit.survival.orders.fit import OrdersFit
from shoptoolkit.survival.orders.spend import SpendFit, mean_order, read_values

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
    rng
        Seed or Generator of the worlds.

    Returns
    -------
    CustomerValue
        `value` is expected orders, discounted, times expected value of an order, times margin: the two are independent
        in these models. Intervals of single customers and of the realised total are quantiles of drawn worlds. Each
        world has parameters of its own (normal on the logs), and in it each customer an order rate, a time of leaving,
        a mean value and single orders that vary around it, given the own history.

    Raises
    ------
    TypeError, ValueError
        An argument cannot be used, or an expected value does not exist.

    Examples
    --------
    >>> from shoptoolkit.survival import fit_orders, fit_spend
    >>> rng = np.random.default_rng(1)
    >>> orders = rng.geometric(0.5, 400) - 1
    >>> values = np.where(orders > 0, rng.gamma(6, 10, 400), 0.0)
    >>> summary = pl.DataFrame({"customer_id": range(400), "repeat_orders": orders,
    ...     "last_order_age": np.where(orders > 0, rng.uniform(10, 90, 400), 0), "age": 100.0, "mean_value": values})
    >>> value = customer_value(fit_orders(summary), fit_spend(summary), summary, horizon_days=90, margin=0.4, rng=1)
    >>> value.total.table["metric"].to_list()
    ['expected_value', 'realised_value']
    """
    _check(orders_fit, spend_fit, margin, level, draws)
    table = to_polars(frame)
    x, m = read_values(table)
    spend_fit.refuse_endless(x)
    each = mean_order(spend_fit.at, x, m)
    told, plain = orders_fit.mean_orders(table, horizon_days)
    discounted, slopes = orders_fit.total(table, each, horizon_days, discount_rate)
    value = margin * discounted * each
    worlds = _worlds(orders_fit, spend_fit, table, horizon_days, discount_rate, draws, np.random.default_rng(rng))
    bounds, totals = [], np.zeros(draws)
    for drawn in worlds:
        bounds.append(margin * np.quantile(drawn, [0.5 - level / 2, 0.5 + level / 2], axis=0))
        totals += margin * drawn.sum(axis=1)
    low, high = np.concatenate(bounds, axis=1)
    of_orders, of_spend = float(slopes @ orders_fit.covariance @ slopes), _variance(spend_fit, discounted, x, m)
    error = margin * float(np.sqrt(of_orders + of_spend))  # the two fits count as independent
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
        table=told.with_columns(
            table["mean_value"], expected_orders=plain, value=value, value_low=low, value_high=high
        ),
        total=EstimateTable.from_rows(_rows(float(value.sum()), error, totals, discount_rate, level, common)),
        horizon_days=float(horizon_days),
        measure=measure,
        level=level,
        n=len(table),
    )


def _check(orders_fit: OrdersFit, spend_fit: SpendFit, margin: float, level: float, draws: int) -> None:
    if not isinstance(orders_fit, OrdersFit) or not isinstance(spend_fit, SpendFit):
        told = f"orders_fit is a {type(orders_fit).__name__} and spend_fit a {type(spend_fit).__name__}"
        raise TypeError(f"{told}; they come from fit_orders(...) and fit_spend(...), in this order.")
    check_level(level)
    if not isinstance(margin, Real) or not 0 < margin <= 1:
        raise ValueError(f"margin is {margin!r}; it must be a share above 0 and at most 1, e.g. 0.3.")
    check_number("draws", draws, least=1, whole=True)
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
    yield realised | {"low": min(float(low), value), "high": max(float(high), value), "estimand": estimand}


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


def _variance(spend_fit: SpendFit, orders: Floats, x: Floats, m: Floats) -> float:
    """Of the expected total, from the errors of the spend parameters (delta method)."""
    by = 1e-4 * np.eye(3)
    slopes = np.array([(mean_order(spend_fit.at + h, x, m) - mean_order(spend_fit.at - h, x, m)) @ orders for h in by])
    return float(slopes @ spend_fit.covariance @ slopes) / 2e-4**2
