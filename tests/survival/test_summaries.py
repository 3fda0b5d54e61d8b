"""Order summaries beside a plain loop over customers, and what they refuse."""

from __future__ import annotations

from datetime import datetime, timedelta
from math import ceil

import numpy as np
import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from shoptoolkit.contract import ContractError
from shoptoolkit.survival import summarise_orders

START = datetime(2024, 1, 1)
HISTORY = ["repeat_orders", "last_order_age", "age"]


def orders(rows, **more):
    """Orders of (customer, hours since the start, paid)."""
    ids, hours, paid = zip(*rows, strict=True)
    moments = [START + timedelta(hours=hour) for hour in hours]
    columns = {"customer_id": ids, "ordered_at": moments, "gross_revenue": [float(one) for one in paid]}
    return pl.DataFrame(columns).with_columns(**{"history_known": True} | more)


def plain(rows, *, last_day, unit=1.0, opportunities=False):
    """The definition, customer by customer."""
    told = []
    for who in sorted({row[0] for row in rows if row[1] // 24 <= last_day}):
        paid = {}
        for _, hour, value in (row for row in rows if row[0] == who and row[1] // 24 <= last_day):
            paid[hour // 24] = paid.get(hour // 24, 0.0) + value
        first, *later = sorted(paid)
        if opportunities:
            over = int((last_day - first) // unit)
            slots = {day: ceil((day - first) / unit) for day in later if day - first <= over * unit}
            x, last, age = len(set(slots.values())), max(slots.values(), default=0), over
            spent = sum(paid[day] for day in slots)
        else:
            x, last, age = len(later), (max(paid) - first) / unit, (last_day - first) / unit
            spent = sum(paid[day] for day in later)
        told.append((who, x, last, age, spent / x if x else None))
    return told


rows_of = st.lists(st.tuples(st.integers(0, 6), st.integers(0, 24 * 40), st.integers(0, 9)), min_size=1, max_size=60)


@given(rows=rows_of, unit=st.sampled_from([1.0, 7.0]), opportunities=st.booleans(), step=st.sampled_from([1, 10**9]))
def test_histories_are_those_of_the_definition(rows, unit, opportunities, step):
    rows = [(who * step - 3, hour, value) for who, hour, value in rows] + [(0, 0, 1)]
    as_of = START + timedelta(days=31)
    told = summarise_orders(orders(rows), as_of=as_of, unit_days=unit, opportunities=opportunities).rows()
    for ours, expected in zip(told, plain(rows, last_day=30, unit=unit, opportunities=opportunities), strict=True):
        assert ours == pytest.approx(expected)


def test_text_ids_counts_and_no_values():
    rng = np.random.default_rng(1)
    rows = [(int(rng.integers(200)), int(rng.integers(24 * 60)), 1.0) for _ in range(500)]
    table = orders(rows)
    numbers = summarise_orders(table, as_of="2024-03-01")
    names = summarise_orders(
        table.with_columns(customer_id=pl.format("c{}", pl.col("customer_id") + 1_000)), as_of="2024-03-01"
    )
    counts = summarise_orders(table, as_of="2024-03-01", counts=True)
    assert names.drop("customer_id").equals(numbers.drop("customer_id"))
    assert counts["weight"].sum() == len(numbers)
    assert counts.drop("weight").equals(numbers.select(HISTORY).unique().sort(HISTORY))
    assert "mean_value" not in summarise_orders(table, as_of="2024-03-01", value=None).columns


def test_the_day_is_the_shops_day():
    """An evening in New York is the next day in UTC; two orders of one day are one occasion."""
    table = orders([(1, 20, 5), (1, 26, 5), (1, 24 * 5, 5)])
    utc = summarise_orders(table, as_of="2024-01-20")
    there = summarise_orders(table, as_of="2024-01-20", timezone="America/New_York")
    assert utc["repeat_orders"][0] == 2
    assert there.select(HISTORY).row(0) == (1, 4.0, 18.0)  # the last at seven in the evening of the 5th


def test_since_takes_customers_who_are_new():
    table = orders([(1, 0, 5), (1, 24 * 20, 5), (2, 24 * 15, 5)]).drop("history_known")
    told = summarise_orders(table, as_of="2024-02-01", since="2024-01-10")
    assert told["customer_id"].to_list() == [2]
    with pytest.raises(ContractError, match=r"history_known is not true.*since=DAY"):
        summarise_orders(table, as_of="2024-02-01")
    with pytest.raises(ValueError, match="since is 2024-01-20, and no customer's first order"):
        summarise_orders(table, as_of="2024-02-01", since="2024-01-20")


def test_what_cannot_be_used_is_told():
    table = orders([(1, 0, 5), (2, 9, 5)])
    for call, told in (
        (lambda: summarise_orders(table, as_of="2023-01-01"), "as_of is 2023-01-01, and no order"),
        (lambda: summarise_orders(table, as_of="soon"), "as_of is 'soon'"),
        (lambda: summarise_orders(table, as_of="2024-02-01", unit_days=0), "unit_days is 0"),
        (lambda: summarise_orders(table, as_of="2024-02-01", timezone="Mars"), "timezone is 'Mars'"),
        (lambda: summarise_orders(table.drop("ordered_at"), as_of="2024-02-01"), "'ordered_at' is missing"),
        (lambda: summarise_orders(table, as_of="2024-02-01", value="profit"), "'profit' is missing"),
        (lambda: summarise_orders(table.head(0), as_of="2024-02-01"), "0 rows"),
        (lambda: summarise_orders(table.with_columns(gross_revenue=-1.0), as_of="2024-02-01"), "below 0"),
    ):
        with pytest.raises(ValueError, match=told):
            call()
