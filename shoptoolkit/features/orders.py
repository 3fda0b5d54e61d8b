"""Lines become orders, orders become customers.

In: Events. Out: `orders` (one row per order, refunds set against it) and `rfm` (one row per customer: recency, number
and value of orders, with scores).
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import date, datetime
from typing import Any

import numpy as np
import polars as pl

from shoptoolkit.contract import ContractError, Events, Orders, require
from shoptoolkit.contract.arrays import Ints
from shoptoolkit.contract.check import check_number
from shoptoolkit.contract.clock import arrival, day_of, local_day, moment, zone
from shoptoolkit.contract.lines import line_amount, moves_money, order_key, pieces
from shoptoolkit.features.given import check_flag, texts
from shoptoolkit.features.in_time import is_new

_ORDER, _ITEM = ["customer_id", "order_id"], ["customer_id", "item_id"]
_MONEY = ("gross_revenue", "refunded", "revenue")
_FIRST = ("customer_id", "order_id", "ordered_at", "order_number", *_MONEY, "items", "history_known")


def orders(
    events: Any,
    *,
    as_of: datetime | date | str | None = None,
    timezone: str = "UTC",
    history_known: bool = False,
    keep: str | Sequence[str] = (),
) -> pl.DataFrame:
    """The shop's orders: lines of one order together, refunds set against the order they belong to.

    Parameters
    ----------
    events
        Events. Lines with one `order_id` are one order; without `order_id`, a customer's purchases at one moment.
    as_of
        The first day not looked at (a date, or text like "2011-12-09"): lines and refunds of that day and later, or
        known (`known_at`) only then, are left out. None: the whole log. Give it where something is to be predicted or
        scored as of that day; else a later refund would tell.
    timezone
        Where the shop's days begin.
    history_known
        True if the log holds every order these customers ever made. False (a log that starts late) makes cohorts of
        first orders and new-customer labels refuse.
    keep
        Further columns to carry: the value on the order's first line (of lines at the same moment, the first in sorted
        order).

    Returns
    -------
    pl.DataFrame
        Orders, sorted by customer and time: customer_id, order_id, ordered_at (first line, UTC), order_number (1.. as
        seen), gross_revenue, refunded, revenue (gross less refunded; all in the currency of `price`, line totals
        rounded to cents), items (pieces), history_known, and, where the events have them, source (of the first line),
        category (the one with most money in the order) and the columns of `keep`. The order of the events does not
        matter.

    Notes
    -----
    A refund belongs to the order with its `order_id`; else to the customer's latest earlier order with its `item_id`;
    else to the customer's latest earlier order. A refund before any order of the customer reduces none;
    `contract.reconcile` tells how much that is.

    Raises
    ------
    ContractError
        The events break their contract, have no purchase, or lack a column of `keep`.
    ValueError
        `keep` names a column that orders have anyway, or no event lies before `as_of`.
    TypeError
        `history_known` is neither True nor False; `keep` lists what is no text.
    """
    check_flag("history_known", history_known)
    zone(timezone)
    lines = require(events, Events)
    _check_keep(keep := texts("keep", keep), lines.columns)
    lines = _before(lines, as_of, timezone)
    if not (lines["event"] == "purchase").any():
        raise ContractError("events: no row is a purchase, so there are no orders.")
    lines = _with_cents(lines)
    purchases = _by_order(_with_order_id(lines.filter(pl.col("event") == "purchase")))
    table = _per_order(purchases, keep)
    if "category" in lines.columns:
        table = table.join(_main_category(purchases), on="__order", how="left", maintain_order="left")
    refunded = _refunded(lines.filter(pl.col("event") == "refund"), purchases, table)
    out = (
        table.with_columns(_number(), refunded=pl.Series(refunded), history_known=pl.lit(history_known))
        .with_columns(revenue=pl.col("gross_revenue") - pl.col("refunded"))
        .with_columns(_from_cents(pl.col(_MONEY)))
    )
    return out.select(*_FIRST, pl.exclude(*_FIRST, "__order"))


def rfm(orders: Any, *, as_of: datetime | date | str, timezone: str = "UTC", bins: int = 5) -> pl.DataFrame:
    """Who bought lately, often and for much: recency, number and value of orders per customer, with scores.

    Parameters
    ----------
    orders
        Orders; only those before the day of `as_of` are looked at.
    as_of
        The first day not looked at (a date, or text like "2011-12-09"); of a moment within a day, that day. Make the
        orders with the same `as_of`, so that refunds after it are not looked at either.
    timezone
        Whole days are days of this zone.
    bins
        Scores run from 1 to `bins`, each about as many customers; equal values get equal scores.

    Returns
    -------
    pl.DataFrame
        customer_id, recency_days (whole days from the last order to `as_of`), orders, revenue, mean_order_value (both
        after refunds), recency_score, orders_score, revenue_score (`bins` is best). One row per customer, sorted by
        customer.

    Raises
    ------
    ContractError
        The orders break their contract.
    ValueError
        `bins` is below 2, no order lies before `as_of`, or some lie on or after it.

    References
    ----------
    Hughes (1994), Strategic Database Marketing.
    """
    check_number("bins", bins, least=2, whole=True)
    today = day_of(as_of, timezone=timezone)
    seen = require(orders, Orders)
    later = int((seen.select(local_day("ordered_at", timezone=timezone)).to_series() >= today).sum())
    if later:
        raise ValueError(
            f"as_of is {as_of}, and {later:,} of {len(seen):,} orders lie on or after it; their totals would look "
            "beyond it. Make the orders with features.orders(events, as_of=...)."
        )
    table = (
        seen.sort("customer_id")
        .group_by("customer_id", maintain_order=True)
        .agg(
            recency_days=(today - local_day("ordered_at", timezone=timezone).max()).dt.total_days(),
            orders=pl.len().cast(pl.Int64),
            revenue=(pl.col("revenue") * 100).round().cast(pl.Int64).sum(),
        )
    )
    score = {
        "recency_score": -pl.col("recency_days"),
        "orders_score": pl.col("orders"),
        "revenue_score": pl.col("revenue"),
    }
    scores = [(column.rank() * bins / pl.len()).ceil().cast(pl.Int64).alias(name) for name, column in score.items()]
    mean = (_from_cents(pl.col("revenue")) / pl.col("orders")).alias("mean_order_value")
    return table.with_columns(_from_cents(pl.col("revenue")), mean, *scores)


def _before(log: pl.DataFrame, as_of: datetime | date | str | None, timezone: str) -> pl.DataFrame:
    """The purchases and refunds before the day of `as_of`."""
    lines = log.filter(moves_money()).rechunk()  # rows are picked slowly from the many pieces of a parquet file
    if as_of is None:
        return lines
    end = moment(day_of(as_of, timezone=timezone), timezone=timezone)
    known_at = arrival(lines.columns)
    is_seen = (pl.col("at") < end) & (known_at < end)
    if (seen := lines.filter(is_seen)).is_empty() and log.filter(is_seen).is_empty():
        raise ValueError(f"as_of is {as_of}, and no event lies before that day.")
    return seen


def _check_keep(keep: Sequence[str], columns: Sequence[str]) -> None:
    if absent := [name for name in keep if name not in columns]:
        raise ContractError(f"events: keep names {', '.join(map(repr, absent))}, not in {', '.join(columns)}.")
    if taken := [name for name in keep if name in _FIRST]:
        raise ValueError(f"keep names {', '.join(map(repr, taken))}, which orders have; leave it out or rename it.")


def _with_cents(lines: pl.DataFrame) -> pl.DataFrame:
    """Money as integer cents, whose sum has no order; a line without a quantity is one piece."""
    cents = (line_amount(lines.columns) * 100).round().cast(pl.Int64)
    return lines.with_columns(__cents=cents, quantity=pieces(lines.columns).cast(pl.Int64))


def _from_cents(cents: pl.Expr) -> pl.Expr:
    """Money again; polars divides by multiplying with .01, so 435 cents would be 4.3500000000000005."""
    return (cents / 100).round(2)


def _with_order_id(purchases: pl.DataFrame) -> pl.DataFrame:
    """Lines without a number: what a customer bought at one moment is one order."""
    if "order_id" in purchases.columns and not purchases["order_id"].null_count():
        return purchases
    return purchases.with_columns(order_id=order_key(purchases.columns))


def _by_order(purchases: pl.DataFrame) -> pl.DataFrame:
    """The lines by customer, first moment and number of their order, then in time; `__order` counts the orders from 0.

    Lines in time are that already, unless a customer's orders lie between each other: then a run of lines is no order.
    """
    lines = purchases.sort("customer_id", "at", "order_id")
    runs = lines.select(_ORDER).filter(is_new(*_ORDER))
    if runs["order_id"].n_unique() < len(runs) and runs.n_unique() < len(runs):
        first_at = pl.col("at").min().over(_ORDER)
        lines = purchases.sort("customer_id", first_at, "order_id", "at")
    return lines.with_columns(__order=is_new(*_ORDER).cum_sum() - 1)


def _per_order(lines: pl.DataFrame, keep: Sequence[str]) -> pl.DataFrame:
    """A row per order, of lines in that order. Ties are broken by value, so that the order of rows does not matter."""
    first = np.flatnonzero(lines.select(is_new("__order")).to_series().to_numpy())
    totals = {"gross_revenue": "__cents", "items": "quantity"}
    carried = [name for name in dict.fromkeys(("source", *keep)) if name in lines.columns and name != "category"]
    told = {name: _by_value(lines, name)[first] for name in carried}
    sums = {name: pl.Series(np.add.reduceat(lines[column].to_numpy(), first)) for name, column in totals.items()}
    return lines.select("__order", *_ORDER, ordered_at="at")[first].with_columns(**sums, **told)


def _by_value(lines: pl.DataFrame, name: str) -> pl.Series:
    """A column with the lines of an order at one moment sorted by it: fast, as only they are out of order."""
    keys = list(dict.fromkeys(("__order", "at", name)))
    return lines.select(keys).sort(keys, nulls_last=True)[name]


def _main_category(purchases: pl.DataFrame) -> pl.DataFrame:
    """The category with most money in each order; of equals, the first by name; lines without one have no say."""
    sums = purchases.drop_nulls("category").group_by("__order", "category").agg(pl.col("__cents").sum())
    ranked = sums.sort("__order", "__cents", "category", descending=[False, True, False])
    return ranked.filter(is_new("__order")).select("__order", "category")


def _number() -> pl.Expr:
    """A customer's orders, in time, from 1: boundary flags are six times faster than a window."""
    row = pl.int_range(pl.len(), dtype=pl.Int64)
    start = pl.when(is_new("customer_id")).then(row).forward_fill()
    return (row - start + 1).alias("order_number")


