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

_BAR: dict[str, Any] = {"color": SERIES["blue"], "lw": 2.6, "zorder": 5}
_OPEN = ("rays", "line")
_BESIDE = 12  # letters of a name that may stand beside its row


def estimates(estimates: EstimateTable, *, ax: Axes | None = None) -> Axes:
    """Draw one row per estimate: a dot with its interval, an upright tick at the truth, refusals in words.

    The numbers stand at the right; the x axis carries the measure, shares in percent. A line at zero (at one for
    ratios) is drawn for contrasts. Long names stand above their rows, so that they leave room for the intervals.
    """
    rows = [_in_percent(row) for row in estimates.table.to_dicts()]
    if not rows:
        raise ValueError("estimates has no row; there is nothing to draw.")
    ax = new_axes(ax, figsize=(7.6, max(2.0, 0.55 * len(rows) + 1.1)))
    ax.grid(False)
    ax.grid(True, axis="x")
    if any(row["contrast"] for row in rows):
        ax.axvline(rows[0]["measure"] == "ratio", color=FAINT, lw=1)
    digits = _digits(rows)
    for place, row in enumerate(rows):
        _draw(ax, place, row, digits if len({one["metric"] for one in rows}) == 1 else _digits([row]))
    _open_sets(ax, rows)
    names = _row_names(rows)
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


def _in_percent(row: dict) -> dict:
    """A share, or a difference of shares, as people read it."""
    if row["measure"] != "share":
        return row
    scaled = {name: None if row[name] is None else 100 * row[name] for name in ("estimate", "low", "high", "truth")}
    return row | scaled | {"measure": "percentage points" if row["contrast"] else "%"}


def _draw(ax: Axes, place: int, row: dict, digits: int) -> None:
    right: dict[str, Any] = {"transform": ax.get_yaxis_transform(), "va": "center", "fontsize": 10.5}
    if row["truth"] is not None:
        ax.plot([row["truth"]] * 2, [place - 0.24, place + 0.24], color=INK, lw=2.2, solid_capstyle="butt", zorder=4)
    if row["verdict"] == "refused":
        ax.text(1.02, place, "refused", color=MUTED, style="italic", **right)
        return
    ax.plot(row["estimate"], place, "o", ms=8, color=SERIES["blue"], mec="white", mew=1.2, zorder=6)
    ax.plot([row["low"], row["high"]], [place, place], **_BAR | ({"lw": 0} if row["set_shape"] in _OPEN else {}))
    ax.text(1.02, place, _numbers(row, digits).replace("-", "\u2212"), color=INK, **right)


def _digits(rows: list[dict]) -> int:
    """Decimals for the numbers of these rows: two figures of the widest interval, one at least of the narrowest."""
    known = [row for row in rows if row["verdict"] != "refused"]
    wide = [abs(row["estimate"]) if row["low"] is None else row["high"] - row["low"] for row in known]
    sizes = sorted(1 - math.floor(math.log10(one)) for one in wide if one > 0)
    return min(9, max(0, sizes[0], sizes[-1] - 1)) if sizes else 0


def _numbers(row: dict, digits: int) -> str:
    low, high = row["low"], row["high"]
    estimate, low, high = ("" if one is None else f"{one:,.{digits}f}" for one in (row["estimate"], low, high))
    told = {"rays": f"all but {low} to {high}", "line": "any value"}.get(row["set_shape"], f"{low} to {high}")
    return f"{estimate}  ({told})"


def _open_sets(ax: Axes, rows: list[dict]) -> None:
    """Sets without an end, as far as the axis goes: two rays, or the whole line."""
    for place, row in enumerate(rows):
        if row["set_shape"] in _OPEN:
            left, right = ax.set_xlim(ax.get_xlim())
            gap = [right, right] if row["set_shape"] == "line" else [row["low"], row["high"]]
            ax.hlines([place, place], [left, gap[1]], [gap[0], right], **_BAR)


def _row_names(rows: list[dict]) -> list[str]:
    """What each row is called: as much as tells it from the others."""
    names: list[tuple[str, ...]] = [() for _ in rows]
    for one in ("metric", "contrast", "group", "horizon_days", "estimand", "method"):
        told: dict[tuple[str, ...], set] = {}
        for name, row in zip(names, rows):
            told.setdefault(name, set()).add(row[one])
        names = [(*name, _word(one, row)) if len(told[name]) > 1 else name for name, row in zip(names, rows)]
    is_one = len({row["n"] for row in rows}) == 1  # it stands below
    called = [", ".join(filter(None, name)) or row["contrast"] or row["group"] for name, row in zip(names, rows)]
    called = [name.replace(" - ", " \u2212 ") for name in called]
    return [name if is_one or row["n"] is None else f"{name}, n = {row['n']:,}" for name, row in zip(called, rows)]


def _word(name: str, row: dict) -> str:
    if name == "metric":
        return _capital(row["metric"]) + (f" ({row['measure']})" if row["measure"] else "")
    return f"{row[name]:g} days" if name == "horizon_days" and row[name] else row[name] or ""


def _capital(name: str) -> str:
    """As it begins a line; "revenue, EUR" keeps its capitals."""
    return f"{name[:1].upper()}{name[1:]}".replace("_", " ")


def _axis_name(rows: list[dict]) -> str:
    row = rows[0]
    if len({one["metric"] for one in rows}) > 1:
        return "Each row in its own measure"
    name = _capital(row["metric"])
    is_ratio = row["contrast"] and row["measure"] == "ratio"
    if row["measure"] and not is_ratio and row["measure"].lower() not in name.lower().split():
        name += f" ({row['measure']})"
    if row["horizon_days"]:
        name += f", {'counting at most' if 'days' in row['metric'] else 'within'} {row['horizon_days']:g} days"
    if row["contrast"]:
        name = f"{'Ratio' if is_ratio else 'Difference'}: {name[0].lower()}{name[1:]}"
    below = [f"n = {row['n']:,}"] if row["n"] is not None and len({one["n"] for one in rows}) == 1 else []
    below += ["upright tick: the truth"] if any(one["truth"] is not None for one in rows) else []
    return "\n".join(filter(None, (name, "; ".join(below))))
