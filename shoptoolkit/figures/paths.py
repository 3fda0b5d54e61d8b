"""Draws how customers move: the steps of a funnel, and what follows what.

`funnel`, `transitions`: a result of `features` and `ax=` in, Axes out.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import polars as pl

from shoptoolkit.contract.check import choose
from shoptoolkit.figures.style import INK, MUTED, TIDE, in_percent, ink_on, look_of, new_axes, y_label

if TYPE_CHECKING:
    from matplotlib.axes import Axes

    from shoptoolkit.features import Funnel, Transitions

_MOST_STATES = 20


def funnel(funnel: Funnel, *, ax: Axes | None = None) -> Axes:
    """Draw how many customers made each step, by group: share with its interval, number, median time since the first.

    Shares are of those who made the first step, whose bars carry the groups' names.
    """
    rows = funnel.table.to_dicts()
    groups = funnel.table["group"].unique(maintain_order=True).to_list()
    last = max(row["step_number"] for row in rows)
    ax = new_axes(ax, figsize=(7.6, last * (0.3 * len(groups) + 0.2) + 0.9))
    for row in rows:
        middle = row["step_number"] - 1 + 0.8 * (groups.index(row["group"]) + 0.5) / len(groups) - 0.4
        _bar(ax, row, middle, height=0.74 / len(groups), colour=look_of(groups.index(row["group"]))[0])
    ax.grid(False)
    ax.set(xlim=(0, 1), ylim=(last - 0.5, -0.5), xticks=(0, 0.5, 1), yticks=range(last))
    ax.set_yticklabels([row["step"] for row in rows[:last]], color=INK, parse_math=False)
    in_percent(ax.xaxis)
    told = f"Share ({100 * funnel.level:g} % interval) of those who made\n"  # two lines: one is too long for a phone
    told += f"the first step; within {funnel.within_hours:g} hours"
    ax.set_xlabel(told, loc="left")
    head = "customers, share, median time"
    ax.annotate(head, (1, 1), (9, 9), xycoords="axes fraction", textcoords="offset points", color=MUTED, fontsize=10)
    return ax


def _bar(ax: Axes, row: dict[str, Any], middle: float, *, height: float, colour: str) -> None:
    told: dict[str, Any] = {"va": "center", "fontsize": 10, "parse_math": False}
    beside = f"{row['n_customers']:,}"
    if row["share"] is not None:
        ax.barh(middle, row["share"], height=height, color=colour, alpha=0.85, lw=0)
        if row["step_number"] > 1:
            ax.plot([row["low"], row["high"]], [middle, middle], color=INK, lw=1.6, solid_capstyle="butt")
            beside += "   {:.1f} % ({:.1f} to {:.1f})".format(*(100 * row[name] for name in ("share", "low", "high")))
        elif row["group"] != "all":
            ax.text(0.01, middle, row["group"], color="white", weight="bold", **told)
    if row["step_number"] > 1 and row["median_hours"] is not None:
        beside += f"   {_duration(row['median_hours'])}"
    ax.text(1.02, middle, beside, color=INK, transform=ax.get_yaxis_transform(), **told)


def _duration(hours: float) -> str:
    if hours < 1:
        return f"{3600 * hours:.2g} s" if hours < 1 / 60 else f"{60 * hours:.2g} min"
    return f"{hours:.2g} h" if hours < 48 else f"{hours / 24:.2g} days"


def transitions(transitions: Transitions, *, ax: Axes | None = None, group: str | None = None) -> Axes:
    """Draw what follows what as a map: a row is where customers were, a column where they went next; cells in percent.

    `group` names the one to draw where there are several; pairs that were not seen stay empty.
    """
    from matplotlib.colors import LinearSegmentedColormap
    from matplotlib.patches import Rectangle

    table = _one_group(transitions, group)
    left = dict(table.group_by("from", maintain_order=True).agg(pl.col("n").sum()).rows())
    here = list(left)  # the start, then the states; each of them is left, if only for the end
    there = [*here[1:], table["to"][-1]]
    ax = new_axes(ax, figsize=(7.6, 0.36 * len(here) + 1.2))
    colours = LinearSegmentedColormap.from_list("tide", TIDE)
    for row in table.to_dicts():
        colour, x, y = colours(row["share"]), there.index(row["to"]), here.index(row["from"])
        ax.add_patch(Rectangle((x - 0.47, y - 0.46), 0.94, 0.92, color=colour, lw=0))
        percent = f"{100 * row['share']:.0f}" if row["share"] >= 0.005 else "<1"
        ax.text(x, y, percent, ha="center", va="center", fontsize=9, color=ink_on(colour))
    ax.grid(False)
    ax.set(xlim=(-0.5, len(there) - 0.5), ylim=(len(here) - 0.5, -0.5), xticks=range(len(there)))
    slant: dict[str, Any] = {"rotation": 40, "ha": "right"} if len(there) > 5 else {}
    ax.set_xticklabels(there, color=MUTED, parse_math=False, **slant)
    ax.set_yticks(range(len(here)), [f"{name}   n = {left[name]:,}" for name in here], color=MUTED, parse_math=False)
    ax.tick_params(length=0)
    ax.spines["bottom"].set_visible(False)
    ax.set_xlabel("What came next (n: how often something did)")
    told = "What" if group is None else f"{group}: what"
    y_label(ax, f"{told} came next within a {transitions.within}, % of each row")
    return ax


def _one_group(transitions: Transitions, group: str | None) -> pl.DataFrame:
    groups = transitions.table["group"].unique().sort().to_list()
    choose("group", wanted := groups[0] if group is None and len(groups) == 1 else group, groups)  # type: ignore[arg-type]
    table = transitions.table.filter(pl.col("group") == wanted)
    if (states := table["from"].n_unique() - 1) > _MOST_STATES:
        raise ValueError(
            f"transitions has {states:,} states, and a map of more than {_MOST_STATES} cannot be read; keep the common "
            "ones: events with the others as one value, e.g. 'other'."
        )
    return table
