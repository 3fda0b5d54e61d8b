"""The ad experiment in the simulated shop: fair, without effect where none is planted, and else the planted effect.

A block keeps each customer's orders with the ad and without it, so what the ad did is not estimated here but counted.
"""

from __future__ import annotations

from datetime import date, timedelta
from functools import cache

import numpy as np
import polars as pl
import pytest
from scipy import stats

from shoptoolkit.simulate import Experiment, Shoppers, shop
from shoptoolkit.simulate.experiment import lifts
from shoptoolkit.simulate.moments import CLICK, EXPERIMENT, IMPRESSION, LATER, ORDER, PAID
from shoptoolkit.simulate.recipe import Recipe, live_block

START = date(2025, 1, 1)
NOTHING = {"lift": 0.0, "displaced": 0.0, "pulled_forward": 0.0}
BUSY = Shoppers(rate_scale_days=20.0, watch_sessions_per_day=0.3, visits_per_order=0.0)
CONSTANT = Shoppers(
    rate_scale_days=20.0,
    watch_effect=0.0,
    year_swing=0.0,
    weekday_swing=0.0,
    promotion_depth=0.0,
    watch_sessions_per_day=0.3,
)


def block_of(n=3_000, seed=1, days=150, shoppers=BUSY, **experiment):
    told = Experiment(**{"start_day": 60, "win_share": 0.7} | experiment)
    recipe = Recipe(shoppers=shoppers, experiment=told, days=days, start=START)
    return live_block(recipe, n, np.random.default_rng(seed))


def per_customer(moments, n, first, last):
    """Each customer's orders from a day to before another, one by one."""
    counts = np.zeros(n)
    for customer, day, kind in zip(moments["customer"], moments["day"], moments["kind"]):
        counts[customer] += kind in (ORDER, LATER) and first <= day < last
    return counts


def exposed_of(block):
    return block.arms.treated & block.arms.shown


@cache
def world():
    """Three blocks with an experiment, as a shop would see it."""
    told = Experiment(start_day=70, treated_share=0.3, compliance=0.6, win_share=0.4, flight_days=20)
    return shop(n_customers=20_500, days=170, shoppers=Shoppers(visits_per_order=0.0), experiment=told, rng=12)


def placebo_p(seed, **effects):
    """Orders per assigned customer within 90 days: difference within strata, by the variance of reshuffling them."""
    block = block_of(400, seed, days=130, start_day=30, **effects)
    some = block.moments[np.isin(block.moments["kind"], (ORDER, LATER))]
    some = some[(some["day"] >= 30) & (some["day"] < 120)]
    orders, arms = np.bincount(some["customer"], minlength=400), block.arms
    strata = 2 * block.people["source"] + arms.recent
    difference = variance = 0.0
    for stratum in np.unique(strata[arms.assigned]):
        mine = arms.assigned & (strata == stratum)
        treated, n = arms.treated[mine], mine.sum()
        if 0 < treated.sum() < n:
            difference += orders[mine][treated].sum() - treated.mean() * orders[mine].sum()
            variance += n * treated.mean() * (1 - treated.mean()) * orders[mine].var(ddof=1)
    return 2 * stats.norm.sf(abs(difference) / np.sqrt(variance))


def test_without_an_effect_the_arms_are_exchangeable_and_with_one_they_are_not():
    """600 shops: their p-values are uniform (false alarm: 1 in 1,000); three new orders per order are seen."""
    p_values = [placebo_p(seed, **NOTHING) for seed in range(600)]
    assert stats.kstest(p_values, "uniform").pvalue > 1e-3
    assert np.mean(np.array(p_values) < 0.05) == pytest.approx(0.05, abs=4 * np.sqrt(0.05 * 0.95 / 600))
    assert stats.kstest([placebo_p(seed, lift=3.0) for seed in range(100)], "uniform").pvalue < 1e-6


def test_an_ad_that_only_takes_over_orders_leaves_the_arms_exchangeable():
    p_values = [placebo_p(seed, lift=0.0, displaced=1.0, pulled_forward=1.0) for seed in range(300)]
    assert stats.kstest(p_values, "uniform").pvalue > 1e-3


