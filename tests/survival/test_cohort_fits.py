"""Fitted cohorts: against the likelihood written out, known truth, and what is no contract at all."""

from __future__ import annotations

from datetime import datetime

import numpy as np
import polars as pl
import pytest
from scipy import optimize, special

from shoptoolkit.contract import ContractError
from shoptoolkit.survival import cohorts, fit_cohorts

AGES = {"2021": 9, "2022": 6, "2023": 3}


def survivors(tenures, age, name="all"):
    active = [int((tenures > period).sum()) for period in range(age + 1)]
    return pl.DataFrame({"cohort": name, "period_number": range(age + 1), "n_active": active})


def world(seed, *, n=800, alpha=0.8, beta=2.5, c=1.0, ages=AGES):
    """Contracts in discrete time: an own chance to leave per customer; with c, Weibull in tenure."""
    rng = np.random.default_rng(seed)
    kept = -np.log1p(-rng.beta(alpha, beta, (len(ages), n)))
    tenures = np.ceil((rng.exponential(size=kept.shape) / kept) ** (1 / c))
    return tenures, pl.concat(survivors(t, age, name) for t, (name, age) in zip(tenures, ages.items()))


def slow_loss(log_parameters, table):
    """Each customer's own probability: of leaving in a period, or of still being there."""
    a, b, c = np.exp([*log_parameters, 0.0][:3])
    of = lambda t: np.exp(special.betaln(a, b + t**c) - special.betaln(a, b))  # noqa: E731
    total = 0.0
    for part in table.partition_by("cohort"):
        active = part["n_active"].to_numpy()
        for period in range(1, len(active)):
            total += (active[period - 1] - active[period]) * np.log(of(period - 1) - of(period))
        total += active[-1] * np.log(of(len(active) - 1))
    return -total


@pytest.mark.parametrize(("model", "n_parameters"), [("sbg", 2), ("bdw", 3)])
def test_several_cohorts_of_different_age_are_one_likelihood(model, n_parameters):
    _, table = world(3, c=1.4)
    fit = fit_cohorts(table, model=model)
    start = np.log(fit.table["estimate"].to_numpy())
    slow = optimize.minimize(slow_loss, np.zeros(n_parameters), args=(table,), method="Nelder-Mead", tol=1e-10)
    assert fit.log_likelihood == pytest.approx(-slow.fun, abs=1e-7)
    assert fit.log_likelihood == pytest.approx(-slow_loss(start, table), abs=1e-8)
    assert (fit.n, fit.table["parameter"].to_list()) == (2400, ["alpha", "beta", "c"][:n_parameters])
    assert (fit.sbg_p_value is None) == (model == "sbg")


def test_errors_are_those_of_the_curvature():
    _, table = world(4, n=50_000, c=1.2)
    fit = fit_cohorts(table, model="bdw")
    start, step = np.log(fit.table["estimate"].to_numpy()), 1e-3 * np.eye(3)
    at = lambda move: slow_loss(start + move, table)  # noqa: E731
    hessian = [
        [(at(i + j) - at(i - j) - at(j - i) + at(-i - j)) / 4e-6 for j in step] for i in step
    ]  # observed information: near the expected one in so many customers
    expected = np.exp(start) * np.sqrt(np.diag(np.linalg.inv(hessian)))
    np.testing.assert_allclose(fit.table["standard_error"], expected, rtol=0.03)


def test_shares_with_a_size_are_counts():
    _, table = world(5)
    counts = fit_cohorts(table)
    shares = table.with_columns(kept=pl.col("n_active") / 800, base=800, year="period_number").sample(
        fraction=1, shuffle=True, seed=1
    )
    names = {"survivors": "kept", "period": "year"}
    for size in (800, "base"):
        told = fit_cohorts(shares, size=size, **names)
        np.testing.assert_allclose(told.table["estimate"], counts.table["estimate"], rtol=1e-6)
    assert told.check(shares)["observed"].sum() == pytest.approx(counts.check(table)["observed"].sum())


def test_customers_all_alike_leave_at_one_rate_and_the_forecast_stands():
    n = 100_000
    kept = [n * 0.8**period for period in range(6)]  # geometric: alpha and beta run away together
    fit = fit_cohorts(pl.DataFrame({"period_number": range(6), "n_active": kept}))
    assert fit.table["standard_error"].null_count() == 2
    fan = fit.survival(12).row(0, named=True)
    assert fan["low"] < 0.8**12 < fan["high"] < 0.08
    assert fit.survival(12)["share"].item() == pytest.approx(0.8**12, rel=1e-3)


def test_a_constant_c_is_told_from_a_changing_one():
    assert fit_cohorts(world(6, n=5_000)[1], model="bdw").sbg_p_value > 0.01
    assert fit_cohorts(world(6, n=5_000, c=1.6)[1], model="bdw").sbg_p_value < 1e-4


def test_a_fan_starts_at_everybody_and_widens_with_the_noise_of_few():
    fit = fit_cohorts(world(7)[1])
    fan = fit.survival(range(13))
    assert fan.row(0) == (0, 1.0, 1.0, 1.0, 1.0, 1.0)
    assert (fan["observed_low"] <= fan["low"]).all()
    assert (fan["high"] <= fan["observed_high"]).all()
    few = fit.survival(5, n_customers=20)
    assert few["observed_low"].item() < fan["observed_low"][5]
    steps = fit.retention(range(1, 13))["share"].to_numpy()
    np.testing.assert_allclose(np.cumprod(steps), fan["share"][1:])
    assert (np.diff(steps) > 0).all()  # the loyal remain


