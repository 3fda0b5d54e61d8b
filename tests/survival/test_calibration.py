"""Calibration on a day and of whole curves: right forecasts are found right as often as said, wrong ones are named."""

from __future__ import annotations

import numpy as np
import polars as pl
import pytest
from scipy.stats import chi2

from shoptoolkit import figures
from shoptoolkit.contract import ContractError
from shoptoolkit.survival import calibration, d_calibration, kaplan_meier


def world(seed, n=300, *, whole=False, limit=100):
    """Exponential returns with means by customer, and their true curves on a grid of days."""
    rng = np.random.default_rng(seed)
    mean = 40 * np.exp(-0.7 * rng.normal(size=n))
    back, until = rng.exponential(mean) + 1e-3, rng.uniform(5, limit, n)
    if whole:
        back, until = np.ceil(back), np.ceil(until)
    grid = np.arange(1.0, 101.0) if whole else np.linspace(1, 100, 60)
    columns = {"duration_days": np.minimum(back, until), "repurchased": back <= until}
    spells = pl.DataFrame({"customer_id": np.arange(n), **columns})
    return spells, curves(mean, grid)


def curves(mean, grid):
    n = len(mean)
    days = {"customer_id": np.repeat(np.arange(n), len(grid)), "duration_days": np.tile(grid, n)}
    return pl.DataFrame({**days, "survival": np.exp(-grid / mean[:, None]).ravel()})


# ---- on a day -------------------------------------------------------------------------------------------------------


