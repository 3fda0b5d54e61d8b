"""Intent is learnt from sessions over by the split, judged on later ones, and asked of sessions open at a moment."""

from __future__ import annotations

from datetime import datetime, timedelta

import numpy as np
import polars as pl
import pytest
from polars.testing import assert_frame_equal
from sklearn.metrics import roc_auc_score

from shoptoolkit.behaviour import fit_intent, fit_propensity, load_intent, session_features, session_prefixes
from shoptoolkit.contract import ContractError, Estimates, check
from shoptoolkit.features import FeatureSpec, sessions

START = datetime(2025, 1, 1)
SPLIT = datetime(2025, 2, 10)
MINUTE = timedelta(minutes=1)
SPEC = FeatureSpec(windows_days=(28,), kinds=("view", "purchase"), sums=())
CART, BUYS = 0.3, {True: 0.7, False: 0.05}  # share with a cart in row 2; chance of a purchase with and without


def world(n=250, each=8, seed=0):
    """Sessions of a view, a cart or another view, a third view, and perhaps a purchase, in random nights and days."""
    rng = np.random.default_rng(seed)
    size = n * each
    minute = np.sort(rng.integers(0, 60 * 24 * 60, (n, each)), axis=1).ravel()
    at = np.datetime64(START, "us") + minute * np.timedelta64(MINUTE)
    cart, draw = rng.random(size) < CART, rng.random(size)
    buys = draw < np.where(cart, BUYS[True], BUYS[False])
    base = pl.DataFrame({"customer_id": np.repeat(np.arange(n), each), "at": at, "cart": cart, "buys": buys})
    steps = [
        base.with_columns(event=pl.lit("view")),
        base.with_columns(
            event=pl.when("cart").then(pl.lit("cart")).otherwise(pl.lit("view")), at=pl.col("at") + MINUTE
        ),
        base.with_columns(event=pl.lit("view"), at=pl.col("at") + 2 * MINUTE),
        base.filter("buys").with_columns(event=pl.lit("purchase"), at=pl.col("at") + 3 * MINUTE),
    ]
    price = pl.Series(rng.gamma(2, 10, 3 * size + buys.sum()).round(2))
    return pl.concat(steps).drop("cart", "buys").with_columns(price=price)


def fit(events, **options):
    quick = {"split_at": SPLIT, "rng": 1, "rounds": 60, "replicates": 60, "spec": SPEC, "after": (1, 2, 3)}
    return fit_intent(events, **quick | options)


EVENTS = world()
FIT = fit(EVENTS)
END = EVENTS["at"].max() + timedelta(microseconds=1)
TEST = session_prefixes(EVENTS, as_of=END, since=SPLIT, after=(1, 2, 3), spec=SPEC)


def test_the_chances_are_those_of_the_world():
    open_now = [("x", 0, "view"), ("y", 0, "view"), ("y", 1, "cart"), ("z", 0, "view"), ("z", 1, "view")]
    at = datetime(2025, 3, 1, 12)
    now = pl.DataFrame([(one, at + k * MINUTE, event, 20.0) for one, k, event in open_now], orient="row")
    now.columns = ["customer_id", "at", "event", "price"]
    told = FIT.predict(now, as_of=at + 5 * MINUTE)
    assert told["customer_id"].to_list() == ["x", "y", "z"]
    assert told["rows_seen"].to_list() == [1, 2, 2]
    truth = [CART * BUYS[True] + (1 - CART) * BUYS[False], BUYS[True], BUYS[False]]
    assert np.abs(told["probability"].to_numpy() - truth).max() < 0.1


def test_it_is_a_propensity_of_prefixes():
    train = session_prefixes(EVENTS, as_of=SPLIT, after=(1, 2, 3), spec=SPEC)
    both, names = pl.concat([train, TEST]), FIT.propensity.features
    again = fit_propensity(both, "bought", split_at=SPLIT, rng=1, features=names, rounds=60, replicates=60)
    assert FIT.accuracy.table.equals(again.accuracy.table)
    assert FIT.reliability.equals(again.reliability)
    assert not {"session_purchases", "session_refunds", "session_started_at", "session_number"} & set(names)


def test_sessions_train_or_test_and_those_open_at_the_split_do_neither():
    straddler = pl.DataFrame(
        {"customer_id": 999, "at": [SPLIT - MINUTE, SPLIT + MINUTE], "event": "view", "price": 1.0}
    )
    longer = pl.concat([EVENTS, straddler], how="vertical_relaxed")
    parts = [fit(events).propensity.parts.select("part", "n").rows() for events in (EVENTS, longer)]
    assert parts[0] == parts[1]
    whole = (
        sessions(EVENTS)
        .group_by("customer_id", "session_number")
        .agg(pl.col("at").min().alias("a"), pl.col("at").max())
    )
    tested = whole.filter(pl.col("a") >= SPLIT, pl.col("at") + 30 * MINUTE < END)
    assert TEST.select("customer_id", "session_started_at").n_unique() == len(tested)


