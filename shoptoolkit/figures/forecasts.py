"""Draws forecasts beside what came: contracts kept, orders expected, the earliest day of return.

`cohort_forecast`, `backtest`, `backtest_pit`, `earliest_return`: a result and `ax=` in, Axes out.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import polars as pl

from shoptoolkit.figures.style import FAINT, INK, MUTED, SERIES, end_labels, in_percent, new_axes, y_label

if TYPE_CHECKING:
    from matplotlib.axes import Axes

    from shoptoolkit.survival import Backtest, CohortFit, EarliestReturn


def cohort_forecast(
    fit: CohortFit, *, until: int, ax: Axes | None = None, later: pl.DataFrame | None = None, unit: str = "Periods"
) -> Axes:
    """Draw the share still under contract: dots as fitted, the law with its fan, open dots for what came later.

    Dark band: uncertainty of the parameters; light band: where the share of as many customers falls. `later`:
    period_number, share. `unit`: what a period is, in the plural.
    """
    ax, blue = new_axes(ax), SERIES["blue"]
    fan = fit.survival(range(until + 1))
    x = fan["period_number"]
    ax.fill_between(x, fan["observed_low"], fan["observed_high"], color=blue, alpha=0.12, lw=0)
    ax.fill_between(x, fan["low"], fan["high"], color=blue, alpha=0.25, lw=0)
    ax.plot(x, fan["share"], color=blue)
    ax.plot(fit.observed["period_number"], fit.observed["share"], "o", color=INK, ms=5, zorder=5, clip_on=False)
    if later is not None:
        ax.plot(later["period_number"], later["share"], "o", color=INK, mfc="white", ms=5, zorder=5, clip_on=False)
    ax.axvline(len(fit.observed), color=FAINT, lw=1, ls=(0, (3, 2)))
    ax.annotate("forecast", (len(fit.observed), 0.97), (5, 0), textcoords="offset points", color=MUTED, fontsize=10)
    ax.set(xlim=(0, until), ylim=(0, 1.02), xlabel=f"{unit} since the start")
    in_percent(ax.yaxis)
    y_label(ax, f"Share still under contract, n = {fit.n:,}")
    end_labels(ax, [(float(until), fan["share"][-1], {"sbg": "sBG", "bdw": "BdW"}[fit.model], blue)])
    return ax


def backtest(backtest: Backtest, *, kind: str = "decile", ax: Axes | None = None) -> Axes:
    """Draw observed orders per expected order in each group, all origins together; 1 is a forecast that came true.

    `kind`: "decile", "period", "cohort", "all" or the column that was split by. Expected orders stand below the group.
    """
    rows = backtest.table.filter((pl.col("kind") == kind) & pl.col("origin").is_null()).to_dicts()
    if not rows:
        kinds = ", ".join(map(repr, backtest.table["kind"].unique(maintain_order=True)))
        raise ValueError(f"kind is {kind!r}; it must be one of {kinds}.")
    ax = new_axes(ax)
    ax.axhline(1, color=FAINT, lw=1.2)
    for place, row in enumerate(rows):
        bounds = [1 + row[side] / row["expected"] for side in ("low", "high")]
        ax.plot([place, place], bounds, color=SERIES["blue"], lw=2.4, solid_capstyle="butt")
        ax.plot(place, row["ratio"], "o", ms=8, color=SERIES["blue"], mec="white", mew=1.2, zorder=5)
    ax.set_xticks(range(len(rows)), [f"{row['group']}\n{row['expected']:,.0f}" for row in rows], fontsize=9.5)
    name = {"decile": "Tenth of the customers, by their forecast", "all": "All customers"}.get(kind, kind.capitalize())
    ax.set(
        xlim=(-0.6, len(rows) - 0.4), xlabel=f"{name}; below it the orders forecast for {backtest.horizon_days} days"
    )
    y_label(ax, f"Orders placed per order forecast, {100 * backtest.level:g} % interval")
    return ax


def backtest_pit(backtest: Backtest, *, ax: Axes | None = None) -> Axes:
    """Draw where customers' orders fell within their forecasts: flat if the forecast is right, test beside it."""
    ax, pit = new_axes(ax), backtest.pit
    middle, width = (pit["low"] + pit["high"]) / 2, pit["high"] - pit["low"]
    ax.bar(middle, pit["share"], width=0.92 * width, color=SERIES["blue"], alpha=0.55)
    ax.vlines(middle, pit["share_low"], pit["share_high"], color=INK, lw=1.4)
    ax.axhline(float(width[0]), color=FAINT, lw=1.2)
    ax.set(xlim=(0, 1), xlabel="Place of a customer's orders within the own forecast (0 lowest, 1 highest)")
    in_percent(ax.yaxis)
    told = f"p = {backtest.pit_p_value:.2g}" if backtest.pit_p_value >= 0.001 else "p < 0.001"
    y_label(ax, f"Share of customers; flat if right (test of flatness: {told})")
    return ax


def earliest_return(bound: EarliestReturn, coverage: pl.DataFrame, *, ax: Axes | None = None) -> Axes:
    """Draw by group the share of customers not back before their bound, from `bound.coverage(...)`, beside the level.

    Thick: the interval among those watched up to the cutoff; thin: bounds over all customers, whatever became of those
    lost from sight.
    """
    rows: list[dict[str, Any]] = coverage.to_dicts()
    ax = new_axes(ax, figsize=(7.6, max(2.0, 0.5 * len(rows) + 1.2)))
    ax.grid(False)
    ax.grid(True, axis="x")
    ax.axvline(bound.level, color=INK, lw=1.2)
    for place, row in enumerate(rows):
        ax.plot([row["at_least"], row["at_most"]], [place, place], color=FAINT, lw=1.4)
        if row["covered"] is not None:
            ax.plot([row["low"], row["high"]], [place, place], color=SERIES["blue"], lw=3)
            ax.plot(row["covered"], place, "o", ms=8, color=SERIES["blue"], mec="white", mew=1.2, zorder=5)
    ax.set(yticks=range(len(rows)), ylim=(len(rows) - 0.4, -0.6))
    names = [f"{row['group']}   n = {row['n_known']:,} of {row['n_customers']:,}" for row in rows]
    ax.set_yticklabels(names, color=MUTED, parse_math=False)
    in_percent(ax.xaxis)
    ax.set_xlabel(f"Not back before their bound; upright line: the level asked for, {100 * bound.level:g} %")
    return ax
