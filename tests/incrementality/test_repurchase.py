"""Whether an ad brings customers back sooner: by the definition, against the truth of the simulator, and covered."""

from __future__ import annotations

from datetime import datetime, timedelta

import numpy as np
import polars as pl
import pytest

from shoptoolkit import features, simulate, survival
from shoptoolkit.incrementality import ledger, repurchase_lift
from shoptoolkit.incrementality.repurchase import since_start
from tests.conftest import WORLDS

START = datetime(2025, 3, 1)


def dealt(n, *, treated=0.5, spread_days=0, rng=0):
    """Customers dealt to two arms, from START on over some days, at any second."""
    rng = np.random.default_rng(rng)
    late = [START + timedelta(seconds=int(one)) for one in rng.integers(0, 86_400 * spread_days + 1, n)]
    columns = {"experiment_id": 1, "customer_id": np.arange(n), "assigned_at": late}
    arm = pl.Series(np.where(np.arange(n) < treated * n, "ad", "none"))
    return pl.DataFrame(columns).with_columns(arm=arm)


def orders_of(people, moments):
    """Orders of (customer, seconds since the assignment)."""
    who, after = (np.array(column) for column in zip(*moments)) if len(moments) else (np.zeros(0, int),) * 2
    at = people["assigned_at"].gather(who) + pl.Series(after.astype(np.int64) * 1_000_000).cast(pl.Duration("us"))
    columns = {"customer_id": people["customer_id"].gather(who), "order_id": np.arange(len(who)), "ordered_at": at}
    worth = pl.lit(10.0) + pl.col("order_id") % 7
    money = {"gross_revenue": worth, "revenue": worth, "refunded": 0.0, "items": 1, "order_number": 1}
    return pl.DataFrame(columns).with_columns(**money)


def world(seed, n=400, *, rates=(0.03, 0.045), treated=0.5, spread_days=20):
    """Poisson orders; the rate of the treated differs, and both arms' with a covariate."""
    rng = np.random.default_rng(seed)
    people = dealt(n, treated=treated, spread_days=spread_days, rng=rng)
    keen = rng.gamma(4, 0.25, n)
    rate = keen * np.where(people["arm"] == "ad", rates[1], rates[0])
    counts = rng.poisson(rate * 90)
    who = np.repeat(np.arange(n), counts)
    orders = orders_of(people, list(zip(who, rng.integers(0, 90 * 86_400, len(who)))))
    return orders, people, pl.DataFrame({"customer_id": people["customer_id"], "pre_orders": rng.poisson(keen * 9)})


def asked(**options):
    return {"as_of": START + timedelta(days=60), "horizon_days": 40, "control": "none"} | options


def row_of(estimates):
    return estimates.table.row(0, named=True)


