"""Speed of the Qini curve with 1,000 bootstraps, beside causalml with the same point estimates.

pytest -s tests/benchmarks/bench_qini.py

SMOKE=1 takes a small size (does it run at all?). Nothing is asserted about time; the ratios are printed. causalml is
timed with a few resamples of all customers, as ours are, and with a few of its own half-samples (`return_ci=True`),
which cost it half; its time for 1,000 is 1,000 times the median of one.
"""

from __future__ import annotations

import os

import numpy as np
import polars as pl
import pytest

from shoptoolkit.incrementality import qini, targeting_curve

SMOKE = os.environ.get("SMOKE") == "1"
N = 20_000 if SMOKE else 1_000_000
FEW, ALL = 5, 1_000  # bootstraps of causalml, and of ours
KINDS = {
    "flags, one score": {"scores": ["one"], "outcome": "converted"},
    "flags, two scores compared": {"scores": ["one", "two"], "outcome": "converted"},
    "revenue of 1 % buyers, one score": {"scores": ["one"], "outcome": "revenue"},
    "revenue of all, one score": {"scores": ["one"], "outcome": "spend"},
}


@pytest.fixture(scope="module")
def frame() -> pl.DataFrame:
    """A test with two scores of the same liking, an outcome of each kind, and the doubly robust G of each customer."""
    random = np.random.default_rng(1)
    liking, ad = random.normal(size=N), random.random(N) < 0.5
    spend = np.exp(random.normal(3, 1, N)) * (1 + 0.1 * ad * (1 + np.tanh(liking)))
    return pl.DataFrame(
        {
            "customer_id": np.arange(N),
            "arm": np.where(ad, "ad", "none"),
            "w": ad.astype(int),
            "one": liking + random.normal(size=N),
            "two": liking - random.normal(size=N),
            "converted": (random.random(N) < 0.1 + 0.05 * ad * (1 + np.tanh(liking))).astype(float),
            "revenue": np.where(random.random(N) < 0.01, spend, 0.0),
            "spend": spend,
        }
    )


@pytest.mark.parametrize("kind", KINDS)
def test_a_thousand_bootstraps(kind, frame, timed):
    from causalml.metrics import auuc_score, qini_score

    scores, outcome = KINDS[kind]["scores"], KINDS[kind]["outcome"]
    ours, _, found = timed(lambda: qini(frame, control="none", bootstraps=ALL, rng=1, **KINDS[kind]), times=2)
    theirs = frame.select("w", *scores, y=outcome).to_pandas()
    random = np.random.default_rng(1)

    def peer(size, *, replace):
        rows = random.choice(N, size=size, replace=replace)
        return qini_score(theirs.iloc[rows].reset_index(drop=True), normalize=False)

    value = qini_score(theirs, normalize=False)
    whole, half = (
        ALL * timed(lambda: peer(size, replace=replace), times=FEW)[0]  # noqa: B023
        for size, replace in ((N, True), (N // 2, False))
    )
    print(f"\n{kind}: {N:,} rows, ours {ours:.2f} s; causalml {whole:,.0f} s (from {FEW}): {whole / ours:,.0f} x")
    print(f"  its half-samples {half:,.0f} s: {half / ours:,.0f} x")
    y, ad = frame[outcome].to_numpy(), frame["w"].to_numpy() == 1
    told = np.where(ad, (y - y[ad].mean()) / ad.mean(), -(y - y[~ad].mean()) / (1 - ad.mean()))
    effect = y[ad].mean() - y[~ad].mean()
    exact = auuc_score(frame.select(*scores, y=0.0, w=1).with_columns(tau=told + effect).to_pandas(), normalize=False)
    for name in scores:
        area, auuc = found.estimates.table.filter(group=name).to_dicts()[:2]
        assert value[name] / ad.sum() == pytest.approx(area["estimate"], abs=area["standard_error"] / 4)  # own noise
        same = exact[name] * (N + 1) / N**2 - effect / (2 * N)
        assert auuc["estimate"] == pytest.approx(same, abs=auuc["standard_error"] / 100)  # cut into 1,000 groups


def test_targeting_curve(frame, timed):
    ready = frame.select("customer_id", effect="one", pseudo=pl.col("two") - pl.col("one"), cost=pl.col("spend"))
    wall, _, _ = timed(lambda: targeting_curve(ready, cost="cost", budget=1.0, rng=1))
    print(f"\ntargeting_curve, {N:,} customers: {wall:.2f} s")
