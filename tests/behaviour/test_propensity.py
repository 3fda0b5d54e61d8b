"""A propensity is judged on later rows only, says how sure it is, survives the disk, and refuses what it cannot use."""

from __future__ import annotations

import json
import shutil
import warnings
from datetime import date, datetime, timedelta

import numpy as np
import polars as pl
import pytest
from scipy.stats import binomtest
from sklearn.isotonic import IsotonicRegression
from sklearn.metrics import average_precision_score, log_loss, roc_auc_score

import shoptoolkit
from shoptoolkit.behaviour import PropensityFit, fit_propensity, load_propensity
from shoptoolkit.behaviour.accuracy import accuracy, measures, reliability, single_auc
from shoptoolkit.contract import ContractError, Estimates, check

SPLIT = "2025-05-15"
START = datetime(2025, 1, 1)


def world(n=400, months=7, seed=0):
    """Customers asked once a month: days since their last order, orders, mail opened, source, and pure noise."""
    rng = np.random.default_rng(seed)
    rows = n * months
    month = np.tile(np.arange(months), n)
    source = np.repeat(rng.choice(["organic", "paid", "search"], n), months)
    days, orders, opened = rng.exponential(30, rows), rng.poisson(2, rows), rng.random(rows) < 0.4
    score = -1 - 0.03 * days + 0.5 * orders + 0.8 * opened - 0.9 * (source == "paid")
    return pl.DataFrame(
        {
            "customer_id": np.repeat(np.arange(n), months),
            "as_of": [START + timedelta(days=30 * int(one)) for one in month],
            "days_since": np.where(rng.random(rows) < 0.05, np.nan, days),
            "orders": orders,
            "opened": opened,
            "source": source,
            "noise": rng.normal(size=rows),
            "bought": rng.random(rows) < 1 / (1 + np.exp(-score)),
        }
    )


def fit(frame, outcome="bought", **options):
    return fit_propensity(frame, outcome, **{"split_at": SPLIT, "rng": 1, "rounds": 60, "replicates": 60, **options})


WORLD = world()
FIT = fit(WORLD)
TEST = WORLD.filter(pl.col("as_of") >= datetime(2025, 5, 15))


def chance(one, frame=WORLD):
    return one.predict(frame)["probability"]


# ---- what it says ---------------------------------------------------------------------------------------------------


def test_the_probability_of_each_row_stands_beside_its_customer_and_moment():
    shuffled = TEST.sample(fraction=1, shuffle=True, seed=3)
    told = FIT.predict(shuffled)
    assert told.columns == ["customer_id", "as_of", "probability"]
    assert told.select("customer_id", "as_of").equals(shuffled.select("customer_id", "as_of"))
    assert told["probability"].is_between(0, 1).all()
    alone = FIT.predict(shuffled.select(FIT.features))
    assert alone.columns == ["probability"]
    assert alone["probability"].equals(told["probability"])


def test_an_empty_frame_gets_an_empty_answer():
    assert FIT.predict(WORLD.clear()).shape == (0, 3)


def test_buyers_get_higher_chances_than_the_others():
    row = FIT.accuracy.table.filter(pl.col("metric") == "roc_auc").row(0, named=True)
    assert row["low"] > 0.65
    assert row["low"] <= row["estimate"] <= row["high"]
    shares = FIT.reliability
    assert shares["mean_predicted"].is_sorted()
    assert (shares["low"] <= shares["mean_predicted"]).sum() >= 8


def test_the_accuracy_is_estimates_on_the_test_part_alone():
    table = FIT.accuracy.table
    assert check(table, Estimates).quarantined.is_empty()
    assert table["metric"].to_list() == ["roc_auc", "average_precision", "log_loss"]
    assert set(table["n"]) == {len(TEST)}
    truth, told = TEST["bought"], chance(FIT, TEST)
    known = [roc_auc_score(truth, told), average_precision_score(truth, told), log_loss(truth, told)]
    np.testing.assert_allclose(table["estimate"], known, rtol=1e-12)
    assert "60 replicates" in table["method"][0]


def test_the_parts_account_for_every_row_in_the_order_of_time():
    parts = FIT.parts
    assert parts["part"].to_list() == ["trees", "validation", "test", "left out"]
    assert parts["n"].sum() == len(WORLD)
    trees, validation, test, _ = parts.to_dicts()
    assert trees["last"] < validation["first"] <= validation["last"] < datetime(2025, 5, 15) <= test["first"]
    assert FIT.validation == "rows from 2025-05-01 on"
    assert FIT.n_shared_customers == 400
    assert "400 of 400 test customers also have rows in training" in repr(FIT)
    assert "also have rows in training" in FIT._repr_html_()
    assert "roc_auc: " in repr(FIT.accuracy)


