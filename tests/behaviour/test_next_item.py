"""What comes next: each method by its definition, judged on later sessions, ties broken by nothing that helps."""

from __future__ import annotations

import math
from collections import Counter
from datetime import datetime, timedelta
from fractions import Fraction
from hashlib import blake2b
from itertools import pairwise

import numpy as np
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from shoptoolkit import figures
from shoptoolkit.behaviour import fit_next_item
from shoptoolkit.behaviour.next_item import _accuracy
from shoptoolkit.behaviour.walks import METHODS
from shoptoolkit.contract import ContractError, Estimates, EstimateTable, check

START = datetime(2025, 1, 1)
SPLIT = START + timedelta(days=2)
GAP = timedelta(minutes=30)
MINUTE = timedelta(minutes=1)
SCHEMA = {
    "customer_id": pl.Int64,
    "at": pl.Datetime("us"),
    "known_at": pl.Datetime("us"),
    "event": pl.String,
    "item_id": pl.Int64,
}


def events_of(rows):
    return pl.DataFrame(rows, schema=SCHEMA, orient="row")


def row(who=1, day=0, minute=0, item=1, *, event="view", late=None):
    at = START + timedelta(days=day, minutes=minute)
    return (who, at, None if late is None else at + timedelta(minutes=late), event, item)


def mixed(item):
    return int.from_bytes(blake2b(str(item).encode(), digest_size=8).digest())


def slow_walks(rows):
    """Sessions: customer, beginning, end and steps (item, at, known_at); a repeat of an item is no step."""
    known = sorted(
        (who, at, event == "cart", item is not None, item or 0, known or at) for who, at, known, event, item in rows
    )
    visits, last = [], None
    for who, at, is_cart, has_item, item, came in known:
        if last is None or last[0] != who or at - last[1] > GAP:
            visits.append([who, at, at, []])
        visits[-1][2], steps = at, visits[-1][3]
        if has_item and not is_cart and (not steps or steps[-1][0] != item):
            steps.append((item, at, came))
        last = (who, at)
    return visits


def slow_scores(method, train, prefix, sizes):
    """Score of each item after a prefix, by the definition of the method; `train`: the steps of past sessions."""
    last, sets = prefix[-1], [{item for item, *_ in steps} for steps in train]
    n = Counter(item for held in sets for item in held)
    if method == "popularity":
        return {item: n[item] / len(sets) for item in n}
    if method == "markov":
        moves = [(a[0], b[0]) for steps in train for a, b in pairwise(steps)]
        leavings = sum(a == last for a, _ in moves)
        return {item: sum(move == (last, item) for move in moves) / leavings for item in n if leavings}
    if method == "item_knn":
        both = {item: sum({last, item} <= held for held in sets) for item in n}
        return {item: both[item] / math.sqrt(n[last] * n[item]) for item in n if both[item]}
    recent, neighbours = sizes
    place = {item: k for k, item in enumerate(prefix, start=1) if item in n}  # the last step to it
    norm = sum(k * k for k in place.values())
    order = sorted(range(len(train)), key=lambda k: (-train[k][-1][1].timestamp(), sum(map(mixed, sets[k])) % 2**64))
    near = [sets[k] for k in order if sets[k] & place.keys()][:recent]
    shared = [sum(place.get(item, 0) for item in held) for held in near]
    best = sorted(range(len(near)), key=lambda k: -Fraction(shared[k] ** 2, len(near[k])))[:neighbours]
    like = [one / math.sqrt(norm * len(held)) for one, held in zip(shared, near, strict=True)]
    return {item: sum(like[k] for k in best if item in near[k]) for item in n}


def slow_list(scores, last, length):
    found = [item for item, score in scores.items() if score > 0 and item != last]
    return sorted(found, key=lambda item: (-round(scores[item], 12), mixed(item)))[:length]


def slow_fit(rows, method, *, n, sizes):
    """Training walks, and of each step judged whether its item is unseen and its rank (0: not among the first n)."""
    train = [steps for *_, steps in slow_walks([one for one in rows if (one[2] or one[1]) < SPLIT]) if steps]
    items = {item for steps in train for item, *_ in steps}
    judged = []
    for who, began, _, steps in slow_walks(rows):
        for k in range(1, len(steps) if began >= SPLIT else 0):
            item, at, _ = steps[k]
            prefix = [step for step, _, came in steps[:k] if came < at]
            if prefix and prefix[-1] != item:
                found = slow_list(slow_scores(method, train, prefix, sizes), prefix[-1], n)
                judged.append((who, item not in items, found.index(item) + 1 if item in found else 0))
    return train, judged


