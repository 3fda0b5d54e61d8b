"""The lift is the peers' to the last digits, holds the truth as often as it says, and refuses what it cannot tell."""

from __future__ import annotations

import numpy as np
import polars as pl
import pyfixest
import pytest
import statsmodels.api as sm
import tea_tasting as tt
from hypothesis import given, settings
from hypothesis import strategies as st
from polars.testing import assert_frame_equal

from shoptoolkit.contract import ContractError
from shoptoolkit.datasets import tidy
from shoptoolkit.incrementality import lift, moments

RATIO = {"orders": "orders", "per session": ("orders", "sessions")}
NUMBERS = ["estimate", "standard_error", "low", "high", "p_value"]


def shop(rng, n=400, *, share=0.4, arms=("none", "ad")):
    """Customers whose orders depend on those before, more so with the ad."""
    random = np.random.default_rng(rng)
    before, age = random.gamma(1, 2, n), random.normal(size=n)
    treated = random.random(n) < share
    sessions = 1 + random.poisson(2, n)
    return pl.DataFrame(
        {
            "customer_id": np.arange(n),
            "arm": np.where(treated, arms[1], arms[0]),
            "orders": random.poisson((0.3 + 0.1 * before) * sessions * (1 + 0.2 * treated)),
            "sessions": sessions,
            "pre_orders": before,
            "pre_age": age,
            "variant": treated.astype(int),
            "region": random.choice(["north", "south", "west"], n),
        }
    )


def told(frame, metrics="orders", **options):
    return lift(frame, control="none", metrics=metrics, **options).table


def row(frame, metrics="orders", **options):
    return told(frame, metrics, **options).row(0, named=True)


def reason(frame, metrics="orders", **options):
    table = told(frame, metrics, **options)
    assert set(table["verdict"]) == {"refused"}
    assert table.select(NUMBERS).null_count().row(0) == (len(table),) * len(NUMBERS)
    return table["reason"][0]


# ---- the same as others -----------------------------------------------------------------------------------------


@pytest.mark.parametrize("covariate", [None, "pre_orders"], ids=["unadjusted", "pooled"])
@given(seed=st.integers(0, 10**6), n=st.integers(150, 500), share=st.floats(0.2, 0.8))
@settings(max_examples=10)
def test_means_ratios_pooled_adjustment_and_log_ratios_are_those_of_tea_tasting(covariate, seed, n, share):
    frame = shop(seed, n, share=share)
    peer = tt.Experiment(a=tt.Mean("orders", covariate), b=tt.RatioOfMeans("orders", "sessions", covariate))
    theirs = peer.analyze(frame.select(pl.exclude("arm", "region")))
    ours = told(frame, RATIO, covariates=covariate or (), adjustment="pooled", relative="delta").to_dicts()
    for (difference, relative), one in zip((ours[:2], ours[2:]), (theirs["a"], theirs["b"])):
        assert [difference[name] for name in ("estimate", "low", "high", "p_value")] == pytest.approx(
            [one.effect_size, one.effect_size_ci_lower, one.effect_size_ci_upper, one.pvalue], rel=1e-9, abs=1e-12
        )
        assert [relative[name] for name in ("estimate", "low", "high")] == pytest.approx(
            [one.rel_effect_size, one.rel_effect_size_ci_lower, one.rel_effect_size_ci_upper], rel=1e-9, abs=1e-12
        )


def regression(frame, names):
    """Orders on the arm and its products with centred covariates."""
    x = frame.select(names).to_numpy()
    x, treated = x - x.mean(axis=0), frame["variant"].to_numpy()[:, None]
    return sm.OLS(frame["orders"].to_numpy(), np.hstack([np.ones_like(treated), treated, x, treated * x]))


def of_the_means(frame, names):
    """The variance that the covariates' means leave in the difference: slopes' difference x covariance / n."""
    turn = [
        np.linalg.lstsq(np.column_stack([np.ones(len(p)), p.select(names)]), p["orders"].to_numpy(), rcond=None)[0][1:]
        for p in (frame.filter(variant=k) for k in (0, 1))
    ]
    far = turn[1] - turn[0]
    return float(far @ np.atleast_2d(np.cov(frame.select(names).to_numpy().T)) @ far) / len(frame)