def test_features_are_named_with_their_types():
    assert FIT.features == ("days_since", "noise", "opened", "orders", "source")
    assert FIT.dtypes["opened"] == "Boolean"
    assert 1 <= FIT.rounds <= 60
    assert FIT.booster.num_features() == 5


def test_any_frame_with_the_arrow_interface_is_taken():
    told = fit(WORLD.to_pandas())
    assert chance(told).equals(chance(FIT))
    assert chance(FIT, TEST.to_pandas()).equals(chance(FIT, TEST))
    assert chance(FIT, TEST.lazy()).equals(chance(FIT, TEST))


# ---- the split in time ----------------------------------------------------------------------------------------------


def test_the_future_changes_nothing():
    """Whatever happens from split_at on, features or outcomes, leaves the trees as they are."""
    later = pl.col("as_of") >= datetime(2025, 5, 15)
    leak = pl.when(later).then(pl.col("bought").cast(pl.Float64) * 9).otherwise("noise").alias("noise")
    changed = fit(WORLD.with_columns(leak))
    before = WORLD.filter(~later)
    assert chance(changed, before).equals(chance(FIT, before))
    flipped = fit(WORLD.with_columns(bought=pl.col("bought") ^ later))
    assert chance(flipped).equals(chance(FIT))


def test_a_feature_that_exists_only_in_the_future_is_refused_as_constant():
    later = pl.when(pl.col("as_of") >= datetime(2025, 5, 15)).then(pl.col("bought").cast(pl.Int8)).otherwise(0)
    with pytest.raises(ContractError, match="'leak' is always 0 in the training part"):
        fit(WORLD.with_columns(leak=later))


def test_rows_whose_outcome_was_not_known_at_the_split_are_left_out():
    held = fit(WORLD, outcome_days=30)
    assert dict(held.parts.select("part", "n").rows())["left out"] == 400
    assert held.parts["last"][1] + timedelta(days=30) <= datetime(2025, 5, 15)
    early = pl.col("as_of").is_between(datetime(2025, 4, 16), datetime(2025, 5, 14))
    assert chance(fit(WORLD.with_columns(bought=pl.col("bought") ^ early), outcome_days=30)).equals(chance(held))


def test_an_outcome_known_at_the_very_split_trains():
    first = fit(WORLD, outcome_days=14)  # asked on 1 May, known on 15 May
    assert first.parts["n"].to_list() == FIT.parts["n"].to_list()


def test_customers_on_both_sides_of_the_split_are_counted():
    """The first 30 were asked shortly before the split only: in the validation part, or left out."""
    late = pl.col("customer_id") < 30
    frame = WORLD.filter(~late | (pl.col("as_of") >= datetime(2025, 5, 1)))
    assert fit(frame).n_shared_customers == 400
    assert fit(frame, outcome_days=20).n_shared_customers == 370


def test_with_one_moment_before_the_split_customers_are_held_out():
    frame = WORLD.filter(pl.col("as_of").is_in([START, START + timedelta(days=180)]))
    told = fit(frame, validation_share=0.25)
    assert "25 % of the customers" in told.validation
    assert dict(told.parts.select("part", "n_customers").rows())["validation"] == 100


@pytest.mark.parametrize("moment", [date(2025, 5, 15), datetime(2025, 5, 15), "2025-05-15T00:00"])
def test_the_split_may_be_a_date_a_moment_or_text(moment):
    assert fit(WORLD, split_at=moment).split_at == datetime(2025, 5, 15)


def test_dates_and_other_names_do_as_well():
    renamed = WORLD.rename({"customer_id": "user", "as_of": "day"}).with_columns(pl.col("day").cast(pl.Date))
    told = fit(renamed, id="user", time="day")
    assert told.predict(renamed).columns == ["user", "day", "probability"]
    assert chance(told, renamed).equals(chance(FIT))


# ---- what does not matter -------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "change",
    [
        lambda frame: frame.sample(fraction=1, shuffle=True, seed=5),
        lambda frame: frame.select(reversed(frame.columns)),
        lambda frame: frame.with_columns(pl.format("c{}", 9_999 - pl.col("customer_id")).alias("customer_id")),
        lambda frame: frame.with_columns(pl.col("source").cast(pl.Enum(["organic", "paid", "search"]))),
        lambda frame: frame.with_columns(pl.col("source").cast(pl.Categorical), pl.col("bought").cast(pl.Int8)),
        lambda frame: frame.with_columns(pl.col("days_since").fill_nan(None)),
    ],
    ids=["rows", "columns", "names of customers", "enum", "categorical", "null for nan"],
)
@pytest.mark.parametrize("calibration", ["none", "isotonic"])
def test_the_same_facts_give_the_same_answer(change, calibration):
    known = FIT if calibration == "none" else fit(WORLD, calibration=calibration)
    told = fit(change(WORLD), calibration=calibration)
    assert chance(told).equals(chance(known))
    numbers = ["estimate"] if told.accuracy.table["low"][0] != known.accuracy.table["low"][0] else ["low", "high"]
    np.testing.assert_allclose(told.accuracy.table[numbers], known.accuracy.table[numbers], rtol=1e-12)


