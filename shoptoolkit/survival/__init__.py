"""Spells -> curves, restricted means, cohorts: do customers come back, and when?"""

from shoptoolkit.survival.adapters import conversion_spells, win_price_spells
from shoptoolkit.survival.backtest import Backtest, backtest
from shoptoolkit.survival.buy_till_you_die import OrdersFit, fit_orders
from shoptoolkit.survival.cohort_fits import CohortFit, fit_cohorts
from shoptoolkit.survival.cohorts import Cohorts, cohorts
from shoptoolkit.survival.conformal import EarliestReturn, earliest_return
from shoptoolkit.survival.curves import SurvivalCurve, kaplan_meier
from shoptoolkit.survival.restricted_mean import restricted_mean, restricted_mean_difference
from shoptoolkit.survival.spells import repurchase_spells
from shoptoolkit.survival.spend import SpendFit, fit_spend
from shoptoolkit.survival.summaries import summarise_orders
from shoptoolkit.survival.value import CustomerValue, customer_value

__all__ = [
    "Backtest",
    "CohortFit",
    "Cohorts",
    "CustomerValue",
    "EarliestReturn",
    "OrdersFit",
    "SpendFit",
    "SurvivalCurve",
    "backtest",
    "cohorts",
    "conversion_spells",
    "customer_value",
    "earliest_return",
    "fit_cohorts",
    "fit_orders",
    "fit_spend",
    "kaplan_meier",
    "repurchase_spells",
    "restricted_mean",
    "restricted_mean_difference",
    "summarise_orders",
    "win_price_spells",
]
