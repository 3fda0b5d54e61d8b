"""What the ad earned: revenue and margin it added, what it cost, and what is left.

In: Outcomes with each customer's revenue, and what was spent. Out: `incremental_value` -> EstimateTable.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any

import polars as pl

from shoptoolkit.contract import ContractError, EstimateTable, Outcomes, require
from shoptoolkit.contract.check import check_level, check_span, listed
from shoptoolkit.incrementality.door import ESTIMANDS, QUESTION, others, rows_of, window_of
from shoptoolkit.incrementality.joint import Joint, joints, words_of

_COST = "cost"


def incremental_value(
    outcomes: Any,
    *,
    control: str,
    margin_share: float,
    cost: str | float,
    revenue: str = "revenue",
    value: str | None = None,
    covariates: str | Iterable[str] = (),
    strata: str | None = None,
    cluster: str | None = None,
    by: str | None = None,
    level: float = 0.95,
) -> EstimateTable:
    """What did the ad earn, and was it worth what it cost?

    Parameters
    ----------
    outcomes
        Outcomes (contract), or what `incrementality.outcomes` gives: one row per customer.
    control
        The arm that all others are compared with.
    margin_share
        What the shop keeps of a unit of revenue before ads, above 0 and at most 1.
    cost
        What the campaign cost, in the currency of `revenue`: a column of each customer's (0 in control; random, as who
        sees how many ads is), or a number, the total spent on the one arm that is compared with control (known).
    revenue
        Column of each customer's revenue.
    value
        Column of what each customer is expected to be worth after the window, up to a horizon, such as
        `survival.customer_value` gives from what was known at its end.
    covariates
        Columns known before, named "pre_...": each arm has a regression of its own on them.
    strata
        Column of strata known before the experiment: arms are compared within them and weighed by their customers.
    cluster
        Column of what was assigned, where that was not the customer (households, regions).
    by
        Column of groups known before the experiment: an answer for each. `cost` must then be a column.
    level
        Coverage of the intervals.

    Returns
    -------
    EstimateTable
        Per arm and group, `n` customers of both arms, per assigned (or eligible) customer, in currency: `revenue`,
        "margin" (margin_share x revenue), "cost", "profit" (margin - cost; p-value against none) and `value`, where
        given. Then "iroas" (measure ratio), incremental revenue per unit of cost; p-value against 1 / margin_share,
        where profit begins. To have totals, multiply by the customers of the arm.

    Notes
    -----
    Revenue and cost are of the same customers, so their errors are correlated; profit and iroas know it. With a random
    cost iroas has Fieller's set, which need not be an interval where few customers carry the cost. Refused: cost and
    iroas where nothing was spent. Else refused as `lift` is.

    Raises
    ------
    ContractError
        Outcomes break their contract; a column is missing, null or infinite; a cost is negative, or in control.
    ValueError
        `control` is no arm, `margin_share` or `cost` is out of range, one total is given for several arms or groups, or
        a column is called as a row of the answer.

    References
    ----------
    Lewis and Rao (2015), Quarterly Journal of Economics 130, 1941-1973: why such intervals are wide. Fieller (1954),
    JRSS B 16, 175-185.

    Examples
    --------
    >>> frame = pl.DataFrame({"customer_id": range(400), "arm": ["ad", "none"] * 200})
    >>> frame = frame.with_columns(revenue=pl.col("customer_id") % 7 + 2.0 * (pl.col("arm") == "ad"))
    >>> told = incremental_value(frame, control="none", margin_share=0.5, cost=120).table
    >>> told.select("metric", pl.col("estimate").round(2)).rows()
    [('revenue', 2.02), ('margin', 1.01), ('cost', 0.6), ('profit', 0.41), ('iroas', 3.36)]
    """
    check_level(level)
    if isinstance(margin_share, bool) or not isinstance(margin_share, int | float) or not 0 < margin_share <= 1:
        raise ValueError(f"margin_share is {margin_share!r}; it must be above 0 and at most 1, e.g. 0.3.")
    window = window_of(outcomes)
    how: dict[str, Any] = {"covariates": listed(covariates, name="covariates"), "strata": strata, "cluster": cluster}
    numbers = listed([revenue, *([value] if value else [])], name="revenue and value")
    if taken := [one for one in numbers if one in ("margin", _COST, "profit", "iroas")]:
        raise ValueError(f"{taken[0]!r} is what a row of the answer is called; rename that column, to 'revenue' or so.")
    per_customer = ESTIMANDS[window["start"]]
    frame = _with_cost(require(outcomes, Outcomes), cost, control, is_split=by is not None)
    told = {"question": QUESTION, "level": level, "horizon_days": window["window_days"]}
    told["method"] = words_of(f"as assigned, {'random' if isinstance(cost, str) else 'known'} cost", **how)
    rows: list[dict[str, Any]] = []
    for group, arm, both in joints(frame, control=control, numbers=numbers, beside=[_COST], by=by, **how):
        words = told | {"group": group, "contrast": f"{arm} - {control}"}
        rows += _rows(both, revenue, value, margin_share, per_customer, words)
    return EstimateTable.from_rows(rows)


def _with_cost(table: pl.DataFrame, cost: str | float, control: str, *, is_split: bool) -> pl.DataFrame:
    """The table with each customer's cost; a total is shared out evenly over the arm."""
    arms = others(table["arm"].unique(), control)
    is_treated = pl.col("arm") != control
    if not isinstance(cost, str):
        check_span("cost", cost, unit="units of currency", example="12_000")
        if is_split or len(arms) > 1:
            raise ValueError(f"cost is {cost!r}, one total for several arms or groups; give a column of customers'.")
        return table.with_columns(pl.when(is_treated).then(cost / is_treated.sum()).otherwise(0.0).alias(_COST))
    checked = rows_of(table, numbers=[cost])
    if negative := checked.filter(pl.col(cost) < 0).height:
        raise ContractError(f"outcomes: {cost!r} is below 0 for {negative:,} customers; give what was spent on each.")
    if spent := checked.filter(~is_treated & (pl.col(cost) > 0)).height:
        raise ContractError(
            f"outcomes: {cost!r} is above 0 for {spent:,} customers of {control!r}; it must be what the campaign cost, "
            "and there was none in control. Leave out what is spent in any case."
        )
    return table.with_columns(checked[cost].alias(_COST))


def _rows(
    both: Joint, revenue: str, value: str | None, margin_share: float, per_customer: str, words: dict[str, Any]
) -> Iterator[dict[str, Any]]:
    """The rows of one arm and group."""
    earned, spent, kept = {revenue: 1.0}, {_COST: 1.0}, {revenue: margin_share}
    sums = {revenue: earned, "margin": kept, "cost": spent, "profit": kept | {_COST: -1.0}}
    for metric, weights in (sums | ({value: {value: 1.0}} if value else {})).items():
        yield both.row(weights, estimand=per_customer, metric=metric, measure="currency", **words)
    row = words | {"estimand": "incremental revenue per unit of cost", "metric": "iroas", "measure": "ratio"}
    yield both.ratio(earned, spent, null=1 / margin_share, **row)
