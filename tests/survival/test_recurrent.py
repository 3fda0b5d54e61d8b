"""Mean cumulative orders by the definition, with the error of customers and a band that holds the whole curve."""

from __future__ import annotations

from datetime import datetime, timedelta

import numpy as np
import polars as pl
import pytest

from shoptoolkit.contract import ContractError
from shoptoolkit.survival import (
    kaplan_meier,
    mean_cumulative_orders,
    mean_cumulative_orders_difference,
    repurchase_spells,
)
from shoptoolkit.survival.recurrent import orders_by


def shop_of(seed, customers=60, *, days=120, rate=0.05, shape=1.5, whole=True):
    """Customers order each day with an own probability of mean `rate`, and are watched for 20 to `days` days."""
    rng = np.random.default_rng(seed)
    chance = np.minimum(rng.gamma(shape, rate / shape, customers), 1)
    followed = rng.integers(20, days + 1, customers)
    day = np.arange(1, days + 1)
    who, at = np.nonzero((rng.random((customers, days)) < chance[:, None]) & (day <= followed[:, None]))
    ends = pl.DataFrame({"customer_id": np.arange(customers), "stop_days": followed, "repurchased": False})
    orders = pl.DataFrame({"customer_id": who, "stop_days": at + 1, "repurchased": True})
    rows = pl.concat([orders, ends]).sort("customer_id", "stop_days", ~pl.col("repurchased"))
    before = pl.when(pl.col("customer_id") == pl.col("customer_id").shift()).then(pl.col("stop_days").shift())
    rows = rows.with_columns(start_days=before.fill_null(0)).filter(pl.col("stop_days") > pl.col("start_days"))
    scale = pl.col("start_days", "stop_days") * (1 if whole else 0.37)
    return rows.with_columns(scale.cast(pl.Float64), country=pl.col("customer_id") % 2)


def slow_paths(spells, days):
    """Mean orders on given days, and each customer's derivative of them by a complex step of the weight."""
    start, stop, seen = (spells[name].to_numpy() for name in ("start_days", "stop_days", "repurchased"))
    ids = spells["customer_id"].to_numpy()

    def mean(weights):
        total, told = 0.0, []
        for day in days:
            steps = [
                weights[seen & (stop == one)].sum() / weights[(start < one) & (one <= stop)].sum()
                for one in np.unique(stop[seen & (stop <= day)])
            ]
            total = sum(steps)
            told.append(total)
        return np.array(told)

    moves = [mean(1 + 1e-30j * (ids == one)).imag / 1e-30 for one in np.unique(ids)]
    return mean(np.ones(len(ids))), np.array(moves)


@pytest.mark.parametrize("whole", [True, False], ids=["whole days", "fractional days"])
def test_the_mean_and_its_error_equal_the_definition(whole):
    spells = shop_of(1, 40, days=60, whole=whole)
    table = mean_cumulative_orders(spells).table.filter(pl.col("duration_days") > 0)
    estimate, moves = slow_paths(spells, table["duration_days"])
    np.testing.assert_allclose(table["estimate"], estimate, atol=1e-12)
    error = np.sqrt((moves**2).sum(axis=0))
    np.testing.assert_allclose(table["standard_error"], error, atol=1e-12)
    reach = 1.959963984540054 * error[-1] / estimate[-1]
    assert table["low"][-1] == pytest.approx(estimate[-1] * np.exp(-reach), abs=1e-12)
    assert table["high"][-1] == pytest.approx(estimate[-1] * np.exp(reach), abs=1e-12)


def test_if_all_are_followed_to_the_end_it_is_the_mean_number_of_orders():
    spells = shop_of(2, 50, days=20)  # everybody is watched for 20 days
    counts = spells.group_by("customer_id").agg(pl.col("repurchased").sum().cast(pl.Float64))["repurchased"]
    told = mean_cumulative_orders(spells).at(20).row(0, named=True)
    assert told["estimate"] == pytest.approx(counts.mean(), abs=1e-12)
    assert told["standard_error"] == pytest.approx(counts.std(ddof=0) / np.sqrt(50), abs=1e-12)


def test_the_band_is_as_wide_as_the_highest_of_many_multiplied_paths():
    """The multiplier bootstrap of the customers' influences has the quantile that is integrated here."""
    spells = shop_of(3, 60, days=60, rate=0.2)
    table = mean_cumulative_orders(spells, level=0.9).table
    inside = table.filter(pl.col("band_low").is_not_null())
    critical = np.log(inside["band_high"] / inside["estimate"]) * inside["estimate"] / inside["standard_error"]
    assert critical.std() < 1e-9
    _, moves = slow_paths(spells, inside["duration_days"])
    multipliers = np.random.default_rng(1).normal(size=(20_000, len(moves)))
    highest = np.abs(multipliers @ (moves / np.sqrt((moves**2).sum(axis=0)))).max(axis=1)
    assert critical[0] == pytest.approx(np.quantile(highest, 0.9), abs=0.03)


