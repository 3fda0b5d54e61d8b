"""Scores of the ad's effect: they find whom it moves, and owe nothing to the customer's own outcome."""

from functools import cache

import numpy as np
import polars as pl
import pytest

from shoptoolkit import datasets
from shoptoolkit.contract import ContractError
from shoptoolkit.incrementality import fit_uplift, learners
from shoptoolkit.incrementality.crossfit import deal
from shoptoolkit.incrementality.learners import LEARNERS, Trial
from shoptoolkit.simulate import Experiment, shop
from shoptoolkit.survival import pseudo_values, restricted_mean_difference
from tests.conftest import WORLDS

FEATURES = ["base", "moved", "noise", "source"]
ASK = {"outcome": "orders", "control": "none", "features": FEATURES, "rng": 1, "nthread": 1}


def world(n=3_000, seed=0, *, share=0.5, effect=1.0, kind="count", arms=("none", "ads")):
    """Orders that `base` drives, and the ad only where `moved` is above 0; `true` is what it adds there."""
    rng = np.random.default_rng(seed)
    base, moved, noise = rng.normal(size=(3, n))
    arm = rng.choice(arms, n, p=[1 - share] + [share / (len(arms) - 1)] * (len(arms) - 1))
    own, true = 1 + np.exp(0.6 * base), effect * (moved > 0)
    rate = own + true * (arm == arms[-1])
    orders = {"count": rng.poisson(rate), "revenue": 50 * rng.poisson(rate) * rng.lognormal(0, 0.5, n)}.get(kind)
    if kind == "flag":
        true = true * 0.2
        orders = rng.random(n) < 0.1 + 0.05 * (base > 0) + true * (arm == arms[-1])
    return pl.DataFrame(
        {
            "customer_id": rng.permutation(n),
            "arm": arm,
            "orders": orders,
            "base": base,
            "moved": pl.Series(np.where(rng.random(n) < 0.05, np.nan, moved)).fill_nan(None),
            "noise": noise,
            "source": rng.choice(["paid", "mail", "live"], n),
            "true": true,
        }
    )


WORLD = world()


@cache
def fitted(learner="dr"):
    return fit_uplift(WORLD, **ASK, learner=learner)


