"""Draws what an experiment says while it runs, as its customers mature.

`lift_over_time`: an `OverTime` and `ax=` in, Axes out. Effects by day since the assignment: `difference`, in
curves.py.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from shoptoolkit.figures.style import FAINT, INK, SERIES, end_labels, new_axes, per_so_many, y_label

if TYPE_CHECKING:
    from matplotlib.axes import Axes

    from shoptoolkit.incrementality import OverTime


def lift_over_time(over: OverTime, *, ax: Axes | None = None, truth: float | None = None, per: float = 1) -> Axes:
    """Draw an effect as more and more customers mature: the line, what holds at every look, what holds at one alone.

    The shade is the interval that one may look at as often as one likes; the dashed lines are the ordinary one, which
    is made for a single look, planned before. `truth`: drawn as a thin dotted line. `per`: told per so
    many customers. One contrast at a time.
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
    ax.xaxis.set_major_formatter(lambda n, _: f"{n:,.0f}")
    metric = over.metric.replace("_", " ")
    said = f"{metric} per {per_so_many(ax.yaxis, per)}"
    y_label(ax, f"Effect so far, {said}, {100 * over.level:g} % intervals")
    labels = [(last["n"], last["high"], "at any look", blue), (last["n"], last["fixed_high"], "at one look", clay)]
    end_labels(ax, labels)
    return ax