def test_the_band_is_told_where_the_estimate_is_worth_ten_orders_and_ten_are_watched():
    table = mean_cumulative_orders(shop_of(4, 80)).table
    is_told = table["band_low"].is_not_null()
    worth = (pl.col("standard_error") / pl.col("estimate")) <= 10**-0.5
    days = table.filter(worth)["duration_days"]
    assert table.filter(is_told)["duration_days"].min() == days.min() > 0
    assert table.filter(is_told & (table["band_low"] > table["low"])).is_empty()
    few = mean_cumulative_orders(shop_of(4, 9)).table
    assert few["band_low"].null_count() == few["band_high"].null_count() == len(few)


def test_customers_who_are_all_alike_get_a_band_without_width():
    spells = pl.DataFrame({"customer_id": [*range(40)] * 2, "start_days": [0] * 40 + [10] * 40}).with_columns(
        stop_days=pl.col("start_days") + 10, repurchased=pl.col("start_days") == 0
    )
    last = mean_cumulative_orders(spells).table.row(-1, named=True)
    assert last["estimate"] == last["band_low"] == last["band_high"] == 1


def test_row_order_names_and_units_do_not_matter():
    spells = shop_of(5)
    expected = mean_cumulative_orders(spells, by="country").table
    renamed = spells.with_columns(pl.format("c{}", 900 - pl.col("customer_id")).alias("customer_id"))
    hours = renamed.with_columns(pl.col("start_days", "stop_days") * 24).sample(fraction=1, shuffle=True, seed=1)
    moved = mean_cumulative_orders(hours, by="country").table
    assert (moved["duration_days"] == 24 * expected["duration_days"]).all()
    for name in ("estimate", "standard_error", "low", "high", "band_low", "band_high"):
        np.testing.assert_allclose(moved[name].fill_null(0), expected[name].fill_null(0), atol=1e-9)
    assert mean_cumulative_orders(spells, by="country").n == 60


def test_it_takes_all_spells_of_a_log_of_orders():
    days = [(1, 0), (1, 3), (1, 10), (2, 0), (3, 5), (3, 6)]
    moments = [datetime(2025, 1, 1) + timedelta(days=day) for _, day in days]
    orders = pl.DataFrame({"customer_id": [who for who, _ in days], "order_id": range(6), "ordered_at": moments})
    orders = orders.with_columns(order_number=1, gross_revenue=9.0, refunded=0.0, revenue=9.0, items=1)
    spells = repurchase_spells(orders, as_of="2025-01-22", index="all")
    told = mean_cumulative_orders(spells)
    assert told.at([0, 1, 3, 10, 20])["estimate"].to_list() == pytest.approx([0, 1 / 3, 2 / 3, 1, 1])
    assert told.at(30)["estimate"].item() is None
    assert told.n == 3


def test_a_difference_is_the_other_group_less_the_reference():
    spells = shop_of(6, 120)
    each = mean_cumulative_orders(spells, by="country")
    told = mean_cumulative_orders_difference(spells, by="country", reference="1")
    assert told.table["group"].unique().to_list() == ["0 - 1"]
    row, (zero, one) = told.at(60).row(0, named=True), each.at(60).to_dicts()
    assert row["estimate"] == pytest.approx(zero["estimate"] - one["estimate"], abs=1e-12)
    assert row["standard_error"] == pytest.approx(np.hypot(zero["standard_error"], one["standard_error"]), abs=1e-12)
    reach = np.hypot(zero["high"] - zero["estimate"], one["estimate"] - one["low"])  # Zou and Donner
    assert row["high"] - row["estimate"] == pytest.approx(reach, abs=1e-12)
    assert row["band_high"] > row["high"]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"repurchased": pl.lit(False)}, "ended in a repurchase, so there is no curve"),
        ({"start_days": pl.lit(0.0)}, "those of customer 2 overlap; each day counts once"),
        (
            {"country": pl.int_range(pl.len())},
            "by is 'country', and customer 2 has several values of it; take the first one: pl.col",
        ),
        ({"stop_days": pl.col("start_days")}, "entry_days is not before duration_days"),
        ({"weight": pl.lit(2)}, "give the rows instead of counts"),
    ],
)
def test_bad_spells_are_refused_with_the_reason(change, message):
    with pytest.raises(ContractError, match=message):
        mean_cumulative_orders(shop_of(7).with_columns(**change), by="country")


def test_a_wrong_option_is_named_with_what_is_allowed():
    with pytest.raises(ContractError, match="'start_days' is missing; take repurchase_spells"):
        mean_cumulative_orders(shop_of(8).drop("start_days"))
    with pytest.raises(ValueError, match="level is 2; it must lie between 0 and 1"):
        mean_cumulative_orders(shop_of(8), level=2)
    with pytest.raises(ValueError, match="by is 'shop', which has the one group '1'; a difference needs two"):
        mean_cumulative_orders_difference(shop_of(8).with_columns(shop=1), by="shop")
    with pytest.raises(ValueError, match="reference is 'GB'; the groups of 'country' are '0', '1'"):
        mean_cumulative_orders_difference(shop_of(8), by="country", reference="GB")


