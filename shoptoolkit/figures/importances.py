"""Draws whether an explanation holds, and what would be lost without each signal.

`stability`: a `Stability` and `ax=` in, Axes out; `importances`: an `Importances`. Names stand above their rows, so
that long ones leave room on a phone.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import polars as pl

from shoptoolkit.figures.style import FAINT, INK, MUTED, SERIES, new_axes, y_label

if TYPE_CHECKING:
    from matplotlib.axes import Axes

    from shoptoolkit.explain import Importances, Stability

_HOLDS, _FAILS = SERIES["blue"], SERIES["clay"]
_TWO = {"permuted": (SERIES["blue"], "o", -0.02), "left_out": (SERIES["plum"], "D", 0.24)}  # colour, marker, place
_HEAD = -0.95  # where the words above the first row stand


def stability(stability: Stability, *, ax: Axes | None = None, most: int = 10) -> Axes:
    """Draw the ranks over refits, a line per feature; those that can stand in for each other as one, members below.

    A dot is the mean rank, a line holds the middle ranks; at the right, how often the direction is kept. Members, grey,
    have their ranks among all features. `most`: features or clusters drawn, the most important first.
    """
    from matplotlib.ticker import MaxNLocator

    shown = stability.clusters.head(_at_least_one(most))
    alone = {row["feature"]: row for row in stability.table.to_dicts()}
    rows: list[tuple[str, dict[str, Any], str, float]] = []
    for one in shown.to_dicts():
        colour = {"stable": _HOLDS, "never used": FAINT}.get(one["verdict"], _FAILS)
        several = len(one["members"]) > 1
        name = f"{len(one['members'])} that can stand in for each other" if several else one["cluster"]
        rows.append((name, one, colour, 0.0))
        rows += [(name, alone[name], FAINT, 0.03) for name in one["members"] if several]
    ax = new_axes(ax, figsize=(7.6, 0.52 * len(rows) + 1.3))
    for place, (name, row, colour, indent) in enumerate(rows):
        ax.plot([row["rank_low"], row["rank_high"]], [place, place], color=colour, lw=2.6, solid_capstyle="round")
        ax.plot(row["mean_rank"], place, "o", ms=8, color=colour, mec="white", mew=1.2, zorder=6)
        _name(ax, place, name, indent=indent, colour=INK if colour != FAINT else MUTED)
        kept = row["sign_agreement"]
        told = (
            f"{100 * kept:.0f} %" if kept is not None else "never" if row["verdict"] == "never used" else "not at first"
        )
        _right(ax, place, told, colour=colour if colour != FAINT else MUTED)
    last = max(row["rank_high"] for _, row, _, _ in rows)
    _frame(ax, len(rows), head="direction kept")
    ax.set(
        xlim=(0.6, last + 0.4), xlabel=f"Rank by mean size of the contributions (1 = largest){_rest(stability, shown)}"
    )
    ax.xaxis.set_major_locator(MaxNLocator(integer=True, min_n_ticks=1))
    grey = "; grey: each alone" if len(rows) > len(shown) else ""
    y_label(ax, f"Middle {100 * stability.level:g} % of {stability.replicates} refits{grey}")
    return ax


def importances(importances: Importances, *, ax: Axes | None = None, most: int = 10) -> Axes:
    """Draw the loss added when a signal is dealt to others, and when it is left out, with intervals, by SHAP's rank.

    At the right, that rank; "disagree" where the three do not say the same (`Importances.table` says how). `most`:
    signals drawn.
    """
    shown = importances.table.head(_at_least_one(most))
    ax = new_axes(ax, figsize=(7.6, 0.62 * len(shown) + 1.5))
    ax.axvline(0, color=FAINT, lw=1)
    for place, row in enumerate(shown.to_dicts()):
        _name(ax, place, row["signal"])
        for metric, (colour, marker, down) in _TWO.items():
            if row[metric] is None:
                continue
            y, low, high = place + down, row[f"{metric}_low"], row[f"{metric}_high"]
            ax.plot([low, high], [y, y], color=colour, lw=2.4, zorder=5)
            ax.plot(row[metric], y, marker, ms=7, color=colour, mec="white", mew=1.1, zorder=6)
        told = f"{row['mean_size_rank']:g}"
        told = f"refused, {told}" if row["disagree"] is None else f"disagree, {told}" if row["disagree"] else told
        _right(ax, place, told, colour=_FAILS if row["disagree"] else INK)
    _frame(ax, len(shown), head="rank by SHAP")
    for across, (text, metric) in zip((0.0, 0.32), _KEY, strict=True):
        where: dict[str, Any] = {
            "transform": ax.get_yaxis_transform(),
            "fontsize": 10,
            "va": "center",
            "weight": "bold",
        }
        ax.text(across, _HEAD, text, color=_TWO[metric][0], **where)
    rest = len(importances.table) - len(shown)
    ax.set_xlabel(f"Loss added per row{f'; {rest} weaker not drawn' if rest else ''}")
    level, n = 100 * importances.level, importances.n
    y_label(ax, f"{level:g} % intervals, n = {n:,} rows, {importances.n_customers:,} customers")
    return ax


_KEY = (("\u25cf dealt to others", "permuted"), ("\u25c6 left out, refitted", "left_out"))


def _at_least_one(most: int) -> int:
    if most < 1:
        raise ValueError(f"most is {most}; it must be at least 1.")
    return most


def _name(ax: Axes, place: int, name: str, *, indent: float = 0.0, colour: str = INK) -> None:
    where: dict[str, Any] = {"transform": ax.get_yaxis_transform(), "va": "bottom", "parse_math": False}
    ax.text(indent, place - 0.24, name, color=colour, **where)


def _right(ax: Axes, place: float, text: str, *, colour: str) -> None:
    where: dict[str, Any] = {"transform": ax.get_yaxis_transform(), "va": "center", "ha": "right", "fontsize": 10.5}
    ax.text(1.0, place - 0.36, text, color=colour, weight="bold", **where)


def _frame(ax: Axes, rows: int, *, head: str) -> None:
    """Rows from the top, without ticks, and what the numbers at the right are."""
    ax.grid(False)
    ax.grid(True, axis="x")
    ax.set(yticks=[], ylim=(rows - 0.45, -1.25))
    ax.text(1.0, _HEAD, head, transform=ax.get_yaxis_transform(), color=MUTED, fontsize=10, ha="right", va="center")


def _rest(stability: Stability, shown: pl.DataFrame) -> str:
    rest = len(stability.clusters) - len(shown)
    return f"; {rest} weaker not drawn" if rest else ""
