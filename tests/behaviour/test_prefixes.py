"""What was seen of a session at a moment: by its definition, and nothing from later."""

from __future__ import annotations

from datetime import datetime, timedelta

import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from polars.testing import assert_frame_equal

from shoptoolkit.behaviour import session_features, session_prefixes
from shoptoolkit.behaviour.prefixes import SESSION
from shoptoolkit.contract import ContractError
from shoptoolkit.contract.schemas import EVENT_KINDS
from shoptoolkit.features import FeatureSpec, as_of_features, search_leaks
from shoptoolkit.simulate import shop

START = datetime(2025, 1, 1, 9)
TICK = timedelta(microseconds=1)
GAP = timedelta(minutes=30)
SPEC = FeatureSpec(windows_days=(1,), kinds=("view",), sums=())
PLURALS = ["impressions", "clicks", "views", "watches", "searches", "carts", "checkouts", "purchases", "refunds"]
SCHEMA = {
    "customer_id": pl.Int64,
    "at": pl.Datetime("us"),
    "known_at": pl.Datetime("us"),
    "event": pl.String,
    "price": pl.Float64,
    "watch_seconds": pl.Float64,
    "item_id": pl.Int64,
    "source": pl.String,
}


def events_of(rows):
    return pl.DataFrame(rows, schema=SCHEMA, orient="row")


def row(who=1, minute=0, event="view", *, late=None, price=10.0, watched=None, item=None, source=None):
    at = START + timedelta(minutes=minute)
    return (who, at, None if late is None else at + timedelta(minutes=late), event, price, watched, item, source)


def requests_of(asked):
    return pl.DataFrame(asked, schema={"customer_id": pl.Int64, "as_of": pl.Datetime("us")}, orient="row")


def ask(who=1, minute=0, ticks=0):
    return (who, START + timedelta(minutes=minute) + ticks * TICK)


def in_time(rows):
    """Rows as dictionaries, by moment, kind of event and the other columns by name (unknown values first)."""
    named = [dict(zip(SCHEMA, one, strict=True)) for one in rows]
    rest = sorted(set(SCHEMA) - {"customer_id", "at", "event"})

    def place(one):
        values = [(one[name] is not None, "" if one[name] is None else f"{one[name]!s:0>30}") for name in rest]
        return (one["customer_id"], one["at"], EVENT_KINDS.index(one["event"]), values)

    return sorted(named, key=place)


def came(one):
    return one["known_at"] or one["at"]


def slow_open(rows, who, as_of):
    """The rows of the customer's session that is open at a moment, as known by then."""
    known = [one for one in in_time(rows) if one["customer_id"] == who and came(one) < as_of]
    found, last = [], as_of
    for one in reversed(known):
        if last - one["at"] > GAP:
            break
        found, last = [one, *found], one["at"]
    return found


def slow_features(rows, who, as_of):
    seen = slow_open(rows, who, as_of)
    told = {"rows_seen": len(seen)}
    told |= {f"session_{name}": sum(one["event"] == kind for one in seen) for name, kind in zip(PLURALS, EVENT_KINDS)}
    if not seen:
        return told | {name: None for name in SESSION if name not in told}
    prices = [one["price"] for one in seen if one["price"] is not None]
    began = seen[0]["at"]
    return told | {
        "session_minutes": (seen[-1]["at"] - began) / timedelta(minutes=1),
        "session_watch_seconds": sum(one["watch_seconds"] or 0 for one in seen),
        "session_items": len({one["item_id"] for one in seen} - {None}),
        "session_categories": None,
        "session_mean_price": sum(prices) / len(prices) if prices else None,
        "session_source": next((one["source"] for one in seen if one["source"]), None),
        "session_last_event": seen[-1]["event"],
        "session_hour": began.hour,
        "session_weekday": began.isoweekday(),
    }


def slow_sessions(rows):
    """Sessions of all customers with the wisdom of hindsight."""
    found = []
    for one in in_time(rows):
        last = found[-1][-1] if found else None
        if last and last["customer_id"] == one["customer_id"] and one["at"] - last["at"] <= GAP:
            found[-1].append(one)
        else:
            found.append([one])
    return found


def slow_prefixes(rows, as_of, after):
    known = [one for one in rows if (one[2] or one[1]) < as_of]
    found = []
    for visit in slow_sessions(known):
        if as_of - visit[-1]["at"] <= GAP:
            continue
        bought = any(one["event"] == "purchase" for one in visit)
        for k in after:
            if k <= len(visit):
                then, who = sorted(map(came, visit))[k - 1] + TICK, visit[0]["customer_id"]
                seen = slow_open(known, who, then)
                is_it = all(one in visit for one in seen)
                if is_it and len(seen) == k and not any(one["event"] == "purchase" for one in seen):
                    found.append((who, then, k, bought))
    return found


