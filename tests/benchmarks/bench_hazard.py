"""Memory and speed of the discrete-time hazard: pytest -s tests/benchmarks/bench_hazard.py

Each job runs in its own process, whose peak memory is told. SMOKE=1 takes small sizes. Nothing is asserted about time.
"""

from __future__ import annotations

import os
import subprocess
import sys

import pytest

SMOKE = os.environ.get("SMOKE") == "1"
ROWS = 5_000 if SMOKE else 1_000_000
WORLD = """
import time, sys
import numpy as np, polars as pl
from shoptoolkit.survival import fit_hazard, landmark_spells, load_hazard

def world(n, seed=1):
    rng = np.random.default_rng(seed)
    x = {f"x{i}": rng.normal(size=n).astype(np.float32) for i in range(10)}
    came = rng.geometric(np.clip(0.01 * np.exp(0.5 * x["x0"] - 0.3 * x["x1"]), 0, 0.5))
    limit = rng.integers(60, 85, n)
    days = {"duration_days": np.minimum(came, limit).astype(float), "repurchased": came <= limit}
    return pl.DataFrame({"customer_id": np.arange(n), **days, **x})

def tell(what, start):
    status = dict(line.split(":", 1) for line in open("/proc/self/status"))
    peak = int(status["VmHWM"].split()[0]) / 2**20  # ru_maxrss would tell that of the parent
    print(f"\\n{what}: {time.perf_counter() - start:.1f} s, peak {peak:.2f} GB", end="")

n, folder = int(sys.argv[1]), sys.argv[2]
"""
FIT = """
spells = world(n)
tell("world", time.perf_counter())
start = time.perf_counter()
fit = fit_hazard(spells, rng=1, periods=12, rounds=100, thin=float(sys.argv[3]))
tell(f"fit, {n:,} customers, {fit.n_periods:,} person-periods, {fit.rounds} rounds, thin {fit.thin}", start)
fit.save(folder)
"""
PREDICT = """
fit, frame = load_hazard(folder), world(n, 2).drop("duration_days", "repurchased")
tell("world", time.perf_counter())
start, rows = time.perf_counter(), 0
days = [float(day) for day in range(1, int(fit.period_days * fit.periods) + 1)]
days = (days + days)[:90]
for part in frame.iter_slices(50_000):
    rows += len(fit.predict_survival(part, days=days))
tell(f"predict, {n:,} customers x {len(days)} days, {rows:,} rows in slices", start)
"""


@pytest.mark.parametrize("thin", [1.0, 0.25])
def test_memory_of_fit_and_prediction(tmp_path, thin):
    for job in (FIT, PREDICT):
        subprocess.run([sys.executable, "-c", WORLD + job, str(ROWS), str(tmp_path / "fit"), str(thin)], check=True)
