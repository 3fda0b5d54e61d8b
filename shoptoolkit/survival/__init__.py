"""Spells -> curves, restricted means, cohorts: do customers come back, and when?"""

from shoptoolkit.survival.cohorts import Cohorts, cohorts
from shoptoolkit.survival.cox import CoxFit, fit_cox, schoenfeld_test
from shoptoolkit.survival.curves import SurvivalCurve, kaplan_meier
from shoptoolkit.survival.parametric import ParametricFit, fit_parametric
from shoptoolkit.survival.restricted_mean import restricted_mean, restricted_mean_difference
from shoptoolkit.survival.spells import repurchase_spells

__all__ = [
    "Cohorts",
    "CoxFit",
    "ParametricFit",
    "SurvivalCurve",
    "cohorts",
    "fit_cox",
    "fit_parametric",
    "kaplan_meier",
    "repurchase_spells",
    "restricted_mean",
    "restricted_mean_difference",
    "schoenfeld_test",
]
