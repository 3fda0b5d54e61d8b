"""An effect that is looked at again and again: right at every look, and an interval that holds at all of them."""

from __future__ import annotations

import re
from datetime import datetime, timedelta

import numpy as np
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import ttest_ind

from shoptoolkit.contract import ContractError
from shoptoolkit.incrementality import lift, lift_over_time, outcomes
from shoptoolkit.simulate import Experiment, shop

DAY = datetime(2025, 1, 1)


def world(seed, n=2_000, *, treated=0.5, kind="orders", effect=0.0, covariates=0):
    """Customers who mature one after the other."""
    rng = np.random.default_rng(seed)
    is_treated, x = rng.random(n) < treated, rng.normal(size=(n, covariates))
    value = {
        "orders": lambda: rng.poisson(np.exp(-1 + 0.5 * x.sum(axis=1))),
        "sparse revenue": lambda: np.where(rng.random(n) < 0.01, rng.lognormal(3, 1, n), 0.0),
    }[kind]()
    frame = pl.DataFrame({"customer_id": range(n), "arm": np.where(is_treated, "ad", "none"), "day": range(n)})
    told = {f"pre_{k}": x[:, k] for k in range(covariates)}
    return frame.with_columns(
        orders=pl.Series(value + effect * is_treated), **{k: pl.Series(v) for k, v in told.items()}
    )


def seen(frame, *, covariates=0, **options):
    asked = {"control": "none", "metric": "orders", "planned_n": 2_000, "matured": "day"}
    names = [f"pre_{k}" for k in range(covariates)]
    return lift_over_time(frame, **asked | {"covariates": names} | options)


# ---- each look ------------------------------------------------------------------------------------------------------


@settings(max_examples=20)
@given(st.integers(0, 10**6), st.integers(0, 2))
def test_each_look_is_the_comparison_of_those_who_matured_by_then(seed, covariates):
    frame = world(seed, 1_500, effect=0.3, covariates=covariates, treated=0.7)
    row = seen(frame, covariates=covariates).table.sample(1, seed=seed).to_dicts()[0]
    so_far = frame.head(row["n"])
    assert row["matured_at"] == so_far["day"][-1]
    columns = [f"pre_{k}" for k in range(covariates)]
    x = (
        so_far.select(columns).to_numpy() - so_far.select(columns).to_numpy().mean(axis=0)
        if columns
        else np.ones((row["n"], 0))
    )
    y, is_ad = so_far["orders"].to_numpy(), (so_far["arm"] == "ad").to_numpy()
    mean, variance, slope = [], 0.0, []
    for mine in (~is_ad, is_ad):
        design = np.column_stack([np.ones(mine.sum()), x[mine]])
        fit, *_ = np.linalg.lstsq(design, y[mine], rcond=None)
        left = y[mine] - design @ fit
        mean.append(fit[0])
        slope.append(fit[1:])
        variance += left @ left / (mine.sum() - 1 - covariates) / mine.sum()
    apart = slope[1] - slope[0]
    variance += apart @ (x.T @ x / len(x) ** 2) @ apart
    assert row["estimate"] == pytest.approx(mean[1] - mean[0], rel=1e-9)
    assert row["standard_error"] == pytest.approx(np.sqrt(variance), rel=1e-9)


def test_the_last_look_is_the_lift():
    frame = world(1, covariates=2)
    for names in ([], ["pre_0", "pre_1"]):
        last = seen(frame, covariates=len(names)).estimates.table.row(0, named=True)
        plain = lift(frame, control="none", metrics="orders", covariates=names, relative=None).table.row(0, named=True)
        assert last["estimate"] == pytest.approx(plain["estimate"], rel=1e-9)
        assert last["standard_error"] == pytest.approx(plain["standard_error"], rel=5e-3)
        assert last["n"] == plain["n"] == 2_000


def test_the_fixed_interval_is_welchs():
    frame = world(2)
    ad, none = (frame.filter(arm=arm)["orders"].to_numpy() for arm in ("ad", "none"))
    welch = ttest_ind(ad, none, equal_var=False).confidence_interval(0.95)
    last = seen(frame).table.row(-1, named=True)
    assert (last["fixed_low"], last["fixed_high"]) == pytest.approx((welch.low, welch.high), rel=1e-9)


