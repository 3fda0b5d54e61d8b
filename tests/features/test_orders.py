"""Lines become orders: what belongs together, what came back, and that no cent is lost."""

from __future__ import annotations

from collections import defaultdict
from datetime import datetime, timedelta

import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from shoptoolkit.contract import ContractError, Orders, check
from shoptoolkit.features import orders
from shoptoolkit.simulate import Shoppers, shop

START = datetime(2025, 1, 1)
SCHEMA = {
    "customer_id": pl.Int64,
    "at": pl.Datetime("us"),
    "event": pl.String,
    "order_id": pl.Int64,
    "item_id": pl.Int64,
    "price": pl.Float64,
    "quantity": pl.Int64,
    "source": pl.String,
    "category": pl.String,
}


def events_of(rows):
    return pl.DataFrame(rows, schema=SCHEMA, orient="row")


def line(who, hour, event="purchase", order=None, item=None, price=10.0, quantity=1, source=None, category=None):
    return (who, START + timedelta(hours=hour), event, order, item, price, quantity, source, category)


def told(rows, *columns, **options):
    return orders(events_of(rows), **options).select(columns).rows()


def slow_orders(rows):
    """The definition in plain Python: {(customer, order): its lines} and {(customer, order): refunded cents}."""
    lines = [dict(zip(SCHEMA, row, strict=True)) for row in rows]
    for one in lines:
        one["cents"] = round(one["price"] * 100) * one["quantity"]
        one["key"] = (one["customer_id"], str(one["order_id"]) if one["order_id"] is not None else f"@{one['at']}")
    found = defaultdict(list)
    for one in lines:
        if one["event"] == "purchase":
            found[one["key"]].append(one)
    refunded = defaultdict(int)
    for one in lines:
        if one["event"] == "refund" and (key := slow_target(one, found)):
            refunded[key] += one["cents"]
    return found, refunded


def slow_target(refund, found):
    if refund["order_id"] is not None and refund["key"] in found:
        return refund["key"]
    begun = {key: min(one["at"] for one in lines) for key, lines in found.items()}
    earlier = [key for key in found if key[0] == refund["customer_id"] and begun[key] <= refund["at"]]
    same = [
        key
        for key in earlier
        if refund["item_id"] is not None and refund["item_id"] in {one["item_id"] for one in found[key]}
    ]
    latest = same or earlier
    return max(latest, key=lambda key: (begun[key], key)) if latest else None


LINES = st.lists(
    st.builds(
        line,
        who=st.integers(1, 3),
        hour=st.integers(0, 8),
        event=st.sampled_from(["purchase", "purchase", "refund", "view"]),
        order=st.integers(100, 108),
        item=st.sampled_from([None, 1, 2, 3]),
        price=st.sampled_from([0.0, 0.1, 0.29, 4.35, 19.99]),
        quantity=st.integers(1, 3),
        source=st.sampled_from([None, "paid", "organic"]),
        category=st.sampled_from([None, "home", "beauty"]),
    ),
    min_size=1,
    max_size=25,
)


@settings(max_examples=60)
@given(rows=LINES, numbered=st.booleans(), with_items=st.booleans())
def test_orders_are_those_of_the_definition(rows, numbered, with_items):
    gone = ([] if numbered else ["order_id"]) + ([] if with_items else ["item_id"])
    plain = [tuple(None if name in gone else value for name, value in zip(SCHEMA, row, strict=True)) for row in rows]
    events = events_of(rows).drop(gone)
    if not any(row[2] == "purchase" for row in rows):
        with pytest.raises(ContractError, match="no row is a purchase, so there are no orders"):
            orders(events)
        return
    found, refunded = slow_orders(plain)
    table = orders(events)
    assert table.sample(fraction=1, shuffle=True, seed=3).sort("customer_id", "order_number").equals(table)
    assert orders(events.sample(fraction=1, shuffle=True, seed=3)).equals(table)
    assert len(table) == len(found)
    assert len(check(table, Orders).quarantined) == 0
    for row in table.to_dicts():
        name = str(row["order_id"]) if numbered else f"@{row['ordered_at']}"
        lines = found[(row["customer_id"], name)]
        gross, back = sum(one["cents"] for one in lines), refunded[(row["customer_id"], name)]
        assert (row["gross_revenue"], row["refunded"], row["revenue"]) == (
            gross / 100,
            back / 100,
            (gross - back) / 100,
        )
        assert row["items"] == sum(one["quantity"] for one in lines)
        assert row["ordered_at"] == min(one["at"] for one in lines)
        assert row["category"] == main_category(lines)
        first = [one["source"] for one in lines if one["at"] == row["ordered_at"]]
        assert row["source"] == min((source for source in first if source), default=None)
    for customer, part in table.group_by("customer_id"):
        assert part["order_number"].to_list() == list(range(1, len(part) + 1)), customer
        assert part.select("ordered_at", "order_id").rows() == sorted(part.select("ordered_at", "order_id").rows())


