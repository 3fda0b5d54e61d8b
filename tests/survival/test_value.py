"""Spend and customer value beside lifetimes, brute force, and what theory says."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import polars as pl
import pytest
from lifetimes import GammaGammaFitter
from scipy.stats import spearmanr

from shoptoolkit.survival import customer_value, fit_orders, fit_spend

BG, SPEND = (0.8, 20.0, 0.6, 2.5), (5.0, 4.0, 16.0)


def world(n, rng, *, ahead=60.0):
    """Customers of a BG/NBD whose orders are Gamma-Gamma: their summaries, and the amounts to come with their days."""
    age = np.round(rng.uniform(60, 120, n), 1)
    rate, leave, alive = rng.gamma(BG[0], 1 / BG[1], n), rng.beta(*BG[2:], n), np.ones(n, dtype=bool)
    nu = rng.gamma(SPEND[1], 1 / SPEND[2], n)
    x, last, paid, now, later = np.zeros(n, int), np.zeros(n), np.zeros(n), np.zeros(n), []
    while (alive & (now <= age + ahead)).any():
        now += rng.exponential(1 / rate)
        amount = rng.gamma(SPEND[0], size=n) / nu
        ordered = alive & (now <= age + ahead)
        seen = ordered & (now <= age)
        x, last, paid = x + seen, np.where(seen, now, last), paid + np.where(seen, amount, 0)
        later.append(np.where(ordered & ~seen, amount * 1.1 ** (-(now - age) / 365.25), 0))
        alive &= rng.random(n) >= leave
    mean = np.where(x > 0, paid / np.maximum(x, 1), np.nan)
    columns = {"customer_id": np.arange(n), "repeat_orders": x, "last_order_age": last, "age": age}
    return pl.DataFrame(columns).with_columns(mean_value=pl.Series(mean).fill_nan(None)), np.sum(later, axis=0)


def test_spend_is_that_of_lifetimes():
    frame, _ = world(2_000, np.random.default_rng(1))
    back = frame.filter(pl.col("repeat_orders") > 0)
    x, m = back["repeat_orders"].to_numpy(), back["mean_value"].to_numpy()
    fit = fit_spend(frame)
    theirs = GammaGammaFitter().fit(x, m)
    best = -len(x) * theirs._negative_log_likelihood(np.log(theirs.params_.to_numpy()), x, m, np.ones(len(x)), 0.0)
    same = -len(x) * theirs._negative_log_likelihood(fit.at, x, m, np.ones(len(x)), 0.0)
    assert fit.log_likelihood == pytest.approx(same, rel=1e-12)
    assert fit.log_likelihood >= best - 1e-9 * abs(best)
    assert np.exp(fit.at) == pytest.approx(theirs.params_.to_numpy(), rel=2e-3)
    assert fit.table["standard_error"].to_numpy() == pytest.approx(theirs.standard_errors_.to_numpy(), rel=0.02)
    theirs.params_ = dict(zip(("p", "q", "v"), np.exp(fit.at), strict=True))
    expected = theirs.conditional_expected_average_profit(x, m)
    told = fit.expected_value(back)
    assert told["expected_value"].to_numpy() == pytest.approx(expected, rel=1e-10)
    assert told["expected_value"].is_between(told["expected_value_low"], told["expected_value_high"]).all()
    assert fit.expected_value(frame).filter(pl.col("repeat_orders") == 0)["expected_value"].n_unique() == 1
    assert fit.correlation == pytest.approx(spearmanr(x, m).statistic)


def test_the_currency_scales_values_and_nothing_else():
    frame, _ = world(500, np.random.default_rng(2))
    pounds, pence = fit_spend(frame), fit_spend(frame.with_columns(pl.col("mean_value") * 100))
    assert pence.at == pytest.approx(pounds.at + np.array([0, 0, np.log(100)]), abs=1e-5)
    assert pence.log_likelihood == pytest.approx(pounds.log_likelihood - pounds.n * np.log(100), rel=1e-10)


def test_value_that_depends_on_the_number_of_orders_is_told():
    frame, _ = world(1_500, np.random.default_rng(3))
    some = frame.with_columns(pl.col("mean_value") * pl.col("repeat_orders") ** 0.15)
    much = frame.with_columns(pl.col("mean_value") * pl.col("repeat_orders") ** 2)
    with pytest.warns(UserWarning, match="rank correlation of repeat_orders and mean_value is 0"):
        fit_spend(some)
    with pytest.raises(ValueError, match=r"farther than max_correlation=0\.3\. Value depends on the number of orders"):
        fit_spend(much)
    with pytest.warns(UserWarning, match="the model takes them for independent"):
        assert fit_spend(much, max_correlation=1).correlation > 0.3


def test_skewed_values_that_are_independent_of_the_number_of_orders_are_taken_for_it():
    """The mean of one order mostly lies below that of many: a rank correlation of .2 that means nothing."""
    rng = np.random.default_rng(4)
    x = rng.geometric(0.4, 5_000)
    fit = fit_spend(pl.DataFrame({"repeat_orders": x, "mean_value": rng.gamma(0.5 * x) / x / rng.gamma(4, size=5_000)}))
    assert fit.correlation_low < fit.correlation_expected < fit.correlation_high
    assert fit.correlation_expected > 0.15


def fits(frame, **options):
    return fit_orders(frame, **options), fit_spend(frame, **options)


def test_value_is_orders_times_spend_times_margin():
    frame, _ = world(800, np.random.default_rng(4))
    orders, spend = fits(frame)
    told = customer_value(orders, spend, frame, horizon_days=60, margin=0.3, discount_rate=0.1, rng=1, measure="GBP")
    discounted = orders.expected_orders(frame, horizon_days=60, discount_rate=0.1)["expected_orders"]
    expected = 0.3 * discounted * spend.expected_value(frame)["expected_value"]
    assert told.table["value"].to_numpy() == pytest.approx(expected.to_numpy(), rel=1e-12)
    rows = told.total.table
    assert rows["estimate"].to_list() == pytest.approx([expected.sum()] * 2)
    assert rows["measure"].unique().to_list() == ["GBP"]
    assert rows["standard_error"][0] < rows["standard_error"][1]  # the customers' own chance comes on top
    assert (told.table["value_low"] <= told.table["value_high"]).all()
    assert "Value of 800 customers within 60 days" in repr(told)
    assert "ten customers worth most" in told._repr_html_()


def test_drawn_worlds_have_the_expected_mean_and_the_law_of_lives():
    """With known parameters: the mean over worlds is the expected value; a customer's bounds hold what comes."""
    frame, later = world(4_000, np.random.default_rng(5))
    orders, spend = fits(frame)
    orders = replace(orders, at=np.log(BG), covariance=np.zeros((4, 4)))
    spend = replace(spend, at=np.log(SPEND), covariance=np.zeros((3, 3)))
    told = customer_value(
        orders, spend, frame, horizon_days=60, margin=1, discount_rate=0.1, level=0.8, draws=300, rng=1
    )
    total = told.total.table.row(1, named=True)
    middle = (total["low"] + total["high"]) / 2
    assert abs(middle - total["estimate"]) < 0.3 * total["standard_error"]
    assert abs(later.sum() - total["estimate"]) < 4 * total["standard_error"]
    spread = np.sqrt(((later - told.table["value"].to_numpy()) ** 2).sum())  # of what the histories do not tell
    assert total["standard_error"] == pytest.approx(spread, rel=0.15)
    held = (later >= told.table["value_low"].to_numpy()) & (later <= told.table["value_high"].to_numpy())
    assert 0.8 < held.mean() < 0.97  # many bring nothing: their bounds hold more than asked
    assert told.total.table["standard_error"][0] == 0


