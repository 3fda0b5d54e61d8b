"""A propensity is judged on any rows, overall and by segment: equal to the definitions, honest about few customers."""

from __future__ import annotations

from datetime import datetime, timedelta

import numpy as np
import polars as pl
import pytest
from polars.testing import assert_frame_equal
from scipy.stats import norm
from sklearn.metrics import average_precision_score, log_loss, roc_auc_score

from shoptoolkit.behaviour import IntentFit, fit_propensity
from shoptoolkit.behaviour.judge import _came_true
from shoptoolkit.behaviour.prefixes import HISTORY
from shoptoolkit.contract import ContractError, Estimates, check
from tests.conftest import WORLDS

METRICS = ["roc_auc", "average_precision", "log_loss", "observed_less_predicted", "calibration_slope"]


def world(n=150, months=6, seed=0):
    """Customers asked once a month; those of one source have mostly one row."""
    rng = np.random.default_rng(seed)
    rows = n * months
    source = np.repeat(rng.choice(["paid", "live"], n), months)
    x = rng.normal(size=rows)
    score = -0.5 + 1.2 * x - 0.7 * (source == "paid")
    at = [datetime(2025, 1, 1) + timedelta(days=30 * int(month)) for month in np.tile(np.arange(months), n)]
    frame = {"customer_id": np.repeat(np.arange(n), months), "as_of": at, "x": x, "source": source}
    return pl.DataFrame(frame | {"bought": rng.random(rows) < 1 / (1 + np.exp(-score))})


WORLD = world()
FIT = fit_propensity(WORLD, "bought", split_at="2025-04-15", rng=1, rounds=40, replicates=40)
NEW = world(seed=5)
TOLD = FIT.judge(NEW, by="source", rng=1, replicates=40)


def rows_of(group, told=TOLD):
    part = told.table.filter(pl.col("group") == group)
    return {row["metric"]: row for row in part.to_dicts()}


def test_all_rows_come_first_then_each_segment_with_the_same_measures():
    assert check(TOLD.table, Estimates).quarantined.is_empty()
    assert TOLD.table["group"].unique(maintain_order=True).to_list() == ["all", "source = live", "source = paid"]
    assert TOLD.table["metric"].to_list() == METRICS * 3
    assert TOLD.table["n"].to_list()[::5] == [len(NEW), *(NEW.filter(source=one).height for one in ("live", "paid"))]


@pytest.mark.parametrize("group", ["all", "source = paid"])
def test_every_measure_is_its_definition_on_the_rows_of_the_segment(group):
    part = NEW if group == "all" else NEW.filter(source="paid")
    outcome, chance = part["bought"].to_numpy().astype(float), FIT.predict(part)["probability"].to_numpy()
    theirs = [measure(outcome, chance) for measure in (roc_auc_score, average_precision_score, log_loss)]
    theirs += [100 * (outcome.mean() - chance.mean()), np.polyfit(chance, outcome, 1)[0]]
    assert [rows_of(group)[metric]["estimate"] for metric in METRICS] == pytest.approx(theirs, rel=1e-9)


def test_the_errors_of_calibration_are_those_of_clustered_least_squares():
    import statsmodels.api as sm

    outcome, chance = NEW["bought"].to_numpy().astype(float), FIT.predict(NEW)["probability"].to_numpy()
    how = {"cov_type": "cluster", "cov_kwds": {"groups": NEW["customer_id"].to_numpy(), "use_correction": False}}
    scale = np.sqrt(150 / 149)
    slope = sm.OLS(outcome, sm.add_constant(chance)).fit(**how)
    gap = sm.OLS(100 * (outcome - chance), np.ones(len(chance))).fit(**how)
    ours = rows_of("all")
    assert ours["calibration_slope"]["standard_error"] == pytest.approx(scale * slope.bse[1], rel=1e-9)
    assert ours["observed_less_predicted"]["standard_error"] == pytest.approx(scale * gap.bse[0], rel=1e-9)


def test_the_rows_of_the_test_part_give_the_accuracy_of_the_fit():
    late = FIT.judge(WORLD.filter(pl.col("as_of") >= datetime(2025, 4, 15)), rng=1, replicates=40)
    assert late.table["estimate"].to_list()[:3] == pytest.approx(FIT.accuracy.table["estimate"].to_list(), rel=1e-12)


def test_neither_the_order_of_rows_nor_the_names_of_customers_decide():
    renamed = NEW.with_columns(customer_id=pl.format("c{}", 1_000 - pl.col("customer_id")))
    other = FIT.judge(renamed.sample(fraction=1, shuffle=True, seed=2), by=["source"], rng=1, replicates=40)
    for name in ("estimate", "low", "high"):
        assert other.table[name].to_list() == pytest.approx(TOLD.table[name].to_list(), rel=1e-9)