def test_a_shifted_calendar_shifts_nothing_else():
    later = WORLD.with_columns(pl.col("as_of") + timedelta(days=1_000))
    told = fit(later, split_at=datetime(2025, 5, 15) + timedelta(days=1_000))
    assert chance(told).equals(chance(FIT))


def test_threads_and_repetition_change_nothing_and_the_seed_does():
    assert chance(fit(WORLD, nthread=1)).equals(chance(FIT))
    assert not chance(fit(WORLD, rng=2)).equals(chance(FIT))
    assert chance(fit(WORLD, rng=np.random.default_rng(1))).equals(chance(FIT))


def test_the_given_frame_is_left_alone():
    before = WORLD.clone()
    fit(WORLD)
    FIT.predict(WORLD)
    assert WORLD.equals(before)


# ---- missing values and new categories ------------------------------------------------------------------------------


def test_new_categories_count_as_missing_and_are_counted():
    new = TEST.with_columns(source=pl.when(pl.int_range(pl.len()) < 3).then(pl.lit("tv")).otherwise("source"))
    with pytest.warns(
        UserWarning, match=r"3 rows have a category of 'source' .* \(e\.g\. 'tv'\); they count as missing"
    ):
        told = chance(FIT, new)
    missing = TEST.with_columns(source=pl.when(pl.int_range(pl.len()) < 3).then(None).otherwise("source"))
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert told.equals(chance(FIT, missing))
    assert FIT.unseen_categories(new).rows() == [("source", "tv", 3)]
    assert FIT.unseen_categories(TEST).is_empty()
    two = TEST.with_columns(source=pl.when(pl.int_range(pl.len()) < 3).then(pl.lit("z")).otherwise(pl.lit("tv")))
    assert FIT.unseen_categories(two).rows() == [("source", "tv", len(TEST) - 3), ("source", "z", 3)], "most first"


@pytest.mark.parametrize("name", ["count", "rows", "category", "feature", "len", "price [GBP] < 3", "outcome", "group"])
def test_a_feature_may_have_any_name(name, tmp_path):
    frame = WORLD.rename({"source": name})
    told = load_propensity(fit(frame).save(tmp_path))
    assert sorted(told.features) == sorted({*FIT.features, name} - {"source"})
    with pytest.warns(UserWarning, match="that training has not seen"):
        told.predict(frame.with_columns(pl.lit("tv").alias(name)))
    assert told.unseen_categories(frame.with_columns(pl.lit("tv").alias(name))).rows() == [(name, "tv", len(WORLD))]


def test_a_category_that_comes_up_after_the_split_warns_at_once():
    new = WORLD.with_columns(
        source=pl.when(pl.col("as_of") > datetime(2025, 6, 1)).then(pl.lit("live")).otherwise("source")
    )
    with pytest.warns(UserWarning, match="category of 'source' that training has not seen"):
        fit(new)


def test_a_column_without_values_is_missing_everywhere():
    told = FIT.predict(TEST.with_columns(pl.lit(None).alias(name) for name in FIT.features))
    assert told["probability"].n_unique() == 1


# ---- calibration ----------------------------------------------------------------------------------------------------


def test_isotonic_is_scikit_learns_on_the_validation_part_kept_off_certainty():
    told = fit(WORLD, calibration="isotonic")
    held = WORLD.filter((pl.col("as_of") >= datetime(2025, 5, 1)) & (pl.col("as_of") < datetime(2025, 5, 15)))
    known = IsotonicRegression(out_of_bounds="clip").fit(chance(FIT, held), held["bought"])
    least = 1 / (len(held) + 2)
    kept = np.clip(known.y_thresholds_, least, 1 - least)
    np.testing.assert_allclose(chance(told), np.interp(chance(FIT), known.X_thresholds_, kept), atol=1e-12)
    assert chance(told).is_between(least, 1 - least).all()
    assert np.array_equal(told.margin(WORLD), FIT.margin(WORLD)), "the trees are the same"


