"""The last things a customer did, as far as they were known, by the definition."""

from __future__ import annotations

from datetime import datetime, timedelta

import numpy as np
import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from shoptoolkit.contract import ContractError
from shoptoolkit.contract.schemas import EVENT_KINDS
from shoptoolkit.features import sequences
from shoptoolkit.simulate import shop

START = datetime(2025, 1, 1)
SCHEMA = {
    "customer_id": pl.Int64,
    "at": pl.Datetime("us"),
    "known_at": pl.Datetime("us"),
    "event": pl.Enum(EVENT_KINDS),
    "item_id": pl.String,
    "watch_seconds": pl.Float64,
}
COLUMNS = ["event", "item_id", "watch_seconds"]


def events_of(rows):
    return pl.DataFrame(rows, schema=SCHEMA, orient="row")


def requests_of(rows):
    return pl.DataFrame(rows, schema={"customer_id": pl.Int64, "as_of": pl.Datetime("us")}, orient="row")


def row(who=1, hour=0, event="view", item="a", *, late=None, watched=None):
    at = START + timedelta(hours=hour)
    return (who, at, None if late is None else at + timedelta(hours=late), event, item, watched)


def ask(who=1, hour=0):
    return (who, START + timedelta(hours=hour))


def slow_sequence(rows, asked, last):
    """The definition, one request at a time over the whole log."""
    who, as_of = asked
    known = [one for one in rows if one[0] == who and (one[2] or one[1]) < as_of]

    def value(one):
        _, at, known_at, event, item, watched = one
        nulls_first = [(given is not None, given or 0) for given in (known_at and known_at.timestamp(), watched)]
        return (at, EVENT_KINDS.index(event), nulls_first[0], item is not None, item or "", nulls_first[1])

    kept = sorted(known, key=value)[-last:]
    lists = {name: [one[3 + i] for one in kept] for i, name in enumerate(COLUMNS)}
    return {"n_known": len(known)} | lists | {"days_before": [(as_of - one[1]) / timedelta(days=1) for one in kept]}


HOURS = st.sampled_from([0, 1, 2, 3, 24, 25, 48])
ROWS = st.lists(
    st.builds(
        row,
        who=st.integers(1, 3),
        hour=HOURS,
        event=st.sampled_from(["view", "cart", "impression"]),
        item=st.sampled_from(["a", "b", "søren", None]),
        late=st.sampled_from([None, 0, 1, 24]),
        watched=st.sampled_from([None, 0.0, 1.5]),
    ),
    min_size=1,
    max_size=25,
)
ASKED = st.lists(st.builds(ask, who=st.integers(1, 4), hour=HOURS), min_size=1, max_size=12)


@given(rows=ROWS, asked=ASKED, last=st.integers(1, 6), seed=st.integers(0, 99), text=st.booleans())
def test_sequences_are_those_of_the_definition_in_any_order_of_the_log(rows, asked, last, seed, text):
    ids = pl.col("customer_id").cast(pl.String) if text else pl.col("customer_id")
    events, requests = events_of(rows).with_columns(ids), requests_of(asked).with_columns(ids)
    table = sequences(events, requests, columns=COLUMNS, last=last)
    assert table.select(requests.columns).equals(requests)
    for one, told in zip(asked, table.drop(requests.columns).to_dicts(), strict=True):
        assert told == slow_sequence(rows, one, last)
    shuffled = events.sample(fraction=1, shuffle=True, seed=seed)
    assert sequences(shuffled, requests, columns=COLUMNS, last=last).equals(table)


@given(rows=ROWS, asked=ASKED, days=st.integers(-9_000, 9_000))
def test_a_shifted_calendar_gives_the_same_sequences(rows, asked, days):
    events, requests = events_of(rows), requests_of(asked)
    moved = requests.with_columns(pl.col("as_of") + timedelta(days=days))
    log = events.with_columns(pl.col("at", "known_at") + timedelta(days=days))
    assert sequences(log, moved).drop("as_of").equals(sequences(events, requests).drop("as_of"))


