"""The truth of a simulated shop is true: laid beside closed forms, slow loops, and what is counted in big worlds.

Four standard errors are allowed throughout; a fault of 1 in 16,000 per number.
"""

from __future__ import annotations

from datetime import date, timedelta
from functools import cache
from time import perf_counter

import numpy as np
import polars as pl
import pytest
from scipy import stats

from shoptoolkit.contract import Estimates, check
from shoptoolkit.features import orders
from shoptoolkit.simulate import Experiment, Shoppers, shop
from shoptoolkit.simulate.moments import EXPERIMENT, LATER, ORDER
from shoptoolkit.simulate.recipe import Recipe, futures, live_block
from shoptoolkit.survival import kaplan_meier, repurchase_spells

START = date(2025, 1, 1)
ASSIGNED = START + timedelta(days=40)
PLAIN = {
    "rhythm_spread": 0.0,
    "watch_effect": 0.0,
    "year_swing": 0.0,
    "weekday_swing": 0.0,
    "promotion_depth": 0.0,
    "visits_per_order": 0.0,
    "watch_sessions_per_day": 0.0,
}
STAY = (0.001, 1_000.0)  # hardly anybody drops out
SHARES = {"organic": 0.45, "search": 0.25, "paid": 0.30}
FACTORS = {"organic": 1.0, "search": 0.75, "paid": 0.5}
AD = Experiment(
    start_day=40, win_share=0.6, lift=1.5, pulled_forward=0.5, borrow_days=20, compliance=0.7, delay_days=1.0
)
LIVELY = Shoppers(rate_scale_days=25.0, visits_per_order=0.0, watch_sessions_per_day=0.3)


@cache
def world():
    return shop(n_customers=50_000, days=140, start=START, shoppers=LIVELY, experiment=AD, rng=77)


@cache
def answers():
    """What the log says of each assigned customer over 90 days: one row each."""
    assigned = world().assignments.select("customer_id", "arm", exposed=pl.col("exposed_at").is_not_null())
    lines = (
        world()
        .events.filter(pl.col("event") == "purchase")
        .with_columns(
            day=(pl.col("at").dt.date() - ASSIGNED).dt.total_days(), value=pl.col("price") * pl.col("quantity")
        )
    )
    lines = lines.filter(pl.col("day").is_between(0, 89))
    number, through = pl.col("order_id"), pl.col("campaign_id") == "experiment"
    told = lines.group_by("customer_id").agg(
        number.n_unique().alias("orders"),
        number.filter(pl.col("day") < 21).n_unique().alias("in_flight"),
        number.filter(through.fill_null(False)).n_unique().alias("through"),
        pl.col("value").sum().alias("revenue"),
        (pl.col("day").min() + 1).alias("wait"),
    )
    told = assigned.join(told, on="customer_id", how="left", maintain_order="left")
    return told.with_columns(pl.col("wait").fill_null(91).clip(0, 91)).fill_null(0)


def arms_of(name):
    return [answers().filter(pl.col("arm") == arm)[name].to_numpy() for arm in ("treatment", "control")]


def difference(name, most=np.inf):
    """Treatment less control, and the standard error of that."""
    treated, control = (np.minimum(one, most) for one in arms_of(name))
    return treated.mean() - control.mean(), np.sqrt(treated.var() / len(treated) + control.var() / len(control))


def row(truth, metric, *, estimand=None, horizon=None, group="all"):
    table = truth.estimates.table.filter((pl.col("metric") == metric) & (pl.col("group") == group))
    if estimand is not None:
        table = table.filter(pl.col("estimand") == estimand)
    if horizon is not None:
        table = table.filter(pl.col("horizon_days") == horizon)
    return table.row(0, named=True) if len(table) == 1 else pytest.fail(f"{len(table)} rows of {metric}")


def assert_near(seen, error, told):
    assert told["verdict"] == "ok"
    assert seen == pytest.approx(told["estimate"], abs=4 * np.hypot(error, told["standard_error"]))
    assert told["estimate"] != 0