def test_it_reads_well_in_a_notebook():
    told = mean_cumulative_orders(shop_of(9))
    assert "orders after the first per customer, n = 60" in repr(told)
    assert "Orders after the first per customer" in told._repr_html_()


def holds(part, truth, low, high):
    """Whether the bounds, steps between the days told, hold the truth on every whole day within them."""
    told = part.filter(pl.col(low).is_not_null())
    days = pl.DataFrame({"duration_days": np.arange(told["duration_days"][0], told["duration_days"][-1] + 1)})
    each = days.join_asof(told, on="duration_days")
    known = truth(each["duration_days"].to_numpy())
    return bool(((each[low].to_numpy() <= known) & (known <= each[high].to_numpy())).all())


@pytest.mark.certify
def test_interval_and_band_cover_the_truth_of_customers_who_differ(certify):
    """Rates are gamma with shape 1.5: a Poisson error would hold .6 of the time. Truth: .05 orders per day."""

    def hits(seed):
        spells = shop_of(seed, 300)
        told = mean_cumulative_orders(spells, level=0.9)
        points = told.at([20, 60, 110])
        truth = 0.05 * points["duration_days"]
        found = ((points["low"] <= truth) & (truth <= points["high"])).to_list()
        apart = mean_cumulative_orders_difference(spells, by="country", level=0.9)
        row = apart.at(60).row(0, named=True)
        found += [row["low"] <= 0 <= row["high"], holds(apart.table, np.zeros_like, "band_low", "band_high")]
        return [*found, holds(told.table, lambda day: 0.05 * day, "band_low", "band_high")]

    certify(hits, level=0.9)


def test_one_customer_alone_tells_no_error():
    columns = {"start_days": [0.0, 3, 8], "stop_days": [3.0, 8, 17], "duration_days": [3.0, 5, 9]}
    spells = pl.DataFrame({"customer_id": "a", "repurchased": [True, True, False], **columns})
    orders, curve = mean_cumulative_orders(spells).table, kaplan_meier(spells, cluster="customer_id").table
    for column in (orders["standard_error"], orders["high"], curve["standard_error"], curve["survival_low"]):
        assert column.to_list()[1:] == [None] * 3


def test_an_amount_says_how_much_each_order_counts():
    spells = shop_of(10, 80, days=20).with_columns(pounds=pl.int_range(pl.len()) % 7)  # all are watched for 20 days
    totals = spells.group_by("customer_id").agg(pl.col("pounds").filter("repurchased").sum().cast(pl.Float64))["pounds"]
    told = mean_cumulative_orders(spells, amount="pounds").at(20).row(0, named=True)
    assert told["estimate"] == pytest.approx(totals.mean(), abs=1e-12)
    assert told["standard_error"] == pytest.approx(totals.std(ddof=0) / np.sqrt(80), abs=1e-12)
    each, ones = mean_cumulative_orders(spells).table, mean_cumulative_orders(spells.with_columns(one=1), amount="one")
    assert ones.table.equals(each)


def test_pseudo_values_have_the_mean_and_the_variance_of_the_estimate():
    spells = shop_of(11, 90).with_columns(pounds=pl.int_range(pl.len()) % 5)
    told = orders_by(spells, {"soon": 15, "late": 70}, by="country", amount="pounds")
    curve = mean_cumulative_orders(spells, by="country", amount="pounds").at([15, 70])
    means = told.group_by("group").agg(pl.col("soon", "late").mean()).sort("group").select("soon", "late").to_numpy()
    np.testing.assert_allclose(means.ravel(), curve["estimate"], atol=1e-12)
    errors = told.group_by("group").agg(pl.col("soon", "late").std(ddof=0) / pl.len().sqrt()).sort("group")
    np.testing.assert_allclose(errors.select("soon", "late").to_numpy().ravel(), curve["standard_error"], atol=1e-12)
    orders = (
        spells.filter(pl.col("repurchased") & (pl.col("stop_days") <= 15))
        .group_by("customer_id")
        .agg(pl.col("pounds").sum())
    )
    both = told.join(orders, on="customer_id", how="left").fill_null(0)  # nobody is lost before day 20
    np.testing.assert_allclose(both["soon"], both["pounds"], atol=1e-12)


@pytest.mark.parametrize(
    ("amount", "message"),
    [(pl.lit("x"), "'pounds' is String; amounts must be numbers"), (pl.lit(-1), "'pounds' is null, infinite or below")],
)
def test_a_wrong_amount_is_refused(amount, message):
    with pytest.raises(ContractError, match=message):
        mean_cumulative_orders(shop_of(12).with_columns(pounds=amount), amount="pounds")
