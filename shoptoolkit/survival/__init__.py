"""Spells -> curves, restricted means, cohorts: do customers come back, and when?"""

from shoptoolkit.survival.cohorts import Cohorts, cohorts
from shoptoolkit.survival.competing import CumulativeIncidence, aalen_johansen
from shoptoolkit.survival.cox import CoxFit, fit_cox, schoenfeld_test
from shoptoolkit.survival.curves import Curve, SurvivalCurve, kaplan_meier
from shoptoolkit.survival.logrank import LogRank, logrank
from shoptoolkit.survival.parametric import ParametricFit, fit_parametric
from shoptoolkit.survival.recurrent import mean_cumulative_orders, mean_cumulative_orders_difference
from shoptoolkit.survival.restricted_mean import restricted_mean, restricted_mean_difference, restricted_mean_ratio
from shoptoolkit.survival.spells import repurchase_spells

__all__ = [
    "Cohorts",
    "CoxFit",
    "CumulativeIncidence",
    "Curve",
    "LogRank",
    "ParametricFit",
    "SurvivalCurve",
    "aalen_johansen",
    "cohorts",
    "fit_cox",
    "fit_parametric",
    "kaplan_meier",
    "logrank",
    "mean_cumulative_orders",
    "mean_cumulative_orders_difference",
    "repurchase_spells",
    "restricted_mean",
    "restricted_mean_difference",
    "restricted_mean_ratio",
    "schoenfeld_test",
]
