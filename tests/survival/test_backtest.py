"""Rolling forecasts: right where the world is the model's, found out where it is not."""

from __future__ import annotations

from datetime import date, timedelta

import numpy as np
import polars as pl
import pytest

from shoptoolkit.contract import ContractError
from shoptoolkit.survival import backtest, fit_orders, summarise_orders

START = date(2024, 1, 1)
OPTIONS = {"horizon_days": 90, "as_of": START + timedelta(500), "rng": 1, "periods": 2, "draws": 60}
ORIGINS = [START + timedelta(days) for days in (250, 330)]


def world(seed, *, n=600, speed_up=1.0):
    """A BG/NBD shop over 500 days; from day 250 on orders may come faster than before."""
    rng = np.random.default_rng(seed)
    rate, leaves = rng.gamma(1.0, 1 / 60, n), rng.beta(1.0, 3.0, n)
    joined = np.floor(rng.random(n) * 120)
    at, alive, rows = joined.astype(float), np.ones(n, dtype=bool), [(np.arange(n), joined)]
    while alive.any():
        wait = rng.exponential(1 / rate)
        before = np.maximum(0, np.minimum(wait, 250 - at))  # of the wait, at the old speed
        at = at + before + (wait - before) / speed_up
        alive &= at < 500
        rows.append((np.flatnonzero(alive), np.floor(at[alive])))
        alive &= rng.random(n) >= leaves
    who, day = (np.concatenate(column) for column in zip(*rows))
    table = pl.DataFrame({"customer_id": who, "day": day.astype(int)})
    at = pl.lit(START).cast(pl.Datetime("us")) + pl.duration(days="day", hours=9)
    return table.select(
        "customer_id", ordered_at=at, history_known=True, source=pl.format("s{}", pl.col("customer_id") % 2)
    )


@pytest.fixture(scope="module")
def told():
    return backtest(world(0), origins=ORIGINS, by="source", **OPTIONS)


def of(told, kind, group, origin=None):
    return told.table.filter(
        (pl.col("kind") == kind) & (pl.col("group") == group) & pl.col("origin").eq_missing(pl.lit(origin))
    ).row(0, named=True)


@pytest.mark.certify
def test_a_right_model_is_told_right(certify):
    def hits(seed):
        told = backtest(world(seed, n=400), origins=ORIGINS, level=0.9, **OPTIONS | {"draws": 20})
        rows = [("all", "all"), ("decile", "10"), ("decile", "9"), ("period", "day 46 to 90"), ("cohort", "2024-02")]
        held = [of(told, *row)["low"] <= 0 <= of(told, *row)["high"] for row in rows]
        return [*held, told.pit_p_value >= 0.1]

    certify(hits, level=0.9)


def test_a_shop_that_speeds_up_is_found_out():
    told = backtest(world(1, n=3_000, speed_up=1.6), origins=ORIGINS[:1], **OPTIONS)
    total = of(told, "all", "all")
    assert total["low"] > 0
    assert total["ratio"] > 1.15
    assert told.pit_p_value < 1e-3
    assert told.pit["share_low"][-1] > 0.1  # more customers than expected ordered more than expected


def test_a_right_model_beats_the_yardsticks():
    told = backtest(world(2, n=3_000), origins=ORIGINS[:1], **OPTIONS)
    assert told.pit_p_value > 0.001
    assert told.yardsticks["method"].to_list() == ["model", "last_period", "own_rate"]
    assert (told.yardsticks["low"][1:] > 0).all()


def test_expected_is_that_of_the_fit_before_the_origin_and_observed_is_counted(told):
    orders, origin = world(0), ORIGINS[1]
    summary = summarise_orders(orders, as_of=origin, value=None)
    fit = fit_orders(summary)
    expected = fit.expected_orders(summary, horizon_days=90)
    in_horizon = orders.select("customer_id", "source", day=pl.col("ordered_at").dt.date()).unique()
    in_horizon = in_horizon.filter(pl.col("day").is_between(origin, origin + timedelta(89)))
    total = of(told, "all", "all", origin)
    assert total["expected"] == pytest.approx(expected["expected_orders"].sum())
    assert total["observed"] == len(in_horizon)  # everybody had joined by then
    assert total["n_customers"] == 600
    assert of(told, "source", "s1", origin)["observed"] == (in_horizon["source"] == "s1").sum()
    top = expected.sort("expected_orders")["customer_id"][-60:]
    best = of(told, "decile", "10", origin)
    assert best["observed"] == in_horizon["customer_id"].is_in(top.implode()).sum()
    first_half = of(told, "period", "day 1 to 45", origin)
    halfway = fit.expected_orders(summary, horizon_days=45)["expected_orders"].sum()
    assert first_half["expected"] == pytest.approx(halfway)
    assert first_half["observed"] == (in_horizon["day"] < origin + timedelta(45)).sum()
    assert told.fits[origin].log_likelihood == pytest.approx(fit.log_likelihood)


def test_the_yardsticks_are_the_last_period_and_the_own_rate():
    orders, origin = world(0), ORIGINS[0]
    told = backtest(orders, origins=[origin], **OPTIONS).yardsticks
    summary = summarise_orders(orders, as_of=origin, value=None)
    own = (summary["repeat_orders"] / summary["age"]).sum() * 90
    before = summarise_orders(orders, as_of=origin - timedelta(90), value=None)["repeat_orders"].sum()
    assert told["expected"][1:].to_list() == pytest.approx([summary["repeat_orders"].sum() - before, own])
    better = told["squared_error"] - told["squared_error"][0]
    np.testing.assert_allclose(told["difference"][1:], better[1:])


