"""Draws what `explain` and `behaviour` say of a model: its features, one row's way to its answer, its calibration.

`beeswarm`, `importance_bar`, `waterfall`: an `Explanation` and `ax=` in, Axes out. `reliability`: the table so named.
Every mark is our own and static; order, sums and means come from the result.
"""

from __future__ import annotations

import math
from textwrap import fill
from typing import TYPE_CHECKING, Any

import numpy as np
import polars as pl

from shoptoolkit.contract.check import check_number
from shoptoolkit.figures.style import FAINT, GRID, INK, LOW_HIGH, MUTED, SERIES, in_percent, new_axes, y_label

if TYPE_CHECKING:
    from matplotlib.axes import Axes

    from shoptoolkit.explain import Explanation, Interactions

_SCALES = {"margin": "log-odds", "logit hazard": "log-odds of the period", "log survival": "log of the share not back"}
_SIDES = {"log survival": ("back sooner", "back later")} | dict.fromkeys(
    ("margin", "logit hazard"), ("less likely", "more likely")
)
_WIDE = 32  # characters of a name in one line
_UP, _DOWN = SERIES["clay"], SERIES["blue"]


def beeswarm(explanation: Explanation, *, ax: Axes | None = None, most: int = 10) -> Axes:
    """Draw every row as a dot per feature: across, what the feature adds; its colour, how high the feature's value is.

    Parameters
    ----------
    explanation
        Of one group (`explanation.only(...)` picks it) and one period (`explanation.at(...)`). Colours are ranks of the
        value within the feature; categories have no order and are dark, as are signals of several features; missing
        values are hollow.
    most
        Features drawn, the most important first.
    """
    from matplotlib.colors import LinearSegmentedColormap

    sizes = ranked(explanation, most)
    if (periods := explanation.table["period"].drop_nulls().unique().sort()).len() > 1:
        raise ValueError(f"the explanation has {len(periods)} periods; draw one, e.g. explanation.at({periods[0]}).")
    ax = new_axes(ax, figsize=(7.6, 0.5 * len(sizes) + 1.5))
    ax.grid(False)
    ax.plot([0, 0], [-0.6, len(sizes) - 0.5], color=FAINT, lw=1, zorder=0)
    colours = LinearSegmentedColormap.from_list("low_high", LOW_HIGH)
    signals = explanation.table.filter(pl.col("shown") == "")["feature"].unique()
    dark = {"a category": explanation.categories, "several features": signals}
    parts = {name: explanation.table.filter(pl.col("feature") == name) for name in sizes["feature"]}
    reach = max(float(np.abs(part["contribution"].to_numpy()).max()) for part in parts.values()) or 1.0
    for place, (name, part) in enumerate(parts.items()):
        is_dark = any(name in names for names in dark.values())
        _swarm(ax, place, part, bin_width=reach / 75, colours=None if is_dark else colours)
    _names(ax, sizes["feature"], lowest=len(sizes) + 0.35, top=-1.15)
    _numbers(ax, _rounded(sizes["mean_size"]), head="mean size")
    if sides := _SIDES.get(explanation.scale):
        place_at: dict[str, Any] = {"transform": ax.get_yaxis_transform(), "color": MUTED, "fontsize": 10}
        ax.text(0, -0.85, f"\u2190 {sides[0]}", va="center", **place_at)
        ax.text(0.97, -0.85, f"{sides[1]} \u2192", ha="right", va="center", **place_at)
    _scale(ax, f"Contribution to the {scale_name(explanation)}")
    has_gaps = any(part["shown"].null_count() for part in parts.values())
    whys = [why for why, names in dark.items() if not parts.keys().isdisjoint(names)]
    told = [f"dark: {' or '.join(whys)}" if whys else "", "hollow: missing" if has_gaps else ""]
    shown = f"One dot per row, n = {explanation.n:,}{_left_out(explanation, sizes)}"
    y_label(ax, "; ".join(filter(None, [shown, *told])))
    _value_key(ax, colours, len(sizes) - 0.1)
    return ax


def importance_bar(explanation: Explanation, *, ax: Axes | None = None, most: int = 10) -> Axes:
    """Draw how much each feature moves the answer: the mean size of its contributions, largest first.

    `explanation`: of one group; over all its periods, where there are several. `most`: features drawn.
    """
    sizes = ranked(explanation, most)
    ax = new_axes(ax, figsize=(7.6, 0.36 * len(sizes) + 1.1))
    ax.grid(False)
    places = range(len(sizes))
    ax.barh(places, sizes["mean_size"].to_list(), height=0.62, color=SERIES["blue"])
    for place, (size, text) in enumerate(zip(sizes["mean_size"], _rounded(sizes["mean_size"]), strict=True)):
        label: dict[str, Any] = {"textcoords": "offset points", "va": "center", "color": INK, "weight": "bold"}
        ax.annotate(text, (size, place), (5, 0), **label)
    _names(ax, sizes["feature"], lowest=len(sizes) - 0.4, top=-0.6)
    ax.set_xlim(0, 1.12 * (sizes["mean_size"].to_numpy().max() or 1.0))
    ax.set_xlabel(f"Mean size of the contribution to the {scale_name(explanation)}")
    periods = explanation.table["period"].drop_nulls().n_unique()
    over = f", mean over {periods} periods" if periods > 1 else ""
    y_label(ax, f"n = {explanation.n:,} rows{over}{_left_out(explanation, sizes)}")
    return ax