def main_category(lines):
    money = defaultdict(int)
    for one in lines:
        if one["category"] is not None:
            money[one["category"]] += one["cents"]
    return min(money, key=lambda name: (-money[name], name), default=None)


def test_the_money_of_a_whole_shop_adds_up_to_the_cent():
    events = shop(n_customers=800, rng=1, shoppers=Shoppers(refund_share=0.2)).events
    table, kind = orders(events), pl.col("event")
    cents = (pl.col("price") * 100).round().cast(pl.Int64) * pl.col("quantity")
    bought, back = (events.filter(kind == name).select(cents.sum()).item() for name in ("purchase", "refund"))
    assert (table["gross_revenue"] * 100).round().cast(pl.Int64).sum() == bought
    assert (table["refunded"] * 100).round().cast(pl.Int64).sum() == back > 0
    assert (table["revenue"] * 100).round().cast(pl.Int64).sum() == bought - back


def test_a_refund_finds_its_order_by_number_even_if_its_clock_is_wrong():
    rows = [line(1, 5, order=100), line(1, 9, order=101), line(1, 1, "refund", 101, price=4)]
    assert told(rows, "order_id", "refunded") == [(100, 0), (101, 4)]


def test_a_refund_without_a_known_number_goes_to_the_latest_earlier_order_with_its_item():
    rows = [
        line(1, 1, order=1, item=7),
        line(1, 2, order=2, item=8),
        line(1, 3, order=3, item=7),
        line(1, 9, order=4, item=7),
    ]
    rows += [line(1, 5, "refund", 999, item=7, price=3), line(1, 5, "refund", None, item=8, price=2)]
    assert told(rows, "order_id", "refunded") == [(1, 0), (2, 2), (3, 3), (4, 0)]


def test_a_refund_of_an_unknown_item_goes_to_the_latest_earlier_order():
    rows = [
        line(1, 1, order=1, item=7),
        line(1, 2, order=2),
        line(1, 9, order=3),
        line(1, 5, "refund", item=55, price=3),
    ]
    assert told(rows, "order_id", "refunded") == [(1, 0), (2, 3), (3, 0)]
    assert told([*rows[:3], line(1, 5, "refund", price=3)], "refunded") == [(0,), (3,), (0,)]


def test_a_refund_of_an_order_before_the_log_reduces_none():
    rows = [line(1, 5, order=1), line(1, 2, "refund", 77, price=3), line(2, 9, "refund", 1, price=3)]
    assert told(rows, "customer_id", "refunded", "revenue") == [(1, 0, 10)]


def test_a_refund_at_the_moment_of_another_purchase_still_follows_its_item():
    rows = [line(1, 1, item=7), line(1, 5, item=8), line(1, 5, "refund", item=7, price=3)]
    assert told(rows, "refunded") == [(3,), (0,)]
    assert orders(events_of(rows).drop("order_id"))["refunded"].to_list() == [3, 0]


def test_a_refund_may_exceed_what_was_paid():
    assert told([line(1, 1, order=1), line(1, 2, "refund", 1, price=15)], "revenue") == [(-5,)]


def test_lines_without_a_number_are_one_order_if_bought_at_one_moment():
    rows = [line(1, 1), line(1, 1), line(1, 2), line(2, 1), line(1, 1, order=5)]
    table = orders(events_of(rows))
    assert table.select("customer_id", "items").rows() == [(1, 2), (1, 1), (1, 1), (2, 1)]
    assert table["order_id"].dtype == pl.String
    assert table["order_id"].is_unique().all()


def test_an_order_that_two_customers_share_by_number_is_two_orders():
    assert told([line(1, 1, order=5), line(2, 1, order=5)], "customer_id", "gross_revenue") == [(1, 10), (2, 10)]


def test_orders_whose_lines_lie_between_each_other_are_told_apart():
    rows = [line(1, hour, order=order, source=f"at {hour}") for hour, order in ((1, "b"), (2, "a"), (3, "b"), (3, "a"))]
    events = pl.DataFrame(rows, schema=SCHEMA | {"order_id": pl.String}, orient="row")
    table = orders(events, keep=["at"]).select("order_id", "order_number", "gross_revenue", "source", "at").rows()
    hours = [START + timedelta(hours=hour) for hour in (1, 2)]
    assert table == [("b", 1, 20.0, "at 1", hours[0]), ("a", 2, 20.0, "at 2", hours[1])]


