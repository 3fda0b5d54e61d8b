"""Moments of parts add up to those of the whole, and give the lift that the rows give."""

from __future__ import annotations

import math
import re
from dataclasses import replace

import numpy as np
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from shoptoolkit.contract import ContractError
from shoptoolkit.incrementality import Moments, lift, moments

NUMBERS = ["estimate", "standard_error", "low", "high", "p_value"]
METRICS = {"revenue": "revenue", "per order": ("revenue", "orders")}
COVARIATES = ["pre_orders", "pre_age"]


def shop(rng, n=300, *, far=0.0):
    """Customers in households, in two regions and three arms; revenue lies `far` from zero."""
    random = np.random.default_rng(rng)
    household = np.arange(n) // 3
    before = random.gamma(1, 2, n).round(2)
    return pl.DataFrame(
        {
            "customer_id": np.arange(n),
            "arm": np.array(["ad", "none", "none", "sms"])[household % 4],
            "household": household,
            "region": np.where(household % 3, "north", "south"),
            "revenue": far + before + random.normal(size=n).round(2),
            "orders": 1 + random.poisson(2, n),
            "pre_orders": before,
            "pre_age": random.normal(size=n).round(2),
        }
    )


def numbers(outcomes, metrics=METRICS, **options):
    return lift(outcomes, control="none", metrics=metrics, **options).table.select(NUMBERS).to_numpy()


KINDS = [
    {},
    {"covariates": COVARIATES},
    {"covariates": COVARIATES, "adjustment": "pooled"},
    {"covariates": "pre_orders", "strata": "region"},
    {"covariates": "pre_orders", "by": "region"},
    {"cluster": "household"},
    {"cluster": "household", "strata": "region", "covariates": "pre_orders", "relative": "delta"},
]


@pytest.mark.parametrize("options", KINDS)
@given(seed=st.integers(0, 10**6), cut=st.integers(1, 99))
@settings(max_examples=4)
def test_merged_moments_give_the_lift_of_the_rows(options, seed, cut):
    frame = shop(seed)
    of_rows = {name: options[name] for name in ("by", "strata", "cluster") if name in options}
    asked = {name: one for name, one in options.items() if name not in of_rows}
    told = {"metrics": METRICS, "covariates": options.get("covariates", ()), **of_rows}
    parts = [moments(part, **told) for part in (frame.head(3 * cut), frame.slice(3 * cut))]
    rows = numbers(frame, **options, errors="moments")
    assert np.isfinite(rows).all()
    for held in (moments(frame, **told), parts[0] + parts[1], sum(parts)):
        np.testing.assert_allclose(numbers(held, **asked), rows, rtol=1e-9, atol=1e-12)


def test_revenue_near_a_billion_gives_the_same_from_merged_moments():
    frame = shop(1, 3_000, far=1e9)
    parts = [moments(part, metrics="revenue", covariates=COVARIATES) for part in frame.iter_slices(500)]
    for options in ({}, {"covariates": COVARIATES}):
        ours = numbers(sum(parts), "revenue", **options)
        np.testing.assert_allclose(ours, numbers(frame, "revenue", **options, errors="moments"), rtol=1e-9)
    near = numbers(frame.with_columns(pl.col("revenue") - 1e9), "revenue", relative=None)
    np.testing.assert_allclose(numbers(sum(parts), "revenue", relative=None), near, rtol=1e-6)  # 1e9 + .01 is rounded


def test_cents_are_summed_without_rounding():
    cents = pl.Series("revenue", [10**15 + 1, 1, 2, 3] * 5, dtype=pl.Int64)
    held = moments(shop(2, 20).with_columns(cents), metrics="revenue")
    row = held.table.filter(arm="none").row(0, named=True)
    exact = cents.filter(shop(2, 20)["arm"] == "none")
    assert round((row["mean_x"] + row["centre_x"]) * row["n"]) == exact.sum()