def plain_survival(t, *, shape, scale, dropout, factor):
    """Never again, or not within t days: gamma rates make it (a / (a + t)) ** r in whole days too."""
    stops = dropout[0] / sum(dropout)
    return stops + (1 - stops) * (scale / (scale + factor * t)) ** shape


def test_the_curve_is_the_closed_form_where_nothing_but_chance_is_at_work():
    shoppers = Shoppers(rate_shape=1.4, rate_scale_days=40.0, dropout=(1.0, 4.0), **PLAIN)
    curves = shop(rng=1, n_customers=10, days=150, shoppers=shoppers).truth.curves
    t, average = np.arange(151), 0.0
    for group in ("organic", "search", "paid", "all"):
        told = curves.filter(pl.col("group") == group)
        exact = average
        if group != "all":
            exact = plain_survival(t, shape=1.4, scale=40, dropout=(1, 4), factor=FACTORS[group])
            average = average + SHARES[group] * exact
        n = 200_000 * SHARES.get(group, 1.0)
        error = np.sqrt(exact * (1 - exact) / n)
        assert (np.abs(told["survival"].to_numpy() - exact) <= 4.5 * error + 1e-12).all(), group
        area = np.concatenate([[0.0], np.cumsum(exact)[:-1]])
        assert np.abs(told["restricted_mean_days"].to_numpy() - area).max() < 4 * 75 / np.sqrt(n)
        assert told["duration_days"].to_list() == t.tolist()


def test_orders_after_the_first_add_up_as_the_rates_say():
    """Somebody of rate L who stays orders on a share 1 - exp(-L) of days; a gamma law of rates makes it closed."""
    shoppers = Shoppers(rate_shape=1.4, rate_scale_days=40.0, dropout=STAY, **PLAIN)
    curves = shop(rng=1, n_customers=10, days=120, shoppers=shoppers).truth.curves
    for group, factor in FACTORS.items():
        told = curves.filter(pl.col("group") == group)["mean_cumulative_orders"].to_numpy()
        daily = 1 - (40 / (40 + factor)) ** 1.4
        spread = np.sqrt(1.4) * factor / 40 * 120 + np.sqrt(daily * 120)  # of one customer's orders, at most
        assert np.abs(told - daily * np.arange(121)).max() < 4 * spread / np.sqrt(200_000 * SHARES[group])
        assert told[-1] > 1


def test_a_truth_over_90_days_is_not_cut_short_by_a_log_of_40():
    shoppers = Shoppers(rate_shape=1.4, rate_scale_days=40.0, dropout=(1.0, 4.0), **PLAIN)
    truth = shop(rng=1, n_customers=10, days=40, shoppers=shoppers).truth
    exact = plain_survival(np.arange(91), shape=1.4, scale=40, dropout=(1, 4), factor=1.0)
    assert_near(1 - exact[30], 0.0, row(truth, "share who bought again", horizon=30, group="organic"))
    assert_near(1 - exact[90], 0.0, row(truth, "share who bought again", horizon=90, group="organic"))
    assert_near(exact[:90].sum(), 0.0, row(truth, "days until the next order", horizon=90, group="organic"))


def test_customers_of_ads_return_later_than_organic_ones():
    curves = shop(rng=1, n_customers=10, days=70).truth.curves.filter(pl.col("duration_days") == 60)
    organic, search, paid = (curves.filter(pl.col("group") == one)["survival"].item() for one in SHARES)
    assert organic < search < paid


def test_the_estimated_curve_covers_the_true_one_about_as_often_as_it_says():
    """150 shops of 150 customers; binomial bounds of 1 in 1,000 on either side. Visits matter not and are left out."""
    silent = Shoppers(visits_per_order=0.0)
    truth = shop(n_customers=1, days=200, rng=0, shoppers=silent).truth.curves
    truth = truth.filter(pl.col("group") == "all")["survival"].to_numpy()
    days, covered = [15, 30, 60, 90], np.zeros(4)
    for seed in range(150):
        one = shop(n_customers=150, days=200, rng=seed, shoppers=silent)
        spells = repurchase_spells(orders(one.events, history_known=True), as_of=one.as_of)
        told = kaplan_meier(spells).at(days)
        low, high = (told[name].to_numpy() for name in ("survival_low", "survival_high"))
        covered += (low <= truth[days]) & (truth[days] <= high)
    least, most = stats.binom.ppf([0.001, 0.999], 150, 0.95)
    assert (covered >= least).all()
    assert (covered <= most).all()


