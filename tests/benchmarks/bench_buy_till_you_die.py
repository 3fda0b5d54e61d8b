"""Order summaries and buy-till-you-die fits beside lifetimes: pytest -s tests/benchmarks/bench_buy_till_you_die.py

SMOKE=1 takes small sizes (does it run at all?). Nothing is asserted about time; the ratios are printed.
"""

from __future__ import annotations

import os

import numpy as np
import polars as pl
from lifetimes import BetaGeoFitter
from lifetimes.utils import summary_data_from_transaction_data

from shoptoolkit.survival import customer_value, fit_orders, fit_spend, summarise_orders

SMOKE = os.environ.get("SMOKE") == "1"
ROWS, CUSTOMERS = (20_000, 5_000) if SMOKE else (10_000_000, 1_000_000)


def tell(name, ours, theirs, *, peer="lifetimes"):
    print(f"\n{name}: {ours[0]:.3f} s wall, {ours[1]:.3f} s CPU; {peer} {theirs[0]:.3f} s, {theirs[1]:.3f} s; ", end="")
    print(f"ratio {theirs[0] / ours[0]:.1f} wall, {theirs[1] / ours[1]:.1f} CPU")


def transactions(n, seed=1):
    """A log in the order of time, of a year and a half; some order twice on a day."""
    rng = np.random.default_rng(seed)
    who = (rng.random(n) ** 1.5 * (n // 8)).astype(np.int64)
    moments = np.datetime64("2023-06-01", "us") + np.sort(rng.integers(0, 540 * 86_400, n)).astype("timedelta64[s]")
    value = np.round(rng.lognormal(3, 0.6, n), 2)
    return pl.DataFrame({"customer_id": who, "ordered_at": moments, "gross_revenue": value, "history_known": True})


def customers(n, seed=1):
    """Lives by the BG/NBD in whole days, joined over half a year and seen for half a year more."""
    rng = np.random.default_rng(seed)
    age = rng.integers(180, 365, n).astype(float)
    rate, leave = rng.gamma(0.24, 1 / 31.0, n), rng.beta(0.8, 2.4, n)
    x, last, now, alive = np.zeros(n, np.int64), np.zeros(n), np.zeros(n), np.ones(n, dtype=bool)
    while alive.any():
        now += np.ceil(rng.exponential(1 / np.maximum(rate, 1e-9)))
        alive &= now <= age
        x, last = x + alive, np.where(alive, now, last)
        alive &= rng.random(n) >= leave
    value = np.where(x > 0, rng.gamma(6 * np.maximum(x, 1)) / np.maximum(x, 1) / rng.gamma(4.0, 1 / 15, n), np.nan)
    columns = {"customer_id": np.arange(n), "repeat_orders": x, "last_order_age": last, "age": age}
    return pl.DataFrame(columns | {"mean_value": pl.Series(value).fill_nan(None)})


def test_order_summaries(timed):
    log = transactions(ROWS)
    theirs_log = log.to_pandas()
    ours = timed(lambda: summarise_orders(log, as_of="2024-11-22"))
    columns = ("customer_id", "ordered_at", "gross_revenue")
    theirs = timed(lambda: summary_data_from_transaction_data(theirs_log, *columns, "2024-11-21"), times=1)
    told, peer = ours[2], theirs[2].sort_index()
    gap = np.abs(told["mean_value"].fill_null(0).to_numpy() - peer["monetary_value"].to_numpy()).max()
    same = (told["repeat_orders"].to_numpy() == peer["frequency"]).all() and (told["age"].to_numpy() == peer["T"]).all()
    print(f"\nthe same counts and ages: {same}; largest difference of a mean value {gap:.1e}", end="")
    tell(f"order summary, {ROWS:,} transactions", ours, theirs)


def test_bg_nbd(timed):
    frame = customers(CUSTOMERS)
    x, last, age = (frame[name].to_numpy() for name in ("repeat_orders", "last_order_age", "age"))
    ours = timed(lambda: fit_orders(frame))
    theirs = timed(lambda: BetaGeoFitter().fit(x, last, age), times=1)
    best = -theirs[2]._negative_log_likelihood(np.log(theirs[2].params_.to_numpy()), x, last, age, np.ones(len(x)), 0.0)
    gap = ours[2].log_likelihood / (best * len(x)) - 1
    print(f"\nlog-likelihood {ours[2].log_likelihood:.6f}, relative difference {gap:.1e}", end="")
    tell(f"BG/NBD fit, {CUSTOMERS:,} customers", ours, theirs)


def test_the_way_to_value(timed):
    frame = customers(CUSTOMERS // 10)
    for model in ("mbg_nbd", "pareto_nbd"):
        wall, _, fit = timed(lambda model=model: fit_orders(frame, model=model), times=1)
        print(f"\n{model} fit, {len(frame):,} customers: {wall:.2f} s")
        wall, _, _ = timed(lambda fit=fit: fit.expected_orders(frame, horizon_days=365), times=1)
        print(f"expected orders with intervals: {wall:.2f} s")
    wall, _, spend = timed(lambda: fit_spend(frame), times=1)
    print(f"Gamma-Gamma fit: {wall:.2f} s")
    wall, _, _ = timed(lambda: customer_value(fit, spend, frame, horizon_days=365, margin=0.3, rng=1), times=1)
    print(f"customer value, 200 worlds: {wall:.2f} s")
