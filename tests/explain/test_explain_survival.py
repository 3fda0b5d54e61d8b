"""A hazard is explained period by period, exactly for the model; survival by walks, within the error that is told."""

from __future__ import annotations

import itertools
import json
import math

import numpy as np
import polars as pl
import pytest

from shoptoolkit.contract import ContractError
from shoptoolkit.explain import Explainable, explain_survival, shap_values
from shoptoolkit.survival import fit_hazard
from shoptoolkit.survival.hazard.held import HazardOver
from shoptoolkit.trees.encoding import matrix
from shoptoolkit.trees.pruning import held, parted

PERIODS = 6


def world(n=4_000, seed=0, *, causes=False):
    """`early` counts in the first two weeks only; `spend_*` are one signal; `source` is a category; `days` has gaps."""
    rng = np.random.default_rng(seed)
    early, days, spend = rng.normal(size=n), rng.exponential(30, n), rng.gamma(1, 100, n)
    source = rng.choice(["live", "mail", "paid", "search"], n)
    score = -2.5 - 0.01 * days + 0.4 * np.log1p(spend) * np.isin(source, ["mail", "paid"])
    week = np.arange(PERIODS)
    hazard = 1 / (1 + np.exp(-(score[:, None] + early[:, None] * (week < 2))))
    came = rng.random((n, PERIODS)) < hazard
    is_back, first = came.any(axis=1), came.argmax(axis=1)
    frame = pl.DataFrame(
        {
            "customer_id": np.arange(n),
            "duration_days": np.where(is_back, 7.0 * first + 3, 7.0 * PERIODS),
            "repurchased": is_back,
            "early": early,
            "days": pl.Series(np.where(rng.random(n) < 0.1, np.nan, days)).fill_nan(None),
            "source": source,
            "spend_28d": spend,
            "spend_91d": spend + rng.gamma(1, 50, n),
        }
    )
    cause = pl.Series(rng.choice(["order", "refund"], n, p=[0.7, 0.3]))
    return frame.with_columns(cause=pl.when("repurchased").then(cause)) if causes else frame


def fit(frame, **options):
    kept = {"rng": 1, "rounds": 25, "patience": 25, "learning_rate": 0.3, "periods": PERIODS, "nthread": 1}
    return fit_hazard(frame, **{**kept, **options})


WORLD, RIVALS = world(), world(causes=True)
FIT, BOTH = fit(WORLD), fit(RIVALS)
SOME = WORLD[:60]
WHOLE = explain_survival(FIT, SOME)
WALKED = explain_survival(FIT, SOME, scale="log survival", rng=1, background=20)
CASES = {"one cause": (FIT, WORLD, None), "several causes": (BOTH, RIVALS, "refund")}


def cube(explanation, column="contribution"):
    """Rows x periods x features."""
    n, periods = explanation.n, explanation.table["period"].n_unique()
    return explanation.table[column].to_numpy().reshape(n, periods, -1)


# ---- the period held fixed ------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("one", "frame", "cause"), CASES.values(), ids=CASES)
def test_a_hazard_with_its_period_held_fixed_answers_as_the_whole(one, frame, cause):
    over = one.over(range(1, PERIODS + 1), cause=cause)
    *_, margins = over.explain(over.read(frame))
    for period in range(1, PERIODS + 1):
        known = one.margin(frame.with_columns(period=pl.lit(period)), cause=cause)
        np.testing.assert_array_equal(one.at(period, cause=cause).margin(frame), known)
        np.testing.assert_allclose(margins[:, period - 1], known, atol=1e-5)


def test_of_a_hazard_at_a_period_the_period_is_no_feature():
    third: Explainable = FIT.at(3)
    assert third.features == FIT.features[:-1]
    assert third.rounds == FIT.rounds
    told = shap_values(third, SOME)
    np.testing.assert_allclose(told.table["contribution"], cube(WHOLE)[:, 2].ravel(), atol=1e-5)


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


def brute_force(trees, x, always):
    """Shapley values of all features but `always`, which is known in every subset; and the answer where no other is."""
    count = len(x) - 1
    value = {
        known: sum(expectation(tree, x, {*known, always}) for tree in trees)
        for size in range(count + 1)
        for known in itertools.combinations(range(count), size)
    }
    told = np.zeros(count)
    for known, answer in value.items():
        for j in set(range(count)) - set(known):
            weight = math.factorial(len(known)) * math.factorial(count - len(known) - 1) / math.factorial(count)
            told[j] += weight * (value[tuple(sorted((*known, j)))] - answer)
    return told, value[()]


