"""Gain curves of scores: the written definition, its peers, and how often the intervals hold."""

from __future__ import annotations

import functools
from itertools import pairwise, permutations

import numpy as np
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from shoptoolkit.contract import ContractError
from shoptoolkit.incrementality import qini
from shoptoolkit.incrementality.qini import AUTOC, AUUC, QINI
from shoptoolkit.incrementality.qini_kernels import POISSON, resampled
from tests.conftest import WORLDS

ASK = {"outcome": "orders", "control": "none", "bootstraps": 100, "rng": 1}


def trial(n=600, *, seed=1, treated=0.5, rounded=None):
    """A test whose ad moves customers with a high `good` more; `poor` knows nothing."""
    random = np.random.default_rng(seed)
    good, given_ad = random.normal(size=n), random.random(n) < treated
    return pl.DataFrame(
        {
            "customer_id": np.arange(n),
            "arm": np.where(given_ad, "ad", "none"),
            "good": good if rounded is None else good.round(rounded),
            "poor": random.normal(size=n),
            "orders": random.poisson(1 + given_ad * np.exp(good / 2)).astype(float),
        }
    )


def areas(found, score, name="estimate"):
    return found.estimates.table.filter(group=score)[name].to_list()


def written(frame, score, chance=None):
    """G of the docstring."""
    y, ad = frame["orders"].to_numpy(), (frame["arm"] == "ad").to_numpy()
    weight = 1 / (np.ones(len(y)) if chance is None else frame[chance].to_numpy())
    m1, m0 = (np.average(y[arm], weights=weight[arm]) for arm in (ad, ~ad))
    w1, w0 = (weight[arm].sum() / len(y) for arm in (ad, ~ad))
    return m1 - m0 + np.where(ad, (y - m1) * weight / w1, -(y - m0) * weight / w0)


def integrals(share, gain):
    """Qini, AUUC and AUTOC of a curve of straight pieces, by many points on each."""
    fine = np.unique(np.concatenate([np.linspace(a, b, 100) for a, b in pairwise(share)]))
    middle, width = (fine[1:] + fine[:-1]) / 2, np.diff(fine)
    height = np.interp(middle, share, gain)
    over = height - middle * gain[-1]
    return [(over * width).sum(), (height * width).sum(), (over / middle * width).sum()]


@pytest.mark.parametrize("chance", [None, "chance"])
@given(seed=st.integers(0, 10**6), rounded=st.sampled_from([0, 1, 6]))
@settings(max_examples=15)
def test_areas_are_those_of_the_written_definition(chance, seed, rounded):
    frame = trial(seed=seed, rounded=rounded)
    known = np.random.default_rng(seed).uniform(0.2, 0.9, len(frame))
    frame = frame.with_columns(chance=known, orders=pl.col("orders") + pl.col("customer_id") / 1e3)
    told = written(frame, "good", chance)
    score = frame["good"].to_numpy()
    levels = np.unique(score)[::-1]
    share = np.append(0, [(score >= one).mean() for one in levels])
    gain = np.append(0, [told[score >= one].sum() / len(score) for one in levels])
    found = qini(frame, scores="good", propensity=chance, **ASK)
    assert areas(found, "good") == pytest.approx(integrals(share, gain), rel=1e-3, abs=1e-6)
    np.testing.assert_allclose(found.table["gain"], np.interp(np.linspace(0, 1, 101), share, gain), atol=1e-12)
    np.testing.assert_allclose(found.table["random"], np.linspace(0, 1, 101) * gain[-1], atol=1e-12)


def test_equal_scores_are_the_mean_over_all_their_orders():
    frame = trial().with_columns(good=pl.int_range(pl.len()).clip(3))  # the last four tie
    tied = areas(qini(frame, scores="good", **ASK), "good")
    orders = [np.append(np.array(one) / 10, np.arange(4, 600)) for one in permutations(range(4))]
    each = [areas(qini(frame.with_columns(good=one), scores="good", **ASK), "good") for one in orders]
    assert tied[:2] == pytest.approx(np.mean(each, axis=0)[:2], abs=1e-12)
    assert tied[2] == pytest.approx(np.mean(each, axis=0)[2], abs=1e-9)


def test_causalml_counts_the_same_from_the_same_scores_of_each_customer():
    from causalml.metrics import auuc_score

    frame = trial(900)
    theirs = pl.DataFrame({"tau": written(frame, "good"), "y": 0.0, "w": 1, "good": frame["good"]})
    n, effect = len(frame), theirs["tau"].mean()
    peer = auuc_score(theirs.to_pandas(), normalize=False)["good"]
    assert areas(qini(frame, scores="good", **ASK), "good")[1] == pytest.approx(
        peer * (n + 1) / n**2 - effect / (2 * n), rel=1e-9
    )


