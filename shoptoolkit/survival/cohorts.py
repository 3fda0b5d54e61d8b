"""Of the customers who joined in a month, how many ordered in each month after?

In: Orders. Out: `cohorts` -> `Cohorts`.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date, datetime
from typing import Any

import numpy as np
import polars as pl

from shoptoolkit.contract import ContractError, Orders, require, wilson
from shoptoolkit.contract.check import check_level, choose
from shoptoolkit.contract.clock import PERIODS, day_of, local_day
from shoptoolkit.contract.show import html_table


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Cohorts:
    """Customers by the period of their first order. Draw it with `figures.cohorts`.

    `table`: cohort (first day of the period), period_number (0 = the period of the first order), n_customers,
    n_returned (customers of the cohort who ordered in that period), share, low, high. Periods not yet over are not
    told.
    """

    table: pl.DataFrame
    period: str
    cohort: str
    level: float
    n: int

    def __repr__(self) -> str:
        return f"Cohorts of {self.n:,} customers by {self.period} of the {self.cohort.replace('_', ' ')}\n{self.table}"

    def _repr_html_(self) -> str:
        wide = self.table.pivot("period_number", index=["cohort", "n_customers"], values="share")
        return html_table(wide, title=f"Share who ordered, by {self.period} since the {self.cohort.replace('_', ' ')}")


def cohorts(
    orders: Any,
    *,
    as_of: datetime | date | str,
    period: str = "month",
    cohort: str = "first_order",
    level: float = 0.95,
    timezone: str = "UTC",
) -> Cohorts:
    """Of the customers who first ordered in a period, what share ordered in each period after?

    Parameters
    ----------
    orders
        Orders.
    as_of
        The first day not looked at. Only periods that are over by then are told.
    period
        "week" (from Monday), "month" or "quarter", by the calendar of `timezone`.
    cohort
        "first_order": needs the whole history (`history_known`), else it refuses. "first_seen": the first order in the
        log, which for old customers is not their first (rule R2).
    level
        Coverage of the Wilson interval of each share.

    Returns
    -------
    Cohorts
        Every cohort and every period that is over, also those in which nobody ordered.

    Raises
    ------
    ContractError
        The orders break their contract, or `cohort="first_order"` and their history before the log is not known.
    ValueError
        `period`, `cohort`, `level`, `timezone` or `as_of` is none that can be used, or no period is over.

    References
    ----------
    Wilson (1927), JASA 22, 209-212.

    Examples
    --------
    >>> from datetime import datetime
    >>> import polars as pl
    >>> days = [datetime(2024, 1, 5), datetime(2024, 1, 20), datetime(2024, 3, 1)]
    >>> orders = pl.DataFrame({"customer_id": ["a", "b", "a"], "order_id": [1, 2, 3], "ordered_at": days,
    ...     "order_number": [1, 1, 2], "gross_revenue": 9.0, "refunded": 0.0, "revenue": 9.0, "items": 1,
    ...     "history_known": True})
    >>> cohorts(orders, as_of="2024-04-01").table.select("period_number", "n_customers", "n_returned").rows()
    [(0, 2, 2), (1, 2, 0), (2, 2, 1)]
    """
    check_level(level)
    choose("period", period, PERIODS)
    choose("cohort", cohort, ("first_order", "first_seen"))
    table = require(orders, Orders)
    known = "history_known" in table.columns and bool(table["history_known"].fill_null(False).all())
    if cohort == "first_order" and not known:
        raise ContractError(
            "orders: history_known is not true, so a customer's first order may lie before the log. Pass "
            "features.orders(..., history_known=True) if the log is complete, or cohort='first_seen'."
        )
    end = day_of(as_of, timezone=timezone)
    table = table.select("customer_id", day=local_day("ordered_at", timezone=timezone)).filter(pl.col("day") < end)
    counts = table if table.is_empty() else _counts(table, end, PERIODS[period])
    if counts.is_empty():
        raise ValueError(f"as_of is {as_of}, and no {period} with orders is over by then; take a shorter period.")
    share = _with_shares(counts, level)
    n = int(counts.filter(pl.col("period_number") == 0)["n_customers"].sum())
    return Cohorts(table=share, period=period, cohort=cohort, level=level, n=n)


def _counts(table: pl.DataFrame, end: date, step: str) -> pl.DataFrame:
    """Customers of each cohort active in each period that is over, zeros included."""
    active = table.select("customer_id", start=pl.col("day").dt.truncate(step)).unique()
    joined = active.group_by("customer_id").agg(cohort=pl.col("start").min())
    begin = active["start"].sort()[0]
    over = pl.date_range(begin, end, step, eager=True).head(-1)  # the last one begun is still running
    periods = pl.DataFrame({"start": over, "number": range(len(over))}, schema={"start": pl.Date, "number": pl.Int64})
    sizes = joined.group_by("cohort").agg(n_customers=pl.len().cast(pl.Int64))
    returned = active.join(joined, on="customer_id").group_by("cohort", "start").agg(n_returned=pl.len().cast(pl.Int64))
    grid = sizes.join(periods.rename({"start": "cohort", "number": "first"}), on="cohort").join(periods, how="cross")
    return (
        grid.filter(pl.col("number") >= pl.col("first"))
        .join(returned, on=["cohort", "start"], how="left")
        .select(
            "cohort",
            (pl.col("number") - pl.col("first")).alias("period_number"),
            "n_customers",
            pl.col("n_returned").fill_null(0),
        )
        .sort("cohort", "period_number")
    )


def _with_shares(counts: pl.DataFrame, level: float) -> pl.DataFrame:
    """Shares with Wilson's bounds. Period 0 is no estimate: a cohort is who ordered in it."""
    share = (counts["n_returned"] / counts["n_customers"]).alias("share")
    low, high = wilson(share.to_numpy(), counts["n_customers"].to_numpy(), level)
    is_first = counts["period_number"].to_numpy() == 0
    return counts.with_columns(share, low=pl.Series(np.where(is_first, 1.0, low)), high=pl.Series(high))
