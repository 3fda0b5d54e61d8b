"""Effects on those who saw the ad: against two-stage least squares, Anderson and Rubin's test, and known worlds."""

import numpy as np
import polars as pl
import pyfixest
import pytest
import statsmodels.api as sm
from scipy import stats

from shoptoolkit import incrementality, simulate
from shoptoolkit.contract import ContractError
from shoptoolkit.incrementality import lift_on_exposed
from tests.conftest import WORLDS


def world(seed, *, n=2_000, share=0.5, leak=0.0, effect=0.5, buyers=None):
    """Customers of whom some see the ad if they are treated, some in any case; those who see more buy more anyway."""
    rng = np.random.default_rng(seed)
    treated, kind, known = rng.random(n) < share, rng.random(n), rng.normal(size=n)
    always, complier = kind < leak, (kind >= leak) & (kind < leak + 0.3)
    shown = always | (complier & treated)
    if buyers:
        orders = rng.random(n) < buyers * np.where(complier | always, 1.5, 1) * np.where(shown, 1 + effect, 1)
        spent = orders * rng.lognormal(3, 0.8, n)
    else:
        spent = rng.poisson(np.exp(0.3 * known + 0.5 * (complier | always))) + shown * effect * rng.exponential(1, n)
    arm = np.where(treated, "ad", "none")
    return pl.DataFrame({"customer_id": np.arange(n), "arm": arm, "exposed": shown, "revenue": spent, "pre_x": known})


def told(frame, **options):
    return lift_on_exposed(frame, **({"control": "none", "metrics": "revenue"} | options)).table.row(0, named=True)


@pytest.mark.parametrize("leak", [0.0, 0.1], ids=["one-sided", "two-sided"])
def test_the_estimate_is_that_of_two_stage_least_squares(leak):
    frame = world(1, leak=leak).with_columns(z=(pl.col("arm") == "ad").cast(float), d=pl.col("exposed").cast(float))
    row = told(frame)
    z, x = (np.column_stack([np.ones(len(frame)), frame[name]]) for name in "zd")
    by_hand = np.linalg.solve(z.T @ x, z.T @ frame["revenue"].to_numpy())[1]
    fit = pyfixest.feols("revenue ~ 1 | d ~ z", frame.to_pandas(), vcov="iid")
    assert row["estimate"] == pytest.approx(by_hand, rel=1e-9)
    assert row["estimate"] == pytest.approx(float(fit.coef()["d"]), rel=1e-9)


@pytest.mark.parametrize("share", [0.5, 0.1])
def test_the_bounds_are_where_the_test_of_anderson_and_rubin_turns(share):
    frame = world(2, share=share, n=800)
    row = told(frame, level=0.9)
    ad, none = frame.filter(arm="ad"), frame.filter(arm="none")

    def test_of(effect):
        return stats.ttest_ind(
            *(one["revenue"] - float(effect) * one["exposed"].cast(float) for one in (ad, none)), equal_var=False
        )

    most = stats.t.ppf(0.95, test_of(row["estimate"]).df)
    assert [test_of(row[name]).statistic for name in ("low", "high")] == pytest.approx([most, -most], rel=1e-7)
    grid = np.linspace(row["estimate"] - 3, row["estimate"] + 3, 301)
    inside = [abs(test_of(one).statistic) <= most for one in grid]
    assert inside == [row["low"] <= one <= row["high"] for one in grid]
    at_zero = test_of(0).statistic
    assert row["p_value"] == pytest.approx(2 * stats.t.sf(abs(at_zero), test_of(row["estimate"]).df), rel=1e-9)


def test_an_adjusted_estimate_divides_two_interacted_regressions():
    frame = world(3)
    z, x = (frame["arm"] == "ad").to_numpy().astype(float), frame["pre_x"].to_numpy()
    design = np.column_stack([np.ones(len(z)), z, x - x.mean(), z * (x - x.mean())])
    row = told(frame, covariates="pre_x")
    top, bottom = (
        sm.OLS(frame[name].cast(float).to_numpy(), design).fit().params[1] for name in ("revenue", "exposed")
    )
    left = sm.OLS((frame["revenue"] - row["estimate"] * frame["exposed"]).to_numpy(), design).fit(cov_type="HC2")
    shared = left.params[3] ** 2 * x.var(ddof=1) / len(x)  # the covariate's mean is that of a sample
    assert row["estimate"] == pytest.approx(top / bottom, rel=1e-9)
    assert row["standard_error"] == pytest.approx(np.sqrt(left.bse[1] ** 2 + shared) / bottom, rel=1e-6)
    assert "adjusted for pre_x" in row["method"]


