"""Speed of the way from events to estimates, beside lifelines in one run: pytest -s tests/benchmarks/bench_survival.py

SMOKE=1 takes small sizes (does it run at all?). Nothing is asserted about time; the ratios are printed.
"""

from __future__ import annotations

import os

import numpy as np
import polars as pl
import pytest
from lifelines import KaplanMeierFitter
from lifelines.statistics import multivariate_logrank_test
from lifelines.utils import restricted_mean_survival_time

from shoptoolkit.features import orders
from shoptoolkit.survival import (
    aalen_johansen,
    kaplan_meier,
    logrank,
    mean_cumulative_orders,
    repurchase_spells,
    restricted_mean_difference,
)

SMOKE = os.environ.get("SMOKE") == "1"
ROWS = 20_000 if SMOKE else 10_000_000


def tell(name, ours, theirs, *, peer="lifelines"):
    print(f"\n{name}: {ours[0]:.3f} s wall, {ours[1]:.3f} s CPU; {peer} {theirs[0]:.3f} s, {theirs[1]:.3f} s; ", end="")
    print(f"ratio {theirs[0] / ours[0]:.1f} wall, {theirs[1] / ours[1]:.1f} CPU")


def whole_day_spells(n, seed=1):
    rng = np.random.default_rng(seed)
    days, limit = np.ceil(rng.exponential(60, n)), rng.integers(1, 366, n).astype(float)
    columns = {"customer_id": np.arange(n), "duration_days": np.minimum(days, limit), "repurchased": days <= limit}
    return pl.DataFrame({**columns, "country": pl.Series(rng.integers(0, 2, n)).cast(pl.String)})


@pytest.mark.parametrize("n", [ROWS])
def test_kaplan_meier(timed, n):
    spells = whole_day_spells(n).drop("country")
    duration, seen = spells["duration_days"].to_numpy(), spells["repurchased"].to_numpy()
    ours = timed(lambda: kaplan_meier(spells))
    theirs = timed(lambda: KaplanMeierFitter().fit(duration, seen), times=3 if SMOKE else 1)
    table = ours[2].table
    expected = theirs[2].survival_function_at_times(table["duration_days"]).to_numpy()
    print(f"\nlargest difference {np.abs(table['survival'].to_numpy() - expected).max():.1e}", end="")
    tell(f"Kaplan-Meier, {n:,} whole-day spells", ours, theirs)


@pytest.mark.parametrize("whole", [True, False], ids=["whole days", "fractional days"])
@pytest.mark.parametrize("n", [2_000] if SMOKE else [100_000, 1_000_000])
@pytest.mark.filterwarnings("ignore::scipy.integrate.IntegrationWarning")
def test_restricted_mean_difference(timed, n, whole):
    """lifelines integrates by quadrature over pandas lookups: its time grows with the days more than with the rows."""
    spells = whole_day_spells(n)
    if not whole:
        spells = spells.with_columns(pl.col("duration_days") - pl.Series(np.random.default_rng(2).random(n)) * 0.99)
    parts = [part.to_pandas() for _, part in spells.group_by("country")]

    def lifelines():
        fits = [KaplanMeierFitter().fit(part["duration_days"], part["repurchased"]) for part in parts]
        return [restricted_mean_survival_time(fit, t=90, return_variance=True) for fit in fits]

    ours = timed(lambda: restricted_mean_difference(spells, by="country", horizon_days=90))
    kind = "whole" if whole else "fractional"
    tell(f"restricted-mean difference, {n:,} customers, {kind} days", ours, timed(lifelines, times=1))


@pytest.mark.parametrize("n", [2_000 if SMOKE else 1_000_000])
def test_logrank(timed, n):
    spells = whole_day_spells(n)
    duration, country, seen = (spells[name].to_numpy() for name in ("duration_days", "country", "repurchased"))
    ours = timed(lambda: logrank(spells, by="country"))
    theirs = timed(lambda: multivariate_logrank_test(duration, country, seen), times=1)
    print(f"\ndifference {abs(ours[2].statistic - theirs[2].test_statistic):.1e}", end="")
    tell(f"log-rank test, {n:,} customers", ours, theirs)


@pytest.mark.parametrize("n", [2_000 if SMOKE else 1_000_000])
def test_cumulative_incidence(timed, n):
    cause = pl.when("repurchased").then(
        pl.when(pl.col("customer_id") % 5 > 0).then(pl.lit("order")).otherwise(pl.lit("refund"))
    )
    spells = whole_day_spells(n).with_columns(cause=cause)
    wall, cpu, _ = timed(lambda: aalen_johansen(spells))
    print(f"\ncumulative incidence, {n:,} customers: {wall:.2f} s wall, {cpu:.2f} s CPU (no fast peer)")


@pytest.mark.parametrize("n", [2_000 if SMOKE else 1_000_000])
def test_mean_cumulative_orders(timed, n):
    """Five orders a customer on average, watched for 60 to 365 days; no peer gives customers' errors and a band."""
    rng = np.random.default_rng(1)
    followed = rng.integers(60, 366, n)
    who = np.repeat(np.arange(n), rng.poisson(rng.gamma(1.5, 0.02 / 1.5, n) * followed))
    key = np.unique(np.concatenate([who * 1_000 + rng.integers(1, followed[who] + 1), np.arange(n) * 1_000 + followed]))
    who, stop = np.divmod(key, 1_000)
    is_first = np.append(True, who[1:] != who[:-1])
    start = np.where(is_first, 0, np.append(0, stop[:-1]))
    columns = {"customer_id": who, "start_days": start.astype(float), "stop_days": stop.astype(float)}
    spells = pl.DataFrame({**columns, "repurchased": stop < followed[who]})
    wall, cpu, _ = timed(lambda: mean_cumulative_orders(spells))
    print(f"\nmean cumulative orders, {n:,} customers, {len(spells):,} spells: {wall:.2f} s wall, {cpu:.2f} s CPU")


def lines_of(n, seed=1):
    rng = np.random.default_rng(seed)
    order = np.sort(rng.integers(0, n // 3, n))
    who = rng.integers(0, n // 12, n // 3)[order]
    moments = np.datetime64("2024-01-01", "us") + (order * (500 * 86_400 * 10**6 // (n // 3))).astype("timedelta64[us]")
    return pl.DataFrame(
        {
            "customer_id": who,
            "at": moments,
            "event": np.where(rng.random(n) < 0.03, "refund", "purchase"),
            "order_id": order,
            "item_id": rng.integers(0, 5_000, n),
            "price": np.round(rng.lognormal(2, 0.5, n), 2),
            "quantity": 1 + rng.poisson(0.3, n),
            "source": rng.choice(["organic", "paid"], n),
        }
    )


def test_from_lines_to_orders_to_spells(timed):
    lines = lines_of(ROWS)
    wall, _, table = timed(lambda: orders(lines), times=1)
    print(f"\norders: {wall:.2f} s for {ROWS:,} lines, {ROWS / wall / 1e6:.2f} M rows/s, {len(table):,} orders")
    ids = pl.col("order_id", "customer_id")
    many = pl.concat(table.with_columns(ids + copy * ROWS) for copy in range(3))
    wall, _, _ = timed(lambda: repurchase_spells(many, as_of="2025-06-01"), times=1)
    print(f"repurchase_spells: {wall:.2f} s for {len(many):,} orders, {len(many) / wall / 1e6:.2f} M rows/s")
