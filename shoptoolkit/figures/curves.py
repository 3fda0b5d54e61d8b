"""Draws what `survival` returns: the curve, the spells behind it, the cohorts.

`survival_curve`, `spells`, `cohorts`: a result and `ax=` in, Axes out.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import polars as pl

from shoptoolkit.contract import Spells, require
from shoptoolkit.figures.style import (
    FAINT,
    INK,
    MUTED,
    SERIES,
    TIDE,
    end_labels,
    in_percent,
    ink_on,
    look_of,
    new_axes,
    y_label,
)

if TYPE_CHECKING:
    from matplotlib.axes import Axes

    from shoptoolkit.survival import Cohorts, SurvivalCurve

_MOST_LABELLED = 18  # columns of a heat map that can carry numbers


def survival_curve(
    curve: SurvivalCurve,
    *,
    ax: Axes | None = None,
    returned: bool = False,
    until: float | None = None,
    truth: pl.DataFrame | None = None,
) -> Axes:
    """Draw the share not yet back by day, with its interval; one line per group, named at its end.

    Parameters
    ----------
    curve
        From `survival.kaplan_meier`.
    returned
        True draws the share who did buy again (one minus survival).
    until
        Last day drawn.
    truth
        Columns group, duration_days, survival: drawn as thin dotted lines.
    """
    ax = new_axes(ax)
    end = until or float(curve.table["duration_days"].max())  # type: ignore[arg-type]
    parts = curve.table.filter(pl.col("duration_days") <= end).partition_by("group", maintain_order=True)
    labels = []
    for place, part in enumerate(parts):
        colour, dash = look_of(place)
        days = part["duration_days"]
        line, low, high = (_side(part[name], returned) for name in ("survival", "survival_low", "survival_high"))
        ax.step(days, line, where="post", color=colour, linestyle=dash)
        ax.fill_between(days, low, high, step="post", color=colour, alpha=0.17, linewidth=0)
        group = part["group"][0]
        labels.append((float(days[-1]), float(line[-1]), "" if group == "all" and len(parts) == 1 else group, colour))
        if truth is not None:
            known = truth.filter((pl.col("group") == group) & (pl.col("duration_days") <= end))
            ax.plot(known["duration_days"], _side(known["survival"], returned), color=INK, lw=1.1, ls=(0, (1, 2)))
    ax.set(xlim=(0, end), ylim=(0, None if returned else 1), xlabel="Days since the order")
    in_percent(ax.yaxis)
    y_label(ax, "Share who bought again" if returned else "Share not yet back")
    end_labels(ax, labels)
    return ax


def _side(column: pl.Series, returned: bool) -> pl.Series:
    return 1 - column if returned else column


def spells(spells: Any, *, ax: Axes | None = None, most: int = 40) -> Axes:
    """Draw spells as lines from the order on: a dot where the customer bought again, an open end where not yet.

    At most `most` spells are drawn, evenly through the frame and longest on top; the frame's columns are those of
    Spells.
    """
    table = require(spells, Spells)
    drawn = table.gather_every(-(-len(table) // most)).sort("duration_days")
    ax = new_axes(ax)
    rows = range(len(drawn))
    back = drawn["repurchased"]
    colours = [SERIES["blue"] if came else FAINT for came in back]
    ax.hlines(rows, 0, drawn["duration_days"], colors=colours, linewidth=1.6)
    for came, marker, face, name in (
        (True, "o", SERIES["blue"], "bought again"),
        (False, "|", FAINT, "not yet back, still watched"),
    ):
        is_it = (back == came).to_list()
        days = [day for day, one in zip(drawn["duration_days"], is_it, strict=True) if one]
        ax.scatter(
            days,
            [row for row, one in zip(rows, is_it, strict=True) if one],
            marker=marker,
            color=face,
            s=30,
            label=name,
        )
    ax.set(xlim=(0, None), yticks=[], xlabel="Days since the order")
    ax.grid(False)
    ax.legend(loc="lower right")
    y_label(ax, f"{len(drawn)} of {len(table):,} customers, one line each")
    return ax


def cohorts(cohorts: Cohorts, *, ax: Axes | None = None) -> Axes:
    """Draw the share of each cohort that ordered in each period after its first, as a labelled heat map."""
    from matplotlib.colors import LinearSegmentedColormap
    from matplotlib.patches import Rectangle

    later = cohorts.table.filter(pl.col("period_number") > 0)
    starts = cohorts.table["cohort"].unique().sort()
    sizes = dict(cohorts.table.select("cohort", "n_customers").unique().rows())
    ax = new_axes(ax, figsize=(7.6, max(2.4, 0.36 * len(starts) + 0.9)))
    colours = LinearSegmentedColormap.from_list("tide", TIDE)
    top = float(later["share"].max() or 1.0)  # type: ignore[arg-type]
    row_of = {start: row for row, start in enumerate(starts)}
    last = int(later["period_number"].max() or 1)  # type: ignore[arg-type]
    for row in later.to_dicts():
        colour = colours(row["share"] / top)
        x, y = row["period_number"], row_of[row["cohort"]]
        ax.add_patch(Rectangle((x - 0.47, y - 0.46), 0.94, 0.92, color=colour, lw=0))
        if last <= _MOST_LABELLED:
            ax.text(x, y, f"{100 * row['share']:.0f}", ha="center", va="center", fontsize=9, color=ink_on(colour))
    ax.grid(False)
    names = [f"{start:%d %b %Y}" if cohorts.period == "week" else f"{start:%b %Y}" for start in starts]
    ax.set(xlim=(0.5, last + 0.5), ylim=(len(starts) - 0.5, -0.5), yticks=range(len(starts)))
    ax.set_xticks(range(1, last + 1, -(-last // _MOST_LABELLED)))
    ax.set_yticklabels(
        [f"{name}   n = {sizes[start]:,}" for name, start in zip(names, starts, strict=True)], color=MUTED
    )
    since = {"first_order": "first order", "first_seen": "first order seen"}[cohorts.cohort]
    ax.set_xlabel(f"{cohorts.period.capitalize()}s since the {since}")
    ax.tick_params(length=0)
    ax.spines["bottom"].set_visible(False)
    shown = "" if last <= _MOST_LABELLED else f"; darkest: {100 * top:.0f}"
    y_label(ax, f"Customers of the cohort who ordered in that {cohorts.period}, %{shown}")
    return ax