@pytest.mark.parametrize("names", [["pre_orders"], ["pre_orders", "pre_age"]])
def test_interacted_errors_are_hc2_plus_that_of_the_covariates_means(names):
    frame = shop(3)
    ours, theirs = row(frame, covariates=names), regression(frame, names).fit(cov_type="HC2")
    assert ours["estimate"] == pytest.approx(theirs.params[1], rel=1e-9)
    assert ours["standard_error"] ** 2 == pytest.approx(theirs.bse[1] ** 2 + of_the_means(frame, names), rel=1e-9)


def test_interacted_errors_are_those_of_pyfixest():
    frame = shop(4).with_columns(x=pl.col("pre_orders") - pl.col("pre_orders").mean()).to_pandas()
    fit = pyfixest.feols("orders ~ variant * x", data=frame, vcov="HC2", ssc=pyfixest.ssc(k_adj=False, G_adj=False))
    ours = row(shop(4), covariates="pre_orders")
    assert ours["estimate"] == pytest.approx(fit.coef()["variant"], rel=1e-9)
    more = of_the_means(shop(4), ["pre_orders"])
    assert ours["standard_error"] ** 2 == pytest.approx(fit.se()["variant"] ** 2 + more, rel=1e-9)


def test_without_rows_the_residual_variance_of_each_arm_gives_the_error():
    frame, names = shop(5), ["pre_orders", "pre_age"]
    x = frame.select(names).to_numpy()
    variance = of_the_means(frame, names)
    for k in (0, 1):
        part = frame["variant"].to_numpy() == k
        fit = sm.OLS(frame["orders"].to_numpy()[part], sm.add_constant(x[part] - x.mean(axis=0))).fit()
        variance += fit.bse[0] ** 2
    assert row(frame, covariates=names, errors="moments")["standard_error"] ** 2 == pytest.approx(variance, rel=1e-9)


def test_strata_are_weighed_by_their_customers():
    frame = shop(6)
    cells = frame.group_by("region", "variant").agg(pl.len(), pl.col("orders").mean(), v=pl.col("orders").var())
    wide = cells.pivot("variant", index="region", values=["len", "orders", "v"])
    share = (wide["len_0"] + wide["len_1"]) / len(frame)
    effects = wide["orders_1"] - wide["orders_0"]
    effect = (share * effects).sum()
    variance = (share**2 * (wide["v_1"] / wide["len_1"] + wide["v_0"] / wide["len_0"])).sum()
    variance += (share * (effects - effect) ** 2).sum() / len(frame)  # the strata of customers to come
    ours = row(frame, strata="region")
    assert (ours["estimate"], ours["standard_error"] ** 2) == pytest.approx((effect, variance), rel=1e-9)
    assert "within 3 strata" in ours["method"]


def test_a_ratio_within_one_stratum_is_the_ratio():
    frame = shop(7).with_columns(one=pl.lit("x"))
    assert_frame_equal(told(frame, RATIO, strata="one"), told(frame, RATIO))


def households(rng, clusters=40, *, size=lambda random, n: 1 + random.poisson(4, n), effect=0.0, share=0.5):
    random = np.random.default_rng(rng)
    sizes = size(random, clusters)
    of = np.repeat(np.arange(clusters), sizes)
    treated = np.isin(of, random.permutation(clusters)[: round(clusters * share)])
    spend = random.gamma(2, 5, clusters)[of] + random.exponential(10, len(of)) + effect * treated
    frame = {"customer_id": np.arange(len(of)), "household": of, "arm": np.where(treated, "ad", "none")}
    return pl.DataFrame(frame | {"revenue": spend, "orders": 1 + random.poisson(spend / 10), "pre_x": spend**0.5})


