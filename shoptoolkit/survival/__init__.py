"""Do customers come back, when, how often, and what are they worth? From orders to a forecast that was judged.

spells        `repurchase_spells` (from orders), `landmark_spells` (from a request on), `conversion_spells` and
              `win_price_spells` (other waits): one row per wait, False = not seen to end
curves        `kaplan_meier`, `aalen_johansen` (several ends), `mean_cumulative_orders` (all orders); these compare
              groups: `survival_difference`, `mean_cumulative_orders_difference`, `logrank`, `restricted_mean` with its
              `_difference` and `_ratio`
regressions   `fit_cox` (`schoenfeld_test`), `fit_parametric` (goes on beyond the log), `fit_hazard` (trees;
              `load_hazard`): each has `.predict_survival(frame, days=...)`
orders        `summarise_orders` -> `fit_orders`, `fit_spend` -> `customer_value`; `cohorts` shows, `fit_cohorts`
              forecasts contracts
accuracy      `concordance`, `brier`, `auc_at`, `calibration`, `d_calibration` judge survival, `backtest` orders
numbers       `pseudo_values`: the days until the next order, one number per customer
decisions     `earliest_return`: before which day a customer is not back

Column names are options, defaults the contract's. Times are days, intervals have the coverage `level`, `by` splits
into groups, `cluster` names rows that depend on each other, `rng` is a seed or Generator. A result has a long `table`.
"""

from shoptoolkit.survival.accuracy import (
    Calibration,
    DCalibration,
    auc_at,
    brier,
    calibration,
    concordance,
    d_calibration,
)
from shoptoolkit.survival.adapters import conversion_spells, win_price_spells
from shoptoolkit.survival.cohort_fits import CohortFit, fit_cohorts
from shoptoolkit.survival.cohorts import Cohorts, cohorts
from shoptoolkit.survival.competing import CumulativeIncidence, aalen_johansen
from shoptoolkit.survival.conformal import EarliestReturn, earliest_return
from shoptoolkit.survival.cox import CoxFit, fit_cox, schoenfeld_test
from shoptoolkit.survival.curves import Curve, SurvivalCurve, kaplan_meier
from shoptoolkit.survival.differences import survival_difference
from shoptoolkit.survival.hazard import HazardFit, fit_hazard, load_hazard
from shoptoolkit.survival.landmarks import landmark_spells
from shoptoolkit.survival.logrank import LogRank, logrank
from shoptoolkit.survival.orders import (
    Backtest,
    CustomerValue,
    OrdersFit,
    SpendFit,
    backtest,
    customer_value,
    fit_orders,
    fit_spend,
    summarise_orders,
)
from shoptoolkit.survival.parametric import ParametricFit, fit_parametric
from shoptoolkit.survival.pseudo_values import pseudo_values
from shoptoolkit.survival.recurrent import mean_cumulative_orders, mean_cumulative_orders_difference
from shoptoolkit.survival.restricted_mean import restricted_mean, restricted_mean_difference, restricted_mean_ratio
from shoptoolkit.survival.spells import repurchase_spells

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
    "HazardFit",
    "LogRank",
    "OrdersFit",
    "ParametricFit",
    "SpendFit",
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
    "fit_hazard",
    "fit_orders",
    "fit_parametric",
    "fit_spend",
    "kaplan_meier",
    "landmark_spells",
    "load_hazard",
    "logrank",
    "mean_cumulative_orders",
    "mean_cumulative_orders_difference",
    "pseudo_values",
    "repurchase_spells",
    "restricted_mean",
    "restricted_mean_difference",
    "restricted_mean_ratio",
    "schoenfeld_test",
    "summarise_orders",
    "survival_difference",
    "win_price_spells",
]
