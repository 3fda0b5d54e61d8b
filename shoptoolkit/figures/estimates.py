"""Draws estimates with their intervals, beside the truth where it is known.

`estimates`: an `EstimateTable` and `ax=` in, Axes out; serves restricted means, their differences, and every later
answer.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

from shoptoolkit.figures.style import FAINT, INK, MUTED, SERIES, new_axes

if TYPE_CHECKING:
    from matplotlib.axes import Axes

    from shoptoolkit.contract import EstimateTable

_BESIDE = 12  # letters of a name that may stand beside its row


def estimates(estimates: EstimateTable, *, ax: Axes | None = None) -> Axes:
    """Draw one row per estimate: a dot with its interval, an upright tick at the truth, refusals in words.

    The numbers stand at the right; the x axis carries the measure. A line at zero (at one for
    ratios) is drawn for contrasts. Long names stand above their rows, so that they leave room for the intervals.
    """
    rows = estimates.table.to_dicts()
    if not rows:
        raise ValueError("estimates has no row; there is nothing to draw.")
    ax = new_axes(ax, figsize=(7.6, max(2.0, 0.55 * len(rows) + 1.1)))
    ax.grid(False)
    ax.grid(True, axis="x")
    if any(row["contrast"] for row in rows):
        ax.axvline(rows[0]["measure"] == "ratio", color=FAINT, lw=1)
    for place, row in enumerate(rows):
        _draw(ax, place, row)
    names = [_row_name(row, is_mixed=len({row["metric"] for row in rows}) > 1) for row in rows]
    ax.set(yticks=[], ylim=(len(rows) - 0.5, -0.9))
    above = max(map(len, names)) > _BESIDE
    ax.set_xlabel(_axis_name(rows), loc="left" if above else "center")
    if not above:
        ax.set_yticks(range(len(rows)), names, color=INK, parse_math=False)
    else:
        for place, name in enumerate(names):
            ax.text(0, place - 0.26, name, transform=ax.get_yaxis_transform(), color=INK, va="bottom", parse_math=False)
    where: dict[str, Any] = {"transform": ax.get_yaxis_transform(), "color": MUTED, "fontsize": 10}
    ax.text(1.02, -0.72, f"estimate, {100 * rows[0]['level']:g} % interval", **where)
    return ax


def _draw(ax: Axes, place: int, row: dict) -> None:
    right: dict[str, Any] = {"transform": ax.get_yaxis_transform(), "va": "center", "fontsize": 10.5}
    if row["truth"] is not None:
        ax.plot([row["truth"]] * 2, [place - 0.24, place + 0.24], color=INK, lw=2.2, solid_capstyle="butt", zorder=4)
    if row["verdict"] == "refused":
        ax.text(1.02, place, "refused", color=MUTED, style="italic", **right)
        return
    ax.plot([row["low"], row["high"]], [place, place], color=SERIES["blue"], lw=2.6, zorder=5)
    ax.plot(row["estimate"], place, "o", ms=8, color=SERIES["blue"], mec="white", mew=1.2, zorder=6)
    digits = min(9, max(1, 2 - math.floor(math.log10(row["high"] - row["low"])))) if row["high"] > row["low"] else 1
    numbers = "{0:,.{3}f}  ({1:,.{3}f} to {2:,.{3}f})".format(*(row[k] for k in ("estimate", "low", "high")), digits)
    ax.text(1.02, place, numbers.replace("-", "\u2212"), color=INK, **right)


def _row_name(row: dict, *, is_mixed: bool) -> str:
    name = row["contrast"] or row["group"]
    if not is_mixed:
        return str(name)
    metric = row["metric"].replace("_", " ").capitalize() + (f" ({row['measure']})" if row["measure"] else "")
    return metric if name == "all" else f"{metric}, {name}"


def _axis_name(rows: list[dict]) -> str:
    row = rows[0]
    if len({one["metric"] for one in rows}) > 1:
        return "Each row in its own measure"
    name = row["metric"].replace("_", " ").capitalize()
    is_ratio = row["contrast"] and row["measure"] == "ratio"
    if row["measure"] and not is_ratio and row["measure"].lower() not in name.lower().split():
        name += f" ({row['measure']})"
    if row["horizon_days"]:
        name += f", counting at most {row['horizon_days']:g} days"
    if row["contrast"]:
        name = f"{'Ratio' if is_ratio else 'Difference'}: {name[0].lower()}{name[1:]}"
    is_known = any(row["truth"] is not None for row in rows)
    return f"{name}{'; upright tick: the truth' if is_known else ''}"
