"""Cohorts: who joined together, and what share of them ordered in each period after."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta
from zoneinfo import ZoneInfo

import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st
from statsmodels.stats.proportion import proportion_confint

from shoptoolkit.contract import ContractError
from shoptoolkit.survival import cohorts

START = datetime(2024, 12, 20)


def orders_of(rows, **columns):
    frame = pl.DataFrame(rows, schema={"customer_id": pl.Int64, "ordered_at": pl.Datetime("us")}, orient="row")
    money = {"gross_revenue": 9.0, "refunded": 0.0, "revenue": 9.0, "items": 1}
    return frame.with_row_index("order_id").with_columns(order_number=1, **money, **{"history_known": True, **columns})


def period_start(day, period):
    if period == "week":
        return day - timedelta(days=day.weekday())
    return day.replace(day=1, month=day.month if period == "month" else 3 * ((day.month - 1) // 3) + 1)


def after(start, period):
    return period_start(start + timedelta(days={"week": 7, "month": 31, "quarter": 95}[period]), period)


def slow_cohorts(rows, as_of, period, zone):
    """Per customer the set of periods with an order; per cohort and period that is over, count."""
    active = {}
    for who, at in rows:
        day = at.replace(tzinfo=UTC).astimezone(ZoneInfo(zone)).date()
        if day < as_of:
            active.setdefault(who, set()).add(period_start(day, period))
    told = []
    for joined in sorted({min(periods) for periods in active.values()}):
        members = [periods for periods in active.values() if min(periods) == joined]
        start, number = joined, 0
        while after(start, period) <= as_of:
            told.append((joined, number, len(members), sum(start in periods for periods in members)))
            start, number = after(start, period), number + 1
    return told


@given(
    hours=st.lists(st.tuples(st.integers(1, 6), st.integers(0, 24 * 200)), min_size=1, max_size=30),
    period=st.sampled_from(["week", "month", "quarter"]),
    zone=st.sampled_from(["UTC", "Asia/Tokyo", "America/New_York"]),
    days=st.integers(1, 230),
)
def test_the_cohorts_are_those_of_the_definition(hours, period, zone, days):
    rows = [(who, START + timedelta(hours=hour)) for who, hour in hours]
    as_of = START.date() + timedelta(days=days)
    expected = slow_cohorts(rows, as_of, period, zone)
    options = {"as_of": as_of, "period": period, "timezone": zone}
    if not expected:
        with pytest.raises(ValueError, match=f"as_of is .*, and no {period} with orders is over by then"):
            cohorts(orders_of(rows), **options)
        return
    told = cohorts(orders_of(rows), **options)
    assert told.table.select("cohort", "period_number", "n_customers", "n_returned").rows() == expected
    assert told.n == sum(row[2] for row in expected if row[1] == 0)
    shuffled = cohorts(orders_of(rows).sample(fraction=1, shuffle=True, seed=2), **options)
    assert shuffled.table.equals(told.table)


def some_orders():
    rows = [(who, START + timedelta(days=7 * step * who % 190)) for who in range(1, 40) for step in range(5)]
    return orders_of(rows)


def test_the_bounds_are_wilsons():
    table = cohorts(some_orders(), as_of="2025-06-01", level=0.9).table
    later = table.filter(pl.col("period_number") > 0)
    low, high = proportion_confint(
        later["n_returned"].to_numpy(), later["n_customers"].to_numpy(), 0.1, method="wilson"
    )
    assert later["low"].to_list() == pytest.approx(low, abs=1e-12)
    assert later["high"].to_list() == pytest.approx(high, abs=1e-12)
    assert (later["low"] <= later["share"]).all()
    assert (later["share"] <= later["high"]).all()
    assert table.filter(pl.col("period_number") == 0).select("share", "low", "high").unique().rows() == [(1, 1, 1)]


def test_a_month_that_is_still_running_is_not_told():
    rows = [(1, datetime(2025, 1, 5)), (1, datetime(2025, 2, 3)), (2, datetime(2025, 2, 20))]
    assert cohorts(orders_of(rows), as_of="2025-02-28").table["cohort"].to_list() == [date(2025, 1, 1)]
    over = cohorts(orders_of(rows), as_of="2025-03-01").table
    assert over.select("cohort", "period_number", "n_returned").rows() == [
        (date(2025, 1, 1), 0, 1),
        (date(2025, 1, 1), 1, 1),
        (date(2025, 2, 1), 0, 1),
    ]


def test_a_month_in_which_nobody_ordered_is_told_as_zero():
    rows = [(1, datetime(2025, 1, 5)), (1, datetime(2025, 4, 3))]
    assert cohorts(orders_of(rows), as_of="2025-05-01").table["n_returned"].to_list() == [1, 0, 0, 1]


def test_weeks_begin_on_monday():
    rows = [(1, datetime(2025, 1, 5, 12)), (2, datetime(2025, 1, 6, 12))]  # a Sunday and a Monday
    assert cohorts(orders_of(rows), as_of="2025-01-20", period="week").table["cohort"].unique(
        maintain_order=True
    ).to_list() == [
        date(2024, 12, 30),
        date(2025, 1, 6),
    ]


@pytest.mark.parametrize("known", [False, None, "absent"])
def test_without_the_whole_history_nobody_is_called_a_new_customer(known):
    orders = orders_of([(1, datetime(2025, 1, 5)), (2, datetime(2025, 1, 6))])
    first = pl.int_range(2) == 0
    orders = (
        orders.drop("history_known")
        if known == "absent"
        else orders.with_columns(
            history_known=first.replace_strict({True: True, False: known}, return_dtype=pl.Boolean)
        )
    )
    with pytest.raises(ContractError, match=r"history_known is not true.*cohort='first_seen'"):
        cohorts(orders, as_of="2025-03-01")
    seen = cohorts(orders, as_of="2025-03-01", cohort="first_seen")
    assert (seen.cohort, seen.n) == ("first_seen", 2)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"period": "year"}, "period is 'year'; it must be one of 'week', 'month', 'quarter'"),
        ({"cohort": "last"}, "cohort is 'last'; it must be one of 'first_order', 'first_seen'"),
        ({"level": 95}, "level is 95; it must lie between 0 and 1"),
        ({"as_of": "2024-12-01"}, "as_of is 2024-12-01, and no month with orders is over by then"),
        ({"as_of": "2024-12-24"}, "as_of is 2024-12-24, and no month with orders is over by then"),
        ({"timezone": "Mars"}, "timezone is 'Mars'"),
    ],
)
def test_a_wrong_option_is_named_with_what_is_allowed(options, message):
    with pytest.raises(ValueError, match=message):
        cohorts(some_orders(), **{"as_of": "2025-06-01", **options})


def test_cohorts_read_well_in_a_notebook():
    told = cohorts(some_orders(), as_of="2025-06-01")
    assert "39 customers by month of the first order" in repr(told)
    assert "Share who ordered, by month" in told._repr_html_()
