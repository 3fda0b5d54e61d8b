"""How simulated customers behave: each planted habit can be measured, and is not there when its parameter is zero.

The customers' rates are known, so whether they order on a day is a coin whose chance a few lines of arithmetic tell;
`coins` tosses nothing, it counts. Where a test has a seed, it fails by chance in less than 1 of 10,000 seeds.
"""

from __future__ import annotations

from datetime import date, timedelta
from functools import cache

import numpy as np
import polars as pl
import pytest
from scipy import stats

from shoptoolkit.simulate import Shoppers, shop
from shoptoolkit.simulate.moments import ORDER, VISIT
from shoptoolkit.simulate.recipe import Recipe, live_block
from shoptoolkit.simulate.shoppers import catalogue

START = date(2025, 1, 1)
STAY = (0.001, 1_000.0)  # hardly anybody drops out
PLAIN = {
    "rhythm_spread": 0.0,
    "watch_effect": 0.0,
    "year_swing": 0.0,
    "weekday_swing": 0.0,
    "promotion_depth": 0.0,
    "price_sensitivity": 0.0,
}
ALIKE = {"rate_shape": 1e6, "rate_scale_days": 20e6}  # everybody orders every 20 days, or every 27 or 40 (search, paid)
LIVELY = {
    "rhythm_spread": 0.0,
    "dropout": STAY,
    "rate_scale_days": 25.0,
    "watch_effect": 0.8,
    "year_swing": 0.5,
    "weekday_swing": 0.6,
    "promotion_depth": 0.3,
    "promotion_days": 7,
    "promotion_every_days": 35,
}
FACTORS = ("week", "year", "promotion", "watched")


def recipe(shoppers, days):
    return Recipe(shoppers=shoppers, experiment=None, days=days, start=START)


def orders_of(shoppers, *, n, days, joined_within, seed):
    """Customers and their orders, sorted: followed for `days`, having joined in the first `joined_within`."""
    block = live_block(recipe(shoppers, joined_within), n, np.random.default_rng(seed), days=days)
    own = block.own[block.own["kind"] == ORDER]
    return block.people, own[np.lexsort((own["day"], own["customer"]))]


def people_of(world):
    """What `truth.customers` tells, without the lives after the log."""
    return np.concatenate([block.people for block in world.truth.blocks])


@cache
def lively_world():
    return shop(n_customers=900, days=400, start=START, shoppers=Shoppers(**LIVELY), rng=11)


@cache
def coins(world):
    """Every customer and day after joining: ordered or not, and each factor that should have moved the rate."""
    n, days = len(world.customers), (world.as_of - START).days
    people, day = people_of(world), np.arange(days)
    when = world.events.with_columns(day=(pl.col("at").dt.date() - START).dt.total_days())
    minutes, ordered = np.zeros((n, days)), np.zeros((n, days), bool)
    watch = when.filter(pl.col("event") == "watch")
    np.add.at(minutes, (watch["customer_id"] - 1, watch["day"]), watch["watch_seconds"].to_numpy() / 60)
    order = when.filter(pl.col("event") == "purchase")
    ordered[order["customer_id"] - 1, order["day"]] = True
    memory = np.zeros((n, days))
    for today in range(1, days):  # half of what was watched before today is forgotten in a week
        memory[:, today] = (memory[:, today - 1] + minutes[:, today - 1]) * 0.5 ** (1 / 7)
    weekdays = np.array([-5, -6, -4, -1, 4, 7, 5])[(START.weekday() + day) % 7]
    december = (date(2025, 12, 12) - START).days
    last = np.where(people["active"], days, people["dropped"])
    return {
        "ordered": ordered,
        "alive": (day > people["joined"][:, None]) & (day <= last[:, None]),
        "rate": people["rate"][:, None] * np.ones(days),
        "week": (1 + 0.6 * weekdays / 7) * np.ones((n, 1)),
        "year": (1 + 0.5 * np.cos(2 * np.pi * (day - december) / 365.25)) * np.ones((n, 1)),
        "promotion": np.where(day % 35 >= 28, 0.7 ** -people["sensitivity"][:, None], 1.0),
        "watched": (1 + memory / 10) ** 0.8,
    }


def surprise(seen, chance, groups):
    """p-value of the orders seen in each group of days, given the chance of an order on each day."""
    expected = np.bincount(groups, chance)
    z = (np.bincount(groups, seen) - expected) / np.sqrt(np.bincount(groups, chance * (1 - chance)))
    return stats.chi2.sf((z**2).sum(), len(z))


