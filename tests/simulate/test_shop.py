"""The simulated shop: repeatable, in keeping with the contract, and its truth is true."""

from __future__ import annotations

from datetime import date, datetime, timedelta

import numpy as np
import polars as pl
import pytest

from shoptoolkit.contract import Events, check
from shoptoolkit.features import orders
from shoptoolkit.simulate import shop

SMALL = {"n_customers": 300, "days": 200}


def bought(world):
    return world.events.filter(pl.col("event") == "purchase")


def test_one_seed_gives_one_shop():
    first, again, other = (shop(rng=seed, **SMALL) for seed in (3, np.random.default_rng(3), 4))
    for name in ("events", "customers", "truth"):
        assert getattr(first, name).equals(getattr(again, name))
    assert not first.events.equals(other.events)


def test_the_log_keeps_the_contract_and_its_window():
    world = shop(rng=1, start=date(2024, 2, 1), **SMALL)
    checked = check(world.events, Events)
    assert (len(checked.good), len(checked.quarantined)) == (len(world.events), 0)
    assert world.as_of == date(2024, 2, 1) + timedelta(days=200)
    assert world.events["at"].is_between(datetime(2024, 2, 1), datetime(2024, 8, 18, 23, 59, 59)).all()
    assert world.events["at"].is_sorted()
    assert world.events["at"].dtype == pl.Datetime("us")
    assert world.customers["customer_id"].to_list() == list(range(1, 301))
    assert set(world.events["customer_id"]) == set(world.customers["customer_id"]), "everybody orders at least once"


def test_a_customer_joins_with_the_first_order_and_never_orders_twice_a_day():
    world = shop(rng=2, **SMALL)
    table = orders(world.events, history_known=True)
    first = table.filter(pl.col("order_number") == 1).select("customer_id", pl.col("ordered_at").dt.date())
    joined = world.customers.select("customer_id", "joined_at")
    assert first.sort("customer_id").rows() == joined.sort("customer_id").rows()
    assert not table.select("customer_id", pl.col("ordered_at").dt.date()).is_duplicated().any()
    assert bought(world).select("customer_id", "source").unique().height == 300, "a source stays with its customer"


def test_a_refund_is_a_line_that_was_bought_before():
    world = shop(rng=5, refund_share=0.3, **SMALL)
    keys = ["customer_id", "order_id", "item_id", "price", "quantity", "category", "source"]
    refunds = world.events.filter(pl.col("event") == "refund")
    pairs = refunds.join(bought(world), on=keys, how="left", suffix="_bought")
    assert (pairs["at"] - pairs["at_bought"]).dt.total_days().is_between(1, 20).all()
    assert len(refunds) / len(bought(world)) == pytest.approx(0.3, abs=0.06), "some of the last days come after the log"
    assert "refund" not in shop(rng=5, refund_share=0, **SMALL).events["event"]


def test_the_true_curve_is_that_of_very_many_customers():
    """By brute force: 400,000 customers, each with an own rate and an own chance to stop; Monte-Carlo error .0008."""
    truth = shop(rng=1, days=200, n_customers=10, rate_shape=1.4, rate_scale_days=40, dropout=(1.0, 4.0)).truth
    rng, n = np.random.default_rng(1), 400_000
    source = rng.choice(["organic", "search", "paid"], n, p=[0.45, 0.25, 0.30])
    factor = np.select([source == "organic", source == "search"], [1.0, 0.75], 0.5)
    gap = np.ceil(rng.exponential(1 / (rng.gamma(1.4, 1 / 40, n) * factor)))
    gap = np.where(rng.random(n) < rng.beta(1, 4, n), np.inf, gap)
    for group in ("organic", "search", "paid", "all"):
        mine = gap if group == "all" else gap[source == group]
        told = truth.filter(pl.col("group") == group)
        slow = [(mine > day).mean() for day in range(201)]
        assert np.abs(told["survival"].to_numpy() - slow).max() < 5 * 0.5 / np.sqrt(len(mine))
        means = told["restricted_mean_days"].to_numpy()
        assert means[120] == pytest.approx(np.minimum(mine, 120).mean(), abs=5 * 50 / np.sqrt(len(mine)))
        assert (means[0], means[1]) == (0, 1)


def test_what_happens_in_the_log_is_what_the_truth_says():
    """Whoever joined 60 days before the end: the share not back by then is the truth within four errors."""
    world = shop(rng=8, n_customers=20_000, days=150)
    days = bought(world).select("customer_id", day=pl.col("at").dt.date()).unique().sort("customer_id", "day")
    gaps = days.group_by("customer_id").agg(first=pl.col("day").min(), second=pl.col("day").sort().slice(1, 1).first())
    early = gaps.filter(pl.col("first") < world.as_of - timedelta(days=60))
    back = ((early["second"] - early["first"]).dt.total_days() <= 60).fill_null(False)
    truth = world.truth.filter((pl.col("group") == "all") & (pl.col("duration_days") == 60))["survival"].item()
    assert 1 - back.mean() == pytest.approx(truth, abs=4 * np.sqrt(truth * (1 - truth) / len(early)))


def test_customers_of_ads_return_later_than_organic_ones():
    truth = shop(rng=1, **SMALL).truth.filter(pl.col("duration_days") == 60)
    organic, search, paid = (
        truth.filter(pl.col("group") == one)["survival"].item() for one in ("organic", "search", "paid")
    )
    assert organic < search < paid


def test_hardly_ever_ordering_is_no_overflow():
    world = shop(rng=1, n_customers=50, days=30, rate_shape=0.001)
    assert bought(world)["order_id"].n_unique() >= 50


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"n_customers": 0}, "n_customers is 0; it must be > 0"),
        ({"days": -1}, "days is -1; it must be > 0"),
        ({"rate_shape": 0}, "rate_shape is 0; it must be > 0"),
        ({"rate_scale_days": 0}, "rate_scale_days is 0; it must be > 0"),
        ({"dropout": (0, 1)}, r"dropout is \(0, 1\); both shapes of the beta must be > 0"),
        ({"refund_share": 1}, "refund_share is 1; a share of lines, from 0 to below 1"),
        ({"refund_share": -0.1}, "refund_share is -0.1; a share of lines"),
    ],
)
def test_an_impossible_shop_is_refused(options, message):
    with pytest.raises(ValueError, match=message):
        shop(rng=1, **options)


def test_chance_must_be_given():
    with pytest.raises(TypeError, match="rng"):
        shop(n_customers=10)
