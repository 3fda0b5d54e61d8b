"""Contributions are exact for the model, add up to its answer, and equal what others compute."""

from __future__ import annotations

import itertools
import json
import math
from dataclasses import dataclass
from datetime import datetime, timedelta

import numpy as np
import polars as pl
import pytest

from shoptoolkit.behaviour import fit_propensity
from shoptoolkit.contract import ContractError
from shoptoolkit.explain import Explainable, Explanation, shap_values, signals_of

COLUMNS = ["row", "group", "feature", "value", "shown", "contribution", "error", "base", "period"]


def world(n=500, seed=0):
    rng = np.random.default_rng(seed)
    source = rng.choice(["organic", "paid", "search", "live", "mail"], n)
    days, orders, opened = rng.exponential(30, n), rng.poisson(2, n), rng.random(n) < 0.4
    score = -0.5 - 0.04 * days + 0.5 * orders * opened + 1.2 * np.isin(source, ["paid", "mail"])
    return pl.DataFrame(
        {
            "customer_id": np.arange(n),
            "as_of": [datetime(2025, 1, 1) + timedelta(days=30 * (i % 4)) for i in range(n)],
            "days_since": pl.Series(np.where(rng.random(n) < 0.1, np.nan, days)).fill_nan(None),
            "orders": orders,
            "opened": opened,
            "source": source,
            "spend": rng.gamma(1, 1_000, n),
            "bought": rng.random(n) < 1 / (1 + np.exp(-score)),
        }
    )


def fit(frame, **options):
    return fit_propensity(frame, "bought", **{"split_at": "2025-03-15", "rng": 1, "replicates": 40, **options})


WORLD = world()
FIT = fit(WORLD, rounds=40, depth=4, learning_rate=0.2, patience=40)
WHOLE = shap_values(FIT, WORLD)


def wide(explanation, fit):
    return explanation.table["contribution"].to_numpy().reshape(-1, len(fit.features))


@dataclass(frozen=True)
class Additive:
    """A model whose Shapley values are known: each weight times the distance from the feature's mean."""

    features: tuple[str, ...] = ("a", "b", "c")
    weights: tuple[float, ...] = (2.0, -1.0, 0.0)
    means: tuple[float, ...] = (0.5, 0.0, 3.0)
    base: float = -0.25
    lie: float = 0.0

    def encode(self, frame):
        return frame.select(pl.col(self.features).cast(pl.Float64))

    def explain_margin(self, frame):
        parts = (self.encode(frame).to_numpy() - self.means) * self.weights
        return parts, np.full(len(frame), self.base)

    def margin(self, frame):
        parts, base = self.explain_margin(frame)
        return parts.sum(axis=1) + base + self.lie