@pytest.mark.certify
def test_parameters_curve_and_holdout_are_covered(certify):
    def hits(seed):
        tenures, table = world(seed, n=500)
        fit = fit_cohorts(table, level=0.9)
        low, high = fit.table["low"].to_numpy(), fit.table["high"].to_numpy()
        truth = np.exp(special.betaln(0.8, 14.5) - special.betaln(0.8, 2.5))
        fan = fit.survival(12).row(0, named=True)
        later = fit.check(survivors(tenures[1], 12).filter(pl.col("period_number") >= 6))[-1]
        new = fit.check(survivors(world(seed + 10**6, n=500)[0][0], 5))[-1]
        held = [check["low"].item() <= check["observed"].item() <= check["high"].item() for check in (later, new)]
        return [low[0] <= 0.8 <= high[0], low[1] <= 2.5 <= high[1], fan["low"] <= truth <= fan["high"], *held]

    certify(hits, level=0.9)


GOOD = {"period_number": [0, 1, 2, 3], "n_active": [100, 80, 70, 65]}
BAD = {
    "rising survivors": ({"n_active": [100, 80, 90, 65]}, {}, "rises in period 2; survivors never do.*fit_orders"),
    "a period left out": ({"period_number": [0, 1, 2, 4]}, {}, "periods 0, 1, 2, 4 .* needs 0, 1, 2"),
    "a period twice": ({"period_number": [0, 1, 1, 2]}, {}, "has periods 0, 1, 1, 2"),
    "no start": ({"period_number": [1, 2, 3, 4]}, {}, "it needs 0, 1, 2"),
    "nobody lost": ({"n_active": [100] * 4}, {}, "nobody was lost"),
    "all lost": ({"n_active": [100, 0, 0, 0]}, {}, "everybody was lost in the first period"),
    "too few periods": ({"n_active": [100, 50, 0, 0]}, {"model": "bdw"}, "2 period.* bdw needs at least 3"),
    "percent": ({}, {"size": 100}, "a share from 0 to 1, .*divide by 100"),
    "percent without a size": ({"n_active": [100.0, 63.1, 46.8, 38.2]}, {}, "a whole number >= 0 .of shares say size="),
    "below zero": ({"n_active": [100, 80, 70, -1]}, {}, "'n_active' must be a whole number >= 0 .*, in every row"),
    "a hole": ({"n_active": [100, 80, None, 65]}, {}, "'n_active' must be a whole number >= 0 .*, in every row"),
    "no column": ({}, {"survivors": "left"}, "no column 'left'. It has: period_number, n_active"),
    "no such cohort": ({}, {"cohort": "month"}, "no column 'month'"),
    "an unknown model": ({}, {"model": "weibull"}, "model is 'weibull'"),
    "no level": ({}, {"level": 95}, "level is 95"),
}


@pytest.mark.parametrize(("columns", "options", "match"), BAD.values(), ids=BAD)
def test_what_is_no_contract_is_refused(columns, options, match):
    with pytest.raises(ValueError, match=match):
        fit_cohorts(pl.DataFrame(GOOD | columns), **options)


def test_only_a_start_is_refused():
    with pytest.raises(ContractError, match="has periods 0 in 'period_number'"):
        fit_cohorts(pl.DataFrame({"period_number": [0], "n_active": [10]}))


def test_customers_who_ordered_are_no_survivors():
    days = [datetime(2025, month, 3) for month in (1, 2, 4)]
    money = {"order_number": 1, "gross_revenue": 9.0, "refunded": 0.0, "revenue": 9.0, "items": 1}
    orders = pl.DataFrame({"customer_id": 1, "order_id": [1, 2, 3], "ordered_at": days, **money, "history_known": True})
    told = cohorts(orders, as_of="2025-08-01")
    for table in (told, told.table):
        with pytest.raises(ContractError, match=r"no survivors of a contract.*fit_orders"):
            fit_cohorts(table)


def test_periods_are_whole_and_known():
    fit = fit_cohorts(pl.DataFrame(GOOD))
    with pytest.raises(ValueError, match="periods is -1; periods are whole numbers >= 0"):
        fit.survival(-1)
    with pytest.raises(ValueError, match="retention is told of periods >= 1"):
        fit.retention([0, 1])
    with pytest.raises(ContractError, match="a known one, then those after it"):
        fit.check(pl.DataFrame({"period_number": [3], "n_active": [65]}))


def test_a_fit_reads_well():
    fit = fit_cohorts(pl.DataFrame(GOOD), model="bdw")
    assert "CohortFit (bdw) of 100 customers" in repr(fit)
    assert "sBG (c = 1) against it: p = " in repr(fit)
    assert "Contracts kept: bdw" in fit._repr_html_()


def test_a_cohort_of_fewer_than_no_customers_is_refused():
    years = pl.DataFrame({"period_number": range(4), "n_active": [100, 70, 55, 48]})
    with pytest.raises(ValueError, match="n_customers is -3; it must be a number >= 0"):
        fit_cohorts(years).survival(5, n_customers=-3)
