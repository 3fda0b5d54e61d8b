"""How far customers get: every chain counted, by trying all of them."""

from __future__ import annotations

from datetime import datetime, timedelta
from itertools import combinations, pairwise
from statistics import median

import numpy as np
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from shoptoolkit.contract import ContractError, wilson
from shoptoolkit.features import funnel

START = datetime(2025, 1, 1)
SCHEMA = {"customer_id": pl.Int64, "at": pl.Datetime("us"), "event": pl.String, "country": pl.String}
COUNTRY = {1: "DE", 2: "DE", 3: None, 4: "GB"}


def events_of(rows):
    told = [
        (who, START + timedelta(hours=hour, microseconds=ticks), kind, COUNTRY[who]) for who, hour, kind, ticks in rows
    ]
    return pl.DataFrame(told, schema=SCHEMA, orient="row").with_columns(price=1.0)


ROWS = st.lists(
    st.tuples(
        st.integers(1, 4),
        st.sampled_from([0, 0, 1, 2, 3, 24, 25, 26]),
        st.sampled_from(["view", "view", "cart", "purchase", "click"]),
        st.sampled_from([0, 0, 0, 1]),
    ),
    min_size=1,
    max_size=24,
).filter(lambda rows: len(rows) < 12 or max(sum(one[0] == who for one in rows) for who in range(1, 5)) < 12)
STEPS = st.one_of(
    st.lists(st.sampled_from(["view", "cart", "purchase"]), min_size=2, max_size=4),
    st.just({"looked": ("view", "click"), "bought": "purchase"}),
    st.just({"looked": "view", "again": ("view", "cart"), "bought": ["purchase"]}),
)


def slow_chain(moments, steps, hours):
    """Of all chains the best: the deepest, then first complete, then last begun, then each step at its earliest."""
    chains = [
        chain
        for depth in range(1, len(steps) + 1)
        for chain in combinations(sorted(moments), depth)
        if all(kind in kinds for (_, kind), kinds in zip(chain, steps, strict=False))
        and all(one[0] < two[0] for one, two in pairwise(chain))
        and chain[-1][0] - chain[0][0] <= timedelta(hours=hours)
    ]
    times = [[at for at, _ in chain] for chain in chains]
    return min(times, default=None, key=lambda t: (-len(t), t[-1], START - t[0], t))


def named(steps):
    pairs = steps.items() if isinstance(steps, dict) else [(one, one) for one in steps]
    return [(name, [kinds] if isinstance(kinds, str) else list(kinds)) for name, kinds in pairs]


def slow_funnel(events, steps, hours, by):
    steps = named(steps)
    best = {}
    for _, part in events.group_by("customer_id"):
        group = "all" if by is None else part[by][0] or "unknown"
        best.setdefault(group, []).append(slow_chain(part.select("at", "event").rows(), [k for _, k in steps], hours))
    rows = []
    for group in sorted(best):
        chains = [chain for chain in best[group] if chain]
        for k, (name, _) in enumerate(steps):
            gone = [(chain[k] - chain[0]) / timedelta(hours=1) for chain in chains if len(chain) > k]
            before = sum(len(chain) >= k for chain in chains)
            rows.append(
                {
                    "group": group,
                    "step_number": k + 1,
                    "step": name,
                    "n_customers": len(gone),
                    "share": len(gone) / len(chains) if chains else None,
                    "step_share": len(gone) / before if before else None,
                    "median_hours": median(gone) if gone else None,
                }
            )
    return rows


@settings(max_examples=300)
@given(
    rows=ROWS,
    steps=STEPS,
    hours=st.sampled_from([1, 2.0, 24, 0.5, 100]),
    by=st.sampled_from([None, "country"]),
    text=st.booleans(),
)
def test_the_funnel_is_that_of_all_chains(rows, steps, hours, by, text):
    events = events_of(rows)
    expected = slow_funnel(events, steps, hours, by)
    if text:
        events = events.with_columns(pl.col("customer_id").cast(pl.String))
    if not any(one["n_customers"] for one in expected):
        with pytest.raises(ContractError, match="none is of the first step"):
            funnel(events, steps=steps, within_hours=hours, by=by)
        return
    told = funnel(events, steps=steps, within_hours=hours, by=by)
    names = list(expected[0])
    assert told.table.select(names).to_dicts() == [pytest.approx(one, nan_ok=True) for one in expected]
    assert told.n == sum(one["n_customers"] for one in expected if one["step_number"] == 1)


@given(rows=ROWS, seed=st.integers(0, 99), days=st.integers(-9_000, 9_000))
def test_row_order_calendar_and_names_do_not_matter(rows, seed, days):
    events = events_of([*rows, (1, 0, "view", 0)])
    changed = events.sample(fraction=1, shuffle=True, seed=seed).with_columns(
        pl.col("at") + timedelta(days=days),
        pl.col("customer_id").replace_strict({1: "李", 2: "a", 3: "søren", 4: "b"}, return_dtype=pl.String),
    )
    options = {"steps": ("view", "cart", "purchase"), "within_hours": 24, "by": "country"}
    assert funnel(changed, **options).table.equals(funnel(events, **options).table)


