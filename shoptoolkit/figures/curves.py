"""Draws what `survival` returns: the curves, the spells behind them, the cohorts.

`survival_curve`, `cumulative_incidence`, `cumulative_orders`, `difference`, `spells`, `cohorts`: a result and `ax=` in,
Axes out.
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
    per_so_many,
    y_label,
)

if TYPE_CHECKING:
    from matplotlib.axes import Axes

    from shoptoolkit.survival import Cohorts, CumulativeIncidence, Curve, SurvivalCurve

_MOST_LABELLED = 18  # columns of a heat map that can carry numbers


def survival_curve(
    curve: SurvivalCurve,
    *,
    ax: Axes | None = None,
    returned: bool = False,
    band: bool = False,
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
    band
        True draws the simultaneous band too, paler than the interval.
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
        names = ["survival", "survival_low", "survival_high", *(["band_low", "band_high"] if band else [])]
        group = part["group"][0]
        name = "" if group == "all" and len(parts) == 1 else group
        sides = [_side(part[name], returned) for name in names]
        labels.append(_steps(ax, part["duration_days"], *sides, colour=colour, dash=dash, name=name))
        _dotted(ax, truth, group, 1 - pl.col("survival") if returned else "survival", end)
    ax.set(xlim=(0, end), ylim=(0, None if returned else 1), xlabel="Days since the order")
    in_percent(ax.yaxis)
    share = "Share who bought again" if returned else "Share not yet back"
    y_label(ax, f"{share}, {100 * curve.level:g} % interval, n = {curve.n:,}")
    end_labels(ax, labels)
    return ax


def cumulative_incidence(incidence: CumulativeIncidence, *, ax: Axes | None = None, until: float | None = None) -> Axes:
    """Draw the share ended by each cause by day, with its interval: a colour per cause, a dash per group.

    `incidence`: from `survival.aalen_johansen`. `until`: last day drawn.
    """
    ax = new_axes(ax)
    end = until or float(incidence.table["duration_days"].max())  # type: ignore[arg-type]
    table = incidence.table.filter(pl.col("duration_days") <= end)
    causes, groups = (table[name].unique(maintain_order=True).to_list() for name in ("cause", "group"))
    labels = []
    for (group, cause), part in table.group_by("group", "cause", maintain_order=True):
        colour, dash = look_of(causes.index(cause))[0], look_of(groups.index(group))[1]
        name = str(cause) if len(groups) == 1 else f"{cause}, {group}"
        columns = [part[name] for name in ("duration_days", "incidence", "incidence_low", "incidence_high")]
        labels.append(_steps(ax, *columns, colour=colour, dash=dash, name=name))
    ax.set(xlim=(0, end), ylim=(0, None), xlabel="Days since the order")
    in_percent(ax.yaxis)
    y_label(ax, f"Share ended by then, {100 * incidence.level:g} % interval, n = {incidence.n:,}")
    end_labels(ax, labels)
    return ax


def cumulative_orders(
    curve: Curve,
    *,
    ax: Axes | None = None,
    band: bool = True,
    until: float | None = None,
    truth: pl.DataFrame | None = None,
) -> Axes:
    """Draw mean orders by day, or their difference between groups: the line, its interval and the paler band.

    `curve`: from `survival.mean_cumulative_orders` or its difference. `until`: last day drawn. `truth`: columns group,
    duration_days, mean_cumulative_orders, drawn as thin dotted lines.
    """
    ax = _curve(curve, ax, band, until, truth, "mean_cumulative_orders")
    ax.set(xlabel=f"Days since the first order, n = {curve.n:,}")
    return ax


def difference(
    curve: Curve,
    *,
    ax: Axes | None = None,
    band: bool = True,
    until: float | None = None,
    truth: pl.DataFrame | None = None,
    since: str = "the assignment",
    mark: tuple[float, str] | None = None,
    per: float = 1,
) -> Axes:
    """Draw how far arms are apart from the control by day: the line, its interval and the paler band, about 0.

    `curve`: `.survival` or `.orders` of `incrementality.repurchase_lift`, or `survival.survival_difference`. `until`:
    last day drawn. `truth`: columns group ("arm - control"), duration_days, difference, drawn as thin dotted lines.
    `since`: what the days are counted from. `mark`: a day and its name, such as (21, "end of the flight"), drawn as an
    upright line. `per`: orders are told per so many customers.
    """
    ax = _curve(curve, ax, band, until, truth, "difference")
    if mark:
        ax.axvline(mark[0], color=FAINT, lw=1, ls=(0, (3, 2)))
        where: dict[str, Any] = {"transform": ax.get_xaxis_transform(), "color": MUTED, "fontsize": 10}
        ax.text(mark[0], 0.02, f"  {mark[1]}", **where)
    ax.set(xlabel=f"Days since {since}, n = {curve.n:,}")
    if "share" in curve.estimand:
        in_percent(ax.yaxis)
    elif per != 1:
        told = curve.estimand.replace("per customer", f"per {per_so_many(ax.yaxis, per)}")
        y_label(ax, f"{told.capitalize()}, {100 * curve.level:g} % interval")
    return ax


def _curve(
    curve: Curve, ax: Axes | None, band: bool, until: float | None, truth: pl.DataFrame | None, true: str
) -> Axes:
    """A line per group with interval, band and the truth, which the column `true` tells."""
    ax = new_axes(ax)
    end = until or float(curve.table["duration_days"].max())  # type: ignore[arg-type]
    parts = curve.table.filter(pl.col("duration_days") <= end).partition_by("group", maintain_order=True)
    names = ["duration_days", "estimate", "low", "high", *(["band_low", "band_high"] if band else [])]
    labels = []
    for place, part in enumerate(parts):
        (colour, dash), group = look_of(place), str(part["group"][0])
        name = "" if len(parts) == 1 and group == "all" else group
        labels.append(_steps(ax, *(part[one] for one in names), colour=colour, dash=dash, name=name))
        _dotted(ax, truth, group, true, end)
    ax.axhline(0, color=FAINT, lw=1)
    ax.set(xlim=(0, end))
    y_label(ax, f"{curve.estimand.capitalize()}, {100 * curve.level:g} % interval")
    end_labels(ax, labels)
    return ax


def _steps(
    ax: Axes, days: pl.Series, line: pl.Series, *bounds: pl.Series, colour: str, dash: Any, name: str
) -> tuple[float, float, str, str]:
    """A step function with its interval and, paler, its band; gives the label of its end."""
    ax.step(days, line, where="post", color=colour, linestyle=dash)
    for low, high, ink in zip(bounds[::2], bounds[1::2], (0.17, 0.1)):
        ax.fill_between(days, low, high, step="post", color=colour, alpha=ink, linewidth=0)
    return float(days[-1]), float(line[-1]), name, colour


def _dotted(ax: Axes, truth: pl.DataFrame | None, group: str, line: str | pl.Expr, end: float) -> None:
    """A group's true line, where it is known."""
    if truth is not None:
        known = truth.filter((pl.col("group") == group) & (pl.col("duration_days") <= end))
        ax.plot(*known.select("duration_days", y=line).get_columns(), color=INK, lw=1.1, ls=(0, (1, 2)))


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
    for came, marker, colour, name in (
        (True, "o", SERIES["blue"], "bought again"),
        (False, "|", FAINT, "not yet back when the log ends"),
    ):
        some = drawn.with_row_index("row").filter(repurchased=came)
        ax.scatter(some["duration_days"], some["row"], marker=marker, color=colour, s=30)
        if len(some):  # one in the middle is named: those below it are shorter, and leave room
            line: dict[str, Any] = {"arrowstyle": "-", "color": colour, "relpos": (0, 0.5), "shrinkB": 4}
            below: dict[str, Any] = {"textcoords": "offset points", "va": "center", "weight": "bold"}
            end, ink = some.select("duration_days", "row").row(len(some) // 2), MUTED if colour == FAINT else colour
            ax.annotate(name, end, (30, -14), color=ink, arrowprops=line, **below)
    ax.set(xlim=(0, None), yticks=[], xlabel="Days since the order")
    ax.grid(False)
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
    y_label(ax, f"Share who ordered in that {cohorts.period}, %{shown}")
    return ax