@pytest.mark.parametrize(("cause", "spells"), [(None, WORLD), ("refund", RIVALS)])
def test_contributions_are_shapleys_by_brute_force_where_the_period_is_always_known(cause, spells):
    one = fit(spells, rounds=8, depth=3, learning_rate=0.5)
    trees = [json.loads(tree) for tree in one.booster.get_dump(dump_format="json", with_stats=True)]
    text = json.dumps(trees)
    assert '"split_condition": [' in text, "trees split on the category"
    assert f'"f{len(one.features) - 1}"' in text, "trees split on the period"
    of = {None: [(1, trees)], "refund": [(1, trees[2::3]), (-1, trees[0::3])]}[cause]
    for period in (1, 2, 5):
        read = matrix(one.encode(spells[:8].with_columns(period=pl.lit(period))))
        told = explain_survival(one, spells[:8], periods=[period], cause=cause)
        for x, row, base in zip(read, cube(told)[:, 0], cube(told, "base")[:, 0, 0], strict=True):
            both = [(sign, brute_force(part, x, len(x) - 1)) for sign, part in of]
            np.testing.assert_allclose(row, sum(sign * parts for sign, (parts, _) in both), atol=1e-5)
            start = one.margin(spells[:1].with_columns(period=pl.lit(period)), cause=cause)[0] - sum(
                sign * sum(expectation(tree, read[0], set(range(len(x)))) for tree in part) for sign, part in of
            )
            assert base == pytest.approx(start + sum(sign * first for sign, (_, first) in both), abs=1e-5)


@pytest.mark.parametrize("period", [1, 2, 4])
def test_contributions_are_those_of_shaps_own_code_on_the_trees_without_the_period(period):
    """Its C++ code reads numeric splits only, and hands no work back to xgboost."""
    import shap

    numeric = fit(WORLD.drop("source"), depth=3)
    one = numeric.at(period)
    explainer = shap.TreeExplainer(one.booster)
    explainer.model.model_type = "internal"
    known = explainer.shap_values(matrix(one.encode(SOME)).astype(float), check_additivity=False)
    told = explain_survival(numeric, SOME, periods=[period])
    np.testing.assert_allclose(cube(told)[:, 0], known, rtol=1e-4, atol=2e-5)


@pytest.mark.parametrize(("one", "frame", "cause"), CASES.values(), ids=CASES)
def test_base_and_contributions_are_the_log_odds_of_each_period(one, frame, cause):
    told = explain_survival(one, frame[:50], cause=cause)
    margins = [one.margin(frame[:50].with_columns(period=pl.lit(k + 1)), cause=cause) for k in range(PERIODS)]
    added = cube(told).sum(axis=2) + cube(told, "base")[..., 0]
    np.testing.assert_allclose(added, np.transpose(margins), atol=1e-5)


def test_the_base_varies_by_period_and_what_counts_early_fades():
    assert WHOLE.table.group_by("period").agg(pl.col("base").n_unique())["base"].to_list() == [1] * PERIODS
    assert WHOLE.table["base"].n_unique() > 1
    sizes = WHOLE.over_time().filter(pl.col("feature") == "early")["mean_size"]
    assert sizes[0] > 3 * sizes[PERIODS - 1]
    assert WHOLE.over_time()["until_days"].unique().sort().to_list() == [7.0 * k for k in range(1, PERIODS + 1)]


def test_of_an_additive_hazard_a_feature_adds_the_same_in_every_period():
    stumps = fit(WORLD, depth=1, rounds=60)
    told = cube(explain_survival(stumps, SOME))
    np.testing.assert_allclose(told, np.repeat(told[:, :1], PERIODS, axis=1), atol=1e-6)
    changed = cube(explain_survival(stumps, SOME.with_columns(pl.col("early") + 1)))
    at = stumps.features.index("early")
    np.testing.assert_allclose(np.delete(changed, at, axis=2), np.delete(told, at, axis=2), atol=1e-6)
    assert np.abs(changed[..., at] - told[..., at]).max() > 0.1