@pytest.mark.parametrize("metric", ["revenue", {"per order": ("revenue", "orders")}], ids=["mean", "ratio"])
def test_cluster_errors_are_those_of_a_cluster_robust_regression_in_each_arm(metric):
    frame = households(1)
    ours, means, variance = row(frame, metric, cluster="household"), [], 0.0
    for arm in ("ad", "none"):
        part = frame.filter(arm=arm)
        if metric == "revenue":
            fit = pyfixest.feols("revenue ~ 1", data=part.to_pandas(), vcov={"CRV1": "household"})
            means.append(fit.coef().iloc[0])
            variance += fit.se().iloc[0] ** 2
        else:
            ratio = part["revenue"].sum() / part["orders"].sum()
            sums = part.group_by("household").agg((pl.col("revenue") - ratio * pl.col("orders")).sum())["revenue"]
            means.append(ratio)
            variance += len(sums) * sums.var() / part["orders"].sum() ** 2
    assert ours["estimate"] == pytest.approx(means[0] - means[1], rel=1e-9)
    assert ours["standard_error"] ** 2 == pytest.approx(variance, rel=1e-9)
    assert ours["n"] == len(frame)
    assert "40 clusters" in ours["method"]


def test_clusters_of_one_customer_are_customers():
    frame = shop(8).with_columns(alone=pl.col("customer_id"))
    for options in ({}, {"covariates": ["pre_orders"]}, {"strata": "region"}):
        ours, plain = told(frame, RATIO, cluster="alone", **options), told(frame, RATIO, **options)
        np.testing.assert_allclose(ours.select(NUMBERS), plain.select(NUMBERS), rtol=1e-9)


@pytest.mark.reference
def test_hillstrom_gives_the_numbers_of_the_references(public_data):
    outcomes = tidy("hillstrom", public_data("hillstrom/email_test.parquet"))
    table = told(outcomes, ["visited", "converted", "spend"], relative=None)
    known = {
        "mens - none": [(0.07659, 0.00339), (0.006805, 0.00092), (0.7698, 0.1452)],
        "womens - none": [(0.04523, 0.00323), (0.003111, 0.00082), (0.4244, 0.1303)],
    }
    for contrast, numbers in known.items():
        ours = table.filter(contrast=contrast).select("estimate", "standard_error").rows()
        assert np.array(ours) == pytest.approx(np.array(numbers), abs=6e-5)


# ---- what must not matter ---------------------------------------------------------------------------------------

EVERY = [
    {},
    {"covariates": ["pre_orders", "pre_age"]},
    {"covariates": "pre_orders", "adjustment": "pooled"},
    {"strata": "region", "covariates": "pre_orders"},
    {"by": "region", "relative": "delta"},
]


@pytest.mark.parametrize("options", EVERY)
def test_row_order_names_and_currency_do_not_change_the_answer(options):
    frame = shop(9, 600)
    other = frame.sample(fraction=1, shuffle=True, seed=1).with_columns(
        customer_id=pl.col("customer_id").cast(pl.String) + "x", orders=pl.col("orders") * 100.0
    )
    ours, theirs = told(frame, RATIO, **options), told(other, RATIO, **options)
    scale = np.where(ours["estimand"] == "relative to control", 1, 100)
    for name in NUMBERS:
        times = 1 if name == "p_value" else scale
        np.testing.assert_allclose(theirs[name], ours[name] * times, rtol=1e-8)


@pytest.mark.parametrize("options", EVERY)
def test_revenue_near_a_billion_keeps_its_digits(options):
    frame = shop(10, 600).with_columns(orders=pl.col("orders").cast(float))
    far = frame.with_columns(orders=pl.col("orders") + 2.0**30, pre_orders=(pl.col("pre_orders") * 4).round() + 2.0**30)
    near = frame.with_columns(pre_orders=(pl.col("pre_orders") * 4).round())
    ours, theirs = (
        told(far, relative=None, **_without_delta(options)),
        told(near, relative=None, **_without_delta(options)),
    )
    np.testing.assert_allclose(ours.select(NUMBERS), theirs.select(NUMBERS), rtol=1e-9)


def _without_delta(options):
    return {name: one for name, one in options.items() if name != "relative"}


def test_a_covariate_that_tells_nothing_new_changes_nothing():
    frame = shop(11).with_columns(
        pre_one=pl.lit(7.3), pre_sum=0.3 * pl.col("pre_orders") - 2 * pl.col("pre_age") + 1e6, pre_copy="pre_age"
    )
    plain = told(frame, covariates=["pre_orders", "pre_age"])
    more = told(frame, covariates=["pre_orders", "pre_one", "pre_sum", "pre_copy"])
    np.testing.assert_allclose(more.select(NUMBERS), plain.select(NUMBERS), rtol=1e-7)