def test_shares_carry_wilsons_interval():
    rows = [(who, 0, "view", 0) for who in (1, 2, 3, 4)] + [(1, 1, "cart", 0), (2, 1, "cart", 0), (1, 2, "purchase", 0)]
    table = funnel(events_of(rows), steps=("view", "cart", "purchase"), within_hours=24, level=0.9).table
    assert table.row(0, named=True) | {"low": 1.0, "high": 1.0, "step_low": 1.0, "step_high": 1.0} == table.row(
        0, named=True
    )
    assert table.select("low", "high").row(2) == pytest.approx([float(x) for x in wilson(1 / 4, 4, 0.9)])
    assert table.select("step_low", "step_high").row(2) == pytest.approx([float(x) for x in wilson(1 / 2, 2, 0.9)])


@pytest.mark.parametrize(
    ("rows", "reached"),
    [
        ([(1, 0, "view", 0), (1, 0, "cart", 0)], 0),  # at one moment: not later
        ([(1, 0, "view", 0), (1, 0, "cart", 1)], 1),
        ([(1, 0, "view", 0), (1, 24, "cart", 0)], 1),  # exactly within
        ([(1, 0, "view", 0), (1, 24, "cart", 1)], 0),
        ([(1, 0, "view", 0), (1, 24, "cart", 1), (1, 23, "view", 0)], 1),  # a later start saves it
        ([(1, 0, "cart", 0), (1, 1, "view", 0)], 0),  # the wrong way round
    ],
)
def test_steps_come_strictly_later_and_within_the_window(rows, reached):
    table = funnel(events_of(rows), steps=("view", "cart"), within_hours=24).table
    assert table["n_customers"].to_list() == [1, reached]


def test_a_step_may_come_again():
    rows = [(1, 0, "view", 0), (2, 0, "view", 0), (2, 1, "view", 0), (2, 2, "purchase", 0)]
    table = funnel(events_of(rows), steps=("view", "view", "purchase"), within_hours=24).table
    assert table.select("n_customers", "median_hours").rows() == [(2, 0.0), (1, 1.0), (1, 2.0)]


def test_the_result_tells_itself_in_words_and_html():
    told = funnel(events_of([(1, 0, "view", 0), (1, 1, "cart", 0)]), steps=("view", "cart"), within_hours=24)
    assert repr(told).startswith("Funnel of 1 customers within 24 hours of the first step")
    assert "How far customers got within 24 hours" in told._repr_html_()
    assert "95 % intervals" in told._repr_html_()


@pytest.mark.certify
def test_the_intervals_cover_the_truth_about_as_often_as_they_say(certify):
    """Customers drawn from a population in which .6 go on to a cart and .3 to a purchase within the window."""

    def hits(seed):
        random = np.random.default_rng(seed)
        n = 150
        depth = (random.random(n)[:, None] < [1.0, 0.6, 0.3]).sum(axis=1)
        rows = [(who, k, kind) for who in range(n) for k, kind in enumerate(["view", "cart", "purchase"][: depth[who]])]
        events = pl.DataFrame(rows, schema=["customer_id", "hour", "event"], orient="row")
        events = events.with_columns(at=pl.lit(START) + pl.duration(hours=pl.col("hour")), price=1.0)
        table = funnel(events, steps=("view", "cart", "purchase"), within_hours=5, level=0.9).table
        total = [low <= truth <= high for truth, low, high in zip([0.6, 0.3], table["low"][1:], table["high"][1:])]
        return [*total, table["step_low"][2] <= 0.5 <= table["step_high"][2]]

    certify(hits, level=0.9)


LOG = events_of([(1, 0, "view", 0), (1, 1, "cart", 0)])


@pytest.mark.parametrize(
    ("options", "error", "match"),
    [
        ({"steps": "view"}, TypeError, r"steps is 'view'; it must name several kinds of events, e.g."),
        ({"steps": 3}, TypeError, "steps is 3; it must name several kinds"),
        ({"steps": ["view"]}, ValueError, "steps names 1; a funnel has from 2 to 20 steps"),
        ({"steps": ["view"] * 21}, ValueError, "steps names 21; a funnel has from 2 to 20"),
        (
            {"steps": ["view", "buy"]},
            ValueError,
            r"steps: 'buy' is \['buy'\]; a step is of the kinds impression, click",
        ),
        ({"steps": {"look": "view", "buy": ()}}, ValueError, r"steps: 'buy' is \[\]; a step is of the kinds"),
        ({"within_hours": 0}, ValueError, "within_hours is 0; it must be a number of hours > 0"),
        ({"within_hours": -1}, ValueError, "within_hours is -1; it must be a number of hours > 0"),
        ({"within_hours": float("inf")}, ValueError, "within_hours is inf; it must be a number"),
        ({"level": 95}, ValueError, "level is 95"),
        ({"by": "land"}, ContractError, "by is 'land', not in customer_id, at"),
        (
            {"by": "event"},
            ContractError,
            r"by is 'event', and customer 1 has several values of it \('cart', 'view'\); it must be one per customer",
        ),
        ({"steps": ("purchase", "refund")}, ContractError, "none is of the first step, 'purchase', so there is no"),
        ({"steps": ("cart", "refund")}, None, ""),
    ],
)
def test_an_error_says_what_to_mend(options, error, match):
    options = {"steps": ("view", "cart"), "within_hours": 24} | options
    if error is None:
        assert funnel(LOG, **options).table["n_customers"].to_list() == [1, 0]
        return
    with pytest.raises(error, match=match):
        funnel(LOG, **options)