ROWS = st.lists(
    st.builds(
        row,
        who=st.integers(1, 2),
        minute=st.sampled_from([0, 0, 5, 20, 30, 31, 50, 80, 81, 120, 150]),
        event=st.sampled_from(["view", "view", "cart", "watch", "purchase"]),
        late=st.sampled_from([None, None, None, 0, 1, 25, 30, 45, 90]),
        price=st.sampled_from([0.5, 8.0, 19.75]),
        watched=st.sampled_from([None, 0.25, 12.5]),
        item=st.sampled_from([None, 1, 2, 3]),
        source=st.sampled_from([None, "organic", "paid"]),
    ),
    min_size=1,
    max_size=14,
)
ASKED = st.lists(
    st.builds(
        ask,
        who=st.integers(1, 3),
        minute=st.sampled_from([0, 5, 20, 30, 50, 60, 61, 80, 110, 111, 150, 180, 181]),
        ticks=st.sampled_from([0, 0, 1]),
    ),
    min_size=1,
    max_size=6,
)


@settings(max_examples=80)
@given(rows=ROWS, asked=ASKED, text=st.booleans())
def test_features_of_a_session_are_those_of_the_definition(rows, asked, text):
    ids = pl.col("customer_id").cast(pl.String) if text else pl.col("customer_id")
    events, requests = events_of(rows).with_columns(ids), requests_of(asked).with_columns(ids)
    table = session_features(events, requests, spec=SPEC)
    assert table.columns == ["customer_id", "as_of", "session_started_at", *SESSION, *SPEC.columns]
    assert table.select("customer_id", "as_of").equals(requests)
    expected = pl.DataFrame([slow_features(rows, *one) for one in asked], schema=table.select(SESSION).schema)
    assert_frame_equal(table.select(SESSION), expected, rel_tol=1e-12)


@settings(max_examples=80)
@given(rows=ROWS, minute=st.sampled_from([1, 31, 60, 61, 110, 111, 200, 300]), after=st.sampled_from([(1, 2, 3), (2,)]))
def test_prefixes_are_those_of_the_definition(rows, minute, after):
    as_of = START + timedelta(minutes=minute)
    expected = slow_prefixes(rows, as_of, after)
    if not expected:
        with pytest.raises(ValueError, match=r"no session was over|no event was known"):
            session_prefixes(events_of(rows), as_of=as_of, after=after)
        return
    table = session_prefixes(events_of(rows), as_of=as_of, after=after, spec=SPEC)
    assert table.select("customer_id", "as_of", "rows_seen", "bought").rows() == expected


@settings(max_examples=30)
@given(rows=ROWS)
def test_a_prefix_has_the_features_of_its_moment_and_of_the_time_before_its_session(rows):
    events, as_of = events_of(rows), START + timedelta(days=1)
    if not slow_prefixes(rows, as_of, (1, 2, 3)):
        return
    table = session_prefixes(events, as_of=as_of, after=(1, 2, 3), spec=SPEC)
    again = session_features(events, table.select("customer_id", "as_of"), spec=SPEC)
    assert table.select(again.columns).equals(again)
    before = table.select("customer_id", as_of="session_started_at")
    assert table.select(SPEC.columns).equals(as_of_features(events, before, spec=SPEC).select(SPEC.columns))


@settings(max_examples=60)
@given(rows=ROWS, asked=ASKED, change=st.sampled_from(["remove", "rewrite", "delay"]))
def test_what_was_not_known_at_the_moment_never_matters(rows, asked, change):
    as_of = asked[0][1]
    past = [one for one in rows if (one[2] or one[1]) < as_of]
    future = [one for one in rows if (one[2] or one[1]) >= as_of]
    changed = {
        "remove": [],
        "rewrite": [(who, at, max(at, as_of), "purchase", 1e5, 9.0, 7, "live") for who, at, *_ in future],
        "delay": [(who, at, (known or at) + timedelta(days=3), *rest) for who, at, known, *rest in future],
    }[change]
    requests = requests_of([(who, as_of) for who, _ in asked])
    kept = [*past, *changed] or [row(who=9, minute=999)]
    before = session_features(events_of(rows), requests)
    assert session_features(events_of(kept), requests).equals(before)


@settings(max_examples=40)
@given(rows=ROWS, seed=st.integers(0, 99))
def test_neither_row_order_nor_names_nor_the_calendar_matter(rows, seed):
    events, end = events_of(rows), START + timedelta(days=1)
    if not slow_prefixes(rows, end, (1, 2)):
        return
    table = session_prefixes(events, as_of=end, after=(1, 2))
    shuffled = events.sample(fraction=1, shuffle=True, seed=seed)
    assert session_prefixes(shuffled, as_of=end, after=(1, 2)).equals(table)
    renamed = events.with_columns(pl.col("customer_id").replace_strict({1: "b", 2: "c"}, return_dtype=pl.String))
    assert session_prefixes(renamed, as_of=end, after=(1, 2)).drop("customer_id").equals(table.drop("customer_id"))
    weeks = timedelta(weeks=5)
    moved = session_prefixes(events.with_columns(pl.col("at", "known_at") + weeks), as_of=end + weeks, after=(1, 2))
    assert moved.with_columns(pl.col("as_of", "session_started_at") - weeks).equals(table)


