"""What follows what: every step counted one by one, intervals that know of customers."""

from __future__ import annotations

from collections import Counter
from datetime import datetime, timedelta
from statistics import NormalDist

import numpy as np
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import t

from shoptoolkit.contract import ContractError, wilson
from shoptoolkit.features import sessions, transitions

START = datetime(2025, 1, 1)
SCHEMA = {
    "customer_id": pl.Int64,
    "at": pl.Datetime("us"),
    "event": pl.String,
    "category": pl.String,
    "item_id": pl.Int64,
}
COUNTRY = {1: "DE", 2: None, 3: "GB"}


def events_of(rows):
    told = [(who, START + timedelta(minutes=minute), *rest) for who, minute, *rest in rows]
    events = pl.DataFrame(told, schema=SCHEMA, orient="row")
    return events.with_columns(country=pl.col("customer_id").replace_strict(COUNTRY, return_dtype=pl.String))


ROWS = st.lists(
    st.tuples(
        st.integers(1, 3),
        st.sampled_from([0, 0, 10, 30, 40, 60, 71, 200]),
        st.sampled_from(["view", "view", "cart", "watch"]),
        st.sampled_from([None, "shoes", "hats"]),
        st.sampled_from([None, 7, 8, 10**12]),
    ),
    min_size=1,
    max_size=30,
)


def slow_steps(events, of, within, by):
    """Every step by the definition: [(group, customer, from, to)]."""
    ordered = sessions(events).rows(named=True)
    paths = {}
    for one in ordered:
        key = (one["customer_id"], one["session_number"] if within == "session" else 0)
        paths.setdefault(key, []).append(one)
    steps = []
    for (who, _), rows in paths.items():
        states = [str(one[of]) for one in rows if one[of] is not None]
        group = "all" if by is None else rows[0][by] or "unknown"
        if states:
            steps += [(group, who, a, b) for a, b in zip(["(start)", *states], [*states, "(end)"], strict=True)]
    return steps


def slow_bounds(steps, group, left, to, level):
    """Cochran's ratio variance over customers, Student's for z, then Wilson on the effective number."""
    n = Counter(who for one, who, a, _ in steps if (one, a) == (group, left))
    x = Counter(who for one, who, a, b in steps if (one, a, b) == (group, left, to))
    total, m = sum(n.values()), len(n)
    p = sum(x.values()) / total
    effective = total
    if m == 1 or p == 1:
        effective = m
    elif m < total:
        squares, cubes = (sum(count**power for count in n.values()) for power in (2, 3))
        shrunk = 1 - 2 * cubes / squares / total + squares / total**2
        variance = sum((x[who] - p * n[who]) ** 2 for who in n) / total**2 / shrunk
        freedom = max(0.2, total**2 / squares - 1)
        wider = t.isf((1 - level) / 2, freedom) / NormalDist().inv_cdf((1 + level) / 2)
        effective = total / max(1, variance / (p * (1 - p) / total)) / wider**2
    return [float(end) for end in wilson(p, effective, level)]


@settings(max_examples=200)
@given(
    rows=ROWS,
    of=st.sampled_from(["event", "category", "item_id"]),
    within=st.sampled_from(["session", "customer"]),
    by=st.sampled_from([None, "country"]),
    text=st.booleans(),
)
def test_transitions_are_those_of_the_definition(rows, of, within, by, text):
    events = events_of(rows)
    if text:
        events = events.with_columns(pl.col("customer_id").cast(pl.String))
    steps = slow_steps(events, of, within, by)
    if not steps:
        with pytest.raises(ContractError, match="and no row has a value of it"):
            transitions(events, of=of, within=within, by=by)
        return
    told = transitions(events, of=of, within=within, by=by, level=0.9)
    counts = Counter((group, left, to) for group, _, left, to in steps)
    leavings = Counter((group, left) for group, _, left, _ in steps)
    assert {(one["group"], one["from"], one["to"]): one["n"] for one in told.table.to_dicts()} == counts
    for one in told.table.to_dicts():
        group, left, to = one["group"], one["from"], one["to"]
        assert one["share"] == counts[group, left, to] / leavings[group, left]
        assert [one["low"], one["high"]] == pytest.approx(slow_bounds(steps, group, left, to, 0.9), abs=1e-12)
    assert told.table.schema["group"] == pl.String
    assert told.n == len(steps)
    assert told.n_customers == len({who for _, who, _, _ in steps})


def test_the_table_runs_from_the_start_to_the_end_in_the_order_of_kinds():
    events = events_of([(1, 0, "cart", None, None), (1, 1, "view", None, None), (1, 2, "cart", None, None)])
    pairs = transitions(events).table.select("from", "to").rows()
    assert pairs == [("(start)", "cart"), ("view", "cart"), ("cart", "view"), ("cart", "(end)")]


@given(
    rows=ROWS, seed=st.integers(0, 99), days=st.integers(-9_000, 9_000), within=st.sampled_from(["session", "customer"])
)
def test_row_order_calendar_and_names_do_not_matter(rows, seed, days, within):
    events = events_of(rows)
    changed = events.sample(fraction=1, shuffle=True, seed=seed).with_columns(
        pl.col("at") + timedelta(days=days),
        pl.col("customer_id").replace_strict({1: "李", 2: "a", 3: "søren"}, return_dtype=pl.String),
    )
    options = {"of": "event", "within": within, "by": "country"}
    assert transitions(changed, **options).table.equals(transitions(events, **options).table)


