"""What a propensity missed, row by row: the log-loss, by its definition and by scikit-learn."""

from __future__ import annotations

from datetime import datetime, timedelta

import numpy as np
import polars as pl
import pytest
from sklearn.metrics import log_loss

from shoptoolkit.behaviour import fit_propensity
from shoptoolkit.contract import ContractError

RNG = np.random.default_rng(0)
N = 2_000
X = RNG.normal(size=N)
FRAME = pl.DataFrame(
    {
        "customer_id": np.arange(N) // 2,
        "as_of": [datetime(2025, 1, 1) + timedelta(days=30 * (i % 2)) for i in range(N)],
        "visits": X,
        "bought": RNG.random(N) < 1 / (1 + np.exp(-X)),
    }
)
HOW = {"split_at": "2025-01-15", "rng": 1, "rounds": 30, "replicates": 40}


@pytest.mark.parametrize("calibration", ["none", "isotonic"])
def test_losses_are_of_the_calibrated_probability(calibration):
    fit = fit_propensity(FRAME, "bought", calibration=calibration, **HOW)
    chance, outcome = fit.predict(FRAME)["probability"].to_numpy(), FRAME["bought"].to_numpy()
    np.testing.assert_allclose(fit.losses(FRAME), -np.log(np.where(outcome, chance, 1 - chance)), rtol=1e-9)
    assert fit.losses(FRAME).mean() == pytest.approx(log_loss(outcome, chance), rel=1e-9)
    test = FRAME.filter(pl.col("as_of") > datetime(2025, 1, 15))
    assert fit.losses(test).mean() == pytest.approx(fit.accuracy.table["estimate"][2], rel=1e-9)


FIT = fit_propensity(FRAME, "bought", **HOW)


def test_a_frame_of_one_outcome_has_losses_too():
    bought = FRAME.filter("bought")
    np.testing.assert_allclose(FIT.losses(bought), FIT.losses(FRAME)[FRAME["bought"].to_numpy()], rtol=1e-9)
    assert FIT.losses(FRAME.with_columns(pl.col("bought").cast(pl.Int8))).tolist() == FIT.losses(FRAME).tolist()


@pytest.mark.parametrize(
    ("frame", "told"),
    [
        (FRAME.drop("bought"), "the outcome 'bought' is missing. It has: customer_id, as_of, visits"),
        (FRAME.with_columns(bought=pl.lit(None, pl.Boolean)), "the outcome 'bought' is null in 2,000 rows"),
        (FRAME.with_columns(bought=2), "neither 0 nor 1 in 2,000 rows"),
        (FRAME.with_columns(bought=pl.lit("yes")), "is String, must be Boolean or 0/1"),
        (FRAME.drop("visits"), "'visits' is missing"),
    ],
)
def test_what_cannot_be_judged_is_refused(frame, told):
    with pytest.raises(ContractError, match=told):
        FIT.losses(frame)
