"""Power is that of the peers and of simulated experiments, and the smallest effect is seen with the power asked for."""

from __future__ import annotations

import numpy as np
import polars as pl
import pytest
import tea_tasting as tt
from hypothesis import given, settings
from hypothesis import strategies as st
from statsmodels.stats.power import TTestIndPower

from shoptoolkit.contract import ContractError, EstimateTable
from shoptoolkit.incrementality import lift, minimum_effect, moments, power
from shoptoolkit.survival import restricted_mean

UNEQUAL = {"treatment": 0.2, "control": 0.8}
UNIT = {"mean": 1.0, "deviation": 1.0}


def pilot(rng=1, n=2_000):
    random = np.random.default_rng(rng)
    before = random.gamma(1, 2, n)
    sessions = 1 + random.poisson(2, n)
    return pl.DataFrame(
        {
            "customer_id": np.arange(n),
            "arm": "none",
            "household": np.arange(n) // 4,
            "orders": random.poisson((0.3 + 0.2 * before) * sessions) + random.poisson(1, n // 4).repeat(4),
            "sessions": sessions,
            "pre_orders": before,
        }
    )


@given(st.floats(0.05, 0.3), st.integers(20, 500), st.floats(0.2, 5))
@settings(max_examples=20)
def test_equal_arms_have_the_power_of_statsmodels(effect, n, deviation):
    ours = power(deviation=deviation, n=2 * n, effect=effect * deviation)["power"][0]
    assert ours == pytest.approx(TTestIndPower().power(effect, n, 0.05), rel=1e-9)


@pytest.mark.parametrize("metric", ["orders", {"r": ("orders", "sessions")}], ids=["mean", "ratio"])
@pytest.mark.parametrize("covariate", [(), "pre_orders"], ids=["plain", "adjusted"])
def test_power_from_a_pilot_is_that_of_tea_tasting(metric, covariate):
    kind = tt.Mean if metric == "orders" else tt.RatioOfMeans
    columns = ["orders"] if metric == "orders" else ["orders", "sessions"]
    told = {"ratio": 0.25, "n_obs": [300, 5_000]}
    peer = kind(*columns, *([covariate] if covariate else []), **told, rel_effect_size=0.1)
    theirs = peer.solve_power(pilot().drop("arm"), "power")
    asked = {"n": [300, 5_000], "metric": metric, "covariates": covariate, "shares": UNEQUAL}
    ours = power(pilot(), relative_effect=0.1, **asked)
    assert ours["power"].to_list() == pytest.approx([one.power for one in theirs], rel=1e-6)
    assert ours["effect"].to_list() == pytest.approx([one.effect_size for one in theirs], rel=1e-9)
    least = kind(*columns, *([covariate] if covariate else []), **told).solve_power(pilot().drop("arm"), "effect_size")
    ours = minimum_effect(pilot(), **asked)
    assert ours["effect"].to_list() == pytest.approx([one.effect_size for one in least], rel=1e-6)


def test_moments_are_as_good_a_pilot_as_customers():
    held = moments(pilot(), metrics={"r": ("orders", "sessions")}, covariates="pre_orders")
    asked = {"n": 1_000, "metric": {"r": ("orders", "sessions")}, "covariates": "pre_orders"}
    assert minimum_effect(held, **asked).equals(minimum_effect(pilot(), **asked))


def test_the_smallest_effect_is_seen_with_the_power_asked_for():
    least = minimum_effect(**UNIT, n=[50, 1_000, 10**7], power=0.9, shares=UNEQUAL)
    for n, effect in least.select("n", "effect").rows():
        assert power(**UNIT, n=n, effect=effect, shares=UNEQUAL)["power"][0] == pytest.approx(0.9, abs=1e-9)
    assert least["relative_effect"].to_list() == least["effect"].to_list()


def test_no_effect_is_seen_as_often_as_the_level_says_and_a_huge_one_always():
    assert power(**UNIT, n=100, effect=0)["power"][0] == pytest.approx(0.05)
    assert power(**UNIT, n=4 * 10**6, effect=[-0.02, 0.02, 5.0])["power"].to_list() == pytest.approx([1, 1, 1])


def test_each_arm_is_compared_with_control():
    table = power(**UNIT, n=1_000, effect=[0.1, 0.2], shares={"ad": 0.5, "sms": 0.2, "none": 0.3}, control="none")
    assert table["contrast"].to_list() == ["ad - none"] * 2 + ["sms - none"] * 2
    assert table.row(0, named=True) | {"power": None} == {
        "metric": "metric",
        "contrast": "ad - none",
        "n": 1_000,
        "n_treated": 500,
        "n_control": 300,
        "effect": 0.1,
        "relative_effect": 0.1,
        "standard_error": pytest.approx(np.sqrt(1 / 500 + 1 / 300)),
        "power": None,
        "level": 0.95,
    }


def test_alike_customers_of_a_cluster_tell_less():
    alone = power(**UNIT, n=4_000, effect=0.1)["standard_error"][0]
    alike = power(**UNIT, n=4_000, effect=0.1, cluster_size=8, correlation=0.1)["standard_error"][0]
    assert alike == pytest.approx(alone * np.sqrt(1 + 7 * 0.1))
    known = power(pilot(), n=4_000, effect=0.1, metric="orders", cluster="household")["standard_error"][0]
    of_means = pilot().group_by("household").agg(pl.col("orders").mean())["orders"]
    assert known == pytest.approx(np.sqrt(of_means.var() * 4 * (1 / 2_000 + 1 / 2_000)))


def test_a_restricted_mean_is_a_pilot():
    spells = pl.DataFrame({"customer_id": range(400), "duration_days": [10, 20, 35, 30] * 100})
    spells = spells.with_columns(repurchased=pl.col("duration_days") < 30)
    mean = restricted_mean(spells, horizon_days=30)
    table = power(mean, n=400, effect=2.0)
    assert table["standard_error"][0] == pytest.approx(mean.table["standard_error"][0] * 2)
    assert table["metric"][0] == "days_to_next_order"


# ---- experiments ------------------------------------------------------------------------------------------------


def seen(random, n, *, share, effect, cluster=1):
    """Whether one simulated experiment sees its effect."""
    units = n // cluster
    treated = (random.permutation(units) < units * share).repeat(cluster)
    orders = random.normal(size=units).repeat(cluster) * (cluster > 1) + random.normal(size=n) + effect * treated
    frame = pl.DataFrame({"customer_id": np.arange(n), "arm": np.where(treated, "treatment", "control")})
    frame = frame.with_columns(orders=orders, household=np.arange(units).repeat(cluster))
    named = {"cluster": "household"} if cluster > 1 else {}
    return lift(frame, control="control", metrics="orders", relative=None, **named).table["p_value"][0] < 0.05


@pytest.mark.certify
@pytest.mark.parametrize(
    ("plan", "known"),
    [
        ({"n": 200, "share": 0.5, "effect": 0.35}, {"deviation": 1}),
        ({"n": 300, "share": 0.1, "effect": 0.5}, {"deviation": 1}),
        ({"n": 160, "share": 0.5, "effect": 0.8, "cluster": 8}, {"deviation": 2**0.5, "correlation": 0.5}),
    ],
    ids=["equal", "unequal", "few clusters"],
)
def test_simulated_experiments_see_the_effect_as_often_as_promised(plan, known):
    shares = {"treatment": plan["share"], "control": 1 - plan["share"]}
    more = {"cluster_size": plan["cluster"]} if "cluster" in plan else {}
    promised = power(n=plan["n"], effect=plan["effect"], shares=shares, **known, **more)["power"][0]
    found = np.mean([seen(np.random.default_rng(seed), **plan) for seed in range(600)])
    assert 0.3 < promised < 0.95
    assert abs(found - promised) < 3 * np.sqrt(promised * (1 - promised) / 600) + 0.005


# ---- errors -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({}, "give effect or relative_effect"),
        ({"effect": 1, "relative_effect": 0.1}, "give effect or relative_effect"),
        ({"effect": "1"}, "effect is '1'; give a finite number"),
        ({"effect": float("nan")}, "effect is nan"),
        ({"effect": 1, "n": []}, r"n is \[\]"),
        ({"effect": 1, "n": 3}, "n is 3, which leaves 1.5 units in an arm"),
        ({"effect": 1, "deviation": None}, "give a pilot or the deviation"),
        ({"effect": 1, "deviation": "1"}, "deviation is '1'"),
        ({"effect": 1, "deviation": 0}, "deviation is 0"),
        ({"effect": 1, "covariates": "pre_x"}, "columns of a pilot with customers"),
        ({"effect": 1, "cluster": "household"}, "columns of a pilot with customers"),
        ({"effect": 1, "cluster_size": 0}, "cluster_size is 0"),
        ({"effect": 1, "correlation": 2}, "correlation is 2"),
        ({"effect": 1, "shares": {"treatment": 0.5, "control": 0.4}}, "must be above 0 and add up to 1"),
        ({"effect": 1, "control": "none"}, "control is 'none'; it must be one of two or more arms"),
        ({"effect": 1, "level": 95}, "level is 95"),
        ({"relative_effect": 0.1, "mean": None}, "the mean, which is 0 or not known"),
    ],
)
def test_what_was_mistyped_is_told(options, words):
    with pytest.raises(ValueError, match=words):
        power(**({"n": 100} | UNIT | options))


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({}, "metric is None; name one column"),
        ({"metric": {"a": "orders", "b": "sessions"}}, "name one column"),
        ({"metric": "orders", "mean": 2}, "those of the pilot"),
        ({"metric": "visits"}, "'visits' missing"),
    ],
)
def test_a_pilot_tells_one_metric(options, words):
    with pytest.raises(ValueError, match=words):
        power(pilot(), n=100, effect=1, **options)


