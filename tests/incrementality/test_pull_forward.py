"""Whether an ad borrowed orders from later: by plain totals, against the simulator's truth, covered, and refused."""

from __future__ import annotations

from datetime import datetime, timedelta

import numpy as np
import polars as pl
import pytest
from polars.testing import assert_frame_equal
from scipy import stats

from shoptoolkit import features, simulate
from shoptoolkit.contract import ContractError
from shoptoolkit.incrementality import ledger, outcomes, pull_forward
from tests.conftest import WORLDS

START = datetime(2025, 3, 1)
FLIGHT, HORIZON = 10, 40


def world(seed, n=600, *, added=0.3, borrowed=0.5, rate=0.02, treated=0.5, spread_days=0):
    """Poisson orders; in treatment `added` more in the flight, of which a share is missing after it."""
    rng = np.random.default_rng(seed)
    keen = rng.gamma(4, 0.25, n)
    is_ad = np.arange(n) < treated * n
    means = keen * rate * FLIGHT + is_ad * added, keen * rate * (HORIZON - FLIGHT)
    early, late = rng.poisson(means[0]), rng.poisson(means[1])
    late = np.where(is_ad, rng.binomial(late, 1 - added * borrowed / (rate * (HORIZON - FLIGHT))), late)
    who = np.concatenate([np.repeat(np.arange(n), early), np.repeat(np.arange(n), late)])
    after = [rng.uniform(0, FLIGHT, early.sum()), rng.uniform(FLIGHT, HORIZON, late.sum())]
    begin = rng.integers(0, spread_days + 1, n)
    seconds = ((begin[who] + np.concatenate(after)) * 86_400).astype(np.int64)
    at = pl.Series(seconds * 1_000_000).cast(pl.Duration("us")) + pl.lit(START)
    worth = np.round(rng.lognormal(3, 0.5, len(who)), 2)
    orders = pl.DataFrame({"customer_id": who, "order_id": np.arange(len(who)), "revenue": worth}).with_columns(
        ordered_at=at, order_number=1, gross_revenue="revenue", refunded=0.0, items=1
    )
    people = pl.DataFrame({"experiment_id": 1, "customer_id": np.arange(n)}).with_columns(
        arm=pl.Series(np.where(is_ad, "ad", "none")),
        assigned_at=pl.lit(START) + pl.Series(begin).cast(pl.Int64) * pl.duration(days=1),
    )
    return orders, people, pl.DataFrame({"customer_id": np.arange(n), "pre_orders": rng.poisson(keen * 9)})


def told_of(orders, people, **options):
    asked = {"as_of": START + timedelta(days=HORIZON), "control": "none"}
    asked |= {"flight_days": FLIGHT, "horizon_days": HORIZON}
    return pull_forward(orders, people, **asked | options)


def totals_of(orders, people, metric="orders"):
    """Each customer's totals in flight and to the horizon, in numpy."""
    day = (orders["ordered_at"] - START).dt.total_seconds().to_numpy() / 86_400
    worth = np.ones(len(orders)) if metric == "orders" else orders[metric].to_numpy()
    who = orders["customer_id"].to_numpy()
    return [np.bincount(who, np.where(day < end, worth, 0), len(people)) for end in (FLIGHT, HORIZON)]


@pytest.mark.parametrize("metric", ["orders", "revenue"])
def test_with_all_followed_it_is_welch_on_customers_totals_and_fieller_on_both_days_together(metric):
    orders, people, _ = world(1)
    rows = told_of(orders, people, metric=metric).table.to_dicts()
    flight, horizon = totals_of(orders, people, metric)
    ad = (people["arm"] == "ad").to_numpy()
    for row, total in zip(rows, (flight, horizon - flight, horizon)):
        known = stats.ttest_ind(total[ad], total[~ad], equal_var=False)
        bounds = known.confidence_interval(0.95)
        for name, value in {"p_value": known.pvalue, "low": bounds.low, "high": bounds.high}.items():
            assert row[name] == pytest.approx(value, abs=1e-9)
    share = rows[3]
    for edge in (share["low"], share["high"]):
        apart = flight - horizon - edge * flight
        parts = np.array([apart[side].var(ddof=1) / side.sum() for side in (ad, ~ad)])
        size = abs(apart[ad].mean() - apart[~ad].mean()) / np.sqrt(parts.sum())
        assert size == pytest.approx(stats.norm.ppf(0.975), rel=0.01)  # of Student's law with hundreds of degrees
    assert share["estimate"] == pytest.approx(-rows[1]["estimate"] / rows[0]["estimate"], abs=1e-12)