def test_another_arm_does_not_change_a_comparison():
    frame = pl.concat([shop(12), shop(13, arms=("sms", "sms")).with_columns(pl.col("customer_id") + 1_000)])
    both = told(frame, covariates="pre_orders")
    assert both["contrast"].unique(maintain_order=True).to_list() == ["ad - none", "sms - none"]
    assert_frame_equal(both.filter(contrast="ad - none"), told(shop(12), covariates="pre_orders"))


def test_groups_are_compared_on_their_own():
    frame = shop(14, 900)
    table = told(frame, covariates="pre_orders", by="region")
    assert table["group"].unique().sort().to_list() == ["north", "south", "west"]
    south = told(frame.filter(region="south"), covariates="pre_orders")
    assert_frame_equal(table.filter(group="south"), south.with_columns(group=pl.lit("south")))


# ---- what the rows say ------------------------------------------------------------------------------------------


def test_rows_say_what_they_tell():
    frame = Counted(shop(15))
    table = told(frame, RATIO, covariates=["pre_orders"])
    assert table["estimand"].to_list() == [
        "per assigned customer",
        "relative to control",
        "orders per sessions, as assigned",
        "relative to control",
    ]
    assert table["measure"].to_list() == ["orders", "share", None, "share"]
    assert table["horizon_days"].to_list() == [28] * 4
    assert table["method"][1] == "difference in means, adjusted for pre_orders (interacted, HC2); Fieller"


class Counted:
    """A frame that says over how many days outcomes were counted."""

    window_days = 28.0

    def __init__(self, frame):
        self.frame = frame

    def __arrow_c_stream__(self, requested_schema=None):
        return self.frame.__arrow_c_stream__(requested_schema)


def test_winsorised_revenue_is_another_metric():
    frame = shop(16)
    table = told(frame, winsorise=0.9)
    bound = frame["orders"].quantile(0.9, "higher")
    assert set(table["metric"]) == {f"orders up to {bound:g}"}
    cut = told(frame.with_columns(pl.col("orders").clip(upper_bound=bound)))
    assert_frame_equal(table.drop("metric"), cut.drop("metric"))


def test_a_weak_control_opens_the_relative_set():
    frame = shop(17)
    noise, treated = np.random.default_rng(1).normal(size=400), frame["variant"].to_numpy()
    noise += 0.01 - noise[treated == 0].mean()
    assert told(frame.with_columns(orders=noise + treated))["set_shape"].to_list() == ["interval", "rays"]


# ---- refusals ---------------------------------------------------------------------------------------------------


def of(**columns):
    """Twenty customers in each arm."""
    base = {"customer_id": range(40), "arm": ["ad", "none"] * 20, "orders": [0, 1, 2, 0, 1] * 8}
    return pl.DataFrame(base | columns)


def test_few_customers_are_refused():
    assert reason(of().head(18)) == "only 9 customers in 'ad'; an interval needs at least 10."
    few = reason(
        of(pre_a=range(40), pre_b=[1, 0, 0, 1] * 10, pre_c=[3, 2] * 20), covariates=["pre_a", "pre_b", "pre_c"]
    )
    assert few == "only 20 customers in 'ad' for 3 covariates; take fewer covariates, or at least 30."


def test_no_variance_is_refused():
    assert "no variance in 'none': every customer has the same. Was it" in reason(
        of(orders=[1, 0, 2, 0, 1, 0, 0, 0] * 5)
    )
    per = reason(of(sessions=[1, 2, 1, 4] * 10, orders=[3, 6, 3, 12] * 10), {"r": ("orders", "sessions")})
    assert "no variance" in per
    wholly = reason(of(pre_orders=[0.0, 1, 2, 0, 1] * 8), covariates="pre_orders")
    assert "every customer has what the covariates tell" in wholly


