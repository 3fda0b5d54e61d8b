"""What is bought together: counts by their definition, errors of customers, and words for what cannot be told."""

from __future__ import annotations

import math
from collections import Counter
from datetime import datetime, timedelta
from itertools import permutations

import numpy as np
import polars as pl
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from polars.testing import assert_frame_equal
from scipy.stats import t

from shoptoolkit.contract import ContractError
from shoptoolkit.features import affinity
from shoptoolkit.simulate import shop

START = datetime(2025, 1, 1)


def events_of(rows, *, event="purchase"):
    """Events from (customer, order, item) rows; what has no order number is bought at the hour of that number."""
    frame = pl.DataFrame(
        [(who, order, item, START + timedelta(hours=order)) for who, order, item in rows],
        schema={"customer_id": pl.Int64, "order_id": pl.Int64, "category": pl.String, "at": pl.Datetime("us")},
        orient="row",
    )
    return frame.with_columns(event=pl.lit(event), price=pl.lit(5.0))


def slow_pairs(rows, within, at_least, most, level):
    """The definition: sets of units, and the sum over customers of their squared moves of the log lift."""
    baskets = {}
    for who, order, item in rows:
        if item is not None:
            baskets.setdefault((who, order) if within == "order" else (who,), set()).add(item)
    n = len(baskets)
    has = {item: {key for key, basket in baskets.items() if item in basket} for item in set().union(*baskets.values())}
    has = {item: units for item, units in has.items() if len(units) >= at_least}
    if not has:
        return None
    found = []
    for a, b in permutations(sorted(has), 2):
        both = has[a] & has[b]
        if len(both) >= 5:
            lift = len(both) * n / len(has[a]) / len(has[b])
            moves = {}
            for key in baskets:
                parts = ((both, 1), (has[a], -1), (has[b], -1), (baskets.keys(), 1))
                moves[key[0]] = moves.get(key[0], 0) + sum(
                    sign * (key in units) / len(units) for units, sign in parts if units
                )
            times = Counter(key[0] for key in both).values()
            concentration = sum(share**2 for share in times) / len(both) ** 2
            z = t.isf((1 - level) / 2, max(1, 1 / concentration - 1))
            reach = math.exp(z * math.sqrt(math.fsum(move**2 for move in moves.values())))
            counts = (len(both), len(has[a]), len(has[b]), len(both) / n, len(both) / len(has[a]))
            found.append((a, b, *counts, lift, lift / reach, lift * reach))
    best = sorted(found, key=lambda row: (row[0], -round(row[8], 9), row[1]))
    return [row for row in best if sum(other[0] == row[0] for other in best[: best.index(row)]) < most]


def random_rows(seed, n):
    rng = np.random.default_rng(seed)
    who, order, item = rng.integers(1, 6, n), rng.integers(0, 10, n), rng.choice(5, n, p=[0.35, 0.3, 0.2, 0.1, 0.05])
    return [(int(i), 10 * int(i) + int(j), ["a", "b", "c", "d", None][k]) for i, j, k in zip(who, order, item)]


@settings(max_examples=150)
@given(
    rows=st.builds(random_rows, st.integers(0, 10**6), st.sampled_from([1, 10, 60, 120, 200])),
    within=st.sampled_from(["order", "order", "customer"]),
    at_least=st.sampled_from([1, 5, 20]),
    most=st.sampled_from([1, 2, 50]),
    level=st.sampled_from([0.5, 0.95]),
)
@example(rows=[(1, 0, "a")], within="order", at_least=1, most=1, level=0.9)
def test_pairs_are_those_of_the_definition(rows, within, at_least, most, level):
    options = {"within": within, "at_least": at_least, "most": most, "level": level}
    named = any(item is not None for *_, item in rows)
    expected = slow_pairs(rows, within, at_least, most, level) if named else None
    if expected is None:
        with pytest.raises(ContractError, match=r"no category is in|with a known 'category'"):
            affinity(events_of(rows), **options)
        return
    told = affinity(events_of(rows), **options)
    assert told.n_unnamed == sum(item is None for *_, item in rows)
    assert [row[:7] for row in told.table.rows()] == [row[:7] for row in expected]
    for row, slow in zip(told.table.rows(), expected, strict=True):
        assert row[7:] == pytest.approx(slow[7:], rel=1e-5)


WORLD = shop(rng=3, n_customers=400, days=200)


@pytest.mark.parametrize("within", ["order", "customer"])
def test_row_order_and_customers_names_and_the_calendar_and_the_currency_change_nothing(within):
    told = affinity(WORLD.events, within=within).table
    assert len(told) > 50
    other = WORLD.events.sample(fraction=1, shuffle=True, seed=1).with_columns(
        customer_id=pl.format("c{}", (pl.col("customer_id") * 7919) % 10_007),
        at=pl.col("at") + timedelta(days=36),
        known_at=pl.col("known_at") + timedelta(days=36),
        price=pl.col("price") * 200,
    )
    assert affinity(other, within=within).table.equals(told)


def test_items_may_be_numbers_and_text():
    numbers = affinity(WORLD.events, of="item_id", within="customer", at_least=10).table
    assert numbers.schema["a"] == WORLD.events.schema["item_id"]
    padded = pl.col("item_id").cast(pl.String).str.zfill(8)
    text = affinity(WORLD.events.with_columns(padded), of="item_id", within="customer", at_least=10).table
    assert_frame_equal(text.cast({"a": pl.Int64, "b": pl.Int64}), numbers, check_dtypes=False)