ROWS = st.lists(
    st.builds(
        row,
        who=st.integers(1, 3),
        day=st.sampled_from([0, 0, 1, 1, 2, 3]),
        minute=st.sampled_from([0, 0, 1, 2, 3, 10, 40, 41, 43]),
        item=st.sampled_from([None, 1, 2, 2, 3, 4, 5]),
        event=st.sampled_from(["view", "view", "view", "cart"]),
        late=st.sampled_from([None, None, None, 0, 1, 5, 2000]),
    ),
    min_size=5,
    max_size=40,
)


def fit(events, **options):
    return fit_next_item(events, **{"split_at": SPLIT, "n": 2, **options})


@pytest.mark.parametrize("method", METHODS)
@settings(max_examples=60)
@given(rows=ROWS, sizes=st.sampled_from([(1000, 500), (3, 2), (2, 1)]), n=st.sampled_from([1, 2, 4]))
def test_each_method_is_that_of_its_definition(method, rows, sizes, n):
    rows = [*rows, row(4, 0, 0, 1), row(4, 0, 1, 2), row(4, 2, 0, 1), row(4, 2, 1, 2)]
    train, judged = slow_fit(rows, method, n=n, sizes=sizes)
    one = fit(events_of(rows), method=method, recent=sizes[0], neighbours=sizes[1], n=n)
    assert (one.n_sessions, one.n_unseen) == (len(train), sum(unseen for _, unseen, _ in judged))
    assert one.items.to_list() == sorted({item for steps in train for item, *_ in steps}, key=mixed)
    assert one.accuracy.table["n"].to_list() == [len(judged)] * 2
    as_of = START + timedelta(days=1, minutes=45)
    told = one.recommend(events_of(rows), as_of=as_of, n=n)
    known = slow_walks([one for one in rows if (one[2] or one[1]) < as_of])
    expected = []
    for who, _, ended, steps in known:
        if steps and ended >= as_of - GAP:
            scores = slow_scores(method, train, [item for item, *_ in steps], sizes)
            found = slow_list(scores, steps[-1][0], n)
            expected += [(who, k, item, pytest.approx(scores[item])) for k, item in enumerate(found, start=1)]
    assert told.rows() == expected


@pytest.mark.parametrize("method", METHODS)
@settings(max_examples=25)
@given(rows=ROWS)
def test_accuracy_is_the_share_found_and_the_mean_of_one_over_the_rank(method, rows):
    many = [
        (100 * k + who, *rest)
        for k in range(20)
        for who, *rest in [*rows, row(4, 0, 0, 1), row(4, 2, 0, 1), row(4, 2, 1, 2)]
    ]
    _, judged = slow_fit(many, method, n=2, sizes=(1000, 500))
    told = fit(events_of(many), method=method).accuracy.table
    ranks = [rank for *_, rank in judged]
    expected = [sum(rank > 0 for rank in ranks) / len(ranks), sum(1 / rank for rank in ranks if rank) / len(ranks)]
    assert told["estimate"].to_list() == pytest.approx(expected)


# ---- ties and what must not matter ----------------------------------------------------------------------------------


def alike(names, *, days=3):
    """Each customer walks from the lamp to one item, each item as often as any other, on each day."""
    walks = [(who, day, item) for day in range(days) for who, item in enumerate(names)]
    rows = [
        (who, START + timedelta(days=day, minutes=k), name)
        for who, day, item in walks
        for k, name in ((0, "lamp"), (1, item))
    ]
    frame = pl.DataFrame(rows, schema=["customer_id", "at", "item_id"], orient="row")
    return frame.with_columns(event=pl.lit("view"))


@pytest.mark.parametrize("method", METHODS)
def test_items_of_equal_score_are_found_as_often_as_chance_would(method):
    names = [f"item {k:03d}" for k in range(400)]
    told = fit(alike(names), method=method, n=40).accuracy.table
    assert told["estimate"][0] == pytest.approx(0.1)
    order = fit(alike(names), method=method, keep=500).recommend(alike(names), as_of=START + MINUTE, n=400)["item"]
    place = np.array([int(one[-3:]) for one in order if one != "lamp"])
    assert abs(np.corrcoef(place, np.arange(len(place)))[0, 1]) < 0.15