@pytest.mark.parametrize(
    ("metric", "name", "horizon", "most"),
    [
        ("orders", "orders", 90, np.inf),
        ("orders", "in_flight", 21, np.inf),
        ("revenue", "revenue", 90, np.inf),
        ("days until the next order", "wait", 90, 90),
    ],
)
def test_what_the_ad_adds_per_assigned_customer_is_what_a_big_world_shows(metric, name, horizon, most):
    told = row(world().truth, metric, estimand="per assigned customer", horizon=horizon)
    seen, error = difference(name, most)
    assert abs(told["estimate"]) > 4 * error, "or nothing would be tested"
    assert_near(seen, error, told)


def test_what_the_ad_adds_per_exposed_customer_is_what_a_big_world_shows():
    exposed, _ = arms_of("exposed")
    for metric in ("orders", "revenue"):
        seen, error = difference(metric)
        told = row(world().truth, metric, estimand="per exposed customer")
        assert_near(seen / exposed.mean(), 1.05 * error / exposed.mean(), told)
    through = answers().filter(pl.col("exposed"))["through"].to_numpy()
    told = row(world().truth, "orders through the ad", estimand="per exposed customer")
    assert_near(through.mean(), through.std() / np.sqrt(len(through)), told)


def test_the_share_pulled_forward_is_what_is_counted_with_and_without_the_ad():
    """(L(flight) - L(90)) / L(flight), of customers who live twice; its error by the linear terms of the ratio."""
    n, gains = 120_000, {}
    block = live_block(world().truth.recipe, n, np.random.default_rng(6), days=140)
    for name, days in (("flight", 21), ("whole", 90)):
        counts = []
        for moments in (block.moments, block.own):
            order = np.isin(moments["kind"], (ORDER, LATER)) & (moments["day"] >= 40) & (moments["day"] < 40 + days)
            counts.append(np.bincount(moments["customer"][order], minlength=n))
        gains[name] = (counts[0] - counts[1])[block.arms.treated]
    ratio = 1 - gains["whole"].mean() / gains["flight"].mean()
    linear = (1 - ratio) * gains["flight"] - gains["whole"]
    error = linear.std() / np.sqrt(len(linear)) / gains["flight"].mean()
    assert ratio > 8 * error, "or nothing would be tested"
    assert_near(ratio, error, row(world().truth, "pull-forward"))


def test_the_days_of_both_arms_are_what_a_big_world_shows():
    day = np.arange(91)
    for arm, wait, counted in zip(("treatment", "control"), arms_of("wait"), arms_of("orders")):
        told = world().truth.arms.filter(pl.col("group") == arm)
        assert told["duration_days"].to_list() == day.tolist()
        seen = np.array([(wait > k).mean() for k in day])
        error = np.sqrt(seen * (1 - seen) * (1 / len(wait) + 1 / 140_000))
        assert (np.abs(told["survival"].to_numpy() - seen) <= 4.5 * error + 1e-12).all()
        cumulated = told["mean_cumulative_orders"].to_numpy()
        assert cumulated[0] == 0
        assert cumulated[90] == pytest.approx(counted.mean(), abs=4.5 * counted.std() / np.sqrt(len(counted)))
        assert cumulated[1] == pytest.approx(1 - seen[1], abs=5 * error[1]), "on the first day nobody orders twice"
    ends = [world().truth.arms.filter(pl.col("group") == arm).row(-1, named=True) for arm in ("treatment", "control")]
    added = row(world().truth, "orders", estimand="per assigned customer", horizon=90)["estimate"]
    assert ends[0]["mean_cumulative_orders"] - ends[1]["mean_cumulative_orders"] == pytest.approx(added, abs=1e-9)
    assert ends[0]["restricted_mean_days"] - ends[1]["restricted_mean_days"] == pytest.approx(
        row(world().truth, "days until the next order", estimand="per assigned customer")["estimate"], abs=1e-9
    )


