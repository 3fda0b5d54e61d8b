"""Draws results on Axes and computes nothing. One function per result, named after it."""

from shoptoolkit.figures.accuracy import accuracy_by_day, calibration
from shoptoolkit.figures.behaviour import orders, rfm
from shoptoolkit.figures.curves import (
    cohorts,
    cumulative_incidence,
    cumulative_orders,
    difference,
    spells,
    survival_curve,
)
from shoptoolkit.figures.customers import customer_value, orders_forecast, p_alive
from shoptoolkit.figures.estimates import estimates
from shoptoolkit.figures.explain import beeswarm, importance_bar, reliability, waterfall
from shoptoolkit.figures.forecasts import backtest, backtest_pit, cohort_forecast, earliest_return
from shoptoolkit.figures.habits import affinity, lifecycle, rhythm
from shoptoolkit.figures.hazard import hazard
from shoptoolkit.figures.importances import importances, stability
from shoptoolkit.figures.incrementality import lift_over_time
from shoptoolkit.figures.null import null_importance
from shoptoolkit.figures.over_time import importance_over_time, interactions
from shoptoolkit.figures.paths import funnel, transitions
from shoptoolkit.figures.regression import hazard_ratios
from shoptoolkit.figures.style import end_labels, hero_axes, set_style, y_label
from shoptoolkit.figures.uplift import qini, targeting_curve, uplift_calibration

__all__ = [
    "accuracy_by_day",
    "affinity",
    "backtest",
    "backtest_pit",
    "beeswarm",
    "calibration",
    "cohort_forecast",
    "cohorts",
    "cumulative_incidence",
    "cumulative_orders",
    "customer_value",
    "difference",
    "earliest_return",
    "end_labels",
    "estimates",
    "funnel",
    "hazard",
    "hazard_ratios",
    "hero_axes",
    "importance_bar",
    "importance_over_time",
    "interactions",
    "importances",
    "lifecycle",
    "lift_over_time",
    "null_importance",
    "orders",
    "orders_forecast",
    "p_alive",
    "qini",
    "reliability",
    "rfm",
    "rhythm",
    "set_style",
    "spells",
    "stability",
    "survival_curve",
    "targeting_curve",
    "transitions",
    "uplift_calibration",
    "waterfall",
    "y_label",
]
