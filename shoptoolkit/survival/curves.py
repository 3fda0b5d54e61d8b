"""How many have not bought again by each day: the Kaplan-Meier curve, from spells or from counts.

In: Spells. Out: `kaplan_meier` -> `SurvivalCurve`. `Curve` and `read_at` serve the other curves of the room too.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from statistics import NormalDist
from typing import Any

import numpy as np
import polars as pl

from shoptoolkit.contract.arrays import Floats
from shoptoolkit.contract.check import check_level, choose, days_asked
from shoptoolkit.contract.estimates import z_of
from shoptoolkit.contract.show import html_table
from shoptoolkit.survival.bands import Moves, band_days, equal_precision, highest
from shoptoolkit.survival.risk import RiskTable, refuse_early_end, risk_tables, spell_names
from shoptoolkit.survival.spells import at_the_door


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class SurvivalCurve:
    """Share of customers who have not bought again, day by day. Draw it with `figures.survival_curve`.

    `table`: group, duration_days, n_at_risk, n_observed, n_censored, survival, standard_error, survival_low,
    survival_high, band_low, band_high. `estimand` says of what: customers (one index spell each) or spells; with late
    entries only, of those who had waited that long.
    """

    table: pl.DataFrame
    level: float
    estimand: str
    n: int

    def at(self, days: float | Sequence[float]) -> pl.DataFrame:
        """The curve on given days: group, duration_days, n_at_risk, survival, standard_error and the two bounds.

        Null beyond a group's follow-up: what was not observed is not told. `n_at_risk`: on that day, or on the next one
        on which a spell ended.
        """
        return read_at(self.table, days, ["survival", "standard_error", "survival_low", "survival_high"])

    def quantile(self, q: float | Sequence[float] = 0.5) -> pl.DataFrame:
        """By when a share `q` has bought again: group, quantile, days, low, high (null: not reached in the follow-up).

        The interval inverts the pointwise bounds (Brookmeyer and Crowley 1982, Biometrics 38, 29-41).
        """
        wanted = np.atleast_1d(np.asarray(q, dtype=float))
        if not ((wanted > 0) & (wanted < 1)).all():
            raise ValueError(f"q is {q}; a share who bought again lies between 0 and 1, e.g. 0.5.")
        sources = {"days": "survival", "low": "survival_low", "high": "survival_high"}
        day = pl.col("duration_days")
        told = [
            self.table.group_by("group", maintain_order=True).agg(
                pl.lit(share).alias("quantile"),
                *[day.filter(pl.col(of) <= 1 - share + 1e-12).min().alias(name) for name, of in sources.items()],
            )
            for share in wanted
        ]
        return pl.concat(told).sort("group", maintain_order=True)

    def median(self) -> pl.DataFrame:
        """By when half have bought again: group, median_days, median_low, median_high (null: never reached)."""
        names = {"days": "median_days", "low": "median_low", "high": "median_high"}
        return self.quantile(0.5).drop("quantile").rename(names)

    def __repr__(self) -> str:
        return f"SurvivalCurve of {self.n:,} {self.estimand}\n{self.table}"

    def _repr_html_(self) -> str:
        note = f"share of {self.estimand} not yet back, {100 * self.level:g} % interval, n = {self.n:,}"
        shown = self.at(milestones(self.table)).drop("standard_error")
        return html_table(shown, title="Survival curve", note=note)


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Curve:
    """An estimate day by day, with a pointwise interval and a simultaneous band; see `figures.cumulative_orders`.

    `table`: group, duration_days, estimate, standard_error, low, high, band_low, band_high. `estimand` says of what.
    """

    table: pl.DataFrame
    level: float
    estimand: str
    n: int

    def at(self, days: float | Sequence[float]) -> pl.DataFrame:
        """The curve on given days; null beyond a group's follow-up."""
        return read_at(self.table, days, ["estimate", "standard_error", "low", "high", "band_low", "band_high"])

    def __repr__(self) -> str:
        return f"{self.estimand}, n = {self.n:,}\n{self.table}"

    def _repr_html_(self) -> str:
        note = f"{self.estimand}, {100 * self.level:g} % interval, n = {self.n:,}"
        shown = self.at(milestones(self.table)).drop("standard_error")
        return html_table(shown, title=self.estimand.capitalize(), note=note)