@pytest.mark.parametrize("features", ["both", "period", "other"])
@pytest.mark.parametrize("objective", ["binary:logistic", "multi:softprob"])
def test_the_two_parts_of_the_trees_add_up_even_where_one_has_none(features, objective):
    """Without trees, xgboost 3.2 answers 0.5 where its base is a chance of 0.5; ours have a leaf of 0."""
    import xgboost

    rng = np.random.default_rng(0)
    x = np.column_stack([rng.integers(1, 4, 500), rng.normal(size=500)])
    y = (x.sum(axis=1) + rng.normal(size=500) > 2).astype(int) + (x[:, 1] > 1) * (objective == "multi:softprob")
    kept = x * {"both": [1, 1], "period": [1, 0], "other": [0, 1]}[features]
    settings = {"objective": objective, "max_depth": 3} | ({"num_class": 3} if y.max() > 1 else {})
    booster = xgboost.train(settings, xgboost.DMatrix(kept, y), num_boost_round=4)
    fixed, moving = parted(booster, feature=0, values=[1, 2, 3], nthread=1)
    for value, one in enumerate(moving, start=1):
        whole = xgboost.DMatrix(np.column_stack([np.full(500, value), kept[:, 1]]))
        rest = xgboost.DMatrix(kept[:, 1:])
        for what in ("output_margin", "pred_contribs"):
            told = fixed.predict(rest, **{what: True}) + one.predict(rest, **{what: True})
            exact = held(booster, feature=0, value=value, nthread=1).predict(rest, **{what: True})
            np.testing.assert_allclose(told, exact, atol=1e-5)
        known = booster.predict(whole, output_margin=True)
        np.testing.assert_array_equal(
            held(booster, feature=0, value=value, nthread=1).predict(rest, output_margin=True), known
        )


def test_a_feature_that_no_tree_uses_gets_exactly_nothing():
    few = fit(WORLD.with_columns(noise=pl.lit(1.0) * (pl.col("customer_id") < 5)), rounds=5, depth=2)
    assert "noise" not in {few.features[int(name[1:])] for name in few.booster.get_score()}
    some = SOME.with_columns(noise=pl.Series(np.arange(60.0)))
    for scale in ("logit hazard", "log survival"):
        told = explain_survival(few, some, scale=scale, rng=1, permutations=2, background=5)
        nothing = told.table.filter(pl.col("feature") == "noise")
        assert (nothing["contribution"] == 0).all()
        assert len(nothing) == len(SOME) * PERIODS


# ---- the table ------------------------------------------------------------------------------------------------------


def test_the_table_has_a_row_for_each_row_period_and_feature():
    assert WHOLE.table.columns == [
        "row",
        "group",
        "feature",
        "value",
        "shown",
        "contribution",
        "error",
        "base",
        "period",
    ]
    assert WHOLE.table["row"].to_list() == np.repeat(np.arange(60), PERIODS * 5).tolist()
    assert WHOLE.table["period"][:10].to_list() == [1] * 5 + [2] * 5
    assert WHOLE.table["feature"][:5].to_list() == ["days", "early", "source", "spend_28d", "spend_91d"]
    assert WHOLE.table["error"].null_count() == len(WHOLE.table)
    assert (WHOLE.scale, WHOLE.n, WHOLE.period_days, WHOLE.categories) == ("logit hazard", 60, 7.0, ("source",))
    assert WHOLE.kind == "path-dependent TreeSHAP, the period always known"
    one = WHOLE.at(4).table.filter(pl.col("feature") == "source")
    assert one["shown"].to_list() == SOME["source"].to_list()
    gaps = WHOLE.at(1).table.filter(pl.col("feature") == "days")
    assert gaps["value"].to_list() == SOME["days"].to_list()
    assert gaps["shown"].null_count() == SOME["days"].null_count() > 0
    assert len(WHOLE.at(2).steps(0)) == 5


def test_windows_of_one_signal_are_added_up_within_each_period():
    signals = {"spend_28d": "spend", "spend_91d": "spend"}
    told, known = explain_survival(FIT, SOME, signals=signals), WHOLE.by_signal(signals)
    assert told.kind == "path-dependent TreeSHAP, the period always known, added up by signal" == known.kind
    assert told.categories == known.categories == ("source",)
    assert told.table.drop("contribution").equals(known.table.drop("contribution"))
    np.testing.assert_allclose(told.table["contribution"], known.table["contribution"], atol=1e-12)
    spend = told.table.filter(pl.col("feature") == "spend")
    assert spend["value"].null_count() == len(spend)
    assert (spend["shown"] == "").all()


def test_rows_are_explained_the_same_in_chunks_in_samples_and_in_any_order(monkeypatch):
    monkeypatch.setattr("shoptoolkit.explain.survival._ROWS", 7)
    assert explain_survival(FIT, SOME).table.equals(WHOLE.table)
    turned = explain_survival(FIT, SOME.reverse()).table.with_columns(row=59 - pl.col("row"))
    assert turned.sort("row", maintain_order=True).equals(WHOLE.table)
    few = explain_survival(FIT, SOME, rows=9, rng=3, by="source")
    assert few.n == 9 == few.table["row"].n_unique()
    assert few.sample == "9 of 60 rows, evenly along the ranked answer from a random start"
    chosen = pl.col("row").is_in(few.table["row"].unique().implode())
    assert few.table.drop("group").equals(WHOLE.table.filter(chosen).drop("group"))
    assert set(few.table["group"]) <= set(SOME["source"])


