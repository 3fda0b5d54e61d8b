"""Spells -> curves, restricted means, cohorts: do customers come back, and when?"""

from shoptoolkit.survival.accuracy import auc_at, brier
from shoptoolkit.survival.adapters import conversion_spells, win_price_spells
from shoptoolkit.survival.backtest import Backtest, backtest
from shoptoolkit.survival.buy_till_you_die import OrdersFit, fit_orders
from shoptoolkit.survival.calibration import Calibration, DCalibration, calibration, d_calibration
from shoptoolkit.survival.cohort_fits import CohortFit, fit_cohorts
from shoptoolkit.survival.cohorts import Cohorts, cohorts
from shoptoolkit.survival.competing import CumulativeIncidence, aalen_johansen
from shoptoolkit.survival.concordance import concordance
from shoptoolkit.survival.conformal import EarliestReturn, earliest_return
from shoptoolkit.survival.cox import CoxFit, fit_cox, schoenfeld_test
from shoptoolkit.survival.curves import Curve, SurvivalCurve, kaplan_meier
from shoptoolkit.survival.hazard import fit_hazard
from shoptoolkit.survival.hazard_fit import HazardFit, load_hazard
from shoptoolkit.survival.landmarks import landmark_spells
from shoptoolkit.survival.logrank import LogRank, logrank
from shoptoolkit.survival.parametric import ParametricFit, fit_parametric
from shoptoolkit.survival.recurrent import mean_cumulative_orders, mean_cumulative_orders_difference
from shoptoolkit.survival.restricted_mean import restricted_mean, restricted_mean_difference, restricted_mean_ratio
from shoptoolkit.survival.spells import repurchase_spells
from shoptoolkit.survival.spend import SpendFit, fit_spend
from shoptoolkit.survival.summaries import summarise_orders
from shoptoolkit.survival.value import CustomerValue, customer_value

__all__ = [
    "Backtest",
    "Calibration",
    "CohortFit",
    "Cohorts",
    "CoxFit",
    "CumulativeIncidence",
    "Curve",
    "CustomerValue",
    "DCalibration",
    "EarliestReturn",
    "LogRank",
    "OrdersFit",
    "ParametricFit",
    "SpendFit",
    "HazardFit",
    "SurvivalCurve",
    "aalen_johansen",
    "auc_at",
    "backtest",
    "brier",
    "calibration",
    "cohorts",
    "concordance",
    "conversion_spells",
    "customer_value",
    "d_calibration",
    "earliest_return",
    "fit_cohorts",
    "fit_cox",
    "fit_orders",
    "fit_parametric",
    "fit_spend",
    "kaplan_meier",
    "logrank",
    "mean_cumulative_orders",
    "mean_cumulative_orders_difference",
    "fit_hazard",
    "landmark_spells",
    "load_hazard",
    "repurchase_spells",
    "restricted_mean",
    "restricted_mean_difference",
    "restricted_mean_ratio",
    "schoenfeld_test",
    "summarise_orders",
    "win_price_spells",
]
