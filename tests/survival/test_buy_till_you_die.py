"""Buy-till-you-die fits beside lifetimes, quadrature, brute force, and what theory says."""

from __future__ import annotations

from dataclasses import replace
from functools import cache
from itertools import pairwise
from math import comb

import numpy as np
import polars as pl
import pytest
from lifetimes import BetaGeoBetaBinomFitter, BetaGeoFitter, ModifiedBetaGeoFitter, ParetoNBDFitter
from scipy.integrate import quad
from scipy.special import beta as beta_function
from scipy.stats import beta as beta_law

from shoptoolkit.contract import ContractError
from shoptoolkit.survival import fit_orders

MODELS = ("bg_nbd", "mbg_nbd", "pareto_nbd", "bg_bb")
PEERS = {
    "bg_nbd": BetaGeoFitter,
    "mbg_nbd": ModifiedBetaGeoFitter,
    "pareto_nbd": ParetoNBDFitter,
    "bg_bb": BetaGeoBetaBinomFitter,
}
TRUE = {  # in days
    "bg_nbd": (0.8, 20.0, 0.6, 2.5),
    "mbg_nbd": (0.8, 20.0, 0.6, 2.5),
    "pareto_nbd": (0.8, 20.0, 0.7, 60.0),
    "bg_bb": (1.2, 0.8, 0.7, 2.8),
}


def world(model, n, rng, *, follow=120.0, ahead=60.0):
    """Customers who live as the model says: their histories, and their orders in the days ahead."""
    first, second, third, fourth = TRUE[model]
    age = np.full(n, 8.0) if model == "bg_bb" else np.round(rng.uniform(follow / 2, follow, n), 1)
    ends, later = age + ahead, np.zeros(n, dtype=int)
    x, last = np.zeros(n, dtype=int), np.zeros(n)
    if model == "bg_bb":
        rate, leave = rng.beta(first, second, n), rng.beta(third, fourth, n)
    else:
        rate = rng.gamma(first, 1 / second, n)
        leave = rng.beta(third, fourth, n) if "bg" in model else None
    if model == "pareto_nbd":
        ends = np.minimum(ends, rng.exponential(1 / rng.gamma(third, 1 / fourth, n)))
    alive = rng.random(n) >= leave if model == "mbg_nbd" else np.ones(n, dtype=bool)
    now = np.zeros(n)
    while (alive & (now <= ends)).any():
        if model == "bg_bb":
            now += 1
            alive &= rng.random(n) >= leave
            ordered = alive & (now <= ends) & (rng.random(n) < rate)
        else:
            now += rng.exponential(1 / rate)
            ordered = alive & (now <= ends)
        seen = ordered & (now <= age)
        x, last, later = x + seen, np.where(seen, now, last), later + (ordered & ~seen)
        if model in ("bg_nbd", "mbg_nbd"):
            alive &= rng.random(n) >= leave
    columns = {"customer_id": np.arange(n), "repeat_orders": x, "last_order_age": last, "age": age}
    return pl.DataFrame(columns), later


@cache
def known(model):
    """A fit with the true parameters, without errors."""
    fit = fit_orders(world(model, 300, np.random.default_rng(5))[0], model=model)
    return replace(fit, at=np.log(TRUE[model]), covariance=np.zeros((4, 4)))


def peer(model, fit):
    one = PEERS[model]()
    one.params_ = dict(zip(fit.table["parameter"], np.exp(fit.at), strict=True))
    return one


def columns(frame):
    return [frame[name].to_numpy().astype(float) for name in ("repeat_orders", "last_order_age", "age")]


def log_likelihood(model, parameters, frame, weight=None):
    """By lifetimes, in the unit of the ages, summed."""
    x, last, age = columns(frame)
    weight = np.ones(len(x)) if weight is None else weight
    if model == "bg_bb":
        return float(weight @ BetaGeoBetaBinomFitter._loglikelihood(parameters, x, last, age))
    if model == "pareto_nbd":
        return float(weight @ ParetoNBDFitter._conditional_log_likelihood(parameters, x, last, age))
    return -PEERS[model]._negative_log_likelihood(np.log(parameters), x, last, age, weight, 0.0) * weight.sum()