def test_eligible_are_as_many_in_both_arms_and_only_treatment_is_exposed():
    told = world().assignments.with_columns(eligible=pl.col("eligible_at").is_not_null())
    treated = told.filter(pl.col("arm") == "treatment")
    shares = told.group_by("arm").agg(pl.col("eligible").mean(), pl.len())
    n_treatment, n_control = (shares.filter(pl.col("arm") == arm)["len"].item() for arm in ("treatment", "control"))
    share = told["eligible"].mean()
    error = np.sqrt(share * (1 - share) * (1 / n_treatment + 1 / n_control))
    by_arm = dict(shares.select("arm", "eligible").iter_rows())
    assert by_arm["treatment"] == pytest.approx(by_arm["control"], abs=4 * error)
    assert told.filter(pl.col("arm") == "control")["exposed_at"].null_count() == n_control
    complied = treated.filter("eligible")["exposed_at"].is_not_null()
    assert complied.mean() == pytest.approx(0.6, abs=4 * np.sqrt(0.24 / len(complied)))
    exposed = treated.filter(pl.col("exposed_at").is_not_null())
    assert (exposed["exposed_at"] == exposed["eligible_at"]).all()
    assert set(told.group_by("arm").agg(pl.col("probability").unique().implode()).explode("probability").rows()) == {
        ("treatment", 0.3),
        ("control", 0.7),
    }


