"""Visits: numbered by their pauses, entered unprompted or through an ad, and summed up."""

from __future__ import annotations

from datetime import datetime, timedelta

import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from shoptoolkit.contract import ContractError
from shoptoolkit.contract.schemas import EVENT_KINDS
from shoptoolkit.features import sessions, summarise_sessions
from shoptoolkit.features.in_time import in_time
from shoptoolkit.simulate import shop

START = datetime(2025, 1, 1)
SCHEMA = {
    "customer_id": pl.Int64,
    "at": pl.Datetime("us"),
    "event": pl.String,
    "price": pl.Float64,
    "quantity": pl.Int64,
    "watch_seconds": pl.Float64,
    "source": pl.String,
    "campaign_id": pl.String,
}
PLURALS = ["impressions", "clicks", "views", "watches", "searches", "carts", "checkouts", "purchases", "refunds"]


def events_of(rows):
    return pl.DataFrame(rows, schema=SCHEMA, orient="row")


def row(who=1, minute=0.0, event="view", *, price=10.0, quantity=1, watched=None, source=None, campaign=None, ticks=0):
    at = START + timedelta(minutes=minute, microseconds=ticks)
    return (who, at, event, price, quantity, watched, source, campaign)


# Minutes on a coarse grid, so that rows tie and pauses often last exactly as long as allowed.
ROWS = st.lists(
    st.builds(
        row,
        who=st.sampled_from([1, 2, 3, 10**12]),
        minute=st.sampled_from([0, 0, 1, 30, 31, 60, 90, 91, 200]),
        event=st.sampled_from(["view", "watch", "purchase", "impression"]),
        price=st.sampled_from([0.29, 4.35, 19.99]),
        quantity=st.sampled_from([None, 1, 3]),
        watched=st.sampled_from([None, 0.1, 12.345678]),
        source=st.sampled_from([None, None, "paid", "organic", "search"]),
        campaign=st.sampled_from([None, None, "A", "B"]),
        ticks=st.sampled_from([0, 0, 1]),
    ),
    min_size=1,
    max_size=25,
)


def value_order(one):
    """Customer, moment, kind in the contract's order, then the other columns by name; null first."""
    rest = sorted(set(SCHEMA) - {"customer_id", "at", "event"})
    values = [(one[name] is not None, one[name]) if one[name] is not None else (False,) for name in rest]
    return (
        str(one["customer_id"]) if isinstance(one["customer_id"], str) else one["customer_id"],
        one["at"],
        EVENT_KINDS.index(one["event"]),
        *values,
    )


def slow_sessions(rows, gap, new_campaign):
    """The definition, row by row: [(row, session_number, entry_source)]."""
    ordered = sorted((dict(zip(SCHEMA, one, strict=True)) for one in rows), key=value_order)
    told, last, found = [], None, []
    for one in ordered:
        if last is None or one["customer_id"] != last["customer_id"]:
            number, members, campaign = 1, [], None
        elif one["at"] - last["at"] > timedelta(minutes=gap) or (
            new_campaign and one["campaign_id"] and campaign and one["campaign_id"] != campaign
        ):
            number, members, campaign = number + 1, [], None
        campaign = one["campaign_id"] or campaign
        members.append(one)
        told.append((one, number, members))
        last = one
    for one, number, members in told:
        source = next((each["source"] for each in members if each["source"] is not None), None)
        found.append((one, number, source))
    return found


@settings(max_examples=200)
@given(rows=ROWS, gap=st.sampled_from([0, 1, 30.0, 29.5]), new_campaign=st.booleans(), text=st.booleans())
def test_sessions_are_those_of_the_definition(rows, gap, new_campaign, text):
    events = events_of(rows)
    if text:
        events = events.with_columns(pl.col("customer_id").cast(pl.String))
        rows = events.rows()
    table = sessions(events, gap_minutes=gap, new_campaign=new_campaign, paid=("paid", "search"))
    expected = slow_sessions(rows, gap, new_campaign)
    assert table.select(list(SCHEMA)).cast({"event": pl.String}).to_dicts() == [one for one, _, _ in expected]
    assert table["session_number"].to_list() == [number for _, number, _ in expected]
    assert table["entry_source"].to_list() == [source for _, _, source in expected]
    entry = [source and ("paid" if source in ("paid", "search") else "organic") for _, _, source in expected]
    assert table["entry"].to_list() == entry


@given(rows=ROWS, new_campaign=st.booleans())
def test_a_visit_is_summed_up_as_defined(rows, new_campaign):
    table = sessions(events_of(rows), new_campaign=new_campaign)
    told = summarise_sessions(table.sample(fraction=1, shuffle=True, seed=1))
    assert told.select("customer_id", "session_number").equals(
        table.select("customer_id", "session_number").unique().sort("customer_id", "session_number")
    )
    for one in told.to_dicts():
        mine = table.filter(
            pl.col("customer_id") == one["customer_id"], session_number=one["session_number"]
        ).to_dicts()
        bought = [each for each in mine if each["event"] == "purchase"]
        assert one["n_events"] == len(mine) == sum(one[name] for name in PLURALS)
        assert (one["started_at"], one["ended_at"]) == (mine[0]["at"], mine[-1]["at"])
        assert one["minutes"] == pytest.approx((mine[-1]["at"] - mine[0]["at"]) / timedelta(minutes=1), rel=1e-15)
        assert [one[name] for name in PLURALS] == [sum(e["event"] == kind for e in mine) for kind in EVENT_KINDS]
        assert one["spend"] == sum(round(e["price"] * 100) * (e["quantity"] or 1) for e in bought) / 100
        assert one["watch_seconds"] == sum(round((e["watch_seconds"] or 0) * 10**6) for e in mine) / 10**6
        assert one["bought"] == bool(bought)
        assert (one["entry"], one["entry_source"]) == (mine[0]["entry"], mine[0]["entry_source"])