def test_groups_are_told_in_sorted_order():
    events = events_of([(who, who, "view", None, None) for who in (1, 2, 3)])
    names = {1: "zebra", 2: "ant", 3: None}
    events = events.with_columns(pen=pl.col("customer_id").replace_strict(names, return_dtype=pl.String))
    assert transitions(events, by="pen").table["group"].to_list() == ["ant"] * 2 + ["unknown"] * 2 + ["zebra"] * 2


def test_paths_can_be_split_by_how_they_were_entered():
    events = pl.DataFrame(
        {
            "customer_id": 1,
            "at": [START, START + timedelta(hours=2), START + timedelta(hours=2, minutes=1)],
            "event": ["view", "click", "view"],
            "source": ["organic", "paid", None],
        }
    )
    told = transitions(sessions(events), by="entry").table.select("group", "from", "to", "n").rows()
    organic, paid = told[:2], told[2:]
    assert organic == [("organic", "(start)", "view", 1), ("organic", "view", "(end)", 1)]
    assert [one[1:3] for one in paid] == [("(start)", "click"), ("click", "view"), ("view", "(end)")]


def test_a_single_heavy_customer_makes_the_interval_wide():
    crowd = [(who, minute, "view", None, None) for who in range(1, 4) for minute in (0, 1)]
    bot = [(1, minute, "cart", None, None) for minute in range(2, 200)]
    table = transitions(events_of([*crowd, *bot]), within="customer").table
    one = table.filter(pl.col("from") == "view", pl.col("to") == "cart").row(0, named=True)
    assert one["high"] - one["low"] > 0.4


def test_the_result_tells_itself_in_words_and_html():
    told = transitions(events_of([(1, 0, "view", None, None)]))
    assert repr(told).startswith("Transitions of event within a session, 1 customers")
    assert "clustered on customers" in told._repr_html_()


@pytest.mark.certify
def test_the_intervals_cover_the_truth_of_very_different_customers(certify):
    """Each customer goes from view to cart with a chance of their own; those who visit often do so less."""
    quiet, busy = (0.6, 3), (0.2, 12)  # chance of a cart after a view; views

    def hits(seed):
        random = np.random.default_rng(seed)
        is_busy = random.random(150) < 0.4
        mean, views = np.where(is_busy, busy[0], quiet[0]), np.where(is_busy, busy[1], quiet[1])
        chance = random.beta(4 * mean, 4 * (1 - mean))
        who = np.repeat(np.arange(150), views)
        cart = random.random(len(who)) < chance[who]
        minute = np.arange(len(who))
        views_at = pl.DataFrame({"customer_id": who, "minute": 2 * minute, "event": "view"})
        carts_at = pl.DataFrame({"customer_id": who[cart], "minute": 2 * minute[cart] + 1, "event": "cart"})
        events = pl.concat([views_at, carts_at]).select(
            "customer_id", "event", at=pl.lit(START) + pl.duration(minutes="minute")
        )
        table = transitions(events, within="customer", level=0.9).table
        one = table.filter(pl.col("from") == "view", pl.col("to") == "cart").row(0, named=True)
        views_of = {True: 0.4 * busy[1], False: 0.6 * quiet[1]}
        truth = (views_of[True] * busy[0] + views_of[False] * quiet[0]) / sum(views_of.values())
        return [one["low"] <= truth <= one["high"]]

    certify(hits, level=0.9)


@pytest.mark.certify
@pytest.mark.parametrize("n", [20, 60])
def test_the_intervals_cover_where_few_customers_make_most_leavings(certify, n):
    """One in ten leaves fifteen times as often; by the normal law the interval of 90 % would hold 70 %."""

    def hits(seed):
        random = np.random.default_rng(seed)
        views = random.geometric(0.5, n) * np.where(random.random(n) < 0.1, 15, 1)
        who = np.repeat(np.arange(n), views)
        kinds = np.where(random.random(len(who)) < np.repeat(random.beta(0.7, 0.7, n), views), "cart", "search")
        minute = np.arange(2 * len(who))
        paths = np.column_stack([np.full(len(who), "view"), kinds]).ravel()
        events = pl.DataFrame({"customer_id": np.repeat(who, 2), "event": paths, "minute": minute})
        events = events.select("customer_id", "event", at=pl.lit(START) + pl.duration(minutes="minute"))
        table = transitions(events, within="customer", level=0.9).table
        one = table.filter(pl.col("from") == "view").sort("to").row(0, named=True)
        return [one["low"] <= 0.5 <= one["high"]]

    certify(hits, level=0.9)


LOG = events_of([(1, 0, "view", "shoes", None), (1, 1, "view", "hats", None)])


@pytest.mark.parametrize(
    ("events", "options", "error", "match"),
    [
        (LOG, {"of": "brand"}, ContractError, "events: of is 'brand', not in customer_id, at, event"),
        (LOG, {"by": "land"}, ContractError, "events: by is 'land', not in customer_id, at"),
        (LOG, {"of": "item_id"}, ContractError, "events: of is 'item_id', and no row has a value of it"),
        (LOG, {"within": "day"}, ValueError, "within is 'day'; it must be one of 'session', 'customer'"),
        (LOG, {"gap_minutes": -5}, ValueError, "gap_minutes is -5; it must be a number >= 0"),
        (LOG, {"level": 1}, ValueError, "level is 1; it must lie between 0 and 1"),
        (
            LOG,
            {"by": "category"},
            ContractError,
            "by is 'category', and a path of customer 1 has several values of it; it must be one per path",
        ),
        (
            LOG.with_columns(category=pl.lit("(end)")),
            {"of": "category"},
            ContractError,
            r"'category' has the value '\(end\)', which is a state of ours; rename it",
        ),
    ],
)
def test_an_error_says_what_to_mend(events, options, error, match):
    with pytest.raises(error, match=match):
        transitions(events, **options)