def sums(frame, names, keys=("arm",)):
    """What a warehouse counts: one SELECT with GROUP BY; `names` -> centre."""
    near = {name: pl.col(name) - centre for name, centre in names.items()}
    pairs = [(one, other) for one in near for other in near if one <= other]
    return frame.group_by(keys).agg(
        pl.len().alias("n"),
        *(one.sum().alias(f"sum__{name}") for name, one in near.items()),
        *((near[one] * near[other]).sum().alias(f"sum__{one}__{other}") for one, other in pairs),
    )


def test_sums_of_a_warehouse_give_the_lift_of_the_rows():
    frame = shop(3, far=1e9)
    centre = {"revenue": 1e9, "orders": 3, "pre_orders": 0.0}
    table = sums(frame, centre, ("arm", "region")).rename({"region": "group"})
    held = Moments.from_sums(table, centre=centre)
    ours = lift(held, control="none", metrics=METRICS, covariates="pre_orders").table
    rows = lift(frame, control="none", metrics=METRICS, covariates="pre_orders", by="region", errors="moments").table
    order = ["group", "contrast", "metric", "estimand"]
    np.testing.assert_allclose(
        ours.sort(order).select(NUMBERS).to_numpy(), rows.sort(order).select(NUMBERS).to_numpy(), rtol=1e-7
    )


def test_sums_of_clusters_give_the_lift_of_the_rows():
    frame = shop(4)
    units = frame.group_by("arm", "household").agg((pl.col("revenue") - 2).sum(), customers=pl.len())
    table = sums(units, {"customers": 0, "revenue": 0})
    held = Moments.from_sums(table, centre={"revenue": 2}, units="clusters")
    np.testing.assert_allclose(numbers(held, "revenue"), numbers(frame, "revenue", cluster="household"), rtol=1e-9)


def test_the_table_has_every_pair_of_columns_and_its_centre():
    held = moments(shop(5), metrics="revenue", covariates="pre_orders", by="region")
    assert held.table.columns == [
        *("group", "stratum", "arm", "n", "x", "y", "centre_x", "centre_y", "mean_x", "mean_y", "cross")
    ]
    row = held.table.filter(group="south", arm="ad", x="revenue", y="pre_orders").row(0, named=True)
    part = shop(5).filter(region="south", arm="ad")
    assert row["n"] == len(part)
    assert row["centre_x"] + row["mean_x"] == pytest.approx(part["revenue"].mean())
    assert row["cross"] == pytest.approx(np.cov(part["revenue"], part["pre_orders"])[0, 1] * (len(part) - 1))
    assert "arms 'ad', 'none', 'sms'" in repr(held)
    assert "cross" in held._repr_html_()


def test_planned_shares_are_asked_of_moments_too():
    held = moments(shop(6, 1_200), metrics="revenue")
    assert (
        lift(held, control="none", metrics="revenue", shares={"ad": 0.25, "none": 0.5, "sms": 0.25})
        .table["verdict"]
        .to_list()
        == ["ok"] * 4
    )
    refused = lift(held, control="none", metrics="revenue", shares={"ad": 0.4, "none": 0.4, "sms": 0.2}).table
    assert "Sample ratio mismatch" in refused["reason"][0]


@pytest.mark.parametrize(
    ("options", "error", "words"),
    [
        ({"metrics": "visits"}, ContractError, "moments: 'visits' missing. They are of revenue, orders"),
        ({"by": "region"}, ValueError, "by is 'region', but moments are counted already"),
        ({"winsorise": 0.99}, ValueError, "winsorise is 0.99, but moments are counted already"),
        ({"errors": "hc2"}, ValueError, "'hc2', which needs rows"),
        ({"control": "holdout"}, ValueError, "control is 'holdout'"),
        ({"shares": {"ad": 0.5, "sms": 0.5}}, ValueError, "shares has no 'none'"),
    ],
)
def test_what_moments_do_not_know_is_an_error(options, error, words):
    with pytest.raises(error, match=words):
        lift(moments(shop(7), metrics=METRICS), **({"control": "none", "metrics": "revenue"} | options))


