"""Draws regressions of the days to the next order.

`hazard_ratios`: a `CoxFit` and `ax=` in, Axes out.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import numpy as np

from shoptoolkit.figures.style import FAINT, INK, MUTED, SERIES, new_axes, plain_numbers

if TYPE_CHECKING:
    from matplotlib.axes import Axes

    from shoptoolkit.survival import CoxFit


def hazard_ratios(fit: CoxFit, *, ax: Axes | None = None) -> Axes:
    """Draw one row per covariate: its hazard ratio with the interval, on a log axis; right of 1 is sooner back."""
    rows = fit.table.to_dicts()
    ax = new_axes(ax, figsize=(7.6, max(2.0, 0.5 * len(rows) + 1.1)))
    ax.set_xscale("log")
    ax.grid(False)
    ax.grid(True, axis="x")
    ax.axvline(1, color=FAINT, lw=1)
    right: dict[str, Any] = {"transform": ax.get_yaxis_transform(), "va": "center", "fontsize": 10.5}
    for place, row in enumerate(rows):
        low, ratio, high = np.exp(np.clip([row["low"], row["coefficient"], row["high"]], -300, 300)).tolist()
        ax.plot([low, high], [place, place], color=SERIES["blue"], lw=2.6, zorder=5)
        ax.plot(ratio, place, "o", ms=8, color=SERIES["blue"], mec="white", mew=1.2, zorder=6)
        digits = min(9, max(1, 1 - math.floor(math.log10(high - low))))
        numbers = f"{ratio:,.{digits}f}  ({low:,.{digits}f} to {high:,.{digits}f})"
        ax.text(1.02, place, numbers, color=INK, **right)
    ax.set(yticks=range(len(rows)), ylim=(len(rows) - 0.4, -0.8), xlabel="Hazard ratio (above 1: sooner back)")
    ax.set_yticklabels([row["covariate"].replace("=", ": ") for row in rows], color=INK, parse_math=False)
    _plain_ticks(ax)
    head = f"hazard ratio, {100 * fit.level:g} % interval"
    ax.text(1.02, -0.68, head, transform=ax.get_yaxis_transform(), color=MUTED, fontsize=10)
    return ax


def _plain_ticks(ax: Axes) -> None:
    """A few round numbers, as many as the axis has room for."""
    from matplotlib.ticker import LogLocator, MaxNLocator, NullLocator

    low, high = ax.get_xlim()
    if high / low < 3:
        ax.xaxis.set_major_locator(MaxNLocator("auto", steps=[1, 2, 2.5, 5, 10]))
    else:
        ax.xaxis.set_major_locator(LogLocator(subs=(1, 1.5, 2, 3, 5, 7) if high / low < 30 else (1.0,)))
    ax.xaxis.set_minor_locator(NullLocator())
    plain_numbers(ax.xaxis)
