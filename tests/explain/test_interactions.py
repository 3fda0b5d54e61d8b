"""What a pair adds together is what the definition says; a sum of single features has no pairs."""

from __future__ import annotations

import itertools
import sys

import numpy as np
import polars as pl
import pytest

from shoptoolkit.behaviour import fit_propensity
from shoptoolkit.contract import ContractError
from shoptoolkit.explain import interactions
from shoptoolkit.survival import fit_hazard

N = 2_000


def world(*, causes=False):
    """`a` counts where `b` is positive, which is all that is entangled; `c` counts for itself, in two windows."""
    rng = np.random.default_rng(0)
    a, b, c = rng.normal(size=(3, N))
    chance = 1 / (1 + np.exp(2 - 1.5 * a * (b > 0) - c))
    came = rng.geometric(chance)
    frame = pl.DataFrame({"a": a, "b": b, "c_28d": c, "c_91d": c + rng.normal(size=N)}).with_columns(
        customer_id=pl.int_range(N),
        as_of=pl.Series(["2025-01-01", "2025-03-01"] * (N // 2)).str.to_datetime(),
        bought=pl.Series(rng.random(N) < chance),
        duration_days=pl.Series(7.0 * np.minimum(came, 4)),
        repurchased=pl.Series(came <= 4),
    )
    cause = pl.Series(rng.choice(["order", "refund"], N))
    return frame.with_columns(cause=pl.when("repurchased").then(cause)) if causes else frame


WORLD = world()
FEATURES = ["a", "b", "c_28d", "c_91d"]
GROW = {"rng": 1, "rounds": 20, "patience": 20, "learning_rate": 0.3, "features": FEATURES}


def propensity(**options):
    return fit_propensity(WORLD, "bought", split_at="2025-02-01", replicates=40, **{**GROW, **options})


def hazard(frame=WORLD, **options):
    return fit_hazard(frame, **{**GROW, "nthread": 1, **options})


FIT, HAZARD = propensity(), hazard()


def test_the_pair_that_counts_together_comes_first():
    told = interactions(FIT, WORLD, rows=300, rng=1)
    assert told.table.row(0)[:2] == ("a", "b")
    assert told.table["strength"].is_sorted(descending=True)
    assert told.table["strength"][0] > 1.3 * told.table["strength"][1]
    assert told.table.columns == ["first", "second", "strength", "share", "n"]
    assert (told.n, told.scale) == (300, "margin")
    assert told.sample == "300 of 2,000 rows, evenly along the ranked answer from a random start"
    assert "The model, not the cause" in told._repr_html_()
    assert "Interactions in 300 rows" in repr(told)


def test_a_pair_of_signals_is_the_sum_over_their_features_and_windows_of_one_are_none():
    parts = FIT.explain_pairs(WORLD)
    both = 2 * (parts[:, 0, 2] + parts[:, 0, 3])
    told = interactions(FIT, WORLD, rows=N, rng=1)
    assert {frozenset(pair) for pair in told.table.select("first", "second").rows()} <= {
        frozenset(pair) for pair in itertools.combinations("abc", 2)
    }
    pair = told.table.filter(first="a", second="c").row(0, named=True)
    assert pair["strength"] == pytest.approx(np.abs(both).mean(), rel=1e-6)
    sizes = FIT.explain_margin(WORLD)[0]
    alone = np.abs(sizes[:, 0]).mean() + np.abs(sizes[:, 2] + sizes[:, 3]).mean()
    assert pair["share"] == pytest.approx(pair["strength"] / alone, rel=1e-4)
    apart = interactions(FIT, WORLD, rows=N, rng=1, signals={})
    assert apart.pairs == len(apart.table) == 6


def test_pairs_are_those_of_the_definition():
    """The interaction index over subsets, of the path-dependent expectation, for one tree of numbers."""
    import shap

    small = propensity(rounds=3, depth=3)
    explainer = shap.TreeExplainer(small.booster)
    explainer.model.model_type = "internal"
    known = explainer.shap_interaction_values(small.encode(WORLD[:50]).to_numpy())
    np.testing.assert_allclose(small.explain_pairs(WORLD[:50]), known, atol=2e-5)


def test_a_sum_of_single_features_has_no_pairs():
    told = interactions(propensity(depth=1), WORLD, rows=100, rng=1)
    assert told.table.is_empty()
    assert told.pairs == 0


def test_of_a_hazard_the_period_joins_no_pair():
    told = interactions(HAZARD, WORLD, rows=200, rng=1)
    assert told.table.row(0)[:2] == ("a", "b")
    assert told.sample.endswith("each at one period, in turn along it")
    assert told.kind == "path-dependent TreeSHAP interactions, the period always known"
    assert told.scale == "logit hazard"
    assert "period" not in {*told.table["first"], *told.table["second"]}
    at_two = interactions(HAZARD, WORLD, rows=N, rng=1, period=2, most=1)
    pairs = np.abs(2 * HAZARD.at(2).explain_pairs(WORLD)[:, 0, 1]).mean()
    assert at_two.table["strength"].to_list() == pytest.approx([pairs], rel=1e-6)
    assert at_two.pairs > 1


def test_pairs_of_one_of_several_causes_add_up_to_its_contributions():
    both = hazard(world(causes=True))
    held = both.at(1, cause="refund")
    np.testing.assert_allclose(
        held.explain_pairs(WORLD[:20]).sum(axis=2), held.explain_margin(WORLD[:20])[0], atol=1e-5
    )
    pairs = both.explain_pairs(WORLD[:20].with_columns(period=pl.lit(1)), cause="refund")
    told = both.explain_margin(WORLD[:20].with_columns(period=pl.lit(1)), cause="refund")[0]
    np.testing.assert_allclose(pairs.sum(axis=2), told, atol=1e-5)
    assert interactions(both, WORLD, rows=50, rng=1, cause="refund").n == 50
    with pytest.raises(ValueError, match="cause is None; this fit has several"):
        interactions(both, WORLD, rows=50, rng=1)


@pytest.mark.parametrize(("one", "rows"), [(FIT, 600), (HAZARD, 600)], ids=["propensity", "hazard"])
def test_rows_are_told_the_same_in_chunks_and_in_any_order(one, rows, monkeypatch):
    some = WORLD.head(rows)
    known = interactions(one, some, rows=rows, rng=1, period=1 if one is HAZARD else None).table
    monkeypatch.setattr(sys.modules["shoptoolkit.explain.interactions"], "_ROWS", 77)  # the name is the function
    told = interactions(one, some.reverse(), rows=rows, rng=1, period=1 if one is HAZARD else None).table
    assert told.drop("strength", "share").equals(known.drop("strength", "share"))
    np.testing.assert_allclose(told["strength"], known["strength"], rtol=1e-9)


def test_every_row_may_meet_every_period_and_no_order_of_rows_decides():
    pairs = np.mean([np.abs(2 * HAZARD.at(k).explain_pairs(WORLD[:40])[:, 0, 1]).mean() for k in (1, 2, 3, 4)])
    told = [interactions(HAZARD, WORLD[:40], rows=40, rng=seed).table.row(0) for seed in range(24)]
    strengths = {round(row[2], 9): row[2] for row in told}
    assert {row[:2] for row in told} == {("a", "b")}
    assert np.mean(list(strengths.values())) == pytest.approx(pairs, rel=1e-6), "one of four turns, as likely each"
    ties = WORLD.with_columns(pl.col(*FEATURES).round(0))
    known = interactions(HAZARD, ties, rows=50, rng=1).table
    again = interactions(HAZARD, ties.sample(fraction=1, shuffle=True, seed=2), rows=50, rng=1).table
    np.testing.assert_allclose(again["strength"], known["strength"], rtol=1e-9)


def test_a_pair_whose_signals_add_nothing_has_no_share():
    class Against:
        """What a and b add together is taken back by what each adds alone."""

        features = ("a", "b")

        def encode(self, frame):
            return frame.select("a", "b")

        def margin(self, frame):
            return np.zeros(len(frame))

        def explain_pairs(self, frame):
            return np.tile([[-1.0, 1.0], [1.0, -1.0]], (len(frame), 1, 1))

    assert interactions(Against(), WORLD, rows=5, rng=1).table.row(0) == ("a", "b", 2.0, None, 5)


@pytest.mark.parametrize(
    ("call", "error", "told"),
    [
        (lambda: interactions(FIT, WORLD, rows=5, rng=1, period=1), ValueError, "period is 1; this fit has none"),
        (lambda: interactions(HAZARD, WORLD, rows=5, rng=1, period=9), ValueError, "period is 9; it must be a whole"),
        (lambda: interactions(FIT, WORLD, rows=5, rng=1, most=0), ValueError, "most is 0; it must be a whole number"),
        (lambda: interactions(FIT, WORLD, rows="5", rng=1), ValueError, "rows is '5'; it must be at least 1"),
        (lambda: interactions(FIT, WORLD.clear(), rows=5, rng=1), ContractError, "the frame has 0 rows"),
        (lambda: interactions(FIT, WORLD, rows=5, rng=1, signals=["a"]), TypeError, "signals is a list"),
        (
            lambda: interactions(object(), WORLD, rows=5, rng=1),
            TypeError,
            "the fit is object, which has no explain_pairs",
        ),
    ],
)
def test_what_cannot_be_told_is_refused(call, error, told):
    with pytest.raises(error, match=told):
        call()
