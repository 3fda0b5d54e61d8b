"""Speed of survival SHAP beside xgboost's own contributions: pytest -s tests/benchmarks/bench_explain.py

2,000 customers x 12 periods. Ours is `explain_survival` whole, its long table included; xgboost's is `pred_contribs` on
a matrix of the 24,000 rows that is made beforehand. Nothing is asserted about time; both sums are, to the answers. In
one world the week changes what counts, so that most trees ask for the period; in the other hardly any does.
SMOKE=1 takes a small size.
"""

from __future__ import annotations

import os

import numpy as np
import polars as pl
import pytest

from shoptoolkit.explain import explain_survival
from shoptoolkit.survival import fit_hazard
from shoptoolkit.trees.boosting import data

SMOKE = os.environ.get("SMOKE") == "1"
N, ROWS, PERIODS, ROUNDS = (500, 50, 12, 10) if SMOKE else (8_000, 2_000, 12, 400)


def world(*, by_week: bool) -> pl.DataFrame:
    """Thirty features, a few of them categories, some missing; a hazard that falls, and whose drivers may change."""
    rng = np.random.default_rng(1)
    x = rng.normal(size=(N, 30))
    x[:, 3][rng.random(N) < 0.1] = np.nan
    source = rng.choice(["live", "mail", "paid", "search"], N)
    week = np.arange(PERIODS)
    fades = np.exp(-week / 3) if by_week else np.ones(PERIODS)
    grows = 1 - np.exp(-week / 6) if by_week else np.ones(PERIODS)
    score = np.outer(x[:, 0] + 0.7 * x[:, 1] * (x[:, 2] > 0), fades) + np.outer(x[:, 4] + np.abs(x[:, 5]), grows)
    came = rng.random((N, PERIODS)) < 1 / (1 + np.exp(3 - 0.7 * score + 0.5 * (source == "mail")[:, None]))
    is_back, first = came.any(axis=1), came.argmax(axis=1)
    days = {"duration_days": np.where(is_back, 7.0 * first + 3, 7.0 * PERIODS), "repurchased": is_back}
    names = {f"x{place:02d}": pl.Series(x[:, place]).fill_nan(None) for place in range(30)}
    return pl.DataFrame({"customer_id": np.arange(N), **days, **names, "source": source})


@pytest.mark.parametrize("by_week", [True, False], ids=["drivers change by week", "drivers stay"])
def test_survival_shap(by_week, timed):
    frame = world(by_week=by_week)
    growth = {"periods": PERIODS, "rounds": ROUNDS, "patience": ROUNDS, "learning_rate": 0.02}
    fit = fit_hazard(frame, rng=1, nthread=1, **growth)
    some = frame.head(ROWS)
    every = pl.concat([some.with_columns(period=pl.lit(one + 1)) for one in range(PERIODS)])
    rows = data(fit.encode(every), nthread=1)

    _, ours, told = timed(lambda: explain_survival(fit, some))
    _, theirs, known = timed(lambda: fit.booster.predict(rows, pred_contribs=True))
    added = told.table.group_by("row", "period").agg(pl.col("contribution").sum() + pl.col("base").first())
    sums = added.sort("period", "row")["contribution"].to_numpy()
    np.testing.assert_allclose(sums, known.astype(float).sum(axis=1), rtol=1e-4, atol=1e-5)
    place = f"[f{fit.features.index('period')}<"
    asking = sum(place in tree for tree in fit.booster.get_dump())
    print(
        f"\n{'drivers change by week' if by_week else 'drivers stay'}: {ROWS:,} customers x {PERIODS} periods, "
        f"{len(fit.features)} features, {fit.rounds} trees, of which {asking} ask for the period: ours {ours:.2f} s, "
        f"xgboost {theirs:.2f} s of CPU, ratio {ours / theirs:.2f}"
    )
