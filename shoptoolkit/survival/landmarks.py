"""From requests to spells: how long after each moment until the customer's next order?

In: Orders and Requests. Out: `landmark_spells`, one row per request, beside the features that were known then (rule R4:
what is asked at the request stays as it was; nothing after it is looked at but the order that ends the wait).
"""

from __future__ import annotations

from datetime import date, datetime
from typing import Any

import polars as pl

from shoptoolkit.contract import ContractError, Orders, Requests, require
from shoptoolkit.contract.clock import day_of, local_day

_NEW = ("duration_days", "repurchased", "waited_days")
_KEYS = ["customer_id", "__at"]


def landmark_spells(orders: Any, requests: Any, *, as_of: datetime | date | str, timezone: str = "UTC") -> pl.DataFrame:
    """How long after each request until the customer's next order, in whole days of the shop?

    Parameters
    ----------
    orders
        Orders.
    requests
        Requests: customer_id, as_of (the moment of the request), and any other columns, e.g. of
        `features.as_of_features`. A customer may have several.
    as_of
        The first day not looked at, as in `repurchase_spells`. The log must reach to it.
    timezone
        Whose days are counted.

    Returns
    -------
    pl.DataFrame
        The requests, same rows in the same order, all columns kept, and

        duration_days: days until the next order at or after the request; its own day is day 1. If there was none, the
        days watched. Null where no day after the request is over by `as_of`: such a request is no spell, but can be
        predicted. Drop the nulls before a fit.
        repurchased: False = no order yet on the last day looked at; null with duration_days.
        waited_days: days over between the day of the last order before the request and the request's (0: it was that
        day or the day before). Null without such an order, and for a request after `as_of`.

        Of a request at midnight, waited_days + duration_days is the time from order to order of `repurchase_spells`.

    Raises
    ------
    ContractError
        Orders or requests break their contract, their ids are of two types, or a column has the name of a new one.
    ValueError
        `as_of` or `timezone` cannot be read.

    References
    ----------
    van Houwelingen (2007), Scandinavian Journal of Statistics 34, 70-85.

    Examples
    --------
    >>> from datetime import datetime
    >>> import polars as pl
    >>> orders = pl.DataFrame({"customer_id": ["a", "a"], "order_id": [1, 2], "order_number": [1, 2], "items": 1,
    ...     "ordered_at": [datetime(2024, 1, 1, 9), datetime(2024, 1, 21, 9)], "gross_revenue": 9.0, "refunded": 0.0,
    ...     "revenue": 9.0})
    >>> requests = pl.DataFrame({"customer_id": ["a", "a", "b"], "as_of": [datetime(2024, 1, 5), datetime(2024, 1, 31),
    ...     datetime(2024, 1, 31)]})
    >>> landmark_spells(orders, requests, as_of="2024-02-01").drop("as_of").rows()
    [('a', 17.0, True, 3.0), ('a', 1.0, False, 9.0), ('b', 1.0, False, None)]
    """
    end = day_of(as_of, timezone=timezone)
    bought = require(orders, Orders).filter(local_day("ordered_at", timezone=timezone) < end)
    asked = require(requests, Requests)
    _refuse(bought, asked)
    # one sort; of a request and an order at one moment, the request comes first: its outcome is at or after it
    stack = pl.concat(
        [
            asked.select("customer_id", __at="as_of", __row=pl.int_range(pl.len(), dtype=pl.Int64)),
            bought.select("customer_id", __at="ordered_at", __row=pl.lit(None, pl.Int64)),
        ]
    ).sort(*_KEYS, "__row", nulls_last=True)
    order = pl.when(pl.col("__row").is_null()).then(pl.struct(*_KEYS))
    both = {"__last": order.forward_fill(), "__next": order.backward_fill()}
    mine = {name: one.struct.field("customer_id") == pl.col("customer_id") for name, one in both.items()}
    near = stack.with_columns(**{name: pl.when(mine[name]).then(both[name].struct.field("__at")) for name in both})
    table = near.filter(pl.col("__row").is_not_null()).sort("__row").select(*both).hstack(asked.select(__at="as_of"))
    days = table.select(local_day(name, timezone=timezone).alias(name) for name in table.columns)
    return asked.hstack(days.select(**_lengths(end)))


def _lengths(end: date) -> dict[str, pl.Expr]:
    """Whole days, from the days of the request, of the last order before it and of the next one."""
    watched = (end - pl.col("__at")).dt.total_days()
    until = (pl.col("__next") - pl.col("__at")).dt.total_days() + 1
    since = (pl.col("__at") - pl.col("__last")).dt.total_days() - 1
    return {
        "duration_days": pl.when(watched > 0).then(pl.min_horizontal(until, watched)).cast(pl.Float64),
        "repurchased": pl.when(watched > 0).then(pl.col("__next").is_not_null()),
        "waited_days": pl.when(watched >= 0).then(since.clip(0)).cast(pl.Float64),
    }


def _refuse(orders: pl.DataFrame, requests: pl.DataFrame) -> None:
    theirs, ours = orders.schema["customer_id"], requests.schema["customer_id"]
    if theirs != ours:
        raise ContractError(f"requests: 'customer_id' is {ours}, but {theirs} in the orders; cast one of them.")
    if taken := [name for name in _NEW if name in requests.columns]:
        raise ContractError(f"requests: {', '.join(map(repr, taken))} would be overwritten; rename or drop it.")
