"""How many days until the next order, counting at most a horizon: restricted means, their differences and ratios.

In: Spells. Out: `restricted_mean`, `restricted_mean_difference` (adjusted for covariates, if given) and
`restricted_mean_ratio` -> EstimateTable, with the estimator's own variance.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import polars as pl

from shoptoolkit.contract import ContractError, EstimateTable, estimate_row, refused_row
from shoptoolkit.contract.arrays import Floats
from shoptoolkit.contract.check import check_level, check_span, listed
from shoptoolkit.survival.risk import RiskTable, refuse_early_end, risk_tables, spell_names
from shoptoolkit.survival.spells import at_the_door, refuse_outcomes

_LEAST = 10  # customers of a group, below which no interval is told
_METRIC = {"metric": "days_to_next_order", "method": "kaplan_meier", "measure": "days"}


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class _Mean:
    """One group's restricted mean. `influence`: each spell's part in it (cluster, influence), if clusters are given."""

    group: str
    n: int
    estimate: float = np.nan
    variance: float = np.nan
    influence: pl.DataFrame | None = None
    reason: str | None = None


def restricted_mean(
    spells: Any,
    *,
    horizon_days: float,
    by: str | None = None,
    level: float = 0.95,
    cluster: str | None = None,
    id: str = "customer_id",
    duration: str = "duration_days",
    repurchased: str = "repurchased",
    entry: str = "entry_days",
    weight: str = "weight",
) -> EstimateTable:
    """How many days until the next order, if we count at most `horizon_days`?

    The area under the survival curve up to the horizon: a customer who is not back by then counts as `horizon_days`.
    Smaller is sooner. Unlike a hazard ratio it needs no proportionality, unlike a median it always exists.

    Parameters
    ----------
    spells, by, level, cluster, id, duration, repurchased, entry, weight
        As in `kaplan_meier`.
    horizon_days
        Up to which day to count; no group is read beyond its follow-up.

    Returns
    -------
    EstimateTable
        One row per group, in days. Refused for fewer than 10 customers, where the follow-up of a group ends before the
        horizon, where nobody is watched on its first day (all entries late), and where no error can be told: nobody
        came back before the horizon, or everybody on one day.

    References
    ----------
    Klein and Moeschberger (2003), Survival Analysis, section 4.5: variance = sum of A(t)^2 d / (n (n - d)), A(t) the
    area right of t. (lifelines reports the variance of min(T, horizon) instead, which is not the error of the mean.)

    Examples
    --------
    >>> import polars as pl
    >>> spells = pl.DataFrame({"customer_id": range(12), "duration_days": [10, 20, 20, 30] * 3,
    ...                        "repurchased": [True, True, False, False] * 3})
    >>> restricted_mean(spells, horizon_days=30)
    all: 22.50 (17.81 to 27.19) days, n = 12
    """
    names = spell_names(id=id, duration=duration, repurchased=repurchased, entry=entry, weight=weight)
    means = group_means(spells, horizon_days, by, level, cluster, names)
    return EstimateTable.from_rows(_row(mean, horizon_days, level, cluster) for mean in means)


def restricted_mean_difference(
    spells: Any,
    *,
    by: str,
    horizon_days: float,
    reference: str | None = None,
    covariates: Sequence[str] = (),
    level: float = 0.95,
    cluster: str | None = None,
    id: str = "customer_id",
    duration: str = "duration_days",
    repurchased: str = "repurchased",
    entry: str = "entry_days",
    weight: str = "weight",
) -> EstimateTable:
    """How many days sooner (-) or later (+) does a group come back than the reference, counting at most `horizon_days`?

    Parameters
    ----------
    spells, level, cluster, id, duration, repurchased, entry, weight
        As in `kaplan_meier`.
    by
        Column of the groups; customers of different groups are independent, unless they share a `cluster`.
    horizon_days
        Up to which day to count.
    reference
        The group to compare with; None: the first in sorted order.
    covariates
        Columns of numbers known at the index order, which sharpen the comparison of groups assigned at random: each
        group's mean is moved to the covariates of all customers, by its own regression. In large groups that never
        widens the interval and needs nothing more of the censoring. Of groups that differ for other reasons it tells
        something else than their difference, and takes linearity on trust. Not for counts.

    Returns
    -------
    EstimateTable
        One row per other group: contrast "group - reference", in days, p-value two-sided. n: customers of both groups.
        A difference between groups that were not assigned at random describes, it is no effect. Adjusted, a group with
        fewer than ten customers for each covariate is refused.

    References
    ----------
    Royston and Parmar (2013), BMC Medical Research Methodology 13, 152. Adjusted: regression of first-order
    pseudo-values (Andersen, Hansen and Klein 2004, Lifetime Data Analysis 10, 335-350), fully interacted (Lin 2013,
    Annals of Applied Statistics 7, 295-318) with HC2 errors, plus that of the covariates' means, as the customers stand
    for those to come.

    Examples
    --------
    >>> import polars as pl
    >>> spells = pl.DataFrame({"customer_id": range(24), "duration_days": [10, 20, 20, 30] * 3 + [5, 9, 20, 30] * 3,
    ...                        "repurchased": [True, True, False, False] * 6, "arm": ["none"] * 12 + ["mail"] * 12})
    >>> restricted_mean_difference(spells, by="arm", reference="none", horizon_days=30)
    mail - none: -4.0 (-12.1 to 4.1) days, n = 24
    """
    names = spell_names(id=id, duration=duration, repurchased=repurchased, entry=entry, weight=weight)
    covariates = listed(covariates)
    means = group_means(spells, horizon_days, by, level, cluster, names, covariates)
    pairs = _against(means, by, reference)
    rows = (
        _row(_subtract(mean, other), horizon_days, level, cluster, other.group, covariates) for mean, other in pairs
    )
    return EstimateTable.from_rows(rows)


def restricted_mean_ratio(
    spells: Any,
    *,
    by: str,
    horizon_days: float,
    reference: str | None = None,
    covariates: Sequence[str] = (),
    level: float = 0.95,
    cluster: str | None = None,
    id: str = "customer_id",
    duration: str = "duration_days",
    repurchased: str = "repurchased",
    entry: str = "entry_days",
    weight: str = "weight",
) -> EstimateTable:
    """How many times as long as the reference does a group stay away, counting at most `horizon_days`?

    As `restricted_mean_difference`, with the contrast "group / reference": the interval and the p-value (against 1) are
    those of the logarithm of the ratio, by the delta method.
    """
    names = spell_names(id=id, duration=duration, repurchased=repurchased, entry=entry, weight=weight)
    covariates = listed(covariates)
    means = group_means(spells, horizon_days, by, level, cluster, names, covariates)
    rows = []
    for mean, other in _against(means, by, reference):
        row = _row(_subtract(_log(mean), _log(other)), horizon_days, level, cluster, other.group, covariates)
        told = {"contrast": f"{mean.group} / {other.group}", "measure": "ratio"}
        told["estimand"] = row["estimand"].replace("difference in", "ratio of")
        if row["verdict"] == "ok":
            row |= {name: float(np.exp(row[name])) for name in ("estimate", "low", "high")}
            row["standard_error"] *= row["estimate"]
        rows.append(row | told)
    return EstimateTable.from_rows(rows)


def _against(means: list[_Mean], by: str, reference: str | None) -> list[tuple[_Mean, _Mean]]:
    groups = {mean.group: mean for mean in means}
    if len(groups) < 2:
        raise ValueError(f"by is {by!r}, which has the one group {means[0].group!r}; a comparison needs two.")
    reference = reference if reference is not None else means[0].group
    if reference not in groups:
        raise ValueError(f"reference is {reference!r}; the groups of {by!r} are {', '.join(map(repr, groups))}.")
    return [(mean, groups[reference]) for mean in means if mean.group != reference]


def group_means(
    spells: Any,
    horizon: float,
    by: str | None,
    level: float,
    cluster: str | None,
    names: dict[str, str],
    covariates: Sequence[str] = (),
) -> list[_Mean]:
    """Each group's restricted mean, or why there is none."""
    check_level(level)
    check_span("horizon_days", horizon)
    refuse_outcomes(covariates, names)
    table = at_the_door(spells, by=by, cluster=cluster, names=names | {name: name for name in covariates})
    if covariates:
        table = _numbers(table, covariates)
    risks = list(risk_tables(table))
    refuse_early_end(risks)
    means = [_mean(risk, horizon) for risk in risks]
    return [_adjusted(*pair, table, covariates) for pair in zip(means, risks)] if covariates else means