def gain(fit, frame):
    """True effect on the half with the higher score, out of fold, less that on the other half."""
    order = np.argsort(fit.out_of_fold["effect"].to_numpy())
    true = frame["true"].to_numpy()[order]
    return true[len(true) // 2 :].mean() - true[: len(true) // 2].mean()


# ---- known truth ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("learner", LEARNERS)
def test_every_learner_finds_whom_the_ad_moves(learner):
    fit = fitted(learner)
    assert gain(fit, WORLD) > 0.55  # of 1; a score drawn at random has 0 +- 0.03
    new = world(n=2_000, seed=9)
    assert np.corrcoef(fit.predict(new)["effect"], new["true"])[0, 1] > 0.6
    assert fit.predict(new)["effect"].mean() == pytest.approx(0.5, abs=0.12)


@pytest.mark.parametrize("kind", ["flag", "revenue"])
def test_flags_and_revenue_are_outcomes_too(kind):
    frame = world(n=4_000, effect=2.0, kind=kind)
    fit = fit_uplift(frame, **ASK)
    assert gain(fit, frame) > 0.6 * (0.4 if kind == "flag" else 2)


def test_scores_in_the_simulated_shop_go_with_the_expected_uplift():
    some = Experiment(lift=6.0, win_share=1.0, compliance=1.0, displaced=0.0, pulled_forward=0.0)
    world = shop(n_customers=2_000, days=180, rng=5, experiment=some)
    since = world.events.filter(pl.col("event") == "purchase").join(world.assignments, on="customer_id")
    since = since.filter(pl.col("at") >= pl.col("assigned_at")).group_by("customer_id")
    frame = world.assignments.select("customer_id", "arm").join(world.truth.customers, on="customer_id")
    frame = frame.join(since.agg(orders=pl.n_unique("order_id")), on="customer_id", how="left")
    features = ["rate", "price_sensitivity", "watch_sessions_per_day", "drop_probability"]
    ask = ASK | {"features": features, "control": "control"}
    fit = fit_uplift(frame.with_columns(pl.col("orders").fill_null(0)), **ask)
    assert np.corrcoef(fit.out_of_fold["effect"], frame["expected_uplift"])[0, 1] > 0.35  # by lot 0 +- 0.02


def test_several_arms_have_scores_of_their_own():
    frame = world(arms=("none", "dud", "ads"), share=2 / 3, n=4_000)
    fit = fit_uplift(frame, **ASK)
    assert fit.treatments == ("ads", "dud")
    told = dict(fit.predict(frame).group_by("arm").agg(pl.mean("effect")).rows())
    assert told["ads"] == pytest.approx(0.5, abs=0.12)
    assert told["dud"] == pytest.approx(0.0, abs=0.12)
    assert fit.average().table["contrast"].to_list() == ["ads - none", "dud - none"]
    assert len(fit.out_of_fold) == 2 * len(frame)


def test_days_until_the_next_order_are_an_outcome_by_pseudo_values():
    frame, rng = world(n=4_000), np.random.default_rng(3)
    sooner = (frame["true"] > 0) & (frame["arm"] == "ads")
    until, watched = rng.exponential(np.where(sooner, 20, 60)), rng.uniform(30, 90, len(frame))
    spells = frame.select(
        "customer_id",
        "arm",
        duration_days=pl.Series(np.ceil(np.minimum(until, watched))),
        repurchased=pl.Series(until <= watched),
    )
    days = pseudo_values(spells, horizon_days=60, by="arm")
    fit = fit_uplift(frame.join(days, on="customer_id"), **ASK | {"outcome": "days_to_next_order"})
    assert np.corrcoef(fit.out_of_fold["effect"], frame["true"])[0, 1] < -0.7
    plain = restricted_mean_difference(spells, by="arm", reference="none", horizon_days=60).table
    assert fit.average().table["estimate"][0] == pytest.approx(plain["estimate"][0], abs=plain["standard_error"][0])


@pytest.mark.reference
def test_hillstroms_averages_are_those_published_and_the_womens_mail_moves_buyers_of_womens_goods(public_data):
    table = datasets.load("hillstrom", folder=public_data("hillstrom/email_test.parquet").parent.parent)
    features = ["pre_recency_months", "pre_history", "pre_mens", "pre_womens", "pre_zip_code", "pre_channel"]
    fit = fit_uplift(table, **ASK | {"outcome": "visited", "features": features}, learner="t", folds=3)
    average = fit.average().table
    assert average["estimate"].to_numpy() == pytest.approx([0.07659, 0.04523], abs=0.0007)  # as assigned, unadjusted
    assert (average["standard_error"].to_numpy() < [0.00339, 0.00323]).all()
    told = table.join(fit.out_of_fold.filter(pl.col("arm") == "womens"), on="customer_id")
    means = dict(told.group_by("pre_womens").agg(pl.mean("effect")).rows())
    assert means[True] > 0.05 > 0.03 > means[False]


def test_confounded_arms_are_made_comparable_by_estimated_chances():
    frame, rng = world(n=6_000), np.random.default_rng(2)
    treated = rng.random(len(frame)) < 1 / (1 + np.exp(-frame["base"].to_numpy()))
    orders = rng.poisson(1 + np.exp(0.6 * frame["base"].to_numpy()) + frame["true"].to_numpy() * treated)
    frame = frame.with_columns(arm=pl.Series(np.where(treated, "ads", "none")), orders=pl.Series(orders))
    naive = frame.group_by("arm").agg(pl.mean("orders")).sort("arm")["orders"]
    row = fit_uplift(frame, **ASK, propensity="estimated").average().table.row(0, named=True)
    assert naive[0] - naive[1] > 0.9
    assert row["low"] < frame["true"].mean() < row["high"] < 0.7


# ---- against the definition and econml ------------------------------------------------------------------------------


class Line:
    """Least squares in place of trees, so that another program can do the same."""

    def __init__(self, x, y):
        self.slopes = np.linalg.lstsq(np.column_stack([np.ones(len(x)), x]), y, rcond=None)[0]

    def predict(self, matrix):
        x = matrix.get_data().toarray()
        return self.slopes[0] + x @ self.slopes[1:]


def line(folds, rows, label, **rest):
    x = folds.encoded.to_numpy()[rows]
    return Line(x, label[rows])


def straight(learner, monkeypatch):
    """What a learner of lines says of all customers, and the trial."""
    monkeypatch.setattr(learners, "grow", line)
    monkeypatch.setattr(learners, "add", lambda parts: list(parts))
    rng = np.random.default_rng(1)
    frame = world(n=900).with_columns(moved=pl.col("moved").fill_null(0) + 3, base=pl.col("base") + 5)
    names = ["base", "moved"]
    folds = deal(frame.cast(dict.fromkeys(names, pl.Float32)), features=names, by=["arm", "orders"], folds=3, rng=rng)
    arm = folds.table["arm"].to_numpy()
    outcome = folds.table["orders"].to_numpy().astype(float)
    trial = Trial(folds=folds, outcome=outcome, arm=arm, control="none", chance=np.full(900, 0.5), rng=rng)
    told, matrix = LEARNERS[learner](trial, "ads", frozenset(range(3))), folds.matrix(np.ones(900, dtype=bool))
    told = told if isinstance(told, list) else [(1.0, told)]
    return trial, sum(weight * one.predict(matrix) for weight, one in told)


def test_pseudo_outcomes_are_those_of_the_definition(monkeypatch):
    trial, _ = straight("t", monkeypatch)
    x, treated, fold, y = trial.folds.encoded.to_numpy(), trial.arm == "ads", trial.folds.fold, trial.outcome
    x = np.column_stack([np.ones(len(x)), x])
    expected = np.empty(len(y))
    for i in range(len(y)):
        ours, theirs = (
            x[i] @ np.linalg.lstsq(x[one & (fold != fold[i])], y[one & (fold != fold[i])], rcond=None)[0]
            for one in (treated, ~treated)
        )
        expected[i] = ours - theirs + ((y[i] - ours) / 0.5 if treated[i] else -(y[i] - theirs) / 0.5)
    assert trial.pseudo("ads", frozenset(range(3))) == pytest.approx(expected, abs=1e-9)


def test_the_dr_learner_is_that_of_econml(monkeypatch):
    from econml.dr import DRLearner
    from sklearn.linear_model import LinearRegression

    class ByArm:
        def fit(self, xt, y, **rest):
            self.arms = [LinearRegression().fit(xt[xt[:, -1] == one, :-1], y[xt[:, -1] == one]) for one in (0, 1)]
            return self

        def predict(self, xt):
            return np.where(xt[:, -1] == 1, self.arms[1].predict(xt[:, :-1]), self.arms[0].predict(xt[:, :-1]))

        def get_params(self, deep=True):
            return {}

    class Even(ByArm):
        def fit(self, x, t, **rest):
            self.classes_ = np.array([0, 1])
            return self

        def predict_proba(self, x):
            return np.full((len(x), 2), 0.5)

    trial, told = straight("dr", monkeypatch)
    x, treated = trial.folds.encoded.to_numpy().astype(float), (trial.arm == "ads").astype(int)
    cuts = [(np.flatnonzero(trial.folds.fold != k), np.flatnonzero(trial.folds.fold == k)) for k in range(3)]
    theirs = DRLearner(
        model_propensity=Even(), model_regression=ByArm(), model_final=LinearRegression(), cv=cuts, min_propensity=0.01
    ).fit(trial.outcome, treated, X=x)
    assert told == pytest.approx(theirs.effect(x), abs=1e-9)


@pytest.mark.parametrize("learner", ["t", "x"])
def test_the_other_learners_are_those_of_econml(learner, monkeypatch):
    from econml.metalearners import TLearner, XLearner
    from sklearn.dummy import DummyClassifier
    from sklearn.linear_model import LinearRegression

    trial, told = straight(learner, monkeypatch)
    x, treated = trial.folds.encoded.to_numpy().astype(float), (trial.arm == "ads").astype(int)
    model = LinearRegression()
    if learner == "t":
        theirs, apart = TLearner(models=model), 1e-9
    else:  # it does not cross-fit
        theirs, apart = XLearner(models=model, propensity_model=DummyClassifier()), 0.02
    assert told == pytest.approx(theirs.fit(trial.outcome, treated, X=x).effect(x).ravel(), abs=apart)


# ---- honesty and invariance -----------------------------------------------------------------------------------------


@pytest.mark.parametrize("learner", LEARNERS)
def test_a_score_owes_nothing_to_the_outcomes_of_its_own_fold_nor_held_out_to_later_ones(learner):
    fit, frame = fitted(learner), WORLD
    fold = fit.out_of_fold["fold"].to_numpy()
    changed = np.where(fold >= 3, 7 - frame["orders"].to_numpy(), frame["orders"].to_numpy())
    later = fit_uplift(frame.with_columns(orders=pl.Series(changed)), **ASK, learner=learner)
    assert (later.out_of_fold["fold"].to_numpy() == fold).all()
    for told, again in ((fit.held_out, later.held_out), (fit.out_of_fold, later.out_of_fold)):
        same = (told["effect"] == again["effect"]).to_numpy()
        assert same[(told["fold"] == 2).to_numpy()].all() == (told is fit.held_out)
    one = np.where(fold == 1, 7 - frame["orders"].to_numpy(), frame["orders"].to_numpy())
    other = fit_uplift(frame.with_columns(orders=pl.Series(one)), **ASK, learner=learner).out_of_fold
    same = (other["effect"] == fit.out_of_fold["effect"]).to_numpy()
    assert same[fold == 1].all()
    assert not same[fold != 1].any()
    assert fit.held_out["fold"].unique().to_list() == [2, 3, 4]


def test_row_order_names_and_currency_decide_nothing():
    fit = fitted()
    renamed = WORLD.with_columns(customer_id=pl.format("c{}", 10_000 - pl.col("customer_id")))
    moved = renamed.with_columns(orders=1e9 + 100.0 * pl.col("orders")).sample(fraction=1, shuffle=True, seed=4)
    other = fit_uplift(moved.select(reversed(moved.columns)), **ASK | {"rng": np.random.default_rng(1)})
    assert other.out_of_fold["customer_id"].equals(moved["customer_id"])
    told = WORLD.select("customer_id").hstack(fit.out_of_fold.select("effect", "pseudo"))
    told = told.with_columns(customer_id=pl.format("c{}", 10_000 - pl.col("customer_id")))
    both = other.out_of_fold.select("customer_id", "effect", "pseudo").join(told, on="customer_id")
    for name in ("effect", "pseudo"):
        assert both[name].to_numpy() / 100 == pytest.approx(both[f"{name}_right"].to_numpy(), abs=1e-5)


def test_the_scores_keep_the_order_of_the_frame_and_say_which_arm_was_given():
    told = fitted().out_of_fold
    assert told.columns == ["customer_id", "arm_given", "arm", "outcome", "effect", "pseudo", "propensity", "fold"]
    assert told["customer_id"].equals(WORLD["customer_id"])
    assert (told["arm_given"] == WORLD["arm"]).all()
    assert (told["outcome"] == WORLD["orders"]).all()


def test_a_column_of_chances_and_a_planned_share_say_the_same():
    planned = pl.when(pl.col("arm") == "ads").then(0.52).otherwise(0.48)
    column = fit_uplift(WORLD.with_columns(probability=planned), **ASK)
    share = fit_uplift(WORLD, **ASK, propensity=0.52)
    assert column.out_of_fold.equals(share.out_of_fold)
    assert column.propensity == "as planned"


def test_customers_dealt_together_stay_together_and_widen_the_interval():
    twins = pl.concat([WORLD, WORLD.with_columns(customer_id=pl.col("customer_id") + 10_000)])
    twins = twins.with_columns(household=pl.col("customer_id") % 10_000)
    ask = ASK | {"learner": "t"}
    fit = fit_uplift(twins, **ask, cluster="household")
    assert fit.out_of_fold.group_by("cluster").agg(pl.n_unique("fold"))["fold"].max() == 1
    apart, alone = (one.average().table["standard_error"][0] for one in (fit, fit_uplift(twins, **ask)))
    assert apart == pytest.approx(np.sqrt(2) * alone, rel=0.05)


def test_new_customers_may_have_categories_never_seen_and_no_id():
    new = WORLD.head(3).drop("customer_id", "arm", "orders").with_columns(source=pl.lit("radio"))
    with pytest.warns(UserWarning, match="3 rows have a category of 'source'"):
        told = fitted().predict(new)
    assert told.columns == ["arm", "effect"]
    assert fitted().predict(WORLD.clear()).is_empty()
    with pytest.raises(ContractError, match="'moved' is missing"):
        fitted().predict(new.drop("moved"))


# ---- the average ----------------------------------------------------------------------------------------------------


@pytest.mark.certify
def test_the_average_covers_with_a_small_arm(certify):
    def hits(seed):
        frame = world(n=600, seed=seed, share=0.15)
        fit = fit_uplift(frame, **ASK | {"features": ["base", "moved"]}, learner="t", folds=3)
        row = fit.average(level=0.9).table.row(0, named=True)
        return [row["low"] <= 0.5 <= row["high"]]

    certify(hits, level=0.9, worlds=WORLDS // 2)


def test_the_average_is_told_as_a_row_with_the_ledgers_words():
    row = fitted().average().table.row(0, named=True)
    assert (row["question"], row["estimand"]) == ("What did the ads add?", "per assigned customer")
    assert (row["metric"], row["measure"], row["contrast"]) == ("orders", "orders", "ads - none")
    assert row["method"] == "doubly robust, cross-fitted trees, propensity shares of the arms"
    assert row["low"] < WORLD["true"].mean() < row["high"]
    naive = WORLD.group_by("arm").agg(pl.mean("orders"), se=pl.col("orders").var() / pl.len())
    assert row["standard_error"] < np.sqrt(naive["se"].sum())  # the features sharpen it


def test_a_fit_reads_well():
    assert "UpliftFit of 'orders' by the dr learner: 4 features, 5 folds" in repr(fitted())
    assert "scores carry no interval" in fitted()._repr_html_()


# ---- what is refused ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"learner": "s"}, "learner is 's'; it must be one of 'dr', 'x', 't'"),
        ({"folds": 2}, "folds is 2; it must be a whole number >= 3"),
        ({"control": "holdout"}, "control is 'holdout'; the arms are 'ads', 'none'"),
        ({"features": "base"}, r"features is 'base'; it must be a list of column names"),
        ({"features": []}, "there are no features"),
        ({"features": ["base", "age"]}, "'age' is missing"),
        ({"features": ["base", "arm"]}, "features has 'arm': the customer, the arm and what the experiment measures"),
        ({"features": ["base", "orders"]}, "features has 'orders'"),
        ({"features": ["base", "exposed"]}, "nor can columns of the names 'exposed'"),
        ({"features": ["base", "visits"]}, "has 'visits', which the experiment measures, as there is 'pre_visits'"),
        ({"features": ["base", "revenue"]}, "features has 'revenue'"),
        ({"outcome": "word"}, "'word' is String; it must be numbers or flags"),
        ({"outcome": "none"}, "'none' is missing"),
        ({"propensity": 50}, "propensity is 50; it must lie between 0 and 1, or be 'estimated' or None"),
        ({"propensity": "known"}, "propensity is 'known'"),
        ({"outcome": "same"}, "'same' is 3 for all customers"),
        ({"outcome": ["orders"]}, r"outcome is \['orders'\]; it must be the name of a column"),
        ({"features": None}, "features is None; it must be"),
        ({"cluster": "arm"}, "cluster is 'arm'; it must be the column of what was dealt as one"),
        ({"cluster": "same"}, "dealt into 5 folds by 'same', one of them has fewer than 5 customers of an arm"),
        ({"cluster": "holey"}, "'holey' is null for some"),
        ({"folds": 900}, "dealt into 900 folds, one of them has fewer than 5 customers"),
    ],
)
def test_what_cannot_be_asked_is_named(options, message):
    frame = WORLD.with_columns(exposed=True, visits=1, pre_visits=2, revenue=pl.col("orders"), same=3, word=pl.lit("x"))
    frame = frame.with_columns(holey=pl.when(pl.col("customer_id") > 5).then("customer_id"))
    with pytest.raises((ValueError, TypeError), match=message):
        fit_uplift(frame, **ASK | options)


