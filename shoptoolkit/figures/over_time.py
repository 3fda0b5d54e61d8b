"""Draws how far each signal moves a hazard as the wait goes on, and which signals move an answer together.

`importance_over_time`: an `Explanation` with periods; `interactions`: `Interactions`. Axes out; nothing is computed.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import polars as pl

from shoptoolkit.figures.explain import ranked, scale_name
from shoptoolkit.figures.style import FAINT, INK, MUTED, SERIES, end_labels, look_of, new_axes, y_label

if TYPE_CHECKING:
    from matplotlib.axes import Axes

    from shoptoolkit.explain import Explanation, Interactions


def importance_over_time(explanation: Explanation, *, ax: Axes | None = None, most: int = 5) -> Axes:
    """Draw how much each feature moves the answer of each period: a line by feature, named at its right end.

    Parameters
    ----------
    explanation
        From `explain.explain_survival`, of one group (`explanation.only(...)` picks it).
    most
        Features with a line of their own, the most important over all periods; the others are grey and counted.
    """
    names = ranked(explanation, most)["feature"].to_list()
    lines = {name: part for (name,), part in explanation.over_time().group_by("feature", maintain_order=True)}
    ax = new_axes(ax)
    for name in lines.keys() - set(names):
        ax.plot(lines[name]["until_days"], lines[name]["mean_size"], color=FAINT, lw=0.9, alpha=0.7, zorder=1)
    ends = []
    for place, name in enumerate(names):
        colour, dash = look_of(place)
        days, sizes = lines[name]["until_days"], lines[name]["mean_size"]
        ax.plot(days, sizes, color=colour, ls=dash, marker="o", ms=3.5)
        ends.append((days[-1], sizes[-1], name, colour))
    ax.set_ylim(bottom=0)
    ax.set_xlabel("End of the period, days")
    grey = len(lines) - len(names)
    weaker = f"; {grey:,} weaker {explanation.of if grey > 1 else explanation.of[:-1]} in grey" if grey else ""
    y_label(ax, f"Mean size, {scale_name(explanation)}, n = {explanation.n:,} rows{weaker}")
    end_labels(ax, ends)
    return ax


def interactions(interactions: Interactions, *, ax: Axes | None = None, most: int = 8) -> Axes:
    """Draw how much pairs of signals move the answer together: a bar by pair, strongest first.

    Beside each bar its length, and in brackets its share of what the two add in all. `most`: pairs drawn.
    """
    if most < 1:
        raise ValueError(f"most is {most}; it must be at least 1.")
    shown = interactions.table.head(most)
    ax = new_axes(ax, figsize=(7.6, 0.56 * max(1, len(shown)) + 1.1))
    ax.grid(False)
    ax.barh(range(len(shown)), shown["strength"].to_list(), height=0.62, color=SERIES["plum"])
    near: dict[str, Any] = {"textcoords": "offset points", "va": "center", "color": INK, "weight": "bold"}
    for place, (size, share) in enumerate(shown.select("strength", "share").rows()):
        ax.annotate(f"{size:.2g} ({100 * share:.0f} %)", (size, place), (5, 0), **near)
    pairs = shown.select(pl.format("{} \u00d7\n{}", "first", "second")).to_series().to_list()
    ax.set(yticks=range(len(shown)), ylim=(max(1, len(shown)) - 0.4, -0.6))
    ax.set_yticklabels(pairs, color=INK, parse_math=False)
    ax.tick_params(axis="y", length=0)
    ax.set_xlim(0, 1.3 * (max(shown["strength"], default=0.0) or 1.0))
    ax.set_xlabel(f"Mean size together, {scale_name(interactions)}")
    rest = interactions.pairs - len(shown)
    weaker = f"; {rest:,} weaker pair{'s' if rest > 1 else ''} not drawn" if rest else ""
    y_label(ax, f"n = {interactions.n:,} rows; in brackets: of all that the two add{weaker}")
    if shown.is_empty():
        ax.text(0.5, 0, "no two signals move the answer together", color=MUTED, ha="center", va="center")
    return ax
