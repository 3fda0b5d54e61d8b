"""Cox regression on the recidivism data of Rossi, as published. Source: SOURCES.md."""

from __future__ import annotations

from pathlib import Path

import lifelines.datasets
import polars as pl
import pytest

from shoptoolkit.survival import fit_cox

PUBLISHED = pl.read_csv(Path(__file__).parent / "cox.csv").to_dicts()


@pytest.mark.reference
def test_rossi_is_as_published():
    data = lifelines.datasets.load_rossi().reset_index(names="customer_id")
    covariates = ["fin", "age", "race", "wexp", "mar", "paro", "prio"]
    fit = fit_cox(data, covariates=covariates, duration="week", repurchased="arrest")
    table = {row["covariate"]: row for row in fit.table.to_dicts()}
    for row in PUBLISHED:
        told = table[row["covariate"]]
        assert round(told["coefficient"], 4) == row["coefficient"]
        assert round(told["standard_error"], 4) == row["standard_error"]
    assert round(fit.log_likelihood, 4) == -658.7477
