"""What the simulator says was planted follows its parameters, and holds in the lives and logs that it makes."""

from __future__ import annotations

from datetime import date

import numpy as np
import polars as pl
import pytest

from shoptoolkit.simulate import Experiment, Shoppers, shop
from shoptoolkit.simulate.drivers import drivers_of
from shoptoolkit.simulate.moments import ALWAYS_ON, ORDER, VISIT, WATCH
from shoptoolkit.simulate.recipe import Recipe, live_block

IDLE = {"watch_effect": 0.0, "lapsed_activity": 1.0}
DAYS, HALF = 240, 120


def recipe(experiment=None, **shoppers):
    return Recipe(shoppers=Shoppers(**shoppers), experiment=experiment, days=DAYS, start=date(2025, 1, 1))


def told(signal, experiment=None, **shoppers):
    frame = drivers_of(recipe(experiment, **shoppers))
    return frame.row(by_predicate=pl.col("signal") == signal, named=True)


def role(signal, experiment=None, **shoppers):
    return told(signal, experiment, **shoppers)["role"]


def test_the_table_of_a_world_names_each_signal_once_drivers_first():
    frame = shop(n_customers=20, days=60, rng=1).truth.drivers
    assert frame.columns == ["signal", "role", "because", "parameter"]
    assert not frame["signal"].is_duplicated().any()
    assert frame.null_count().sum_horizontal().item() == 0
    assert {name: part["signal"].to_list() for (name,), part in frame.group_by("role", maintain_order=True)} == {
        "driver": ["how often they came", "how lately they came", "rhythm", "watching"],
        "proxy": ["source of first order", "time as a customer", "money spent", "what they choose", "ways in"],
        "none": ["ads", "refunds", "random numbers"],
    }


def test_watching_is_planted_by_what_it_does_and_by_who_stops_it():
    both = told("watching")
    assert both["because"] == "it raises the rate for some days and it falls when somebody has stopped"
    assert (
        both["parameter"]
        == "watch_effect = 0.4, lapsed_activity = 0.4, watch_sessions_per_day = 0.15, dropout = (0.6, 3.0)"
    )
    assert told("watching", lapsed_activity=1.0)["because"] == "it raises the rate for some days"
    assert told("watching", watch_effect=0.0)["because"] == "it falls when somebody has stopped"
    assert told("watching", watch_minutes=0.0)["because"] == "it falls when somebody has stopped"
    assert role("watching", **IDLE) == "none"
    assert role("watching", watch_effect=0.0, dropout=(0.001, 1_000.0)) == "none"
    assert told("watching", watch_sessions_per_day=0.0)["because"] == "nobody watches"
    assert role("watching", Experiment(), **IDLE) == "proxy"


@pytest.mark.parametrize(
    ("experiment", "wanted"),
    [
        (None, "none"),
        (Experiment(), "driver"),
        (Experiment(lift=0.0), "driver"),
        (Experiment(pulled_forward=0.0), "driver"),
        (Experiment(lift=0.0, pulled_forward=0.0), "none"),
        (Experiment(compliance=0.0), "none"),
        (Experiment(win_share=0.0), "none"),
    ],
)
def test_ads_are_planted_by_an_experiment_that_moves_orders(experiment, wanted):
    assert role("ads", experiment) == wanted


def test_lateness_and_rhythm_are_planted_by_stopping_and_by_regular_gaps():
    stays = {"dropout": (0.001, 1_000.0)}
    assert role("how lately they came", **stays) == "driver"
    assert role("how lately they came", **stays, rhythm_spread=0.0) == "proxy"
    assert role("how lately they came", **stays, rhythm_spread=0.0, rhythm=2.0) == "driver"
    assert role("how lately they came", rhythm_spread=0.0) == "driver"
    assert role("rhythm", rhythm_spread=0.0) == "proxy"


def lives(experiment=None, n=12_000, seed=1, **shoppers):
    """Moments of customers who joined in the first third, and each one's orders of the second half."""
    block = live_block(recipe(experiment, **shoppers), n, np.random.default_rng(seed))
    some = block.people["joined"] < DAYS // 3
    later = (block.own["kind"] == ORDER) & (block.own["day"] >= HALF)
    orders = np.bincount(block.own["customer"][later], minlength=n)
    return block, block.own[block.own["day"] < HALF], some, orders


def z_of(what, orders, cohort):
    """The correlation within cohorts of joining, in standard errors."""
    n = np.bincount(cohort)
    centred = [one - (np.bincount(cohort, one) / n)[cohort] for one in (what, orders)]
    return float(np.corrcoef(*centred)[0, 1] * len(what) ** 0.5)


def watching_and_orders(**shoppers):
    block, before, some, orders = lives(**shoppers)
    watched = np.bincount(before["customer"][before["kind"] == WATCH], minlength=len(some))
    return z_of(watched[some].astype(float), orders[some].astype(float), block.people["joined"][some] // 5)


def test_watching_goes_with_later_orders_where_it_is_planted_and_not_where_it_is_not():
    assert watching_and_orders() > 8
    assert watching_and_orders(lapsed_activity=1.0) > 5
    assert watching_and_orders(watch_effect=0.0) > 5
    assert abs(watching_and_orders(**IDLE)) < 4


def test_who_comes_in_through_an_ad_is_drawn_among_those_who_come():
    _, before, some, orders = lives(paid_entry_share=0.3)
    comes = np.isin(before["kind"], (ORDER, VISIT))
    first = np.zeros(len(before), bool)
    first[np.unique(before["customer"], return_index=True)[1]] = True  # the first order tells the source
    entries = np.bincount(before["customer"][comes & ~first], minlength=len(some))
    paid = np.bincount(before["customer"][comes & ~first & (before["campaign"] == ALWAYS_ON)], minlength=len(some))
    surplus = (paid - 0.3 * entries)[some]
    assert paid.sum() > 4_000
    assert abs(np.corrcoef(surplus, orders[some])[0, 1]) * some.sum() ** 0.5 < 4


def test_refunds_are_drawn_among_the_lines_bought():
    world = shop(n_customers=4_000, days=DAYS, rng=2, shoppers=Shoppers(refund_share=0.3, late_share=0.0))
    day = (pl.col("at") - pl.lit(world.events["at"].min()).dt.truncate("1d")).dt.total_days()
    bought = pl.col("event") == "purchase"
    counted = world.events.group_by("customer_id").agg(
        lines=(bought & (day < HALF)).sum(), orders=pl.col("order_id").filter(bought & (day >= HALF)).n_unique()
    )
    early = world.events.filter(bought & (day < HALF)).select("order_id").unique()
    refunds = world.events.filter(pl.col("event") == "refund").join(early, on="order_id", how="semi")
    told = counted.join(refunds.group_by("customer_id").len("refunds"), on="customer_id", how="left").fill_null(0)
    surplus = told["refunds"] - 0.3 * told["lines"]
    assert told["refunds"].sum() > 1_000
    assert abs(np.corrcoef(surplus, told["orders"])[0, 1]) * len(told) ** 0.5 < 4