@pytest.mark.parametrize("model", MODELS)
def test_the_log_likelihood_is_lifetimes_at_the_same_parameters(model):
    frame, _ = world(model, 2_000, np.random.default_rng(1))
    fit = fit_orders(frame, model=model)
    assert fit.log_likelihood == pytest.approx(log_likelihood(model, np.exp(fit.at), frame), rel=1e-9)
    assert fit.log_likelihood >= log_likelihood(model, TRUE[model], frame)  # no worse than the truth


@pytest.mark.parametrize("model", MODELS[:3])
def test_no_fit_of_lifetimes_is_better(model):
    frame, _ = world(model, 2_000, np.random.default_rng(2))
    x, last, age = columns(frame)
    theirs = PEERS[model]().fit(x, last, age, **({"tol": 1e-8} if model == "pareto_nbd" else {}))
    best = log_likelihood(model, theirs.params_.to_numpy(), frame)
    fit = fit_orders(frame, model=model)
    assert fit.log_likelihood >= best - 1e-9 * abs(best)
    if model != "pareto_nbd":  # whose likelihood is flat, and whose peer stops early
        assert fit.log_likelihood == pytest.approx(best, rel=1e-9)
        assert fit.table["standard_error"].to_numpy() == pytest.approx(theirs.standard_errors_.to_numpy(), rel=0.02)


@pytest.mark.parametrize("model", MODELS)
def test_forecasts_are_those_of_lifetimes(model):
    frame, _ = world(model, 300, np.random.default_rng(3))
    x, last, age = columns(frame)
    fit = known(model)
    one = peer(model, fit)
    ahead = 5.0 if model == "bg_bb" else 77.5
    alive, orders = fit.p_alive(frame)["p_alive"], fit.expected_orders(frame, horizon_days=ahead)["expected_orders"]
    if model == "bg_bb":
        expected = one.conditional_probability_alive(0, x, last, age)
        forecast = one.conditional_expected_number_of_purchases_up_to_time(ahead, x, last, age)
    else:
        expected = one.conditional_probability_alive(x, last, age)
        forecast = one.conditional_expected_number_of_purchases_up_to_time(ahead, x, last, age)
        new = one.expected_number_of_purchases_up_to_time(np.array([1.0, 30.0, 900.0]))
        assert fit.expected_new([1, 30, 900])["expected_orders"].to_numpy() == pytest.approx(new, rel=1e-8)
    assert alive.to_numpy() == pytest.approx(expected, rel=1e-8)
    assert orders.to_numpy() == pytest.approx(forecast, rel=1e-8)


@pytest.mark.parametrize("parameters", [(0.5, 10.0, 0.6, 11.7), (3.0, 2.0, 40.0, 9_000.0), (0.2, 500.0, 2.0, 0.5)])
@pytest.mark.parametrize(
    ("x", "last", "age"), [(0, 0.0, 300.0), (7, 299.9999, 300.0), (60, 80.0, 300.0), (1, 0.2, 0.5)]
)
def test_the_pareto_likelihood_is_that_of_quadrature(parameters, x, last, age):
    from shoptoolkit.survival.orders.kernels import PARETO, likelihood

    r, alpha, s, beta = parameters
    top = -(r + x) * np.log(alpha + last) - (s + 1) * np.log(beta + last)
    inside = quad(
        lambda t: np.exp(-(r + x) * np.log(alpha + t) - (s + 1) * np.log(beta + t) - top),
        last,
        age,
        epsabs=0,
        limit=500,
    )[0]
    alive = np.exp(-(r + x) * np.log(alpha + age) - s * np.log(beta + age) - top)
    rise = np.log(r + np.arange(x)).sum()
    expected = rise + r * np.log(alpha) + s * np.log(beta) + top + np.log(alive + s * inside)
    arrays = np.array([x]), np.array([last]), np.array([age])
    value, share, slope = likelihood(PARETO, np.array([parameters]), *arrays)
    assert value[0] == pytest.approx(expected, rel=1e-10)
    assert share[0] == pytest.approx(alive / (alive + s * inside), rel=1e-8)
    for k in range(4):
        by = np.ones(4)
        by[k] = np.exp(1e-5)
        up, down = (likelihood(PARETO, np.array([parameters * step]), *arrays)[0][0] for step in (by, 1 / by))
        assert slope[0, k] == pytest.approx((up - down) / 2e-5, rel=1e-4, abs=1e-5)


ODD = [
    (0.5, 4.0, 1.0, 2.0),
    (30.0, 4.0, 0.8, 2.0),
    (0.2, 50.0, 900.0, 4e3),
    (9.0, 5.0, 80.0, 60.0),
    (9.0, 5.0, 80.0, 1.2),
]


