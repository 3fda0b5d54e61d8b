"""Speed of the lift of a million customers, beside tea-tasting, statsmodels and pyfixest with equal results.

pytest -s tests/benchmarks/bench_lift.py

SMOKE=1 takes a small size (does it run at all?). Nothing is asserted about time; the ratios are printed. Three metrics
and three covariates (tea-tasting takes one). Ours also checks the customers: one row each, finite numbers, arms.
"""

from __future__ import annotations

import os
from collections.abc import Callable

import numpy as np
import polars as pl
import pyfixest
import pytest
import statsmodels.api as sm
import tea_tasting as tt

from shoptoolkit.incrementality import lift, moments

N = 10_000 if os.environ.get("SMOKE") == "1" else 1_000_000
METRICS, COVARIATES = ["orders", "revenue", "views"], ["pre_orders", "pre_age", "pre_views"]


@pytest.fixture(scope="module")
def shop() -> pl.DataFrame:
    random = np.random.default_rng(1)
    before = random.gamma(1, 1, (N, 3))
    treated = random.random(N) < 0.5
    orders = random.poisson(before + 0.1 * treated[:, None])
    return pl.DataFrame(
        {"customer_id": np.arange(N), "arm": np.where(treated, "ad", "none"), "variant": treated.astype(int)}
        | {name: orders[:, k] * 1.0 for k, name in enumerate(METRICS)}
        | {name: before[:, k] for k, name in enumerate(COVARIATES)}
    )


def differences(frame, **options) -> np.ndarray:
    table = lift(frame, control="none", metrics=METRICS, **options).table
    return table.filter(pl.col("estimand") == "per assigned customer").select("estimate", "standard_error").to_numpy()


def by_tea_tasting(frame: pl.DataFrame, covariate: str | None) -> np.ndarray:
    result = tt.Experiment(**{name: tt.Mean(name, covariate) for name in METRICS}).analyze(frame)
    return np.array([[result[name].effect_size, result[name].effect_size / result[name].statistic] for name in METRICS])


def by_statsmodels(frame: pl.DataFrame) -> np.ndarray:
    x, treated = frame.select(COVARIATES).to_numpy(), frame["variant"].to_numpy()[:, None]
    x = x - x.mean(axis=0)
    design = np.hstack([np.ones_like(treated), treated, x, treated * x])
    fits = [sm.OLS(frame[name].to_numpy(), design).fit(cov_type="HC2") for name in METRICS]
    return np.array([[fit.params[1], fit.bse[1]] for fit in fits])


def by_pyfixest(frame: pl.DataFrame) -> np.ndarray:
    frame = frame.with_columns(pl.col(COVARIATES) - pl.col(COVARIATES).mean()).to_pandas()
    formula = f"{{}} ~ variant * ({' + '.join(COVARIATES)})"
    plain = pyfixest.ssc(k_adj=False, G_adj=False)
    fits = [pyfixest.feols(formula.format(name), data=frame, vcov="HC2", ssc=plain) for name in METRICS]
    return np.array([[fit.coef()["variant"], fit.se()["variant"]] for fit in fits])


PEERS: dict[str, tuple[dict, Callable, float]] = {
    "unadjusted, beside tea-tasting": ({}, lambda frame: by_tea_tasting(frame, None), 1e-9),
    "pooled for one, beside tea-tasting": (
        {"covariates": "pre_orders", "adjustment": "pooled"},
        lambda frame: by_tea_tasting(frame, "pre_orders"),
        1e-9,
    ),
    "interacted HC2, beside statsmodels": ({"covariates": COVARIATES}, by_statsmodels, 1e-4),  # they know the means
    "interacted HC2, beside pyfixest": ({"covariates": COVARIATES}, by_pyfixest, 1e-4),
}


@pytest.mark.parametrize("name", PEERS)
def test_lift(timed, shop, name):
    options, peer, tolerance = PEERS[name]
    ours = timed(lambda: differences(shop, **options))
    theirs = timed(lambda: peer(shop), times=1 if "pyfixest" in name else 3)
    np.testing.assert_allclose(ours[2], theirs[2], rtol=tolerance if N > 10_000 else 1e-2)
    print(f"\n{name}: {ours[0]:.3f} s (CPU {ours[1]:.3f}), theirs {theirs[0]:.3f} s (CPU {theirs[1]:.3f}); ", end="")
    print(f"their time / ours {theirs[0] / ours[0]:.2f}, CPU {theirs[1] / ours[1]:.2f}")


def test_lift_from_moments(timed, shop):
    held = timed(lambda: moments(shop, metrics=METRICS, covariates=COVARIATES))
    ours = timed(lambda: differences(held[2], covariates=COVARIATES))
    rows = differences(shop, covariates=COVARIATES, errors="moments")
    np.testing.assert_allclose(ours[2], rows, rtol=1e-9)
    print(f"\nmoments of {N:,} customers: {held[0]:.3f} s (CPU {held[1]:.3f}); lift from them: {1e3 * ours[0]:.1f} ms")
