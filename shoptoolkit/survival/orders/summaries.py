"""What the buy-till-you-die models need to know of a customer: how many orders, the last of them when, seen how long.

In: Orders. Out: `summarise_orders` -> one row per customer, or counts of equal histories.
"""

from __future__ import annotations

from datetime import date, datetime, timedelta
from typing import Any

import numpy as np
import polars as pl

from shoptoolkit.contract import ContractError, Orders, require, to_polars
from shoptoolkit.contract.check import check_number
from shoptoolkit.contract.clock import day_of, local_day
from shoptoolkit.contract.schemas import Contract

HISTORY = ("repeat_orders", "last_order_age", "age")


def summarise_orders(
    orders: Any,
    *,
    as_of: datetime | date | str,
    since: datetime | date | str | None = None,
    unit_days: float = 1.0,
    opportunities: bool = False,
    value: str | None = "gross_revenue",
    counts: bool = False,
    timezone: str = "UTC",
) -> pl.DataFrame:
    """How often did each customer order again, when last, and for how long have we seen them?

    Parameters
    ----------
    orders
        Orders; of them only customer_id, ordered_at, `value` and history_known are looked at.
    as_of
        The first day not looked at; the log must reach to that day.
    since
        Take only customers whose first order in the log lies on or after this day. Needed where the history before the
        log is not known: who was not seen before `since` is then taken for new.
    unit_days
        Unit of the ages: 1.0 days, 7.0 weeks.
    opportunities
        True, for the BG/BB: whole periods of `unit_days` after a customer's first order. `age` counts those that are
        over, repeat_orders those with an order, last_order_age is the number of the last such.
    value
        Column to average; None leaves mean_value out.
    counts
        True: customers with equal histories in one row, with their number as `weight`. The fits give the same answer.
    timezone
        Orders on one calendar day of this zone are one occasion.

    Returns
    -------
    pl.DataFrame
        customer_id (sorted), repeat_orders (days with an order after the first such day), last_order_age (from the
        first order to the last, 0 without a repeat), age (from the first order to the last day looked at), and
        mean_value of the repeat days (null without one). With `counts`: repeat_orders, last_order_age, age, weight.

    Raises
    ------
    ContractError
        The orders break their contract, or their history before the log is not known and `since` is not given.
    ValueError
        An argument cannot be used, or leaves no customer.

    Examples
    --------
    >>> from datetime import datetime
    >>> days = [datetime(2024, 1, 1), datetime(2024, 1, 11), datetime(2024, 1, 11), datetime(2024, 1, 2)]
    >>> orders = pl.DataFrame({"customer_id": ["a", "a", "a", "b"], "ordered_at": days,
    ...                        "gross_revenue": [5.0, 2.0, 4.0, 9.0], "history_known": True})
    >>> summarise_orders(orders, as_of="2024-02-01").rows()
    [('a', 1, 10.0, 30.0, 6.0), ('b', 0, 0.0, 29.0, None)]
    """
    check_number(unit_days=unit_days)
    if not (np.isfinite(unit_days) and unit_days > 0):
        raise ValueError(f"unit_days is {unit_days}; it must be a number of days > 0, e.g. 7.0 for weeks.")
    table = _checked(orders, value, since is not None)
    end = day_of(as_of, timezone=timezone)
    table = table.with_columns(day=local_day("ordered_at", timezone=timezone)).filter(pl.col("day") < end)
    if table.is_empty():
        raise ValueError(f"as_of is {as_of}, and no order lies before that day.")
    told = _histories(table, value, end - timedelta(days=1), unit_days, opportunities)
    if since is not None:
        told = told.filter(pl.col("first") >= day_of(since, timezone=timezone, name="since"))
    if told.is_empty():
        raise ValueError(f"since is {since}, and no customer's first order lies from that day up to {as_of}.")
    told = told.drop("first")
    return told.group_by(HISTORY).agg(weight=pl.len().cast(pl.Int64)).sort(HISTORY) if counts else told


def _checked(orders: Any, value: str | None, is_chosen: bool) -> pl.DataFrame:
    """Only the columns that count, by the contract of orders (10M rows: each column costs)."""
    frame = to_polars(orders)
    wanted = ["customer_id", "ordered_at", "history_known", *([value] if value else [])]
    fields = {name: Orders.fields[name] for name in wanted[:3]}
    if value is not None:
        fields[value] = Orders.fields.get(value, Orders.fields["revenue"])
    rows = frame.select([name for name in wanted if name in frame.columns])
    table = require(rows, Contract(name="orders", fields=fields))
    known = "history_known" in table.columns and bool(table["history_known"].fill_null(False).all())
    if not known and not is_chosen:
        raise ContractError(
            "orders: history_known is not true, so a customer's first order may lie before the log and every age would "
            "be too short. Pass features.orders(..., history_known=True) if the log is complete; or since=DAY, to take "
            "only customers who were not seen in the log before that day."
        )
    return table


def _histories(
    table: pl.DataFrame, value: str | None, last_day: date, unit: float, opportunities: bool
) -> pl.DataFrame:
    """One row per customer from bins of whole days; no hashing of rows where ids are whole numbers close together."""
    from shoptoolkit.survival.orders.counting import histories

    codes, ids = _codes(table["customer_id"])
    epoch = int(table["day"].cast(pl.Int32).min())  # type: ignore[arg-type]
    days = table["day"].cast(pl.Int32).to_numpy() - np.int32(epoch)
    money = table[value].cast(pl.Float64).to_numpy() if value else np.empty(0)
    end = (last_day - date(1970, 1, 1)).days - epoch
    first, last, repeats, spent = histories(codes, days, money, len(ids), end, unit if opportunities else 0.0)
    age = (end - first) / unit
    late = (last - first) / unit
    if opportunities:
        age, late = np.floor(age + 1e-9), last.astype(float)
    told = pl.DataFrame(
        {"customer_id": ids, "repeat_orders": repeats, "last_order_age": late, "age": age, "first": first}
    ).with_columns((pl.col("first") + epoch).cast(pl.Int32).cast(pl.Date))
    if value:
        told = told.with_columns(
            mean_value=pl.Series(spent) / pl.when(pl.col("repeat_orders") > 0).then("repeat_orders")
        )
    return told.filter(pl.Series(first >= 0))


def _codes(ids: pl.Series) -> tuple[np.ndarray, pl.Series]:
    """Each row's number of its customer, and the customers by number, sorted; the numbers may have gaps."""
    if ids.dtype.is_integer():
        low, high = int(ids.min()), int(ids.max())  # type: ignore[arg-type]
        if high - low < 8 * len(ids):
            return (ids.cast(pl.Int64) - low).to_numpy(), pl.int_range(low, high + 1, eager=True).cast(ids.dtype)
    names = ids.unique().sort()
    numbers = pl.DataFrame({"id": names}).with_row_index("code")
    return ids.to_frame("id").join(numbers, on="id", how="left", maintain_order="left")["code"].cast(
        pl.Int64
    ).to_numpy(), names
