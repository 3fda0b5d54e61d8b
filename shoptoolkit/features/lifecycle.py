"""Who is new, active, back, quiet or gone, period by period.

In: Orders. Out: `lifecycle` -> `Lifecycle`: how many customers are in which state.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date, datetime
from typing import Any

import numpy as np
import polars as pl

from shoptoolkit.contract import Orders, require
from shoptoolkit.contract.arrays import Ints
from shoptoolkit.contract.check import check_number, choose
from shoptoolkit.contract.clock import PERIODS, day_of, local_day
from shoptoolkit.contract.show import html_table
from shoptoolkit.features.given import whole
from shoptoolkit.features.in_time import first_rows


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Lifecycle:
    """How many customers are in which state in each period. Draw it with `figures.lifecycle`.

    `table`: period_start, state (new or first_seen, active, returned, quiet, lapsed), n_customers, share. Every state
    has a row in every period. `n`: customers known at the end.
    """

    table: pl.DataFrame
    period: str
    lapse_days: int
    n: int

    def __repr__(self) -> str:
        return f"Lifecycle of {self.n:,} customers by {self.period}, lapsed after {self.lapse_days} days\n{self.table}"

    def _repr_html_(self) -> str:
        wide = self.table.pivot("state", index="period_start", values="n_customers")
        note = f"lapsed: more than {self.lapse_days} days without an order"
        return html_table(wide, title=f"Customers by state, each {self.period}", note=note)


def lifecycle(
    orders: Any,
    *,
    as_of: datetime | date | str,
    period: str = "month",
    lapse_days: int = 90,
    timezone: str = "UTC",
) -> Lifecycle:
    """How many customers are new, active, back, quiet or gone in each period?

    Parameters
    ----------
    orders
        Orders.
    as_of
        The first day not looked at. Only periods that are over by then are told.
    period
        "week" (from Monday), "month" or "quarter", by the calendar of `timezone`.
    lapse_days
        A customer with more than so many days since the last order has lapsed.
    timezone
        Whole days are days of this zone.

    Returns
    -------
    Lifecycle
        For each period, of the customers whose first order lies before its end, n_customers and share in each state:

        - new: the first order lies in the period (`first_seen` where the history before the log is not known: old
          customers are among them, rule R2);
        - active, returned: another order lies in the period; the first such came at most, or more than, `lapse_days`
          after the order before it;
        - quiet, lapsed: no order lies in the period; at its end the last one is at most, or more than, `lapse_days` ago
          (counted to the first day after the period).

        These are all the shop's customers, no sample of them: a count has no interval.

    Raises
    ------
    ContractError
        The orders break their contract.
    ValueError
        `period`, `lapse_days`, `timezone` or `as_of` is none that can be used, or no period is over.

    Notes
    -----
    Each period's total is that of the one before plus its new customers; who has lapsed stays so or returns. The
    cost grows with orders plus periods, not with customers times periods.

    Examples
    --------
    >>> from datetime import datetime
    >>> import polars as pl
    >>> days = [datetime(2024, 1, 5), datetime(2024, 1, 20), datetime(2024, 3, 1)]
    >>> orders = pl.DataFrame({"customer_id": ["a", "b", "a"], "order_id": [1, 2, 3], "ordered_at": days,
    ...     "order_number": [1, 1, 2], "gross_revenue": 9.0, "refunded": 0.0, "revenue": 9.0, "items": 1,
    ...     "history_known": True})
    >>> told = lifecycle(orders, as_of="2024-04-01", lapse_days=60).table.filter(pl.col("n_customers") > 0)
    >>> [(start.month, state, n) for start, state, n, _ in told.rows()]
    [(1, 'new', 2), (2, 'quiet', 2), (3, 'active', 1), (3, 'lapsed', 1)]
    """
    choose("period", period, PERIODS)
    check_number("lapse_days", lapse_days, least=1, whole=True)
    table = require(orders, Orders)
    known = "history_known" in table.columns and bool(table["history_known"].fill_null(False).all())
    end = day_of(as_of, timezone=timezone)
    days = table.select("customer_id", day=local_day("ordered_at", timezone=timezone)).filter(pl.col("day") < end)
    starts = _starts(days["day"], end, PERIODS[period])
    if len(starts) < 2:
        raise ValueError(
            f"as_of is {as_of}, and no {period} with orders is over by then; take a shorter period, or a later as_of."
        )
    names = ["new" if known else "first_seen", "active", "returned", "quiet", "lapsed"]
    counts = _counts(days.filter(pl.col("day") < starts[-1]), _numbers(starts), whole(lapse_days))
    long = pl.DataFrame(counts, schema=names).with_columns(period_start=starts[:-1]).unpivot(index="period_start")
    long = long.rename({"variable": "state", "value": "n_customers"}).sort("period_start", maintain_order=True)
    return Lifecycle(
        table=long.with_columns(share=pl.col("n_customers") / pl.col("n_customers").sum().over("period_start")),
        period=period,
        lapse_days=int(lapse_days),
        n=int(counts[-1].sum()),
    )


def _starts(day: pl.Series, end: date, step: str) -> pl.Series:
    """First days of the periods that are over, and of the one that runs at `end`."""
    if day.is_empty():
        return day
    begin: Any = day.dt.truncate(step).min()
    return pl.date_range(begin, end, step, eager=True)


def _numbers(days: pl.Series) -> Ints:
    return days.to_physical().cast(pl.Int64).to_numpy()


def _counts(days: pl.DataFrame, starts: Ints, lapse_days: int) -> Ints:
    """Customers in each state (columns) in each period (rows): one look at each customer's orders in their order."""
    days = days.sort("customer_id", "day")
    day, n = _numbers(days["day"]), len(starts) - 1
    period = np.searchsorted(starts, day, side="right") - 1
    begins = first_rows(days)
    opens = begins | np.append(True, np.diff(period) != 0)  # the customer's first order in a period
    gap = np.append(0, np.diff(day))
    ordered = [opens & begins, opens & ~begins & (gap <= lapse_days), opens & ~begins & (gap > lapse_days)]
    closes = np.append(opens[1:], True)  # the last one
    back = np.where(np.append(begins[1:], True), n, np.append(period[1:], n))[closes]  # period of the next order
    silent = period[closes] + 1
    lapsed = np.clip(np.searchsorted(starts[1:], day[closes] + lapse_days, side="right"), silent, back)
    active = [np.bincount(period[which], minlength=n) for which in ordered]
    return np.column_stack([*active, _held(silent, lapsed, n), _held(lapsed, back, n)])


def _held(first: Ints, end: Ints, n: int) -> Ints:
    """How many of the spans from `first` to before `end` hold each of the periods 0 to n - 1."""
    change = np.bincount(first, minlength=n + 1) - np.bincount(end, minlength=n + 1)
    return np.cumsum(change)[:n]
