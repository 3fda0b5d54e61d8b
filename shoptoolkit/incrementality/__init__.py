"""What an ad changed: experiments, repurchase, uplift, and the ledger that keeps all answers beside each other."""

from shoptoolkit.incrementality.uplift import UpliftFit, fit_uplift
from shoptoolkit.incrementality.uplift_calibration import UpliftCalibration, uplift_calibration

__all__ = [
    "UpliftCalibration",
    "UpliftFit",
    "fit_uplift",
    "uplift_calibration",
]