def test_whose_orders_come_through_the_ad_and_what_comes_unprompted_is_counted_right():
    """In other replicates: order by order, with its day without the ad beside it."""
    recipe = world().truth.recipe
    block = live_block(recipe, 60_000, np.random.default_rng(5))
    kept, new = block.moments[: len(block.own)], block.moments[len(block.own) :]
    new = new[np.isin(new["kind"], (ORDER, LATER))]
    through, moved = kept["campaign"] == EXPERIMENT, kept["day"] != block.own["day"]
    kinds = {"displaced": (through & ~moved).sum(), "pulled": moved.sum(), "new": (new["day"] < 130).sum()}
    total = sum(kinds.values())
    for name, count in kinds.items():
        share = count / total
        assert_near(share, 1.3 * np.sqrt(share * (1 - share) / total), row(world().truth, name))
    own = (block.own["kind"] == ORDER).sum()
    logged = own + (new["day"] < 140).sum()
    told = row(world().truth, "orders", estimand="orders there would be without the ad")
    assert_near(own / logged, 2 * np.sqrt(own / logged * (1 - own / logged) / logged), told)


def future_moments(rate, stops, days):
    """Mean and variance of a customer's orders over so many days, day by day from the end."""
    one, two, chance = np.zeros_like(rate), np.zeros_like(rate), -np.expm1(-rate)
    for _ in range(days):
        two = (1 - chance) * two + chance * (1 + (1 - stops) * (2 * one + two))
        one = (1 - chance) * one + chance * (1 + (1 - stops) * one)
    return one, two - one**2


def everything(truth):
    return truth.customers.join(truth.values, on="customer_id", validate="1:1")


def test_what_is_expected_of_a_customer_is_the_sum_over_all_futures():
    """By recursion over whole days; in continuous time it would be (1 - exp(-p rate T)) / p, slightly more."""
    shoppers = Shoppers(rate_scale_days=20.0, dropout=(1.0, 5.0), **PLAIN)
    told = everything(shop(rng=3, n_customers=400, days=100, shoppers=shoppers).truth)
    active = told.filter("active")
    rate, stops = active["rate"].to_numpy(), active["drop_probability"].to_numpy()
    for days in (30, 90, 365):
        mean, variance = future_moments(rate, stops, days)
        z = (active[f"orders_{days}d"].to_numpy() - mean) / np.sqrt(variance / 100)
        assert abs(z.mean()) < 4 / np.sqrt(len(z))
        assert (z**2).mean() == pytest.approx(1, abs=0.5), "the noise of 100 futures, and no more"
        assert (mean <= (1 - np.exp(-stops * rate * days)) / stops + 1e-12).all()
    gone = told.filter(~pl.col("active"))
    assert len(gone) > 30
    assert gone.select(pl.col("^(orders|revenue)_.*$").max()).row(0) == (0,) * 6
    assert gone["dropped_on"].null_count() == 0
    assert active["dropped_on"].null_count() == len(active)


def test_an_overdue_regular_customer_is_expected_soon():
    """By rejection: gaps of rhythm 4, of which those are kept that had not ended when the log did."""
    shoppers = Shoppers(rate_shape=1e6, rate_scale_days=25e6, dropout=STAY, rhythm=4.0, **PLAIN)
    told = shop(rng=3, n_customers=250, days=120, shoppers=shoppers)
    last = told.events.filter(pl.col("event") == "purchase").group_by("customer_id").agg(pl.col("at").max().dt.date())
    waited = (START + timedelta(days=119) - last.sort("customer_id")["at"]).dt.total_days().to_numpy()
    rate, rng, z = told.truth.customers["rate"].to_numpy(), np.random.default_rng(4), []
    for i, expected in enumerate(told.truth.values["orders_30d"]):
        first = rng.gamma(4.0, 0.25 / rate[i], 20_000)
        first = first[first > waited[i]][:2_000] - waited[i]
        gaps = np.column_stack([first, rng.gamma(4.0, 0.25 / rate[i], (len(first), 8))])
        if len(gaps) > 100:
            ordered = (np.cumsum(np.ceil(gaps), axis=1) <= 30).sum(axis=1)
            z.append((expected - ordered.mean()) / np.sqrt(ordered.var() * (1 / 100 + 1 / len(gaps)) + 1e-4))
    assert len(z) > 200
    assert abs(np.mean(z)) < 4 / np.sqrt(len(z))
    assert np.square(z).mean() == pytest.approx(1, abs=0.5)