def kaplan_meier(
    spells: Any,
    *,
    by: str | None = None,
    level: float = 0.95,
    interval: str = "log-log",
    cluster: str | None = None,
    id: str = "customer_id",
    duration: str = "duration_days",
    repurchased: str = "repurchased",
    entry: str = "entry_days",
    weight: str = "weight",
) -> SurvivalCurve:
    """What share of customers has not bought again by each day?

    Parameters
    ----------
    spells
        Spells, one per customer: `id`, `duration` (days, > 0), `repurchased` (bool; False = censored) and, where
        present, `entry` (days already waited when the customer came under observation: left truncation) and `weight`
        (a frequency: the row stands for that many customers; then `id` may be missing). Customers censored on a day
        count as at risk on it.
    by
        Column to split by; each group gets its own curve.
    level
        Coverage of the pointwise interval, and of the band.
    interval
        "log-log" (stays within 0 and 1, best in small groups) or "plain".
    cluster
        Column (usually the id) whose spells depend on each other. The answer is then per spell, its errors robust.

    Returns
    -------
    SurvivalCurve
        One row per group and observed duration, from day 0. Before the first repurchase the interval has no width.
        Where the last customers at risk came back, survival is 0, its error null and the upper bound that of the day
        before times the exact bound for none of so many. The band holds the whole curve at once, from the first to the
        last day on which the estimate is worth ten independent returns (the error of log(-log S) is at most 1/sqrt(10))
        with ten spells at risk; it is null outside. It is the interval with a larger critical value (equal precision).

    Raises
    ------
    ContractError
        Columns missing or mistyped, spells that break the contract, a customer with several spells and no `cluster`, no
        repurchase at all, or a risk set that runs empty early under left truncation.

    References
    ----------
    Kaplan and Meier (1958), JASA 53, 457-481; Greenwood (1926); interval: Kalbfleisch and Prentice (2002), section 1.4.
    Robust error: the infinitesimal jackknife summed within clusters; equal to Greenwood's for one spell per cluster and
    no late entries. Band: Nair (1984), Technometrics 26, 265-275; with clusters its critical value is integrated over
    the covariance of the clusters' influences.

    Examples
    --------
    >>> import polars as pl
    >>> spells = pl.DataFrame({"customer_id": [1, 2, 3, 4], "duration_days": [10, 20, 20, 30],
    ...                        "repurchased": [True, True, False, False]})
    >>> kaplan_meier(spells).at([10, 20]).select("duration_days", "survival").rows()
    [(10.0, 0.75), (20.0, 0.5)]
    """
    check_level(level)
    choose("interval", interval, ("log-log", "plain"))
    names = spell_names(id=id, duration=duration, repurchased=repurchased, entry=entry, weight=weight)
    table = at_the_door(spells, by=by, cluster=cluster, names=names)
    risks = list(risk_tables(table))
    refuse_early_end(risks)
    parts = [_curve(risk, level=level, interval=interval) for risk in risks]
    since = min(risk.watched_from for risk in risks)
    waited = f" who had waited {since:g} days" if since > 0 else ""
    estimand = ("customers" if cluster is None else "spells") + waited
    n = int(table["weight"].sum()) if "weight" in table.columns else len(table)
    return SurvivalCurve(table=pl.concat(parts), level=level, estimand=estimand, n=n)


def _curve(risk: RiskTable, *, level: float, interval: str) -> pl.DataFrame:
    survival = risk.survival
    variance, moves = _variance_log(risk)
    error_log = np.sqrt(variance)  # of log S
    z = z_of(level)
    low, high = interval_of(survival, error_log, z=z, interval=interval)
    band_low, band_high = _band(risk, survival, error_log, moves, level=level, interval=interval)
    is_over = survival == 0
    if is_over[-1] and len(high) > 1:
        high[-1] = high[-2] * _zero_of(risk, z)
    table = pl.DataFrame(
        {
            "duration_days": risk.days,
            "n_at_risk": risk.at_risk,
            "n_observed": risk.observed,
            "n_censored": risk.censored,
            "survival": survival,
            "standard_error": np.where(is_over, np.nan, survival * error_log),
            "survival_low": np.where(is_over, 0.0, low),
            "survival_high": high,
            "band_low": band_low,
            "band_high": band_high,
        }
    )
    return table.select(pl.lit(risk.group).alias("group"), pl.all().fill_nan(None))