def test_calibration_mends_a_score_that_is_off():
    rng = np.random.default_rng(2)
    rows, month = 6_000, np.repeat(np.arange(6), 1_000)
    x = rng.normal(size=rows)
    frame = pl.DataFrame(
        {
            "customer_id": np.arange(rows),
            "as_of": [START + timedelta(days=30 * int(one)) for one in month],
            "x": x,
            "bought": rng.random(rows) < 1 / (1 + np.exp(-2 * x - np.where(month >= 3, 1.5, 0))),  # a new, better trade
        }
    )
    options = {"split_at": "2025-05-15", "validation_share": 0.3, "rounds": 40}
    plain, mended = fit(frame, **options), fit(frame, calibration="isotonic", **options)
    assert mended.accuracy.table["estimate"][2] < plain.accuracy.table["estimate"][2]


# ---- the measures ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("seed", range(20))
def test_measures_are_those_of_scikit_learn(seed):
    rng = np.random.default_rng(seed)
    n = int(rng.integers(5, 80))
    outcome = np.append(rng.random(n) < rng.uniform(0.1, 0.9), [True, False]).astype(float)
    told = np.round(rng.random(n + 2), int(rng.integers(1, 4)))  # ties
    weights = np.vstack([np.ones(n + 2), rng.integers(0, 4, (3, n + 2)) + np.eye(n + 2)[-2:].sum(axis=0)])
    for row, one in zip(measures(outcome, told, weights.astype(float)), weights, strict=True):
        known = [roc_auc_score, average_precision_score, log_loss]
        np.testing.assert_allclose(row, [name(outcome, told, sample_weight=one) for name in known], rtol=1e-10)


def test_measures_of_one_class_are_not_numbers():
    told = measures(np.array([1.0, 1.0, 0.0]), np.array([0.2, 0.4, 0.3]), np.array([[1.0, 1, 0], [0, 0, 2], [1, 0, 1]]))
    assert np.isnan(told[:2, :2]).all()
    assert np.isfinite(told[:, 2]).all()
    assert np.isfinite(told[2]).all()


def test_a_single_feature_is_ranked_in_both_directions_with_gaps_at_either_end():
    rng = np.random.default_rng(0)
    outcome = (rng.random(300) < 0.4).astype(float)
    x = np.round(rng.normal(size=300) - outcome, 1)
    known = roc_auc_score(outcome, x)
    told = single_auc(pl.DataFrame({"x": x, "minus": -x, "gap": [None if one else 1.0 for one in outcome]}), outcome)
    assert told["x"] == pytest.approx(1 - known, abs=1e-12)
    assert told["minus"] == pytest.approx(1 - known, abs=1e-12)
    assert told["gap"] == 1


def judged(outcome, told, customer, **options):
    options = {"level": 0.95, "replicates": 200, "rng": np.random.default_rng(0), **options}
    words = {"question": "q", "estimand": "e"}
    return accuracy(np.asarray(outcome, float), np.asarray(told), np.asarray(customer), **options, **words).table


def clustered(rng, customers, rows=4):
    """Rows of a customer share taste and score error, so they are far from independent."""
    taste = np.repeat(rng.normal(size=customers), rows)
    blur = np.repeat(rng.normal(size=customers), rows)
    told = 1 / (1 + np.exp(-taste - 0.7 * blur))
    return (rng.random(len(taste)) < 1 / (1 + np.exp(-1.5 * taste))).astype(float), told, np.arange(len(taste)) // rows


def test_intervals_over_customers_cover_the_truth_about_as_often_as_they_say():
    outcome, told, _ = clustered(np.random.default_rng(99), 200_000)
    truth = measures(outcome, told, np.ones((1, len(outcome))))[0]
    rng, runs = np.random.default_rng(4), 200
    tables = [judged(*clustered(rng, 120), rng=rng) for _ in range(runs)]
    low, high = (np.array([one[name].to_numpy() for one in tables]) for name in ("low", "high"))
    inside = ((low <= truth) & (truth <= high)).mean(axis=0)
    assert (inside >= 0.89).all(), inside  # 0.95 less four Monte-Carlo errors
    assert (inside <= 0.995).all(), inside


def test_rows_of_one_customer_count_as_one_draw():
    rng = np.random.default_rng(5)
    outcome, told, customer = clustered(rng, 400)
    right, naive = (judged(outcome, told, one)["standard_error"] for one in (customer, np.arange(len(told))))
    assert (right > 1.08 * naive).all()


def test_a_fit_draws_customers_not_rows():
    """Every test row four times over tells nothing new of its customer: the same intervals."""
    later = pl.col("as_of") >= datetime(2025, 5, 15)
    often = fit(pl.concat([WORLD, *[WORLD.filter(later)] * 3]))
    for name in ("estimate", "standard_error", "low", "high"):
        np.testing.assert_allclose(often.accuracy.table[name], FIT.accuracy.table[name], rtol=1e-9)
    assert "new draws of 400 customers" in often.accuracy.table["estimand"][0]


