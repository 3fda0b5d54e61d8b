"""How long contracts last: survivors per period -> a fitted cohort curve, its fan and its check.

In: survivors of a contract (subscription, membership) per period, of one cohort or of several. Out: `fit_cohorts` ->
`CohortFit` with `.survival`, `.retention` and `.check`.

Each customer leaves after a period with an own probability, beta-distributed over customers: sBG (Fader and Hardie
2007). BdW lets it change with tenure, S(t) = B(a, b + t^c) / B(a, b) (Fader, Hardie et al. 2018); sBG is c = 1.
S telescopes, so all cohorts reduce to two counts per period, at risk and lost: a binomial likelihood of the
hazards 1 - S(t) / S(t-1), whatever the ages at which cohorts are censored.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt
import polars as pl
from scipy import optimize, special, stats

from shoptoolkit.contract import ContractError, to_polars
from shoptoolkit.contract.arrays import Floats
from shoptoolkit.contract.check import check_level, check_number, choose
from shoptoolkit.contract.estimates import delta_error, z_of
from shoptoolkit.contract.show import html_table
from shoptoolkit.survival.cohorts import Cohorts

_PARAMETERS = {"sbg": ("alpha", "beta"), "bdw": ("alpha", "beta", "c")}
_BOUNDS = ((-12.0, 12.0), (-12.0, 12.0), (-3.0, 3.0))  # of the logarithms
_STARTS = ((0.0, 0.0), (-1.0, 1.0), (1.0, 3.0), (4.0, 6.0))
_NO_SURVIVORS = (
    "Customers who ordered in a period, as survival.cohorts counts them, are no survivors of a contract: they may "
    "come back. Fit their orders with survival.fit_orders."
)


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class CohortFit:
    """Who stays under contract, as a fitted law. Draw its fan with `figures.cohort_forecast`.

    `table`: parameter, estimate, standard_error, low, high (on the log scale; null where the likelihood is flat:
    customers too alike to tell the parameters apart, their forecasts remain). `observed`: period_number, n_at_risk,
    n_lost, share (kept since the start), over all cohorts. `sbg_p_value`: of the likelihood ratio of sBG within BdW
    (c = 1), null for sBG.
    """

    table: pl.DataFrame
    observed: pl.DataFrame
    model: str
    log_likelihood: float
    sbg_p_value: float | None
    level: float
    n: int
    names: dict[str, Any] = field(repr=False)  # the column options, for `check`
    covariance: Floats = field(repr=False)  # of the logarithms of the parameters

    def survival(self, periods: int | Sequence[int], *, n_customers: int | None = None) -> pl.DataFrame:
        """What share is still a customer after each period?

        Columns: period_number, share, low, high (uncertainty of the parameters only), observed_low, observed_high
        (where the share of a cohort of `n_customers` falls: binomial noise too; by default as many as were fitted).
        """
        wanted = _periods(periods)
        return self._fan(wanted, np.zeros_like(wanted), n_customers or self.n)

    def retention(self, periods: int | Sequence[int], *, n_customers: int | None = None) -> pl.DataFrame:
        """Of those who began each period (1, 2 ...), what share stays? Columns as of `survival`.

        `n_customers`: so many begin the period.
        """
        wanted = _periods(periods)
        if (wanted < 1).any():
            raise ValueError(f"periods is {periods}; retention is told of periods >= 1.")
        return self._fan(wanted, wanted - 1, n_customers or self.n)

    def check(self, holdout: Any) -> pl.DataFrame:
        """Expected against observed survivors of periods (or cohorts) that the fit has not seen.

        `holdout` has the columns of the fitted table. The first period of each cohort in it is taken as known: give the
        last fitted period and those after it, or a new cohort from period 0. Returns cohort, period_number, expected,
        low, high (parameters and binomial noise together, pointwise), observed.
        """
        told = []
        for name, periods, counts in _survivors(holdout, **self.names, whole=False):
            fan = self._fan(periods, np.full_like(periods, periods[0]), counts[0])[1:]
            shares = {"expected": "share", "low": "observed_low", "high": "observed_high"}
            expected = [(pl.col(share) * counts[0]).alias(ours) for ours, share in shares.items()]
            cohort = pl.lit(name, dtype=pl.String).alias("cohort")
            told.append(fan.select(cohort, "period_number", *expected, observed=pl.Series(counts[1:])))
        return pl.concat(told)

    def _fan(self, periods: Floats, since: Floats, n: float) -> pl.DataFrame:
        """S(t) / S(s) with bounds on the logit scale: delta method, and 1 / (n p (1 - p)) for the binomial."""
        check_number("n_customers", n)
        theta = np.log(self.table["estimate"].to_numpy())
        (end, slope_end), (begin, slope_begin) = _log_survival(theta, periods), _log_survival(theta, since)
        share, lost = np.exp(end - begin), np.maximum(-np.expm1(end - begin), 1e-300)
        slope = (slope_end - slope_begin) / lost[:, None]  # of the logit
        variance = delta_error(slope, self.covariance) ** 2
        reach = z_of(self.level)
        columns = {"period_number": periods.astype(int), "share": share}
        for name, spread in (("", variance), ("observed_", variance + 1 / np.maximum(n * share * lost, 1e-300))):
            for side, sign in (("low", -1), ("high", 1)):
                bound = special.expit(special.logit(share) + sign * reach * np.sqrt(spread))
                columns[name + side] = np.where(periods == since, 1.0, bound)
        return pl.DataFrame(columns)

    def __repr__(self) -> str:
        nested = "" if self.sbg_p_value is None else f"; sBG (c = 1) against it: p = {self.sbg_p_value:.2g}"
        told = f"log-likelihood {self.log_likelihood:,.2f}{nested}"
        return f"CohortFit ({self.model}) of {self.n:,} customers, {told}\n{self.table}"

    def _repr_html_(self) -> str:
        note = f"{self.n:,} customers, log-likelihood {self.log_likelihood:,.2f}, {100 * self.level:g} % intervals"
        return html_table(self.table, title=f"Contracts kept: {self.model}", note=note)


def fit_cohorts(
    table: Any,
    *,
    model: str = "sbg",
    level: float = 0.95,
    size: float | str | None = None,
    cohort: str = "cohort",
    period: str = "period_number",
    survivors: str = "n_active",
) -> CohortFit:
    """How long do customers under contract stay, and how many will be left in later periods?

    Parameters
    ----------
    table
        One row per cohort and period: `cohort` (may be missing: one cohort), `period` (0 = the start, then every period
        up to the cohort's age; ages may differ), `survivors` (customers still under contract at its end).
    model
        "sbg" (each customer's chance to leave is constant) or "bdw" (it changes with tenure by an exponent c).
    level
        Coverage of all intervals.
    size
        Where `survivors` are shares (0 to 1): the customers behind them, a number or a column.

    Returns
    -------
    CohortFit
        Parameters with Wald intervals on the log scale. All cohorts share them; fit cohorts apart to compare them.

    Raises
    ------
    ContractError
        A column is missing, a period is missing or twice, survivors rise (orders are no contract), are below 0 or all
        kept or all lost, or fewer periods than parameters.
    ValueError
        `model` or `level` is none that can be used.

    References
    ----------
    Fader and Hardie (2007), J. Interactive Marketing 21(1), 76-90; Fader, Hardie, Liu, Davin and Steenburgh (2018), J.
    Interactive Marketing 43, 1-16.

    Examples
    --------
    >>> import polars as pl
    >>> years = pl.DataFrame({"period_number": range(8), "n_active": [1000, 631, 468, 382, 326, 289, 262, 241]})
    >>> fit = fit_cohorts(years)
    >>> fit.table.select("parameter", pl.col("estimate").round(3)).rows()
    [('alpha', 0.704), ('beta', 1.182)]
    >>> fit.survival(12)["share"].round(3).item()
    0.17
    """
    check_level(level)
    choose("model", model, _PARAMETERS)
    if isinstance(table, Cohorts):
        raise ContractError(f"table is the result of survival.cohorts. {_NO_SURVIVORS}")
    names: dict[str, Any] = {"size": size, "cohort": cohort, "period": period, "survivors": survivors}
    curves = list(_survivors(table, **names))
    at_risk, lost = _pooled([counts for _, _, counts in curves])
    _refuse_hopeless(at_risk, lost, model)
    theta, log_likelihood = _fit(at_risk, lost, len(_PARAMETERS["sbg"]), _STARTS)
    p_value = None
    if model == "bdw":
        simple = log_likelihood
        starts = [(*theta, log_c) for log_c in (0.0, -0.5, 0.5)] + [(*start, 0.3) for start in _STARTS]
        theta, log_likelihood = _fit(at_risk, lost, 3, starts)
        p_value = float(stats.chi2.sf(max(0.0, 2 * (log_likelihood - simple)), 1))
    covariance, known = _covariance(theta, at_risk)
    return CohortFit(
        table=_table(_PARAMETERS[model], theta, np.where(known, np.diag(covariance), np.nan), level),
        observed=_observed(at_risk, lost),
        model=model,
        log_likelihood=log_likelihood,
        sbg_p_value=p_value,
        level=level,
        n=round(sum(counts[0] for _, _, counts in curves)),
        names=names,
        covariance=covariance,
    )


def _periods(periods: int | Sequence[int]) -> Floats:
    wanted = np.atleast_1d(np.asarray(periods, dtype=float))
    if not (wanted >= 0).all() or (wanted % 1 != 0).any():
        raise ValueError(f"periods is {periods}; periods are whole numbers >= 0.")
    return wanted


def _survivors(
    table: Any, *, size: float | str | None, cohort: str, period: str, survivors: str, whole: bool = True
) -> list[tuple[str, Floats, Floats]]:
    """(cohort, periods, survivors) of each cohort, checked; `whole`: from period 0 on."""
    frame = to_polars(table)
    needed = [period, survivors, *([size] if isinstance(size, str) else []), *([cohort] if cohort != "cohort" else [])]
    if absent := [name for name in needed if name not in frame.columns]:
        hint = f" {_NO_SURVIVORS}" if "n_returned" in frame.columns else ""
        raise ContractError(
            f"table: no column {', '.join(map(repr, absent))}. It has: {', '.join(frame.columns)}.{hint}"
        )
    base = pl.lit(1.0 if size is None else size) if not isinstance(size, str) else pl.col(size)
    name = pl.col(cohort).cast(pl.String) if cohort in frame.columns else pl.lit("all")
    rows = frame.select(
        name=name, period=pl.col(period).cast(pl.Float64), given=pl.col(survivors).cast(pl.Float64), base=base
    ).sort("name", "period")
    given = pl.col("given")
    if size is None:  # counts of customers; published percentages, times their base, come within a rounding error
        allowed, what = (
            (given >= 0) & ((given - given.round()).abs() < 1e-6),
            "a whole number >= 0 (of shares say size=)",
        )
    else:
        allowed, what = given.is_between(0, 1), "a share from 0 to 1, as size= says (percent: divide by 100)"
    if rows.is_empty() or rows.null_count().sum_horizontal()[0] or not rows.select(allowed.all()).item():
        raise ContractError(f"table: {survivors!r} must be {what}, in every row, with its period.")
    counts = rows.with_columns(counts=given * pl.col("base"))
    parts = counts.partition_by("name", maintain_order=True)
    return [_one(part, period=period, survivors=survivors, whole=whole) for part in parts]


def _one(part: pl.DataFrame, *, period: str, survivors: str, whole: bool) -> tuple[str, Floats, Floats]:
    name, periods, counts = part["name"][0], part["period"].to_numpy(), part["counts"].to_numpy()
    if (whole and periods[0] != 0) or (np.diff(periods) != 1).any() or len(periods) < 2:
        wanted = "0, 1, 2 ..." if whole else "a known one, then those after it, without a gap"
        raise ContractError(
            f"table: cohort {name!r} has periods {', '.join(f'{one:g}' for one in periods)} in {period!r}; it needs "
            f"{wanted}."
        )
    if (rise := np.diff(counts) > 1e-9).any():
        raise ContractError(
            f"table: {survivors!r} of cohort {name!r} rises in period {periods[1:][rise][0]:g}; survivors never do. "
            f"{_NO_SURVIVORS}"
        )
    return name, periods, counts


def _pooled(curves: Sequence[Floats]) -> tuple[Floats, Floats]:
    """Customers at risk and lost in period 1, 2 ... over all cohorts."""
    at_risk, lost = np.zeros((2, max(map(len, curves)) - 1))
    for counts in curves:
        at_risk[: len(counts) - 1] += counts[:-1]
        lost[: len(counts) - 1] -= np.diff(counts)
    return at_risk, lost


def _refuse_hopeless(at_risk: Floats, lost: Floats, model: str) -> None:
    if not lost.sum() > 0:
        raise ContractError("table: nobody was lost in any period, so no law of leaving can be fitted.")
    if lost.sum() >= at_risk.sum():
        raise ContractError("table: everybody was lost in the first period, so there is nothing left to forecast.")
    if (told := int((at_risk > 0).sum())) < (needed := len(_PARAMETERS[model])):
        raise ContractError(f"table: {told} period(s) with customers after period 0; {model} needs at least {needed}.")


def _log_survival(theta: Floats, periods: Floats) -> tuple[Floats, Floats]:
    """log S(t) and its slopes with respect to the logarithms of the parameters."""
    a, b = np.exp(theta[:2])
    c = np.exp(theta[2]) if len(theta) > 2 else 1.0
    power = periods**c
    x = b + power
    inner = special.digamma(x) - special.digamma(a + x)
    slopes = [
        a * (special.digamma(a + b) - special.digamma(a + x)),
        b * (inner - special.digamma(b) + special.digamma(a + b)),
    ]
    if len(theta) > 2:
        slopes.append(c * inner * power * np.log(np.maximum(periods, 1)))
    return special.betaln(a, x) - special.betaln(a, b), np.stack(slopes, axis=1)


def _hazard(theta: Floats, n: int) -> tuple[Floats, Floats, Floats]:
    """log of the hazard, log of its complement, and the slopes of the latter, for periods 1 to n."""
    survival, slopes = _log_survival(theta, np.arange(n + 1.0))
    kept = np.minimum(np.diff(survival), -1e-300)
    return np.log(-np.expm1(kept)), kept, np.diff(slopes, axis=0)


def _fit(at_risk: Floats, lost: Floats, n_parameters: int, starts: Sequence[tuple[float, ...]]) -> tuple[Floats, float]:
    """The best of several starts, by L-BFGS-B with the exact gradient, then Fisher scoring to the last digits."""

    def loss(theta: Floats) -> tuple[float, Floats]:
        gone, kept, slopes = _hazard(theta, len(lost))
        odds = np.exp(kept - gone)  # the slope of log h is -(1 - h) / h times that of log (1 - h)
        stays = at_risk - lost
        return -float(lost @ gone + stays @ kept), -slopes.T @ (stays - lost * odds)

    best = min((_descend(loss, start, n_parameters) for start in starts), key=lambda end: loss(end)[0])
    for _ in range(20):
        value, slope = loss(best)
        step = best - np.linalg.pinv(_information(best, at_risk), rcond=1e-9) @ slope
        if not loss(step)[0] < value or any(not low <= one <= high for one, (low, high) in zip(step, _BOUNDS)):
            break
        best = step
    return best, -loss(best)[0]


def _descend(loss: Any, start: Sequence[float], n: int) -> Floats:
    options = {"maxiter": 1_000, "ftol": 1e-14, "gtol": 1e-9}
    return optimize.minimize(loss, start, jac=True, method="L-BFGS-B", bounds=_BOUNDS[:n], options=options).x


def _information(theta: Floats, at_risk: Floats) -> Floats:
    """Fisher's information given who was at risk: sum of n h' h'^T / (h (1 - h)), h' = -(1 - h) times the slope."""
    gone, kept, slopes = _hazard(theta, len(at_risk))
    return (slopes * (at_risk * np.exp(kept - gone))[:, None]).T @ slopes


def _covariance(theta: Floats, at_risk: Floats) -> tuple[Floats, npt.NDArray[np.bool_]]:
    """Inverse information, without its flat directions; and which parameters it tells."""
    values, vectors = np.linalg.eigh(_information(theta, at_risk))
    steep = values > 1e-9 * values.max()
    inverse = (vectors[:, steep] / values[steep]) @ vectors[:, steep].T
    inside = [low + 0.01 < one < high - 0.01 for one, (low, high) in zip(theta, _BOUNDS)]
    return inverse, np.array(inside) & steep.all()


def _observed(at_risk: Floats, lost: Floats) -> pl.DataFrame:
    kept = np.cumprod(1 - lost / np.maximum(at_risk, 1e-300))  # the product limit, for cohorts of several ages
    periods = np.arange(1, len(lost) + 1)
    return pl.DataFrame({"period_number": periods, "n_at_risk": at_risk, "n_lost": lost, "share": kept})


def _table(names: Sequence[str], theta: Floats, variance: Floats, level: float) -> pl.DataFrame:
    error, z = np.sqrt(variance), z_of(level)
    return pl.DataFrame(
        {
            "parameter": names,
            "estimate": np.exp(theta),
            "standard_error": np.exp(theta) * error,
            "low": np.exp(theta - z * error),
            "high": np.exp(theta + z * error),
        }
    ).fill_nan(None)
