"""Draws whom an ad moves: gain curves of scores, the value of targeting by budget, effects by groups of a score.

`qini`, `targeting_curve`, `uplift_calibration`: a result and `ax=` in, Axes out.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import polars as pl

from shoptoolkit.figures.style import FAINT, INK, MUTED, SERIES, in_percent, look_of, new_axes, per_so_many, y_label

if TYPE_CHECKING:
    from matplotlib.axes import Axes

    from shoptoolkit.incrementality import Qini, TargetingCurve, UpliftCalibration


def qini(qini: Qini, *, ax: Axes | None = None, per: float = 1) -> Axes:
    """Draw the gain by share of customers reached: a line and its interval per score, dashed what a lot would bring.

    `qini`: from `incrementality.qini`. The words name each score's area over the lot, with its interval. `per`: told
    per so many customers.
    """
    if qini.table.is_empty():
        raise ValueError(f"qini has no curve to draw: {qini.estimates.table['reason'][0]}")
    ax = new_axes(ax)
    words = [("dashed: as many by lot", FAINT)]
    lot = qini.table.filter(pl.col("score") == qini.table["score"][0])
    ax.plot(lot["share_targeted"], lot["random"], color=FAINT, lw=1.4, ls=(0, (4, 3)))
    for place, (name,) in enumerate(qini.table.select("score").unique(maintain_order=True).rows()):
        (colour, dash), part = look_of(place), qini.table.filter(pl.col("score") == name)
        ax.plot(part["share_targeted"], part["gain"], color=colour, linestyle=dash)
        ax.fill_between(part["share_targeted"], part["low"], part["high"], color=colour, alpha=0.15, linewidth=0)
        area = qini.estimates.table.filter(group=name).row(0, named=True)
        words.append((f"{name}: area over lot {_interval(area, per)}", colour))
    ax.set(xlim=(0, 1), xlabel="Share of customers reached, the highest scores first")
    in_percent(ax.xaxis)
    whom = f"{per_so_many(ax.yaxis, per)}, reached or not"
    y_label(ax, f"Gain of {qini.outcome} per {whom}; {100 * qini.level:g} % interval, n = {qini.n:,}")
    _words(ax, words[1:] + words[:1])
    return ax


def targeting_curve(curve: TargetingCurve, *, ax: Axes | None = None, currency: str = "money") -> Axes:
    """Draw what reaching the highest-ranked customers brings, by spend, with its interval and the paler band.

    Dashed: the same spend by lot; dotted: the spend itself, which the value has to beat. A dot at each budget asked
    for, with its shadow price in words; an upright line where the best cut lies.

    `curve`: from `incrementality.targeting_curve`. Where reaching costs nothing, by share of customers. `currency`: a
    word for money, for the axes.
    """
    ax, table, colour = new_axes(ax), curve.table, SERIES["blue"]
    has_cost = bool(table["spend"].max())
    x = table["spend" if has_cost else "share_targeted"]
    ax.plot(x, table["value"], color=colour)
    for side, ink in (("low", 0.17), ("band_low", 0.1)):
        ax.fill_between(x, table[side], table[side.replace("low", "high")], color=colour, alpha=ink, linewidth=0)
    ax.plot(x, table["random"], color=FAINT, lw=1.4, ls=(0, (4, 3)))
    words = [("dashed: as many by lot; dotted: what it costs" if has_cost else "dashed: as many by lot", FAINT)]
    if has_cost:
        ax.plot(x, x, color=MUTED, lw=1.2, ls=(0, (1, 1.4)))
    best, top = curve.best_spend if has_cost else curve.best_share, ax.get_ylim()[1]
    ax.vlines(best, 0, top, color=FAINT, lw=1)  # not through the words above
    words.append((f"upright: best cut, {100 * curve.best_share:.0f} % of customers", FAINT))
    rows = curve.estimates.table
    for place, budget in enumerate(curve.budgets):
        value, price = rows.row(4 * place, named=True), rows.row(4 * place + 3, named=True)
        if value["verdict"] == "ok":
            ax.plot(budget, value["estimate"], "o", ms=8, color=SERIES["clay"], mec="white", mew=1.2, zorder=6)
        words.append((f"budget {budget:.3g}: one more spent brings {_interval(price)}", SERIES["clay"]))
    spent = f"Spent per customer, reached or not, {currency}"
    ax.set(xlim=(0, float(x[-1])), xlabel=spent if has_cost else "Share of customers reached")
    if not has_cost:
        in_percent(ax.xaxis)
    y_label(ax, f"Brought per customer, reached or not, {currency}; {100 * curve.level:g} % interval, n = {curve.n:,}")
    _words(ax, words)
    return ax


def uplift_calibration(calibration: UpliftCalibration, *, ax: Axes | None = None, per: float = 1) -> Axes:
    """Draw the effect on groups of customers against their mean score; on the dashed line the score is right.

    `calibration`: from `incrementality.uplift_calibration`. Hollow: too few customers for an interval. `per`: told per
    so many customers.
    """
    ax, table = new_axes(ax), calibration.table
    ends = [table["mean_score"].min(), table["mean_score"].max()]
    ax.plot(ends, ends, color=FAINT, lw=1.4, ls=(0, (4, 3)))  # type: ignore[arg-type]
    ax.axhline(0, color=FAINT, lw=1)
    words = []
    for place, part in enumerate(table.partition_by("arm", maintain_order=True)):
        colour = look_of(place)[0]
        told = part.drop_nulls("low")
        ax.vlines(told["mean_score"], told["low"], told["high"], color=colour, lw=2.2)
        for kept, face in ((told, colour), (part.filter(pl.col("low").is_null()), "white")):
            ax.plot(kept["mean_score"], kept["estimate"], "o", ms=8, color=colour, mfc=face, mew=1.2, zorder=6)
        words.append((f"{part['arm'][0]}: {len(part)} groups, n = {part['n'].sum():,}", colour))
    metric = calibration.estimates.table["metric"][0].replace("_", " ")
    for axis in (ax.xaxis, ax.yaxis):
        said = f"{metric} per {per_so_many(axis, per)}"
    ax.set_xlabel(f"Mean score of the group, {said}")
    y_label(ax, f"Effect on the group, {said}; {100 * calibration.level:g} % interval; dashed: as the score says")
    _words(ax, words)
    return ax


def _interval(row: dict[str, Any], per: float = 1) -> str:
    if row["verdict"] == "refused":
        return "refused"
    known = [per * row[name] for name in ("estimate", "low", "high") if row[name] is not None]
    digits = min(9, max(0, 2 - math.floor(math.log10(max(map(abs, known)) or 1))))
    told = [f"{value:,.{digits}f}".replace("-", "\u2212") for value in known]
    return f"{told[0]} ({' to '.join(told[1:])})" if row["set_shape"] == "interval" else f"{told[0]} (no interval)"


def _words(ax: Axes, words: list[tuple[str, str]]) -> None:
    """Lines of words at the top, each in the colour of what it names, with room made for them."""
    low, high = ax.get_ylim()
    room = 0.085 * len(words)
    ax.set_ylim(low, high + (high - low) * room / (1 - room))
    for place, (text, colour) in enumerate(words):
        ink = MUTED if colour == FAINT else colour
        where: dict[str, Any] = {"transform": ax.transAxes, "va": "top", "fontsize": 10, "parse_math": False}
        ax.text(0.02, 0.985 - 0.08 * place, text, color=ink or INK, weight="bold", **where)
