"""Who is new, active, back, quiet or gone: states by their definition, and nobody is lost between periods."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta
from zoneinfo import ZoneInfo

import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from shoptoolkit import simulate
from shoptoolkit.contract import ContractError
from shoptoolkit.features import lifecycle, orders

START = datetime(2025, 1, 20)
STATES = ["new", "active", "returned", "quiet", "lapsed"]


def orders_of(rows, *, known=True):
    """Orders from (customer, hour) rows."""
    frame = pl.DataFrame(
        [(who, START + timedelta(hours=float(hour))) for who, hour in rows],
        schema={"customer_id": pl.Int64, "ordered_at": pl.Datetime("us")},
        orient="row",
    )
    return frame.with_row_index("order_id").with_columns(
        order_number=1, gross_revenue=9.0, refunded=0.0, revenue=9.0, items=1, history_known=known
    )


def begin_of(day, period):
    if period == "week":
        return day - timedelta(days=day.weekday())
    return date(day.year, day.month if period == "month" else day.month - (day.month - 1) % 3, 1)


def next_of(begin, period):
    return begin_of(begin + timedelta(days={"week": 7, "month": 32, "quarter": 95}[period]), period)


def slow_state(days, begin, end, lapse):
    """The definition, from all of a customer's days with orders."""
    before, inside = [day for day in days if day < begin], [day for day in days if begin <= day < end]
    if not before:
        return "new" if inside else None
    if inside:
        return "returned" if (min(inside) - max(before)).days > lapse else "active"
    return "lapsed" if (end - max(before)).days > lapse else "quiet"


@settings(max_examples=150)
@given(
    rows=st.lists(st.tuples(st.integers(1, 5), st.integers(0, 24 * 200)), min_size=1, max_size=25),
    last=st.integers(1, 260),
    period=st.sampled_from(["week", "month", "quarter"]),
    lapse=st.sampled_from([1, 7, 30, 90]),
    zone=st.sampled_from(["UTC", "Asia/Tokyo", "America/New_York"]),
)
def test_customers_are_counted_as_defined(rows, last, period, lapse, zone):
    end = date(2025, 1, 20) + timedelta(days=last)
    own = {}
    for who, hour in rows:
        day = (START + timedelta(hours=hour)).replace(tzinfo=UTC).astimezone(ZoneInfo(zone)).date()
        if day < end:
            own.setdefault(who, []).append(day)
    expected = []
    begin = begin_of(min((min(days) for days in own.values()), default=end), period)
    while (after := next_of(begin, period)) <= end:
        states = [slow_state(days, begin, after, lapse) for days in own.values()]
        known = sum(state is not None for state in states)
        expected += [(begin, state, states.count(state), states.count(state) / known) for state in STATES]
        begin = after
    options = {"as_of": end, "period": period, "lapse_days": lapse, "timezone": zone}
    if not own or not expected:
        with pytest.raises(ValueError, match=f"no {period} with orders is over by then"):
            lifecycle(orders_of(rows), **options)
        return
    told = lifecycle(orders_of(rows), **options)
    assert told.table.rows() == expected
    assert told.n == sum(row[2] for row in expected[-5:])
    assert lifecycle(orders_of(rows).sample(fraction=1, shuffle=True, seed=1), **options).table.equals(told.table)


WORLD = simulate.shop(rng=4, n_customers=500, days=300)
ORDERS = orders(WORLD.events, history_known=True)


@pytest.mark.parametrize("period", ["week", "month", "quarter"])
def test_nobody_is_lost_from_one_period_to_the_next(period):
    table = lifecycle(ORDERS, as_of=WORLD.as_of, period=period, lapse_days=45).table
    wide = table.pivot("state", index="period_start", values="n_customers")
    total = wide.select(pl.sum_horizontal(STATES)).to_series()
    assert total.diff().drop_nulls().to_list() == wide["new"][1:].to_list()
    assert (wide["lapsed"].diff() >= -wide["returned"]).drop_nulls().all()  # the lapsed leave by returning alone
    assert table.group_by("period_start").agg(pl.col("share").sum().round(12))["share"].unique().to_list() == [1.0]


def test_orders_after_the_last_full_period_change_nothing():
    early = ORDERS.filter(pl.col("ordered_at") < datetime(2025, 9, 1))
    assert lifecycle(ORDERS, as_of="2025-09-20").table.equals(lifecycle(early, as_of="2025-09-20").table)


def test_customers_names_and_whole_weeks_change_nothing():
    other = ORDERS.with_columns(
        customer_id=pl.format("c{}", 900 - pl.col("customer_id")), ordered_at=pl.col("ordered_at").dt.offset_by("5w")
    )
    table = lifecycle(ORDERS, as_of=WORLD.as_of, period="week").table
    moved = lifecycle(other, as_of=WORLD.as_of + timedelta(weeks=5), period="week").table
    assert moved.with_columns(pl.col("period_start").dt.offset_by("-5w")).equals(table)


def test_where_the_history_is_not_known_nobody_is_called_new():
    frame = orders_of([(1, 0)], known=False)
    for one in (frame, frame.drop("history_known")):
        table = lifecycle(one, as_of="2025-03-01").table
        assert table["state"].unique(maintain_order=True).to_list() == ["first_seen", *STATES[1:]]


def test_the_answer_reads_well_in_a_notebook():
    told = lifecycle(ORDERS, as_of=WORLD.as_of)
    assert repr(told).startswith(f"Lifecycle of {told.n:,} customers by month, lapsed after 90 days")
    assert "more than 90 days without an order" in told._repr_html_()


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"as_of": "2025-01-20"}, "as_of is 2025-01-20, and no month with orders is over by then; take a shorter"),
        ({"as_of": "2025-01-31"}, "no month with orders is over by then"),
        ({"period": "day"}, "period is 'day'; it must be one of 'week', 'month', 'quarter'"),
        ({"lapse_days": 0}, "lapse_days is 0; it must be a whole number >= 1"),
        ({"lapse_days": 30.5}, r"lapse_days is 30\.5; it must be a whole number >= 1"),
        ({"timezone": "Paris"}, "timezone is 'Paris'"),
    ],
)
def test_a_wrong_option_is_named_with_what_is_allowed(options, message):
    with pytest.raises(ValueError, match=message):
        lifecycle(orders_of([(1, 0)]), **{"as_of": "2025-03-01", **options})


def test_orders_that_break_their_contract_are_refused():
    with pytest.raises(ContractError, match="'customer_id' is missing"):
        lifecycle(orders_of([(1, 0)]).drop("customer_id"), as_of="2025-03-01")
