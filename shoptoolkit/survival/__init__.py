"""Spells -> curves, restricted means, cohorts: do customers come back, and when?"""

from shoptoolkit.survival.accuracy import auc_at, brier
from shoptoolkit.survival.calibration import Calibration, DCalibration, calibration, d_calibration
from shoptoolkit.survival.cohorts import Cohorts, cohorts
from shoptoolkit.survival.concordance import concordance
from shoptoolkit.survival.curves import SurvivalCurve, kaplan_meier
from shoptoolkit.survival.restricted_mean import restricted_mean, restricted_mean_difference
from shoptoolkit.survival.spells import repurchase_spells

__all__ = [
    "Calibration",
    "Cohorts",
    "DCalibration",
    "SurvivalCurve",
    "auc_at",
    "brier",
    "calibration",
    "cohorts",
    "concordance",
    "d_calibration",
    "kaplan_meier",
    "repurchase_spells",
    "restricted_mean",
    "restricted_mean_difference",
]
