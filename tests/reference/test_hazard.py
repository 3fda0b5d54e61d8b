"""Discrimination of the discrete-time hazard on the published splits of METABRIC and SUPPORT. Sources: SOURCES.md."""

from __future__ import annotations

import numpy as np
import polars as pl
import pytest
from lifelines.utils import concordance_index

from shoptoolkit.survival import fit_hazard


@pytest.mark.reference
@pytest.mark.parametrize(("data", "period_days", "least"), [("metabric", 12.0, 0.645), ("support", 30.0, 0.615)])
def test_untuned_hazards_rank_as_well_as_published(public_data, data, period_days, least):
    """Durations are months (a period is a year) and days (a month). Mean over five seeds of Harrell's C."""
    table = pl.read_parquet(public_data(f"survival_ref/{data}.parquet")).with_row_index("customer_id")
    table = table.with_columns(repurchased=pl.col("event") == 1, duration_days=pl.col("duration").clip(0.5))
    train, test = (
        table.filter(is_it).drop("split", "event", "duration")
        for is_it in (pl.col("split") == "train", pl.col("split") == "test")
    )
    found = []
    for seed in range(5):
        fit = fit_hazard(train, rng=seed, period_days=period_days)
        days = np.linspace(0, fit.periods * fit.period_days, 10)[1:]
        still = fit.predict_survival(test, days=days)["survival"].to_numpy().reshape(len(test), -1).sum(axis=1)
        found.append(concordance_index(test["duration_days"], still, test["repurchased"]))
    assert np.mean(found) >= least
