"""Cox regression beside lifelines: a million customers, and cluster-robust errors of ten thousand.

`make bench ARGS="tests/benchmarks/bench_cox.py"`; SMOKE=1 takes small sizes.
"""

from __future__ import annotations

import os

import numpy as np
import polars as pl
import pytest
from lifelines import CoxPHFitter

from shoptoolkit.survival import fit_cox

SMOKE = os.environ.get("SMOKE") == "1"
X = [f"x{k}" for k in range(10)]


def tell(name, ours, theirs):
    difference = np.abs(ours[2].table["coefficient"].to_numpy() - theirs[2].params_.to_numpy()).max()
    print(
        f"\n{name}: {ours[0]:.3f} s wall, {ours[1]:.3f} s CPU; lifelines {theirs[0]:.3f} s, {theirs[1]:.3f} s; ", end=""
    )
    print(
        f"ratio {theirs[0] / ours[0]:.1f} wall, {theirs[1] / ours[1]:.1f} CPU; coefficients differ by {difference:.0e}"
    )


def spells(n, *, whole, seed=1):
    rng = np.random.default_rng(seed)
    x = rng.normal(size=(n, 10))
    days, limit = rng.exponential(60 * np.exp(-x @ rng.normal(0, 0.2, 10))), rng.uniform(1, 365, n)
    days, limit = (np.ceil(days), np.ceil(limit)) if whole else (days, limit)
    columns = {"customer_id": np.arange(n), "duration_days": np.minimum(days, limit), "repurchased": days <= limit}
    return pl.DataFrame(columns | dict(zip(X, x.T)))


@pytest.mark.parametrize("whole", [True, False], ids=["whole days", "fractional days"])
@pytest.mark.parametrize("n", [5_000 if SMOKE else 1_000_000])
def test_efron(timed, n, whole):
    frame = spells(n, whole=whole)
    data = frame.drop("customer_id").to_pandas()
    plain = timed(lambda: fit_cox(frame, covariates=X))
    robust = timed(lambda: fit_cox(frame, covariates=X, cluster="customer_id"))
    theirs = timed(lambda: CoxPHFitter().fit(data, "duration_days", "repurchased"), times=3 if SMOKE else 1)
    kind = "whole" if whole else "fractional"
    tell(f"Cox Efron, {n:,} x 10, {kind} days, naive errors", plain, theirs)
    tell(f"the same with robust errors, against lifelines without, {kind} days", robust, theirs)


@pytest.mark.parametrize("n", [1_000 if SMOKE else 10_000])
@pytest.mark.filterwarnings("ignore::Warning")
def test_cluster_robust(timed, n):
    frame = spells(n, whole=True).with_columns(household=pl.col("customer_id") // 3)
    data = frame.drop("customer_id").to_pandas()
    ours = timed(lambda: fit_cox(frame, covariates=X, cluster="household"))
    theirs = timed(lambda: CoxPHFitter().fit(data, "duration_days", "repurchased", cluster_col="household"))
    tell(f"Cox cluster-robust, {n:,} x 10", ours, theirs)
