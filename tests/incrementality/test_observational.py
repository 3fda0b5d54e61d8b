"""What an ad nobody assigned seems to do: equal to DoubleML, covered where all is measured, doubted where it is not."""

from __future__ import annotations

import doubleml
import numpy as np
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.linear_model import LinearRegression, LogisticRegression

from shoptoolkit import simulate
from shoptoolkit.contract import ContractError
from shoptoolkit.incrementality import ledger, observational, outcomes
from shoptoolkit.incrementality.sensitivity import bounds, gains, robustness, score
from tests.conftest import WORLDS

COVARIATES = ["pre_orders", "pre_watch", "pre_source"]


def world(seed, n=1_000, *, effect=0.5, push=1.0, hidden=False):
    """Who orders and watches much sees the ad more often, and buys more anyway; the effect grows with orders."""
    rng = np.random.default_rng(seed)
    orders, watch = rng.normal(size=n), rng.exponential(size=n)
    organic = rng.random(n) < 0.5
    chance = 1 / (1 + np.exp(-push * (0.8 * orders + 0.6 * watch + 0.4 * organic - 1)))
    exposed = rng.random(n) < chance
    gain = effect + effect * orders
    bought = orders + np.sqrt(watch) + 0.5 * organic + rng.normal(size=n) + exposed * gain
    frame = {"customer_id": np.arange(n), "exposed": exposed, "orders": bought, "pre_watch": watch}
    frame |= {"pre_orders": rng.normal(size=n) if hidden else orders}
    source = pl.Series(np.where(organic, "organic", "live"))
    return pl.DataFrame(frame).with_columns(pre_source=source), chance, gain


def told_of(frame, **options):
    asked = {"treatment": "exposed", "outcome": "orders", "covariates": COVARIATES, "rng": 1, "nthread": 1}
    return observational(frame, **asked | options)


def row_of(told, place=0):
    return told.estimates.table.row(place, named=True)


def random_nuisances(seed, n=300):
    rng = np.random.default_rng(seed)
    chance = rng.uniform(0.05, 0.9, n)
    treated = rng.random(n) < chance
    without, with_it = rng.normal(size=(2, n))
    return rng.normal(0.7 + without, 1), treated, chance, without, with_it


def of_doubleml(outcome, treated, chance, without, with_it, estimand):
    """The interactive model of DoubleML on the same predictions; its own learners are not asked."""
    data = doubleml.DoubleMLData.from_arrays(np.ones((len(outcome), 1)), outcome, treated.astype(float))
    learners = LinearRegression(), LogisticRegression()
    score = {"att": "ATTE", "ate": "ATE"}[estimand]
    processor = doubleml.utils.PSProcessorConfig(clipping_threshold=1e-12)
    model = doubleml.DoubleMLIRM(data, *learners, score=score, n_folds=2, ps_processor_config=processor)
    given = {"ml_g0": without, "ml_g1": with_it, "ml_m": chance}
    return model.fit(external_predictions={"d": {name: one[:, None] for name, one in given.items()}})


@settings(max_examples=20)
@given(st.integers(0, 2**31), st.sampled_from(["att", "ate"]))
def test_score_and_sensitivity_are_those_of_doubleml(seed, estimand):
    """But for the errors of the two ends, which DoubleML 0.11 interchanges: it takes minus the influence."""
    outcome, treated, chance, without, with_it = random_nuisances(seed)
    ours = score(outcome, treated, chance=chance, without=without, with_it=with_it, estimand=estimand)
    model = of_doubleml(outcome, treated, chance, without, with_it, estimand)
    assert ours.estimate == pytest.approx(model.coef[0], abs=1e-9)
    assert ours.error == pytest.approx(model.se[0], abs=1e-9)
    model.sensitivity_analysis(cf_y=0.04, cf_d=0.07, rho=1.0, level=0.975)  # one-sided there: both ends of .95 here
    known, found = model.sensitivity_params, bounds(ours, outcome_share=0.04, treatment_share=0.07, level=0.95)
    lower, upper = (known["theta"][end][0] for end in ("lower", "upper"))
    assert (found["estimate_low"], found["estimate_high"]) == pytest.approx((lower, upper), abs=1e-9)
    if estimand == "ate":
        reach = [known["ci"]["upper"][0] - upper, lower - known["ci"]["lower"][0]]
        assert (found["low"], found["high"]) == pytest.approx((lower - reach[0], upper + reach[1]), abs=1e-9)
    assert robustness(ours, level=0.95)[0] == pytest.approx(known["rv"][0], abs=2e-4)  # of a minimiser there