def test_default_customers_do_after_the_log_what_is_expected_of_them():
    """Some live on for 90 days, others are stopped at the end of the log and started anew from their state."""
    recipe = Recipe(shoppers=Shoppers(), experiment=None, days=200, start=START)
    on = live_block(recipe, 60_000, np.random.default_rng(1), days=290)
    stopped = live_block(recipe, 60_000, np.random.default_rng(2), days=200)
    again = futures(recipe, stopped.people, 90, np.random.default_rng(3))
    lived = on.own[on.own["day"] >= 200]
    assert again["day"].min() >= 200
    assert again["day"].max() < 290
    for first, last in ((200, 210), (210, 290)):
        counts = [
            np.bincount(some["customer"][(some["day"] >= first) & (some["day"] < last)], minlength=60_000)
            for some in (lived, again)
        ]
        error = np.sqrt(sum(one.var() for one in counts) / 60_000)
        assert counts[0].mean() == pytest.approx(counts[1].mean(), abs=4 * error)


def test_the_value_of_an_order_is_what_many_orders_of_a_customer_are_worth():
    shoppers = Shoppers(rate_shape=1e6, rate_scale_days=4e6, dropout=STAY, **PLAIN, price_sensitivity=3.0, n_items=240)
    told = shop(rng=6, n_customers=300, days=300, shoppers=shoppers)
    lines = told.events.filter(pl.col("event") == "purchase").with_columns(value=pl.col("price") * pl.col("quantity"))
    values = lines.group_by("customer_id", "order_id").agg(pl.col("value").sum())
    seen = values.group_by("customer_id").agg(pl.col("value").mean(), n=pl.len(), spread=pl.col("value").std())
    seen = seen.filter(pl.col("n") >= 20).join(told.truth.customers, on="customer_id")
    error = (seen["spread"] / seen["n"].sqrt()).to_numpy()
    gap = (seen["value"] - seen["order_value"]).to_numpy()
    assert gap.sum() == pytest.approx(0, abs=4 * np.sqrt((error**2).sum()))
    expected = seen["order_value"].to_numpy()
    assert expected.std() > 5
    slope, _, _, _, slope_error = stats.linregress(expected, seen["value"].to_numpy())
    assert slope == pytest.approx(1, abs=4 * slope_error)
    assert slope > 8 * slope_error


@pytest.mark.parametrize(("depth", "level"), [(0.0, 1.0), (0.25, 0.75)])
def test_revenue_is_orders_times_their_value_at_the_prices_of_the_day(depth, level):
    """Here every day is a promotion day."""
    sale = Shoppers(promotion_depth=depth, promotion_days=10, promotion_every_days=10)
    told = everything(shop(rng=6, n_customers=100, days=100, shoppers=sale).truth)
    for days in (30, 90, 365):
        expected = level * told[f"orders_{days}d"] * told["order_value"]
        assert told[f"revenue_{days}d"].to_numpy() == pytest.approx(expected.to_numpy(), rel=1e-9)


def test_a_shop_that_is_always_on_sale_to_customers_who_do_not_care_gains_less_by_the_discount():
    added = {}
    for depth in (0.0, 0.25):
        sale = Shoppers(promotion_depth=depth, promotion_days=9, promotion_every_days=9, price_sensitivity=0.0)
        truth = shop(rng=1, n_customers=10, days=98, shoppers=sale, experiment=Experiment(start_day=8)).truth
        rows = (row(truth, name, estimand="per assigned customer", horizon=90) for name in ("revenue", "orders"))
        added[depth] = [one["estimate"] for one in rows]
    assert added[0.25][0] == pytest.approx(0.75 * added[0.0][0], rel=1e-9)
    assert added[0.25][1] == pytest.approx(added[0.0][1], rel=1e-9)
    assert added[0.0][0] > 0


