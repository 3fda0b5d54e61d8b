"""Before the experiment: would it see an effect, and how small an effect could it see?

In: a pilot (Outcomes, `Moments`, a row of Estimates), or a mean and standard deviation. Out: `power`, `minimum_effect`,
a frame with a row for each arm, number of customers and effect.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from numbers import Real
from typing import Any, NamedTuple

import numpy as np
import polars as pl

from shoptoolkit.contract import ContractError, EstimateTable
from shoptoolkit.contract.check import check_level, check_number, check_span, listed
from shoptoolkit.contract.estimates import critical_of
from shoptoolkit.contract.splits import check_shares
from shoptoolkit.incrementality.door import metrics_of
from shoptoolkit.incrementality.means import spread
from shoptoolkit.incrementality.moments import Moments, merged, moments

HALVES = {"treatment": 0.5, "control": 0.5}
_SCHEMA = {
    "metric": pl.String,
    "contrast": pl.String,
    "n": pl.Float64,
    "n_treated": pl.Float64,
    "n_control": pl.Float64,
    "effect": pl.Float64,
    "relative_effect": pl.Float64,
    "standard_error": pl.Float64,
    "power": pl.Float64,
    "level": pl.Float64,
}


@dataclass(frozen=True, slots=True, kw_only=True)
class _Pilot:
    """What is known of the metric: its mean, the variance of a unit's part in it, and how many customers a unit has.

    `telling`: units of equal size that tell as much as one, at most 1.
    """

    metric: str
    mean: float | None
    variance: float
    size: float = 1.0
    telling: float = 1.0


def power(
    pilot: Any = None,
    *,
    n: float | Sequence[float],
    effect: float | Sequence[float] | None = None,
    relative_effect: float | Sequence[float] | None = None,
    metric: str | Mapping[str, Any] | None = None,
    covariates: str | Iterable[str] = (),
    cluster: str | None = None,
    mean: float | None = None,
    deviation: float | None = None,
    cluster_size: float = 1.0,
    correlation: float = 0.0,
    shares: Mapping[str, float] = HALVES,
    control: str = "control",
    level: float = 0.95,
) -> pl.DataFrame:
    """How likely is an experiment to see an effect of this size?

    Parameters
    ----------
    pilot
        Outcomes of customers like those to come (in one arm or several, taken as one), their `Moments`, or one row of
        Estimates of a mean, such as that of `survival.restricted_mean`. None: `mean` and `deviation` are given.
    n
        Customers of all arms; or a list.
    effect, relative_effect
        The difference between the arms to be seen, in the unit of the metric or as a share of the pilot's mean; or a
        list. One of the two.
    metric, covariates, cluster
        As in `lift`, of a pilot with customers: one metric. Covariates leave the residual variance.
    mean, deviation
        Of the metric among customers, without a pilot; `mean` only for relative effects. With covariates that explain a
        share r2 of the variance the deviation is sqrt(1 - r2) as large.
    cluster_size, correlation
        Customers per cluster, where clusters are assigned, and the correlation of the metric among them; a pilot with
        `cluster=` knows both.
    shares
        {arm: share of the customers}, which add up to 1; each arm is compared with `control`.
    level
        Of the interval; an effect is seen when 0 lies outside.

    Returns
    -------
    pl.DataFrame
        A row for each arm, n and effect: metric, contrast, n, n_treated, n_control, effect, relative_effect (null
        where the mean is not known), standard_error, power, level.

    Notes
    -----
    By the noncentral law of Student, with equal variances in the arms and the degrees of freedom of Welch, of clusters
    if there are any. Where few customers buy, the law of means is not yet that of Student, and power is a guess.

    References
    ----------
    Chow, Shao, Wang and Lokhnygina (2017), Sample Size Calculations in Clinical Research, 3.2. Clusters: Donner
    and Klar (2000), Design and Analysis of Cluster Randomization Trials, chapter 5.

    Examples
    --------
    >>> power(mean=0.5, deviation=1, n=[5_000, 20_000], relative_effect=0.1)["power"].round(3).to_list()
    [0.424, 0.942]
    """
    check_level(level)
    known = _pilot(pilot, metric, covariates, cluster, mean, deviation, cluster_size, correlation)
    if (effect is None) == (relative_effect is None):
        raise ValueError("give effect or relative_effect, one of the two.")
    if relative_effect is not None and not known.mean:
        raise ValueError("relative_effect is a share of the mean, which is 0 or not known; give `mean`, or `effect`.")
    sought = _numbers("effect", effect) if effect is not None else _numbers("relative_effect", relative_effect)
    scale = 1.0 if known.mean is None or effect is not None else known.mean
    plans = _plans(known, n, shares, control, level)
    return pl.DataFrame(
        [plan.row(one * scale, plan.power(one * scale)) for plan in plans for one in sought], schema=_SCHEMA
    )


def minimum_effect(
    pilot: Any = None,
    *,
    n: float | Sequence[float],
    power: float = 0.8,
    metric: str | Mapping[str, Any] | None = None,
    covariates: str | Iterable[str] = (),
    cluster: str | None = None,
    mean: float | None = None,
    deviation: float | None = None,
    cluster_size: float = 1.0,
    correlation: float = 0.0,
    shares: Mapping[str, float] = HALVES,
    control: str = "control",
    level: float = 0.95,
) -> pl.DataFrame:
    """How large must an effect be for an experiment with `n` customers to see it with this power?

    As `power`, with the smallest such effect in each row.

    Examples
    --------
    >>> minimum_effect(mean=0.5, deviation=1, n=20_000)["relative_effect"].round(4).to_list()
    [0.0792]
    """
    from scipy.optimize import brentq

    check_level(level)
    known = _pilot(pilot, metric, covariates, cluster, mean, deviation, cluster_size, correlation)
    if not isinstance(power, float) or not 1 - level < power < 1:
        raise ValueError(
            f"power is {power!r}; it must lie between {1 - level:.3g}, that of no effect, and 1, e.g. 0.8."
        )
    rows = []
    for plan in _plans(known, n, shares, control, level):
        most = 1.0
        while plan.power(most * plan.error) < power:
            most *= 2
        least = brentq(lambda size, plan=plan: plan.power(size * plan.error) - power, 0, most, xtol=1e-12)
        rows.append(plan.row(least * plan.error, power))
    return pl.DataFrame(rows, schema=_SCHEMA)


class _Plan(NamedTuple):
    """One arm beside the control: how many customers in both, and what that tells."""

    known: _Pilot
    contrast: str
    n: float
    treated: float
    control: float
    level: float

    @property
    def error(self) -> float:
        """The standard error of the difference."""
        return math.sqrt(sum(self._parts))

    @property
    def degrees(self) -> float:
        """Welch and Satterthwaite."""
        told = [n / self.known.size * self.known.telling - 1 for n in (self.treated, self.control)]
        return sum(self._parts) ** 2 / sum(part**2 / one for part, one in zip(self._parts, told))

    @property
    def _parts(self) -> list[float]:
        return [self.known.variance * self.known.size / n for n in (self.treated, self.control)]

    def power(self, effect: float) -> float:
        """How likely the interval of a difference misses 0."""
        from scipy.special import nctdtr, ndtr

        far, reach = effect / self.error, critical_of(self.level, self.degrees)
        seen = 1 - nctdtr(self.degrees, far, reach) + nctdtr(self.degrees, far, -reach)
        return float(seen if np.isfinite(seen) else ndtr(far - reach) + ndtr(-far - reach))  # far out, many degrees

    def row(self, effect: float, power: float) -> dict[str, Any]:
        """What was asked, and the answer."""
        relative = effect / self.known.mean if self.known.mean else None
        told = {"metric": self.known.metric, "contrast": self.contrast, "n": self.n, "n_treated": self.treated}
        told |= {"n_control": self.control, "effect": effect, "relative_effect": relative, "power": power}
        return told | {"standard_error": self.error, "level": self.level}


def _pilot(
    pilot: Any,
    metric: str | Mapping[str, Any] | None,
    covariates: str | Iterable[str],
    cluster: str | None,
    mean: float | None,
    deviation: float | None,
    cluster_size: float,
    correlation: float,
) -> _Pilot:
    """What is known of the metric, from customers, from an estimate, or from numbers."""
    if (pilot is None) == (deviation is None):
        raise ValueError("give a pilot or the deviation of the metric, one of the two.")
    if pilot is not None and not isinstance(pilot, EstimateTable):
        if (mean, cluster_size, correlation) != (None, 1.0, 0.0):
            raise ValueError("mean, cluster_size and correlation are those of the pilot; leave them out, or the pilot.")
        return _of_customers(pilot, metric, listed(covariates, name="covariates"), cluster)
    if cluster is not None or not isinstance(covariates, Sequence) or len(covariates):
        raise ValueError("covariates and cluster are columns of a pilot with customers; pass one.")
    name = metric if isinstance(metric, str) else "metric"
    if pilot is not None:
        if len(pilot.table) != 1 or pilot.table["verdict"][0] != "ok":
            raise ContractError(f"the pilot has {len(pilot.table)} estimates; pass one that is not refused.")
        row = pilot.table.row(0, named=True)
        name, mean, deviation = row["metric"], row["estimate"], row["standard_error"] * math.sqrt(row["n"])
    deviation = math.nan if deviation is None else deviation
    if mean is not None and not np.isfinite(mean if isinstance(mean, Real) else np.nan):
        raise ValueError(f"mean is {mean!r}; it must be a finite number, or None.")
    check_span("deviation", deviation, example="1.5", unit="the metric")
    check_number("cluster_size", cluster_size, least=1)
    if not 0 <= correlation <= 1:
        raise ValueError(f"correlation is {correlation!r}; that of customers of a cluster lies between 0 and 1.")
    variance = deviation**2 * (1 + (cluster_size - 1) * correlation) / cluster_size
    return _Pilot(metric=name, mean=mean, variance=variance, size=cluster_size)


def _of_customers(
    pilot: Any, metric: str | Mapping[str, Any] | None, covariates: Sequence[str], cluster: str | None
) -> _Pilot:
    if metric is None or len(asked := metrics_of(metric)) != 1:
        raise ValueError(
            f"metric is {metric!r}; name one column of the pilot, or one ratio as {{name: (column, column)}}."
        )
    held = (
        pilot if isinstance(pilot, Moments) else moments(pilot, metrics=asked, covariates=covariates, cluster=cluster)
    )
    whole = merged(held.cells.values())
    ((name, parts),) = asked.items()
    top, bottom, base = held.weights(*parts)
    mean, variance = spread(whole, top, bottom, held.places(covariates))
    if not variance > 0:
        raise ContractError(f"the pilot has no variance in {name!r}; nothing can be planned from it.")
    telling = whole.effective / whole.n
    return _Pilot(metric=name, mean=mean + base, variance=variance, size=whole.mean[0], telling=telling)


def _plans(
    known: _Pilot, n: float | Sequence[float], shares: Mapping[str, float], control: str, level: float
) -> list[_Plan]:
    check_shares(shares)
    if control not in shares or len(shares) < 2:
        raise ValueError(f"control is {control!r}; it must be one of two or more arms in shares, {dict(shares)}.")
    plans = [
        _Plan(known, f"{arm} - {control}", total, total * share, total * shares[control], level)
        for arm, share in shares.items()
        if arm != control
        for total in _numbers("n", n)
    ]
    for plan in plans:
        least = min(plan.treated, plan.control) / known.size * known.telling
        if least < 2:
            raise ValueError(f"n is {plan.n:g}, which leaves {least:.3g} units in an arm; at least 2 are needed.")
    return plans


def _numbers(name: str, given: Any) -> list[float]:
    found = np.atleast_1d(np.asarray(given))
    if found.dtype.kind not in "iuf" or not len(found) or not np.isfinite(found).all():
        raise ValueError(f"{name} is {given!r}; give a finite number, or a list of them.")
    return [float(one) for one in found]