@pytest.mark.parametrize("level", [0.9, 0.95])
def test_the_bounds_are_robbins_mixture_tightest_at_the_planned_number(level):
    table = seen(world(3, 4_000), level=level).table
    reach = ((table["high"] - table["low"]) / 2 / table["standard_error"]).to_numpy()
    assert abs(table["n"][int(reach.argmin())] - 2_000) <= 20
    out = 1 - level
    near = np.sqrt((-2 * np.log(out) + np.log(1 - 2 * np.log(out))) / 2_000)  # the paper's approximation to the best
    n = table["n"].to_numpy()
    theirs = np.sqrt(2 * (n * near**2 + 1) / (n * near**2) * np.log(np.sqrt(n * near**2 + 1) / out))
    assert reach == pytest.approx(theirs, rel=0.02)
    assert (reach[n <= 2_000] <= theirs[n <= 2_000] + 0.1).all()


def test_the_p_value_is_that_at_which_the_last_interval_leaves_out_nothing():
    for effect in (0.0, 0.08, 0.12, 0.2):
        row = seen(world(4, effect=effect)).estimates.table.row(0, named=True)
        assert (row["p_value"] < 0.05) == (not row["low"] <= 0 <= row["high"])


# ---- looks ----------------------------------------------------------------------------------------------------------