def test_clusters_of_equal_size_are_compared_by_their_means():
    frame = world(4, n=600).sort("arm").with_columns(house=pl.int_range(600) // 3)
    frame = frame.filter(pl.col("arm").n_unique().over("house") == 1, pl.len().over("house") == 3)
    means = frame.group_by("house", "arm").agg(pl.col("revenue", "exposed").mean())
    row = told(frame, cluster="house")
    ad, none = (means.filter(arm=arm) for arm in ("ad", "none"))
    left = [one["revenue"] - row["estimate"] * one["exposed"] for one in (ad, none)]
    error = np.sqrt(sum(one.var() / len(one) for one in left)) / (ad["exposed"].mean() - none["exposed"].mean())
    assert row["standard_error"] == pytest.approx(error, rel=1e-9)


def test_the_row_says_who_did_not_comply_and_how_many_were_exposed():
    one, two = told(world(5)), told(world(5, leak=0.1))
    assert (one["estimand"], one["method"]) == ("per exposed customer", "Wald, one-sided non-compliance")
    assert (two["estimand"], two["method"]) == ("per complier", "Wald, two-sided non-compliance")
    n = world(5)["exposed"].sum()
    assert one["reason"].startswith(f"Exposed: {n:,} of ")
    assert "0 of" in one["reason"]


def test_placebo_ads_compare_the_exposed_of_both_arms():
    frame = world(6).with_columns(exposed=pl.int_range(2_000) % 3 == 0)
    row = told(frame, design="placebo_ads", level=0.9)
    shown = frame.filter("exposed")
    test = stats.ttest_ind(*(shown.filter(arm=arm)["revenue"] for arm in ("ad", "none")), equal_var=False)
    interval = test.confidence_interval(0.9)
    assert (row["low"], row["high"]) == pytest.approx((interval.low, interval.high), rel=1e-9)
    assert (row["n"], row["estimand"]) == (len(shown), "per exposed customer")


def test_placebo_ads_that_reached_other_customers_are_refused():
    row = told(world(7, leak=0.2), design="placebo_ads")
    assert row["verdict"] == "refused"
    assert "points more of its arm than the placebo did of control" in row["reason"]
    with pytest.raises(ContractError, match="nobody of 'none' was exposed; with placebo ads"):
        told(world(7), design="placebo_ads")


def test_a_group_in_which_nobody_saw_the_placebo_or_ad_is_refused_alone():
    frame = world(8).with_columns(half=pl.int_range(2_000) < 1_000)
    frame = frame.with_columns(exposed=pl.col("half") & (pl.int_range(2_000) % 3 == 0))
    rows = lift_on_exposed(frame, control="none", metrics="revenue", design="placebo_ads", by="half").table
    assert rows.select("group", "verdict").rows() == [("false", "refused"), ("true", "ok")]
    rows = lift_on_exposed(world(8).with_columns(half=frame["half"]), control="none", metrics="revenue", by="half")
    assert rows.table["group"].to_list() == ["false", "true"]


@pytest.mark.parametrize(
    ("shown", "words"),
    [
        (pl.lit(False), "0 points more of 'ad' than of 'none' were exposed: the assignment did not bring the ad"),
        (pl.col("arm") == "none", "-100 points more of 'ad'"),
        (pl.col("customer_id") % 2 == 0, "points more of 'ad' than of 'none' were exposed"),
        ((pl.col("arm") == "ad") & (pl.col("customer_id") < 12), r"a weak exposure \(F = \d+\.?\d*; it takes 10\)"),
    ],
)
def test_an_exposure_that_the_assignment_did_not_bring_is_refused(shown, words):
    row = told(world(9).with_columns(exposed=shown))
    assert row["verdict"] == "refused"
    assert pl.Series([row["reason"]]).str.contains(words).item()


@pytest.mark.parametrize(
    ("change", "error", "words"),
    [
        ({"design": "ghost"}, ValueError, "design is 'ghost'; it must be one of 'assignment', 'ghost_ads'"),
        ({"exposed": "seen"}, ContractError, "'seen' missing"),
        ({"exposed": "pre_x"}, ContractError, "'pre_x' is not true or false for 2,000 of 2,000 customers"),
        ({"metrics": []}, ValueError, "metrics is empty"),
        ({"metrics": "visits"}, ContractError, "'visits' missing"),
        ({"metrics": {"a": ("revenue", "orders")}}, ContractError, "'a' missing"),
        ({"control": "holdout"}, ValueError, "control is 'holdout'"),
        ({"level": 95}, ValueError, "level is 95"),
        ({"cluster": "pre_x", "metrics": 3}, TypeError, "metrics is 3"),
    ],
)
def test_what_cannot_be_asked_says_how_to_mend_it(change, error, words):
    with pytest.raises(error, match=words):
        told(world(1), **change)


def test_an_exposure_that_is_not_known_is_no_exposure_at_all():
    frame = world(1).with_columns(exposed=pl.when(pl.col("customer_id") > 3).then("exposed"))
    with pytest.raises(ContractError, match="'exposed' is not true or false for 4 of 2,000"):
        told(frame)


def test_arms_that_were_not_dealt_as_planned_are_refused():
    row = told(world(1).with_columns(probability=pl.when(pl.col("arm") == "ad").then(0.6).otherwise(0.4)))
    assert row["reason"].startswith("Sample ratio mismatch")


def test_a_small_arm_that_hangs_on_few_buyers_is_refused():
    row = told(world(1, n=3_000, buyers=0.01, share=0.9))
    assert row["reason"].startswith("'revenue' in the smaller arm hangs on some")


def test_customers_dealt_within_strata_are_compared_within_them():
    frame = world(2).with_columns(stratum=pl.when(pl.col("pre_x") > 0).then(pl.lit("high")).otherwise(pl.lit("low")))
    row = told(frame, strata="stratum")
    parts = frame.group_by("stratum", "arm").agg(pl.col("revenue", "exposed").mean()).sort("stratum", "arm")
    share = frame["stratum"].value_counts().sort("stratum")["count"] / len(frame)
    far = parts.group_by("stratum", maintain_order=True).agg(
        pl.col("revenue", "exposed").first() - pl.col("revenue", "exposed").last()
    )
    assert row["estimate"] == pytest.approx((far["revenue"] * share).sum() / (far["exposed"] * share).sum(), rel=1e-9)
    assert row["method"] == "Wald, one-sided non-compliance within stratum"


def test_neither_order_nor_names_nor_currency_change_the_answer():
    frame = world(10, n=500)
    other = frame.sample(fraction=1, shuffle=True, seed=1).with_columns(
        pl.format("c{}", "customer_id").alias("customer_id"), pl.col("revenue") * 1e9
    )
    here, there = told(frame, covariates="pre_x"), told(other, covariates="pre_x")
    for name in ("estimate", "low", "high"):
        assert there[name] == pytest.approx(here[name] * 1e9, rel=1e-9)


@pytest.fixture(scope="module")
def shop():
    return simulate.shop(rng=5, n_customers=12_000, days=240, experiment=simulate.Experiment())


def both_designs(shop):
    """As assigned, and by ghost ads from eligibility on."""
    for start, design in (("assigned_at", "assignment"), ("eligible_at", "ghost_ads")):
        made = incrementality.outcomes(shop.events, shop.assignments, as_of=shop.as_of, window_days=90, start=start)
        yield lift_on_exposed(made, control="control", metrics=["orders", "revenue"], design=design, level=0.99)


def test_the_truth_of_a_simulated_shop_is_covered(shop):
    table = incrementality.ledger(*both_designs(shop), truth=shop.truth.estimates).table
    assert table.select(pl.col("truth").is_between("low", "high")).to_series().to_list() == [True] * 4


def test_ghost_ads_are_much_narrower_where_few_come_near_the_ad():
    experiment = simulate.Experiment(start_day=180, lift=1.0, win_share=0.15)
    shop = simulate.shop(rng=5, n_customers=8_000, days=330, experiment=experiment)
    assigned, ghost = (one.table for one in both_designs(shop))
    assert (ghost["standard_error"] / assigned["standard_error"]).max() < 0.75
    assert ghost["method"][0].startswith("ghost ads from eligibility, Wald, one-sided")


def test_outcomes_that_start_elsewhere_than_the_design_says_are_an_error(shop):
    made = incrementality.outcomes(shop.events, shop.assignments, as_of=shop.as_of, window_days=60)
    with pytest.raises(
        ValueError, match=r"design is 'ghost_ads', whose outcomes count from 'eligible_at'.*start='elig"
    ):
        told(made, control="control", design="ghost_ads")


@pytest.mark.certify
def test_intervals_hold_the_effect_on_those_who_complied(certify):
    def hits(seed):
        rows = [
            told(world(seed, n=1_000), level=0.9),
            told(world(seed, n=1_000, share=0.1), level=0.9),
            told(world(seed, n=1_000, leak=0.1), level=0.9),
            told(world(seed, n=1_000), covariates="pre_x", level=0.9),
        ]
        return [row["verdict"] == "ok" and row["low"] <= 0.5 <= row["high"] for row in rows]

    certify(hits, level=0.9, worlds=WORLDS // 2)


@pytest.mark.certify
def test_intervals_hold_and_tests_keep_their_size_where_one_in_a_hundred_buys(certify):
    def hits(seed):
        mean = np.exp(3 + 0.8**2 / 2)
        some = told(world(seed, n=12_000, buyers=0.01, effect=1.0, share=0.75))
        none = told(world(seed, n=12_000, buyers=0.01, effect=0.0, share=0.75))
        if "refused" in (some["verdict"], none["verdict"]):
            return [False, False]
        return [some["low"] <= 0.015 * mean <= some["high"], none["p_value"] > 0.05]

    certify(hits, level=0.95, worlds=WORLDS // 2)