def _numbers(table: pl.DataFrame, covariates: Sequence[str]) -> pl.DataFrame:
    """The spells with their covariates as standardised numbers, each spell a cluster unless there are clusters."""
    if "weight" in table.columns:
        raise ContractError("spells: covariates= and a weight column do not go together; give rows instead of counts.")
    for name in covariates:
        kind = table.schema[name]
        if not (kind.is_numeric() or kind == pl.Boolean) or not table[name].cast(pl.Float64).is_finite().all(
            ignore_nulls=False
        ):
            raise ContractError(f"spells: covariate {name!r} is {kind}, and must be finite numbers without a null.")
    if "cluster" not in table.columns:
        table = table.with_columns(cluster=pl.int_range(pl.len()))
    for each in (pl.col(name).cast(pl.Float64) for name in covariates):
        scale = pl.max_horizontal(each.std(), 1e-9 * each.abs().max()) + 1e-300  # a constant stays near 0
        table = table.with_columns((each - each.mean()) / scale)
    return table


def _adjusted(mean: _Mean, risk: RiskTable, table: pl.DataFrame, covariates: Sequence[str]) -> _Mean:
    """The mean as it would be with the covariates of all customers, by regression of n times the influences.

    The influence of a spell of the group is its residual, divided by 1 - leverage as in HC2 (under the root); that of
    every customer, by the mean of the covariates, slope' x / n.
    """
    if mean.reason or mean.influence is None:
        return mean
    if mean.n < _LEAST * len(covariates):
        few = f"only {mean.n} customers for {len(covariates)} covariates; take fewer, at least {_LEAST} customers each."
        return replace(mean, reason=few)
    x, own = table.select(covariates).to_numpy(), risk.spells.select(covariates).to_numpy()
    middle = own.mean(axis=0)
    own = own - middle
    q, r = np.linalg.qr(own / np.sqrt(len(own)))
    flat = [name for name, left in zip(covariates, np.abs(np.diag(r))) if left < 1e-7]
    if flat:
        raise ContractError(
            f"spells: in group {mean.group!r} covariate {flat[0]!r} is constant, or a sum of the others; leave it out."
        )
    pseudo = mean.n * mean.influence["influence"].to_numpy()
    slope = np.linalg.lstsq(own, pseudo, rcond=None)[0]
    leverage = 1 / mean.n + (q**2).sum(axis=1)
    residual = (pseudo - own @ slope) / mean.n / np.sqrt(np.maximum(1 - leverage, 1e-9))
    parts = [(risk.spells["cluster"], residual), (table["cluster"], x @ slope / len(x))]
    both = pl.concat(pl.DataFrame({"cluster": cluster, "influence": part}) for cluster, part in parts)
    influence = _by_cluster(both)
    variance = float((influence["influence"] ** 2).sum())
    return replace(mean, estimate=mean.estimate - float(middle @ slope), variance=variance, influence=influence)


