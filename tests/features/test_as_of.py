"""What was known at a moment: every feature by its definition, and nothing from after the request."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from itertools import pairwise
from statistics import fmean, stdev
from zoneinfo import ZoneInfo

import numpy as np
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from polars.testing import assert_frame_equal

from shoptoolkit.contract import ContractError
from shoptoolkit.contract.schemas import EVENT_KINDS
from shoptoolkit.features import FeatureSpec, as_of_features
from shoptoolkit.simulate import Shoppers, shop

START = datetime(2025, 1, 1)
TICK = timedelta(microseconds=1)
NAMES = ["impressions", "clicks", "views", "watches", "searches", "carts", "checkouts", "purchases", "refunds"]
PLURALS = dict(zip(EVENT_KINDS, NAMES, strict=True))
SCHEMA = {
    "customer_id": pl.Int64,
    "at": pl.Datetime("us"),
    "known_at": pl.Datetime("us"),
    "event": pl.String,
    "price": pl.Float64,
    "quantity": pl.Int64,
    "watch_seconds": pl.Float64,
    "item_id": pl.String,
    "category": pl.String,
    "source": pl.String,
}


def events_of(rows):
    return pl.DataFrame(rows, schema=SCHEMA, orient="row")


def requests_of(rows):
    return pl.DataFrame(rows, schema={"customer_id": pl.Int64, "as_of": pl.Datetime("us")}, orient="row")


def row(
    who=1,
    hour=0.0,
    event="purchase",
    *,
    late=None,
    price=10.0,
    quantity=1,
    watched=None,
    item=None,
    category=None,
    source=None,
    ticks=0,
):
    """One event at an hour (and so many microseconds); `late` hours until it is known."""
    at = START + timedelta(hours=hour) + ticks * TICK
    known_at = None if late is None else at + timedelta(hours=late)
    return (who, at, known_at, event, price, quantity, watched, item, category, source)


def ask(who=1, hour=0.0, ticks=0):
    return (who, START + timedelta(hours=hour) + ticks * TICK)


def slow_features(events, asked, spec):
    """The definition in plain Python, one request at a time over the whole log: {column: value}."""
    who, as_of = asked
    mine = [dict(zip(SCHEMA, one, strict=True)) for one in events if one[0] == who]
    known = [one for one in mine if (one["known_at"] or one["at"]) < as_of]
    found = {}
    for days in spec.windows_days:
        inside = [one for one in known if as_of - timedelta(days=days) <= one["at"]]
        looked = [one for one in inside if one["event"] in spec.counted]
        for kind in spec.counted if spec.counts else ():
            found[f"{PLURALS[kind]}_{days}d"] = sum(one["event"] == kind for one in inside)
        cents = {kind: sum(cents_of(one) for one in inside if one["event"] == kind) for kind in ("purchase", "refund")}
        live = [one for one in inside if one["source"] == "live"]
        micros = [sum(round((one["watch_seconds"] or 0) * 10**6) for one in part) for part in (inside, live)]
        sums = {"spend": cents["purchase"] / 100, "refunded": cents["refund"] / 100}
        sums |= {"watch_seconds": micros[0] / 10**6, "live_seconds": micros[1] / 10**6}
        found |= {f"{name}_{days}d": sums[name] for name in spec.sums}
        distinct = {
            "active_days": {day_of(one["at"], spec.timezone) for one in looked},
            "distinct_items": {one["item_id"] for one in looked} - {None},
            "distinct_categories": {one["category"] for one in looked} - {None},
        }
        found |= {f"{name}_{days}d": len(distinct[name]) for name in spec.distinct}
        sources = [one["source"] for one in looked if one["source"] is not None]
        for name in spec.sources:
            found[f"{name}_share_{days}d"] = sources.count(name) / len(sources) if sources else None
    for kind in spec.counted if spec.recency else ():
        last = max((one["at"] for one in known if one["event"] == kind), default=None)
        found[f"days_since_{kind}"] = None if last is None else (as_of - last) / timedelta(days=1)
    if spec.rhythm:
        days = sorted({day_of(one["at"], spec.timezone) for one in known if one["event"] == "purchase"})
        gaps = [(after - before).days for before, after in pairwise(days)]
        found |= {"purchase_gaps": len(gaps), "mean_gap_days": fmean(gaps) if gaps else None}
        found["gap_cv"] = pytest.approx(stdev(gaps) / fmean(gaps), abs=1e-12) if len(gaps) > 1 else None
    return found


def cents_of(one):
    return round(one["price"] * 100) * (one["quantity"] or 1)


def day_of(at, timezone):
    return at.replace(tzinfo=UTC).astimezone(ZoneInfo(timezone)).date()


# Hours on a coarse grid, so that a request often falls on an event, on its arrival or on the edge of a window.
HOURS = st.sampled_from([0, 1, 5, 23, 24, 25, 48, 49, 72, 24 * 7, 24 * 7 + 1])
TICKS = st.sampled_from([0, 0, 0, 1, -1])
ROWS = st.lists(
    st.builds(
        row,
        who=st.integers(1, 3),
        hour=HOURS,
        event=st.sampled_from(["purchase", "purchase", "refund", "watch", "view"]),
        late=st.sampled_from([None, None, 0, 1, 24, 25, 48, 24 * 7]),
        price=st.sampled_from([0.0, 0.29, 4.35, 19.99]),
        quantity=st.sampled_from([None, 1, 3]),
        watched=st.sampled_from([None, 0.0, 0.1, 12.345678]),
        item=st.sampled_from([None, "a", "b"]),
        category=st.sampled_from([None, "shoes", "söcks"]),
        source=st.sampled_from([None, "organic", "live", "a friend"]),
        ticks=TICKS,
    ),
    min_size=1,
    max_size=25,
)
ASKED = st.lists(st.builds(ask, who=st.integers(1, 4), hour=HOURS, ticks=TICKS), min_size=1, max_size=15)
SPECS = st.builds(
    FeatureSpec,
    windows_days=st.sampled_from([(1, 2, 7), (1,), (1, 7, 28, 91)]),
    kinds=st.sampled_from([None, ("purchase",), ("view", "refund")]),
    counts=st.booleans(),
    sums=st.sampled_from([("spend", "refunded", "watch_seconds", "live_seconds"), ("live_seconds",), ()]),
    distinct=st.sampled_from([("active_days", "distinct_items", "distinct_categories"), ("distinct_items",), ()]),
    sources=st.sampled_from([("organic", "live"), ("a friend",), ("radio",), ()]),
    recency=st.booleans(),
    rhythm=st.booleans(),
    timezone=st.sampled_from(["UTC", "Asia/Tokyo"]),
)


@settings(max_examples=150)
@given(rows=ROWS, asked=ASKED, spec=SPECS, text=st.booleans())
def test_features_are_those_of_the_definition(rows, asked, spec, text):
    events, requests = events_of(rows), requests_of(asked)
    ids = pl.col("customer_id").cast(pl.String) if text else pl.col("customer_id")
    table = as_of_features(events.with_columns(ids), requests.with_columns(ids), spec=spec)
    assert table.columns == ["customer_id", "as_of", *spec.columns]
    assert table.drop(spec.columns).equals(requests.with_columns(ids))
    for one, told in zip(asked, table.to_dicts(), strict=True):
        assert {name: told[name] for name in spec.columns} == slow_features(rows, one, spec)


@given(rows=ROWS, asked=ASKED, seed=st.integers(0, 99))
def test_the_order_of_the_log_does_not_matter(rows, asked, seed):
    events, requests = events_of(rows), requests_of(asked)
    shuffled = events.sample(fraction=1, shuffle=True, seed=seed)
    assert as_of_features(shuffled, requests).equals(as_of_features(events, requests))


@given(rows=ROWS, asked=ASKED, hour=HOURS, ticks=TICKS, data=st.data())
def test_the_future_of_a_request_never_matters(rows, asked, hour, ticks, data):
    """Rows known at or after the earliest request are removed, doubled, delayed or rewritten."""
    as_of = START + timedelta(hours=hour) + ticks * TICK
    requests = requests_of([(who, as_of) for who, _ in asked])
    past = [one for one in rows if (one[2] or one[1]) < as_of]
    future = [one for one in rows if (one[2] or one[1]) >= as_of]
    change = data.draw(st.sampled_from(["remove", "double", "delay", "rewrite", "another customer"]))
    changed = {
        "remove": [],
        "double": future * 2,
        "delay": [(who, at, (known or at) + timedelta(days=3), *rest) for who, at, known, *rest in future],
        "rewrite": [
            (who, at, as_of + max(at - as_of, 5 * TICK), "view", 1e6, 9, 1e5, "z", "z", "live")
            for who, at, *_ in future
        ],
        "another customer": [(who % 3 + 1, *rest) for who, *rest in future],
    }[change]
    kept = [*past, *changed] or [row(who=9, hour=999)]
    before = as_of_features(events_of(rows), requests)
    assert as_of_features(events_of(kept), requests).equals(before, null_equal=True)


@given(rows=ROWS, asked=ASKED, days=st.integers(-9_000, 9_000))
def test_a_shifted_calendar_gives_the_same_features(rows, asked, days):
    events, requests = events_of(rows), requests_of(asked)
    moved = requests.with_columns(pl.col("as_of") + timedelta(days=days))
    log = events.with_columns(pl.col("at", "known_at") + timedelta(days=days))
    columns = FeatureSpec().columns
    assert as_of_features(log, moved).select(columns).equals(as_of_features(events, requests).select(columns))


@given(rows=ROWS, asked=ASKED)
def test_in_another_currency_only_the_money_changes(rows, asked):
    events, requests = events_of(rows), requests_of(asked)
    money = [f"{what}_{days}d" for what in ("spend", "refunded") for days in FeatureSpec().windows_days]
    pounds, pence = (as_of_features(log, requests) for log in (events, events.with_columns(pl.col("price") * 100)))
    assert pence.drop(money).equals(pounds.drop(money))
    assert_frame_equal(pence.select(money), pounds.select(pl.col(money) * 100), rel_tol=1e-12)


@given(rows=ROWS, asked=ASKED)
def test_renamed_customers_have_the_same_features(rows, asked):
    names = {1: "søren", 2: "a b", 3: "李", 4: "nobody"}
    rename = pl.col("customer_id").replace_strict(names, return_dtype=pl.String)
    events, requests = events_of(rows), requests_of(asked)
    renamed = as_of_features(events.with_columns(rename), requests.with_columns(rename))
    assert renamed.drop("customer_id").equals(as_of_features(events, requests).drop("customer_id"))


@settings(max_examples=30)
@given(rows=ROWS, asked=ASKED)
def test_each_request_is_answered_alone(rows, asked):
    events, requests = events_of(rows), requests_of(asked)
    alone = pl.concat(as_of_features(events, requests[i]) for i in range(len(requests)))
    assert alone.equals(as_of_features(events, requests))


@pytest.mark.parametrize(
    ("asked", "purchases", "since"),
    [
        (ask(hour=24), 0, None),  # at the very moment: not yet known
        (ask(hour=24, ticks=1), 1, 1 / 86_400e6),
        (ask(hour=24 * 8), 1, 7.0),  # exactly a window ago: still inside
        (ask(hour=24 * 8, ticks=1), 0, 7 + 1 / 86_400e6),
    ],
)
def test_a_window_holds_its_first_moment_and_not_the_request(asked, purchases, since):
    table = as_of_features(events_of([row(hour=24)]), requests_of([asked]))
    assert table["purchases_7d"].item() == purchases
    assert table["days_since_purchase"].item() == since


def test_a_late_row_counts_once_it_is_known_and_from_when_it_happened():
    events = events_of([row(hour=0, late=48)])
    requests = requests_of([ask(hour=1), ask(hour=48), ask(hour=48, ticks=1), ask(hour=24 * 7), ask(hour=24 * 7 + 1)])
    table = as_of_features(events, requests)
    assert table["purchases_7d"].to_list() == [0, 0, 1, 1, 0]
    assert table["active_days_7d"].to_list() == [0, 0, 1, 1, 0]
    assert table["days_since_purchase"].to_list() == [None, None, 2 + 1 / 86_400e6, 7, 7 + 1 / 24]


def test_a_row_known_only_after_its_window_is_in_no_such_window():
    table = as_of_features(events_of([row(hour=0, late=24 * 8)]), requests_of([ask(hour=24 * 8 + 1)]))
    assert table.select("purchases_7d", "spend_7d", "active_days_7d", "purchases_28d").row(0) == (0, 0, 0, 1)


def test_without_known_at_a_row_is_known_when_it_happens():
    events, requests = events_of([row(hour=0), row(hour=5)]), requests_of([ask(hour=5), ask(hour=6)])
    assert as_of_features(events.drop("known_at"), requests).equals(as_of_features(events, requests))
    assert as_of_features(events, requests)["purchases_7d"].to_list() == [1, 2]


def test_a_customer_without_events_has_counts_of_zero_and_no_recency():
    spec = FeatureSpec(windows_days=(7,), kinds=("purchase", "view"), sources=("organic",))
    table = as_of_features(events_of([row(who=1)]), requests_of([ask(who=7, hour=9)]), spec=spec)
    counts, since, rhythm = (0, 0, 0.0, 0.0, 0.0, 0.0, 0, 0, 0), (None, None), (0, None, None)
    assert table.select(spec.columns).row(0) == (*counts, None, *since, *rhythm)


def test_requests_keep_their_order_their_duplicates_and_their_columns():
    asked = requests_of([ask(2, 9), ask(1, 9), ask(2, 9), ask(2, 1)]).with_columns(
        arm=pl.Series(["a", None, "b", "a"]), score=pl.Series([0.1, float("nan"), 0.3, 0.4])
    )
    before = asked.clone()
    events = events_of([row(who=2, hour=5), row(who=1, hour=2), row(who=1, hour=3)])
    table = as_of_features(events, asked)
    assert table.select(asked.columns).equals(asked)
    assert asked.equals(before)
    assert table["purchases_7d"].to_list() == [1, 2, 1, 0]


def test_columns_depend_on_the_spec_and_never_on_the_log():
    bare = events_of([row(event="view")]).select("customer_id", "at", "event")
    requests = requests_of([ask(hour=9)])
    table, full = as_of_features(bare, requests), as_of_features(events_of([row()]), requests)
    assert table.schema == full.schema
    assert table.columns[2:] == FeatureSpec().columns
    assert len(table.columns) == 2 + (9 + 4 + 3 + 4) * 4 + 9 + 3
    assert table["views_7d"].item() == 1


def test_watching_that_was_never_measured_is_not_zero():
    table = as_of_features(events_of([row()]).drop("watch_seconds"), requests_of([ask(hour=9)]))
    assert table.select("watch_seconds_7d", "watch_seconds_91d", "live_seconds_7d").row(0) == (None, None, None)
    assert table["spend_7d"].item() == 10


def test_what_the_log_has_no_column_for_is_null_and_not_zero():
    full = as_of_features(events_of([row()]), requests_of([ask(hour=9)]))
    assert full.select("distinct_items_7d", "distinct_categories_7d", "organic_share_7d").row(0) == (0, 0, None)
    bare = as_of_features(events_of([row()]).drop("item_id", "category", "source"), requests_of([ask(hour=9)]))
    told = ("distinct_items_7d", "distinct_categories_7d", "organic_share_7d", "live_seconds_7d", "watch_seconds_7d")
    assert bare.select(told).row(0) == (None, None, None, None, 0)
    assert bare.schema == full.schema


def test_shares_are_of_the_rows_that_have_a_source():
    events = events_of(
        [row(hour=hour, source=name) for hour, name in enumerate(["live", "live", "radio", None, "paid"])]
    )
    table = as_of_features(events, requests_of([ask(hour=9)]), spec=FeatureSpec(sources=("live", "paid", "organic")))
    assert table.select("live_share_7d", "paid_share_7d", "organic_share_7d").row(0) == (0.5, 0.25, 0)


def test_live_seconds_are_those_watched_from_a_live_show():
    watched = [row(event="watch", watched=5.5, source=name) for name in ("live", "live", "organic", None)]
    table = as_of_features(events_of(watched), requests_of([ask(hour=9)]))
    assert table.select("live_seconds_7d", "watch_seconds_7d").row(0) == (11, 22)


def test_a_day_that_becomes_known_late_splits_its_gap():
    """Purchases on days 0, 4 and 10, of which day 4 is told on day 20."""
    events = events_of([row(hour=0), row(hour=24 * 10), row(hour=24 * 4, late=24 * 16), row(hour=24 * 10 + 5)])
    table = as_of_features(events, requests_of([ask(hour=24 * 30), ask(hour=24 * 20), ask(hour=24 * 10)]))
    rhythm = table.select("purchase_gaps", "mean_gap_days", "gap_cv").rows()
    assert rhythm == [(2, 5, pytest.approx(stdev([4, 6]) / 5)), (1, 10, None), (0, None, None)]


def test_the_rhythm_of_a_heavy_customer_whose_days_come_in_any_order():
    random, n, asked = np.random.default_rng(7), 20_000, 300
    at, delay = random.integers(0, 3_000 * 24, n), random.integers(0, 2_000 * 24, n)
    hour, start = np.timedelta64(1, "h").astype("timedelta64[us]"), np.datetime64(START, "us")
    events = pl.DataFrame({"customer_id": 1, "at": start + at * hour, "known_at": start + (at + delay) * hour})
    moment = random.integers(0, 5_000 * 24, asked)
    requests = pl.DataFrame({"customer_id": 1, "as_of": start + moment * hour})
    table = as_of_features(events.with_columns(event=pl.lit("purchase"), price=1.0), requests)
    for told, now in zip(table.select("purchase_gaps", "mean_gap_days", "gap_cv").iter_rows(), moment, strict=True):
        gaps = np.diff(np.unique(at[at + delay < now] // 24))
        assert told[0] == len(gaps)
        if len(gaps) > 1:
            assert told[1:] == pytest.approx((gaps.mean(), gaps.std(ddof=1) / gaps.mean()), rel=1e-12)


def test_columns_are_named_by_what_they_count_and_their_window():
    spec = FeatureSpec(windows_days=[1, 28], kinds=["purchase", "search"], sources=["live"])
    windowed = ["purchases", "searches", "spend", "refunded", "watch_seconds", "live_seconds", "active_days"]
    windowed += ["distinct_items", "distinct_categories", "live_share"]
    assert spec.columns == [
        *(f"{name}_{days}d" for name in windowed for days in (1, 28)),
        *("days_since_purchase", "days_since_search", "purchase_gaps", "mean_gap_days", "gap_cv"),
    ]
    same = {"kinds": ("purchase", "search"), "sources": ("live",)}
    assert spec == FeatureSpec(windows_days=(np.int64(1), 28), **same)


def test_every_family_can_be_left_out():
    none = {"counts": False, "sums": (), "distinct": (), "sources": (), "recency": False, "rhythm": False}
    requests = requests_of([ask(hour=9)])
    assert FeatureSpec(**none).columns == []
    assert as_of_features(events_of([row()]), requests, spec=FeatureSpec(**none)).equals(requests)
    counts = FeatureSpec().columns
    for name in none:
        left = FeatureSpec(**none | {name: getattr(FeatureSpec(), name)}).columns
        assert left == counts[: len(left)]
        counts = counts[len(left) :]
    assert counts == []


def test_an_active_day_is_a_day_of_the_shop():
    events = events_of([row(hour=14, event="view"), row(hour=16, event="view"), row(hour=20, event="view")])
    requests = requests_of([ask(hour=40)])
    days = {
        zone: as_of_features(events, requests, spec=FeatureSpec(timezone=zone))["active_days_7d"].item()
        for zone in ("UTC", "Asia/Tokyo")
    }
    assert days == {"UTC": 1, "Asia/Tokyo": 2}


def test_money_is_summed_to_the_cent():
    table = as_of_features(events_of([row(price=0.1, quantity=3), *[row(price=4.35)] * 3]), requests_of([ask(hour=1)]))
    assert table["spend_7d"].item() == 13.35


def test_a_whole_shop_adds_up():
    world = shop(n_customers=300, days=200, rng=3, shoppers=Shoppers(late_share=0))
    people, events = world.events.select(pl.col("customer_id").unique()), world.events
    spec = FeatureSpec(windows_days=(365,), kinds=("purchase",))
    table = as_of_features(events, people.with_columns(as_of=pl.lit(world.as_of)), spec=spec)
    bought = events.filter(pl.col("event") == "purchase")
    assert table["purchases_365d"].sum() == len(bought)
    cents = (pl.col("price") * 100).round() * pl.col("quantity")
    assert round(table["spend_365d"].sum() * 100) == bought.select(cents.sum()).item()
    assert table["active_days_365d"].sum() == bought.select(pl.struct("customer_id", pl.col("at").dt.date())).n_unique()


def test_a_heavy_customer_with_late_rows_in_any_order_is_counted_exactly():
    random, n, asked = np.random.default_rng(5), 20_000, 500
    at, delay = random.integers(0, 60 * 24 * 60, n), random.integers(0, 20 * 24 * 60, n)
    moment = random.integers(0, 90 * 24 * 60, asked)
    minutes = np.timedelta64(1, "m").astype("timedelta64[us]")
    start = np.datetime64(START, "us")
    events = pl.DataFrame({"customer_id": 1, "at": start + at * minutes, "known_at": start + (at + delay) * minutes})
    requests = pl.DataFrame({"customer_id": 1, "as_of": start + moment * minutes})
    spec = FeatureSpec(windows_days=(7, 28), kinds=("view",), sums=())
    table = as_of_features(events.with_columns(event=pl.lit("view")), requests, spec=spec)
    for days in spec.windows_days:
        inside = (at + delay < moment[:, None]) & (at >= moment[:, None] - days * 24 * 60)
        assert table[f"views_{days}d"].to_list() == inside.sum(axis=1).tolist()


def test_lazy_pandas_and_zoned_frames_are_understood():
    events, requests = events_of([row(hour=5, late=1)]), requests_of([ask(hour=9)])
    expected = as_of_features(events, requests)
    assert as_of_features(events.lazy(), requests.lazy()).equals(expected)
    assert as_of_features(events.to_pandas(), requests.to_pandas()).equals(expected)
    zoned = requests.with_columns(pl.col("as_of").dt.replace_time_zone("UTC").dt.convert_time_zone("Asia/Tokyo"))
    assert as_of_features(events, zoned).equals(expected)


EVENTS, REQUESTS = events_of([row()]), requests_of([ask(hour=9)])
TEXT = pl.col("customer_id").cast(pl.String)


@pytest.mark.parametrize(
    ("events", "requests", "message"),
    [
        (EVENTS.drop("at"), REQUESTS, "events: 'at' is missing"),
        (EVENTS, REQUESTS.rename({"as_of": "when"}), "requests: 'as_of' is missing"),
        (EVENTS, REQUESTS.with_columns(as_of=pl.lit("2025-01-01")), "'as_of' is String, must be Datetime"),
        (EVENTS, requests_of([(1, None)]), "requests: 1 of 1 rows break the contract: as_of is null"),
        (EVENTS, requests_of([]), "requests: the frame has 0 rows"),
        (events_of([]), REQUESTS, "events: the frame has 0 rows"),
        (events_of([row(late=-1)]), REQUESTS, "known_at is before at"),
        (EVENTS.drop("price"), REQUESTS, "price is missing on a purchase or refund"),
        (EVENTS, REQUESTS.with_columns(TEXT), "requests: 'customer_id' is String, and Int64 in the events"),
        (EVENTS.with_columns(TEXT), REQUESTS, "requests: 'customer_id' is Int64, and String in the events"),
        (
            EVENTS,
            REQUESTS.with_columns(spend_7d=1, days_since_view=2, spend=3),
            "requests: 'spend_7d', 'days_since_view' would be overwritten by features of that name",
        ),
        (events_of([row(price=1e15)]), REQUESTS, "events: spend of one row is 1e.15; beyond 9.01e.13 sums are not"),
        (events_of([row(event="watch", watched=1e300)]), REQUESTS, "events: watch_seconds of one row is 1e.300"),
    ],
)
def test_frames_that_cannot_be_used_are_refused_with_the_reason(events, requests, message):
    with pytest.raises(ContractError, match=message):
        as_of_features(events, requests)


@pytest.mark.parametrize(
    ("options", "error", "message"),
    [
        ({"windows_days": ()}, ValueError, r"windows_days is \(\); name at least one window"),
        ({"windows_days": 7}, TypeError, "windows_days is 7; name at least one window"),
        ({"windows_days": "7"}, TypeError, "windows_days is '7'; a window is a whole number"),
        ({"windows_days": (7.5,)}, TypeError, "a window is a whole number of days"),
        ({"windows_days": (True,)}, TypeError, "a window is a whole number of days"),
        ({"windows_days": (0, 7)}, ValueError, "a window lasts from 1 to 36525 days"),
        ({"windows_days": (-7,)}, ValueError, "a window lasts from 1 to 36525 days"),
        ({"windows_days": (7, 10**9)}, ValueError, "a window lasts from 1 to 36525 days"),
        ({"windows_days": (28, 7)}, ValueError, r"windows must increase, each named once, e.g. \(7, 28\)"),
        ({"windows_days": (7, 7)}, ValueError, r"windows must increase, each named once, e.g. \(7,\)"),
        ({"kinds": ("purchase", "wishlist")}, ValueError, "kinds has 'wishlist'; it may have 'impression', 'click'"),
        ({"kinds": ("view", "view")}, ValueError, r"kinds is \('view', 'view'\); name each once"),
        ({"kinds": ()}, ValueError, r"kinds is \(\); name at least one kind of event, or None for all"),
        ({"kinds": "purchase"}, TypeError, r"kinds is 'purchase'; it must name several, e.g. \('impression',\)"),
        ({"sums": ("revenue",)}, ValueError, "sums has 'revenue'; it may have 'spend', 'refunded', 'watch_seconds'"),
        ({"distinct": ("items",)}, ValueError, "distinct has 'items'; it may have 'active_days', 'distinct_items'"),
        ({"distinct": "active_days"}, TypeError, "distinct is 'active_days'; it must name several"),
        ({"sources": "live"}, TypeError, r"sources is 'live'; it must name several, e.g. \('live',\)"),
        ({"sources": ("live", "live")}, ValueError, r"sources is \('live', 'live'\); name each once"),
        ({"sources": ("live", None)}, TypeError, "sources has None; it must be text"),
        ({"rhythm": 1}, TypeError, "rhythm is 1; it must be True or False"),
        ({"counts": None}, TypeError, "counts is None; it must be True or False"),
        ({"sums": None}, TypeError, r"sums is None; it must name several, e.g. \('spend',\)"),
        ({"timezone": "Mars"}, ValueError, "timezone is 'Mars'; it must be an IANA name"),
    ],
)
def test_a_spec_that_cannot_be_built_says_why(options, error, message):
    with pytest.raises(error, match=message):
        FeatureSpec(**options)


def test_a_spec_of_another_type_is_refused():
    with pytest.raises(TypeError, match=r"spec is \(7, 28\); it must be a FeatureSpec"):
        as_of_features(EVENTS, REQUESTS, spec=(7, 28))