def _band(
    risk: RiskTable, survival: Floats, error_log: Floats, moves: Moves | None, *, level: float, interval: str
) -> tuple[Floats, Floats]:
    """The interval again with the critical value of the band; nan outside the days that can carry one."""
    with np.errstate(divide="ignore", invalid="ignore"):
        days = band_days(risk, np.where(survival > 0, error_log / -np.log(survival), np.nan))
    low, high = np.full((2, len(survival)), np.nan)
    if len(days):
        if moves is None:
            critical = equal_precision((error_log[days[-1]] / error_log[days[0]]) ** 2, level)
        else:
            critical = highest(days, moves.total, moves.covariance, level)
        low[days], high[days] = interval_of(survival[days], error_log[days], z=critical, interval=interval)
    return low, high


def _zero_of(risk: RiskTable, z: float) -> float:
    """Upper bound of the share left when none of the n at risk is (Clopper and Pearson 1934): Greenwood is mute."""
    if "cluster" in risk.spells.columns:  # n dependent spells are worth less than n
        return 1.0
    return float(1 - (1 - NormalDist().cdf(z)) ** (1 / risk.at_risk[-1]))


def interval_of(survival: Floats, error_log: Floats, *, z: float, interval: str) -> tuple[Floats, Floats]:
    """Bounds of a survival curve, z errors of its logarithm away."""
    if interval == "plain":
        reach = z * survival * error_log
        return np.clip(survival - reach, 0, 1), np.clip(survival + reach, 0, 1)
    with np.errstate(divide="ignore", invalid="ignore"):
        log_survival = np.log(survival)
        reach = z * error_log / log_survival  # negative: S < 1
        low = np.exp(-np.exp(np.log(-log_survival) - reach))
        high = np.exp(-np.exp(np.log(-log_survival) + reach))
    certain = survival == 1
    return np.where(certain, 1.0, low), np.where(certain, 1.0, high)


def _variance_log(risk: RiskTable) -> tuple[Floats, Moves | None]:
    """Variance of log S: Greenwood's, or with a cluster column the infinitesimal jackknife summed within clusters."""
    total = np.cumsum(risk.greenwood)
    if "cluster" not in risk.spells.columns:
        return total, None
    left = (risk.at_risk - risk.observed).astype(float)
    moves = Moves.of(risk, total=total, jump=np.divide(1.0, left, out=np.zeros(len(left)), where=left > 0))
    return moves.variance(), moves


def read_at(table: pl.DataFrame, days: float | Sequence[float], columns: list[str]) -> pl.DataFrame:
    """Right-continuous step functions read at given days, null beyond the last duration unless all came back.

    `table` holds one function per group and, where present, cause. Where it has `n_at_risk`, that is told too.
    """
    wanted = days_asked(days)
    keys = [name for name in ("group", "cause") if name in table.columns]
    return pl.concat(_at(part, keys, wanted, columns) for part in table.partition_by(keys, maintain_order=True))


def _at(part: pl.DataFrame, keys: Sequence[str], days: Floats, columns: list[str]) -> pl.DataFrame:
    grid = part["duration_days"].to_numpy()
    place = np.searchsorted(grid, days, side="right") - 1
    is_known = days <= grid[-1]
    told = part[np.zeros(len(days), dtype=np.int64)].select(keys).with_columns(duration_days=pl.Series(days))
    if "n_at_risk" in part.columns:
        at_risk = part["n_at_risk"].to_numpy()[np.minimum(np.searchsorted(grid, days), len(grid) - 1)]
        told = told.with_columns(n_at_risk=pl.Series(np.where(is_known, at_risk, 0)))
    if "survival" in part.columns and part["survival"][-1] == 0:
        is_known[:] = True
    values = part.select(columns)[place]
    return told.hstack(values.select(pl.when(pl.lit(pl.Series(is_known))).then(pl.all())))


def milestones(table: pl.DataFrame) -> list[float]:
    """Round days within the follow-up, or the last ones seen."""
    days = table["duration_days"].unique().sort()
    return [float(day) for day in (7, 30, 60, 90, 180, 365) if day <= days[-1]] or days.tail(20).to_list()