@pytest.mark.parametrize("factor", FACTORS)
def test_the_rate_moves_with_what_is_planted_and_a_model_without_it_fails(factor):
    """Days are grouped by the factor in question into ten; with all factors the orders are as expected in each."""
    told = coins(lively_world())
    alive = told["alive"]
    part = {name: one[alive] for name, one in told.items()}
    edges = np.unique(np.quantile(part[factor], np.linspace(0, 1, 11)[1:-1]))
    groups = np.searchsorted(edges, part[factor])
    rate = part["rate"] * np.prod([part[name] for name in FACTORS], axis=0)
    assert surprise(part["ordered"], -np.expm1(-rate), groups) > 1e-4
    without = rate / part[factor] * np.average(part[factor], weights=rate / part[factor])
    assert surprise(part["ordered"], -np.expm1(-without), groups) < 1e-10


def test_a_customer_who_watched_more_than_usual_buys_only_where_watching_works():
    """Within customers: minutes of the seven days before an order, against the same customer's mean week."""
    z = {}
    for effect in (0.0, 0.8):
        shoppers = Shoppers(**PLAIN | ALIKE | {"watch_effect": effect}, dropout=STAY, watch_sessions_per_day=0.3)
        told = coins_of_weeks(shop(n_customers=800, days=200, start=START, shoppers=shoppers, rng=4))
        z[effect] = told
    assert abs(z[0.0]) < 4
    assert z[0.8] > 8


def coins_of_weeks(world):
    told, n = {}, len(world.customers)
    when = world.events.with_columns(day=(pl.col("at").dt.date() - START).dt.total_days())
    for kind in ("watch", "purchase"):
        some = when.filter(pl.col("event") == kind)
        told[kind] = np.zeros((n, 200))
        np.add.at(told[kind], (some["customer_id"] - 1, some["day"]), some["watch_seconds"].fill_null(60).to_numpy())
    score = []
    for watched, bought, joined in zip(told["watch"], told["purchase"] > 0, world.customers["joined_at"]):
        first = (joined - START).days + 8
        week = np.array([watched[day - 7 : day].sum() for day in range(first, 200)])
        score.append(((week - week.mean()) * bought[first:]).sum() if len(week) else 0.0)
    return np.sum(score) / np.sqrt(np.square(score).sum())


@pytest.mark.parametrize("rhythm", [0.5, 1.0, 4.0])
def test_gaps_are_as_regular_as_the_rhythm_says(rhythm):
    """The first 12 gaps have the coefficient of variation 1 / sqrt(rhythm); whole days hardly blur it."""
    shoppers = Shoppers(**PLAIN | ALIKE | {"rate_scale_days": 100e6}, dropout=STAY, rhythm=rhythm)
    people, own = orders_of(shoppers, n=2_000, days=9_000, joined_within=1, seed=21)
    gaps = np.array([np.diff(own["day"][own["customer"] == i])[:12] for i in range(2_000) if people["active"][i]])
    assert gaps.shape[1] == 12, "nobody's 13th order lies beyond the end"
    of_source = people["source"][people["active"]]
    for source, mean in enumerate((100, 133.3, 200)):
        mine = gaps[of_source == source]
        batches = [np.std(batch) / np.mean(batch) for batch in np.array_split(mine, 25)]
        error = np.std(batches, ddof=1) / 5
        assert np.mean(batches) == pytest.approx(rhythm**-0.5, abs=4 * error + 0.01)
        assert mine.mean() == pytest.approx(mean + 0.5, abs=4 * mean / np.sqrt(rhythm * mine.size) + 0.1)


def test_customers_differ_in_rhythm_as_planted():
    shoppers = Shoppers(rhythm=2.0, rhythm_spread=0.7)
    people = live_block(recipe(shoppers, 5), 20_000, np.random.default_rng(2)).people
    log = np.log(people["rhythm"])
    assert np.median(people["rhythm"]) == pytest.approx(2, abs=4 * 2 * 0.7 * 1.26 / np.sqrt(20_000))
    assert log.std() == pytest.approx(0.7, abs=4 * 0.7 / np.sqrt(40_000))
    same = live_block(recipe(Shoppers(rhythm_spread=0.0), 5), 100, np.random.default_rng(2)).people
    assert (same["rhythm"] == 1).all()