@pytest.mark.parametrize("parameters", ODD)
@pytest.mark.parametrize(("x", "age", "ahead"), [(0, 10.0, 5_000.0), (3, 40.0, 100.0), (40, 500.0, 365.0)])
def test_forecasts_hold_where_the_closed_form_breaks(parameters, x, age, ahead):
    """Against the plain integral over the chance of leaving; the closed form has a pole at a = 1, or cancels."""
    from shoptoolkit.survival.orders.kernels import BG, orders_if_alive

    r, alpha, a, b = parameters
    leaving = beta_law(a, b + x)

    def orders(chance):
        return -np.expm1(-(r + x) * np.log1p(chance * ahead / (alpha + age))) / chance * leaving.pdf(chance)

    cuts = [0.0, *leaving.ppf([1e-9, 1e-4, 0.02, 0.3, 0.7, 0.98, 1 - 1e-4]), 1.0]
    parts = [quad(orders, low, high, epsabs=0, limit=200)[0] for low, high in pairwise(cuts)]
    ours = orders_if_alive(BG, np.array([parameters]), np.array([x]), np.array([age]), ahead, 0.0)[0]
    assert ours == pytest.approx(sum(parts), rel=1e-7)


@pytest.mark.parametrize("model", MODELS[:3])
def test_orders_of_customers_alike_who_leave_long_before_the_horizon(model):
    """An order a day, five days to live, ten years to come: five orders."""
    from shoptoolkit.survival.orders.kernels import orders_if_alive

    last = (2e4, 1e5) if model == "pareto_nbd" else (2e4, 8e4)
    place = MODELS.index(model)
    ours = orders_if_alive(place, np.array([(1e5, 1e5, *last)]), np.array([3]), np.array([4.0]), 3650.0, 0.0)
    assert ours[0] == pytest.approx(5, rel=2e-3)


@pytest.mark.parametrize("model", MODELS)
def test_drawn_orders_follow_the_expectation_and_the_law(model):
    """Beside brute force: whole lives of the model, kept where their history is the one asked for."""
    ahead = 5.0 if model == "bg_bb" else 60.0
    fit = known(model)
    frame, later = world(model, 40_000, np.random.default_rng(4), ahead=ahead)
    counts = fit.draw_orders(frame, horizon_days=ahead, draws=3, rng=1)["orders"].to_numpy()
    orders = fit.expected_orders(frame, horizon_days=ahead)["expected_orders"].to_numpy()
    error = np.sqrt(orders.sum() * (later.var() / later.mean()))
    assert abs(counts[:, 0].sum() - orders.sum()) < 4 * error
    assert abs(later.sum() - orders.sum()) < 4 * error
    for bought in (0, 1, 2, 5):  # the law of the future, by the number of orders so far
        group = frame["repeat_orders"].to_numpy() == bought
        for k in range(3):
            drawn, lived = (counts[group] == k).mean(), (later[group] == k).mean()
            assert abs(drawn - lived) < 4 * np.sqrt(lived * (1 - lived) * 4 / 3 / group.sum() + 1e-9)


@pytest.mark.parametrize("model", MODELS)
def test_counts_give_the_answer_of_the_rows(model):
    frame, _ = world(model, 1_500, np.random.default_rng(6))
    frame = frame.with_columns(pl.col("last_order_age", "age").ceil())
    counts = frame.group_by("repeat_orders", "last_order_age", "age").agg(weight=pl.len())
    rows, grouped = (fit_orders(one, model=model) for one in (frame.sample(fraction=1, shuffle=True, seed=1), counts))
    assert rows.log_likelihood == pytest.approx(grouped.log_likelihood, rel=1e-12)
    assert rows.n == grouped.n == 1_500
    assert rows.at == pytest.approx(grouped.at, rel=1e-6)


@pytest.mark.parametrize("model", MODELS[:3])
def test_the_unit_of_time_moves_the_likelihood_and_nothing_else(model):
    frame, _ = world(model, 1_500, np.random.default_rng(7))
    weekly = frame.with_columns(pl.col("last_order_age", "age") / 7)
    days, weeks = fit_orders(frame, model=model), fit_orders(weekly, model=model, unit_days=7)
    repeats = frame["repeat_orders"].sum()
    assert weeks.log_likelihood == pytest.approx(days.log_likelihood + repeats * np.log(7), rel=1e-11)
    for name, call in (("expected_orders", {"horizon_days": 90}), ("p_alive", {})):
        ours, theirs = getattr(days, name)(frame, **call), getattr(weeks, name)(weekly, **call)
        for column in (name, f"{name}_low", f"{name}_high"):
            assert ours[column].to_numpy() == pytest.approx(theirs[column].to_numpy(), rel=2e-4)