def _refunded(refunds: pl.DataFrame, purchases: pl.DataFrame, table: pl.DataFrame) -> Ints:
    """Refunded cents per order: by order number, else by item, else the customer's latest earlier order."""
    kept = [name for name in ("order_id", "item_id") if name in refunds.columns]
    left = refunds.select(pl.int_range(pl.len()).alias("refund"), "customer_id", "at", "__cents", *kept)
    targets = table.select(*_ORDER, "ordered_at", target="__order")
    found = []
    if "order_id" in kept:  # its own number needs no clock
        left = left.with_columns(pl.col("order_id").cast(table.schema["order_id"]))
        found.append(left.join(targets, on=_ORDER))
    if "item_id" in kept:
        bought = purchases.select(*_ITEM, ordered_at=table["ordered_at"][purchases["__order"]], target="__order")
        found.append(_latest(_left_of(left, found).drop_nulls("item_id"), bought, _ITEM))
    found.append(_latest(_left_of(left, found), targets, ["customer_id"]))
    matched = pl.concat(part.select("target", "__cents") for part in found)
    cents = np.zeros(len(table), np.int64)
    np.add.at(cents, matched["target"].to_numpy(), matched["__cents"].to_numpy())
    return cents


def _left_of(refunds: pl.DataFrame, found: Sequence[pl.DataFrame]) -> pl.DataFrame:
    for part in found:
        refunds = refunds.join(part, on="refund", how="anti")
    return refunds


def _latest(refunds: pl.DataFrame, targets: pl.DataFrame, keys: list[str]) -> pl.DataFrame:
    """Refunds with the latest order at or before them with the same keys: one sort, orders before refunds, fill."""
    orders = targets.join(refunds, on=keys, how="semi").select(*keys, pl.col("ordered_at").alias("at"), "target")
    both = pl.concat([orders, refunds.select(*keys, "at", "refund", "__cents")], how="diagonal")
    both = both.sort(*keys, "at", "refund", "target")
    row = pl.int_range(pl.len())
    begun, ordered = (
        pl.when(flag).then(row).forward_fill() for flag in (is_new(*keys), pl.col("target").is_not_null())
    )
    filled = both.with_columns(pl.col("target").forward_fill(), is_known=ordered >= begun)
    return filled.filter(pl.col("refund").is_not_null() & pl.col("is_known")).select("refund", "__cents", "target")