def test_a_score_that_is_the_same_for_all_has_no_area():
    found = qini(trial().with_columns(good=1.0), scores="good", **ASK)
    assert areas(found, "good")[::2] == [0, 0]
    assert areas(found, "good", "p_value") == [1, None, 1]
    np.testing.assert_allclose(found.table["gain"], found.table["random"])


def test_row_order_names_currency_and_a_common_sum_change_nothing():
    frame = trial(1_500, rounded=1).with_columns(orders=pl.col("orders") * 0.37 + pl.col("poor").round(1))
    told = qini(frame, scores=["good", "poor"], **ASK).estimates.table
    other = frame.sample(fraction=1, shuffle=True, seed=3).with_columns(pl.col("customer_id").cast(pl.String) + "x")
    columns = ["estimate", "standard_error", "low", "high"]

    def same(change, scale, rel, columns=columns):
        found = qini(other.with_columns(orders=change), scores=["good", "poor"], **ASK).estimates.table
        np.testing.assert_allclose(found.select(columns), told.select(columns) * scale, rtol=rel, atol=1e-9)

    same(pl.col("orders"), 1, 1e-9)
    same(pl.col("orders") * 1e9, 1e9, 1e-9)
    same(pl.col("orders") + 1e9, 1, 1e-4, ["estimate"])  # the outcome itself keeps nine digits less


def test_a_score_in_other_units_is_the_same_score():
    found = qini(trial().with_columns(other=pl.col("good").exp()), scores=["good", "other"], **ASK)
    assert areas(found, "good") == areas(found, "other")
    assert areas(found, "other - good") == areas(found, "other - good", "standard_error") == [0, 0]