@pytest.mark.parametrize("model", MODELS)
def test_covariates_of_rate_and_leaving_are_found_again(model):
    """Twice the order rate (or odds), and a third of the odds (or rate) of leaving."""
    rng, frames = np.random.default_rng(8), []
    rate, leave = np.log(2.0), -np.log(3.0)
    for premium in (0, 1):
        old = TRUE[model]
        moves = {
            "pareto_nbd": (0, -rate, 0, -leave),
            "bg_bb": (rate, 0, leave, 0),
        }.get(model, (0, -rate, leave, 0))
        TRUE[model] = tuple(value * np.exp(premium * move) for value, move in zip(old, moves, strict=True))
        try:
            frames.append(
                world(model, 4_000, rng)[0]
                .drop("customer_id")
                .with_columns(premium=premium, noise=rng.normal(size=4_000))
            )
        finally:
            TRUE[model] = old
    fit = fit_orders(
        pl.concat(frames), model=model, covariates_rate=["premium", "noise"], covariates_dropout=["premium"]
    )
    told = {row["parameter"]: row for row in fit.table.to_dicts()}
    for name, truth in (("rate:premium", rate), ("rate:noise", 0.0), ("dropout:premium", leave)):
        assert abs(told[name]["estimate"] - truth) < 4 * told[name]["standard_error"]
        assert told[name]["standard_error"] < 0.4
    one = fit.expected_orders(pl.concat([frames[0].head(2), frames[1].head(2)]), horizon_days=8)
    assert one["expected_orders"].is_finite().all()


def test_without_effect_covariates_change_nothing():
    frame = world("bg_nbd", 800, np.random.default_rng(9))[0].drop("customer_id")
    flag = pl.Series(np.arange(800) % 2)
    both = pl.concat([frame.with_columns(flag=flag), frame.with_columns(flag=1 - flag)])  # the same in both groups
    plain, fit = fit_orders(both), fit_orders(both, covariates_rate=["flag"], covariates_dropout=["flag"])
    assert fit.log_likelihood == pytest.approx(plain.log_likelihood, rel=1e-9)
    assert fit.at[4:] == pytest.approx([0, 0], abs=1e-5)


def test_equal_customers_leave_the_parameters_open_but_not_the_forecast():
    """All order at one rate and leave at one rate: gamma and beta laws without spread, a ridge without a top."""
    rng = np.random.default_rng(10)
    n, age = 3_000, 100.0
    leave, x, last, now = rng.exponential(150, n), np.zeros(n, dtype=int), np.zeros(n), np.zeros(n)
    for _ in range(60):
        now += rng.exponential(10, n)
        seen = now <= np.minimum(leave, age)
        x, last = x + seen, np.where(seen, now, last)
    frame = pl.DataFrame({"repeat_orders": x, "last_order_age": last, "age": age})
    fit = fit_orders(frame, model="pareto_nbd")
    told = {row["parameter"]: row for row in fit.table.to_dicts()}
    assert told["beta"]["reason"].startswith("not identified")
    assert told["beta"]["standard_error"] is told["beta"]["low"] is None
    orders = fit.expected_orders(frame, horizon_days=30)
    truth = ((leave > age) * 150 * (1 - np.exp(-30 / 150)) / 10).sum()
    assert orders["expected_orders"].sum() == pytest.approx(truth, rel=0.05)
    assert (orders["expected_orders_high"] / orders["expected_orders_low"]).median() < 1.5


def test_the_artefact_of_the_bg_nbd_is_told():
    frame, _ = world("bg_nbd", 300, np.random.default_rng(11))
    told = fit_orders(frame).p_alive(frame)
    assert (told.filter(pl.col("repeat_orders") == 0)["p_alive"] == 1).all()
    assert (told["reason"].is_not_null() == (told["repeat_orders"] == 0)).all()
    told = fit_orders(frame, model="mbg_nbd").p_alive(frame)
    assert told["p_alive"].max() < 1
    assert told["reason"].null_count() == 300
    assert told["p_alive"].is_between(told["p_alive_low"], told["p_alive_high"]).all()


