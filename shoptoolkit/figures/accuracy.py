"""Draws how accurate predictions of survival are: calibration on a day, scores by day.

`calibration`, `accuracy_by_day`: a result and `ax=` in, Axes out.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import polars as pl

from shoptoolkit.figures.style import FAINT, MUTED, SERIES, end_labels, in_percent, look_of, new_axes, y_label

if TYPE_CHECKING:
    from matplotlib.axes import Axes

    from shoptoolkit.contract import EstimateTable
    from shoptoolkit.survival import Calibration

_NAMES = {"brier": "Brier score (0: perfect)", "auc": "AUC (0.5: of no use)"}


def calibration(calibration: Calibration, *, ax: Axes | None = None) -> Axes:
    """Draw predicted against observed survival by group, with intervals; on the diagonal, forecasts come true.

    `calibration`: from `survival.calibration`.
    """
    told = calibration.table.drop_nulls("observed")
    ax = new_axes(ax, figsize=(7.6, 4.6))
    ax.plot([0, 1], [0, 1], color=FAINT, lw=1.2, ls=(0, (4, 3)))
    ax.text(1, 0.02, "dashed: perfectly calibrated ", color=MUTED, fontsize=10, ha="right")
    ax.vlines(told["predicted"], told["low"], told["high"], color=SERIES["blue"], lw=2.2)
    ax.plot(told["predicted"], told["observed"], "o", ms=7.5, color=SERIES["blue"], mec="white", mew=1.2)
    ax.set(xlim=(0, 1), ylim=(0, 1), xlabel=f"Predicted share not yet back on day {calibration.horizon_days:g}")
    in_percent(ax.xaxis)
    in_percent(ax.yaxis)
    y_label(ax, f"Observed share, {100 * calibration.level:g} % interval, n = {calibration.n:,}")
    return ax


def accuracy_by_day(
    scores: EstimateTable | dict[str, EstimateTable], *, ax: Axes | None = None, metric: str = "brier"
) -> Axes:
    """Draw a score by day with its interval as a band; refused days are left open.

    Parameters
    ----------
    scores
        From `survival.brier` or `survival.auc_at` for several days; or {name: scores} of several models.
    metric
        "brier" or "auc".
    """
    ax = new_axes(ax)
    models = scores if isinstance(scores, dict) else {"": scores}
    labels = []
    for place, (name, one) in enumerate(models.items()):
        told = one.table.filter(pl.col("metric") == metric, pl.col("verdict") == "ok").sort("horizon_days")
        if told.is_empty():
            raise ValueError(f"metric is {metric!r}, and scores {name!r} tell none; they have {_told(one)}.")
        colour, dash = look_of(place)
        ax.plot(told["horizon_days"], told["estimate"], color=colour, linestyle=dash, marker="o", ms=4)
        ax.fill_between(told["horizon_days"], told["low"], told["high"], color=colour, alpha=0.17, linewidth=0)
        labels.append((float(told["horizon_days"][-1]), float(told["estimate"][-1]), name, colour))
    ax.set_xlabel("Days since the order")
    if metric == "brier":
        ax.set_ylim(bottom=0)
    else:
        ax.axhline(0.5, color=FAINT, lw=1.2, ls=(0, (4, 3)))
    y_label(ax, f"{_NAMES.get(metric, metric)}, {100 * told['level'][0]:g} % interval, n = {told['n'][0]:,}")
    end_labels(ax, labels)
    return ax


def _told(scores: EstimateTable) -> str:
    return ", ".join(map(repr, scores.table["metric"].unique(maintain_order=True)))