@pytest.mark.parametrize("scale", ["logit hazard", "log survival"])
def test_no_order_of_rows_decides_which_of_equal_answers_are_explained(scale):
    ties = WORLD.with_columns(
        pl.col("early").round(0), pl.col("days", "^spend.*$").truediv(200).round(0), source=pl.lit("mail")
    )
    options = {"scale": scale, "rows": 40, "rng": 1, "background": 10, "permutations": 2, "periods": [2]}
    known = explain_survival(FIT, ties, **options).importance()
    told = explain_survival(FIT, ties.sample(fraction=1, shuffle=True, seed=3), **options).importance()
    np.testing.assert_allclose(told["mean_size"], known["mean_size"], rtol=1e-9)


def test_a_bar_shows_the_rows_explained(capfd):
    explain_survival(FIT, SOME[:5], progress=True)
    assert "rows explained" in (told := capfd.readouterr().err)
    assert "/5" in told
    explain_survival(FIT, SOME[:5])
    assert capfd.readouterr().err == ""


# ---- log survival ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("one", "frame"), [(FIT, WORLD), (BOTH, RIVALS)], ids=CASES)
def test_base_and_contributions_are_the_log_of_survival_at_the_end_of_each_period(one, frame):
    told = explain_survival(one, frame[:40], scale="log survival", periods=[2, 6], rng=1, permutations=2, background=7)
    known = one.predict_survival(frame[:40], days=[14, 42])["survival"].to_numpy().reshape(40, 2)
    added = cube(told).sum(axis=2) + cube(told, "base")[..., 0]
    np.testing.assert_allclose(np.exp(added), known, rtol=1e-5)
    assert told.table["period"].unique().sort().to_list() == [2, 6]
    assert told.table["base"].n_unique() == 2


def test_survival_is_told_by_signal_with_an_error():
    assert WALKED.table["feature"].unique(maintain_order=True).to_list() == ["days", "early", "source", "spend"]
    assert WALKED.table["error"].null_count() == 0
    assert WALKED.kind == "interventional permutation Shapley by signal, 20 background rows, 16 orders each"
    assert WALKED.scale == "log survival"
    assert WALKED.table.equals(explain_survival(FIT, SOME, scale="log survival", rng=1, background=20).table)
    with pytest.raises(ValueError, match="pass signals= to explain_survival"):
        WALKED.by_signal({"days": "early"})


def test_survival_is_told_exactly_where_all_orders_are_walked():
    """Against the definition: sixteen subsets of four signals, the others from the whole frame."""
    told = explain_survival(FIT, SOME, scale="log survival", rng=1, permutations=12, background=60)
    over = FIT.over(range(1, PERIODS + 1))
    read, players = over.read(SOME), np.array([0, 1, 2, 3, 3])
    value = {
        known: np.array(
            [over.log_staying(np.where(np.isin(players, known), x, read)).mean(axis=0).cumsum() for x in read[:3]]
        )
        for size in range(5)
        for known in itertools.combinations(range(4), size)
    }
    for player in range(4):
        sums = 0.0
        for known in (one for one in value if player not in one):
            weight = math.factorial(len(known)) * math.factorial(3 - len(known)) / 24
            sums = sums + weight * (value[tuple(sorted((*known, player)))] - value[known])
        np.testing.assert_allclose(cube(told)[:3, :, player], sums, atol=1e-5)
    assert (told.table["error"] == 0).all()
    near = np.abs(cube(WALKED) - cube(told)) <= 3 * cube(WALKED, "error")
    assert near.mean() > 0.97, "the error of a background of 20 rows is told"


def test_survival_of_nobody_has_no_log():
    class Certain:
        """All come back in the second period."""

        features, periods, period_days = ("a",), 2, 7.0

        def over(self, periods, *, cause=None):
            return self

        def encode(self, frame):
            return frame.select(pl.col("a").cast(pl.Float64))

        def read(self, frame):
            return self.encode(frame).to_numpy()

        def log_staying(self, read):
            return np.column_stack([np.full(len(read), -0.1), np.full(len(read), -np.inf)])

    with pytest.raises(ValueError, match=r"the answer is -inf for some rows .* a chance of 0.*Explain earlier periods"):
        explain_survival(Certain(), pl.DataFrame({"a": [1, 2, 3]}), scale="log survival", rng=1)


