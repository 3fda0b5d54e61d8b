"""The effect by groups of a score: equal to the definitions, covering the truth, and quiet where there is nothing."""

import numpy as np
import polars as pl
import pytest
from scipy.stats import ttest_ind

from shoptoolkit.contract import ContractError
from shoptoolkit.incrementality import fit_uplift, uplift_calibration
from tests.conftest import WORLDS


def scored(n=2_000, seed=0, *, folds=3, share=0.5, own=None, slope=0.5):
    """Customers with a score each, `true` effect slope x score + 1, and a pseudo-outcome around it."""
    rng = np.random.default_rng(seed)
    score, treated = rng.normal(size=n), rng.random(n) < share
    true = 1 + slope * score
    outcome = (rng.normal(size=n) if own is None else own(rng, n)) + true * treated
    pseudo = np.where(treated, outcome / share, -outcome / (1 - share))
    return pl.DataFrame({"effect": score, "pseudo": pseudo, "fold": rng.integers(0, folds, n), "true": true})


def rows_of(judged):
    """The last rows: highest - lowest, slope, average."""
    return judged.estimates.table[-3:].to_dicts()


# ---- against the definitions ----------------------------------------------------------------------------------------


def test_groups_hold_equal_parts_of_every_fold_and_tell_their_means():
    frame = scored(n=1_500)
    judged = uplift_calibration(frame, groups=5)
    place = frame.select(pl.col("effect").rank().over("fold") / pl.len().over("fold")).to_series().to_numpy()
    group = np.ceil(place * 5 - 1e-9)
    for row in judged.table.to_dicts():
        own = frame.filter(pl.Series(group == int(row["group"])))
        assert abs(row["n"] - len(own)) <= 3
        assert row["estimate"] == pytest.approx(own["pseudo"].mean(), abs=0.1)
    assert judged.table["n"].sum() == 1_500
    assert judged.table.columns == ["arm", "group", "n", "mean_score", "estimate", "standard_error", "low", "high"]


def test_the_difference_of_the_outer_groups_is_welchs():
    frame = scored(folds=1).sort("effect")
    top, bottom = frame["pseudo"][-500:].to_numpy(), frame["pseudo"][:500].to_numpy()
    row = rows_of(uplift_calibration(frame, groups=4))[0]
    welch = ttest_ind(top, bottom, equal_var=False)
    assert row["group"] == "highest - lowest by score"
    assert row["estimate"] == pytest.approx(top.mean() - bottom.mean(), rel=1e-9)
    assert row["estimate"] / row["standard_error"] == pytest.approx(welch.statistic, rel=1e-9)
    assert row["p_value"] == pytest.approx(welch.pvalue, rel=0.02)


def test_the_slope_is_least_squares_within_folds_with_hc2_errors():
    import statsmodels.api as sm

    frame = scored(n=300, seed=3)
    folds = frame["fold"].to_numpy()[:, None] == np.arange(3)
    theirs = sm.OLS(frame["pseudo"].to_numpy(), np.column_stack([frame["effect"], folds])).fit(cov_type="HC2")
    row = rows_of(uplift_calibration(frame))[1]
    assert row["estimand"] == "slope of the effect on the score"
    assert row["estimate"] == pytest.approx(theirs.params[0], rel=1e-9)
    assert row["standard_error"] == pytest.approx(theirs.bse[0], rel=1e-9)


def test_clusters_are_summed_before_they_are_squared():
    frame = scored(n=400, folds=1)
    twins = pl.concat([frame.with_columns(cluster=pl.int_range(pl.len()))] * 2)
    alone, apart = rows_of(uplift_calibration(frame)), rows_of(uplift_calibration(twins))
    for one, two in zip(alone, apart, strict=True):
        assert two["estimate"] == pytest.approx(one["estimate"], rel=1e-9)
        assert two["standard_error"] == pytest.approx(one["standard_error"], rel=0.01)


def test_the_average_is_a_mean_with_its_error():
    frame = scored()
    row = rows_of(uplift_calibration(frame))[2]
    assert row["estimate"] == pytest.approx(frame["pseudo"].mean())
    assert row["standard_error"] == pytest.approx(frame["pseudo"].std() / np.sqrt(len(frame)))


def test_equal_scores_stay_together():
    frame = scored(folds=1).with_columns(effect=pl.col("effect").sign())
    judged = uplift_calibration(frame, groups=4)
    assert len(judged.table) == 2
    assert judged.table["mean_score"].to_list() == [-1, 1]


