"""Whose orders came in through the ad: new ones, or some that would have come anyway?

In: Outcomes with paid and organic orders of each customer. Out: `cannibalisation` -> EstimateTable.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator
from itertools import combinations
from typing import Any

from shoptoolkit.contract import EstimateTable, estimate_row, refused_row
from shoptoolkit.contract.check import check_level, listed
from shoptoolkit.contract.estimates import two_sided, z_of
from shoptoolkit.incrementality.door import ESTIMANDS, MEASURES, QUESTION, window_of
from shoptoolkit.incrementality.joint import Joint, joints, words_of

WHOSE = "Whose orders are those through the ad?"
_SHARES = ("taken from organic", "on top")


def cannibalisation(
    outcomes: Any,
    *,
    control: str,
    paid: str = "paid_orders",
    organic: str = "organic_orders",
    net: str = "orders",
    covariates: str | Iterable[str] = (),
    strata: str | None = None,
    cluster: str | None = None,
    by: str | None = None,
    level: float = 0.95,
) -> EstimateTable:
    """Did the ad bring orders, or take those that would have come by themselves?

    Parameters
    ----------
    outcomes
        Outcomes (contract), or what `incrementality.outcomes` gives: one row per customer.
    control
        The arm that all others are compared with.
    paid, organic
        Columns: a customer's orders (or revenue) that came in through what was paid for, and all others.
    net
        What their sum is called.
    covariates
        Columns known before, named "pre_...": each arm has a regression of its own on them.
    strata
        Column of strata known before the experiment: arms are compared within them and weighed by their customers.
    cluster
        Column of what was assigned, where that was not the customer (households, regions).
    by
        Column of groups known before the experiment, such as new and loyal: an answer for each, and how much later
        groups differ from earlier ones.
    level
        Coverage of the intervals.

    Returns
    -------
    EstimateTable
        Per arm and group, `n` customers of both arms: additional `paid`, `organic` and `net` per assigned (or eligible,
        if outcomes start so) customer (p-values against none), then, with the question "Whose orders are those through
        the ad?" and the estimand "share of additional paid orders" (measure share): "taken from organic", - organic /
        paid, and "on top", net / paid. The two add up to 1. A group called "b - a" is the difference of b and a.

    Notes
    -----
    Paid and organic orders are of the same customers, so their errors are correlated; the sums and quotients know it.
    Shares have Fieller's set: where paid orders hardly rose it is two rays or any number. Bounds of the difference of
    two shares are put together from those of both (Zou 2007), and refused where a set is no interval. Else refused as
    `lift` is.

    What is taken is what would have come, organically, in the outcomes' window: orders displaced and orders pulled
    forward within it. Those pulled forward from after the window count as new; take one that ends after they are paid
    back. An order that would have come through paid media anyway, and did, is in neither.

    Raises
    ------
    ContractError
        Outcomes break their contract, or a column is missing, null or infinite.
    ValueError
        `control` is no arm; a covariate is not known before; `paid`, `organic` and `net` are not three names.

    References
    ----------
    Fieller (1954), JRSS B 16, 175-185. Zou (2007), Psychological Methods 12, 399-413.

    Examples
    --------
    >>> import polars as pl
    >>> frame = pl.DataFrame({"customer_id": range(400), "arm": ["ad", "none"] * 200})
    >>> is_ad, k = pl.col("arm") == "ad", pl.col("customer_id") % 10
    >>> frame = frame.with_columns(paid_orders=(is_ad & (k < 6)).cast(int), organic_orders=(~is_ad & (k < 2)).cast(int))
    >>> cannibalisation(frame, control="none").table.select("metric", pl.col("estimate").round(3)).rows()[1:]
    [('organic_orders', -0.2), ('orders', 0.4), ('taken from organic', 0.333), ('on top', 0.667)]
    """
    check_level(level)
    window = window_of(outcomes)
    how: dict[str, Any] = {"covariates": listed(covariates, name="covariates"), "strata": strata, "cluster": cluster}
    told = {"level": level, "method": words_of("as assigned", **how)}
    told |= {"horizon_days": window["window_days"]}
    if not all(isinstance(one, str) for one in (paid, organic, net)) or len({paid, organic, net, *_SHARES}) < 5:
        raise ValueError(f"paid, organic and net are {paid!r}, {organic!r}, {net!r}; they must be three names.")
    per_customer = ESTIMANDS[window["start"]]
    found: dict[str, list[list[dict[str, Any]]]] = {}
    for group, arm, both in joints(outcomes, control=control, numbers=[paid, organic], by=by, **how):
        words = told | {"group": group, "contrast": f"{arm} - {control}"}
        found.setdefault(arm, []).append(list(_rows(both, paid, organic, net, per_customer, words)))
    rows: list[dict[str, Any]] = []
    for groups in found.values():
        rows += (row for group in groups for row in group)
        rows += (_apart(*pair) for one, two in combinations(groups, 2) for pair in zip(one, two, strict=True))
    return EstimateTable.from_rows(rows)


def _rows(
    both: Joint, paid: str, organic: str, net: str, per_customer: str, words: dict[str, Any]
) -> Iterator[dict[str, Any]]:
    """The rows of one arm and group."""
    sums = {paid: {paid: 1.0}, organic: {organic: 1.0}, net: {paid: 1.0, organic: 1.0}}
    row = words | {"question": QUESTION, "estimand": per_customer}
    for metric, weights in sums.items():
        yield both.row(weights, metric=metric, measure=MEASURES.get(metric, MEASURES.get(net)), **row)
    row = words | {"question": WHOSE, "estimand": "share of additional paid orders", "measure": "share"}
    for metric, weights in zip(_SHARES, ({organic: -1.0}, sums[net])):
        yield both.ratio(weights, sums[paid], metric=metric, **row)


def _apart(one: dict[str, Any], two: dict[str, Any]) -> dict[str, Any]:
    """How much a row differs from that of an earlier group; customers of two groups are independent (Zou 2007)."""
    kept = ("question", "estimand", "metric", "contrast", "method", "measure", "horizon_days", "level")
    row = {name: two[name] for name in kept} | {"group": f"{two['group']} - {one['group']}", "n": one["n"] + two["n"]}
    for each in (one, two):
        if each["verdict"] == "refused" or each["set_shape"] != "interval":
            why = each.get("reason") or "Its set is no interval, as the divisor is hardly distinct from 0."
            return refused_row(reason=f"{each['group']}: {why}", **row)
    apart = two["estimate"] - one["estimate"]
    below = math.hypot(two["estimate"] - two["low"], one["high"] - one["estimate"])
    above = math.hypot(two["high"] - two["estimate"], one["estimate"] - one["low"])
    row["p_value"] = two_sided(apart, (below if apart > 0 else above) / z_of(row["level"]))
    error = math.hypot(one["standard_error"], two["standard_error"])
    return estimate_row(estimate=apart, standard_error=error, low=apart - below, high=apart + above, **row)
