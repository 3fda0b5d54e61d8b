"""Was the experiment dealt as planned? The first question, before any effect is read (rule R10).

In: Assignments or Outcomes. Out: `check_split` -> `SplitCheck`; `split_reason`, by which estimators refuse.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
import polars as pl

from shoptoolkit.contract import Assignments, ContractError, Outcomes, require, to_polars
from shoptoolkit.contract.arrays import Floats
from shoptoolkit.contract.check import listed
from shoptoolkit.contract.clock import local_day
from shoptoolkit.contract.show import html_table
from shoptoolkit.contract.splits import check_shares, ratio_reason, split_p_value
from shoptoolkit.incrementality.door import COVARIATE, once

_WARNS_BELOW = 0.05  # Holm-adjusted
_SCHEMA = {
    "check": pl.String,
    "part": pl.String,
    "arm": pl.String,
    "n": pl.Int64,
    "share": pl.Float64,
    "planned_share": pl.Float64,
    "difference": pl.Float64,
    "p_value": pl.Float64,
    "p_adjusted": pl.Float64,
    "verdict": pl.String,
}


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class SplitCheck:
    """Whether an experiment was dealt as planned.

    `table`, a row per check, part and arm: check (overall, stratum, day, a column of `by`, covariate), part, arm, n,
    share, planned_share, difference (of a covariate: the arm's mean less that of all others, in standard deviations),
    p_value, p_adjusted (Holm, over all checks but the overall one), verdict (ok, warning, blocked). `blocked`: nothing
    may be compared, for the `reason`. `plan`: where the planned shares come from. `unit`: what was dealt and is
    counted, customers or clusters.
    """

    table: pl.DataFrame
    blocked: bool
    reason: str | None
    plan: str
    unit: str

    def __repr__(self) -> str:
        overall = self.table.filter(check="overall")
        told = ", ".join(f"{row['n']:,} in {row['arm']!r} ({row['share']:.2%})" for row in overall.to_dicts())
        lines = [self.reason or f"As planned ({self.plan}): {told} {self.unit}; p = {overall['p_value'][0]:.2g}"]
        parts = self._warned().unique(["check", "part"], maintain_order=True).to_dicts()
        return "\n".join(
            [*lines, *(f"  warning: {row['check']} {row['part']}, p = {row['p_value']:.1g}" for row in parts)]
        )

    def _repr_html_(self) -> str:
        title = "Sample ratio mismatch: compare nothing" if self.blocked else "Dealt as planned"
        others = self.table.filter(pl.col("check") != "overall").unique(["check", "part"])
        warned = self._warned()
        note = f"Planned: {self.plan}; {self.unit}. {len(others):,} further checks"
        note += f", {warned.unique(['check', 'part']).height:,} of them warn" if len(warned) else ", none warns"
        shown = pl.concat([self.table.filter(check="overall"), warned])
        return html_table(shown.select(name for name in shown.columns if shown[name].count()), title=title, note=note)

    def _warned(self) -> pl.DataFrame:
        return self.table.filter(verdict="warning")


def check_split(
    frame: Any, *, shares: Mapping[str, float] | None = None, by: str | Sequence[str] = (), timezone: str = "UTC"
) -> SplitCheck:
    """Were customers dealt to the arms as planned, overall, in each stratum and on each day?

    Parameters
    ----------
    frame
        Assignments of one experiment, or Outcomes; one row per customer. Where all customers of a `cluster` are in one
        arm, clusters were dealt, and are counted.
    shares
        The planned share of each arm, e.g. {"ad": 0.9, "none": 0.1}; an arm nobody is in counts too. None: as the
        column `probability` plans for each customer's own arm (relative to the arms there are); without it, equal.
    by
        Further columns known before the assignment, within whose values counts are checked.
    timezone
        Whole days, of `assigned_at` or `started_at`, are days of this zone.

    Returns
    -------
    SplitCheck
        Blocked if the overall p-value is below .0005. All else only warns, where the Holm-adjusted p-value is below
        .05: strata (`stratum`), days and `by` by their counts, numbers and flags named pre_... by their means (weighted
        by 1 / probability where it varies; chi-square of the arms' means, each with its own variance).

    Raises
    ------
    ContractError
        The frame breaks its contract or has one arm only; several experiments; a customer with several rows or arms;
        `probability` is null, zero or plans nothing that can be checked; a column of `by` is missing.
    ValueError
        `shares` lacks an arm, has none above 0, or does not add up to 1.

    References
    ----------
    Fabijan et al. (2019), KDD, 2156-2164: causes of sample ratio mismatch. Holm (1979), Scand. J. Statist. 6, 65-70.

    Examples
    --------
    >>> dealt = pl.DataFrame({"customer_id": range(2_000), "arm": ["ad"] * 1_080 + ["none"] * 920})
    >>> check_split(dealt).blocked, check_split(dealt, shares={"ad": 0.54, "none": 0.46}).blocked
    (True, False)
    """
    given = to_polars(frame)
    table = require(given, Assignments if "assigned_at" in given.columns else Outcomes)
    if "experiment_id" in table.columns and (several := table["experiment_id"].n_unique()) > 1:
        raise ContractError(f"assignments: they are of {several} experiments; pass those of one.")
    once(table, mend="Keep the first of each.")
    if absent := [one for one in listed(by, name="by") if one not in table.columns]:
        raise ContractError(f"by names {absent[0]!r}; the frame has: {', '.join(table.columns)}.")
    plan = _planned(table, shares)
    overall = _of_counts(plan, "overall", pl.lit("all"))
    reason = _reason(plan, overall[0])
    rows = [*overall, *_adjusted([*_parts(plan, listed(by), timezone), *_of_means(plan)])]
    rows[0] |= {"verdict": "blocked" if reason else "ok"}
    told = [row | part for row in rows for part in row.pop("arms")]
    return SplitCheck(
        table=pl.DataFrame(told, schema=_SCHEMA),
        blocked=reason is not None,
        reason=reason,
        plan=plan.words,
        unit=plan.unit,
    )


def split_reason(table: pl.DataFrame, *, shares: Mapping[str, float] | None = None) -> str | None:
    """Why the arms of this table cannot be compared, if they cannot; None also where nothing says what was planned."""
    if shares is None and "probability" not in table.columns:
        return None
    plan = _planned(table, shares)
    return _reason(plan, _of_counts(plan, "overall", pl.lit("all"))[0])


def whole_clusters(table: pl.DataFrame) -> str | None:
    """Why customers cannot be counted one by one, if clusters were dealt."""
    size = table.drop_nulls("cluster").group_by("cluster").agg(pl.col("arm").n_unique(), pl.len())
    if (size["arm"] > 1).any() or not (size["len"] > 1).any():
        return None
    return "each cluster lies in one arm, so clusters were assigned, not customers; pass cluster='cluster'."


class _Plan(NamedTuple):
    """What was dealt, one row per customer or cluster, with the chance of each arm in the columns `chances`."""

    table: pl.DataFrame
    arms: list[str]
    words: str
    unit: str

    @property
    def chances(self) -> list[str]:
        return [f"__chance{k}" for k in range(len(self.arms))]


def _planned(table: pl.DataFrame, shares: Mapping[str, float] | None) -> _Plan:
    """The plan as given, by the customers' own probabilities, or of equal shares."""
    table, unit = _dealt(table)
    found = sorted(table["arm"].unique())
    if shares is not None:
        check_shares(shares, found)
    arms = found if shares is None else sorted(shares)
    if len(arms) < 2:
        raise ContractError(f"{arms[0]!r} is the one arm; pass `shares` with the others, or all arms.")
    words = "equal shares, as neither shares nor probability are given"
    chances = [pl.lit(1 / len(arms))] * len(arms)
    if shares is not None:
        words, chances = "shares as given", [pl.lit(float(shares[arm])) for arm in arms]
    elif "probability" in table.columns:
        words = "by probability"
        table, chances = _by_probability(table, arms)
    plan = _Plan(table, arms, words, unit)
    return plan._replace(table=table.with_columns(one.alias(name) for name, one in zip(plan.chances, chances)))


def _dealt(table: pl.DataFrame) -> tuple[pl.DataFrame, str]:
    """What was dealt: clusters, one row each with their means, where each is in one arm; else customers."""
    if "cluster" not in table.columns or table["cluster"].null_count() or not whole_clusters(table):
        return table, "customers"
    numbers = [name for name, kind in table.schema.items() if kind.is_numeric() and name.startswith(COVARIATE)]
    rest = pl.exclude("cluster", *numbers).first()
    return table.sort("customer_id").group_by("cluster", maintain_order=True).agg(
        rest, pl.col(numbers).mean()
    ), "clusters"


def _by_probability(table: pl.DataFrame, arms: list[str]) -> tuple[pl.DataFrame, list[pl.Expr]]:
    """The chances of each arm: one for all in a stratum, as its own rows tell; of two arms, what the other leaves."""
    own = pl.col("probability")
    if bad := int(table.select((own.is_null() | (own <= 0)).sum()).item()):
        raise ContractError(f"'probability' is null or 0 for {bad:,} customers; mend it, or pass `shares`.")
    cell = pl.col("stratum").fill_null("") if "stratum" in table.columns else pl.lit("")
    of_arm = [own.filter(pl.col("arm") == arm) for arm in arms]
    table = table.with_columns(__cell=cell)
    least = [one.min().alias(f"__least{k}") for k, one in enumerate(of_arm)]
    cells = table.group_by("__cell").agg(*least, *(one.max().alias(f"__most{k}") for k, one in enumerate(of_arm)))
    ranges = [(pl.col(f"__most{k}") - pl.col(f"__least{k}")).max() for k in range(len(arms))]
    if max(cells.select(ranges).row(0)) > 1e-9:
        if len(arms) == 2:
            first = pl.when(pl.col("arm") == arms[0]).then(own).otherwise(1 - own)
            return table, [first, 1 - first]
        raise ContractError(
            "'probability' varies among customers of one arm (and stratum), so that the chances of the other arms are "
            "not known; pass `shares`, or a column `stratum` within which it is the same."
        )
    known = [pl.col(f"__least{k}") for k in range(len(arms))]
    left = (1 - pl.sum_horizontal(known)).clip(0) / pl.sum_horizontal(one.is_null() for one in known)
    full = [one.fill_null(left) for one in known]  # an arm nobody of a stratum is in
    chances = [(one / pl.sum_horizontal(full)).alias(f"__share{k}") for k, one in enumerate(full)]
    table = table.join(cells.select("__cell", *chances), on="__cell", how="left", maintain_order="left")
    return table, [pl.col(f"__share{k}") for k in range(len(arms))]


def _of_counts(plan: _Plan, check: str, part: pl.Expr) -> list[dict[str, Any]]:
    """Counts of the arms in each part beside those expected."""
    pairs = [(j, k) for j in range(len(plan.arms)) for k in range(j + 1)]
    told = plan.table.group_by(part.cast(pl.String).fill_null("unknown").alias("__part")).agg(
        *((pl.col("arm") == arm).sum().alias(f"__n{k}") for k, arm in enumerate(plan.arms)),
        *(pl.col(name).sum().alias(f"__due{k}") for k, name in enumerate(plan.chances)),
        *((pl.col(plan.chances[j]) * pl.col(plan.chances[k])).sum().alias(f"__{j}_{k}") for j, k in pairs),
    )
    rows = []
    for row in told.sort("__part").to_dicts():
        n, due = (np.array([row[f"__{what}{k}"] for k in range(len(plan.arms))], float) for what in ("n", "due"))
        spread = np.diag(due) - np.array(
            [[row[f"__{max(j, k)}_{min(j, k)}"] for k in range(len(n))] for j in range(len(n))]
        )
        arms = [
            {"arm": arm, "n": int(n[k]), "share": n[k] / n.sum(), "planned_share": due[k] / n.sum()}
            for k, arm in enumerate(plan.arms)
        ]
        p_value = split_p_value(n, due, spread)
        rows.append({"check": check, "part": row["__part"], "p_value": p_value, "verdict": "ok", "arms": arms})
    return rows


def _reason(plan: _Plan, overall: dict[str, Any]) -> str | None:
    counts = {one["arm"]: one["n"] for one in overall["arms"]}
    planned = {one["arm"]: one["planned_share"] for one in overall["arms"]}
    return ratio_reason(counts, planned, p_value=overall["p_value"], unit=plan.unit)


def _parts(plan: _Plan, by: list[str], timezone: str) -> Iterator[dict[str, Any]]:
    """Counts within strata, days and the values of further columns, where there are several."""
    parts = {name: pl.col(name) for name in ("stratum", *by) if name in plan.table.columns}
    for name in ("assigned_at", "started_at"):
        if name in plan.table.columns:
            parts["day"] = local_day(name, timezone=timezone)
    for name, part in parts.items():
        rows = _of_counts(plan, name, part)
        yield from rows if len(rows) > 1 else []


def _of_means(plan: _Plan) -> Iterator[dict[str, Any]]:
    """Means of what was known before, by arm."""
    arm = plan.table["arm"].to_numpy()
    chance = np.select([arm == one for one in plan.arms], plan.table.select(plan.chances).to_numpy().T)
    for name, kind in plan.table.schema.items():
        if name.startswith(COVARIATE) and (kind.is_numeric() or kind == pl.Boolean):
            value = plan.table[name].cast(pl.Float64).fill_null(np.nan).to_numpy()
            parts = [
                (value[seen], 1 / chance[seen]) for seen in ((arm == one) & np.isfinite(value) for one in plan.arms)
            ]
            if min(len(part) for part, _ in parts) > 1:
                yield _balance(name, plan.arms, parts)


def _balance(name: str, arms: list[str], parts: list[tuple[Floats, Floats]]) -> dict[str, Any]:
    """Are the weighted means of the arms alike? Cochran's Q: for two arms, the square of Welch's z."""
    from scipy.special import chdtrc

    weight = np.array([w.sum() for _, w in parts])
    shift = parts[0][0].mean()  # centred first: revenue near 1e9 must keep its digits
    mean = np.array([w @ (x - shift) for x, w in parts]) / weight
    square = np.array([w @ (x - shift - m) ** 2 for (x, w), m in zip(parts, mean)]) / weight
    error = np.array([(w * (x - shift - m)) @ (w * (x - shift - m)) for (x, w), m in zip(parts, mean)]) / weight**2
    spread = np.sqrt(square.mean())
    rest = (weight @ mean - weight * mean) / (weight.sum() - weight)
    if spread == 0 or (error == 0).any():
        p_value = float((mean == mean[0]).all())
    else:
        middle = (mean / error).sum() / (1 / error).sum()
        p_value = float(chdtrc(len(arms) - 1, ((mean - middle) ** 2 / error).sum()))
    away = (mean - rest) / spread if spread else np.zeros(len(arms))
    told = [{"arm": arm, "n": len(parts[k][0]), "difference": float(away[k])} for k, arm in enumerate(arms)]
    return {"check": "covariate", "part": name, "p_value": p_value, "verdict": "ok", "arms": told}


def _adjusted(rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Holm's p-values over all rows, and which of them warn."""
    order = sorted(range(len(rows)), key=lambda k: rows[k]["p_value"])
    most = 0.0
    for rank, k in enumerate(order):
        most = max(most, min(1.0, (len(rows) - rank) * rows[k]["p_value"]))
        rows[k] |= {"p_adjusted": most, "verdict": "warning" if most < _WARNS_BELOW else "ok"}
    return rows