def test_a_small_arm_is_refused():
    frame = pl.concat([WORLD.filter(pl.col("arm") == "none"), WORLD.filter(pl.col("arm") == "ads").head(49)])
    with pytest.raises(ContractError, match="arm 'ads' has 49 customers; scores take at least 50"):
        fit_uplift(frame, **ASK)


@pytest.mark.parametrize("chance", [None, 0.0])
def test_a_chance_that_nobody_can_divide_by_is_refused(chance):
    column = pl.when(pl.int_range(pl.len()) == 5).then(chance).otherwise(0.5)
    with pytest.raises(ContractError, match="'probability' is null or 0 for some"):
        fit_uplift(WORLD.with_columns(probability=column), **ASK)


def test_lost_customers_are_refused():
    lost = WORLD.with_columns(probability=0.5).filter((pl.col("arm") == "none") | (pl.col("base") < 0.5))
    with pytest.raises(ValueError, match="Sample ratio mismatch"):
        fit_uplift(lost, **ASK)


def test_arms_of_unlike_customers_are_refused():
    frame = WORLD.with_columns(arm=pl.when(pl.col("base") > 0).then(pl.lit("ads")).otherwise(pl.lit("none")))
    with pytest.raises(ValueError, match=r"no overlap: .* of the customers had less than a tenth"):
        fit_uplift(frame, **ASK, propensity="estimated")


def test_one_share_for_several_arms_and_a_name_left_out_among_several_are_refused():
    frame = world(n=900, arms=("none", "dud", "ads"), share=2 / 3)
    with pytest.raises(ValueError, match="the treatments are 'ads', 'dud'; give a column 'probability'"):
        fit_uplift(frame, **ASK, propensity=0.5)
    fit = fit_uplift(frame, **ASK, folds=3, learner="t")
    with pytest.raises(ValueError, match="arm is None; it must be one of 'ads', 'dud'"):
        fit.of()
