"""A score of the ad's effect is judged on folds it has not seen, overall and by segment."""

from __future__ import annotations

import numpy as np
import polars as pl
import pytest

from shoptoolkit.contract import ContractError, Estimates, check
from shoptoolkit.incrementality import fit_uplift, uplift_calibration

METRICS = ["highest_less_lowest", "calibration_slope", "mean_effect", "observed_less_predicted"]


def world(n=1_500, seed=0, *, homes=None):
    rng = np.random.default_rng(seed)
    x, town = rng.normal(size=n), rng.choice(["north", "south"], n)
    home = np.arange(n) if homes is None else np.arange(n) * homes // n
    treated = (rng.random(n) < 0.5)[home]
    orders = rng.poisson(1 + np.where(x > 0, 1.0, 0.0) * treated)
    arm = np.where(treated, "ads", "none")
    return pl.DataFrame({"customer_id": range(n), "arm": arm, "x": x, "orders": orders, "town": town, "home": home})


ASK = {"outcome": "orders", "control": "none", "features": ["x"], "rng": 1, "folds": 3, "nthread": 1}
WORLD = world()
FIT = fit_uplift(WORLD, **ASK)
TOLD = FIT.judge(WORLD, by="town")


def rows_of(group, told=TOLD):
    return {row["metric"]: row for row in told.table.filter(pl.col("group") == group).to_dicts()}


def test_of_all_customers_the_rows_are_those_of_uplift_calibration():
    assert check(TOLD.table, Estimates).quarantined.is_empty()
    assert TOLD.table["metric"].to_list() == METRICS * 3
    theirs = uplift_calibration(FIT).estimates.table[-3:]
    for name in ("estimate", "low", "high", "n"):
        assert FIT.judge().table[name].to_list()[:3] == pytest.approx(theirs[name].to_list(), rel=1e-9)


def test_a_segment_is_judged_on_its_customers_held_out():
    south = WORLD.filter(town="south").select("customer_id")
    held = FIT.held_out.join(south, on="customer_id")
    ours = rows_of("town = south")
    assert ours["mean_effect"]["n"] == len(held)
    assert ours["mean_effect"]["estimate"] == pytest.approx(held["pseudo"].mean(), rel=1e-9)
    gap = held["pseudo"] - held["effect"]
    assert ours["observed_less_predicted"]["estimate"] == pytest.approx(gap.mean(), rel=1e-9)
    assert ours["observed_less_predicted"]["standard_error"] == pytest.approx(gap.std() / len(held) ** 0.5, rel=1e-9)
    alone = rows_of("all", FIT.judge(south))
    assert alone["calibration_slope"]["estimate"] == pytest.approx(ours["calibration_slope"]["estimate"], rel=1e-9)


def test_small_segments_and_few_clusters_are_refused_with_the_reason():
    few = WORLD.with_columns(place=pl.when(pl.col("customer_id") < 20).then(pl.lit("islet")))
    told = rows_of("place = islet", FIT.judge(few, by="place"))
    assert {row["verdict"] for row in told.values()} == {"refused"}
    assert "fewer than 30 customers" in told["mean_effect"]["reason"]
    homes = world(homes=200)
    by_home = fit_uplift(homes, **ASK, cluster="home")
    part = homes.with_columns(quarter=pl.col("home") // 20)
    told = rows_of("quarter = 1", by_home.judge(part, by="quarter"))
    assert {row["verdict"] for row in told.values()} == {"refused"}
    assert "clusters; an error needs at least 30" in told["mean_effect"]["reason"]


def test_the_facts_tell_what_the_score_is():
    told = {(section, item): text for section, item, text in FIT.facts(WORLD, WORLD)}
    assert told["model", "score"] == "dr learner; ads against none"
    assert told["data", "outcome"] == "'orders', window: not said"
    assert told["sample", "training"] == "1,500 rows of 1,500 customers"


def test_segments_are_those_of_the_frame_whatever_its_columns_are_called():
    half = WORLD.with_columns(fold=pl.when(pl.col("customer_id") % 2 == 0).then(pl.lit("even")))
    told = FIT.judge(half, by="fold").table
    assert told["group"].unique(maintain_order=True).to_list() == ["all", "fold = even", "fold missing"]
    sizes = told.filter(metric="mean_effect")["n"].to_list()
    assert sizes[0] == sizes[1] + sizes[2] == len(FIT.held_out)


@pytest.mark.parametrize(
    ("frame", "options", "error", "message"),
    [
        (pl.concat([WORLD, WORLD]), {}, ContractError, "'customer_id' repeats"),
        (WORLD.with_columns(pl.col("customer_id") + 9_999), {}, ContractError, "none of these customers is in"),
        (WORLD.drop("customer_id"), {}, ContractError, "'customer_id' missing"),
        (
            WORLD.cast({"customer_id": pl.String}),
            {},
            ContractError,
            "'customer_id' is String; the experiment has Int64",
        ),
        (WORLD, {"by": "shop"}, ContractError, "by is 'shop', which is missing"),
        (WORLD, {"groups": 1}, ValueError, "groups is 1"),
        (WORLD, {"level": 95}, ValueError, "level is 95"),
    ],
)
def test_what_cannot_be_judged_is_told_so(frame, options, error, message):
    with pytest.raises(error, match=message):
        FIT.judge(frame, **options)