def test_the_order_of_equals_is_the_same_on_every_machine():
    events = alike(["bulb", "shade", "cable", "plug"])
    told = fit(events, method="markov").recommend(events, as_of=START + MINUTE, n=4)
    assert told["item"][:4].to_list() == ["plug", "cable", "shade", "bulb"]


@pytest.mark.parametrize("method", METHODS)
@settings(max_examples=15)
@given(rows=ROWS, seed=st.integers(0, 99))
def test_neither_row_order_nor_names_of_customers_nor_the_calendar_matter(method, rows, seed):
    events = events_of([*rows, row(4, 0, 0, 1), row(4, 2, 0, 1), row(4, 2, 1, 2)])
    weeks, as_of = timedelta(weeks=3), START + timedelta(days=1, minutes=45)
    renamed = {1: "x", 2: "c", 3: "d", 4: "a"}
    others = {
        0: events.sample(fraction=1, shuffle=True, seed=seed),
        1: events.with_columns(pl.col("customer_id").replace_strict(renamed, return_dtype=pl.String)),
        2: events.with_columns(pl.col("at", "known_at") + weeks),
    }
    one = fit(events, method=method)
    for k, other in others.items():
        moved = weeks if k == 2 else timedelta(0)
        again = fit(other, method=method, split_at=SPLIT + moved)
        assert (again.n_unseen, again.accuracy.table["n"][0]) == (one.n_unseen, one.accuracy.table["n"][0])
        told, before = (f.recommend(e, as_of=t) for f, e, t in ((again, other, as_of + moved), (one, events, as_of)))
        keys = (
            pl.col("customer_id").replace_strict({v: k for k, v in renamed.items()})
            if k == 1
            else pl.col("customer_id")
        )
        assert told.with_columns(keys).sort("customer_id", "rank").equals(before)


def test_popular_items_do_not_win_ties():
    """Two hundred items follow the lamp alike, one of them is in many other sessions: its name decides all the same."""
    names = [f"item {k}" for k in range(200)]
    often = alike(names).with_columns(customer_id=pl.col("customer_id") + 1_000, item_id=pl.lit("item 7"))
    told = fit(pl.concat([alike(names), often]), method="markov", keep=300).recommend(
        alike(names), as_of=START + MINUTE, n=200
    )
    assert told["item"][:200].to_list() == sorted(names, key=mixed)
    assert told["score"].unique().to_list() == [1 / 200]


# ---- steps ----------------------------------------------------------------------------------------------------------

WALK = [
    row(who, day, minute, item) for who in range(30) for day in (0, 1, 2) for minute, item in ((0, 1), (1, 2), (2, 3))
]


def test_a_known_walk_is_foreseen_for_certain():
    told = fit(events_of(WALK), method="markov", n=1).accuracy.table
    assert check(told, Estimates).quarantined.is_empty()
    assert told.select("metric", "group", "method", "estimate", "n", "verdict").rows() == [
        ("recall@1", "markov", "markov", 1.0, 60, "ok"),
        ("mrr@1", "markov", "markov", 1.0, 60, "ok"),
    ]
    assert told["low"][0] < 0.95  # thirty customers are no proof


def test_items_never_seen_before_are_misses_and_counted():
    new = [row(who, 3, minute, item) for who in range(30) for minute, item in ((0, 2), (1, 99))]
    one = fit(events_of(WALK + new), method="markov")
    assert one.n_unseen == 30
    assert one.accuracy.table.select("estimate", "n").row(0) == (60 / 90, 90)


def test_after_an_item_never_seen_only_what_does_not_look_at_it_answers():
    now = events_of([row(1, 5, 0, 99)])
    found = {
        m: len(fit(events_of(WALK), method=m).recommend(now, as_of=START + timedelta(days=5, minutes=1)))
        for m in METHODS
    }
    assert found == {"popularity": 2, "markov": 0, "item_knn": 0, "session_knn": 0}