def test_what_became_known_after_the_split_teaches_nothing():
    known_at = pl.when(pl.col("at") < SPLIT, pl.col("event") == "purchase").then(SPLIT).otherwise("at")
    with pytest.raises(ContractError, match="only outcome 0"):
        fit(EVENTS.with_columns(known_at=known_at))


def test_the_accuracy_after_each_number_of_rows_is_that_of_its_prefixes():
    table = FIT.by_rows.table
    assert check(table, Estimates).quarantined.is_empty()
    assert table["group"].unique(maintain_order=True).to_list() == ["1 row seen", "2 rows seen", "3 rows seen"]
    chance = TEST.with_columns(FIT.propensity.predict(TEST)["probability"])
    auc = table.filter(pl.col("metric") == "roc_auc")
    for seen, row in zip((1, 2, 3), auc.to_dicts(), strict=True):
        part = chance.filter(pl.col("rows_seen") == seen)
        assert row["n"] == len(part)
        assert row["estimate"] == pytest.approx(roc_auc_score(part["bought"], part["probability"]))
    assert auc["low"][1] > auc["high"][0]  # the cart tells


def test_every_session_open_at_the_moment_is_scored_and_no_other():
    as_of = EVENTS.filter(pl.col("event") == "cart")["at"].sort()[-5] + 9 * MINUTE
    known = EVENTS.filter(pl.col("at") < as_of)
    told = FIT.predict(EVENTS, as_of=as_of)
    last = known.group_by("customer_id").agg(pl.col("at").max()).filter(pl.col("at") >= as_of - 30 * MINUTE)
    requests = last.select("customer_id", as_of=pl.lit(as_of)).sort("customer_id")
    open_now = session_features(EVENTS, requests, spec=SPEC).filter(pl.col("session_purchases") == 0)
    assert len(open_now) >= 1
    expected = open_now.select("customer_id", "session_started_at", "rows_seen")
    assert_frame_equal(told, expected.with_columns(FIT.propensity.predict(open_now)["probability"]))
    assert FIT.predict(known, as_of=as_of).equals(told)


def test_nobody_is_scored_when_nobody_is_there():
    assert FIT.predict(EVENTS, as_of="2026-01-01").shape == (0, 4)
    assert FIT.predict(EVENTS, as_of="2026-01-01").schema == FIT.predict(EVENTS, as_of=END).schema


def test_a_saved_fit_answers_the_same(tmp_path):
    again = load_intent(FIT.save(tmp_path / "fit"))
    assert again.predict(EVENTS, as_of=END).equals(FIT.predict(EVENTS, as_of=END))
    assert again.by_rows.table.equals(FIT.by_rows.table)
    assert (again.gap_minutes, again.spec) == (FIT.gap_minutes, FIT.spec)
    (tmp_path / "fit" / "intent.json").unlink()
    with pytest.raises(FileNotFoundError, match=r"intent\.json"):
        load_intent(tmp_path / "fit")


def test_neither_row_order_nor_names_matter():
    shuffled = EVENTS.sample(fraction=1, shuffle=True, seed=2).with_columns(pl.col("customer_id") + 1_000)
    other = fit(shuffled)
    assert other.by_rows.table.equals(FIT.by_rows.table)
    assert other.predict(shuffled, as_of=END)["probability"].equals(FIT.predict(EVENTS, as_of=END)["probability"])


def test_calibration_and_growth_are_options_of_the_propensity():
    one = fit(EVENTS, calibration="isotonic", rounds=5)
    assert (one.propensity.calibration, one.propensity.rounds <= 5) == ("isotonic", True)
    with pytest.raises(ValueError, match="calibration is 'platt'; it must be one of"):
        fit(EVENTS, calibration="platt")


def test_a_fit_reads_well():
    assert "sessions end after 30 minutes of silence" in repr(FIT)
    assert "2 rows seen" in FIT._repr_html_()


@pytest.mark.parametrize(
    ("events", "options", "error", "message"),
    [
        (EVENTS, {"split_at": "2024-06-01"}, ValueError, "split_at is 2024-06-01 00:00:00; it must lie within the log"),
        (EVENTS, {"split_at": "2025-06-01"}, ValueError, "it must lie within the log, after 2025-01-01"),
        (EVENTS, {"after": (9,)}, ContractError, "could be looked at after 9 rows"),
        (
            EVENTS.filter(pl.col("event") != "purchase"),
            {},
            ContractError,
            "no row is a purchase, so no session ends in",
        ),
        (EVENTS.drop("at"), {}, ContractError, "'at' is missing"),
        (EVENTS.filter(pl.col("event") == "purchase"), {}, ContractError, "no session was over by 2025-02-10"),
        (
            EVENTS.filter((pl.col("event") != "purchase") | (pl.col("at") < SPLIT)),
            {},
            ContractError,
            "the test part .* has only",
        ),
    ],
)
def test_what_cannot_be_learnt_says_why(events, options, error, message):
    with pytest.raises(error, match=message):
        fit(events, **options)