def test_after_every_order_some_stop_and_those_left_are_more_loyal():
    """The k-th order is the last with chance a / (a + b + k - 1), as chances are Beta(a, b) over customers."""
    shoppers = Shoppers(**PLAIN | ALIKE, dropout=(0.6, 2.0))
    people, own = orders_of(shoppers, n=20_000, days=2_000, joined_within=1, seed=22)
    made = np.bincount(own["customer"], minlength=20_000)
    assert (made[people["active"]] > 6).all(), "whoever is active at the end has had time for 6 orders"
    for k in range(1, 7):
        reached = (made >= k).sum()
        chance = 0.6 / (0.6 + 2.0 + k - 1)
        assert (made == k).sum() == pytest.approx(reached * chance, abs=4 * np.sqrt(reached * chance * (1 - chance)))
    last = np.zeros(20_000, int)
    np.maximum.at(last, own["customer"], own["day"])
    gone = ~people["active"]
    assert (people["dropped"][gone] == last[gone]).all()
    assert (people["dropped"][~gone] == -1).all()


def test_order_rates_are_gamma_and_depend_on_how_a_customer_was_won():
    people = live_block(recipe(Shoppers(rate_shape=2.0, rate_scale_days=40.0), 5), 30_000, np.random.default_rng(3))
    people = people.people
    for source, factor in enumerate((1.0, 0.75, 0.5)):
        mine = people["rate"][people["source"] == source]
        assert stats.kstest(mine, stats.gamma(2.0, scale=factor / 40).cdf).pvalue > 1e-4


@pytest.mark.parametrize("lapsed", [0.0, 0.25, 1.0])
def test_who_stopped_buying_watches_and_visits_less_by_the_planted_share(lapsed):
    shoppers = Shoppers(**PLAIN | {"rate_scale_days": 10.0}, dropout=(1.0, 1.0), lapsed_activity=lapsed)
    block = live_block(recipe(shoppers, 300), 4_000, np.random.default_rng(5))
    people, own = block.people, block.own
    gone = ~people["active"]
    days = {
        "before": np.where(gone, people["dropped"], 299) - people["joined"],
        "after": np.where(gone, 299 - people["dropped"], 0),
    }
    after = gone[own["customer"]] & (own["day"] > people["dropped"][own["customer"]])
    for kind, pace in ((0, people["watching"]), (VISIT, 3.0 * people["rate"])):
        seen = {"before": (~after & (own["kind"] == kind)).sum(), "after": (after & (own["kind"] == kind)).sum()}
        expected = {"before": (pace * days["before"]).sum(), "after": lapsed * (pace * days["after"]).sum()}
        for when, count in seen.items():
            assert count == pytest.approx(expected[when], abs=4 * np.sqrt(expected[when])), (kind, when)
    assert not (after & (own["kind"] == ORDER)).any()


def test_watching_is_as_long_and_as_live_as_planted():
    shoppers = Shoppers(watch_minutes=5.0, live_share=0.3, watch_sessions_per_day=0.5, watch_spread=0.6)
    world = shop(n_customers=2_000, days=60, shoppers=shoppers, rng=6)
    watch = world.events.filter(pl.col("event") == "watch")
    assert watch["watch_seconds"].mean() == pytest.approx(300, abs=4 * 300 / np.sqrt(len(watch)))
    assert (watch["source"] == "live").mean() == pytest.approx(0.3, abs=4 * np.sqrt(0.21 / len(watch)))
    paces = people_of(world)["watching"]
    assert paces.mean() == pytest.approx(0.5, abs=4 * paces.std() / np.sqrt(2_000))
    assert np.log(paces).std() == pytest.approx(0.6, abs=4 * 0.6 / np.sqrt(4_000))
    nothing = shop(n_customers=200, days=60, shoppers=Shoppers(watch_sessions_per_day=0.0), rng=6)
    assert "watch" not in nothing.events["event"]


@pytest.mark.parametrize("swing", [0.0, 0.8])
def test_the_evening_is_busy_with_its_peak_at_half_past_eight(swing):
    """The mean direction on the clock; without a swing all hours are alike."""
    world = shop(n_customers=2_000, days=100, shoppers=Shoppers(hour_swing=swing, watch_sessions_per_day=0.5), rng=7)
    at = world.events.filter(pl.col("event") == "watch")["at"]
    hours = (at - at.dt.truncate("1d")).dt.total_seconds().to_numpy() / 3600
    per_hour = np.bincount(hours.astype(int), minlength=24)
    if swing == 0:
        assert stats.chisquare(per_hour).pvalue > 1e-4
        return
    arrow = np.exp(2j * np.pi * hours / 24).mean()
    assert np.angle(arrow) % (2 * np.pi) / (2 * np.pi) * 24 == pytest.approx(20.5, abs=4 * 24 / 6.28 / np.sqrt(len(at)))
    assert 2 * abs(arrow) == pytest.approx(0.8, abs=0.02), "in a wave the arrow is half as long as the swing"
    assert per_hour.max() / per_hour.min() > 5


