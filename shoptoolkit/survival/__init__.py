"""Spells -> curves, restricted means, cohorts: do customers come back, and when?"""

from shoptoolkit.survival.cohorts import Cohorts, cohorts
from shoptoolkit.survival.curves import SurvivalCurve, kaplan_meier
from shoptoolkit.survival.hazard import fit_hazard
from shoptoolkit.survival.hazard_fit import HazardFit, load_hazard
from shoptoolkit.survival.landmarks import landmark_spells
from shoptoolkit.survival.restricted_mean import restricted_mean, restricted_mean_difference
from shoptoolkit.survival.spells import repurchase_spells

__all__ = [
    "Cohorts",
    "HazardFit",
    "SurvivalCurve",
    "cohorts",
    "fit_hazard",
    "kaplan_meier",
    "landmark_spells",
    "load_hazard",
    "repurchase_spells",
    "restricted_mean",
    "restricted_mean_difference",
]