def waterfall(explanation: Explanation, *, row: int, ax: Axes | None = None, most: int = 8) -> Axes:
    """Draw one row's way from the base to its answer: a bar per feature, up to the right, down to the left.

    Parameters
    ----------
    explanation
        From `explain.shap_values`.
    row
        Number of the row in the explained frame.
    most
        Features with a bar of their own; the others are summed in the last.

    Several rows are compared on Axes that share x: all get the scale that holds them.
    """
    steps = explanation.steps(row, most=most)
    ax = new_axes(ax, figsize=(7.6, 0.46 * len(steps) + 1.6))
    ax.grid(False)
    digits = _digits(steps["contribution"].abs())
    for place, step in enumerate(steps.to_dicts()):
        _bar(ax, place, step, digits=digits, is_last=place == len(steps) - 1)
    first, last = steps["start"][0], steps["end"][-1]
    ends: dict[str, Any] = {"textcoords": "offset points", "ha": "center", "fontsize": 10}
    ax.plot([first, first], [-0.75, -0.31], color=FAINT, lw=1)
    ax.annotate(f"base {_signed(f'{first:+.{digits}f}')}", (first, -0.75), (0, 3), color=MUTED, **ends)
    ax.annotate(
        f"this row {_signed(f'{last:+.{digits}f}')}",
        (last, len(steps) - 0.25),
        (0, -11),
        color=INK,
        weight="bold",
        **ends,
    )
    _names(ax, [_told(step) for step in steps.to_dicts()], lowest=len(steps) + 0.5, top=-1.3)
    spans = [one.dataLim.intervalx for one in ax.get_shared_x_axes().get_siblings(ax)]
    low, high = min(span[0] for span in spans), max(span[1] for span in spans)
    room = 0.4 * (high - low or 1.0)  # for the numbers beside the bars, on a phone too
    ax.set_xlim(low - room, high + room)
    _scale(ax, f"{scale_name(explanation).capitalize()}: base, and what each {explanation.of[:-1]} adds")
    return ax


def reliability(reliability: pl.DataFrame, *, ax: Axes | None = None) -> Axes:
    """Draw predicted against observed shares: on the diagonal, a forecast of 30 % comes true 30 times in a hundred.

    `reliability`: bin, n, mean_predicted, observed, low, high, level, as in `PropensityFit.reliability`.
    """
    ax = new_axes(ax, figsize=(7.6, 4.6))
    end = min(1.0, 1.05 * float(reliability.select(pl.max_horizontal("mean_predicted", "high").max()).item()))
    ax.plot([0, end], [0, end], color=FAINT, lw=1.2, ls=(0, (4, 3)))
    ax.text(end, 0.02 * end, "dashed: perfectly calibrated ", color=MUTED, fontsize=10, ha="right")
    ax.vlines(reliability["mean_predicted"], reliability["low"], reliability["high"], color=SERIES["blue"], lw=2.2)
    ax.plot(
        reliability["mean_predicted"], reliability["observed"], "o", ms=7.5, color=SERIES["blue"], mec="white", mew=1.2
    )
    ax.set(xlim=(0, end), ylim=(0, end), xlabel="Predicted probability (mean of the bin)")
    in_percent(ax.xaxis)
    in_percent(ax.yaxis)
    level = 100 * reliability["level"][0]
    y_label(ax, f"Observed share, {level:g} % interval, n = {reliability['n'].sum():,} rows")
    return ax


def ranked(explanation: Explanation, most: int) -> pl.DataFrame:
    """The most important features of the one group."""
    check_number("most", most, least=1, whole=True)
    groups = explanation.table["group"].unique().sort().to_list()
    if len(groups) > 1:
        named = ", ".join(map(repr, groups))
        raise ValueError(f"the explanation has the groups {named}; draw one, e.g. explanation.only({groups[0]!r}).")
    return explanation.importance().head(int(most))


def _swarm(ax: Axes, place: int, part: pl.DataFrame, *, bin_width: float, colours: Any) -> None:
    """Dots of one feature, stacked away from the line where many lie at the same contribution."""
    across = part["contribution"].to_numpy()
    height = place + _stacked(across, bin_width)
    looks: dict[str, Any] = {"s": 9, "rasterized": True}
    known = part["shown"].is_not_null().to_numpy()
    if colours is None:
        ax.scatter(across[known], height[known], color=INK, alpha=0.55, lw=0, **looks)
    else:
        ranks = part["value"].rank("average").to_numpy()[known]
        span = np.ptp(ranks) if len(ranks) else 0
        shade = (ranks - ranks.min()) / span if span else np.full(len(ranks), 0.5)
        ax.scatter(across[known], height[known], c=shade, cmap=colours, vmin=0, vmax=1, lw=0, **looks)
    ax.scatter(across[~known], height[~known], facecolor="none", edgecolor=MUTED, lw=0.7, **looks)