def test_each_group_is_its_kaplan_meier_curve_beside_its_mean_prediction():
    spells, forecast = world(1, whole=True)
    told = calibration(spells, forecast.sample(fraction=1, shuffle=True, seed=1), horizon_days=30, groups=4)
    said = forecast.filter(pl.col("duration_days") == 30).sort("survival").with_row_index()
    for k, row in enumerate(told.table.to_dicts()):
        part = said.filter(pl.col("index") // 75 == k)
        observed = kaplan_meier(spells.filter(pl.col("customer_id").is_in(part["customer_id"].implode()))).at(30)
        assert (row["group"], row["n"]) == (f"0{k + 1}", 75)
        assert row["predicted"] == pytest.approx(part["survival"].mean())
        for name, theirs in {"observed": "survival", "low": "survival_low", "high": "survival_high"}.items():
            assert row[name] == pytest.approx(observed[theirs].item())


def test_equal_predictions_are_one_group_without_a_slope():
    spells, forecast = world(2)
    told = calibration(spells, forecast.with_columns(survival=0.5), horizon_days=1)
    assert told.table["group"].to_list() == ["01"]
    gap, slope = told.overall.table.to_dicts()
    assert gap["estimate"] == pytest.approx(told.table["observed"].item() - 0.5)
    assert (slope["verdict"], slope["reason"]) == ("refused", "all predictions are the same; there is no slope.")


def test_a_group_of_whom_nobody_came_back_has_an_interval():
    spells = pl.DataFrame({"customer_id": range(60), "duration_days": [5.0, 50.0] * 30})
    spells = spells.with_columns(repurchased=pl.col("duration_days") < 9)
    forecast = spells.select("customer_id", duration_days=9.0, survival=pl.col("duration_days") / 100)
    sure = calibration(spells, forecast, horizon_days=9, groups=2).table.row(1, named=True)
    assert (sure["observed"], sure["high"]) == (1, 1)
    assert sure["low"] == pytest.approx(0.025 ** (1 / 30))


def test_counts_and_clusters_give_the_answer_of_the_customers():
    spells, forecast = world(3, whole=True)
    told = calibration(spells, forecast, horizon_days=30)
    thrice = calibration(spells.with_columns(weight=3), forecast, horizon_days=30)
    assert thrice.n == 900
    for name in ("group", "predicted", "observed"):
        assert thrice.table[name].to_list() == pytest.approx(told.table[name].to_list())
    clustered = calibration(
        spells.rename({"customer_id": "spell"}).with_columns(who=pl.col("spell") // 2),
        forecast.rename({"customer_id": "spell"}),
        horizon_days=30,
        id="spell",
        cluster="who",
    )
    assert clustered.table["observed"].to_list() == told.table["observed"].to_list()
    assert clustered.table["low"].to_list() != told.table["low"].to_list()


def test_beyond_the_follow_up_nothing_is_told():
    spells, forecast = world(4, limit=60)
    told = calibration(spells, forecast, horizon_days=100)
    assert told.table["observed"].null_count() > 5
    assert told.overall.table["verdict"].to_list() == ["refused"] * 2
    assert "the largest usable horizon is day 58.8163." in told.overall.table["reason"][0]
    assert "Calibration on day 100" in repr(told)
    assert "Calibration" in told._repr_html_()


def test_too_extreme_predictions_have_a_slope_below_one():
    spells, forecast = world(5, 2_000)
    extreme = pl.col("survival") ** 3 / (pl.col("survival") ** 3 + (1 - pl.col("survival")) ** 3)
    day = forecast["duration_days"][15]
    _, slope = calibration(spells, forecast.with_columns(extreme), horizon_days=day).overall.table.to_dicts()
    assert slope["high"] < 1
    assert slope["p_value"] < 0.01


@pytest.mark.certify
@pytest.mark.parametrize("whole", [False, True], ids=["any time", "whole days"])
def test_intervals_cover_the_true_shares(certify, whole):
    def hits(seed):
        spells, forecast = world(seed, 300, whole=whole)
        day = forecast["duration_days"][25]
        told = calibration(spells, forecast, horizon_days=day, groups=4, level=0.9)
        inside = pl.col("predicted").is_between("low", "high")
        groups = told.table.select(inside.fill_null(True)).to_series().to_list()  # not followed: nothing is told
        gap, slope = told.overall.table.to_dicts()
        return [*groups, gap["low"] <= 0 <= gap["high"], slope["low"] <= 1 <= slope["high"]]

    certify(hits, level=0.9)


# ---- of whole curves ------------------------------------------------------------------------------------------------


def slow_shares(spells, mean, last, bins):
    """Haider et al. (2020), customer by customer, from exact curves."""
    shares = np.zeros(bins)
    for day, came, scale in zip(spells["duration_days"], spells["repurchased"], mean):
        left, is_back = np.exp(-min(day, last) / scale), came and day <= last
        home = min(int(np.ceil(left * bins)) - 1, bins - 1)
        if is_back:
            shares[home] += 1
        else:
            shares[home] += (left - home / bins) / left
            shares[:home] += 1 / (bins * left)
    return shares / len(mean)


def test_it_is_that_of_haider_and_others():
    rng = np.random.default_rng(6)
    mean = rng.uniform(10, 60, 150)
    back, until = rng.exponential(mean) + 0.01, rng.uniform(5, 80, 150)
    spells = {"duration_days": np.minimum(back, until), "repurchased": back <= until}
    spells = pl.DataFrame({"customer_id": np.arange(150), **spells})
    exact = curves(mean, np.unique(spells["duration_days"].to_numpy()))  # on their own days no line is drawn
    told = d_calibration(spells, exact.sample(fraction=1, shuffle=True, seed=1), bins=7)
    shares = slow_shares(spells, mean, np.inf, 7)
    assert told.table["share"].to_list() == pytest.approx(shares.tolist(), abs=1e-12)
    statistic = 150 * 7 * ((shares - 1 / 7) ** 2).sum()
    assert told.statistic == pytest.approx(statistic)
    assert told.p_value == pytest.approx(chi2.sf(statistic, 6))
    short = d_calibration(spells, exact.filter(pl.col("duration_days") <= 30), bins=7).table["share"]
    last = exact.filter(pl.col("duration_days") <= 30)["duration_days"].max()
    assert short.to_list() == pytest.approx(slow_shares(spells, mean, last, 7).tolist(), abs=1e-12)


def test_a_line_is_drawn_between_predicted_days():
    spells = pl.DataFrame({"customer_id": [1, 2], "duration_days": [2.5, 7.5], "repurchased": [True, False]})
    forecast = pl.DataFrame({"customer_id": [1, 2, 1, 2], "duration_days": [5, 5, 10, 10], "survival": [0.5, 0.4] * 2})
    forecast = forecast.with_columns(survival=pl.Series([0.5, 0.5, 0.1, 0.3]))
    table = d_calibration(spells, forecast, bins=4).table
    # 1 back at .75, in the bin (.5, .75]; 2 censored at .4, spread below it
    assert (2 * table["share"]).to_list() == pytest.approx([0.25 / 0.4, 0.15 / 0.4, 1, 0])


def test_in_whole_days_a_return_is_spread_over_the_survival_lost_on_its_day():
    """One who may come back on day 1 or 2 with equal chance: all bins are met evenly."""
    spells = pl.DataFrame({"customer_id": range(10), "duration_days": [1.0, 2.0] * 5, "repurchased": True})
    forecast = pl.DataFrame({"customer_id": range(10)}).join(
        pl.DataFrame({"duration_days": [1, 2], "survival": [0.5, 0.0]}), how="cross"
    )
    told = d_calibration(spells, forecast, bins=10)
    assert told.table["share"].to_list() == pytest.approx([0.1] * 10)
    assert told.statistic == pytest.approx(0)


def test_right_curves_are_rejected_as_often_as_said_and_wrong_ones_are_found():
    """200 worlds of 200, most censored; Pearson's p is too large there, which is why there is a sharp one."""
    right, wrong = [], []
    for seed in range(200):
        spells, forecast = world(seed, 200, whole=seed % 2 == 0, limit=60)
        told = d_calibration(spells, forecast)
        right.append([told.p_value < 0.1, told.sharp_p_value < 0.1])
        if seed < 20:
            wrong.append(d_calibration(spells, forecast.with_columns(pl.col("survival") ** 1.8)).sharp_p_value < 0.1)
    pearson, sharp = np.mean(right, axis=0)
    assert pearson < 0.05
    assert abs(sharp - 0.1) < 3 * np.sqrt(0.1 * 0.9 / 200)
    assert np.mean(wrong) > 0.8


def test_counts_and_order_do_not_matter_to_the_spread():
    spells, forecast = world(7, whole=True)
    told = d_calibration(spells, forecast)
    shuffled = d_calibration(spells.reverse(), forecast.sample(fraction=1, shuffle=True, seed=3))
    assert shuffled.table["share"].to_list() == pytest.approx(told.table["share"].to_list())
    assert shuffled.sharp_p_value == pytest.approx(told.sharp_p_value)
    twice = d_calibration(spells.with_columns(weight=2), forecast)
    assert (twice.n, twice.statistic) == (600, pytest.approx(2 * told.statistic))
    assert "DCalibration of 300 spells" in repr(told)
    assert "own return" in told._repr_html_()


@pytest.mark.parametrize(
    ("change", "options", "error", "message"),
    [
        (lambda p: p, {"bins": 1}, ValueError, "bins is 1; it must be a whole number >= 2"),
        (
            lambda p: p.filter(pl.col("customer_id") > 2),
            {},
            ContractError,
            "3 of 300 spells have no survival after day 0",
        ),
        (lambda p: pl.concat([p, p.head(2)]), {}, ContractError, "2 rows repeat a spell and day"),
        (lambda p: p.drop("customer_id"), {}, ContractError, "no column 'customer_id'"),
    ],
)
def test_what_cannot_be_judged_is_named(change, options, error, message):
    spells, forecast = world(8)
    with pytest.raises(error, match=message):
        d_calibration(spells, change(forecast), **options)


def test_groups_and_late_entries_are_checked():
    spells, forecast = world(9)
    with pytest.raises(ValueError, match="groups is 0; it must be a whole number >= 1"):
        calibration(spells, forecast, horizon_days=1, groups=0)
    for measure in (d_calibration, lambda *given: calibration(*given, horizon_days=1)):
        with pytest.raises(ContractError, match="300 of 300 enter late"):
            measure(spells.with_columns(entry_days=1e-6), forecast)


def test_the_figure_draws_what_the_table_tells():
    told = calibration(*world(10), horizon_days=1, groups=5)
    ax = figures.calibration(told)
    assert ax.lines[-1].get_xydata() == pytest.approx(told.table.select("predicted", "observed").to_numpy())
    drawn = [segment[:, 1] for segment in ax.collections[0].get_segments()]
    assert np.array(drawn) == pytest.approx(told.table.select("low", "high").to_numpy())
    assert "day 1" in ax.get_xlabel()


def test_calibration_of_one_outcome_only_is_refused():
    spells = pl.DataFrame({"customer_id": range(20), "duration_days": 5.0, "repurchased": True})
    half = spells.select("customer_id", duration_days=5.0, survival=0.5)
    told = calibration(spells, half, horizon_days=5).overall.table
    assert told["verdict"].to_list() == ["refused"] * 2
    assert told["reason"][0].startswith("20 known to be back and 0 to stay away longer; an error needs both")
