"""What is an order of each customer worth? Orders vary around a mean of the customer's own, and means vary too.

In: the frame of `summarise_orders` with mean_value. Out: `fit_spend` -> `SpendFit` (Gamma-Gamma).
"""

from __future__ import annotations

import warnings
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import polars as pl
from scipy.special import gammaln, psi
from scipy.stats import spearmanr

from shoptoolkit.contract import ContractError, to_polars
from shoptoolkit.contract.arrays import Floats
from shoptoolkit.contract.check import check_level, check_number
from shoptoolkit.contract.estimates import delta_error, z_of
from shoptoolkit.contract.show import html_table
from shoptoolkit.survival.orders.optimum import climb, parameter_table

_NAMES = ("p", "q", "gamma")
_NOTEWORTHY = 0.1  # a rank correlation surely so far from what the model expects is told
_DRAWS, _SEED = 200_000, 20_260_101  # behind what the model expects; it must not change from run to run


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class SpendFit:
    """Gamma-Gamma model of order values. No figure of its own: see `figures.customer_value`.

    `table`: parameter (p, q, gamma), estimate, standard_error, low, high, reason (why one is not identified). An order
    is Gamma(p) / nu, nu of a customer Gamma(q) / gamma; gamma is in the currency of the orders. `correlation` is the
    rank correlation of the number of repeat orders and their mean value, `correlation_expected` what it would be were
    they independent: above 0, as values are skewed, so that the mean of one order mostly lies below that of many.
    `log_likelihood` is of the mean values, summed over the `n` customers with a repeat order.
    """

    table: pl.DataFrame
    model: str
    log_likelihood: float
    n: int
    level: float
    correlation: float
    correlation_low: float
    correlation_high: float
    correlation_expected: float
    at: Floats
    covariance: Floats

    def __repr__(self) -> str:
        told = ", ".join(f"{row['parameter']} {row['estimate']:.4g}" for row in self.table.to_dicts())
        return f"{self.model} of {self.n:,} customers: {told}; log-likelihood {self.log_likelihood:,.2f}"

    def _repr_html_(self) -> str:
        reach = f"{self.correlation:.2f} ({self.correlation_low:.2f} to {self.correlation_high:.2f})"
        told = f"rank correlation of count and value {reach}, {self.correlation_expected:.2f} if independent"
        note = f"n = {self.n:,}; {told}; {100 * self.level:g} % intervals"
        return html_table(self.table, title="Value of orders: gamma_gamma", note=note)

    def expected_value(self, frame: Any) -> pl.DataFrame:
        """What will an order of each of these be worth, on average?

        Parameters
        ----------
        frame
            repeat_orders and mean_value, as from `summarise_orders`; a customer without repeat orders gets the mean of
            all.

        Returns
        -------
        pl.DataFrame
            customer_id (if there), repeat_orders, mean_value, expected_value, expected_value_low, expected_value_high:
            p (gamma + x m) / (p x + q - 1). The interval covers the error of the parameters (delta method, on the
            log), not the spread of single orders.

        Raises
        ------
        ValueError
            The mean does not exist for somebody: p x + q <= 1.
        """
        table = to_polars(frame)
        x, m = read_values(table)
        self.refuse_endless(x)
        by = 1e-4 * np.eye(3)
        slopes = [np.log(mean_order(self.at + h, x, m) / mean_order(self.at - h, x, m)) / 2e-4 for h in by]
        error = delta_error(np.column_stack(slopes), self.covariance)
        value = mean_order(self.at, x, m)
        factor = np.exp(np.minimum(z_of(self.level) * error, 300))
        kept = [name for name in ("customer_id", "repeat_orders", "mean_value") if name in table.columns]
        return table.select(kept).with_columns(
            expected_value=value, expected_value_low=value / factor, expected_value_high=value * factor
        )

    def refuse_endless(self, x: Floats) -> None:
        """Raise ValueError where a mean over the heavy upper tail of customers does not exist."""
        p, q, _ = np.exp(self.at)
        if (p * x + q <= 1).any():
            raise ValueError(
                f"q is {q:.3g}: the mean value of an order is infinite for customers with few repeat orders. Cap the "
                "largest orders before summarise_orders, or fit customers of a kind (wholesale, retail) apart."
            )


