"""Predictions by trees that have not seen the customer: who goes into which fold, and what decides nothing."""

import numpy as np
import polars as pl
import pytest

from shoptoolkit.contract import ContractError
from shoptoolkit.incrementality.crossfit import add, cross_chances, cross_predict, deal, grow, no_overlap

FEATURES = ["a", "b", "kind"]


def world(n=2_000, seed=0):
    rng = np.random.default_rng(seed)
    a, b, treated = rng.normal(size=n), rng.normal(size=n), rng.random(n) < 0.3
    return pl.DataFrame(
        {
            "customer_id": rng.permutation(n),
            "arm": np.where(treated, "ads", "none"),
            "spend": 2 * a + (rng.normal(size=n) + b * treated),
            "a": a,
            "b": pl.Series(np.where(rng.random(n) < 0.1, np.nan, b)).fill_nan(None),
            "kind": rng.choice(["x", "y", None], n),
        }
    )


def dealt(frame, **options):
    told = {"features": FEATURES, "by": ["arm", "spend"], "folds": 4, "rng": np.random.default_rng(1), "nthread": 1}
    return deal(frame, **told | options)


def predicted(folds, label, seed=2):
    where = (folds.table["arm"] == "ads").to_numpy()
    return cross_predict(folds, label, where=where, rng=np.random.default_rng(seed))


FOLDS = dealt(world())
SPEND = FOLDS.table["spend"].to_numpy()


def test_every_fold_has_its_share_of_every_arm():
    counts = FOLDS.table.with_columns(fold=FOLDS.fold).group_by("arm", "fold").len()
    assert (counts.group_by("arm").agg(pl.col("len").max() - pl.col("len").min())["len"] <= 1).all()


def test_all_rows_of_a_customer_are_in_one_fold():
    frame = world().with_columns(customer_id=pl.col("customer_id") % 500)
    folds = dealt(frame)
    assert folds.table.with_columns(fold=folds.fold).group_by("customer_id").agg(pl.n_unique("fold"))["fold"].max() == 1
    assert np.bincount(folds.fold).min() > 400


def test_the_order_of_rows_and_the_names_of_customers_decide_nothing():
    other = world().with_columns(customer_id=pl.format("c{}", -pl.col("customer_id")))
    folds = dealt(other.sample(fraction=1, shuffle=True, seed=5))
    assert (folds.fold == FOLDS.fold).all()
    assert folds.table["spend"].equals(FOLDS.table["spend"])
    assert world()[FOLDS.given].equals(FOLDS.table)


def test_a_customers_own_number_does_not_move_what_is_predicted():
    own = FOLDS.fold == 2
    changed = np.where(own, SPEND[::-1] * 5, SPEND)
    told, again = predicted(FOLDS, SPEND), predicted(FOLDS, changed)
    assert (told[own] == again[own]).all()
    assert (told[~own] != again[~own]).any()


def test_predictions_find_the_arms_own_mean():
    a, b = FOLDS.table["a"].to_numpy(), FOLDS.table["b"].fill_null(0).to_numpy()
    assert np.corrcoef(predicted(FOLDS, SPEND), 2 * a + b)[0, 1] > 0.93


def test_unit_and_level_of_the_number_decide_nothing():
    told, scaled = predicted(FOLDS, SPEND), predicted(FOLDS, 1e9 + SPEND * 1_000)
    assert (scaled - 1e9) / 1_000 == pytest.approx(told, abs=1e-6)


def test_the_same_number_for_all_is_told_exactly():
    assert (predicted(FOLDS, np.full(len(SPEND), 0.1)) == 0.1).all()


def test_contributions_of_a_sum_of_trees_add_up():
    rows = np.ones(len(SPEND), dtype=bool)
    parts = [grow(FOLDS, rows, label, rng=np.random.default_rng(3)) for label in (SPEND, SPEND**2 + 100)]
    both, matrix = add([(2.0, parts[0]), (-0.5, parts[1])]), FOLDS.matrix(rows)
    expected = 2 * parts[0].predict(matrix) - 0.5 * parts[1].predict(matrix)
    assert both.predict(matrix) == pytest.approx(expected)
    contributions, base = both.explain(matrix)
    assert contributions.shape == (len(SPEND), 3)
    assert contributions.sum(axis=1) + base == pytest.approx(expected, abs=1e-4)


def test_chances_of_arms_follow_the_features():
    rng = np.random.default_rng(4)
    chance = 1 / (1 + np.exp(-1.5 * FOLDS.table["a"].to_numpy()))
    told = cross_chances(FOLDS, (rng.random(len(chance)) < chance).astype(np.int64), rng=rng)
    assert told.sum(axis=1) == pytest.approx(1)
    assert np.corrcoef(told[:, 1], chance)[0, 1] > 0.95


def test_no_overlap_is_told_where_more_than_one_in_a_hundred_is_unlike_an_arm():
    chances = np.full((200, 2), 0.5)
    assert no_overlap(chances, np.array([0.5, 0.5])) is None
    chances[:3] = [0.98, 0.02]
    assert no_overlap(chances, np.array([0.9, 0.1])) is None  # of a small arm, chances are small
    assert "no overlap: 1.5% of the customers" in no_overlap(chances, np.array([0.5, 0.5]))


def test_features_that_trees_cannot_read_are_named():
    with pytest.raises(ContractError, match="'when' is Date"):
        dealt(world().with_columns(when=pl.date(2025, 1, 1)), features=["a", "when"])