def test_moments_of_other_columns_are_not_merged():
    with pytest.raises(ValueError, match="cannot be merged; make both from the same columns"):
        moments(shop(8), metrics="revenue") + moments(shop(8), metrics="orders")


def test_sums_that_lack_a_column_are_an_error():
    table = sums(shop(9), {"revenue": 0})
    with pytest.raises(ContractError, match="'sum__orders' missing"):
        Moments.from_sums(table, centre={"revenue": 0, "orders": 0})
    for wrong in ({"n": 0}, {"n": 9.5}, {"sum__revenue": None}, {"sum__revenue__revenue": float("nan")}):
        with pytest.raises(
            ContractError, match=r"n is no whole number above 0, or a sum is null or infinite.*Leave out empty arms"
        ):
            Moments.from_sums(
                table.with_columns(**{name: pl.lit(one) for name, one in wrong.items()}), centre={"revenue": 0}
            )
    with pytest.raises(ContractError, match="'sum__revenue__revenue' missing"):
        Moments.from_sums(table.drop("sum__revenue__revenue"), centre={"revenue": 0})


@pytest.mark.parametrize(
    ("change", "options", "error", "words"),
    [
        (lambda table: pl.concat([table, table]), {}, ContractError, "several rows have the same arm"),
        (lambda table: table.drop("arm"), {}, ContractError, "'arm' missing"),
        (lambda table: table.with_columns(n=pl.lit("x")), {}, ContractError, "'n' is text"),
        (lambda table: table, {"centre": {}}, TypeError, "centre is {}; give {column: number}"),
        (lambda table: table, {"centre": {"revenue": math.nan}}, ValueError, "centre of 'revenue' is nan"),
        (lambda table: table, {"units": "people"}, ValueError, "units is 'people'"),
    ],
)
def test_sums_that_cannot_be_read_are_an_error(change, options, error, words):
    table = change(sums(shop(9), {"revenue": 0}))
    with pytest.raises(error, match=re.escape(words)):
        Moments.from_sums(table, **{"centre": {"revenue": 0}} | options)


def test_moments_of_another_window_or_of_nothing_are_not_merged():
    held = moments(shop(8), metrics="revenue")
    with pytest.raises(ValueError, match="over None days from assigned_at and over 7 from"):
        held + replace(held, window_days=7)
    for other in (1, "x"):
        with pytest.raises(TypeError):
            held + other
        with pytest.raises(TypeError):
            other + held


def test_third_moments_merge_to_those_of_all_rows():
    frame = shop(12, far=50)
    found, whole = moments(frame.head(90), metrics="revenue") + moments(frame.tail(210), metrics="revenue"), {}
    for (_, _, arm), cell in found.cells.items():
        revenue = frame.filter(arm=arm)["revenue"].to_numpy()
        whole[arm] = ((revenue - revenue.mean()) ** 3).sum()
        assert cell.cube[1] == pytest.approx(whole[arm], rel=1e-9)


@pytest.mark.parametrize("name", ["customers", "group", "__cell"])
def test_a_metric_may_have_any_name(name):
    frame = shop(11)
    options = {"by": "region", "cluster": "household"}
    plain = lift(frame, control="none", metrics="orders", **options).table["estimate"].to_list()
    named = frame.rename({"orders": name})
    assert lift(named, control="none", metrics=name, **options).table["estimate"].to_list() == plain


def test_one_arm_may_stand_alone_until_it_is_merged():
    frame = shop(10)
    parts = [moments(frame.filter(arm=arm), metrics="revenue") for arm in ("none", "ad", "sms")]
    np.testing.assert_allclose(numbers(sum(parts), "revenue"), numbers(frame, "revenue"), rtol=1e-9)