@pytest.mark.parametrize("customers", [1, 19])
def test_a_handful_of_customers_gives_no_interval(customers):
    """One customer drawn again and again is always the same: an interval without width."""
    table = fit(WORLD.with_columns(customer_id=pl.col("customer_id") % customers)).accuracy.table
    assert set(table["verdict"]) == {"refused"}
    assert f"the test part has {customers} customers; an interval needs at least 20. Choose" in table["reason"][0]


def test_blocks_of_replicates_change_nothing(monkeypatch):
    from shoptoolkit.behaviour import accuracy as module

    outcome, told, customer = clustered(np.random.default_rng(1), 60)
    whole = judged(outcome, told, customer)
    monkeypatch.setattr(module, "_CELLS", 1)
    assert judged(outcome, told, customer)["low"].to_list() == pytest.approx(whole["low"].to_list(), rel=1e-12)


def test_too_few_customers_of_a_class_give_no_number():
    table = judged([1.0] + [0.0] * 30, np.linspace(0.9, 0.1, 31), range(31))
    assert table["verdict"].to_list() == ["refused", "refused", "ok"]
    assert "too few customers of one class in the test part" in table["reason"][0]


def test_a_wider_level_gives_a_wider_interval():
    data = clustered(np.random.default_rng(1), 60)
    narrow, wide = judged(*data, level=0.8), judged(*data, level=0.99, replicates=400)
    assert (wide["high"] - wide["low"] > narrow["high"] - narrow["low"]).all()


def test_reliability_is_wilsons_interval_by_bin():
    rng = np.random.default_rng(0)
    told = rng.random(1_000)
    outcome = (rng.random(1_000) < told).astype(float)
    table = reliability(outcome, told, np.arange(1_000), level=0.9)
    assert table["bin"].to_list() == list(range(1, 11))
    assert table["n"].to_list() == [100] * 10
    for row in table.to_dicts():
        known = binomtest(round(row["observed"] * row["n"]), row["n"]).proportion_ci(0.9, method="wilson")
        assert (row["low"], row["high"]) == pytest.approx((known.low, known.high), abs=1e-12)


def test_reliability_of_customers_with_many_equal_rows_counts_customers():
    rng = np.random.default_rng(0)
    told = rng.random(400)
    outcome = (rng.random(400) < told).astype(float)
    once = reliability(outcome, told, np.arange(400), level=0.95)
    often = reliability(np.repeat(outcome, 5), np.repeat(told, 5), np.repeat(np.arange(400), 5), level=0.95)
    assert (often["n"] == 5 * once["n"]).all()
    width = (often["high"] - often["low"]) / (once["high"] - once["low"])
    assert width.min() == pytest.approx(1, abs=0.02)
    assert width.max() == pytest.approx(1, abs=0.02)


def test_one_score_for_all_is_one_bin():
    table = reliability(np.array([0.0, 1, 1, 0]), np.full(4, 0.5), np.array([0, 0, 1, 1]), level=0.95)
    assert table.select("bin", "n", "observed").rows() == [(1, 4, 0.5)]


# ---- on disk --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("calibration", ["none", "isotonic"])
def test_a_saved_fit_comes_back_bit_for_bit(calibration, tmp_path):
    known = fit(WORLD, calibration=calibration)
    told = load_propensity(known.save(tmp_path / "a" / "fit"))
    assert isinstance(told, PropensityFit)
    assert chance(told).equals(chance(known))
    assert np.array_equal(told.margin(WORLD), known.margin(WORLD))
    for name in ("accuracy", "reliability", "parts"):
        ours, theirs = (getattr(one, name) for one in (told, known))
        assert getattr(ours, "table", ours).equals(getattr(theirs, "table", theirs))
    assert repr(told) == repr(known)
    assert told.split_at == known.split_at
    assert sorted(path.name for path in (tmp_path / "a" / "fit").iterdir()) == ["fit.json", "model.json"]
    again = load_propensity(told.save(tmp_path / "b"))
    assert chance(again).equals(chance(known))
    assert (tmp_path / "b" / "fit.json").read_bytes() == (tmp_path / "a" / "fit" / "fit.json").read_bytes()


def test_a_loaded_fit_checks_frames_as_the_first_one_did(tmp_path):
    with pytest.raises(ContractError, match="'noise' is missing"):
        load_propensity(FIT.save(tmp_path)).predict(TEST.drop("noise"))


def spoil(folder, **entries):
    found = json.loads((folder / "fit.json").read_text())
    for name, value in entries.items():
        found.pop(name) if value is None else found.update({name: value})
    (folder / "fit.json").write_text(json.dumps(found))