@pytest.mark.certify
def test_cover_of_the_portfolio(certify):
    """Realised and expected total of 600 customers, at 90 %, parameters unknown."""

    def hits(seed):
        rng = np.random.default_rng(seed)
        frame, later = world(600, rng)
        orders, spend = fits(frame)
        call = {"horizon_days": 60, "margin": 1, "discount_rate": 0.1, "level": 0.9, "draws": 100, "rng": rng}
        table = customer_value(orders, spend, frame, **call).total.table
        known = replace(orders, at=np.log(BG)), replace(spend, at=np.log(SPEND))
        amounts = known[1].expected_value(frame)["expected_value"]
        truth = (known[0].expected_orders(frame, horizon_days=60, discount_rate=0.1)["expected_orders"] * amounts).sum()
        return [
            low <= one <= high for one, low, high in zip((truth, later.sum()), table["low"], table["high"], strict=True)
        ]

    certify(hits, level=0.9)


def test_what_cannot_be_used_is_told():
    frame, _ = world(300, np.random.default_rng(6))
    orders, spend = fits(frame)
    heavy = replace(spend, at=np.log([2.0, 0.8, 5.0]))
    call = {"horizon_days": 60, "margin": 0.5, "rng": 1}
    free = frame.with_columns(pl.col("mean_value") * (pl.col("customer_id") > 20))
    for action, told in (
        (lambda: fit_spend(frame.drop("mean_value")), "no column 'mean_value'"),
        (lambda: fit_spend(frame.with_columns(mean_value=None)), "null, negative or not finite"),
        (lambda: fit_spend(free), "mean_value is 0 for .* customers with repeat orders"),
        (lambda: fit_spend(frame.head(5)), "values need at least 10"),
        (lambda: fit_spend(frame.with_columns(mean_value=9.0)), "mean_value is 9 for all customers"),
        (lambda: heavy.expected_value(frame), "q is 0.8: the mean value of an order is infinite"),
        (lambda: customer_value(orders, heavy, frame, **call), "q is 0.8"),
        (lambda: customer_value(orders, spend, frame, **call | {"margin": -0.1}), "margin is -0.1"),
        (lambda: customer_value(orders, spend, frame, **call | {"margin": 30}), "margin is 30"),
        (lambda: customer_value(orders, spend, frame, **call, discount_rate=-1), "discount_rate is -1"),
        (lambda: customer_value(orders, spend, frame, **call, draws=10), "draws is 10; quantiles at level 0.95 need"),
        (lambda: customer_value(orders, spend, frame, **call, level=2), "level is 2"),
        (lambda: customer_value(orders, spend, frame, **call | {"horizon_days": -5}), "horizon_days is -5"),
        (lambda: customer_value(spend, orders, frame, **call), "orders_fit is a SpendFit and spend_fit a OrdersFit"),
        (lambda: customer_value(orders, spend, frame, **call | {"margin": "0.3"}), "margin is '0.3'"),
    ):
        with pytest.raises((ValueError, TypeError), match=told):
            action()
    assert repr(spend).startswith("gamma_gamma of ")
    assert "rank correlation" in spend._repr_html_()