def test_without_order_numbers_what_a_customer_buys_at_one_moment_is_one_order():
    rows = [(1, hour, item) for hour in range(20) for item in "ab"] + [(2, 3, "a"), (2, 4, "b")] * 20
    numbered, bare = events_of(rows), events_of(rows).drop("order_id")
    assert affinity(bare).table.equals(affinity(numbered).table)
    assert affinity(bare).n == 22


def test_one_customer_one_vote_where_customers_are_the_unit():
    rows = [(who, 100 * who + k, item) for who in range(20) for k, item in enumerate("ab")]
    assert affinity(events_of(rows)).table.is_empty()  # never in one order
    assert affinity(events_of(rows), within="customer").table["n_both"].to_list() == [20, 20]


def test_repeating_an_order_widens_the_interval_that_orders_taken_alone_would_have():
    rng = np.random.default_rng(5)
    rows = [(who, who, item) for who in range(400) for item in "abc" if rng.random() < 0.4]
    once = affinity(events_of(rows)).table
    again = affinity(events_of([(who, order + 1000 * k, item) for who, order, item in rows for k in range(3)])).table
    assert_frame_equal(again.select("lift", "low", "high"), once.select("lift", "low", "high"))
    assert again["n_both"].to_list() == (3 * once["n_both"]).to_list()


@pytest.mark.certify
def test_cover_of_independent_items_whatever_customers_are_like(certify):
    def hits(seed):
        rng = np.random.default_rng(seed)
        orders = 1 + rng.poisson(rng.gamma(1.0, 2.0, 500))  # some order often
        taste = rng.beta(1.0, 3.0, (500, 3))  # each likes some things more, independently
        who = np.repeat(np.arange(500), orders)
        has = rng.random((len(who), 3)) < taste[who]
        rows = [(int(who[i]), int(i), "abc"[k]) for i, k in zip(*np.nonzero(has), strict=True)]
        rows += [(int(who[i]), i, "d") for i in range(len(who))]  # no order is empty
        told = affinity(events_of(rows), level=0.9).table
        pairs = told.filter(pl.col("a") < pl.col("b"), pl.col("b") != "d")
        return (pairs["low"] <= 1).to_numpy() & (pairs["high"] >= 1).to_numpy()

    certify(hits, level=0.9)


@pytest.mark.certify
def test_cover_where_few_customers_make_most_orders(certify):
    """One in ten orders fifteen times as often; by the normal law the interval of 90 % would hold 84 %."""

    def hits(seed):
        rng = np.random.default_rng(seed)
        who = np.repeat(np.arange(40), (1 + rng.geometric(0.15, 40)) * np.where(rng.random(40) < 0.1, 15, 1))
        taste = rng.beta(1.0, 2.0, (40, 2))
        has = rng.random((len(who), 2)) < taste[who]
        rows = [(int(who[i]), int(i), "ab"[k]) for i, k in zip(*np.nonzero(has), strict=True)]
        rows += [(int(one), i, "d") for i, one in enumerate(who)]
        table = affinity(events_of(rows), level=0.9, at_least=5).table
        row = table.filter(pl.col("a") == "a", pl.col("b") == "b").row(0, named=True)
        return [row["low"] <= 1 <= row["high"]]

    certify(hits, level=0.9)


@pytest.mark.certify
def test_cover_of_a_lift_that_is_known(certify):
    share = np.array([0.52, 0.08, 0.28, 0.12])  # of orders with neither, a alone, b alone, both
    truth = 0.12 / (0.2 * 0.4)

    def hits(seed):
        cell = np.random.default_rng(seed).choice(4, 400, p=share)
        rows = [(i, i, item) for i, one in enumerate(cell) for item in ("d", "a" * (one & 1), "b" * (one >> 1)) if item]
        row = affinity(events_of(rows), level=0.9).table.row(0, named=True)
        return [row["low"] <= truth <= row["high"]]

    certify(hits, level=0.9)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"of": "categroy"}, "of is 'categroy', not in customer_id, order_id, category"),
        ({"within": "basket"}, "within is 'basket'; it must be one of 'order', 'customer'"),
        ({"at_least": 0}, "at_least is 0; it must be a whole number >= 1"),
        ({"at_least": 2.5}, r"at_least is 2\.5; it must be a whole number >= 1"),
        ({"most": 0}, "most is 0; it must be a whole number >= 1"),
        ({"level": 95}, "level is 95; it must lie between 0 and 1"),
        ({}, r"no category is in 20 orders, the most common is in 1; lower at_least"),
    ],
)
def test_a_wrong_option_is_named_with_what_is_allowed(options, message):
    with pytest.raises(ValueError, match=message):
        affinity(events_of([(1, 0, "a"), (1, 1, "b")]), **options)


@pytest.mark.parametrize("log", [events_of([(1, 0, None)]), events_of([(1, 0, "a")], event="view")])
def test_a_log_with_nothing_bought_by_name_is_refused(log):
    with pytest.raises(ContractError, match="no row is a purchase with a known 'category'"):
        affinity(log)


def test_orders_of_one_item_tell_no_pair():
    told = affinity(events_of([(who, who, "ab"[who % 2]) for who in range(60)]))
    assert repr(told).startswith("0 pairs of category in 60 orders")
    assert told.table.columns[:4] == ["a", "b", "n_both", "n_a"]


def test_nameless_lines_are_counted_in_words():
    rows = [(who, who, item) for who in range(30) for item in ("a", "b", None)]
    told = affinity(events_of(rows))
    assert "2 pairs of category in 30 orders, 30 lines without category left out" in repr(told)
    assert "95 % intervals of the lift" in told._repr_html_()