def test_categories_and_other_columns_can_come_next():
    events = events_of(WALK).with_columns(category=pl.format("kind {}", pl.col("item_id") % 2))
    one = fit(events, of="category", method="item_knn")
    assert sorted(one.items) == ["kind 0", "kind 1"]
    assert one.recommend(events, as_of=START + 3 * MINUTE)["item"].unique().to_list() == ["kind 0"]
    brand = events.with_columns(brand=pl.col("category").cast(pl.Categorical)).drop("category")
    assert fit(brand, of="brand").accuracy.table["estimate"].equals(one.accuracy.table["estimate"])


@pytest.mark.parametrize("method", METHODS)
def test_whole_numbers_may_be_floats_and_larger_than_there_is(method):
    sizes = {"n": 2.0, "keep": 1e18, "recent": 1e18, "neighbours": 1e18}
    one, other = fit(EVENTS, method=method, **sizes), fit(EVENTS, method=method)
    assert one.accuracy.table.equals(other.accuracy.table)
    assert one.recommend(EVENTS, as_of=SPLIT, n=1.0).equals(other.recommend(EVENTS, as_of=SPLIT, n=1))


@pytest.mark.parametrize("large", [pl.UInt64, pl.Int128])
def test_numbers_of_more_than_64_bits_can_come_next(large):
    events = EVENTS.with_columns(sku=pl.col("item_id").cast(large) + 2**63)
    assert sorted(fit(events, of="sku").items) == [str(2**63 + k) for k in (1, 2, 3)]


@pytest.mark.parametrize("column", [pl.struct("item_id"), pl.concat_list("item_id"), pl.lit(b"x")])
def test_what_is_neither_number_nor_text_cannot_come_next(column):
    with pytest.raises(ContractError, match=r"events: 'sku' \(of\) is \w+.*; choose a column of numbers or text"):
        fit(EVENTS.with_columns(sku=column), of="sku")


def test_the_kinds_asked_for_are_the_steps():
    carts = [row(who, day, 3, 9, event="cart") for who in range(30) for day in (0, 1, 2)]
    events = events_of(WALK + carts)
    assert fit(events).accuracy.table["n"][0] == 60
    assert fit(events, kinds=("view", "cart")).accuracy.table["n"][0] == 90


def test_of_a_very_long_session_its_last_200_steps_count():
    rng = np.random.default_rng(0)
    bot = pl.DataFrame({"customer_id": 77, "item_id": rng.permutation(300) + 1000}).with_columns(
        at=START + pl.int_range(300) * timedelta(seconds=1), event=pl.lit("view")
    )
    events = pl.concat([events_of(WALK), bot], how="diagonal_relaxed")
    told = fit(events, method="item_knn", keep=400).recommend(events, as_of=START + timedelta(minutes=6), n=300)
    found = told.filter(pl.col("customer_id") == 77)["item"]
    assert sorted(found) == sorted(bot["item_id"][100:299])
    near = fit(events, method="session_knn", keep=400).recommend(events, as_of=START + timedelta(minutes=6), n=300)
    assert sorted(near.filter(pl.col("customer_id") == 77)["item"]) == sorted(found)


def test_nothing_known_later_is_recommended_from():
    events = events_of(WALK)
    one, as_of = fit(events), START + timedelta(minutes=2)
    assert one.recommend(events, as_of=as_of).equals(one.recommend(events.filter(pl.col("at") < as_of), as_of=as_of))
    assert one.recommend(events, as_of="2025-02-01").is_empty()
    assert one.recommend(events, as_of=as_of)["customer_id"].n_unique() == 30


def test_what_is_known_of_the_future_changes_no_model():
    events = events_of(WALK)
    later = events.with_columns(item_id=pl.when(pl.col("at") >= SPLIT).then(pl.col("item_id") + 5).otherwise("item_id"))
    for method in METHODS:
        told = [fit(log, method=method).recommend(events, as_of=START + 2 * MINUTE) for log in (events, later)]
        assert told[0].equals(told[1])


# ---- how sure it is -------------------------------------------------------------------------------------------------


def test_with_few_customers_there_is_no_interval():
    few = fit(events_of([one for one in WALK if one[0] < 19]), method="markov").accuracy.table
    assert few["verdict"].to_list() == ["refused"] * 2
    assert "19 customers to judge by; an interval needs at least 20" in few["reason"][0]