def mean_order(at: Floats, x: Floats, m: Floats) -> Floats:
    """E[p / nu] given x repeat orders of mean m, for the logs of p, q and gamma; Fader and Hardie, note 025, eq. 5."""
    p, q, gamma = np.exp(at)
    return np.asarray(p * (gamma + x * m) / np.maximum(p * x + q - 1, 1e-9))


def read_values(table: pl.DataFrame) -> tuple[Floats, Floats]:
    """Number and mean value of repeat orders; the mean is 0 where there is none."""
    if absent := [name for name in ("repeat_orders", "mean_value") if name not in table.columns]:
        raise ContractError(
            f"summary: no column {', '.join(map(repr, absent))}. It has: {', '.join(table.columns)}. Make it with "
            "survival.summarise_orders(..., value=...), without counts."
        )
    x = table["repeat_orders"].cast(pl.Float64).fill_null(np.nan).to_numpy()
    paid = table.select(pl.when(pl.col("repeat_orders") == 0).then(0.0).otherwise("mean_value").cast(pl.Float64))
    m = paid.to_series().fill_null(np.nan).to_numpy()
    if bad := int((~np.isfinite(x) | ~np.isfinite(m) | (x < 0) | (m < 0)).sum()):
        raise ContractError(
            f"summary: in {bad:,} rows repeat_orders or mean_value is null, negative or not finite; mend or drop them."
        )
    return x, m


def fit_spend(summary: Any, *, level: float = 0.95, max_correlation: float = 0.3) -> SpendFit:
    """How do the values of orders vary, within a customer and between customers? Fits the Gamma-Gamma model.

    Parameters
    ----------
    summary
        As from `summarise_orders`: repeat_orders, mean_value. Customers without repeat orders are left out.
    level
        Coverage of the intervals.
    max_correlation
        The model holds that who orders often spends neither more nor less per order. It is refused where the rank
        correlation of the two lies farther than this, with its whole interval, from what it would be under the fitted
        model; a warning is given beyond 0.1.

    Returns
    -------
    SpendFit

    Raises
    ------
    ContractError
        Columns are missing or hold values that no customer can have; repeat orders with nothing paid.
    ValueError
        Fewer than 10 customers ordered again, all mean values are equal, or value depends on the number of orders.

    References
    ----------
    Fader and Hardie (2013), The Gamma-Gamma model of monetary value, brucehardie.com/notes/025, eq. 1a and 5.
    Interval of a rank correlation: Fieller, Hartley and Pearson (1957), Biometrika 44, 470-481.

    Examples
    --------
    >>> rng = np.random.default_rng(1)
    >>> orders = rng.poisson(2, 500) + 1
    >>> values = rng.gamma(6 * orders) / orders / rng.gamma(4, 1 / 15, 500)
    >>> fit = fit_spend(pl.DataFrame({"repeat_orders": orders, "mean_value": values}))
    >>> fit.expected_value(pl.DataFrame({"repeat_orders": [0, 9], "mean_value": [None, 50.0]})).select(
    ...     pl.col("expected_value").round()).to_series().to_list()
    [29.0, 49.0]
    """
    check_level(level)
    check_number("max_correlation", max_correlation)
    x, m = read_values(to_polars(summary))
    x, m = x[x > 0], m[x > 0]
    if free := int((m <= 0).sum()):
        raise ContractError(
            f"summary: mean_value is 0 for {free:,} customers with repeat orders, and the model knows no free orders. "
            "Leave them out: summary.filter(pl.col('mean_value') > 0)."
        )
    if len(x) < 10:
        raise ValueError(f"summary: {len(x)} customers have repeat orders; values need at least 10.")
    if np.ptp(m) <= 1e-12 * m.max():
        raise ValueError(f"summary: mean_value is {m[0]:g} for all customers, so there is no spread to fit.")
    starts = [np.log([p, q, m.mean() * (q - 1) / p]) for p, q in ((2.0, 3.0), (6.0, 4.0), (1.0, 10.0))]
    found = climb(_objective(x, m), starts, len(x), "fit_spend")
    (correlation, low, high), expected = _correlation(x, m, level), _expected_correlation(found.at, x)
    _judge(correlation, low, high, expected, max_correlation)
    return SpendFit(
        table=parameter_table(found, _NAMES, 3, level),
        model="gamma_gamma",
        log_likelihood=found.log_likelihood,
        n=len(x),
        level=level,
        correlation=correlation,
        correlation_low=low,
        correlation_high=high,
        correlation_expected=expected,
        at=found.at,
        covariance=found.covariance(),
    )