def _mean(risk: RiskTable, horizon: float) -> _Mean:
    survival, days = risk.survival, risk.days
    n = int((risk.observed + risk.censored).sum())
    if n < _LEAST:
        reason = f"only {n} customers; an interval by the normal law needs at least {_LEAST}."
        return _Mean(group=risk.group, n=n, reason=reason)
    if risk.watched_from >= 1:
        wait = f"{risk.watched_from:g}"
        reason = f"nobody is watched before day {wait}, and the days until then would count as certain. "
        reason += f"Subtract {wait} from durations and entries, and say that customers had waited that long."
        return _Mean(group=risk.group, n=n, reason=reason)
    if days[-1] < horizon and survival[-1] > 0:
        reason = f"follow-up ends on day {days[-1]:g}; take horizon_days <= {days[-1]:g}, or wait."
        return _Mean(group=risk.group, n=n, reason=reason)
    areas = survival * np.diff(np.minimum(np.append(days, horizon), horizon))
    right = np.cumsum(areas[::-1])[::-1]  # area from each grid day to the horizon
    influence = _influence(risk, right) if "cluster" in risk.spells.columns else None
    variance = float(((right**2) * risk.greenwood).sum())
    if influence is not None:
        variance = float((_by_cluster(influence)["influence"] ** 2).sum())
    if not variance > 0:
        reason = f"{_sameness(risk, horizon)}; no error can be told. Take a longer horizon or more customers."
        return _Mean(group=risk.group, n=n, reason=reason)
    return _Mean(group=risk.group, n=n, estimate=float(areas.sum()), variance=variance, influence=influence)