def test_customers_who_are_all_alike_are_no_proof():
    """Each step's item is always the third in the list: no spread, and yet thirty customers are only thirty."""
    judged = pl.DataFrame({"customer_id": range(30), "rank": 3}).sample(90, with_replacement=True, seed=1)
    words = {"question": "?", "estimand": "steps", "method": "markov"}
    mrr = list(_accuracy(judged, n=5, level=0.95, words=words))[1]
    assert mrr["low"] < 0.25 < mrr["estimate"] < 0.42 < mrr["high"]


@pytest.mark.certify
def test_the_intervals_hold_the_truth_about_as_often_as_they_say(certify):
    """Customers differ in how foreseeable they are and in how many steps they make; both go together."""

    def hits(seed):
        rng = np.random.default_rng(seed)
        skill = rng.beta(1, 3, 80)
        steps = 1 + rng.poisson(2 + 10 * skill)
        who = np.repeat(np.arange(80), steps)
        rank = np.where(rng.random(len(who)) < skill[who], rng.integers(1, 3, len(who)), 0)
        judged = pl.DataFrame({"customer_id": who, "rank": rank})
        words = {"question": "?", "estimand": "steps", "method": "markov"}
        told = EstimateTable.from_rows(_accuracy(judged, n=2, level=0.9, words=words)).table
        truth = (3 * 0.25 + 10 * (0.25**2 + 0.0375)) / (3 + 10 * 0.25)  # E[skill x steps] / E[steps]
        return (told["low"] <= pl.Series([truth, 0.75 * truth])).to_numpy() & (
            told["high"] >= pl.Series([truth, 0.75 * truth])
        ).to_numpy()

    certify(hits, level=0.9)


def test_the_tables_of_several_methods_make_one_figure():
    tables = [fit(events_of(WALK), method=method, n=1).accuracy.table for method in METHODS]
    recall = EstimateTable(table=pl.concat(tables).filter(pl.col("metric") == "recall@1"))
    ax = figures.estimates(recall)
    assert [label.get_text() for label in ax.get_yticklabels()] == list(METHODS)
    assert "item_knn" in fit(events_of(WALK))._repr_html_()
    assert "30 steps to unseen" not in repr(fit(events_of(WALK)))


EVENTS = events_of(WALK)


@pytest.mark.parametrize(
    ("options", "error", "message"),
    [
        ({"method": "magic"}, ValueError, "method is 'magic'; it must be one of 'popularity', 'markov', 'item_knn'"),
        ({"of": "sku"}, ContractError, r"no column 'sku' \(of\). They have: customer_id, at"),
        ({"kinds": ("glance",)}, ValueError, "kinds is 'glance'; it must be one of 'impression'"),
        (
            {"kinds": "cart"},
            ContractError,
            "before 2025-01-03 00:00:00 no row of the kinds 'cart' has a value in 'item_id'",
        ),
        ({"kinds": None}, TypeError, "kinds is None; it must be text, or a list of texts"),
        ({"n": 0}, ValueError, "n is 0; it must be a whole number >= 1"),
        ({"recent": 2.5}, ValueError, "recent is 2.5; it must be a whole number >= 1"),
        ({"n": 100}, ValueError, "n is 100, and keep 100; a list can only have fewer items than are kept"),
        ({"level": 95}, ValueError, "level is 95; it must lie between 0 and 1"),
        ({"split_at": "2026-01-01"}, ValueError, "split_at is 2026-01-01 00:00:00; it must lie within the log"),
        (
            {"split_at": START + timedelta(days=2, minutes=2)},
            ContractError,
            "no session from .* goes from one 'item_id' to",
        ),
    ],
)
def test_what_cannot_be_learnt_says_why(options, error, message):
    with pytest.raises(error, match=message):
        fit(EVENTS, **options)


def test_what_cannot_be_recommended_from_says_why():
    with pytest.raises(ValueError, match="n is 200, and keep 100"):
        fit(EVENTS).recommend(EVENTS, as_of=SPLIT, n=200)
    with pytest.raises(ContractError, match="no column 'item_id'"):
        fit(EVENTS).recommend(EVENTS.drop("item_id"), as_of=SPLIT)
    with pytest.raises(ContractError, match="'item_id' is String, and was Int64 in training; cast it"):
        fit(EVENTS).recommend(EVENTS.cast({"item_id": pl.String}), as_of=SPLIT)