def test_a_log_in_many_pieces_has_the_same_orders():
    events = events_of([line(1, 1), line(1, 1), line(2, 1), line(1, 2, event="refund")]).drop("order_id", "item_id")
    assert orders(pl.concat(events.iter_slices(1), rechunk=False)).equals(orders(events))


def test_orders_at_one_moment_are_numbered_by_their_id():
    assert told([line(1, 1, order=9), line(1, 1, order=8)], "order_id", "order_number") == [(8, 1), (9, 2)]


def test_a_line_without_a_quantity_is_one_piece():
    assert told([line(1, 1, order=5, quantity=None), line(1, 1, order=5, quantity=3)], "items", "gross_revenue") == [
        (4, 40)
    ]
    assert orders(events_of([line(1, 1)]).drop("quantity"))["items"].item() == 1


def test_the_main_category_is_where_most_of_the_money_went_not_the_dearest_line():
    rows = [line(1, 1, order=1, price=10, category="home"), *[line(1, 1, order=1, price=6, category="beauty")] * 2]
    assert told(rows, "category") == [("beauty",)]


def test_of_categories_with_equal_money_the_first_by_name_is_told():
    rows = [line(1, 1, order=1, price=6, category=name) for name in ("home", "beauty", "snacks")]
    assert told(rows, "category") == [("beauty",)]
    assert told([line(1, 1, order=1, price=99), *rows[:1]], "category") == [("home",)], "a line without one has no say"


def test_in_another_currency_only_the_money_changes():
    events = shop(n_customers=200, rng=2).events
    cents = orders(events.with_columns(pl.col("price") * 100))
    money = ["gross_revenue", "refunded", "revenue"]
    table = orders(events)
    assert cents.drop(money).drop("category").equals(table.drop(money).drop("category"))
    assert (cents["revenue"] / 100 - table["revenue"]).abs().max() < 1e-9


def test_further_columns_come_from_the_first_line_of_the_order():
    rows = [line(1, 3, order=1), line(1, 1, order=1), line(1, 2, order=2)]
    events = events_of(rows).with_columns(country=pl.Series(["GB", "JP", "DE"]), day=pl.lit("x"))
    assert orders(events, keep=["country", "day"]).select("country", "day").rows() == [("JP", "x"), ("DE", "x")]
    assert orders(events, keep="country")["country"].to_list() == ["JP", "DE"]
    assert orders(events, keep=("source", "category")).columns == orders(events).columns


def test_string_ids_unicode_and_lazy_or_pandas_logs_are_understood():
    events = events_of([line(1, 1, order=5), line(2, 1)]).with_columns(customer_id=pl.Series(["søren", "李"]))
    expected = orders(events)
    assert expected["customer_id"].to_list() == ["søren", "李"]
    assert orders(events.lazy()).equals(expected)
    assert orders(events.to_pandas().convert_dtypes(dtype_backend="pyarrow")).equals(expected)


def test_a_complete_log_says_so():
    assert told([line(1, 1)], "history_known") == [(False,)]
    assert told([line(1, 1)], "history_known", history_known=True) == [(True,)]


@pytest.mark.parametrize(
    ("change", "options", "error", "message"),
    [
        ({}, {"keep": ["city", "shop"]}, ContractError, "keep names 'city', 'shop', not in customer_id, at"),
        ({}, {"keep": ["customer_id"]}, ValueError, "keep names 'customer_id', which orders have"),
        (
            {"items": 3},
            {"keep": ["items"]},
            ValueError,
            "keep names 'items', which orders have; leave it out or rename",
        ),
        ({"event": pl.lit("view")}, {}, ContractError, "no row is a purchase, so there are no orders"),
        ({"price": pl.lit(-1.0)}, {}, ContractError, "events: 1 of 1 rows break the contract: price is below 0"),
    ],
)
def test_a_log_that_cannot_be_used_is_refused_with_the_reason(change, options, error, message):
    changes = {name: pl.lit(value) if not isinstance(value, pl.Expr) else value for name, value in change.items()}
    with pytest.raises(error, match=message):
        orders(events_of([line(1, 1)]).with_columns(**changes), **options)


def test_a_log_of_views_without_prices_has_no_orders():
    with pytest.raises(ContractError, match="no row is a purchase"):
        orders(events_of([line(1, 1, "view")]).drop("price"))


def test_an_empty_log_is_refused():
    with pytest.raises(ContractError, match="events: the frame has 0 rows"):
        orders(events_of([]))