def test_every_kind_adds_up(told):
    sums = told.table.group_by("origin", "kind").agg(pl.col("expected", "observed", "n_customers").sum())
    for origin in (None, *ORIGINS):
        total = of(told, "all", "all", origin)
        mine = sums.filter(pl.col("origin").eq_missing(pl.lit(origin)))
        assert set(mine["kind"]) == {"all", "decile", "cohort", "period", "source"}
        np.testing.assert_allclose(mine["expected"], total["expected"])
        assert (mine["observed"] == total["observed"]).all()
    assert told.table["kind"].unique(maintain_order=True).to_list() == ["all", "decile", "cohort", "source", "period"]


def test_customers_who_return_at_every_origin_count_once(told):
    pooled = of(told, "all", "all")
    single = [of(told, "all", "all", origin) for origin in ORIGINS]
    assert pooled["n_customers"] == 600
    assert pooled["difference"] == pytest.approx(sum(one["difference"] for one in single))
    naive = np.sqrt(sum((one["high"] - one["low"]) ** 2 for one in single))
    assert pooled["high"] - pooled["low"] > naive  # as if the origins had nothing in common


def test_row_order_and_names_do_not_matter(told):
    orders = world(0).sample(fraction=1, shuffle=True, seed=1)
    again = backtest(orders, origins=ORIGINS[::-1], by="source", **OPTIONS)
    np.testing.assert_allclose(again.table["low"], told.table["low"], atol=1e-6)
    assert again.pit_p_value == pytest.approx(told.pit_p_value, abs=1e-6)


def test_weeks_are_days_by_seven_and_an_open_history_takes_since():
    days, weeks = (backtest(world(0), origins=ORIGINS, unit_days=unit, **OPTIONS) for unit in (1.0, 7.0))
    np.testing.assert_allclose(weeks.table["expected"], days.table["expected"], rtol=1e-4)
    np.testing.assert_allclose(weeks.yardsticks["expected"], days.yardsticks["expected"], rtol=1e-4)
    later = backtest(world(0).drop("history_known"), origins=ORIGINS, since="2024-02-01", **OPTIONS)
    assert later.table["group"].str.starts_with("2024-01").sum() == 0
    assert of(later, "cohort", "2024-03")["observed"] == of(days, "cohort", "2024-03")["observed"]


BAD = {
    "a horizon not over": (
        {"origins": [date(2025, 5, 1)]},
        "origins are 2025-05-01; .* horizon: 2025-02-14 at the latest",
    ),
    "no origin": ({"origins": []}, "origins are none"),
    "nobody yet": ({"origins": ["2023-01-01"]}, "origin 2023-01-01: as_of is 2023-01-01, and no order lies before"),
    "half a day": ({"horizon_days": 1.5}, "horizon_days is 1.5; it must be a whole number >= 1"),
    "no draws": ({"draws": 0}, "draws is 0; it must be a whole number >= 1"),
    "an unknown model": ({"model": "bg_bb"}, "model is 'bg_bb'; it must be one of 'bg_nbd'"),
    "an unknown column": ({"by": "country"}, "orders: no column 'country'"),
    "no level": ({"level": 95}, "level is 95"),
}


@pytest.mark.parametrize(("options", "match"), BAD.values(), ids=BAD)
def test_what_cannot_be_tested_is_refused(options, match):
    with pytest.raises(ValueError, match=match):
        backtest(world(0, n=50), **{"origins": ORIGINS, **OPTIONS, **options})


def test_a_column_named_as_a_kind_is_to_be_renamed():
    with pytest.raises(ValueError, match="by is 'cohort', which backtest tells itself; rename the column"):
        backtest(world(0, n=50).with_columns(cohort=1), origins=ORIGINS, by="cohort", **OPTIONS)


def test_one_day_is_no_list_and_an_open_history_is_told():
    with pytest.raises(TypeError, match="origins is '2024-09-01'; give a list of days"):
        backtest(world(0, n=50), origins="2024-09-01", **OPTIONS)
    with pytest.raises(ContractError, match="orders: 'ordered_at' is missing"):
        backtest(world(0, n=50).drop("ordered_at"), origins=ORIGINS, **OPTIONS)
    with pytest.raises(ContractError, match="origin 2024-09-07: orders: history_known is not true"):
        backtest(world(0, n=50).drop("history_known"), origins=ORIGINS, **OPTIONS)


def test_cdnow_is_forecast_better_than_by_yardsticks(public_data):
    sample = pl.read_parquet(public_data("cdnow/sample.parquet"))
    orders = sample.select("customer_id", ordered_at=pl.col("date").cast(pl.Datetime("us")), history_known=True)
    told = backtest(orders, origins=["1997-10-01"], horizon_days=273, as_of="1998-07-01", rng=1, draws=100)
    total = told.table.row(0, named=True)
    assert (total["n_customers"], total["observed"]) == (2357, 1882)  # REFERENCES: 39 weeks of repeat days
    assert total["low"] < 0.1 * 1882 < total["high"]
    assert (told.yardsticks["low"][1:] > 0).all()


def test_a_backtest_reads_well(told):
    assert "Backtest of bg_nbd, 90 days from 2 origins, 600 customers: " in repr(told)
    assert "observed minus expected, customer-clustered" in told._repr_html_()