def _objective(x: Floats, m: Floats) -> Callable[[Floats], tuple[float, Floats]]:
    """Log-likelihood of the mean values per customer and its slopes; gamma functions once per number of orders."""
    counts, place = np.unique(x, return_inverse=True)
    share = np.bincount(place) / len(x)
    log_m, log_x = np.log(m), np.log(counts)
    mean_log_m = np.bincount(place, weights=log_m) / len(x)

    def objective(at: Floats) -> tuple[float, Floats]:
        p, q, gamma = np.exp(at)
        px = p * counts
        total = gamma + x * m
        logs = np.bincount(place, weights=np.log(total)) / len(x)  # sums over customers by number of orders
        each = gammaln(px + q) - gammaln(px) - gammaln(q) + q * at[2] + px * log_x
        value = share @ each + (px - 1) @ mean_log_m - (px + q) @ logs
        of_p = share @ (counts * (psi(px + q) - psi(px) + log_x)) + counts @ mean_log_m - counts @ logs
        of_q = share @ psi(px + q) - psi(q) + at[2] - logs.sum()
        of_gamma = q / gamma - (px + q) @ np.bincount(place, weights=1 / total) / len(x)
        return float(value), np.array([p * of_p, q * of_q, gamma * of_gamma])

    return objective


def _correlation(x: Floats, m: Floats, level: float) -> tuple[float, float, float]:
    """Spearman's correlation with its interval on Fisher's scale, variance 1.06 / (n - 3); 0 if counts are equal."""
    if np.ptp(x) == 0:
        return 0.0, -1.0, 1.0
    rank = float(np.clip(spearmanr(x, m).statistic, -1, 1))
    middle, reach = np.arctanh(rank * (1 - 1e-12)), z_of(level) * np.sqrt(1.06 / (len(x) - 3))
    return rank, float(np.tanh(middle - reach)), float(np.tanh(middle + reach))


def _expected_correlation(at: Floats, x: Floats) -> float:
    """Spearman's correlation if values are drawn by the model, for these numbers of orders, repeated to many."""
    if np.ptp(x) == 0:
        return 0.0
    rng, many = np.random.default_rng(_SEED), np.resize(x, max(len(x), _DRAWS))
    p, q, _ = np.exp(at)
    drawn = rng.gamma(p * many) / many / np.maximum(rng.gamma(q, size=len(many)), 1e-300)
    return float(spearmanr(many, drawn).statistic)


def _judge(correlation: float, low: float, high: float, expected: float, most: float) -> None:
    surely = max(low - expected, expected - high)  # the end of the interval nearer to it; below 0 if it holds it
    told = f"the rank correlation of repeat_orders and mean_value is {correlation:.2f} ({low:.2f} to {high:.2f})"
    told += f", and would be {expected:.2f} were they independent"
    if surely > most:
        raise ValueError(
            f"summary: {told}: farther than max_correlation={most:g}. Value depends on the number of orders, which the "
            "Gamma-Gamma model does not allow. Fit groups of customers apart, or forecast value otherwise."
        )
    if surely > _NOTEWORTHY:
        warnings.warn(f"fit_spend: {told}; the model takes them for independent.", UserWarning, stacklevel=3)