@pytest.mark.parametrize("own_taste", [0.0, 0.35, 0.7, 1.0])
def test_customers_differ_in_what_they_like_as_much_as_planted(own_taste):
    """All alike at 0 (chi-square over customers), everything from the favourites at 1, in between in proportion."""
    shoppers = Shoppers(own_taste=own_taste, **PLAIN | ALIKE, dropout=STAY, n_categories=12)
    world = shop(n_customers=300, days=400, shoppers=shoppers, rng=9)
    lines = world.events.filter(pl.col("event") == "purchase")
    names = lines["category"].to_physical().to_numpy()
    table = np.zeros((300, 12))
    np.add.at(table, (lines["customer_id"] - 1, names), 1)
    favourite = np.zeros((300, 12), bool)
    favourite[np.arange(300)[:, None], people_of(world)["favourites"]] = True
    popular = 1 / np.arange(4, 16)  # the k-th category is 1 / (k + 3) as popular as it might be
    chance = own_taste + (1 - own_taste) * (favourite @ (popular / popular.sum()))
    expected, bought = chance * table.sum(axis=1), table.sum(axis=1)
    error = np.sqrt((bought * chance * (1 - chance)).sum())
    assert table[favourite].sum() == pytest.approx(expected.sum(), abs=4 * error + 1e-9)
    p_alike = stats.chi2_contingency(table[bought >= 20]).pvalue
    assert p_alike > 1e-4 if own_taste == 0 else p_alike < 1e-20
    if own_taste == 0:
        assert stats.chisquare(table.sum(axis=0), popular / popular.sum() * table.sum()).pvalue > 1e-4


def test_who_looks_at_prices_pays_less():
    """The cheaper of two items, with chance s / (1 + s): the mean price, item by item from the shelves."""
    shoppers = {s: Shoppers(**PLAIN | {"price_sensitivity": s}, own_taste=0.0, n_items=240) for s in (0.0, 1.0, 5.0)}
    paid = {}
    for s, one in shoppers.items():
        world = shop(n_customers=3_000, days=60, shoppers=one, rng=10)
        lines = world.events.filter(pl.col("event") == "purchase")
        chance = (sensitivity := people_of(world)["sensitivity"]) / (1 + sensitivity)
        expected = mean_prices(catalogue(one)) @ np.array([1 - chance.mean(), chance.mean()])
        paid[s] = lines["price"].mean()
        assert paid[s] == pytest.approx(expected, abs=5 * lines["price"].std() / np.sqrt(len(lines)))
    assert paid[0.0] > 1.03 * paid[1.0] > 1.03 * paid[5.0]


def mean_prices(shelves):
    """Of a pick and of the cheaper of two, summed over all pairs of items of each category."""
    popular = np.diff(shelves.popular, prepend=0)
    told = np.zeros(2)
    for share, start, end in zip(popular, shelves.first, shelves.first[1:]):
        price, size = shelves.price[start:end], end - start
        chance = np.sqrt(np.arange(1, size + 1) / size) - np.sqrt(np.arange(size) / size)
        cheaper = sum(
            p * q * min(x, y) for p, x in zip(chance, price, strict=True) for q, y in zip(chance, price, strict=True)
        )
        told += share * np.array([chance @ price, cheaper])
    return told


def test_promotions_come_after_the_first_pause_and_none_without_a_discount():
    def days_of(**promotion):
        told = recipe(Shoppers(**promotion), 100).calendar(100).promotion
        return np.flatnonzero(told).tolist()

    assert days_of(promotion_depth=0.1, promotion_days=2, promotion_every_days=40) == [38, 39, 78, 79]
    assert days_of(promotion_depth=0.0, promotion_days=2, promotion_every_days=40) == []
    assert days_of(promotion_depth=0.1, promotion_days=5, promotion_every_days=5) == list(range(100))


def test_seasons_leave_the_mean_of_a_year_alone():
    told = recipe(Shoppers(year_swing=0.8, weekday_swing=0.9), 1_461).calendar(1_461)
    assert told.intensity.mean() == pytest.approx(1, abs=0.002), "four years: weekdays and year hardly meet"
    assert (told.intensity > 0).all()
    busiest = START + timedelta(days=int(np.argmax(told.intensity[:365])))
    assert (busiest.month, busiest.strftime("%A")) == (12, "Saturday")