def test_a_stratum_that_lacks_an_arm_is_refused():
    frame = of(region=["n"] * 39 + ["s"])
    assert (
        reason(frame, strata="region") == "stratum 's' has fewer than 2 customers in an arm; merge it with another one."
    )
    assert "fewer than 3 customers" in reason(
        of(region=["n"] * 36 + ["s"] * 4, pre_a=[1, 2, 0, 3, 1] * 8), strata="region", covariates="pre_a"
    )


def test_a_denominator_near_zero_is_refused():
    frame = of(sessions=[0, 0, 0, 1, 0, 0, 1, 0] * 5)
    told = reason(frame, {"r": ("orders", "sessions")})
    assert told.startswith("the mean of 'sessions' in 'ad' is within 4 standard errors of zero")


def test_too_few_buyers_in_a_small_arm_are_refused():
    random = np.random.default_rng(1)
    treated, buys = dealt(random, 5_000, 0.1), random.random(5_000) < 0.01
    frame = customers(treated, revenue=buys * random.lognormal(3, 1, 5_000), orders=random.poisson(1, 5_000))
    why = reason(frame, "revenue")
    assert "'revenue' in the smaller arm hangs on some" in why
    assert "(`winsorise` of lift)" in why
    assert row(frame)["verdict"] == "ok"
    equal = frame.with_columns(arm=pl.Series(["ad", "none"] * 2_500))
    assert row(equal, "revenue")["verdict"] == "ok"


@pytest.mark.parametrize("base", [-5.0, 0.0, 1e6])
def test_a_long_tail_is_refused_wherever_it_lies_and_beside_an_equal_arm_it_is_not(base):
    random = np.random.default_rng(3)
    spent = base + random.lognormal(0, 1.5, 2_000)
    frame = customers(dealt(random, 2_000, 0.1), orders=spent)
    assert "(`winsorise` of lift)" in reason(frame)
    assert "(`winsorise` of lift)" in reason(moments(frame, metrics="orders"))
    assert row(frame, winsorise=0.95, metrics="orders")["verdict"] == "ok"
    assert row(customers(dealt(random, 2_000, 0.5), orders=spent))["verdict"] == "ok"


def test_covariates_may_be_named_twice():
    frame = shop(3)
    assert row(frame, covariates=["pre_orders"] * 2)["estimate"] == pytest.approx(
        row(frame, covariates="pre_orders")["estimate"], rel=1e-9
    )


def test_a_group_without_an_arm_is_refused():
    frame = shop(23, 900).filter((pl.col("region") != "west") | (pl.col("arm") == "none"))
    table = told(frame, by="region", covariates="pre_orders")
    assert table["verdict"].to_list() == ["ok"] * 4 + ["refused"] * 2
    assert table["reason"][5].startswith("only 0 customers in 'ad'")


def test_nothing_is_relative_to_zero():
    frame = of(orders=[1, 1, 2, -1, 3, 2, 0, -2] * 5)
    table = told(frame)
    assert table["verdict"].to_list() == ["ok", "refused"]
    assert table["reason"][1] == "the mean in 'none' is 0; nothing is relative to it."
    for orders in ([1, -1, 2, -1, 3, -2, 0, -2], [2, 1, 3, 1, -2, -1, -2, 0]):
        below = told(of(orders=orders * 5), relative="delta")
        assert below["verdict"].to_list() == ["ok", "refused"]
        assert "no log ratio can be told; take relative='fieller'" in below["reason"][1]


def test_covariates_that_the_ads_may_have_changed_are_refused():
    frame = shop(18).with_columns(pre_orders=pl.col("pre_orders") + 2 * pl.col("variant"))
    assert "were they measured after the assignment?" in reason(frame, covariates=["pre_age", "pre_orders"])
    leak = reason(shop(18).with_columns(pre_arm="variant"), covariates=["pre_arm"])
    assert "pre_arm differ between 'ad' and 'none'" in leak


def test_arms_not_dealt_as_planned_are_refused():
    frame = shop(19, 900)
    assert "Sample ratio mismatch" in reason(frame, shares={"ad": 0.6, "none": 0.4})
    assert row(frame, shares={"ad": 0.4, "none": 0.6})["verdict"] == "ok"
    own = pl.when(pl.col("arm") == "ad").then(pl.lit(0.6)).otherwise(pl.lit(0.4))
    assert "Sample ratio mismatch" in reason(frame.with_columns(probability=own))
    assert row(frame.with_columns(probability=1 - own))["verdict"] == "ok"