@pytest.mark.certify
@pytest.mark.parametrize("n", [60, 400])
def test_true_forecasts_are_found_true_as_often_as_said(certify, n):
    """Outcomes of one customer go together, and each forecast is the chance of its own row."""

    def hits(seed):
        rng = np.random.default_rng(seed)
        customer = np.repeat(np.arange(n), rng.integers(1, 6, n))
        mean = np.repeat(rng.normal(-0.8, 0.7, n), np.bincount(customer))
        chance = norm.cdf(mean + 0.5 * rng.normal(size=len(customer)))
        shared = 0.7 * rng.normal(size=n)[customer] + np.sqrt(1 - 0.49) * rng.normal(size=len(customer))
        about = {"question": "?", "estimand": "?", "group": "all", "level": 0.9}
        told = _came_true((norm.cdf(shared) < chance).astype(float), chance, pl.Series(customer), about)
        return [row["low"] <= true <= row["high"] for row, true in zip(told, (0, 1), strict=True)]

    certify(hits, level=0.9, worlds=2 * WORLDS)


def test_a_segment_of_few_customers_is_refused_with_the_reason():
    few = NEW.with_columns(place=pl.when(pl.col("customer_id") < 12).then(pl.lit("small town")))
    told = FIT.judge(few, by="place", rng=1, replicates=40)
    assert {row["verdict"] for row in rows_of("place = small town", told).values()} == {"refused"}
    assert (
        "this part has 12 customers; an interval needs at least 20"
        in rows_of("place = small town", told)["roc_auc"]["reason"]
    )
    assert "customers: 12, needed: 20" in rows_of("place = small town", told)["calibration_slope"]["reason"]
    assert rows_of("place missing", told)["roc_auc"]["verdict"] == "ok"


def test_rows_without_a_value_are_a_segment_of_their_own_and_a_column_counts_once():
    named = NEW.with_columns(place=pl.when(pl.col("x") > 0).then(pl.lit("missing")))
    told = FIT.judge(named, by=["place", "place"], rng=1, replicates=40).table
    sizes = dict(told.filter(metric="log_loss").select("group", "n").rows())
    known = (NEW["x"] > 0).sum()
    assert sizes == {"all": len(NEW), "place = missing": known, "place missing": len(NEW) - known}
    assert len(told) == 15


def test_rows_of_one_outcome_only_are_refused_not_raised():
    told = rows_of("all", FIT.judge(NEW.filter("bought"), rng=1, replicates=40))
    assert "one class only" in told["roc_auc"]["reason"]
    assert "customers with outcome 0: 0, needed: 10" in told["observed_less_predicted"]["reason"]


def test_the_same_forecast_for_all_has_no_slope():
    about = {"question": "?", "estimand": "?", "group": "all", "level": 0.9}
    outcome = np.tile([0.0, 1.0], 30)
    gap, slope = _came_true(outcome, np.full(60, 0.4), pl.Series(np.arange(60)), about)
    assert gap["estimate"] == pytest.approx(10)
    assert "all forecasts are the same" in slope["reason"]


def test_a_session_is_judged_as_the_propensity_behind_it():
    intent = IntentFit(propensity=FIT, gap_minutes=30.0, spec=HISTORY, by_rows=FIT.accuracy)
    assert intent.features == FIT.features
    assert_frame_equal(intent.judge(NEW, by="source", rng=1, replicates=40).table, TOLD.table)
    assert ("model", "session", "30 minutes of silence end it") in intent.facts(WORLD, NEW)


def test_the_facts_tell_window_sizes_and_what_was_left_out():
    told = {(section, item): text for section, item, text in FIT.facts(WORLD, NEW.filter(source="paid"))}
    assert told["data", "training window"] == "2025-01-01 to 2025-05-31"
    assert told["sample", "training"] == "900 rows of 150 customers"
    paid = NEW.filter(source="paid")["customer_id"].n_unique()
    assert told["sample", "customers in both"] == f"{paid:,} of the {paid:,} test customers"
    assert told["sample", "training, outcome"] == f"'bought' in {100 * WORLD['bought'].mean():.1f} % of rows"
    assert told["censoring", "left out of training"].startswith("0 rows")
    assert FIT.facts(WORLD.drop("customer_id", "as_of"), NEW)[0] == ("sample", "training", "900 rows")


@pytest.mark.parametrize(
    ("frame", "options", "message"),
    [
        (NEW.drop("bought"), {}, "judge: 'bought' missing. The frame has: customer_id, as_of, x, source."),
        (NEW.clear(), {}, "judge: the frame has 0 rows"),
        (NEW.with_columns(customer_id=None), {}, "judge: 'customer_id' is null in 900 rows"),
        (NEW.with_columns(shop=pl.lit([1])), {"by": "shop"}, "by is 'shop', which holds List"),
        (NEW, {"by": "shop"}, "by is 'shop', which is missing"),
        (NEW, {"by": "customer_id"}, "by is 'customer_id', with 150 values, more than 50"),
        (NEW.with_columns(bought=pl.lit(2)), {}, "neither 0 nor 1 in 900 rows"),
        (NEW.drop("x"), {}, "'x' is missing"),
    ],
)
def test_a_frame_that_cannot_be_judged_is_told_so(frame, options, message):
    with pytest.raises(ContractError, match=message):
        FIT.judge(frame, rng=1, replicates=40, **options)


@pytest.mark.parametrize(
    ("options", "error", "message"),
    [
        ({"level": 95}, ValueError, "level is 95"),
        ({"replicates": 10}, ValueError, "replicates is 10; it must be a whole number >= 40"),
        ({"by": 3}, TypeError, "by is 3; it must be text"),
    ],
)
def test_an_argument_out_of_range_is_told_so(options, error, message):
    with pytest.raises(error, match=message):
        FIT.judge(NEW, rng=1, **options)