def test_customers_who_mature_together_are_looked_at_together():
    frame = (
        world(5).with_columns(matured_at=pl.lit(DAY) + timedelta(days=1) * (pl.col("customer_id") // 100)).drop("day")
    )
    table = seen(frame, matured="matured_at").table
    assert (table["n"] % 100 == 0).all()
    assert table["matured_at"][-1] == DAY + timedelta(days=19)
    mixed = seen(frame.sample(fraction=1, shuffle=True, seed=1), matured="matured_at").table
    for name in table.columns[3:]:
        assert mixed[name].to_list() == pytest.approx(table[name].to_list(), rel=1e-9)


def test_many_customers_are_looked_at_two_hundred_times():
    table = seen(world(6, 10_000), planned_n=10_000).table
    assert 180 < len(table) <= 200
    assert table["n"][-1] == 10_000


def test_another_currency_or_a_large_base_moves_only_the_scale():
    frame = world(7, covariates=1)
    plain = seen(frame, covariates=1).table
    moved = seen(frame.with_columns(pl.col("orders") * 100 + 1e9), covariates=1).table
    for name in ("estimate", "standard_error", "low", "fixed_high"):
        assert (moved[name] / 100).to_list() == pytest.approx(plain[name].to_list(), rel=1e-6)


def test_every_arm_has_a_sequence_of_its_own():
    frame = (
        world(8)
        .with_columns(arm=pl.col("arm").replace("ad", "mail").set_sorted())
        .with_columns(
            arm=pl.when((pl.col("customer_id") % 4 == 0) & (pl.col("arm") == "mail"))
            .then(pl.lit("ad"))
            .otherwise("arm")
        )
    )
    found = seen(frame)
    assert found.estimates.table["contrast"].to_list() == ["ad - none", "mail - none"]
    assert found.table["group"].unique(maintain_order=True).to_list() == ["ad - none", "mail - none"]
    alone = seen(frame.filter(pl.col("arm") != "ad"), planned_n=1_750).table.row(-1, named=True)
    assert found.table.row(-1, named=True)["estimate"] == pytest.approx(alone["estimate"], rel=1e-12)


def test_outcomes_of_the_simulated_shop_mature_from_when_they_were_eligible():
    shops = shop(n_customers=1_500, days=200, rng=1, experiment=Experiment())
    made = outcomes(
        shops.events,
        shops.assignments,
        as_of=shops.as_of,
        window_days=60,
        start="eligible_at",
        metrics=["orders", "converted"],
    )
    found = lift_over_time(made, control="control", metric="orders", covariates="pre_orders", planned_n=800)
    row = found.estimates.table.row(0, named=True)
    assert (row["horizon_days"], row["measure"], row["contrast"]) == (60, "orders", "treatment - control")
    assert row["method"] == "confidence sequence, adjusted for orders"
    assert found.table["matured_at"].is_sorted()
    assert "per eligible customer; 95 % intervals; in orders" in found._repr_html_()
    assert repr(found).startswith("treatment - control: ")


# ---- peeking --------------------------------------------------------------------------------------------------------


@pytest.mark.certify
@pytest.mark.parametrize(
    ("made", "peeked"),
    [
        ({"n": 3_000}, 0.8),
        ({"n": 4_000, "treated": 0.9, "covariates": 3}, 0.85),
        ({"n": 20_000, "kind": "sparse revenue"}, 0.93),
        ({"n": 3_000, "effect": 0.2, "covariates": 1}, 0.8),
    ],
    ids=["orders", "nine to one, adjusted", "one in a hundred buys", "with an effect, adjusted"],
)
def test_who_looks_every_day_is_misled_by_the_fixed_interval_and_not_by_this_one(certify, made, peeked):
    truth, fixed = made.get("effect", 0.0), []

    def hits(seed):
        table = seen(world(seed, **made), covariates=made.get("covariates", 0), planned_n=made["n"]).table
        fixed.append(table.select(pl.lit(truth).is_between("fixed_low", "fixed_high").all()).item())
        return [table.select(pl.lit(truth).is_between("low", "high").all()).item()]

    certify(hits, level=0.95)
    assert np.mean(fixed) < peeked


# ---- what is refused ------------------------------------------------------------------------------------------------


def test_too_few_are_refused():
    found = seen(world(9, 150, covariates=1), covariates=1)
    assert found.table.is_empty()
    assert found.table.columns == seen(world(9)).table.columns
    row = found.estimates.table.row(0, named=True)
    assert (
        row["reason"]
        == "An arm has fewer than 50 customers whose 'orders' is not the commonest one; wait for more of them."
    )
    assert "wait for more" in found._repr_html_()


def test_arms_that_were_not_dealt_as_planned_are_refused():
    frame = world(10, treated=0.7).with_columns(probability=0.5)
    assert seen(frame).estimates.table["reason"][0].startswith("Sample ratio mismatch")


def test_clusters_and_uneven_chances_are_refused():
    frame = world(10).sort("arm").with_columns(cluster=pl.int_range(pl.len()) // 10)
    even = frame.filter(pl.len().over("cluster", "arm") == 10).sort("day")
    assert "clusters were assigned, not customers. Pass a row for each" in seen(even).estimates.table["reason"][0]
    uneven = world(10).with_columns(probability=pl.when(pl.col("day") < 900).then(0.4).otherwise(0.5))
    assert "different probabilities" in seen(uneven).estimates.table["reason"][0]


def test_a_long_tail_in_a_small_arm_is_refused():
    frame = world(14, 4_000, treated=0.9)
    tail = frame.with_columns(orders=np.random.default_rng(1).lognormal(0, 1.5, 4_000))
    assert "'orders' in the smaller arm hangs on some large values" in seen(tail).estimates.table["reason"][0]
    assert seen(tail).table.is_empty()
    assert seen(frame).estimates.table["verdict"][0] == "ok"
    even = tail.with_columns(arm=pl.Series(["ad", "none"] * 2_000))
    assert seen(even).estimates.table["verdict"][0] == "ok"


def test_an_outcome_that_everybody_shares_is_refused():
    assert seen(world(11).with_columns(orders=1)).estimates.table["verdict"].to_list() == ["refused"]


@pytest.mark.parametrize(
    ("change", "error", "words"),
    [
        ({"control": "off"}, ValueError, "control is 'off'; the arms are 'ad', 'none'"),
        ({"planned_n": 0}, ValueError, "planned_n is 0; it must be a whole number >= 1"),
        ({"planned_n": 0.5}, ValueError, "planned_n is 0.5"),
        ({"matured": "matured_at"}, ContractError, "'matured_at' missing. It has: customer_id"),
        ({"matured": "arm"}, ContractError, "'arm' is String; it must be moments or numbers"),
        ({"matured": None}, TypeError, "matured is [None]"),
        ({"metric": "visits"}, ContractError, "'visits' missing"),
        ({"level": 95}, ValueError, "level is 95"),
        ({"covariates": 7}, TypeError, "covariates is 7"),
    ],
)
def test_what_cannot_be_compared_is_an_error(change, error, words):
    asked = {"control": "none", "metric": "orders", "planned_n": 2_000, "matured": "day"}
    with pytest.raises(error, match=re.escape(words)):
        lift_over_time(world(12), **asked | change)


def test_customers_whose_window_is_not_over_are_an_error():
    frame = world(13).with_columns(day=pl.when(pl.col("day") < 1_990).then("day"))
    with pytest.raises(ContractError, match="'day' is null for 10 customers; keep those whose window is over"):
        seen(frame)