@pytest.mark.parametrize("estimand", ["att", "ate"])
def test_the_errors_of_the_ends_are_those_of_a_jackknife(estimand):
    """Those of DoubleML are not: see above; and of the treated, it takes their share as known."""
    parts = random_nuisances(4, 200)
    names = ("chance", "without", "with_it")
    strength = np.sqrt(0.1 * 0.1 / 0.9)

    def ends(kept):
        outcome, treated, *rest = (one[kept] for one in parts)
        found = score(outcome, treated, **dict(zip(names, rest)), estimand=estimand)
        return found.estimate + strength * found.bias * np.array([-1, 1])

    left = np.array([ends(np.arange(200) != one) for one in range(200)])
    known = np.sqrt(((left - left.mean(axis=0)) ** 2).sum(axis=0))
    ours = score(*parts[:2], **dict(zip(names, parts[2:])), estimand=estimand)
    found = bounds(ours, outcome_share=0.1, treatment_share=0.1, level=0.95)
    errors = (
        np.array([found["estimate_low"] - found["low"], found["high"] - found["estimate_high"]]) / 1.959963984540054
    )
    assert abs(known[1] - known[0]) > 0.05 * known[0]
    np.testing.assert_allclose(errors, known, rtol=0.03)


def test_a_benchmark_is_as_strong_as_doubleml_says():
    long, short = random_nuisances(1), list(random_nuisances(1))
    short[2], short[3], short[4] = np.full(300, long[1].mean()), long[3] * 0.5, long[4] * 0.5
    models = [of_doubleml(*one, "ate") for one in (long, short)]
    known = doubleml.utils.gain_statistics(*models)
    ours = [
        score(one[0], one[1], chance=one[2], without=one[3], with_it=one[4], estimand="ate") for one in (long, short)
    ]
    assert gains(*ours) == pytest.approx((known["cf_y"][0], min(known["cf_d"][0], 0.999)), abs=1e-9)


def test_a_confounder_as_strong_as_the_robustness_value_undoes_the_estimate_and_the_interval():
    told = told_of(world(2)[0], estimand="ate")
    assert 0 < told.robustness_value_interval < told.robustness_value < 1
    outcome, treated, chance, without, with_it = random_nuisances(2)
    for lifted, end in ((5, "low"), (-5, "high")):
        parts = {"chance": chance, "without": without, "with_it": with_it}
        ours = score(outcome + lifted * treated, treated, **parts, estimand="ate")
        for value, name in zip(robustness(ours, level=0.9), (f"estimate_{end}", end)):
            at = bounds(ours, outcome_share=value, treatment_share=value, level=0.9)
            assert at[name] == pytest.approx(0, abs=1e-9)


def test_it_comes_near_the_truth_where_the_naive_difference_does_not():
    frame, chance, gain = world(14, 4_000)
    for estimand, truth in (("att", (chance * gain).sum() / chance.sum()), ("ate", gain.mean())):
        told = told_of(frame, estimand=estimand, benchmarks=["pre_orders"])
        ours, naive = row_of(told), row_of(told, 1)
        assert ours["low"] < truth < ours["high"]
        assert naive["low"] > truth + 0.5
        assert ours["n"] == naive["n"] == 4_000
        shares = told.sensitivity.rows_by_key("confounder", named=True, unique=True)
        strong = shares["as strong as pre_orders"]
        assert strong["outcome_share"] > 0.3
        assert strong["estimate_low"] < 0 < strong["estimate_high"]
        assert shares["1 % of each"]["low"] < ours["low"]


def test_a_confounder_that_nobody_measured_misleads_it_too_and_stays_within_the_bounds_of_its_strength():
    frame, chance, gain = world(4, 4_000, hidden=True)
    told = told_of(frame)
    truth = (chance * gain).sum() / chance.sum()
    assert row_of(told)["low"] > truth + 0.3
    assert told.sensitivity.filter(confounder="1 % of each")["low"].item() > truth


