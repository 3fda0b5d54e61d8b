"""What the ads added per customer, as assigned: differences and relative differences of means and ratios.

In: Outcomes or `Moments`. Out: `lift` -> EstimateTable.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import polars as pl

from shoptoolkit.contract import EstimateTable, to_polars
from shoptoolkit.contract.check import check_level, choose, listed
from shoptoolkit.contract.splits import check_shares, ratio_reason
from shoptoolkit.incrementality.answers import Metrics, Question
from shoptoolkit.incrementality.door import metrics_of, others, rows_of, window_of
from shoptoolkit.incrementality.moments import Moments, columns_of, gathered
from shoptoolkit.incrementality.split import split_reason, whole_clusters


def lift(
    outcomes: Any,
    *,
    control: str,
    metrics: str | Iterable[str] | Mapping[str, Any],
    covariates: str | Iterable[str] = (),
    adjustment: str = "interacted",
    errors: str | None = None,
    relative: str | None = "fieller",
    strata: str | None = None,
    cluster: str | None = None,
    by: str | None = None,
    winsorise: float | None = None,
    shares: Mapping[str, float] | None = None,
    level: float = 0.95,
) -> EstimateTable:
    """How much more does a customer bring because of the ads, in orders, revenue or any other metric, and relatively?

    Parameters
    ----------
    outcomes
        Outcomes (contract), one row per customer, or `Moments` of them, which give the same.
    control
        The arm that all others are compared with.
    metrics
        Columns of numbers or flags; {name: (numerator, denominator)} for ratios of means, such as revenue per order,
        whose error is that of customers (delta method).
    covariates
        Columns of numbers or flags from before the experiment ("pre_..."), which sharpen the comparison. One that is
        constant, or a sum of the others, adds nothing and does no harm.
    adjustment
        "interacted": each arm has its own slopes (Lin), or "pooled": one for both (CUPED).
    errors
        Of interacted slopes: "hc2" (needs rows; the default with them), or "moments": the residual variance of each
        arm, the same for all its customers.
    relative
        "fieller": the set of relative differences that the data do not exclude, which may be two rays or the whole line
        where control's mean is uncertain (`set_shape`); "delta": by the logarithm of the ratio, which with pooled
        covariates takes their mean as known; None: no relative rows.
    strata
        Column of strata known before the experiment: means are compared within them and weighed by their customers.
    cluster
        Column of what was assigned, where that was not the customer (households, regions): each lies in one arm and
        stratum. Means are still per customer.
    by
        Column of groups, each compared on its own.
    winsorise
        Cut metrics at this quantile of all customers, e.g. 0.99; the metric's name then says the bound, as it is
        another metric.
    shares
        {arm: planned share}; without it the column `probability`, of the arm given, if there is one.
    level
        Coverage of the intervals.

    Returns
    -------
    EstimateTable
        For each group, other arm and metric: the difference, and the relative difference as a share. `n`: customers of
        both arms. Refused: an arm with fewer than 10 customers (5 clusters; 10 for each covariate) or without variance,
        a stratum with fewer than 2; a ratio whose denominator is within 4 standard errors of zero; a sample ratio that
        is no chance (p < .0005), or probabilities that differ within an arm and stratum; covariates that differ between
        the arms (p < .0005); arms of unequal size where few customers carry a metric, so that the difference is skew
        (above .5; sums of a warehouse do not tell how skew, and are taken for those of a flag). The relative one where
        control's mean is 0 or, by "delta", a mean is within 2 standard errors of it.

    Notes
    -----
    Intervals and p-values are those of Welch; with clusters of unequal size, degrees of freedom are those of
    (sum of sizes)^2 / sum of squares clusters. As customers stand for those to come, the error of the covariates' means
    and of the strata's shares is included, which is too careful where strata are tiny.

    Measured cover of 95 % intervals where 1 % of customers buy: 95 % in equal arms of 1,000 and more. Beside a nine
    times larger arm: of flags 94 % with 8 buyers in the smaller one; of log-normal amounts (sigma 1), where not
    refused, 95 % with 150 buyers (4 % are refused), 93 % with 50 (21 %), 92 % with 18 (72 %); sigma 1.5: 92 % with 300
    (43 %).

    References
    ----------
    Lin (2013), Annals of Applied Statistics 7, 295-318. Deng, Xu, Kohavi and Walker (2013), WSDM (pooled). Deng,
    Knoblich and Lu (2018), KDD (ratios). Miratrix, Sekhon and Yu (2013), JRSS B 75, 369-396 (strata). Carter, Schnepel
    and Steigerwald (2017), Review of Economics and Statistics 99, 698-709 (clusters of unequal size).

    Examples
    --------
    >>> shop = pl.DataFrame({"customer_id": range(60), "arm": ["ad", "none"] * 30, "orders": [2, 1, 3, 1, 1, 0] * 10})
    >>> lift(shop, control="none", metrics="orders")
    ad - none, per assigned customer: 1.333 (0.981 to 1.686) orders, n = 60
    ad - none, relative to control: 2.00 (1.25 to 3.20) share, n = 60
    """
    check_level(level)
    choose("adjustment", adjustment, ("interacted", "pooled"))
    for name, one, allowed in (("errors", errors, ("hc2", "moments")), ("relative", relative, ("fieller", "delta"))):
        if one is not None:
            choose(name, one, allowed)
    asked, covariates = metrics_of(metrics), listed(covariates, name="covariates")
    options: dict[str, Any] = {"strata": strata, "cluster": cluster, "by": by, "winsorise": winsorise}
    if isinstance(outcomes, Moments):
        held, reason = _given(outcomes, errors, options, shares)
    else:
        robust = adjustment == "interacted" and errors != "moments" and bool(covariates)
        held, asked, reason = counted(outcomes, asked, covariates, robust, shares, **options)
    arms = others((arm for _, _, arm in held.cells), control)
    question = Question(held, control, asked, covariates, adjustment == "pooled", relative, level)
    groups = sorted({group for group, _, _ in held.cells})
    return EstimateTable.from_rows(row for group in groups for arm in arms for row in question.rows(group, arm, reason))


def _given(
    held: Moments, errors: str | None, options: Mapping[str, Any], shares: Mapping[str, float] | None
) -> tuple[Moments, str | None]:
    if named := [name for name, one in options.items() if one is not None]:
        raise ValueError(
            f"{named[0]} is {options[named[0]]!r}, but moments are counted already; say it when making them."
        )
    if errors == "hc2":
        raise ValueError("errors is 'hc2', which needs rows; moments have errors='moments'.")
    if shares is None:
        return held, None
    counts: dict[str, int] = {}
    for (_, _, arm), cell in held.cells.items():
        counts[arm] = counts.get(arm, 0) + cell.n
    check_shares(shares, counts)
    return held, ratio_reason(counts, shares, unit=held.units)


def counted(
    outcomes: Any,
    asked: Metrics,
    covariates: Sequence[str],
    robust: bool,
    shares: Mapping[str, float] | None,
    *,
    strata: str | None,
    cluster: str | None,
    by: str | None,
    winsorise: float | None,
) -> tuple[Moments, Metrics, str | None]:
    """The moments of rows, the metrics as they are then called, and why nothing can be compared, if so."""
    frame, numbers = to_polars(outcomes), columns_of(asked)
    told = [name for name in ("probability", "cluster") if name in frame.columns]
    table = rows_of(frame, numbers=numbers, covariates=covariates, keep=(by, strata, cluster, *told))
    if winsorise is not None:
        table, asked = _cut(table, asked, winsorise)
    held = gathered(table, [*numbers, *covariates], by=by, strata=strata, cluster=cluster, keep_rows=robust)
    reason = unequal(table, [one for one in (by, strata, "arm") if one]) if "probability" in told else None
    if cluster is None and "cluster" in told:
        reason = reason or whole_clusters(table)
    dealt = {"stratum": strata, "cluster": cluster, "probability": "probability" if "probability" in told else None}
    columns = (pl.col(one).alias(name) for name, one in dealt.items() if one)
    reason = reason or split_reason(table.select("customer_id", "arm", *columns), shares=shares)
    return Moments(**held, **window_of(outcomes)), asked, reason


def unequal(table: pl.DataFrame, cell: Sequence[str]) -> str | None:
    """Why arms differ in who is in them, if their customers' chances varied within a cell."""
    spread = pl.col("probability").max() - pl.col("probability").min()
    if not (table.group_by(cell).agg(spread)["probability"] > 1e-9).any():
        return None
    return (
        "customers of one arm were assigned with different probabilities, so the arms differ in more than the ads; "
        "compare within strata= of equal probability."
    )


def unfair(table: pl.DataFrame) -> str | None:
    """Why arms cannot be compared without strata, if they cannot: unequal chances, or counts that are no chance."""
    return (unequal(table, ["arm"]) if "probability" in table.columns else None) or split_reason(table)


def _cut(table: pl.DataFrame, asked: Metrics, winsorise: float) -> tuple[pl.DataFrame, Metrics]:
    """Each metric at most its quantile, under a name that says so."""
    if not isinstance(winsorise, float) or not 0.5 < winsorise < 1:
        raise ValueError(f"winsorise is {winsorise!r}; it must be a quantile between 0.5 and 1, e.g. 0.99, or None.")
    if ratios := [name for name, (_, bottom) in asked.items() if bottom]:
        raise ValueError(f"winsorise is {winsorise}, and {ratios[0]!r} is a ratio; cut its columns before the call.")
    columns = columns_of(asked)
    bound = table.select(pl.col(columns).quantile(winsorise, "higher")).row(0, named=True)
    named: Metrics = {f"{name} up to {bound[top]:.6g}": (top, None) for name, (top, _) in asked.items()}
    return table.with_columns(pl.col(one).clip(upper_bound=bound[one]) for one in columns), named
