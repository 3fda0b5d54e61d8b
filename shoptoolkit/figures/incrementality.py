"""Draws what an experiment says over time: as its customers mature, and by day since the assignment.

`lift_over_time`, `difference`: a result of `incrementality` and `ax=` in, Axes out.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import polars as pl

from shoptoolkit.figures.style import FAINT, INK, MUTED, SERIES, end_labels, in_percent, new_axes, y_label

if TYPE_CHECKING:
    from matplotlib.axes import Axes

    from shoptoolkit.incrementality import OverTime
    from shoptoolkit.survival import Curve


def lift_over_time(over: OverTime, *, ax: Axes | None = None, truth: float | None = None) -> Axes:
    """Draw an effect as more and more customers mature: the line, what holds at every look, what holds at one alone.

    The shade is the interval that one may look at as often as one likes; the dashed lines are the ordinary one, which
    is made for a single look, planned before. `truth`: drawn as a thin dotted line. One contrast at a time.
    """
    if (groups := over.table["group"].unique()).len() != 1:
        said = f"the contrasts {', '.join(groups.sort())}; filter its table to one" if len(groups) else "no look"
        raise ValueError(f"over has {said}.")
    ax, blue, clay, told = new_axes(ax), SERIES["blue"], SERIES["clay"], over.table
    ax.fill_between(told["n"], told["low"], told["high"], color=blue, alpha=0.17, lw=0)
    ax.plot(told["n"], told["estimate"], color=blue)
    for side in ("fixed_low", "fixed_high"):
        ax.plot(told["n"], told[side], color=clay, lw=1.3, ls=(0, (6, 2)))
    ax.axhline(0, color=FAINT, lw=1)
    if truth is not None:
        ax.axhline(truth, color=INK, lw=1.1, ls=(0, (1, 2)))
    last = told.row(-1, named=True)
    reach = 1.6 * max(abs(last["low"]), abs(last["high"]))
    ax.set(ylim=(-reach, reach), xlim=(0, last["n"]), xlabel="Customers whose whole window has passed")
    ax.xaxis.set_major_formatter(lambda n, _: f"{n:,.0f}".replace(",", "\u2009"))
    y_label(ax, f"Effect so far, {100 * over.level:g} % intervals")
    labels = [(last["n"], last["high"], "at any look", blue), (last["n"], last["fixed_high"], "at one look", clay)]
    end_labels(ax, labels)
    return ax


def difference(
    curve: Curve,
    *,
    ax: Axes | None = None,
    mark: tuple[float, str] | None = None,
    truth: pl.DataFrame | None = None,
    share: bool = False,
) -> Axes:
    """Draw the difference between two arms by day since the assignment: line, interval of each day, paler band of all.

    Parameters
    ----------
    curve
        Of one contrast: `.survival` or `.orders` of `incrementality.repurchase_lift`.
    mark
        A day and its name, drawn as an upright line: (21, "end of the flight").
    truth
        Columns duration_days, estimate: drawn as a thin dotted line.
    share
        True if the difference is one of shares, to be told in percentage points.
    """
    if (groups := curve.table["group"].unique()).len() > 1:
        raise ValueError(f"curve has the contrasts {', '.join(groups.sort())}; filter its table to one.")
    ax, blue, table = new_axes(ax), SERIES["blue"], curve.table
    days = table["duration_days"]
    for low, high, ink in (("low", "high", 0.17), ("band_low", "band_high", 0.1)):
        ax.fill_between(days, table[low], table[high], step="post", color=blue, alpha=ink, lw=0)
    ax.step(days, table["estimate"], where="post", color=blue)
    ax.axhline(0, color=FAINT, lw=1)
    if truth is not None:
        ax.plot(truth["duration_days"], truth["estimate"], color=INK, lw=1.1, ls=(0, (1, 2)))
    if mark is not None:
        ax.axvline(mark[0], color=FAINT, lw=1, ls=(0, (3, 2)))
        place = {"xycoords": ("data", "axes fraction"), "textcoords": "offset points"}
        ax.annotate(mark[1], (mark[0], 0.02), (5, 0), color=MUTED, fontsize=10, **place)  # type: ignore[arg-type]
    ax.set(xlim=(0, days.max()), xlabel="Days since the assignment")
    if share:
        in_percent(ax.yaxis)
    said = curve.estimand[:1].upper() + curve.estimand[1:]
    y_label(ax, f"{said}, {100 * curve.level:g} % interval")
    return ax
