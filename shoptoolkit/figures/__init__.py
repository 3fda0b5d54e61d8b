"""Draws results on Axes and computes nothing. One function per result, named after it."""

from shoptoolkit.figures.behaviour import orders, rfm
from shoptoolkit.figures.curves import cohorts, spells, survival_curve
from shoptoolkit.figures.estimates import estimates
from shoptoolkit.figures.explain import beeswarm, importance_bar, reliability, waterfall
from shoptoolkit.figures.hazard import hazard
from shoptoolkit.figures.style import end_labels, hero_axes, set_style, y_label

__all__ = [
    "beeswarm",
    "cohorts",
    "end_labels",
    "estimates",
    "hazard",
    "hero_axes",
    "importance_bar",
    "orders",
    "reliability",
    "rfm",
    "set_style",
    "spells",
    "survival_curve",
    "waterfall",
    "y_label",
]
