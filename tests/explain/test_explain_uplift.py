"""Contributions to the effect: exact for the score, and none for what drives the outcome in both arms alike."""

import numpy as np
import polars as pl
import pytest

from shoptoolkit.explain import explain_uplift, shap_values
from shoptoolkit.incrementality import fit_uplift


def world(n=6_000, seed=0):
    rng = np.random.default_rng(seed)
    driver, mover, noise = rng.normal(size=(3, n))
    arm = rng.choice(["none", "dud", "ads"], n)
    orders = rng.poisson(np.exp(0.3 + 0.8 * driver.clip(-2, 2)) + 1.5 * (mover > 0) * (arm == "ads"))
    source = rng.choice(["paid", "mail", None], n).tolist()
    return pl.DataFrame(
        {"customer_id": range(n), "arm": arm, "orders": orders, "driver": driver, "mover": mover, "noise": noise}
    ).with_columns(source=pl.Series(source, dtype=pl.String))


WORLD = world()
FEATURES = ["driver", "mover", "noise", "source"]


def fitted(frame=WORLD, learner="dr"):
    ask = {"outcome": "orders", "control": "none", "features": FEATURES, "rng": 1, "nthread": 1, "folds": 3}
    return fit_uplift(frame, **ask, learner=learner)


@pytest.mark.parametrize("learner", ["dr", "x", "t"])
def test_base_and_contributions_are_what_predict_gives(learner):
    fit = fitted(learner=learner)
    for arm in ("ads", "dud"):
        told = explain_uplift(fit, WORLD.head(200), arm=arm)
        sums = told.table.group_by("row").agg(pl.col("contribution").sum() + pl.col("base").first()).sort("row")
        scores = fit.predict(WORLD.head(200)).filter(pl.col("arm") == arm)["effect"].to_numpy()
        assert np.abs(sums["contribution"].to_numpy() - scores).max() < 1e-4 * scores.std()
    assert told.scale == "effect"


def test_what_moves_the_effect_comes_first_and_what_drives_the_outcome_gets_little():
    sizes = explain_uplift(fitted(), WORLD, arm="ads", rows=500, rng=1).importance()
    told = dict(sizes.select("feature", "mean_size").rows())
    assert sizes["feature"][0] == "mover"
    assert told["driver"] < 0.25 * told["mover"]


def test_groups_and_samples_are_those_of_shap_values():
    told = explain_uplift(fitted(learner="t"), WORLD, arm="ads", rows=60, by="source", rng=1)
    assert told.n == 60
    assert set(told.table["group"]) == {"paid", "mail", "missing"}
    assert "effect" in repr(told)


def test_an_arm_without_scores_is_named():
    fit = fitted(learner="t")
    for arm in (None, "none"):
        with pytest.raises(ValueError, match=f"arm is {arm!r}; it must be one of 'ads', 'dud'"):
            explain_uplift(fit, WORLD, arm=arm)
    alone = fitted(WORLD.filter(pl.col("arm") != "dud"), learner="t")
    assert explain_uplift(alone, WORLD.head(5)).n == 5


def test_a_fit_of_another_kind_is_refused_and_the_right_one_named():
    with pytest.raises(
        TypeError, match=r"fit is a UpliftFit, which has no .*margin.*an UpliftFit is for explain_uplift"
    ):
        shap_values(fitted(learner="t"), WORLD)
    with pytest.raises(TypeError, match=r"fit is a DataFrame, which has no of; pass what fit_uplift returns"):
        explain_uplift(WORLD, WORLD)