def test_the_words_say_what_each_row_is():
    table = told_of(*world(1)[:2]).table
    assert table.select("metric", "horizon_days", "estimand", "measure").rows() == [
        ("orders", 10.0, "per assigned customer", "orders"),
        ("orders after the flight", 40.0, "per assigned customer", "orders"),
        ("orders", 40.0, "per assigned customer", "orders"),
        ("pull-forward", 40.0, "(L(flight) - L(horizon)) / L(flight)", "share"),
    ]
    assert table["contrast"].unique().to_list() == ["ad - none"]
    assert table["method"].unique().to_list() == ["difference in means"]
    assert told_of(*world(1)[:2], metric="revenue").table["metric"].to_list()[3] == "pull-forward of revenue"


def test_who_started_late_counts_as_far_as_followed():
    orders, people, _ = world(2, spread_days=20)
    end = START + timedelta(days=45)
    rows = told_of(orders, people, as_of=end).table.to_dicts()
    assert rows[0]["method"] == "difference in mean cumulative orders"
    counts = {}
    for arm in ("ad", "none"):
        start = people.filter(arm=arm).select("customer_id", "assigned_at")
        both = orders.join(start, on="customer_id")
        day = ((both["ordered_at"] - both["assigned_at"]).dt.total_seconds() // 86_400 + 1).to_numpy()
        followed = (pl.Series([end]) - start["assigned_at"]).dt.total_days().to_numpy()
        seen = day <= (end - both["assigned_at"]).dt.total_days().to_numpy()
        steps = [(day[seen] == t).sum() / (followed >= t).sum() for t in range(1, HORIZON + 1)]
        counts[arm] = np.cumsum(steps)
    added = counts["ad"] - counts["none"]
    for row, value in zip(rows, (added[FLIGHT - 1], added[-1] - added[FLIGHT - 1], added[-1])):
        assert row["estimate"] == pytest.approx(value, abs=1e-12)


def test_it_finds_the_truth_of_the_simulator_and_the_totals_of_outcomes():
    shop = simulate.shop(n_customers=25_000, days=240, rng=11, experiment=simulate.Experiment())
    end = shop.assignments["assigned_at"][0] + timedelta(days=90)
    told = pull_forward(
        features.orders(shop.events), shop.assignments, as_of=end, control="control", flight_days=21, horizon_days=90
    )
    rows = ledger(told, truth=shop.truth.estimates).table.to_dicts()
    for row in (rows[0], rows[2], rows[3]):
        assert row["low"] < row["truth"] < row["high"]
    made = outcomes(shop.events, shop.assignments, as_of=end, window_days=90, metrics="orders")
    means = dict(made.table.group_by("arm").agg(pl.col("orders").mean()).rows())
    assert rows[2]["estimate"] == pytest.approx(means["treatment"] - means["control"], abs=1e-12)
    sharp = pull_forward(
        features.orders(shop.events),
        shop.assignments,
        as_of=end,
        control="control",
        flight_days=21,
        horizon_days=90,
        covariates=made,
    ).table
    assert sharp["standard_error"][2] < 0.95 * told.table["standard_error"][2]
    assert sharp["method"][0] == "difference in means, adjusted for pre_orders (interacted, HC2)"


def test_rows_names_and_currency_do_not_decide():
    orders, people, known = world(3, spread_days=9)
    options = {"metric": "revenue", "as_of": START + timedelta(days=44)}
    expected = told_of(orders, people, covariates=known, **options).table
    rename = pl.format("c{}", 5_000 - pl.col("customer_id")).alias("customer_id")
    moved = [one.with_columns(rename).sample(fraction=1, shuffle=True, seed=4) for one in (orders, people, known)]
    moved[0] = moved[0].with_columns(pl.col("revenue") * 1e6)
    told = told_of(*moved[:2], covariates=moved[2], **options).table
    for name in ("estimate", "standard_error", "low", "high"):
        np.testing.assert_allclose(told[name][:3], 1e6 * expected[name][:3], rtol=1e-8)
        assert told[name][3] == pytest.approx(expected[name][3], rel=1e-8)


def test_what_is_not_told_from_nothing_is_no_divisor():
    rows = told_of(*world(4, added=0.0)[:2]).table.to_dicts()
    assert [row["verdict"] for row in rows] == ["ok", "ok", "ok", "refused"]
    assert "per customer, is not told from 0, so there is nothing to divide by" in rows[3]["reason"]


def test_a_horizon_that_too_few_reach_is_refused_with_the_day_to_take():
    orders, people, _ = world(5, spread_days=20)
    rows = told_of(orders, people, as_of=START + timedelta(days=39)).table
    assert rows["verdict"].to_list() == ["refused"] * 4
    assert "are followed to day 40, and at least 10 are needed; take horizon_days <= 39, or wait" in rows["reason"][0]
    few = told_of(orders, people.group_by("arm").head(9), as_of=START + timedelta(days=60)).table
    assert few["reason"][3] == "only 9 customers in 'ad'; an interval needs at least 10."


def test_nobody_ordering_in_the_flight_is_refused():
    orders, people, _ = world(6)
    late = orders.filter(pl.col("ordered_at") >= START + timedelta(days=FLIGHT))
    rows = told_of(late, people).table
    assert rows["verdict"].to_list() == ["refused", "ok", "ok", "refused"]
    assert rows["reason"][0] == "All customers have the same orders in the flight; was it measured?"


@pytest.mark.parametrize(
    ("options", "error", "message"),
    [
        ({"flight_days": 40}, ValueError, "flight_days is 40 and horizon_days 40; .* the horizon must lie beyond it"),
        ({"flight_days": "10"}, ValueError, "flight_days is '10'; it must be a whole number >= 1"),
        ({"flight_days": 2.5}, ValueError, "flight_days is 2.5"),
        ({"horizon_days": float("nan")}, ValueError, "horizon_days is nan"),
        ({"metric": "profit"}, ContractError, "metric is 'profit'; it must be 'orders' or a column of numbers: rev"),
        (
            {"metric": "order_id"},
            ContractError,
            "metric is 'order_id'; it must be 'orders' or a column of numbers: rev",
        ),
        ({"level": 1}, ValueError, "level is 1"),
        ({"control": "x"}, ValueError, "control is 'x'"),
    ],
)
def test_a_wrong_question_is_an_error_that_says_the_mend(options, error, message):
    with pytest.raises(error, match=message):
        told_of(*world(7)[:2], **options)


def test_three_arms_are_each_compared_with_the_control():
    orders, people, _ = world(8)
    arms = people.with_columns(arm=pl.when(pl.col("customer_id") % 3 == 0).then(pl.lit("b")).otherwise("arm"))
    told = told_of(orders, arms).table
    assert told["contrast"].unique(maintain_order=True).to_list() == ["ad - none", "b - none"]
    alone = told_of(orders, arms.filter(pl.col("arm") != "b")).table
    assert_frame_equal(told.filter(contrast="ad - none"), alone, rel_tol=1e-9, abs_tol=1e-12)


@pytest.mark.certify
@pytest.mark.parametrize(
    "options",
    [
        {"n": 300},
        {"n": 1_000, "treated": 0.1, "added": 0.5, "borrowed": 0.3},
        {"n": 400, "spread_days": 20},
        {"n": 3_000, "rate": 0.0003, "added": 0.005, "borrowed": 0.0},
    ],
    ids=["half borrowed", "90 to 10", "late starters", "sparse buyers"],
)
def test_every_interval_covers_the_truth(certify, options):
    """Refused shares count as misses; but for sparse buyers, whose flight is often not told from nothing."""
    added, borrowed = options.get("added", 0.3), options.get("borrowed", 0.5)
    truth = (added, -added * borrowed, added * (1 - borrowed), borrowed)

    def hits(seed):
        orders, people, known = world(seed, **options)
        end = START + timedelta(days=45)
        plain = told_of(orders, people, as_of=end, level=0.9).table.to_dicts()
        sharp = told_of(orders, people, as_of=end, level=0.9, covariates=known).table.to_dicts()
        rows = [*zip(plain, truth), *zip(sharp, truth)]
        if added < 0.1:
            rows = rows[:3] + rows[4:7]
        return [one["verdict"] == "ok" and one["low"] <= true <= one["high"] for one, true in rows]

    certify(hits, level=0.9, worlds=WORLDS // 2)
