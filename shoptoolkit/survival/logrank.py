"""Do groups come back at different speeds? The log-rank test and its weighted relatives.

In: Spells. Out: `logrank` -> `LogRank`.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import polars as pl

from shoptoolkit.contract import ContractError
from shoptoolkit.contract.arrays import Floats
from shoptoolkit.contract.check import check_number, choose
from shoptoolkit.contract.show import html_table
from shoptoolkit.survival.risk import daily_counts, day_grid, entered_at, spell_names
from shoptoolkit.survival.spells import at_the_door

_WEIGHTS = ("logrank", "wilcoxon", "tarone_ware", "peto", "fleming_harrington")


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class LogRank:
    """Whether groups differ in when they come back. `table`: group, n, n_observed, observed, expected.

    `observed` and `expected` are sums of the weights over the repurchases seen, and over those that the group would
    have had if groups did not differ; for the plain log-rank test they are counts. There is nothing to draw but the
    curves: `kaplan_meier(spells, by=...)`.
    """

    table: pl.DataFrame
    statistic: float
    degrees_of_freedom: int
    p_value: float
    weights: str
    n: int

    def __repr__(self) -> str:
        test = f"chi-squared {self.statistic:.4g} on {self.degrees_of_freedom} degrees of freedom"
        return f"{self.weights}: {test}, p = {self.p_value:.3g}, n = {self.n:,}\n{self.table}"

    def _repr_html_(self) -> str:
        return html_table(self.table, title="Do the groups differ?", note=repr(self).splitlines()[0])


def logrank(
    spells: Any,
    *,
    by: str,
    weights: str = "logrank",
    p: float = 1.0,
    q: float = 0.0,
    strata: str | None = None,
    id: str = "customer_id",
    duration: str = "duration_days",
    repurchased: str = "repurchased",
    entry: str = "entry_days",
    weight: str = "weight",
) -> LogRank:
    """Do groups of customers differ in when they come back, or could chance alone make such curves?

    Parameters
    ----------
    spells, id, duration, repurchased, entry, weight
        As in `kaplan_meier`: one spell per customer; late entries and counts are taken.
    by
        Column of the groups, two or more.
    weights
        Which days count most: "logrank" (all alike, best if hazards are proportional), "wilcoxon" (Gehan and Breslow:
        the number at risk), "tarone_ware" (its root), "peto" (Peto and Peto: about the share not yet back, so early
        days) or "fleming_harrington" (S^p (1 - S)^q with S just before the day: q > 0 for late differences).
    p, q
        Exponents, >= 0, of "fleming_harrington" only.
    strata
        Column within which groups are compared (country, cohort); the comparisons are added up.

    Returns
    -------
    LogRank
        Statistic, degrees of freedom (groups less one, or fewer where groups never share a day at risk), p-value.

    Raises
    ------
    ContractError
        As `kaplan_meier`; a null stratum.
    ValueError
        Fewer than two groups, or groups that are never at risk together on a day with a repurchase.

    References
    ----------
    Mantel (1966), Cancer Chemotherapy Reports 50, 163-170; ties by the hypergeometric variance. Weights: Klein and
    Moeschberger (2003), Survival Analysis, sections 7.3 and 7.5; Fleming and Harrington (1991), section 7.

    Examples
    --------
    >>> import polars as pl
    >>> spells = pl.DataFrame({"customer_id": range(8), "duration_days": [3, 5, 7, 9, 8, 12, 15, 20],
    ...                        "repurchased": [True] * 7 + [False], "arm": ["mail"] * 4 + ["none"] * 4})
    >>> test = logrank(spells, by="arm")
    >>> round(test.statistic, 3), test.degrees_of_freedom, round(test.p_value, 4)
    (4.918, 1, 0.0266)
    """
    choose("weights", weights, _WEIGHTS)
    check_number("p", p)
    check_number("q", q)
    names = spell_names(id=id, duration=duration, repurchased=repurchased, entry=entry, weight=weight)
    table = at_the_door(spells, by=by, cluster=None, names=names | ({strata: "stratum"} if strata else {}))
    groups = table["group"].unique().sort()
    if len(groups) < 2:
        raise ValueError(f"by is {by!r}, which has the one group {groups[0]!r}; a comparison needs two.")
    if strata and table["stratum"].null_count():
        raise ContractError(f"spells: strata is {strata!r}, a column with nulls; fill or drop them.")
    parts = table.partition_by("stratum") if strata else [table]
    sums = [_compare(part, groups, weights, p, q) for part in parts]
    observed, expected, variance = (np.sum(each, axis=0) for each in zip(*sums))
    statistic, rank = _quadratic(observed - expected, variance)
    if not rank:
        raise ValueError(f"by is {by!r}: on no day with a repurchase were two of its groups at risk together.")
    from scipy.special import chdtrc

    size = pl.col("weight") if "weight" in table.columns else pl.col("repurchased").is_not_null().cast(pl.Int64)
    told = table.group_by("group").agg(n=size.sum(), n_observed=size.filter("repurchased").sum()).sort("group")
    return LogRank(
        table=told.with_columns(observed=pl.Series(observed), expected=pl.Series(expected)),
        statistic=statistic,
        degrees_of_freedom=rank,
        p_value=float(chdtrc(rank, statistic)),
        weights=weights,
        n=int(told["n"].sum()),
    )


def _compare(part: pl.DataFrame, groups: pl.Series, weights: str, p: float, q: float) -> tuple[Floats, Floats, Floats]:
    """Observed, expected and the covariance of their differences in one stratum, per group."""
    days, place = day_grid(part["duration_days"].to_numpy())
    entered = entered_at(part, days)
    at_risk, observed = np.zeros((2, len(groups), len(days)))
    narrow = part.select(name for name in ("repurchased", "weight") if name in part.columns)
    for row, group in enumerate(groups):
        own = (part["group"] == group).to_numpy()
        since = entered[own] if len(entered) else entered
        at_risk[row], observed[row], _ = daily_counts(narrow.filter(own), place[own], since, len(days))
    n, d = at_risk.sum(axis=0), observed.sum(axis=0)
    share = at_risk / np.maximum(n, 1)
    each = _day_weights(n, d, weights, p, q)
    spread = each**2 * d * (n - d) / np.maximum(n - 1, 1)  # of the hypergeometric law, apart from the shares
    variance = np.diag(share @ spread) - (share * spread) @ share.T
    return observed @ each, (share * d) @ each, variance


def _day_weights(n: Floats, d: Floats, weights: str, p: float, q: float) -> Floats:
    if weights == "peto":
        return np.asarray(np.cumprod(1 - d / (n + 1)))
    if weights == "fleming_harrington":
        before = np.concatenate([[1.0], np.cumprod(1 - d / np.maximum(n, 1))[:-1]])
        return np.asarray(before**p * (1 - before) ** q)
    return np.asarray(n ** {"logrank": 0.0, "tarone_ware": 0.5, "wilcoxon": 1.0}[weights])


def _quadratic(gap: Floats, variance: Floats) -> tuple[float, int]:
    """gap' V^- gap and the rank of V, which is singular: the gaps add up to 0."""
    known = np.diag(variance) > 0
    scale = np.sqrt(np.diag(variance)[known])
    values, axes = np.linalg.eigh(variance[np.ix_(known, known)] / np.outer(scale, scale))
    kept = values > 1e-9
    along = axes[:, kept].T @ (gap[known] / scale)
    return float((along**2 / values[kept]).sum()), int(kept.sum())