def slow_spells(orders, people, end, horizon):
    """Each customer's followed days and days of orders, counted one by one."""
    told = []
    for who, arm, start in people.select("customer_id", "arm", "assigned_at").rows():
        followed = min((end - start) // timedelta(days=1), horizon)
        at = orders.filter(pl.col("customer_id") == who)["ordered_at"]
        days = sorted((one - start) // timedelta(days=1) + 1 for one in at if one >= start)
        told.append((arm, followed, [day for day in days if day <= followed]))
    return [one for one in told if one[1] >= 1]


def test_spells_are_the_days_of_24_hours_since_the_assignment_counted_one_by_one():
    orders, people, _ = world(1, 60)
    end = START + timedelta(days=20)
    slow = slow_spells(orders, people, end, 40)
    lift = repurchase_lift(orders, people, **asked(as_of=end, horizon_days=15))
    for day in (1, 5, 15):
        means = {}
        for arm in ("ad", "none"):
            ours = [(min(followed, 15), days) for one, followed, days in slow if one == arm]
            at_risk = [sum(followed >= t for followed, _ in ours) for t in range(1, day + 1)]
            placed = [sum(days.count(t) for followed, days in ours if followed >= t) for t in range(1, day + 1)]
            means[arm] = sum(d / y for d, y in zip(placed, at_risk))
        assert lift.orders.at(day)["estimate"].item() == pytest.approx(means["ad"] - means["none"], abs=1e-12)
    first = [(arm, days[0] if days else followed, bool(days)) for arm, followed, days in slow]
    spells = pl.DataFrame(first, schema=["arm", "duration_days", "repurchased"], orient="row").with_row_index("id")
    spells = spells.with_columns(
        pl.min_horizontal("duration_days", 15), repurchased=pl.col("repurchased") & (pl.col("duration_days") <= 15)
    )
    known = survival.restricted_mean_difference(spells, by="arm", horizon_days=15, reference="none", id="id")
    for name in ("estimate", "standard_error", "n"):
        assert row_of(lift.estimates)[name] == pytest.approx(row_of(known)[name], abs=1e-12)
    curve = survival.survival_difference(spells, by="arm", reference="none", id="id")
    assert lift.survival.table.equals(curve.table)


def test_an_order_at_once_is_of_day_one_and_one_before_or_too_late_is_none():
    people = dealt(4)
    day = 86_400
    orders = orders_of(people, [(0, 0), (0, day - 1), (1, day), (2, -1), (3, 12 * day), (3, 9 * day)])
    spells = since_start(
        orders,
        people,
        as_of=START + timedelta(days=10),
        horizon_days=40,
        control="none",
        start="assigned_at",
        timezone="UTC",
    )
    assert spells.filter("repurchased").select("customer_id", "start_days", "stop_days", "orders").rows() == [
        (0, 0.0, 1.0, 2),
        (1, 0.0, 2.0, 1),
        (3, 0.0, 10.0, 1),
    ]
    assert spells.filter(pl.col("customer_id") == 2).select("stop_days", "repurchased").rows() == [(10.0, False)]


@pytest.fixture(scope="module")
def shop():
    return simulate.shop(n_customers=25_000, days=240, rng=7, experiment=simulate.Experiment())


def test_it_finds_the_truth_of_the_simulator_by_row_and_by_day(shop):
    """A day's convention that is off by one would move a mean by half a day: more than three errors here."""
    orders, dealt_at = features.orders(shop.events), shop.assignments["assigned_at"][0]
    lift = repurchase_lift(
        orders, shop.assignments, as_of=dealt_at + timedelta(days=90), horizon_days=90, control="control"
    )
    told = row_of(ledger(lift.estimates, truth=shop.truth.estimates))
    assert told["low"] < told["truth"] < told["high"]
    arms = shop.truth.arms.pivot(on="group", index="duration_days").sort("duration_days")
    for curve, name in ((lift.survival, "survival"), (lift.orders, "mean_cumulative_orders")):
        truth = arms.select("duration_days", truth=pl.col(f"{name}_treatment") - pl.col(f"{name}_control"))
        band = curve.table.join(truth, on="duration_days").drop_nulls("band_low")
        assert len(band) > 80
        assert ((band["band_low"] <= band["truth"]) & (band["truth"] <= band["band_high"])).all()
    spells = since_start(
        orders,
        shop.assignments,
        as_of=dealt_at + timedelta(days=90),
        horizon_days=90,
        control="control",
        start="assigned_at",
        timezone="UTC",
    )
    first = spells.filter(pl.col("start_days") == 0)
    waits = survival.restricted_mean(first, by="arm", horizon_days=90, duration="stop_days").table
    means = survival.mean_cumulative_orders(spells, by="arm", amount="orders").at(90)
    for arm in ("control", "treatment"):
        known = shop.truth.arms.filter((pl.col("group") == arm) & (pl.col("duration_days") == 90)).row(0, named=True)
        wait = waits.filter(pl.col("group") == arm).row(0, named=True)
        assert abs(wait["estimate"] - known["restricted_mean_days"]) < 3 * wait["standard_error"] < 1.5
        mean = means.filter(pl.col("group") == arm).row(0, named=True)
        assert abs(mean["estimate"] - known["mean_cumulative_orders"]) < 3 * mean["standard_error"]


def test_from_eligibility_on_only_the_eligible_count(shop):
    orders = features.orders(shop.events)
    lift = repurchase_lift(
        orders, shop.assignments, as_of="2025-08-20", horizon_days=40, control="control", start="eligible_at"
    )
    told = row_of(lift.estimates)
    assert told["estimand"] == "per eligible customer"
    assert told["n"] == shop.assignments["eligible_at"].count()
    assert lift.survival.estimand == "difference in the share of customers without an order since eligibility"


def test_a_covariate_that_foretells_orders_narrows_the_interval():
    orders, people, known = world(2, 2_000)
    plain, sharp = (row_of(repurchase_lift(orders, people, **asked(covariates=one)).estimates) for one in (None, known))
    assert sharp["standard_error"] < 0.97 * plain["standard_error"]
    assert sharp["method"] == "restricted mean, adjusted for pre_orders"
    assert plain["method"] == "restricted mean"


def test_rows_names_and_further_arms_do_not_change_an_answer():
    orders, people, known = world(3)
    expected = repurchase_lift(orders, people, **asked(covariates=known))
    rename = pl.format("c{}", 5_000 - pl.col("customer_id")).alias("customer_id")
    shuffled = [one.with_columns(rename).sample(fraction=1, shuffle=True, seed=4) for one in (orders, people, known)]
    more = pl.concat(
        [
            shuffled[1],
            shuffled[1]
            .head(90)
            .with_columns(pl.format("z{}", "customer_id").alias("customer_id"), arm=pl.lit("other")),
        ]
    )
    bought = shuffled[0].join(
        more.filter(arm="other").select(customer_id=pl.col("customer_id").str.slice(1)), on="customer_id", how="semi"
    )
    bought = bought.with_columns(pl.format("z{}", "customer_id").alias("customer_id"))
    again = repurchase_lift(pl.concat([shuffled[0], bought]), more, **asked())
    plain = repurchase_lift(orders, people, **asked())
    assert again.estimates.table["contrast"].to_list() == ["ad - none", "other - none"]
    np.testing.assert_allclose(row_of(again.estimates)["estimate"], row_of(plain.estimates)["estimate"], atol=1e-10)
    first = again.orders.table.filter(pl.col("group") == "ad - none")
    np.testing.assert_allclose(first["band_low"].fill_null(0), plain.orders.table["band_low"].fill_null(0), atol=1e-9)
    moved = repurchase_lift(*shuffled[:2], **asked(covariates=shuffled[2]))
    for name in ("estimate", "standard_error", "low"):
        assert row_of(moved.estimates)[name] == pytest.approx(row_of(expected.estimates)[name], abs=1e-9)


def test_a_horizon_beyond_the_follow_up_is_refused_with_the_day_to_take():
    orders, people, _ = world(4, spread_days=0)
    lift = repurchase_lift(orders, people, **asked(horizon_days=75))
    assert row_of(lift.estimates)["verdict"] == "refused"
    assert "follow-up ends on day 60; take horizon_days <= 60, or wait" in row_of(lift.estimates)["reason"]
    assert lift.orders.table["duration_days"].max() <= 60


def test_it_reads_well_in_a_notebook():
    lift = repurchase_lift(*world(5)[:2], **asked())
    assert "ad - none: " in repr(lift)
    assert "orders per customer since the assignment" in repr(lift)
    assert lift._repr_html_().count("<table") == 3


BAD = {
    "several experiments": (lambda o, p, k: (o, p.with_columns(experiment_id="customer_id"), k), {}, "400 experiments"),
    "two arms at once": (
        lambda o, p, k: (o, pl.concat([p, p.head(1).with_columns(arm=pl.lit("none"))]), k),
        {},
        "1 customers are in several arms: 0",
    ),
    "no such arm": (lambda o, p, k: (o, p, k), {"control": "x"}, "control is 'x'; the arms are 'ad', 'none'"),
    "clusters": (
        lambda o, p, k: (o, p.with_columns(cluster=pl.col("customer_id") // 4), k),
        {},
        "so clusters were dealt, and errors here are those of customers",
    ),
    "another split": (
        lambda o, p, k: (o, p.with_columns(probability=pl.when(pl.col("arm") == "ad").then(0.8).otherwise(0.2)), k),
        {},
        "Sample ratio mismatch: of 400 customers 200 in 'ad'",
    ),
    "chances": (
        lambda o, p, k: (o, p.with_columns(probability=0.4 + pl.col("customer_id") % 2 * 0.2), k),
        {},
        "assigned with different probabilities",
    ),
    "late": (
        lambda o, p, k: (
            o,
            p.with_columns(
                assigned_at=pl.when(pl.col("arm") == "ad").then(START + timedelta(days=80)).otherwise("assigned_at")
            ),
            k,
        ),
        {},
        "nobody of 'ad' has a whole day from assigned_at to as_of",
    ),
    "one arm": (lambda o, p, k: (o, p.filter(arm="none"), k), {}, "'none' is the one arm; a comparison needs two"),
    "other ids": (lambda o, p, k: (o.with_columns(pl.col("customer_id").cast(str)), p, k), {}, "cast one"),
    "no order": (
        lambda o, p, k: (o.with_columns(ordered_at=START - timedelta(days=1)), p, k),
        {},
        "none of 400 custom",
    ),
    "no eligible_at": (lambda o, p, k: (o, p, k), {"start": "eligible_at"}, "'eligible_at' is missing"),
    "a wrong start": (lambda o, p, k: (o, p, k), {"start": "seen_at"}, "start is 'seen_at'; it must be one of"),
    "half a day": (lambda o, p, k: (o, p, k), {"horizon_days": 7.5}, "horizon_days is 7.5; it must be a whole number"),
    "a horizon in words": (lambda o, p, k: (o, p, k), {"horizon_days": "30"}, "horizon_days is '30'"),
    "no covariates": (lambda o, p, k: (o, p, k.drop("pre_orders")), {}, "columns named pre_... are needed"),
    "covariates twice": (lambda o, p, k: (o, p, pl.concat([k, k])), {}, "customer_id repeats"),
    "covariates of others": (lambda o, p, k: (o, p, k.head(390)), {}, "10 of 400 customers have no row"),
    "ids of covariates": (lambda o, p, k: (o, p, k.cast({"customer_id": str})), {}, "'customer_id' is String, and Int"),
    "text": (lambda o, p, k: (o, p, k.cast({"pre_orders": str})), {}, "'pre_orders' is String"),
    "nulls": (lambda o, p, k: (o, p, k.with_columns(pre_orders=pl.lit(float("nan")))), {}, "null, NaN or infinite"),
    "a constant": (lambda o, p, k: (o, p, k.with_columns(pre_orders=1)), {}, "'pre_orders' is constant"),
}


@pytest.mark.parametrize(("change", "options", "message"), BAD.values(), ids=BAD)
def test_what_cannot_be_answered_is_an_error_that_says_the_mend(change, options, message):
    orders, people, known = change(*world(6))
    with pytest.raises(ValueError, match=message):
        repurchase_lift(orders, people, **asked(covariates=known, **options))


def test_nothing_given_is_changed():
    frames = world(7)
    before = [one.clone() for one in frames]
    repurchase_lift(*frames[:2], **asked(covariates=frames[2]))
    assert all(one.equals(other) for one, other in zip(frames, before))


def truth(rates, horizon):
    """Restricted means of gamma-mixed Poisson waits in whole days, and mean orders, by day."""
    day = np.arange(horizon + 1)
    left = [(1 + rate * 0.25 * day) ** -4.0 for rate in rates]
    return left[1][:-1].sum() - left[0][:-1].sum(), left[1] - left[0], (rates[1] - rates[0]) * day


def holds(curve, known):
    band = curve.table.drop_nulls("band_low")
    at = known[band["duration_days"].to_numpy().astype(int)]
    return bool(((band["band_low"].to_numpy() <= at) & (at <= band["band_high"].to_numpy())).all())


@pytest.mark.certify
@pytest.mark.parametrize(
    ("rates", "treated", "n"),
    [((0.03, 0.045), 0.2, 400), ((0.0004, 0.0004), 0.5, 2_000)],
    ids=["an effect, 20 to 80", "none, sparse buyers"],
)
def test_intervals_and_bands_cover_the_truth(certify, rates, treated, n):
    """Half start too late to be followed to the horizon."""
    days, waiting, added = truth(rates, 40)

    def hits(seed):
        orders, people, known = world(seed, n, rates=rates, treated=treated, spread_days=40)
        sharp = repurchase_lift(orders, people, **asked(level=0.9, covariates=known))
        first = sharp.survival.at(20).row(0, named=True), sharp.orders.at(30).row(0, named=True)
        spells = since_start(orders, people, **asked(start="assigned_at", timezone="UTC")).filter(start_days=0)
        options = {"by": "arm", "reference": "none", "duration": "stop_days", "level": 0.9}
        plain = survival.restricted_mean_difference(spells, horizon_days=40, **options)
        rows = [row_of(one) for one in (plain, sharp.estimates)]
        found = [one["low"] is not None and one["low"] <= days <= one["high"] for one in rows]
        found += [one["low"] <= true <= one["high"] for one, true in zip(first, (waiting[20], added[30]))]
        return [*found, holds(sharp.survival, waiting), holds(sharp.orders, added)]

    certify(hits, level=0.9, worlds=WORLDS // 2)