@given(rows=ROWS, seed=st.integers(0, 99), new_campaign=st.booleans())
def test_the_order_of_rows_and_columns_does_not_matter(rows, seed, new_campaign):
    events = events_of(rows)
    told = sessions(events, new_campaign=new_campaign)
    shuffled = events.sample(fraction=1, shuffle=True, seed=seed).select(sorted(SCHEMA))
    assert sessions(shuffled, new_campaign=new_campaign).select(told.columns).equals(told)


@given(rows=ROWS, days=st.integers(-9_000, 9_000))
def test_a_shifted_calendar_and_renamed_customers_have_the_same_sessions(rows, days):
    events = events_of(rows)
    names = {1: "søren", 2: "t b", 3: "李", 10**12: "退"}  # in the same order
    moved = events.with_columns(
        pl.col("at") + timedelta(days=days), pl.col("customer_id").replace_strict(names, return_dtype=pl.String)
    )
    columns = ["session_number", "entry", "entry_source", "event", "price"]
    assert sessions(moved).select(columns).equals(sessions(events).select(columns))


@given(rows=ROWS)
def test_in_another_currency_only_the_spend_changes(rows):
    events = events_of(rows)
    pounds, pence = (summarise_sessions(sessions(log)) for log in (events, events.with_columns(pl.col("price") * 100)))
    assert pence.drop("spend").equals(pounds.drop("spend"))
    assert pence["spend"].to_list() == pytest.approx((pounds["spend"] * 100).to_list())


@pytest.mark.parametrize(("ticks", "number"), [(0, 1), (1, 2)])
def test_a_pause_exactly_as_long_as_allowed_ends_no_session(ticks, number):
    table = sessions(events_of([row(minute=0), row(minute=30, ticks=ticks)]))
    assert table["session_number"].to_list() == [1, number]


def test_a_log_in_order_already_is_not_sorted_again(monkeypatch):
    rows = in_time(shop(n_customers=50, days=60, rng=1).events)
    monkeypatch.setattr("shoptoolkit.features.in_time._order", lambda _: pytest.fail("sorted again"))
    assert in_time(rows).equals(rows)
    assert in_time(rows, ["at"]).equals(rows.select("at"))


@pytest.mark.parametrize("days", [-(10**11), 0])
def test_ids_far_apart_are_sorted_like_close_ones(days):
    events = pl.DataFrame({"customer_id": [5, days, 7, 5], "at": START, "event": ["view", "view", "view", "click"]})
    assert sessions(events)["customer_id"].to_list() == [days, 5, 5, 7]
    assert sessions(events)["event"].to_list() == ["view", "click", "view", "view"]


def test_a_narrow_log_has_sessions_too():
    table = sessions(pl.DataFrame({"customer_id": ["a"], "at": [START], "event": ["view"]}))
    assert table.row(0, named=True)["session_number"] == 1
    assert table.select("entry", "entry_source").row(0) == (None, None)
    told = summarise_sessions(table).row(0, named=True)
    assert (told["spend"], told["watch_seconds"], told["minutes"], told["entry"]) == (0, None, 0, None)


def test_the_log_given_is_left_alone():
    events = events_of([row(minute=9), row(minute=1)])
    before = events.clone()
    sessions(events)
    assert events.equals(before)


def test_pandas_lazy_logs_and_logs_in_pieces_are_taken():
    events = events_of([row(minute=9), row(minute=1)])
    assert sessions(events.lazy()).equals(sessions(events))
    assert sessions(pl.concat([events[1:], events[:1]], rechunk=False)).equals(sessions(events))
    assert sessions(events.drop("campaign_id", "watch_seconds", "source").to_pandas())["session_number"].max() == 1


ONE = events_of([row()])


@pytest.mark.parametrize(
    ("call", "error", "match"),
    [
        (lambda: sessions(ONE, gap_minutes=-1), ValueError, "gap_minutes is -1; it must be a number >= 0"),
        (lambda: sessions(ONE, gap_minutes="30"), ValueError, "gap_minutes is '30'; it must be a number"),
        (
            lambda: sessions(ONE.drop("campaign_id"), new_campaign=True),
            ContractError,
            "new_campaign is True, and there is no column 'campaign_id'",
        ),
        (
            lambda: sessions(sessions(ONE)),
            ContractError,
            "events: 'session_number', 'entry', 'entry_source' would be overwritten; rename or drop",
        ),
        (lambda: sessions(ONE.drop("at")), ContractError, "'at' is missing"),
        (
            lambda: summarise_sessions(ONE),
            ContractError,
            "sessions: no column 'session_number', 'entry', 'entry_source'; pass what features.sessions gives",
        ),
    ],
)
def test_an_error_says_what_to_mend(call, error, match):
    with pytest.raises(error, match=match):
        call()
