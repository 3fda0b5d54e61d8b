"""Draws the chance of each period that the wait ends in it: what the trees say beside what was seen."""

from __future__ import annotations

from typing import TYPE_CHECKING

import polars as pl

from shoptoolkit.figures.style import end_labels, in_percent, look_of, new_axes, y_label

if TYPE_CHECKING:
    from matplotlib.axes import Axes

    from shoptoolkit.survival import HazardFit


def hazard(fit: HazardFit, *, ax: Axes | None = None) -> Axes:
    """Draw predicted hazards as lines and observed ones as dots with their intervals, a colour per cause.

    Both are of the part that stopped the trees; periods in which nobody was at risk are left out.
    """
    ax, labels = new_axes(ax), []
    for place, cause in enumerate(fit.causes):
        part = fit.table.filter((pl.col("cause") == cause) & (pl.col("n_at_risk") > 0))
        days, colour = part["until_days"], look_of(place)[0]
        ax.plot(days, part["predicted"], color=colour)
        ax.vlines(days, part["low"], part["high"], color=colour, lw=1.4, alpha=0.5)
        ax.plot(days, part["observed"], "o", ms=5, color=colour, mec="white", mew=0.8)
        labels.append((float(days[-1]), float(part["predicted"][-1]), cause, colour))
    ax.set(xlim=(0, fit.period_days * (fit.periods + 0.3)), ylim=(0, None), xlabel="Days waited, end of the period")
    in_percent(ax.yaxis)
    y_label(ax, f"Share of those still waiting, per {fit.period_days:g} days: line predicted, dots observed")
    end_labels(ax, labels)
    return ax
