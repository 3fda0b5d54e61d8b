"""Speed of the accuracy measures, beside lifelines and scikit-survival: pytest -s tests/benchmarks/bench_accuracy.py

SMOKE=1 takes small sizes (does it run at all?). Nothing is asserted about time; the ratios are printed.
"""

from __future__ import annotations

import os

import numpy as np
import polars as pl
import pytest
from lifelines.utils import concordance_index
from sksurv.metrics import concordance_index_ipcw, cumulative_dynamic_auc, integrated_brier_score
from sksurv.util import Surv

from shoptoolkit.survival import auc_at, brier, concordance

SMOKE = os.environ.get("SMOKE") == "1"
MANY, FEW = (20_000, 2_000) if SMOKE else (1_000_000, 100_000)


def tell(name, ours, theirs, *, peer):
    print(f"\n{name}: {ours[0]:.3f} s wall, {ours[1]:.3f} s CPU; {peer} {theirs[0]:.3f} s, {theirs[1]:.3f} s; ", end="")
    print(f"ratio {theirs[0] / ours[0]:.1f} wall, {theirs[1] / ours[1]:.1f} CPU")


def scored(n, *, whole=False, seed=1):
    rng = np.random.default_rng(seed)
    risk = rng.normal(size=n)
    back, limit = rng.exponential(60 * np.exp(-0.7 * risk)) + 1e-3, rng.uniform(5, 366, n)
    if whole:
        back, limit = np.ceil(back), np.ceil(limit)
    columns = {"duration_days": np.minimum(back, limit), "repurchased": back <= limit, "risk": risk}
    return pl.DataFrame({"customer_id": np.arange(n), **columns})


@pytest.mark.parametrize("whole", [True, False], ids=["whole days", "fractional days"])
def test_concordance(timed, whole):
    spells = scored(MANY, whole=whole)
    duration, seen, risk = (spells[name].to_numpy() for name in ("duration_days", "repurchased", "risk"))
    ours = timed(lambda: concordance(spells).table["estimate"].item())
    theirs = timed(lambda: concordance_index(duration, -risk, seen), times=1)
    print(f"\nidentical: {ours[2] == theirs[2]}", end="")
    kind = "whole" if whole else "fractional"
    tell(f"concordance with its error, {MANY:,} spells, {kind} days", ours, theirs, peer="lifelines")


def test_unos_concordance(timed):
    spells = scored(FEW)
    y = Surv.from_arrays(spells["repurchased"].to_numpy(), spells["duration_days"].to_numpy())
    risk = spells["risk"].to_numpy()
    ours = timed(lambda: concordance(spells, kind="uno", horizon_days=90).table["estimate"].item())
    theirs = timed(lambda: concordance_index_ipcw(y, y, risk, tau=90)[0], times=1)
    print(f"\ndifference {abs(ours[2] - theirs[2]):.1e}", end="")
    tell(f"Uno's concordance with its error, {FEW:,} spells", ours, theirs, peer="scikit-survival")


def test_integrated_brier_and_auc(timed):
    spells, days = scored(FEW), np.linspace(5, 250, 50)
    surviving = np.exp(-days / (60 * np.exp(-0.7 * spells["risk"].to_numpy()[:, None])))
    columns = {"customer_id": np.repeat(np.arange(FEW), 50), "duration_days": np.tile(days, FEW)}
    predicted = pl.DataFrame({**columns, "survival": surviving.ravel()})
    y = Surv.from_arrays(spells["repurchased"].to_numpy(), spells["duration_days"].to_numpy())

    def our_two():
        return [told(spells, predicted, days=days).table["estimate"][-1] for told in (brier, auc_at)]

    def their_two():
        return [integrated_brier_score(y, y, surviving, days), cumulative_dynamic_auc(y, y, 1 - surviving, days)[1]]

    ours, theirs = timed(our_two), timed(their_two)
    print(f"\nlargest difference {np.abs(np.subtract(ours[2], theirs[2])).max():.1e}", end="")
    tell(f"integrated Brier score and AUC with errors, {FEW:,} spells x 50 days", ours, theirs, peer="scikit-survival")
