"""Published Brier scores, to the digits that were printed. Source: SOURCES.md."""

from __future__ import annotations

import numpy as np
import polars as pl
import pytest
from sksurv.datasets import load_gbsg2

from shoptoolkit.survival import brier, kaplan_meier

YEARS = {365.0: 0.0763, 730.0: 0.1825, 1095.0: 0.2200, 1460.0: 0.2341, 1825.0: 0.2338}


@pytest.mark.reference
def test_brier_scores_of_the_nottingham_strata_are_those_published():
    patients, outcome = load_gbsg2()
    grade = patients["tgrade"].map({"I": 1, "II": 2, "III": 3}).astype(int)
    index = (0.2 * patients["tsize"] / 10 + 1 + grade).to_numpy()
    columns = {"duration_days": outcome["time"], "repurchased": outcome["cens"]}
    spells = pl.DataFrame({"customer_id": np.arange(686), **columns, "stratum": (index >= 3.4) * 1 + (index > 5.4)})
    curve = kaplan_meier(spells, by="stratum").at(list(YEARS)).select("group", "duration_days", "survival")
    predicted = spells.select("customer_id", group=pl.col("stratum").cast(pl.String)).join(curve, on="group")
    *years, mean = brier(spells, predicted, days=list(YEARS), ties="pec").table["estimate"]
    assert np.round(years, 4).tolist() == list(YEARS.values())
    assert round(mean, 5) == 0.19794
    exact = brier(spells, predicted, days=list(YEARS)).table["estimate"]  # our default, right on whole days
    assert exact.to_list() == pytest.approx([*years, mean], abs=2e-4)