def test_several_scores_of_many_customers_have_the_areas_and_errors_of_each_alone():
    rng = np.random.default_rng(3)
    score, other, noise = rng.normal(size=(3, n := 120_000))
    frame = pl.DataFrame({"customer_id": range(n), "arm": ["ad", "none"] * (n // 2), "score": score, "other": other})
    frame = frame.with_columns(orders=(pl.col("arm") == "ad") * pl.col("score") + noise)
    ask = {"outcome": "orders", "control": "none", "bootstraps": 400, "rng": 1}
    both = qini(frame, scores=["score", "other"], **ask).estimates.table
    for name in ("score", "other"):
        alone = qini(frame, scores=name, **ask).estimates.table
        together = both.filter(group=name)
        assert together["estimate"].to_list() == pytest.approx(alone["estimate"].to_list(), rel=1e-9, abs=1e-12)
        assert together["standard_error"].to_list() == pytest.approx(alone["standard_error"].to_list(), rel=0.2)


def test_scores_are_compared_with_the_first_on_the_same_resamples():
    frame = trial(2_000).with_columns(near=pl.col("good") + pl.col("poor") / 4)
    found = qini(frame, scores=["good", "near", "poor"], **ASK)
    table = {row["group"]: row for row in found.estimates.table.filter(estimand=QINI).to_dicts()}
    near, poor = table["near - good"], table["poor - good"]
    assert near["estimate"] == pytest.approx(table["near"]["estimate"] - table["good"]["estimate"])
    assert near["standard_error"] < table["near"]["standard_error"] / 2
    assert poor["p_value"] < 0.001
    assert found.estimates.table.filter(group="poor - good")["estimand"].to_list() == [QINI, AUTOC]
    assert found.estimates.table["estimand"].to_list()[:3] == [QINI, AUUC, AUTOC]


def test_equal_chances_are_no_chances():
    frame = trial(treated=0.3).with_columns(probability=pl.lit(0.3))
    alone, told = (qini(frame, scores="good", propensity=one, **ASK) for one in (None, "probability"))
    assert areas(alone, "good") == pytest.approx(areas(told, "good"), rel=1e-12)


def test_customers_of_a_third_arm_are_left_out():
    frame = trial()
    third = frame.with_columns(pl.col("customer_id") + 1_000, arm=pl.lit("letter"))
    both = pl.concat([frame, third]).rename({"arm": "arm_given"}).with_columns(arm=pl.lit("ad"))
    found = qini(both, scores="good", arm="arm_given", treatment="ad", **ASK)
    assert found.estimates.table.equals(qini(frame, scores="good", **ASK).estimates.table)


def test_draws_have_the_moments_of_poisson_weights_and_are_the_same_for_all_scores():
    n, draws, random = 64, 4_000, np.random.default_rng(1)
    outcomes = [random.exponential(size=1 if one < 32 else 5) for one in range(n)]
    count = np.array([len(one) for one in outcomes])
    mean, spread = np.array([(one.mean(), one.std() * np.sqrt(len(one))) for one in outcomes]).T
    rows = np.tile(np.arange(n, dtype=np.int32), (2, 1)), count, np.column_stack([np.ones(n), mean]), spread, n
    sums = resampled(*rows, np.arange(1, draws + 1), random, POISSON)
    assert (sums[:, 0] == sums[:, 1]).all()
    weights, totals = np.moveaxis(sums[:, 0], -1, 0)
    squares = np.array([(one**2).sum() for one in outcomes])
    assert np.abs((weights.mean(axis=0) - count) / np.sqrt(count / draws)).max() < 4.5
    assert np.abs((totals.mean(axis=0) - mean * count) / np.sqrt(squares / draws)).max() < 4.5
    assert np.abs(weights.var(axis=0) / count - 1).max() < 0.2
    assert np.abs(totals.var(axis=0) / squares - 1).max() < 0.2
    shared = ((weights - count) * (totals - mean * count)).mean(axis=0)
    assert np.abs((shared - mean * count) / np.sqrt(squares * count)).max() < 0.2
    assert np.abs(np.corrcoef(weights.T) - np.eye(n)).max() < 5 / np.sqrt(draws)
    still = resampled(*rows, np.zeros(1, np.int64), random, POISSON)
    np.testing.assert_allclose(still[0, 0].T, [count, mean * count])


KINDS = {
    "flags": {"n": 4_000, "treated": 0.5, "differ": 1.0},
    "one in ten in control": {"n": 12_000, "treated": 0.9, "differ": 1.0},
    "one in a hundred buys": {"n": 20_000, "treated": 0.5, "differ": 1.0},
    "the ad moves all alike": {"n": 4_000, "treated": 0.5, "differ": 0.0},
}


def effect_of(kind, liking):
    """What the ad adds for a customer, and what a purchase brings on average."""
    base = 0.005 if kind == "one in a hundred buys" else 0.06
    return base * (1 + KINDS[kind]["differ"] * np.tanh(liking))


@functools.cache
def truth(kind):
    """Areas of the score liking + noise / 2 in the population."""
    random = np.random.default_rng(0)
    liking, noise = random.normal(size=(2, 2_000_000))
    effect = effect_of(kind, liking) * (np.exp(1.5) if kind == "one in a hundred buys" else 1)
    effect = effect[np.argsort(-(liking + noise / 2))]
    share = np.arange(1, len(effect) + 1) / len(effect)
    over = np.cumsum(effect) / len(effect) - share * effect.mean()
    return [over.mean(), over.mean() + effect.mean() / 2, (over / share).mean(), 0.0, 0.0]


@pytest.mark.certify
@pytest.mark.parametrize("kind", KINDS)
def test_intervals_of_areas_and_of_equally_good_scores_hold(kind, certify):
    n, treated = KINDS[kind]["n"], KINDS[kind]["treated"]

    def hits(seed):
        random = np.random.default_rng(seed)
        liking, noise = random.normal(size=(2, n))
        ad = random.random(n) < treated
        buys = random.random(n) < (0.01 if kind == "one in a hundred buys" else 0.1) + ad * effect_of(kind, liking)
        spent = np.exp(random.normal(1, 1, n)) if kind == "one in a hundred buys" else 1.0
        frame = pl.DataFrame(
            {
                "customer_id": np.arange(n),
                "arm": np.where(ad, "ad", "none"),
                "orders": buys * spent,
                "one": liking + noise / 2,
                "two": liking - noise / 2,
            }
        )
        table = qini(frame, scores=["one", "two"], **(ASK | {"rng": seed})).estimates.table
        rows = table[[0, 1, 2, 6, 7]].to_dicts()
        return [
            row["verdict"] == "ok" and row["low"] <= value <= row["high"]
            for row, value in zip(rows, truth(kind), strict=True)
        ]

    certify(hits, level=0.95, worlds=WORLDS // 2)


@pytest.mark.certify
def test_scores_learnt_on_earlier_folds_find_no_differences_where_there_are_none_and_pooled_ones_do(certify):
    pooled = []

    def hits(seed):
        random = np.random.default_rng(seed)
        x, ad, fold = random.normal(size=(400, 8)), random.random(400) < 0.5, np.arange(400) % 5
        orders = random.normal(size=400) + 0.5 * ad
        told = {"early": np.full(400, np.nan), "pooled": np.full(400, np.nan)}
        for name, one in [("early", 2), ("early", 3), ("early", 4), *(("pooled", one) for one in range(5))]:
            known = fold < one if name == "early" else fold != one
            line = np.linalg.lstsq(x[known], np.where(ad, 2, -2)[known] * orders[known], rcond=None)[0]
            told[name][fold == one] = x[fold == one] @ line
        frame = pl.DataFrame({"customer_id": range(400), "arm": np.where(ad, "ad", "none"), "orders": orders} | told)
        pooled.append(areas(qini(frame, scores="pooled", **ASK), "pooled", "p_value")[0] > 0.1)
        early = qini(frame.filter(pl.col("early").is_not_nan()), scores="early", **ASK)
        return [one > 0.1 for one in areas(early, "early", "p_value")[::2]]

    certify(hits, level=0.9, worlds=WORLDS // 2)
    assert np.mean(pooled) < 0.85


def test_held_out_scores_of_a_fit_are_judged_as_the_docstring_says():
    from shoptoolkit.incrementality import fit_uplift

    frame = trial(1_500)
    ask = {"outcome": "orders", "control": "none", "features": ["good", "poor"], "rng": 1, "nthread": 1}
    held = fit_uplift(frame, **ask, learner="t", folds=3).held_out
    found = qini(held, scores="effect", arm="arm_given", **ASK | {"outcome": "outcome"})
    assert found.contrast == "ad - none"
    assert found.n == 500
    assert areas(found, "effect", "low")[0] > 0


@pytest.mark.parametrize(
    ("change", "error", "words"),
    [
        ({"scores": ["good", "spend"]}, ContractError, r"'spend' missing. It has"),
        ({"scores": 7}, TypeError, r"scores is 7; it must be text"),
        ({"scores": "arm"}, ValueError, r"'arm', which is no outcome"),
        ({"outcome": "word"}, ContractError, r"'word' is String; it must be numbers"),
        ({"outcome": "holey"}, ContractError, r"'holey' is null, NaN or infinite in 1 of 600 rows"),
        ({"scores": "endless"}, ContractError, r"'endless' is null, NaN or infinite"),
        ({"control": "holdout"}, ValueError, r"control is 'holdout'; the arms are 'ad', 'none'"),
        ({"treatment": "letter"}, ValueError, r"treatment is 'letter'; it must be one of .*: 'ad'"),
        ({"arm": "group"}, ContractError, r"arm='group' is missing. It has"),
        ({"propensity": "good"}, ValueError, r"propensity is 'good', whose values are not all above 0"),
        ({"propensity": "chance"}, ContractError, r"'chance' missing"),
        ({"level": 95}, ValueError, r"level is 95"),
        ({"bootstraps": 10}, ValueError, r"bootstraps is 10; it must be a whole number >= 100"),
        ({"scores": []}, ValueError, r"scores is empty"),
        ({"scores": ["good", "good"]}, ValueError, r"scores has 'good' twice"),
        ({"scores": ["good", "orders"]}, ValueError, r"scores has the outcome 'orders'"),
        ({"outcome": "pre_orders"}, ValueError, r"'pre_orders', which is no outcome"),
        ({"outcome": None}, TypeError, r"outcome is None; it must be the name of a column"),
        ({"outcome": ["orders"]}, TypeError, r"outcome is \['orders'\]; it must be the name"),
        ({"propensity": 0.5}, TypeError, r"propensity is 0.5; it must be the name of a column"),
    ],
)
def test_what_a_user_would_mistype_is_said(change, error, words):
    frame = trial().with_columns(
        word=pl.lit("1"),
        pre_orders=pl.col("orders"),
        holey=pl.when(pl.col("customer_id") > 0).then("orders"),
        endless=pl.col("good") / pl.col("customer_id").cast(pl.Float64),
    )
    with pytest.raises(error, match=words):
        qini(frame, **({"scores": "good"} | ASK | change))


def test_two_treatments_need_a_name():
    frame = pl.concat([trial(), trial().with_columns(pl.col("customer_id") + 1_000, arm=pl.lit("letter"))])
    with pytest.raises(ValueError, match=r"treatment is None; it must be one of .*: 'ad', 'letter'"):
        qini(frame, scores="good", **ASK)


@pytest.mark.parametrize("frame", [trial(40), trial(4_000).with_columns(orders=pl.col("orders") > 8)])
def test_too_few_customers_or_buyers_are_refused(frame):
    found = qini(frame, scores=["good", "poor"], **ASK)
    assert found.estimates.table["verdict"].to_list() == ["refused"] * 8
    assert "an interval by the normal law needs 50" in found.estimates.table["reason"][0]
    assert found.table.is_empty()
    assert "refused" in repr(found)
    assert "Refused" in found._repr_html_()