def test_a_late_order_has_no_discount_and_an_early_one_most():
    frame, _ = world("pareto_nbd", 50, np.random.default_rng(12))
    fit = known("pareto_nbd")
    steps = [fit.expected_orders(frame, horizon_days=day)["expected_orders"].to_numpy() for day in range(5, 366, 5)]
    each = np.diff(np.array([0 * steps[0], *steps]), axis=0)
    expected = (each * 1.1 ** (-(np.arange(73) * 5 + 2.5)[:, None] / 365.25)).sum(axis=0)
    ours = fit.expected_orders(frame, horizon_days=365, discount_rate=0.1)["expected_orders"].to_numpy()
    assert ours == pytest.approx(expected, rel=1e-5)


def test_bg_bb_is_the_sum_over_lives():
    """The likelihood of a string of orders, summed over the moment of leaving, by beta functions."""
    from shoptoolkit.survival.orders.kernels import BG_BB, likelihood

    a, b, c, d = TRUE["bg_bb"]
    total = 0.0
    for x in range(5):
        for last in range(x and x, 5 if x else 1):
            value = likelihood(
                BG_BB, np.array([TRUE["bg_bb"]]), np.array([x]), np.array([float(last)]), np.array([4.0])
            )[0]
            k = np.arange(last, 5)
            leave = np.where(k < 4, beta_function(c + 1, d + k), beta_function(c, d + 4)) / beta_function(c, d)
            plain = (beta_function(a + x, b + k - x) / beta_function(a, b) * leave).sum()
            assert value[0] == pytest.approx(np.log(plain), rel=1e-12)
            total += plain * (comb(last - 1, x - 1) if x else 1)
    assert total == pytest.approx(1)


@pytest.mark.parametrize("model", MODELS)
@pytest.mark.parametrize("seed", range(6))
def test_a_handful_of_customers_gives_a_forecast_that_is_finite(model, seed):
    """No law behind them, most likelihoods without a top: no warning, no number that is none."""
    rng = np.random.default_rng(seed)
    n, age = int(rng.integers(3, 30)), float(rng.integers(2, 20))
    x = np.minimum(np.append(rng.poisson(rng.choice([0.2, 2, 30]), n), 1), age)
    late = np.where(x > 0, np.maximum(np.round(age * rng.random(n + 1)), x if model == "bg_bb" else 1), 0)
    frame = pl.DataFrame({"repeat_orders": x, "last_order_age": late, "age": age})
    fit = fit_orders(frame, model=model)
    for days in (1, 2_000):
        told = fit.expected_orders(frame, horizon_days=days)
        assert told.select(pl.col("^expected.*$").is_finite().all()).row(0) == (True, True, True)
    assert fit.p_alive(frame)["p_alive"].is_between(0, 1).all()
    assert (fit.draw_orders(frame, horizon_days=30, draws=5, rng=1)["orders"].to_numpy() >= 0).all()


@pytest.mark.certify
@pytest.mark.parametrize("model", ["bg_nbd"])
def test_cover_of_the_orders_to_come(certify, model):
    """Prediction interval of the total and interval of the expected total, at 90 %, in worlds of the model's own."""

    def hits(seed):
        rng = np.random.default_rng(seed)
        frame, later = world(model, 1_000, rng)
        fit = fit_orders(frame, model=model, level=0.9)
        totals = fit.draw_orders(frame, horizon_days=60, draws=200, rng=rng)["orders"].to_numpy().sum(axis=0)
        low, high = np.quantile(totals, [0.05, 0.95])
        truth = known(model).expected_new([60])["expected_orders"][0]
        new = fit.expected_new([60])
        return [low <= later.sum() <= high, new["expected_orders_low"][0] <= truth <= new["expected_orders_high"][0]]

    certify(hits, level=0.9)


