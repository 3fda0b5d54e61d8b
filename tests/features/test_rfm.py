"""Recency, number and value of orders per customer, with scores that treat equals alike."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta
from zoneinfo import ZoneInfo

import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from shoptoolkit.contract import ContractError
from shoptoolkit.features import orders, rfm
from shoptoolkit.survival import repurchase_spells

START = datetime(2025, 1, 1)


def orders_of(rows):
    """Orders from (customer, hour, revenue) rows."""
    frame = pl.DataFrame(
        [(who, START + timedelta(hours=hour), float(revenue)) for who, hour, revenue in rows],
        schema={"customer_id": pl.Int64, "ordered_at": pl.Datetime("us"), "revenue": pl.Float64},
        orient="row",
    )
    return frame.with_row_index("order_id").with_columns(order_number=1, gross_revenue=99.0, refunded=0.0, items=1)


def slow_scores(values, bins):
    """ceil(average rank / n * bins), rank by counting."""
    n = len(values)
    ranks = [sum(other < one for other in values) + (sum(other == one for other in values) + 1) / 2 for one in values]
    return [-int(-(rank * bins) // n) for rank in ranks]


@given(
    rows=st.lists(
        st.tuples(st.integers(1, 8), st.integers(0, 24 * 30), st.sampled_from([0, 5, 5.55, 20, -3])),
        min_size=1,
        max_size=40,
    ),
    days=st.integers(1, 32),
    bins=st.integers(2, 6),
    zone=st.sampled_from(["UTC", "Asia/Tokyo"]),
)
def test_every_customer_is_scored_as_defined(rows, days, bins, zone):
    as_of = date(2025, 1, 1) + timedelta(days=days)
    expected, later = {}, 0
    for who, hour, revenue in rows:
        day = (START + timedelta(hours=hour)).replace(tzinfo=UTC).astimezone(ZoneInfo(zone)).date()
        if day < as_of:
            last, count, cents = expected.get(who, (date.min, 0, 0))
            expected[who] = (max(last, day), count + 1, cents + round(100 * revenue))
        later += day >= as_of
    options = {"as_of": as_of, "bins": bins, "timezone": zone}
    if later:
        with pytest.raises(ValueError, match=rf"as_of is .*, and {later} of {len(rows)} orders lie on or after it"):
            rfm(orders_of(rows), **options)
        return
    table = rfm(orders_of(rows), **options)
    plain = [(who, (as_of - last).days, count, cents / 100) for who, (last, count, cents) in sorted(expected.items())]
    assert table.select("customer_id", "recency_days", "orders", "revenue").rows() == plain
    assert table["recency_score"].to_list() == slow_scores([-row[1] for row in plain], bins)
    assert table["orders_score"].to_list() == slow_scores([row[2] for row in plain], bins)
    assert table["revenue_score"].to_list() == slow_scores([row[3] for row in plain], bins)
    assert rfm(orders_of(rows).sample(fraction=1, shuffle=True, seed=1), **options).equals(table)


def test_scores_split_customers_into_groups_of_about_one_size():
    table = rfm(orders_of([(who, 24 * (who % 50), who) for who in range(1, 1001)]), as_of="2025-03-01")
    assert table["revenue_score"].value_counts(sort=True)["count"].to_list() == [200] * 5
    assert table.sort("revenue")["revenue_score"].is_sorted()
    assert table.sort("recency_days", descending=True)["recency_score"].is_sorted()


def test_customers_who_are_equal_get_equal_scores():
    table = rfm(orders_of([(who, 0, 10) for who in range(7)]), as_of="2025-03-01")
    assert table.select("recency_score", "orders_score", "revenue_score").unique().rows() == [(3, 3, 3)]


def test_scores_do_not_depend_on_the_currency():
    rows = [(who % 60, who % 500, who % 37 + 0.5) for who in range(300)]
    pounds, yen = (rfm(orders_of([(a, b, c * rate) for a, b, c in rows]), as_of="2025-03-01") for rate in (1, 200))
    money = ["revenue", "mean_order_value"]
    assert pounds.drop(money).equals(yen.drop(money))
    assert yen["mean_order_value"].to_list() == pytest.approx((200 * pounds["mean_order_value"]).to_list())


def test_the_day_of_as_of_is_not_looked_at():
    rows = [(1, 0, 5), (1, 24 * 4 + 2, 5)]
    for as_of in ("2025-01-05", datetime(2025, 1, 5, 20)):
        with pytest.raises(ValueError, match=r"1 of 2 orders lie on or after it.*features\.orders\(events, as_of="):
            rfm(orders_of(rows), as_of=as_of)
        assert rfm(orders_of(rows[:1]), as_of=as_of).select("recency_days", "orders").rows() == [(4, 1)]


def test_what_happens_on_or_after_as_of_changes_no_score():
    early = pl.DataFrame(
        {
            "customer_id": [1, 2, 2],
            "at": [START, START, START + timedelta(days=5)],
            "event": ["purchase"] * 3,
            "order_id": ["a", "b", "c"],
            "category": ["tea", "cups", "cups"],
            "price": [100.0, 20.0, 30.0],
        }
    )
    late = early.with_columns(
        at=START + timedelta(days=40), event=pl.Series(["refund", "purchase", "purchase"]), category=pl.lit("gold")
    )
    late = late.with_columns(price=pl.lit(500.0))  # the first order is refunded, the second gets another line
    options = {"as_of": "2025-01-10"}
    before, after = (orders(log, **options) for log in (early, pl.concat([early, late])))
    assert before.equals(after)
    assert rfm(before, **options).equals(rfm(after, **options))
    assert repurchase_spells(before, **options).equals(repurchase_spells(after, **options))


def test_a_refund_known_only_later_is_not_looked_at():
    log = pl.DataFrame(
        {
            "customer_id": [1, 1],
            "at": [START, START + timedelta(days=2)],
            "known_at": [START, START + timedelta(days=20)],
            "event": ["purchase", "refund"],
            "order_id": ["a", "a"],
            "price": [10.0, 10.0],
        }
    )
    assert orders(log, as_of="2025-01-10")["revenue"].to_list() == [10.0]
    assert orders(log, as_of="2025-02-10")["revenue"].to_list() == [0.0]
    with pytest.raises(ValueError, match="as_of is 2024-01-01, and no event lies before that day"):
        orders(log, as_of="2024-01-01")


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"bins": 1}, "bins is 1; it must be a whole number >= 2"),
        ({"as_of": "2025-01-01"}, "as_of is 2025-01-01, and .* orders? lie on or after it"),
        ({"timezone": "Paris"}, "timezone is 'Paris'"),
    ],
)
def test_a_wrong_option_is_named_with_what_is_allowed(options, message):
    with pytest.raises(ValueError, match=message):
        rfm(orders_of([(1, 0, 5)]), **{"as_of": "2025-03-01", **options})


def test_orders_that_break_their_contract_are_refused():
    with pytest.raises(ContractError, match="'revenue' is missing"):
        rfm(orders_of([(1, 0, 5)]).drop("revenue"), as_of="2025-03-01")