def test_all_faults_of_the_files_are_told_together(tmp_path):
    FIT.save(tmp_path)
    spoil(tmp_path, format=9, kinds=None, level="high")
    model = json.loads((tmp_path / "model.json").read_text())
    (tmp_path / "model.json").write_text(json.dumps(model, indent=1))
    told = "(?s)'kinds' is missing.*'level' is str, must be float.*'format' is 9, must be 1.*model.json is not the one"
    with pytest.raises(ValueError, match=told):
        load_propensity(tmp_path)


def test_absent_and_unreadable_files_are_named(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"has no fit\.json and no model\.json; a fit is made by"):
        load_propensity(tmp_path)
    FIT.save(tmp_path)
    (tmp_path / "fit.json").write_text("{")
    with pytest.raises(ValueError, match=r"fit\.json is not JSON"):
        load_propensity(tmp_path)
    (tmp_path / "fit.json").write_text("[]")
    with pytest.raises(ValueError, match="'format' is missing"):
        load_propensity(tmp_path)


KINDS, CODES = dict(FIT.encoder.kinds), dict(FIT.encoder.categories)
OTHER_SCHEMAS = {
    "other features": {"kinds": {"a": "number"}, "dtypes": {"a": "Int64"}, "categories": {}},
    "features in another order": {"kinds": dict(reversed(KINDS.items()))},
    "a feature of another name": {"kinds": {name.replace("noise", "sound"): kind for name, kind in KINDS.items()}},
    "a feature of another kind": {"kinds": {**KINDS, "noise": "flag"}},
    "categories in another order": {"categories": {"source": CODES["source"][::-1]}},
    "no categories": {"categories": {}},
    "other knots": {"knots": [[0.0, 1.0], [0.0]]},
}


@pytest.mark.parametrize("entries", OTHER_SCHEMAS.values(), ids=OTHER_SCHEMAS)
def test_a_fit_of_other_features_than_its_model_is_refused(entries, tmp_path):
    """Each of these would load, and then answer something else or fail on the way."""
    FIT.save(tmp_path)
    spoil(tmp_path, **entries)
    with pytest.raises(ValueError, match=r"fit\.json was changed after it was written. Fit and save anew"):
        load_propensity(tmp_path)


def test_the_model_of_another_fit_is_refused(tmp_path):
    FIT.save(tmp_path)
    fit(WORLD.drop("noise")).booster.save_model(tmp_path / "model.json")
    with pytest.raises(ValueError, match=r"model\.json is not the one that fit\.json was written with"):
        load_propensity(tmp_path)


def test_options_may_be_numbers_of_numpy(tmp_path):
    told = fit(WORLD, nthread=np.int64(1), rounds=np.int64(20), level=np.float32(0.5), depth=np.int32(3))
    assert chance(load_propensity(told.save(tmp_path))).equals(chance(told))


def test_a_fit_of_another_version_warns(tmp_path):
    FIT.save(tmp_path)
    spoil(tmp_path, version="0.0.7")
    with pytest.warns(UserWarning, match=rf"written by shoptoolkit 0\.0\.7; this is {shoptoolkit.__version__}"):
        assert chance(load_propensity(tmp_path)).equals(chance(FIT))