def _sameness(risk: RiskTable, horizon: float) -> str:
    back = risk.observed[risk.days < horizon].sum()
    return f"everybody came back on day {risk.days[-1]:g}" if back else f"nobody came back before day {horizon:g}"


def _influence(risk: RiskTable, right: Floats) -> pl.DataFrame:
    """Derivative of the area with respect to each spell's weight (infinitesimal jackknife).

    With A(u) the area right of u: -A(u)/(n-d) for a repurchase on day u, +sum of A(u) d/(n(n-d)) over the days at risk.
    """
    left = (risk.at_risk - risk.observed).astype(float)
    jump = np.divide(right, left, out=np.zeros(len(left)), where=left > 0)
    waited = np.concatenate([[0.0], np.cumsum(right * risk.greenwood)])
    start = waited[risk.entered] if len(risk.entered) else 0.0
    of_spell = waited[risk.place + 1] - start - np.where(risk.spells["repurchased"].to_numpy(), jump[risk.place], 0.0)
    return pl.DataFrame({"cluster": risk.spells["cluster"], "influence": of_spell})


def _by_cluster(influence: pl.DataFrame) -> pl.DataFrame:
    return influence.group_by("cluster").agg(pl.col("influence").sum())


def _log(mean: _Mean) -> _Mean:
    """The logarithm of a mean, by the delta method."""
    if mean.reason:
        return mean
    influence = None if mean.influence is None else mean.influence.with_columns(pl.col("influence") / mean.estimate)
    variance = mean.variance / mean.estimate**2
    return replace(mean, estimate=float(np.log(mean.estimate)), variance=variance, influence=influence)


def _subtract(mean: _Mean, reference: _Mean) -> _Mean:
    reason = mean.reason or reference.reason
    n = mean.n + reference.n
    if reason:
        group = mean.group if mean.reason else reference.group
        return _Mean(group=mean.group, n=n, reason=f"group {group!r}: {reason}")
    variance = mean.variance + reference.variance
    if mean.influence is not None and reference.influence is not None:  # clusters may have spells in both groups
        against = reference.influence.with_columns(-pl.col("influence"))
        variance = float((_by_cluster(pl.concat([mean.influence, against]))["influence"] ** 2).sum())
    return _Mean(group=mean.group, n=n, estimate=mean.estimate - reference.estimate, variance=variance)


def _row(
    mean: _Mean,
    horizon: float,
    level: float,
    cluster: str | None,
    reference: str | None = None,
    covariates: Sequence[str] = (),
) -> dict[str, Any]:
    per = "customer" if cluster is None else "spell"
    what = "restricted mean" if reference is None else "difference in the restricted mean"
    common: dict[str, Any] = {
        "question": "How many days until the next order?",
        "estimand": f"{what} of days to the next order per {per}, counting at most {horizon:g} days",
        "contrast": None if reference is None else f"{mean.group} - {reference}",
        "group": mean.group,
        "horizon_days": horizon,
        "n": mean.n,
        "level": level,
        **_METRIC,
    }
    if covariates:
        common["method"] += f", adjusted for {', '.join(covariates)}"
    if mean.reason:
        return refused_row(reason=mean.reason, **common)
    null = None if reference is None else 0.0
    return estimate_row(estimate=mean.estimate, standard_error=float(np.sqrt(mean.variance)), null=null, **common)