def toy(n=6):
    return pl.DataFrame(
        {"c": np.arange(n) % 2, "a": np.arange(n) / n, "b": np.arange(n) - 2.5, "kind": ["x", "y"] * (n // 2)}
    )


def test_any_fit_with_the_methods_can_be_explained():
    model: Explainable = Additive()
    table = shap_values(model, toy()).table
    assert table.columns == COLUMNS
    assert table["row"].to_list() == [row for row in range(6) for _ in range(3)]
    assert table["feature"].to_list() == ["a", "b", "c"] * 6
    known = (toy().select("a", "b", "c").to_numpy() - [0.5, 0, 3]) * [2, -1, 0]
    np.testing.assert_allclose(table["contribution"].to_numpy().reshape(6, 3), known, rtol=1e-12)
    assert set(table["base"]) == {-0.25}
    assert table["period"].null_count() == len(table)


def test_importance_is_the_mean_size_largest_first():
    told = shap_values(Additive(), toy()).importance()
    assert told["feature"].to_list() == ["b", "a", "c"]
    assert told["mean_size"].to_list() == pytest.approx([1.5, 2 * np.abs(np.arange(6) / 6 - 0.5).mean(), 0])
    assert told["rank"].to_list() == [1, 2, 3]
    assert set(told["n"]) == {6}


def test_base_and_contributions_add_up_to_the_answer():
    answers = WHOLE.table.group_by("row", maintain_order=True).agg(
        pl.col("contribution").sum() + pl.col("base").first()
    )
    np.testing.assert_allclose(answers["contribution"], FIT.margin(WORLD), rtol=1e-4, atol=1e-5)
    chance = 1 / (1 + np.exp(-answers["contribution"].to_numpy()))
    np.testing.assert_allclose(chance, FIT.predict(WORLD)["probability"], rtol=1e-4)


def test_contributions_that_do_not_add_up_are_refused():
    with pytest.raises(
        ValueError, match=r"the contributions miss the fit's answer by up to 0\.01 .* more than 0\.0001"
    ):
        shap_values(Additive(lie=0.01), toy())


def test_contributions_of_other_features_are_refused():
    """One column too many adds up, but the table would lack it."""

    class Wide(Additive):
        def explain_margin(self, frame):
            parts, base = super().explain_margin(frame)
            return np.column_stack([parts, np.ones(len(frame))]), base

    with pytest.raises(ValueError, match=r"contributions of shape \(6, 4\); .* its 3 features .* shape \(6, 3\)"):
        shap_values(Wide(), toy())


def test_values_are_those_of_shaps_tree_explainer():
    import shap
    import xgboost

    from shoptoolkit.trees.encoding import matrix

    values = matrix(FIT.encode(WORLD))
    explainer = shap.TreeExplainer(FIT.booster)
    kinds = ["c" if name == "source" else "q" for name in FIT.features]
    known = explainer.shap_values(xgboost.DMatrix(values, feature_types=kinds))
    np.testing.assert_allclose(wide(WHOLE, FIT), known, rtol=1e-6, atol=1e-7)
    assert WHOLE.table["base"][0] == pytest.approx(explainer.expected_value, rel=1e-6)


def test_values_are_those_of_shaps_own_code():
    """Shap hands xgboost models back to xgboost; its own C++ code (numeric splits only) is an independent witness."""
    import shap

    from shoptoolkit.trees.encoding import matrix

    numeric = fit(WORLD.drop("source", "days_since"), rounds=30, depth=3, learning_rate=0.2)
    explainer = shap.TreeExplainer(numeric.booster)
    explainer.model.model_type = "internal"
    known = explainer.shap_values(matrix(numeric.encode(WORLD)).astype(float), check_additivity=False)
    np.testing.assert_allclose(wide(shap_values(numeric, WORLD), numeric), known, rtol=1e-4, atol=2e-5)


def expectation(node, x, known):
    """The tree's answer when only the features in `known` are told: other splits are averaged by cover."""
    if "leaf" in node:
        return node["leaf"]
    children = {child["nodeid"]: child for child in node["children"]}
    feature = int(node["split"][1:])
    if feature not in known:
        return sum(one["cover"] * expectation(one, x, known) for one in children.values()) / node["cover"]
    if math.isnan(x[feature]):
        way = node["missing"]
    elif isinstance(node["split_condition"], list):
        way = node["yes"] if int(x[feature]) in node["split_condition"] else node["no"]
    else:
        way = node["yes"] if x[feature] < np.float32(node["split_condition"]) else node["no"]
    return expectation(children[way], x, known)


def brute_force(trees, x, features):
    """Shapley values by their definition, over all subsets."""
    value = {
        known: sum(expectation(tree, x, known) for tree in trees)
        for size in range(features + 1)
        for known in itertools.combinations(range(features), size)
    }
    told = np.zeros(features)
    for known, answer in value.items():
        for j in set(range(features)) - set(known):
            weight = math.factorial(len(known)) * math.factorial(features - len(known) - 1) / math.factorial(features)
            told[j] += weight * (value[tuple(sorted((*known, j)))] - answer)
    return told


def test_values_are_shapleys_by_brute_force_with_categories_and_gaps():
    from shoptoolkit.trees.encoding import matrix

    frame = world(2_000)
    small = fit(frame, rounds=8, depth=3, learning_rate=0.5)
    trees = [json.loads(tree) for tree in small.booster.get_dump(dump_format="json", with_stats=True)]
    assert '"split_condition": [' in json.dumps(trees), "trees split on the category"
    values = matrix(small.encode(frame))[:25]
    assert np.isnan(values).any()
    known = [brute_force(trees, x, len(small.features)) for x in values]
    np.testing.assert_allclose(wide(shap_values(small, frame[:25]), small), known, rtol=1e-4, atol=1e-5)


def test_in_an_additive_model_a_feature_moves_its_own_contribution_alone():
    stumps = fit(WORLD, rounds=60, depth=1, learning_rate=0.2, patience=60)
    changed = WORLD.with_columns(orders=pl.col("orders") + 2)
    before, after = (shap_values(stumps, frame) for frame in (WORLD, changed))
    moved = wide(after, stumps) - wide(before, stumps)
    at = stumps.features.index("orders")
    np.testing.assert_allclose(np.delete(moved, at, axis=1), 0, atol=1e-6)
    np.testing.assert_allclose(moved[:, at], stumps.margin(changed) - stumps.margin(WORLD), atol=1e-5)
    assert np.abs(moved[:, at]).max() > 0.1


def test_values_are_shown_as_people_write_them():
    codes = dict(WHOLE.table.filter(pl.col("feature") == "source").select("value", "shown").unique().rows())
    assert codes == {0: "live", 1: "mail", 2: "organic", 3: "paid", 4: "search"}
    assert WHOLE.categories == ("source",)
    flags = dict(WHOLE.table.filter(pl.col("feature") == "opened").select("value", "shown").unique().rows())
    assert flags == {0: "no", 1: "yes"}
    days = WHOLE.table.filter(pl.col("feature") == "days_since")
    assert days["value"].null_count() == days["shown"].null_count() == WORLD["days_since"].null_count()
    assert days["value"].to_list() == WORLD["days_since"].to_list(), "values keep their float64"
    assert "," in "".join(WHOLE.table.filter(pl.col("feature") == "spend", pl.col("value") > 1_000)["shown"])


def test_the_order_of_rows_and_columns_does_not_matter():
    turned = WORLD.reverse().select(reversed(WORLD.columns))
    told = (
        shap_values(FIT, turned).table.with_columns(row=len(WORLD) - 1 - pl.col("row")).sort("row", maintain_order=True)
    )
    assert told.equals(WHOLE.table)


def test_calibration_does_not_touch_the_explanation():
    told = shap_values(fit(WORLD, rounds=40, learning_rate=0.2, patience=40, calibration="isotonic"), WORLD)
    assert told.table.equals(WHOLE.table)
    assert (told.scale, told.kind) == ("margin", "path-dependent TreeSHAP")


def test_groups_come_from_a_column():
    told = shap_values(FIT, WORLD, by="source")
    assert told.table["group"].to_list() == [name for name in WORLD["source"] for _ in FIT.features]
    assert told.table.drop("group").equals(WHOLE.table.drop("group"))
    paid = told.only("paid")
    assert paid.n == (WORLD["source"] == "paid").sum() == paid.importance()["n"][0]
    assert told.importance().filter(pl.col("group") == "paid").equals(paid.importance())
    with pytest.raises(
        ValueError, match="group is 'tv'; it must be one of 'live', 'mail', 'organic', 'paid', 'search'"
    ):
        told.only("tv")


# ---- samples --------------------------------------------------------------------------------------------------------


def test_a_sample_is_stated_repeatable_and_runs_along_the_answers():
    told = shap_values(FIT, WORLD, rows=50, rng=3)
    assert told.sample == "50 of 500 rows, evenly along the ranked answer from a random start"
    assert told.n == 50 == told.table["row"].n_unique()
    assert told.table.equals(shap_values(FIT, WORLD, rows=50, rng=3).table)
    assert not told.table.equals(shap_values(FIT, WORLD, rows=50, rng=4).table)
    ranks = np.argsort(np.argsort(FIT.margin(WORLD), kind="stable"))[told.table["row"].unique().sort()]
    assert np.bincount(ranks // 50).tolist() == [5] * 10
    assert told.table.equals(WHOLE.table.filter(pl.col("row").is_in(told.table["row"].unique().implode())))


def test_every_row_has_the_same_chance_to_be_in_a_sample():
    drawn = np.concatenate(
        [shap_values(Additive(), toy(30), rows=7, rng=seed).table["row"].unique() for seed in range(600)]
    )
    share = np.bincount(drawn, minlength=30) / 600
    assert np.abs(share - 7 / 30).max() < 4 * math.sqrt(7 / 30 * 23 / 30 / 600)


def test_a_sample_by_groups_keeps_their_shares():
    told = shap_values(FIT, WORLD, rows=100, by="source", rng=3)
    groups = dict(told.table.group_by("group").agg(pl.col("row").n_unique()).rows())
    for name, count in WORLD["source"].value_counts().rows():
        assert abs(groups[name] - count / 5) < 1.01


def test_a_sample_larger_than_the_frame_is_all_of_it():
    assert shap_values(Additive(), toy(), rows=99).sample == "all 6 rows"


# ---- one row --------------------------------------------------------------------------------------------------------


def test_the_steps_of_a_row_lead_from_base_to_answer():
    steps = WHOLE.steps(7)
    assert steps["start"][0] == pytest.approx(WHOLE.table["base"][0])
    assert steps["end"].to_list()[:-1] == pytest.approx(steps["start"].to_list()[1:])
    assert steps["end"][-1] == pytest.approx(FIT.margin(WORLD)[7], abs=1e-5)
    assert steps["contribution"].abs().is_sorted(descending=True)


def test_small_steps_are_summed_in_the_last():
    whole, short = WHOLE.steps(7), WHOLE.steps(7, most=2)
    assert short["feature"].to_list() == [*whole["feature"][:2], "3 other features"]
    assert short["contribution"][2] == pytest.approx(whole["contribution"][2:].sum())
    assert short["end"][-1] == pytest.approx(whole["end"][-1])
    assert len(WHOLE.steps(7, most=4)) == 5, "one other feature is named, not summed"


def test_an_explanation_reads_well():
    assert "all 500 rows" in repr(WHOLE)
    assert "The model, not the cause" in WHOLE._repr_html_()
    assert isinstance(WHOLE, Explanation)


# ---- signals -------------------------------------------------------------------------------------------------------


def test_windows_of_one_count_are_one_signal():
    told = signals_of(["views_7d", "views_91d", "days_since_view", "gap_cv"], {"gap_cv": "rhythm"})
    assert list(told.values()) == ["views", "views", "days_since_view", "rhythm"]


def test_contributions_of_a_signal_add_up_and_so_does_the_answer():
    told = WHOLE.by_signal({"days_since": "orders", "spend": "orders"})
    assert set(told.table["feature"]) == {"orders", "opened", "source"}
    for row in (0, 7):
        both = [one.table.filter(pl.col("row") == row) for one in (WHOLE, told)]
        assert both[0]["contribution"].sum() == pytest.approx(both[1]["contribution"].sum(), abs=1e-9)
        three = both[0].filter(pl.col("feature").is_in(["orders", "days_since", "spend"]))["contribution"].sum()
        assert both[1].filter(pl.col("feature") == "orders")["contribution"].item() == pytest.approx(three, abs=1e-9)
    assert told.table.columns == WHOLE.table.columns
    assert (told.of, WHOLE.of) == ("signals", "features")
    assert told.steps(3, most=1)["feature"][-1] == "2 other signals"
    assert len(told.steps(3)) == len(FIT.features) - 2


def test_an_explanation_without_periods_says_so():
    told = shap_values(Additive(), toy())
    with pytest.raises(ValueError, match="scale 'margin', has no periods; explain_survival's has"):
        told.over_time()
    with pytest.raises(ValueError, match=r"period is 3; leave .at\(\) out: this one, on the scale .margin., has none"):
        told.at(3)


# ---- bad input ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("call", "error", "told"),
    [
        (lambda: shap_values(FIT, WORLD.clear()), ContractError, "the frame has 0 rows; at least one is needed"),
        (lambda: shap_values(FIT, WORLD.drop("orders")), ContractError, "'orders' is missing"),
        (lambda: shap_values(FIT, WORLD, by=["source"]), ContractError, r"by is \['source'\], which is missing"),
        (
            lambda: shap_values(FIT, WORLD.with_columns(tags=pl.lit([1])), by="tags"),
            ContractError,
            "by is 'tags', a col",
        ),
        (
            lambda: shap_values(FIT, WORLD, by="tier"),
            ContractError,
            "by is 'tier', which is missing. It has: customer_id",
        ),
        (lambda: shap_values(FIT, WORLD, rows=0, rng=1), ValueError, "rows is 0; it must be at least 1, or None"),
        (lambda: shap_values(FIT, WORLD, rows=5.5, rng=1), ValueError, "rows is 5.5; .* and a whole number"),
        (lambda: shap_values(FIT, WORLD, rows="5", rng=1), ValueError, "rows is '5'; .* and a whole number"),
        (lambda: shap_values(FIT, WORLD, rows=5), ValueError, "rows is 5, which draws a sample; pass rng="),
        (lambda: WHOLE.steps(500), ValueError, r"row is 500; it must be one of 0, 1, 2, 3, 4 and 495 more"),
        (lambda: WHOLE.steps(0, most=0), ValueError, "most is 0; it must be a whole number >= 1"),
        (lambda: shap_values(FIT, [1]), TypeError, "a frame is needed, got list"),
    ],
)
def test_what_cannot_be_explained_is_refused(call, error, told):
    with pytest.raises(error, match=told):
        call()