def test_in_the_simulated_shop_it_stands_beside_the_truth_in_the_ledger():
    shop = simulate.shop(n_customers=4_000, days=240, rng=3, experiment=simulate.Experiment())
    frame = outcomes(shop.events, shop.assignments, as_of="2026-01-01", window_days=90, metrics=["orders", "watches"])
    seen = frame.table.filter(arm="treatment")
    names = [name for name in seen.columns if name.startswith("pre_")]
    told = told_of(seen, covariates=names, contrast="treatment - control", horizon_days=90)
    both = ledger(told.estimates, truth=shop.truth.estimates).table
    assert both["truth"].null_count() == 0
    assert both["estimand"].unique().to_list() == ["per exposed customer"]


def test_rows_names_and_currency_do_not_decide():
    frame = world(5)[0]
    expected = told_of(frame, benchmarks="pre_watch")
    moved = frame.with_columns(
        pl.format("c{}", 5_000 - pl.col("customer_id")).alias("customer_id"), orders=1e9 + 1_000 * pl.col("orders")
    ).sample(fraction=1, shuffle=True, seed=1)
    told = told_of(moved, benchmarks="pre_watch")
    for name in ("estimate", "standard_error", "low"):
        assert row_of(told)[name] == pytest.approx(1_000 * row_of(expected)[name], rel=1e-4)
    assert told.robustness_value == pytest.approx(expected.robustness_value, rel=1e-3)


def test_where_nobody_is_alike_it_is_refused_and_trimming_has_another_name():
    frame = world(6, 2_000, push=4.0)[0]
    told = told_of(frame)
    assert row_of(told)["verdict"] == "refused"
    assert (
        "customers have a propensity above 0.98, so hardly anybody of the other group is like" in row_of(told)["reason"]
    )
    assert row_of(told, 1)["verdict"] == "ok"
    assert told.robustness_value is None
    assert told.sensitivity.is_empty()
    assert told.overlap["n_treated"].sum() == frame["exposed"].sum()
    trimmed = row_of(told_of(frame, trim=True))
    assert trimmed["verdict"] == "ok"
    assert trimmed["estimand"] == "per exposed customer with overlap"
    assert trimmed["n"] < 2_000
    assert "beyond 0.02 to 0.98" in row_of(told_of(frame, estimand="ate"))["reason"]


@pytest.mark.parametrize("estimand", ["att", "ate"])
@pytest.mark.parametrize("n", [200, 600])
def test_what_all_but_says_who_had_it_leaves_nobody_alike_though_trees_shrink(estimand, n):
    frame = world(1, n)[0].with_columns(pre_watch=pl.col("exposed").cast(float))
    told = row_of(told_of(frame, estimand=estimand))
    assert told["verdict"] == "refused"
    assert "weighted to stand for the others, add up to 0." in told["reason"]


def test_columns_may_be_called_arm_or_customer_id():
    frame = world(3, 400)[0]
    told = row_of(told_of(frame, covariates=["pre_orders", "pre_watch"]))
    renamed = frame.rename({"customer_id": "arm", "pre_orders": "customer_id"})
    other = row_of(told_of(renamed, id="arm", covariates=["customer_id", "pre_watch"]))
    swapped = frame.rename({"pre_watch": "arm"})
    third = row_of(told_of(swapped, covariates=["pre_orders", "arm"]))
    for one in (other, third):
        assert one["verdict"] == "ok"
        assert one["estimate"] == pytest.approx(told["estimate"], abs=0.15)  # trees may split columns in another order


def test_few_customers_or_what_they_are_worth_are_refused():
    frame = world(7, 300)[0]
    few = told_of(pl.concat([frame.filter("exposed"), frame.filter(~pl.col("exposed")).head(40)]))
    assert row_of(few)["reason"] == "only 40 customers without it; 50 are needed."
    whole = told_of(world(7, 600)[0])
    assert few.sensitivity.schema == whole.sensitivity.schema
    assert few.overlap.schema == whole.overlap.schema
    assert "alike, the customers of one group are worth only" in row_of(told_of(world(0, 260, push=2.8)[0]))["reason"]


def test_a_few_customers_beyond_the_edge_are_told():
    frame = world(1, 4_000, push=2.0)[0]
    row = row_of(told_of(frame))
    assert row["verdict"] == "ok"
    assert "with a propensity above 0.98 weigh as if on that edge" in row["reason"]


def test_missing_numbers_and_text_are_read():
    frame = world(10)[0].with_columns(
        pre_orders=pl.when(pl.col("customer_id") % 5 > 0).then("pre_orders"),
        pre_source=pl.when(pl.col("customer_id") % 7 > 0).then("pre_source"),
    )
    assert row_of(told_of(frame))["verdict"] == "ok"