@pytest.mark.parametrize(("gap", "is_refused"), [(5e-5, False), (2e-4, True), (math.nan, True)])
def test_contributions_that_miss_the_answer_are_refused(gap, is_refused, monkeypatch):
    whole = HazardOver.explain

    def off(self, read):
        parts, base, margin = whole(self, read)
        return parts, base + gap * np.maximum(1, np.abs(margin)), margin

    monkeypatch.setattr(HazardOver, "explain", off)
    if is_refused:
        with pytest.raises(ValueError, match="the contributions miss the fit's answer by up to"):
            explain_survival(FIT, SOME)
    else:
        explain_survival(FIT, SOME)


# ---- bad input ------------------------------------------------------------------------------------------------------


LOG = {"scale": "log survival", "rng": 1}


@pytest.mark.parametrize(
    ("call", "error", "told"),
    [
        (lambda: explain_survival(FIT, SOME, scale="survival"), ValueError, "scale is 'survival'; it must be one of"),
        (lambda: explain_survival(FIT, SOME.clear()), ContractError, "the frame has 0 rows"),
        (lambda: explain_survival(FIT, SOME.drop("days")), ContractError, "'days' is missing"),
        (lambda: explain_survival(FIT, SOME, by="tier"), ContractError, "by is 'tier', which is missing"),
        (
            lambda: explain_survival(FIT, SOME, periods=[0]),
            ValueError,
            r"periods is \[0\]; .* whole numbers from 1 to 6",
        ),
        (lambda: explain_survival(FIT, SOME, periods=[7]), ValueError, r"periods is \[7\]"),
        (lambda: explain_survival(FIT, SOME, periods=["1"]), ValueError, r"periods is \['1'\]"),
        (lambda: explain_survival(FIT, SOME, periods=["1", 2]), ValueError, r"periods is \['1', 2\]"),
        (lambda: explain_survival(FIT, SOME, periods=2.5), TypeError, r"periods is 2.5; .* a list of whole numbers"),
        (lambda: explain_survival(FIT, SOME, periods=[]), ValueError, r"periods is \[\]"),
        (lambda: explain_survival(FIT, SOME, periods=3), TypeError, r"periods is 3; .* a list of whole numbers"),
        (lambda: explain_survival(FIT, SOME, rows=5), ValueError, "rows is 5, which draws a sample; pass rng="),
        (lambda: explain_survival(FIT, SOME, cause="gift"), ValueError, "cause is 'gift'"),
        (lambda: explain_survival(BOTH, RIVALS), ValueError, "cause is None; this fit has several: 'order', 'refund'"),
        (
            lambda: explain_survival(FIT, SOME, scale="log survival"),
            ValueError,
            "draws orders and a background; pass rng=",
        ),
        (lambda: explain_survival(BOTH, SOME, cause="order", **LOG), ValueError, "survival is that of all causes"),
        (lambda: explain_survival(FIT, SOME, permutations=1, **LOG), ValueError, "permutations is 1; .* at least 2"),
        (lambda: explain_survival(FIT, SOME, permutations="9", **LOG), ValueError, "permutations is '9'"),
        (lambda: explain_survival(FIT, SOME, background=0, **LOG), ValueError, "background is 0; .* at least 2"),
        (lambda: explain_survival(FIT, SOME, signals=["spend"]), TypeError, "signals is a list; .* feature -> signal"),
        (lambda: FIT.at(0), ValueError, "period is 0; it must be a whole number from 1 to 6"),
        (lambda: FIT.at(2.5), ValueError, "period is 2.5; it must be a whole number"),
        (lambda: FIT.at(1, cause="gift"), ValueError, "cause is 'gift'"),
        (lambda: BOTH.at(1).margin(RIVALS), ValueError, "cause is None; this fit has several"),
    ],
)
def test_what_cannot_be_explained_is_refused(call, error, told):
    with pytest.raises(error, match=told):
        call()


def test_a_fit_without_periods_is_named():
    with pytest.raises(TypeError, match=r"fit is a object, which has no periods, period_days, over; pass what"):
        explain_survival(object(), pl.DataFrame({"x": [1.0]}))


def test_few_customers_are_explained_beside_others():
    told = explain_survival(FIT, SOME.head(1), scale="log survival", reference=SOME, rng=1, background=20)
    whole = WALKED.table.filter(pl.col("row") == 0)
    assert told.table["base"].to_list() == pytest.approx(whole["base"].to_list(), rel=1e-9)
    assert told.table["contribution"].to_list() == pytest.approx(whole["contribution"].to_list(), abs=1e-9)
    with pytest.raises(ValueError, match=r"reference has 1 row .* pass reference=, the customers beside whom"):
        explain_survival(FIT, SOME.head(1), scale="log survival", rng=1)