def test_probabilities_that_differ_are_compared_within_strata():
    frame = shop(20, 900)
    often = pl.when(pl.col("region") == "west").then(pl.lit(0.45)).otherwise(pl.lit(0.4))
    frame = frame.with_columns(probability=pl.when(pl.col("arm") == "ad").then(often).otherwise(1 - often))
    assert "compare within strata= of equal probability" in reason(frame)
    assert row(frame, strata="region")["verdict"] == "ok"
    assert row(frame, by="region")["verdict"] == "ok"


def test_clusters_that_were_assigned_must_be_named():
    frame = households(2).with_columns(cluster="household")
    assert "pass cluster='cluster'" in reason(frame, "revenue")
    assert row(frame, "revenue", cluster="cluster")["verdict"] == "ok"
    assert row(shop(21).with_columns(cluster=pl.col("customer_id") // 5))["verdict"] == "ok"  # people of all arms
    lonely = households(3, 8)
    assert reason(lonely, "revenue", cluster="household").startswith("only")


# ---- errors -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("options", "error", "words"),
    [
        ({"adjustment": "lin"}, ValueError, "adjustment is 'lin'; it must be one of 'interacted', 'pooled'"),
        ({"errors": "hc3"}, ValueError, "errors is 'hc3'"),
        ({"relative": "log"}, ValueError, "relative is 'log'; it must be one of 'fieller', 'delta'"),
        ({"relative": False}, ValueError, "relative is False"),
        ({"covariates": "pre_region"}, ContractError, "'pre_region' missing"),
        ({"covariates": "sessions"}, ValueError, "rename it to 'pre_sessions'"),
        ({"level": 95}, ValueError, "level is 95"),
        ({"winsorise": 99}, ValueError, "winsorise is 99; it must be a quantile between 0.5 and 1"),
        ({"winsorise": 0.9, "metrics": RATIO}, ValueError, "'per session' is a ratio; cut its columns"),
        ({"shares": {"ad": 0.5}}, ValueError, "shares has no 'none'"),
        ({"strata": "country"}, ContractError, "'country' missing"),
        ({"cluster": "region"}, ContractError, r"3 of 'region' are in several arms or strata \(e.g. 'north'\)"),
        ({"metrics": {"r": ("orders", "visits")}}, ContractError, "'visits' missing"),
        ({"metrics": []}, ValueError, "metrics is empty"),
        ({"control": "holdout"}, ValueError, "control is 'holdout'; the arms are 'ad', 'none'"),
    ],
)
def test_what_was_mistyped_is_told(options, error, words):
    with pytest.raises(error, match=words):
        lift(shop(22), **({"control": "none", "metrics": "orders"} | options))


def test_a_customer_without_a_cluster_is_an_error():
    frame = households(4).with_columns(household=pl.when(pl.col("customer_id") > 0).then("household"))
    with pytest.raises(ContractError, match="'household' is null in 1 rows; every customer needs a cluster"):
        lift(frame, control="none", metrics="revenue", cluster="household")


# ---- how often the truth is held --------------------------------------------------------------------------------


def holds(row, truth):
    inside = row["low"] is not None and row["low"] <= truth <= row["high"]
    return {None: False, "interval": inside, "rays": not inside, "line": True}[row["set_shape"]]  # None: refused


def dealt(random, n, share):
    return random.permutation(np.arange(n) < round(n * share))


def customers(treated, **columns):
    arm = np.where(treated, "ad", "none")
    return pl.DataFrame({"customer_id": np.arange(len(arm)), "arm": arm, **columns})


@pytest.mark.certify
@pytest.mark.parametrize("share", [0.5, 0.1, 0.9])
def test_the_intervals_of_means_ratios_and_relative_effects_hold_the_truth(certify, share):
    def hits(seed):
        random = np.random.default_rng(seed)
        treated = dealt(random, 600, share)
        sessions = 1 + random.poisson(2, 600)
        orders = random.poisson(sessions * (0.5 + 0.2 * treated) * random.gamma(4, 0.25, 600))
        table = told(customers(treated, orders=orders, sessions=sessions), RATIO)
        truths = [0.6, 0.4, 0.2, 0.4]
        log = told(customers(treated, orders=orders, sessions=sessions), RATIO, relative="delta")
        hit = [holds(row, truth) for row, truth in zip(table.to_dicts(), truths)]
        return hit + [holds(log.row(k, named=True), truths[k]) for k in (1, 3)]

    certify(hits, level=0.95)


@pytest.mark.certify
@pytest.mark.parametrize("adjustment", ["interacted", "pooled"])
def test_adjusted_intervals_hold_the_effect_on_customers_to_come(certify, adjustment):
    def hits(seed):
        random = np.random.default_rng(seed)
        treated, before = dealt(random, 300, 0.3), random.gamma(1, 1, 300)
        orders = 1 + 2 * before + treated * (1 + before) + random.normal(size=300) * (1 + before)
        frame = customers(treated, orders=orders, pre_orders=before, pre_noise=random.normal(size=300))
        table = told(frame, covariates=["pre_orders", "pre_noise"], adjustment=adjustment)
        return [holds(row, truth) for row, truth in zip(table.to_dicts(), (2, 2 / 3))]

    certify(hits, level=0.95)


@pytest.mark.certify
def test_adjusted_within_strata_and_from_moments_the_truth_is_held(certify):
    def hits(seed):
        random = np.random.default_rng(seed)
        treated, before = dealt(random, 400, 0.4), random.gamma(2, 1, 400)
        region = random.choice(["north", "south"], 400, p=[0.7, 0.3])
        south = region == "south"
        orders = 1 + before + 3 * south + treated * (1 + south) + random.exponential(1, 400)
        frame = customers(treated, orders=orders, pre_orders=before, region=region)
        kinds = ({"strata": "region"}, {"strata": "region", "covariates": "pre_orders"})
        tables = [told(frame, **kind) for kind in (*kinds, {"covariates": "pre_orders", "errors": "moments"})]
        return [holds(row, truth) for table in tables for row, truth in zip(table.to_dicts(), (1.3, 1.3 / 4.9))]

    certify(hits, level=0.95)


@pytest.mark.certify
@pytest.mark.parametrize(
    ("clusters", "share", "size"),
    [
        (12, 0.5, lambda random, n: np.full(n, 8)),
        (30, 0.3, lambda random, n: 1 + random.poisson(4, n)),
        (40, 0.5, lambda random, n: 1 + random.geometric(0.2, n)),
    ],
    ids=["few", "unequal arms", "skewed sizes"],
)
def test_cluster_intervals_hold_the_truth(certify, clusters, share, size):
    def hits(seed):
        frame = households(seed, clusters, size=size, effect=5.0, share=share)
        return [
            holds(row, truth) for row, truth in zip(told(frame, "revenue", cluster="household").to_dicts(), (5, 0.25))
        ]

    certify(hits, level=0.95)


@pytest.mark.certify
@pytest.mark.parametrize(("n", "share"), [(10_000, 0.5), (50_000, 0.1)], ids=["equal arms", "a tenth"])
def test_sparse_revenue_holds_the_truth_and_the_test_its_size(certify, n, share):
    def hits(seed):
        random = np.random.default_rng(seed)
        revenue = (random.random(n) < 0.01) * random.lognormal(3, 0.5, n)
        return [holds(row, 0) for row in told(customers(dealt(random, n, share), orders=revenue)).to_dicts()]

    certify(hits, level=0.95)


@pytest.mark.certify
def test_covariates_are_seldom_refused_by_chance(certify):
    def hits(seed):
        random = np.random.default_rng(seed)
        frame = customers(dealt(random, 300, 0.2), orders=random.poisson(1, 300))
        frame = frame.with_columns(pre_a=random.lognormal(0, 1, 300), pre_b=(random.random(300) < 0.05).astype(float))
        return [row(frame, covariates=["pre_a", "pre_b"])["verdict"] == "ok"]

    certify(hits, level=0.9995)
