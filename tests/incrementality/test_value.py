"""What the ad earned: sums and quotients of revenue and cost against their definitions, and worlds that are known."""

import numpy as np
import polars as pl
import pytest
from scipy import stats

from shoptoolkit.contract import ContractError
from shoptoolkit.incrementality import incremental_value
from tests.conftest import WORLDS


def world(seed, *, n=2_000, share=0.5, effect=4.0, price=1.0, buyers=0.3):
    """Customers who see as many ads as they watch, each at a price, and buy more the more they watch."""
    rng = np.random.default_rng(seed)
    treated, watched = rng.random(n) < share, rng.poisson(2, n)
    spent = (rng.random(n) < buyers) * rng.lognormal(3, 0.6, n) * (1 + 0.2 * watched)
    spent = spent + treated * watched * rng.exponential(effect / 2, n)
    arm, kind = np.where(treated, "ad", "none"), np.where(np.arange(n) % 2, "new", "loyal")
    cost = treated * watched * price
    told = {
        "customer_id": np.arange(n),
        "arm": arm,
        "revenue": spent,
        "ad_cost": cost,
        "later": spent * 2,
        "kind": kind,
    }
    return pl.DataFrame(told).with_columns(pre_watched=watched)


def told(frame, **options):
    options = {"control": "none", "margin_share": 0.4, "cost": "ad_cost"} | options
    return {row["metric"]: row for row in incremental_value(frame, **options).table.to_dicts()}


def split(frame):
    return frame.filter(arm="ad"), frame.filter(arm="none")


def test_profit_knows_that_revenue_and_cost_are_of_the_same_customers():
    rows = told(world(1), level=0.9, value="later")
    ad, none = split(world(1))
    for metric, of in {
        "revenue": pl.col("revenue"),
        "margin": 0.4 * pl.col("revenue"),
        "profit": 0.4 * pl.col("revenue") - pl.col("ad_cost"),
        "later": pl.col("later"),
    }.items():
        test = stats.ttest_ind(*(one.select(of).to_series().to_numpy() for one in (ad, none)), equal_var=False)
        interval = test.confidence_interval(0.9)
        assert (rows[metric]["low"], rows[metric]["high"]) == pytest.approx((interval.low, interval.high), rel=1e-9)
        assert rows[metric]["p_value"] == pytest.approx(test.pvalue, rel=1e-9)
        assert (rows[metric]["measure"], rows[metric]["estimand"]) == ("currency", "per assigned customer")


def test_iroas_is_what_fieller_does_not_reject_and_is_tested_against_where_profit_begins():
    rows = told(world(2), level=0.9)
    row, (ad, none) = rows["iroas"], split(world(2))

    def statistic(rate):
        return stats.ttest_ind(*(one["revenue"] - rate * one["ad_cost"] for one in (ad, none)), equal_var=False)

    most = stats.t.ppf(0.95, statistic(row["estimate"]).df)
    assert [statistic(row[name]).statistic for name in ("low", "high")] == pytest.approx([most, -most], rel=1e-6)
    assert row["p_value"] == pytest.approx(rows["profit"]["p_value"], rel=0.01)
    assert (row["measure"], row["estimand"]) == ("ratio", "incremental revenue per unit of cost")


def test_a_total_is_known_and_shared_out_over_the_arm():
    frame = world(3)
    rows = told(frame, cost=5_000)
    n = (frame["arm"] == "ad").sum()
    assert rows["cost"]["estimate"] == rows["cost"]["low"] == rows["cost"]["high"] == pytest.approx(5_000 / n)
    for name in ("estimate", "low", "high"):
        assert rows["iroas"][name] == pytest.approx(rows["revenue"][name] * n / 5_000, rel=1e-9)
    assert "known cost" in rows["iroas"]["method"]


def test_where_nothing_was_spent_there_is_no_quotient():
    rows = told(world(4).with_columns(ad_cost=0.0))
    assert rows["iroas"]["reason"] == "The arms do not differ in cost."
    assert rows["cost"]["verdict"] == "refused"
    assert rows["profit"]["estimate"] == pytest.approx(rows["margin"]["estimate"])


def test_groups_and_covariates_are_those_of_lift():
    table = incremental_value(
        world(5), control="none", margin_share=1, cost="ad_cost", by="kind", covariates="pre_watched"
    ).table
    assert table["group"].unique(maintain_order=True).to_list() == ["loyal", "new"]
    assert table["method"][0] == "as assigned, random cost, adjusted for pre_watched (interacted, HC2)"


@pytest.mark.parametrize(
    ("change", "error", "words"),
    [
        ({"margin_share": 0}, ValueError, "margin_share is 0; it must be above 0 and at most 1"),
        ({"margin_share": -0.2}, ValueError, "margin_share is -0.2"),
        ({"margin_share": 40}, ValueError, "margin_share is 40"),
        ({"margin_share": "0.4"}, ValueError, "margin_share is '0.4'"),
        ({"cost": 0}, ValueError, "cost is 0; it must be a number of units of currency > 0"),
        ({"cost": -5}, ValueError, "cost is -5"),
        ({"cost": float("nan")}, ValueError, "cost is nan"),
        ({"cost": 100, "by": "kind"}, ValueError, "cost is 100, one total for several arms or groups"),
        ({"cost": "spend"}, ContractError, "'spend' missing"),
        (
            {"cost": "revenue"},
            ContractError,
            "'revenue' is above 0 for .* customers of 'none'; it must be what the camp",
        ),
        ({"revenue": "turnover"}, ContractError, "'turnover' missing"),
        ({"value": "clv"}, ContractError, "'clv' missing"),
        ({"control": "holdout"}, ValueError, "control is 'holdout'"),
        ({"control": 3}, ValueError, "control is 3; the arms are"),
        ({"revenue": "margin"}, ValueError, "'margin' is what a row of the answer is called; rename"),
        ({"revenue": None}, TypeError, "it must be text"),
    ],
)
def test_what_cannot_be_asked_says_how_to_mend_it(change, error, words):
    with pytest.raises(error, match=words):
        told(world(1, n=200), **change)


def test_a_cost_below_zero_is_an_error():
    with pytest.raises(ContractError, match="'ad_cost' is below 0 for 1 customers; give what was spent on each"):
        told(world(1).with_columns(ad_cost=pl.when(pl.col("customer_id") == 7).then(-1.0).otherwise("ad_cost")))


@pytest.mark.certify
def test_intervals_hold_profit_and_iroas(certify):
    def hits(seed):
        found = []
        for options in ({"share": 0.5}, {"share": 0.9, "n": 4_000}, {"share": 0.5, "n": 10_000, "buyers": 0.01}):
            rows = told(world(seed, **options), level=0.9)
            truth = {"profit": 0.4 * 4 - 2, "iroas": 2.0}
            found += [rows[metric]["low"] <= one <= rows[metric]["high"] for metric, one in truth.items()]
        even = told(world(seed), margin_share=0.5)  # profit is none
        return [*found, even["profit"]["p_value"] > 0.1, even["iroas"]["p_value"] > 0.1]

    certify(hits, level=0.9, worlds=WORLDS // 2)