def test_a_fit_is_not_saved_into_a_file(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(ValueError, match="which is a file; a fit is saved as two files in a folder"):
        FIT.save(tmp_path / "file")


def test_saving_leaves_nothing_else_in_the_folder(tmp_path):
    FIT.save(tmp_path)
    first = (tmp_path / "fit.json").read_bytes()
    FIT.save(tmp_path)
    assert (tmp_path / "fit.json").read_bytes() == first
    shutil.rmtree(tmp_path)


# ---- bad input ------------------------------------------------------------------------------------------------------

HOT = pl.when(pl.int_range(pl.len()) < 2).then(float("inf")).otherwise("noise").alias("noise")
BAD_FRAMES = {
    "columns missing": (lambda f: f.drop("bought", "as_of"), {}, "'as_of' is missing; 'bought' is missing. It has: "),
    "null ids": (
        lambda f: f.with_columns(customer_id=pl.when(pl.col("customer_id") > 0).then("customer_id")),
        {},
        "customer_id is null",
    ),
    "time is text": (lambda f: f.with_columns(as_of=pl.lit("2025")), {}, "'as_of' is String, must be Datetime"),
    "no rows": (lambda f: f.clear(), {}, "0 rows"),
    "outcome is text": (lambda f: f.with_columns(bought=pl.lit("yes")), {}, "is String, must be Boolean or 0/1"),
    "outcome null": (
        lambda f: f.with_columns(bought=pl.when(pl.int_range(pl.len()) > 4).then("bought")),
        {},
        "'bought' is null in 5 rows",
    ),
    "outcome is a count": (
        lambda f: f.with_columns(bought=pl.col("orders")),
        {},
        "'bought' is neither 0 nor 1 in .* rows",
    ),
    "outcome of one class": (
        lambda f: f.with_columns(bought=pl.lit(1)),
        {},
        "'bought' is 1 in all 2,800 rows; both 0 and 1 are needed",
    ),
    "one class before": (
        lambda f: f.with_columns(bought=pl.col("bought") & (pl.col("as_of") > datetime(2025, 5, 15))),
        {},
        r"the training part \(before 2025-05-15 .* has only outcome 0 in its 2,000 rows",
    ),
    "one class after": (
        lambda f: f.with_columns(bought=pl.col("bought") | (pl.col("as_of") > datetime(2025, 5, 15))),
        {},
        r"the test part \(from 2025-05-15 .* has only outcome 1 in its 800 rows",
    ),
    "one class held out": (
        lambda f: f.with_columns(bought=pl.col("bought") & (pl.col("as_of") != datetime(2025, 5, 1))),
        {},
        r"the validation part \(rows from 2025-05-01 .* only outcome 0 .* Raise validation_share",
    ),
    "one class left": (
        lambda f: f.with_columns(bought=pl.col("bought") & (pl.col("as_of") >= datetime(2025, 5, 1))),
        {},
        "what the validation part leaves of the training part has only outcome 0 .* Lower validation_share",
    ),
    "nobody held out": (
        lambda f: f.filter(pl.col("as_of").is_in([START, START + timedelta(days=180)])),
        {"validation_share": 0.001},
        "the validation part .* has no rows",
    ),
    "constant": (
        lambda f: f.with_columns(
            a=pl.lit(3), b=pl.lit(None, dtype=pl.String), c=pl.lit("x"), d=1e9 + pl.col("noise") / 1e6
        ),
        {},
        "'a' is always 3; 'b' is always missing; 'c' is always x; 'd' is always 1.*leave it out of features=",
    ),
    "infinite": (lambda f: f.with_columns(HOT, big=1e39 * pl.col("noise")), {}, "'big' has .*; 'noise' has 2 infinite"),
    "a time": (lambda f: f.with_columns(last=pl.col("as_of")), {}, "'last' is Datetime.*turn a time into days"),
    "a list": (lambda f: f.with_columns(last=pl.concat_list("noise")), {}, "'last' is List.* must be a number"),
    "an id": (
        lambda f: f.with_columns(session=pl.format("s{}", pl.int_range(pl.len()))),
        {},
        "'session' has 2,000 categories, more than 1,000",
    ),
}  # fmt: skip


@pytest.mark.parametrize(("change", "options", "told"), BAD_FRAMES.values(), ids=BAD_FRAMES)
def test_frames_that_cannot_be_learnt_from_are_refused(change, options, told):
    with pytest.raises(ContractError, match=f"(?s){told}"):
        fit(change(WORLD), **options)


BAD_ARGUMENTS = {
    "split before the data": ({"split_at": "2024-01-01"}, "split_at is 2024-01-01 .* the rows run from 2025-01-01"),
    "split at the first row": ({"split_at": "2025-01-01"}, "must lie after the first and not after the last"),
    "split after the data": ({"split_at": "2026-01-01"}, "must lie after the first and not after the last"),
    "split in words": ({"split_at": "spring"}, "split_at is 'spring'; write it like"),
    "outcome never known": ({"outcome_days": 200}, "outcome_days is 200: no row before .* had its outcome known"),
    "negative outcome_days": ({"outcome_days": -1}, "outcome_days is -1; it must be a number of days"),
    "id as feature": ({"features": ["customer_id", "noise"]}, "features has 'customer_id': the id, time and outcome"),
    "time as feature": ({"features": ["as_of", "bought"]}, "features has 'as_of', 'bought'"),
    "no features": ({"features": []}, "there are no features"),
    "a feature twice": ({"features": ["noise", "noise"]}, "features names 'noise' more than once"),
    "unknown features": ({"features": ["noise", "a", "b"]}, "'a' is missing; 'b' is missing"),
    "id is time": ({"id": "as_of"}, "they must be three columns"),
    "calibration": ({"calibration": "platt"}, "calibration is 'platt'; it must be one of 'none', 'isotonic'"),
    "level": ({"level": 95}, "level is 95; it must lie between 0 and 1"),
    "rounds": ({"rounds": 0}, "rounds is 0; it must be a whole number of at least 1"),
    "depth": ({"depth": 2.5}, "depth is 2.5; it must be a whole number"),
    "patience": ({"patience": True}, "patience is True"),
    "nthread": ({"nthread": -1}, "nthread is -1"),
    "validation_share": ({"validation_share": 1}, "validation_share is 1; it must lie between 0 and 1"),
    "learning_rate": ({"learning_rate": 0}, "learning_rate is 0; it must be above 0"),
    "replicates": ({"replicates": 39}, "replicates is 39; a 95% interval needs at least 40"),
}


@pytest.mark.parametrize(("options", "told"), BAD_ARGUMENTS.values(), ids=BAD_ARGUMENTS)
def test_arguments_that_make_no_sense_are_refused(options, told):
    with pytest.raises(ValueError, match=told):
        fit(WORLD, **options)


@pytest.mark.parametrize("name", ["level", "outcome_days", "validation_share", "learning_rate"])
def test_a_number_in_words_is_refused_by_name(name):
    with pytest.raises(TypeError, match=f"{name} is '0.5'; it must be a number"):
        fit(WORLD, **{name: "0.5"})


@pytest.mark.parametrize("name", ["__customer", "__at", "__outcome"])
def test_a_feature_with_one_of_our_own_names_is_refused(name):
    with pytest.raises(ValueError, match=f"features has '{name}': .* nor can columns of the names .* rename them"):
        fit(WORLD.rename({"noise": name}))


@pytest.mark.parametrize(("outcome", "options"), [(["bought"], {}), (None, {}), ("bought", {"id": ["customer_id"]})])
def test_names_of_columns_are_text(outcome, options):
    with pytest.raises(TypeError, match=r"id is .*, time 'as_of', outcome .*; they must be names of columns"):
        fit(WORLD, outcome, **options)


def test_a_frame_of_ids_alone_has_no_features():
    with pytest.raises(ValueError, match="beside 'customer_id', 'as_of', 'bought', at least one column is needed"):
        fit(WORLD.select("customer_id", "as_of", "bought"))


def test_one_name_is_no_list_of_features():
    with pytest.raises(TypeError, match=r"features is 'noise'; it must be a list of column names, e.g. \['noise'\]"):
        fit(WORLD, features="noise")
    with pytest.raises(TypeError, match="features is 3; it must be a list of column names"):
        fit(WORLD, features=3)
    assert fit(WORLD, features=(name for name in ("orders", "noise"))).features == ("noise", "orders")


def test_what_is_no_frame_is_refused():
    with pytest.raises(TypeError, match="a frame is needed, got list"):
        fit([1, 2])


def test_every_fault_of_a_later_frame_is_told_at_once():
    changed = TEST.drop("orders").with_columns(HOT, opened=pl.lit("yes"), source=pl.lit(3))
    told = (
        "features: 'orders' is missing; 'opened' is String, must be Boolean .Boolean in training.; 'source' is Int32, "
        "must be String, Categorical or Enum .*; 'noise' has 2 infinite values .*It has: customer_id"
    )
    with pytest.raises(ContractError, match=told):
        FIT.predict(changed)


LEAKS = {
    "a copy": pl.col("bought").cast(pl.Int8),
    "upside down": -pl.col("bought").cast(pl.Float64),
    "in its gaps": pl.when("bought").then("noise"),
    "as words": pl.when("bought").then(pl.lit("thanks")).otherwise(pl.lit("come back")),
    "a flag": pl.col("bought"),
}


@pytest.mark.parametrize("leak", LEAKS.values(), ids=LEAKS)
def test_a_feature_that_knows_the_future_is_named(leak):
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        fit(WORLD.with_columns(leak=leak))
    told = " ".join(str(one.message) for one in caught)
    assert "the feature 'leak' alone ranks the training outcome with an AUC of 1.0000" in told
    assert (
        "the ROC AUC on the test part is 1.0000: too good to be true. The trees lean most on the feature 'leak'" in told
    )
    assert {one.filename for one in caught} == {__file__}, "the warning points at the caller"


def test_a_leak_spread_over_two_features_shows_in_the_model():
    half = pl.int_range(pl.len()) * 7919 % 4
    spread = WORLD.with_columns(a=half, b=pl.col("bought").cast(pl.Int64) + 2 * (half % 2) - half)
    with pytest.warns(UserWarning, match="too good to be true. The trees lean most on the feature '[ab]'") as caught:
        fit(spread, rounds=300, depth=6)
    assert not any("alone ranks" in str(one.message) for one in caught)


def test_a_text_that_is_almost_an_id_is_no_leak():
    """A category met once would rank its own outcome without fault, and know nothing."""
    few = WORLD.filter(pl.col("customer_id") < 150).sample(fraction=1, shuffle=True, seed=1)
    frame = few.with_columns(voucher=pl.format("v{}", pl.int_range(pl.len()) % 1_000))
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        fit(frame)
    assert not any("alone ranks" in str(one.message) for one in caught)


def test_honest_features_raise_no_alarm():
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        fit(WORLD)