@pytest.mark.parametrize(
    ("options", "error", "words"),
    [
        ({"shares": [0.5, 0.5]}, TypeError, "shares is"),
        ({"shares": {"a": float("nan"), "control": 0.5}}, ValueError, "must be above 0 and add up to 1"),
        ({"shares": {"a": "x", "control": 0.5}}, ValueError, "must be above 0 and add up to 1"),
        ({"mean": float("nan")}, ValueError, "mean is nan; it must be a finite number, or None"),
    ],
)
def test_shares_and_a_mean_that_are_no_numbers_are_told(options, error, words):
    with pytest.raises(error, match=words):
        power(**{"n": 1_000, "effect": 0.1, "mean": 0.5, "deviation": 1} | options)


def test_a_pilot_that_tells_nothing_is_an_error():
    with pytest.raises(ContractError, match="no variance in 'orders'"):
        power(pilot().with_columns(orders=1), n=100, effect=1, metric="orders")
    with pytest.raises(ContractError, match="the pilot has 0 estimates"):
        power(EstimateTable.from_rows([]), n=100, effect=1)


@pytest.mark.parametrize("asked", [0.02, 1, 80, "0.8"])
def test_power_lies_between_that_of_no_effect_and_one(asked):
    with pytest.raises(ValueError, match="power is"):
        minimum_effect(n=100, **UNIT, power=asked)