def test_the_truth_is_that_of_the_parameters_not_of_the_seed_and_is_worked_out_once():
    first, other = (shop(rng=seed, n_customers=50, days=95, experiment=Experiment(start_day=5)) for seed in (1, 2))
    made = {name: getattr(first.truth, name) for name in ("curves", "arms", "estimates", "customers", "values")}
    begun = perf_counter()
    for name in ("curves", "arms", "estimates"):
        assert getattr(other.truth, name) is made[name]
    assert first.truth.customers is made["customers"]
    assert first.truth.values is made["values"]
    assert perf_counter() - begun < 0.1
    assert not other.truth.customers.equals(made["customers"])
    longer = shop(rng=1, n_customers=50, days=96, experiment=Experiment(start_day=5)).truth
    assert longer.curves is not made["curves"]


def test_only_the_assigned_have_an_uplift_and_it_adds_up_to_the_population_value():
    people, assignments = world().truth.blocks, world().assignments
    uplift = np.concatenate([block.new_orders[block.arms.assigned] for block in people])
    assert len(uplift) == len(assignments)
    told = row(world().truth, "orders", estimand="per assigned customer", horizon=90)
    assert_near(uplift.mean(), uplift.std() / np.sqrt(len(uplift)), told)
    small = shop(rng=4, n_customers=200, days=140, shoppers=LIVELY, experiment=AD)
    known = small.truth.customers.filter(pl.col("expected_uplift").is_not_null())["customer_id"].sort()
    assert known.equals(small.assignments["customer_id"].sort())
    eligible = small.assignments.filter(pl.col("eligible_at").is_not_null())["customer_id"]
    moved = small.truth.customers.filter(pl.col("expected_uplift") > 0)["customer_id"]
    assert set(moved) == set(eligible), "in both arms"
    assert shop(rng=4, n_customers=50, days=140).truth.customers["expected_uplift"].null_count() == 50


def test_an_ad_that_does_nothing_adds_zero_and_its_shares_are_refused():
    nothing = Experiment(start_day=8, lift=0.0, displaced=0.0, pulled_forward=0.0)
    truth = shop(rng=1, n_customers=20, days=100, experiment=nothing).truth
    for estimand in ("per assigned customer", "per exposed customer"):
        zero = truth.estimates.table.filter(pl.col("estimand") == estimand)
        assert len(zero) >= 3
        assert set(zero["estimate"]) == set(zero["standard_error"]) == {0.0}
    for name in ("displaced", "pulled", "new", "pull-forward"):
        told = row(truth, name)
        assert (told["verdict"], told["estimate"]) == ("refused", None)
        assert "Nothing to divide by" in told["reason"]
    control, treatment = (truth.arms.filter(pl.col("group") == arm).drop("group") for arm in ("control", "treatment"))
    assert control.equals(treatment)


def test_without_anybody_exposed_nothing_is_said_per_exposed_customer():
    truth = shop(rng=1, n_customers=20, days=100, experiment=Experiment(start_day=8, win_share=0.0)).truth
    told = truth.estimates.table.filter(pl.col("estimand") == "per exposed customer")
    assert set(told["verdict"]) == {"refused"}


def test_the_estimates_keep_the_contract():
    for truth in (world().truth, shop(rng=1, n_customers=10, days=70).truth):
        checked = check(truth.estimates.table, Estimates)
        assert (len(checked.good), len(checked.quarantined)) == (len(truth.estimates.table), 0)
    assert len(shop(rng=1, n_customers=10, days=70).truth.arms) == 0, "without an experiment there are no arms"
    told = row(world().truth, "doubling of 10 + recent minutes")
    assert told["estimate"] == pytest.approx(2**0.4, rel=1e-12)
    assert "replicate" in repr(world().truth)