def test_arms_are_balanced_within_strata_to_one_customer():
    told = world().assignments.with_columns(block=(pl.col("customer_id") - 1) // 10_000)
    counts = told.group_by("block", "stratum").agg(n=pl.len(), treated=(pl.col("arm") == "treatment").sum())
    assert len(counts) == 3 * 6
    assert ((counts["treated"] - 0.3 * counts["n"]).abs() < 1).all()


def test_all_known_customers_are_assigned_at_midnight_in_the_stratum_of_their_past():
    """By the log alone: how the first order came in, and whether there was an order in the 60 days before."""
    shop_of = world()
    start = START + timedelta(days=70)
    bought = shop_of.events.filter((pl.col("event") == "purchase") & (pl.col("at").dt.date() < start))
    past = bought.sort("at").group_by("customer_id").agg(pl.col("source").first(), last=pl.col("at").max().dt.date())
    recent = pl.when(pl.col("last") >= start - timedelta(days=60)).then(pl.lit("recent")).otherwise(pl.lit("lapsed"))
    past = past.select("customer_id", expected=pl.format("{}, {}", "source", recent))
    told = shop_of.assignments.join(past, on="customer_id", how="full")
    assert (told["stratum"] == told["expected"]).all()
    assert told["stratum"].null_count() + told["expected"].null_count() == 0, "all who ordered before, and nobody else"
    assert set(shop_of.assignments["assigned_at"].dt.strftime("%F %T")) == {f"{start} 00:00:00"}


def test_eligible_is_who_watches_in_the_flight_and_exposed_who_gets_the_impression():
    told, events = world().assignments, world().events
    first, last = START + timedelta(days=70), START + timedelta(days=90)
    eligible = told.filter(pl.col("eligible_at").is_not_null()).with_columns(at=pl.col("eligible_at"))
    watch = events.filter((pl.col("event") == "watch") & (pl.col("at").dt.date() >= first))
    watch = watch.filter(pl.col("at").dt.date() < last)
    assert len(eligible.join(watch, on=["customer_id", "at"], how="semi")) == len(eligible)
    impressions = (
        events.filter(pl.col("event") == "impression").select("customer_id", exposed_at="at").sort("customer_id")
    )
    exposed = told.filter(pl.col("exposed_at").is_not_null()).select("customer_id", "exposed_at").sort("customer_id")
    assert impressions.equals(exposed)
    through = events.filter(pl.col("campaign_id") == "experiment").join(exposed, on="customer_id", how="left")
    assert (through["at"] >= through["exposed_at"]).all(), "nobody else comes in through the ad, and nobody before it"
    assert set(through["source"]) == {"paid"}


def test_a_slot_is_won_by_chance_at_every_session_and_by_the_first_that_wins():
    n_sessions = {}
    for win_share in (0.0, 0.25, 1.0):
        block = block_of(4_000, win_share=win_share)
        watch = block.own[(block.own["kind"] == 0) & (block.own["day"] >= 60) & (block.own["day"] < 81)]
        sessions = np.bincount(watch["customer"], minlength=4_000) * block.arms.assigned
        n_sessions[win_share] = sessions
        chance = 1 - (1 - win_share) ** sessions
        error = np.sqrt((chance * (1 - chance)).sum())
        assert (block.people["eligible"] >= 0).sum() == pytest.approx(chance.sum(), abs=4 * error)
        assert (sessions[block.people["eligible"] >= 0] > 0).all()
    assert n_sessions[1.0].sum() > 1_000


def test_new_orders_are_the_lift_times_the_rate_there_is_anyway():
    """A slow sum: constant rates, so each effect day brings lift_i x rate_i, or a share of it for who has stopped."""
    block = block_of(n=30_000, shoppers=CONSTANT, lift=1.5, displaced=0.0, pulled_forward=0.0, win_back=0.25)
    people, expected = block.people, {True: 0.0, False: 0.0}
    intended = np.zeros(30_000)
    for i in np.flatnonzero(people["eligible"] >= 0):
        lift = 1.5 * (0.4 + 0.6 * people["sensitivity"][i] / 1.2)
        for day in range(people["eligible"][i] + 1, people["eligible"][i] + 15):
            alive = people["active"][i] or day <= people["dropped"][i]
            new = lift * people["rate"][i] * (1.0 if alive else 0.25)
            intended[i] += 0.85 * new
            expected[alive] += new * exposed_of(block)[i]
    assert block.new_orders == pytest.approx(intended, rel=1e-9), "all delays end within the 90 days, near enough"
    new = block.moments[len(block.own) :]
    total = np.isin(new["kind"], (ORDER, LATER)).sum()
    both = sum(expected.values())
    assert total == pytest.approx(both, abs=4 * np.sqrt(both))
    gone = ~people["active"] & (people["dropped"] <= people["eligible"])
    lapsed = (np.isin(new["kind"], (ORDER, LATER)) & gone[new["customer"]]).sum()
    assert 0 < lapsed < 1.3 * expected[False] + 20


def test_the_lift_goes_with_price_sensitivity_and_its_mean_is_the_lift():
    people = block_of(20_000).people
    for weight in (0.0, 0.6, 1.0):
        told = lifts(Experiment(lift=0.8, lift_by_sensitivity=weight), BUSY, people)
        spread = weight * 0.8 * 0.5  # gamma with shape 4: the standard deviation is half the mean
        assert told.mean() == pytest.approx(0.8, abs=4 * spread / np.sqrt(20_000) + 1e-12)
        assert told.std() == pytest.approx(spread, rel=0.05)
        assert weight == 0 or (np.argsort(told) == np.argsort(people["sensitivity"])).all()
    indifferent = lifts(Experiment(lift=0.8, lift_by_sensitivity=1.0), Shoppers(price_sensitivity=0.0), people)
    assert (indifferent == 0.8).all()


def test_the_price_sensitive_third_answers_most():
    block = block_of(40_000, shoppers=CONSTANT, lift=2.0, lift_by_sensitivity=1.0, displaced=0.0, win_back=1.0)
    people, exposed = block.people, exposed_of(block)
    new = block.moments[len(block.own) :]
    counts = np.bincount(new["customer"][np.isin(new["kind"], (ORDER, LATER))], minlength=40_000)
    third = np.digitize(people["sensitivity"], np.quantile(people["sensitivity"], [1 / 3, 2 / 3]))
    seen = []
    for k in range(3):
        mine = exposed & (third == k)
        expected = (2.0 * people["sensitivity"] / 1.2 * people["rate"] * 14)[mine].sum()
        assert counts[mine].sum() == pytest.approx(expected, abs=4 * np.sqrt(expected))
        seen.append(counts[mine].sum() / (people["rate"][mine].sum() * 14))
    assert seen == sorted(seen)
    assert seen[2] > 2 * seen[0]


def test_what_is_expected_of_customers_is_what_comes_over_many_worlds():
    """Default customers with all their seasons; short of the horizon some delayed orders are lost, and not expected."""
    realised = expected = 0.0
    for seed in range(40):
        late = {"flight_days": 74, "effect_days": 15, "borrow_days": 1, "delay_days": 9.0}
        block = block_of(1_500, seed, start_day=50, lift=2.0, days=200, **late)
        n, eligible = 1_500, block.arms.treated & (block.people["eligible"] >= 0)
        gained = per_customer(block.moments[len(block.own) :], n, 50, 140)
        realised += gained[eligible].sum()
        expected += block.new_orders[eligible].sum()
    assert expected > 500
    assert realised == pytest.approx(expected, abs=4 * np.sqrt(1.3 * expected)), "Poisson, and compliance on top"


def test_orders_pulled_forward_alone_change_nothing_in_the_end():
    block = block_of(lift=0.0, displaced=0.0, pulled_forward=1.0, days=160)
    n, people, exposed = 3_000, block.people, exposed_of(block)
    before, after = (per_customer(moments, n, 60, 150) for moments in (block.own, block.moments))
    assert (before == after).all(), "zero net orders at the horizon, customer by customer"
    early = per_customer(block.moments, n, 60, 81) - per_customer(block.own, n, 60, 81)
    assert early.sum() > 100
    assert (early >= 0).all()
    assert early[~exposed].sum() == 0
    since = block.moments["day"] - people["eligible"][block.moments["customer"]]
    order = (block.moments["kind"] == ORDER) & exposed[block.moments["customer"]]
    assert not (order & (since > 14) & (since <= 14 + 28)).any(), "all of the four weeks after have come early"
    moved = block.moments["day"][: len(block.own)] != block.own["day"]
    assert (block.moments["campaign"][: len(block.own)][moved] == EXPERIMENT).all()
    landed = since[: len(block.own)][moved]
    assert stats.chisquare(np.bincount(landed, minlength=15)[1:]).pvalue > 1e-4, "spread evenly over the effect days"


def test_orders_taken_over_alone_change_nothing_at_once():
    block = block_of(lift=0.0, displaced=1.0, pulled_forward=0.0)
    exposed, own = exposed_of(block), block.own
    told = block.moments[: len(own)]
    for name in ("customer", "day", "second", "kind"):
        assert (told[name] == own[name]).all(), "the same orders at the same moments"
    assert set(block.moments["kind"][len(own) :]) == {IMPRESSION}
    since = own["day"] - block.people["eligible"][own["customer"]]
    theirs = (own["kind"] == ORDER) & exposed[own["customer"]] & (since > 0) & (since <= 14)
    assert theirs.sum() > 100
    assert (told["source"][theirs] == PAID).all()
    assert (told["campaign"][theirs] == EXPERIMENT).all()
    assert (told["campaign"][~theirs] == own["campaign"][~theirs]).all()
    assert not (own["campaign"] == EXPERIMENT).any()


@pytest.mark.parametrize(("name", "since_first", "since_last"), [("displaced", 1, 14), ("pulled_forward", 15, 42)])
def test_a_share_of_own_orders_is_taken_over_or_pulled_as_planted(name, since_first, since_last):
    block = block_of(8_000, **NOTHING | {name: 0.4})
    own, told = block.own, block.moments[: len(block.own)]
    since = own["day"] - block.people["eligible"][own["customer"]]
    mine = (own["kind"] == ORDER) & exposed_of(block)[own["customer"]] & (since >= since_first) & (since <= since_last)
    taken = told["campaign"][mine] == EXPERIMENT
    assert taken.mean() == pytest.approx(0.4, abs=4 * np.sqrt(0.24 / mine.sum()))
    assert ((told["day"] != own["day"])[mine] == (taken & (name == "pulled_forward"))).all()


@pytest.mark.parametrize("mean", [0.0, 0.5, 1.5, 6.0])
def test_new_orders_come_as_many_days_after_the_click_as_planted(mean):
    block = block_of(12_000, lift=4.0, delay_days=mean)
    new = block.moments[len(block.own) :]
    clicks, later, at_once = (new[new["kind"] == kind] for kind in (CLICK, LATER, ORDER))
    assert (clicks["customer"] == later["customer"]).all()
    waits = np.concatenate([later["day"] - clicks["day"], np.zeros(len(at_once))])
    assert (later["day"] > clicks["day"]).all()
    assert len(waits) > 1_000
    assert waits.mean() == pytest.approx(mean, abs=4 * waits.std() / np.sqrt(len(waits)))
    since = np.concatenate([clicks["day"], at_once["day"]])
    since = since - block.people["eligible"][np.concatenate([clicks["customer"], at_once["customer"]])]
    assert (since.min(), since.max()) == (1, 14)


def changed(block):
    """What the ad did: new orders, those of customers gone before, later ones, own ones taken over, and moved."""
    new, told = block.moments[len(block.own) :], block.moments[: len(block.own)]
    is_new = np.isin(new["kind"], (ORDER, LATER))
    gone = (~block.people["active"] & (block.people["dropped"] <= block.people["eligible"]))[new["customer"]]
    moved = told["day"] != block.own["day"]
    return {
        "impressions": (new["kind"] == IMPRESSION).sum(),
        "new": is_new.sum(),
        "win_back": (is_new & gone).sum(),
        "delayed": (new["kind"] == LATER).sum(),
        "displaced": ((told["campaign"] == EXPERIMENT) & ~moved).sum(),
        "pulled": moved.sum(),
    }


@pytest.mark.parametrize(
    ("name", "switched_off"),
    [
        ("lift", {"new", "win_back", "delayed"}),
        ("win_back", {"win_back"}),
        ("delay_days", {"delayed"}),
        ("displaced", {"displaced"}),
        ("pulled_forward", {"pulled"}),
        ("compliance", {"impressions", "new", "win_back", "delayed", "displaced", "pulled"}),
        ("win_share", {"impressions", "new", "win_back", "delayed", "displaced", "pulled"}),
    ],
)
def test_each_parameter_at_zero_switches_off_its_effect_and_no_other(name, switched_off):
    on, off = (changed(block_of(**{"lift": 2.0} | more)) for more in ({}, {name: 0.0}))
    assert all(count > 10 for count in on.values())
    assert {effect for effect, count in off.items() if not count} == switched_off
