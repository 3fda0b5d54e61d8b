"""How good are predicted returns: who before whom, how far off, and whether shares come true.

`concordance` ranks, `scores` measures by day, `calibration` compares; `censoring` weighs for customers not followed to
the end, `kernels` counts pairs.
"""

from shoptoolkit.survival.accuracy.calibration import Calibration, DCalibration, calibration, d_calibration
from shoptoolkit.survival.accuracy.concordance import concordance
from shoptoolkit.survival.accuracy.scores import auc_at, brier

__all__ = [
    "Calibration",
    "DCalibration",
    "auc_at",
    "brier",
    "calibration",
    "concordance",
    "d_calibration",
]