FAULTS = {
    "a missing column": (pl.exclude("age"), "no column 'age'.*summarise_orders"),
    "text": (pl.col("age").cast(pl.String), "'age' must be numbers"),
    "an order after the end": ((pl.col("age") * 0).alias("age"), "age is below last_order_age"),
    "a broken count": ((pl.col("repeat_orders") + 0.5).alias("repeat_orders"), "no whole number"),
    "a negative count": ((pl.col("repeat_orders") - 9).alias("repeat_orders"), "no whole number >= 0"),
    "orders at age 0": ((pl.col("last_order_age") * 0).alias("last_order_age"), "is 0 though repeat_orders is above 0"),
    "an age without order": ((pl.col("repeat_orders") * 0).alias("repeat_orders"), "is above 0 though repeat_orders"),
    "infinite": ((pl.col("age") / 0).alias("age"), "age is null or not finite"),
    "a weight of zero": (pl.lit(0).alias("weight"), "weight is null or not above 0"),
    "a customer twice": (pl.lit(1).alias("customer_id"), "'customer_id' repeats"),
    "no row": (pl.all().head(0), "0 rows"),
}


@pytest.mark.parametrize(("change", "told"), FAULTS.values(), ids=FAULTS)
def test_faults_of_the_summary_are_told(change, told):
    frame, _ = world("bg_nbd", 100, np.random.default_rng(13))
    broken = frame.select(change) if "column" in told or "0 rows" in told else frame.with_columns(change)
    with pytest.raises(ContractError, match=told):
        fit_orders(broken)


def test_arguments_that_cannot_be_used_are_told():
    frame, _ = world("bg_nbd", 100, np.random.default_rng(14))
    nobody = frame.with_columns(pl.col("repeat_orders", "last_order_age") * 0)
    text = frame.with_columns(one=1.0, copy=pl.col("age") * 2, other=pl.col("age") + 0.0)
    fit = fit_orders(frame)
    for call, told in (
        (lambda: fit_orders(frame, model="nbd"), "model is 'nbd'; it must be one of 'bg_nbd'"),
        (lambda: fit_orders(frame, level=95), "level is 95"),
        (lambda: fit_orders(frame, unit_days=0), "unit_days is 0"),
        (lambda: fit_orders(frame, starts=[{"r": 1.0}]), "each start names r, alpha, a, b"),
        (lambda: fit_orders(nobody), "none of 100 customers ordered again"),
        (lambda: fit_orders(frame, model="bg_bb"), "is not whole"),
        (lambda: fit_orders(text, covariates_rate=["one"]), "'one' is the same for all"),
        (lambda: fit_orders(text, covariates_rate=["copy", "other"]), "'other' is a sum of multiples"),
        (lambda: fit_orders(frame, covariates_rate="premium"), "no column 'premium'"),
        (lambda: fit_orders(frame, covariates_rate=["premium"]), "no column 'premium'"),
        (lambda: fit_orders(frame, weight="cuont"), "no column 'cuont'"),
        (lambda: fit_orders(frame, starts={"r": 1.0}), "starts is {'r': 1.0}; give a list"),
        (lambda: fit.expected_orders(frame, horizon_days="9"), "horizon_days is '9'"),
        (lambda: fit.expected_orders(frame, horizon_days=0), "horizon_days is 0"),
        (lambda: fit.expected_orders(frame, horizon_days=9, discount_rate=-0.1), "discount_rate is -0.1"),
        (lambda: fit.draw_orders(frame, horizon_days=9, draws=0, rng=1), "draws is 0"),
        (lambda: known("bg_bb").expected_orders(frame, horizon_days=2.5), "whole opportunities|is not whole"),
    ):
        with pytest.raises((ValueError, TypeError), match=told):
            call()


def test_a_likelihood_without_a_top_is_an_error():
    from shoptoolkit.survival.orders.optimum import climb

    for objective in (lambda at: (np.nan, at * np.nan), lambda at: (-np.abs(at - 0.3).sum(), -np.sign(at - 0.3))):
        with pytest.raises(ValueError, match=r"fit_orders: no top of the likelihood.*Pass other starts="):
            climb(objective, [np.zeros(2)], 10, "fit_orders")


def test_own_starts_are_taken():
    frame, _ = world("pareto_nbd", 300, np.random.default_rng(16))
    start = dict(zip(("r", "alpha", "s", "beta"), TRUE["pareto_nbd"], strict=True))
    plain, fit = fit_orders(frame, model="pareto_nbd"), fit_orders(frame, model="pareto_nbd", starts=[start])
    assert fit.log_likelihood == pytest.approx(plain.log_likelihood, rel=1e-9)


def test_a_fit_reads_well():
    frame, _ = world("bg_nbd", 200, np.random.default_rng(15))
    fit = fit_orders(frame, unit_days=7)
    assert repr(fit).startswith("bg_nbd of 200 customers: r ")
    assert "95 % intervals" in fit._repr_html_()