def test_it_reads_well_in_a_notebook():
    told = told_of(world(11)[0])
    assert "exposed - not, doubly robust, lines and boosted trees, 5 folds: " in repr(told)
    assert "would undo the estimate" in repr(told)
    assert "A hidden confounder at worst" in told._repr_html_()
    refused = told_of(world(12, 200)[0].with_columns(exposed=pl.col("customer_id") < 9))
    assert "refused, so there is nothing to doubt" in refused._repr_html_()


BAD = {
    "a column missing": ({}, {"outcome": "sales"}, ContractError, "'sales' missing. It has: customer_id"),
    "two roles": (
        {},
        {"covariates": ["orders", "pre_orders"]},
        ValueError,
        "'orders' cannot be id, treatment, outcome",
    ),
    "no covariates": ({}, {"covariates": []}, ValueError, "covariates is empty"),
    "covariates as a number": ({}, {"covariates": 3}, TypeError, "covariates is 3; it must be text"),
    "a benchmark unknown": ({}, {"benchmarks": "x"}, ValueError, "benchmarks has 'x'; it must be one of several"),
    "the only covariate": (
        {},
        {"covariates": "pre_orders", "benchmarks": "pre_orders"},
        ValueError,
        "must be one of several covariates: pre_orders",
    ),
    "customers twice": ({"customer_id": pl.lit(1)}, {}, ContractError, "null or repeated in 1,000 rows"),
    "shares as treatment": ({"exposed": pl.lit(0.3)}, {}, ContractError, "'exposed' must be true or false"),
    "words as treatment": ({"exposed": pl.lit("yes")}, {}, ContractError, "'exposed' must be true or false"),
    "nobody knows who": ({"exposed": pl.lit(None, pl.Boolean)}, {}, ContractError, "'exposed' must be true or false"),
    "words as outcome": ({"orders": pl.lit("9")}, {}, ContractError, "outcome 'orders' is String"),
    "no outcome": ({"orders": pl.lit(float("nan"))}, {}, ContractError, "null, NaN or infinite in 1,000 of 1,000 rows"),
    "endless covariates": ({"pre_watch": pl.lit(float("inf"))}, {}, ContractError, "'pre_watch' has 1,000 infinite"),
    "a constant": ({"pre_watch": pl.lit(1.0)}, {}, ContractError, "'pre_watch' is always 1"),
    "an estimand unknown": ({}, {"estimand": "late"}, ValueError, "estimand is 'late'; it must be one of 'att', 'ate'"),
    "one fold": ({}, {"folds": 1}, ValueError, "folds is 1; it must be a whole number >= 2"),
    "a level of 95": ({}, {"level": 95}, ValueError, "level is 95"),
    "1,000 folds": ({}, {"folds": 1_000}, ValueError, "folds is 1000; each must hold customers of both groups"),
    "days below zero": ({}, {"horizon_days": -3}, ValueError, "horizon_days is -3"),
    "all had it": ({"exposed": pl.lit(True)}, {}, ContractError, "'exposed' is the same in all 1,000 rows"),
    "all bought one": ({"orders": pl.lit(1)}, {}, ContractError, "'orders' is the same in all 1,000 rows"),
    "no threads": ({}, {"nthread": 0}, ValueError, "nthread is 0"),
}


@pytest.mark.parametrize(("change", "options", "error", "message"), BAD.values(), ids=BAD)
def test_what_cannot_be_answered_is_an_error_that_says_the_mend(change, options, error, message):
    with pytest.raises(error, match=message):
        told_of(world(13)[0].with_columns(**change), **options)


@pytest.mark.certify
@pytest.mark.parametrize(("estimand", "effect"), [("att", 0.5), ("ate", 0.0)], ids=["an effect", "none"])
def test_its_interval_covers_the_truth_that_the_naive_one_misses(certify, estimand, effect):
    _, chance, gain = world(99, 400_000, effect=effect)
    truth = float((chance * gain).sum() / chance.sum()) if estimand == "att" else effect
    naive = []

    def hits(seed):
        table = told_of(world(seed, effect=effect)[0], estimand=estimand, rng=seed, level=0.9, folds=3).estimates.table
        ours, other = ((table["low"] <= truth) & (truth <= table["high"])).to_list()
        naive.append(other)
        return [ours]

    certify(hits, level=0.9, worlds=WORLDS // 4)
    assert np.mean(naive) < 0.05