def test_a_late_row_takes_its_place_in_time_once_it_is_known():
    events = events_of([row(hour=0), row(hour=1, event="cart", late=9), row(hour=2, event="search")])
    table = sequences(events, requests_of([ask(hour=10), ask(hour=11), ask(hour=2)]), last=2)
    assert table["event"].to_list() == [["view", "search"], ["cart", "search"], ["view"]]
    assert table["n_known"].to_list() == [2, 3, 1]


def test_requests_keep_their_order_their_duplicates_and_their_columns():
    asked = requests_of([ask(2, 9), ask(1, 9), ask(2, 9)]).with_columns(arm=pl.Series(["a", None, "b"]))
    table = sequences(events_of([row(who=2, hour=5), row(who=1, hour=2)]), asked)
    assert table.columns == ["customer_id", "as_of", "arm", "n_known", "event", "days_before"]
    assert table.select(asked.columns).equals(asked)


def test_types_are_those_of_the_log():
    table = sequences(events_of([row()]), requests_of([ask(hour=9), ask(who=7)]), columns=[*COLUMNS, "at", "known_at"])
    inner = {name: table.schema[name].inner for name in [*COLUMNS, "at", "known_at", "days_before"]}
    assert inner == {name: SCHEMA[name] for name in [*COLUMNS, "at", "known_at"]} | {"days_before": pl.Float64}
    assert table["item_id"].to_list() == [["a"], []]


def test_a_heavy_customer_whose_rows_are_long_unknown_costs_no_more():
    """Each of 20,000 requests looks back over 100,000 rows that are not yet known."""
    n, asked = 200_000, 20_000
    minute = START + pl.duration(minutes=pl.int_range(n))
    events = pl.select(customer_id=1, at=minute, event=pl.lit("view")).with_columns(
        known_at=pl.when(pl.int_range(pl.len()) < n // 2).then("at").otherwise(START + timedelta(minutes=3 * n))
    )
    requests = pl.select(customer_id=1, as_of=START + pl.duration(minutes=n + pl.int_range(asked)))
    table = sequences(events, requests, last=3)
    assert table["n_known"].unique().to_list() == [n // 2]
    newest = table["days_before"].list.last().to_numpy() * 24 * 60
    assert np.allclose(newest, n // 2 + 1 + np.arange(asked))


def test_a_whole_shop_is_listed():
    world = shop(n_customers=200, days=90, rng=3)
    people = world.customers.select("customer_id", as_of=pl.lit(world.as_of))
    table = sequences(world.events, people, columns=("event", "source"), last=100_000)
    assert table["n_known"].sum() == table["event"].list.len().sum()
    known = world.events.filter(pl.col("known_at") < world.as_of)
    bought = known.filter(pl.col("event") == "purchase")
    assert table["event"].list.count_matches("purchase").sum() == len(bought)


EVENTS, REQUESTS = events_of([row()]), requests_of([ask(hour=9)])


@pytest.mark.parametrize(
    ("events", "requests", "options", "error", "message"),
    [
        (EVENTS, REQUESTS, {"columns": ("event", "colour")}, ContractError, "columns has 'colour', not in customer_id"),
        (EVENTS, REQUESTS, {"columns": ("event", "event")}, ValueError, "'event' would stand twice in the result"),
        (
            EVENTS,
            REQUESTS,
            {"columns": "n_known"},
            ValueError,
            r"columns is \['n_known'\]; 'n_known' would stand twice",
        ),
        (EVENTS, REQUESTS, {"last": 0}, ValueError, "last is 0; it must be a whole number >= 1"),
        (EVENTS, REQUESTS, {"last": 2.5}, ValueError, "last is 2.5; it must be a whole number >= 1"),
        (EVENTS, REQUESTS, {"columns": "customer_id"}, ContractError, "'customer_id' would be overwritten"),
        (EVENTS, REQUESTS.with_columns(event=1), {}, ContractError, "requests: 'event' would be overwritten"),
        (EVENTS.drop("at"), REQUESTS, {}, ContractError, "events: 'at' is missing"),
        (EVENTS, REQUESTS.cast({"customer_id": pl.String}), {}, ContractError, "cast one"),
    ],
)
def test_what_cannot_be_listed_is_refused_with_the_reason(events, requests, options, error, message):
    with pytest.raises(error, match=message):
        sequences(events, requests, **options)