def _stacked(across: Any, bin_width: float) -> Any:
    """Offsets within +-0.42: in each bin the dots go 0, up, down, up ... in the order of the rows."""
    bins = np.round(across / bin_width).astype(np.int64)
    order = np.argsort(bins, kind="stable")
    _, first, count = np.unique(bins[order], return_index=True, return_counts=True)
    within = np.arange(len(across)) - np.repeat(first, count)
    offsets = np.empty(len(across))
    offsets[order] = np.where(within % 2, 1, -1) * ((within + 1) // 2)
    return offsets * min(0.06, 0.84 / max(1, count.max()))


def _bar(ax: Axes, place: int, step: dict[str, Any], *, digits: int, is_last: bool) -> None:
    start, end = step["start"], step["end"]
    is_up = step["contribution"] >= 0
    ax.barh(place, end - start, left=start, height=0.62, color=_UP if is_up else _DOWN)
    ax.plot([end, end], [place, place + (0.75 if is_last else 1)], color=GRID, lw=1, zorder=0)
    label: dict[str, Any] = {"textcoords": "offset points", "va": "center", "weight": "bold", "fontsize": 10.5}
    side: dict[str, Any] = {"ha": "left" if is_up else "right", "color": _UP if is_up else _DOWN}
    ax.annotate(_signed(f"{step['contribution']:+.{digits}f}"), (end, place), (5 if is_up else -5, 0), **label, **side)


def _told(step: dict[str, Any]) -> str:
    if step["feature"].endswith((" other features", " other signals")) and step["shown"] is None:
        return str(step["feature"])
    if step["shown"] == "":  # a signal of several features
        return str(step["feature"])
    value = step["shown"] or "missing"
    return f"{step['feature']} = {_signed(value) if value[1:2].isdigit() else value}"


def _names(ax: Axes, names: Any, *, lowest: float, top: float) -> None:
    """Rows with their names, the first on top."""
    ax.set(yticks=range(len(names)), ylim=(lowest, top))
    ax.set_yticklabels([fill(name, _WIDE) for name in names], color=INK, parse_math=False)
    ax.tick_params(axis="y", length=0)


def _numbers(ax: Axes, texts: list[str], *, head: str) -> None:
    """One number per row at the right edge, beside the marks."""
    where: dict[str, Any] = {
        "xycoords": ax.get_yaxis_transform(),
        "textcoords": "offset points",
        "annotation_clip": False,
    }
    where |= {"xytext": (62, 0), "va": "center", "ha": "right"}
    for place, text in enumerate(texts):
        ax.annotate(text, (1, place), color=INK, weight="bold", fontsize=10.5, **where)
    ax.annotate(head, (1, -0.85), color=MUTED, fontsize=10, **where)


def _value_key(ax: Axes, colours: Any, y: float) -> None:
    """What the colours of the dots mean, in a line below the last feature; as wide in a narrow figure."""
    from matplotlib.offsetbox import AnnotationBbox, DrawingArea, HPacker, TextArea
    from matplotlib.patches import Rectangle

    looks = (("low value", LOW_HIGH[0]), ("high", LOW_HIGH[-1]))
    low, high = (TextArea(text, textprops={"color": ink, "weight": "bold", "size": 9.5}) for text, ink in looks)
    ramp = DrawingArea(40, 4)
    for place in range(40):
        ramp.add_artist(Rectangle((place, 0), 1.2, 4, color=colours(place / 39), lw=0))
    line = HPacker(children=[low, ramp, high], align="center", pad=0, sep=5)
    where: dict[str, Any] = {"xycoords": ax.get_yaxis_transform(), "box_alignment": (0, 0.5), "frameon": False}
    ax.add_artist(AnnotationBbox(line, (0, y), pad=0, **where)).set_in_layout(False)  # it may reach below the numbers


def _scale(ax: Axes, text: str) -> None:
    """Signed numbers below the axis, with true minus signs."""
    from matplotlib.ticker import FuncFormatter

    ax.xaxis.set_major_formatter(FuncFormatter(lambda value, _: _signed(f"{value:+g}")))
    ax.set_xlabel(text)


def _signed(text: str) -> str:
    """With a true minus sign; nothing has no sign."""
    return "0" if text.strip("+-0.") == "" else text.replace("-", "\u2212")


def _rounded(sizes: pl.Series) -> list[str]:
    return [f"{size:.{_digits(sizes)}f}" for size in sizes]


def _digits(sizes: pl.Series) -> int:
    """At least two decimals, and as many as give the largest two digits."""
    return max(2, 1 - math.floor(math.log10(sizes.to_numpy().max() or 1.0)))


def scale_name(result: Explanation | Interactions) -> str:
    """What the result is measured in, in words."""
    return _SCALES.get(result.scale, result.scale)


def _left_out(explanation: Explanation, sizes: pl.DataFrame) -> str:
    rest = explanation.table["feature"].n_unique() - len(sizes)
    return f"; {rest:,} weaker {explanation.of if rest > 1 else explanation.of[:-1]} not drawn" if rest else ""
