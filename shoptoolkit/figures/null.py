"""Draws how large each signal is beside how large it would be if it told nothing."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from shoptoolkit.figures.explain import _SCALES
from shoptoolkit.figures.style import FAINT, GRID, INK, SERIES, new_axes, y_label

if TYPE_CHECKING:
    from matplotlib.axes import Axes

    from shoptoolkit.explain import Comparison, NullImportance

_ROLES = {
    "driver": ("planted", SERIES["blue"]),
    "proxy": ("a trace", SERIES["sea"]),
    "none": ("not planted", SERIES["clay"]),
    None: ("", INK),
}


def null_importance(found: NullImportance | Comparison, *, ax: Axes | None = None) -> Axes:
    """Draw each signal as a dot, and a bar up to what it may reach if it told nothing.

    Parameters
    ----------
    found
        From `explain.null_importance`, or from `explain.compare_with_truth`, which also says what was planted. A dot
        beyond its bar is full, one within it hollow.
    """
    rows = found.table.to_dicts()
    ax = new_axes(ax, figsize=(7.6, 0.42 * len(rows) + 1.4))
    ax.grid(False)
    for place, row in enumerate(rows):
        _draw(ax, place, row)
    ax.set(yticks=range(len(rows)), ylim=(len(rows) - 0.4, -0.6))
    ax.set_yticklabels([row["signal"] for row in rows], color=INK, parse_math=False)
    ax.tick_params(axis="y", length=0)
    ax.set_xlim(0, 1.06 * max(max(row["mean_size"], row["null_high"]) for row in rows) or 1.0)
    ax.set_xlabel(f"Mean size, {_SCALES.get(found.scale, found.scale)}")
    n = f"n = {rows[0]['n']:,} rows".replace(" ", "\u00a0")
    y_label(ax, f"Grey: what tells nothing stays within ({100 * found.level:g}\u00a0%); {n}")
    return ax


def _draw(ax: Axes, place: int, row: dict[str, Any]) -> None:
    word, colour = _ROLES[row["role"]] if "role" in row else ("", SERIES["blue"])
    ax.barh(place, row["null_high"], height=0.5, color=GRID, zorder=1)
    ax.plot([row["null_high"]] * 2, [place - 0.25, place + 0.25], color=FAINT, lw=1.4, zorder=2)
    face, edge = (colour, "white") if row["is_above"] else ("white", colour)
    ax.plot(row["mean_size"], place, "o", ms=8, mfc=face, mec=edge, mew=1.6, clip_on=False, zorder=4)
    where: dict[str, Any] = {"transform": ax.get_yaxis_transform(), "va": "center", "fontsize": 10.5}
    ax.text(1.02, place, word, color=colour, weight="bold", **where)