def test_order_of_rows_and_currency_decide_nothing():
    frame = scored()
    plain = uplift_calibration(frame).table
    assert uplift_calibration(frame.reverse()).table.equals(plain)
    money = pl.col("effect", "pseudo") * 1_000
    other = uplift_calibration(frame.with_columns(money).sample(fraction=1, shuffle=True, seed=2)).table
    for name in ("estimate", "low", "high", "mean_score"):
        assert other[name].to_numpy() / 1_000 == pytest.approx(plain[name].to_numpy(), rel=1e-9)


# ---- cover and size -------------------------------------------------------------------------------------------------


def buyers(rng, n):
    """Revenue of which one customer in a hundred has any."""
    return (rng.random(n) < 0.01) * rng.lognormal(3.5, 0.7, n)


KINDS = {
    "normal": {"n": 600},
    "a small arm": {"n": 4_000, "share": 0.1, "own": lambda rng, n: rng.exponential(size=n) - 1},
    "one buyer in a hundred": {"n": 20_000, "own": buyers},
}


@pytest.mark.certify
@pytest.mark.parametrize("kind", KINDS)
def test_groups_difference_slope_and_average_cover(kind, certify):
    def hits(seed):
        frame = scored(seed=seed, slope=0.3, **KINDS[kind])
        judged = uplift_calibration(frame, groups=3, level=0.9)
        edges = 0.3 * np.array([-1.0910, 0, 1.0910])  # the mean of a normal law's thirds
        told = [(row["low"], row["high"], 1 + mean) for row, mean in zip(judged.table.to_dicts(), edges, strict=True)]
        apart, slope, average = rows_of(judged)
        pairs = ((apart, edges[2] - edges[0]), (slope, 0.3), (average, 1.0))
        return [
            low <= true <= high for low, high, true in told + [(row["low"], row["high"], true) for row, true in pairs]
        ]

    certify(hits, level=0.9, worlds=WORLDS // 2)


@pytest.mark.certify
def test_clusters_of_customers_cover(certify):
    def hits(seed):
        rng = np.random.default_rng(seed)
        cluster = np.repeat(np.arange(80), rng.integers(2, 20, 80))
        shared, score = rng.normal(size=80)[cluster], rng.normal(size=80)[cluster] + rng.normal(size=len(cluster))
        pseudo = 1 + 0.3 * score + 2 * shared * score + shared + rng.normal(size=len(cluster))
        frame = pl.DataFrame({"effect": score, "pseudo": pseudo, "cluster": cluster})
        _, slope, average = rows_of(uplift_calibration(frame, level=0.9))
        return [slope["low"] <= 0.3 <= slope["high"], average["low"] <= 1 <= average["high"]]

    certify(hits, level=0.9, worlds=WORLDS // 2)


def lines(seed, *, n=400, folds=5, width=8):
    """Out-of-fold and earlier-fold scores of least squares, where the effect is the same for all."""
    rng = np.random.default_rng(seed)
    x, pseudo, fold = rng.normal(size=(n, width)), rng.normal(1, 2, n), np.arange(n) % folds
    told = {}
    for name, known in (("pooled", lambda k: fold != k), ("earlier", lambda k: fold < k)):
        score = np.full(n, np.nan)
        for k in range(0 if name == "pooled" else 2, folds):
            slopes = np.linalg.lstsq(x[known(k)], pseudo[known(k)] - pseudo[known(k)].mean(), rcond=None)[0]
            score[fold == k] = x[fold == k] @ slopes
        told[name] = pl.DataFrame({"effect": score, "pseudo": pseudo, "fold": fold}).filter(
            pl.col("effect").is_not_nan()
        )
    return told


@pytest.mark.certify
def test_where_effects_do_not_differ_scores_of_earlier_folds_find_nothing_and_pooled_ones_do(certify):
    pooled = []

    def hits(seed):
        told = {name: rows_of(uplift_calibration(one, groups=3))[:2] for name, one in lines(seed).items()}
        pooled.append([row["p_value"] > 0.1 for row in told["pooled"]])
        return [row["p_value"] > 0.1 for row in told["earlier"]]

    certify(hits, level=0.9, worlds=WORLDS // 2)
    assert (np.mean(pooled, axis=0) < 0.87).all()


def shoppers(seed, *, n=500, moved=0.0):
    rng = np.random.default_rng(seed)
    base, other = rng.normal(size=(2, n))
    treated = rng.random(n) < 0.5
    orders = base + (0.3 + moved * (other > 0)) * treated + rng.normal(size=n)
    return pl.DataFrame(
        {
            "customer_id": range(n),
            "arm": np.where(treated, "ads", "none"),
            "orders": orders,
            "base": base,
            "other": other,
        }
    )


ASK = {"outcome": "orders", "control": "none", "features": ["base", "other"], "nthread": 1}


@pytest.mark.certify
def test_fitted_scores_find_no_differences_where_there_are_none(certify):
    def hits(seed):
        judged = uplift_calibration(fit_uplift(shoppers(seed), **ASK, rng=seed, learner="t", folds=3), groups=3)
        return [not row["p_value"] < 0.1 for row in rows_of(judged)[:2]]  # null where a score is the same for all

    certify(hits, level=0.9, worlds=WORLDS // 2)


def test_fitted_scores_find_whom_the_ad_moves():
    fit = fit_uplift(shoppers(1, n=4_000, moved=1.0), **ASK, rng=1)
    judged = uplift_calibration(fit, groups=2)
    apart, slope, average = rows_of(judged)
    assert judged.in_order == {"ads": True}
    assert 0.3 < apart["low"] < apart["high"] < 1.1  # the score is not perfect
    assert slope["low"] < 1 < slope["high"]
    assert slope["p_value"] < 0.001
    assert average["low"] < 0.8 < average["high"]
    assert len(fit.held_out) == average["n"] == 2_400
    assert average["contrast"] == "ads - none"
    assert average["method"] == "doubly robust, scores by earlier folds (dr learner)"


def test_scores_that_say_too_much_have_a_slope_below_one():
    frame = scored(n=5_000, slope=1.0).with_columns(effect=3 * pl.col("effect"))
    slope = rows_of(uplift_calibration(frame))[1]
    assert slope["low"] < 1 / 3 < slope["high"] < 0.5


# ---- what is refused ------------------------------------------------------------------------------------------------


def test_a_score_that_is_the_same_for_all_has_one_group_and_no_slope():
    judged = uplift_calibration(scored().with_columns(effect=1.0))
    apart, slope, average = rows_of(judged)
    assert judged.table.rows()[0][:3] == ("treatment", "3", 2_000)
    assert apart["verdict"] == slope["verdict"] == "refused"
    assert slope["reason"].startswith("the score is the same for all customers")
    assert average["verdict"] == "ok"


def test_a_group_of_few_customers_has_no_interval():
    judged = uplift_calibration(scored(n=100, folds=1), groups=4)
    assert judged.table["low"].null_count() == 4
    assert judged.estimates.table["reason"][0].startswith("fewer than 30 customers of this score")
    assert rows_of(judged)[1]["verdict"] == "ok"


@pytest.mark.parametrize(
    ("change", "options", "message"),
    [
        ({}, {"groups": 1}, "groups is 1; it must be a whole number >= 2"),
        ({}, {"level": 95}, "level is 95"),
        ({"pseudo": None}, {}, "scores: 'pseudo' must be finite numbers"),
        ({"effect": "high"}, {}, "scores: 'effect' must be finite numbers"),
        ({"effect": float("nan")}, {}, "scores: 'effect' must be finite numbers"),
        ({"cluster": None}, {}, "scores: 'cluster' is null for some"),
        ({"cluster": 1}, {}, "'cluster' is null for some or the same for all"),
    ],
)
def test_what_cannot_be_judged_is_named(change, options, message):
    frame = scored(n=100).with_columns(**{name: pl.lit(value) for name, value in change.items()})
    with pytest.raises((ValueError, ContractError), match=message):
        uplift_calibration(frame, **options)


def test_a_frame_without_scores_or_rows_is_named():
    with pytest.raises(ContractError, match=r"scores: 'effect' is missing\. It has: pseudo, fold, true"):
        uplift_calibration(scored(n=100).drop("effect"))
    with pytest.raises(ContractError, match="scores: the frame has 0 rows"):
        uplift_calibration(scored(n=100).clear())


def test_it_reads_well():
    judged = uplift_calibration(scored())
    assert "highest - lowest by score" in repr(judged)
    assert "groups of customers by score, lowest first; 95 % intervals" in judged._repr_html_()