def test_a_late_row_neither_counts_nor_bridges_a_pause_before_it_is_known():
    events = events_of([row(minute=0), row(minute=25, late=30), row(minute=50)])
    table = session_features(events, requests_of([ask(minute=50, ticks=1), ask(minute=55, ticks=1)]), spec=SPEC)
    assert table["rows_seen"].to_list() == [1, 3]
    assert table["session_minutes"].to_list() == [0.0, 50.0]


def test_a_row_of_an_old_session_that_arrives_in_a_new_one_is_no_prefix_of_either():
    events = events_of([row(minute=0, late=200), row(minute=190, event="cart"), row(minute=195, event="purchase")])
    table = session_prefixes(events, as_of=START + timedelta(days=1), after=(1,), spec=SPEC)
    assert table.select("as_of", "session_carts", "bought").rows() == [(START + timedelta(minutes=190) + TICK, 1, True)]


def test_a_session_that_may_still_go_on_is_no_prefix():
    events = events_of([row(minute=0), row(who=2, minute=1)])
    table = session_prefixes(events, as_of=START + timedelta(minutes=30, seconds=1), spec=SPEC)
    assert table["customer_id"].to_list() == [1]


def test_only_sessions_that_begin_then_or_later_are_asked_for():
    events = events_of([row(minute=0), row(minute=100), row(minute=101)])
    table = session_prefixes(events, as_of="2025-01-02", since=START + timedelta(minutes=100), spec=SPEC)
    assert table.select("session_number", "rows_seen").rows() == [(2, 1), (2, 2)]


def test_hours_are_those_of_the_timezone_of_the_spec():
    spec = FeatureSpec(windows_days=(1,), timezone="Asia/Tokyo")
    table = session_features(events_of([row(minute=15 * 60)]), requests_of([ask(minute=15 * 60 + 1)]), spec=spec)
    assert table.select("session_hour", "session_weekday").row(0) == (9, 4)


def test_the_columns_do_not_depend_on_the_log():
    bare = events_of([row()]).select("customer_id", "at", "event")
    requests = requests_of([ask(minute=1)])
    told = session_features(bare, requests)
    assert told.schema == session_features(events_of([row()]), requests).schema
    assert told.select("session_items", "session_watch_seconds", "session_source").row(0) == (None, None, None)


EVENTS = events_of([row(minute=0), row(minute=1)])


@pytest.mark.parametrize(
    ("options", "error", "message"),
    [
        ({"after": ()}, ValueError, "after is empty; name at least one number of rows"),
        ({"after": (1, 0)}, ValueError, "after is 0; it must be a whole number >= 1"),
        ({"after": "few"}, ValueError, "after is 'few'; it must be a whole number >= 1"),
        (
            {"after": (7,)},
            ContractError,
            "no session was over by 2025-01-02 00:00:00 and could be looked at after 7 rows",
        ),
        ({"as_of": START}, ValueError, "no event was known before 2025-01-01 09:00:00; the first one became known at"),
        ({"as_of": START + 2 * GAP / 3}, ContractError, "no session was over by 2025-01-01 09:20:00"),
        ({"gap_minutes": -1}, ValueError, "gap_minutes is -1; it must be a number >= 0"),
        ({"since": "soon"}, ValueError, "since is 'soon'; write it like '2011-12-09'"),
        ({"spec": (7, 28)}, TypeError, r"spec is \(7, 28\); it must be a FeatureSpec, e.g. FeatureSpec\("),
    ],
)
def test_prefixes_that_cannot_be_made_say_why(options, error, message):
    with pytest.raises(error, match=message):
        session_prefixes(EVENTS, **{"as_of": "2025-01-02", **options})


def test_requests_that_do_not_fit_the_events_are_refused():
    requests = requests_of([ask()])
    with pytest.raises(ContractError, match="'customer_id' is String, and Int64 in the events; cast one"):
        session_features(EVENTS, requests.cast({"customer_id": pl.String}))
    with pytest.raises(ContractError, match="requests: 'rows_seen' would be overwritten; rename or drop"):
        session_features(EVENTS, requests.with_columns(rows_seen=1))
    with pytest.raises(ContractError, match="'views_7d' would be overwritten"):
        session_features(EVENTS, requests.with_columns(views_7d=1))


def test_a_search_finds_no_leak():
    events = shop(n_customers=150, days=60, rng=4).events
    requests = session_prefixes(events, as_of="2025-03-02").select("customer_id", "as_of")[::7]
    found = search_leaks(session_features, events, requests, rng=1, n_requests=6)
    assert found.verdict.startswith("none found")
