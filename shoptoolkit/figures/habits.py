"""Draws what `features` says of habits: who orders regularly, who is still a customer, what is bought together.

`rhythm`, `lifecycle`, `affinity`: a result and `ax=` in, Axes out.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import polars as pl

from shoptoolkit.contract.check import check_number
from shoptoolkit.figures.style import (
    FAINT,
    GRID,
    INK,
    LOW_HIGH,
    MUTED,
    SERIES,
    TIDE,
    end_labels,
    ink_on,
    new_axes,
    plain_numbers,
    y_label,
)

if TYPE_CHECKING:
    from matplotlib.axes import Axes

    from shoptoolkit.features import Affinity, Lifecycle, Rhythm

_DOTS = 1_500  # customers; of more, their density is drawn
_TICKS = 7  # that fit below the bars
_SHADES = {
    "active": SERIES["blue"],
    "returned": SERIES["plum"],
    "new": SERIES["sea"],
    "first_seen": SERIES["sea"],
    "quiet": FAINT,
    "lapsed": LOW_HIGH[2],
}


def rhythm(rhythm: Rhythm, *, ax: Axes | None = None) -> Axes:
    """Draw each customer's shape of the gaps by their mean: above 1 regular, below 1 clumpy; many become a density.

    Customers count as regular or clumpy where their interval leaves 1 out; the others cannot be told from chance.
    """
    from matplotlib.colors import LinearSegmentedColormap
    from matplotlib.ticker import LogLocator, NullLocator

    told = rhythm.table.drop_nulls("shape")
    if told.is_empty():
        raise ValueError(f"rhythm has {rhythm.n:,} customers, none with a shape; five unequal gaps are needed.")
    ax = new_axes(ax, figsize=(7.6, 4.4))
    regions = (
        ("chance", pl.lit(1).is_between("shape_low", "shape_high"), FAINT),
        ("regular", pl.col("shape_low") > 1, SERIES["blue"]),
        ("clumpy", pl.col("shape_high") < 1, SERIES["clay"]),
    )
    is_dense, labels = len(told) > _DOTS, {}
    if is_dense:
        options: dict[str, Any] = {"xscale": "log", "yscale": "log", "gridsize": 45, "mincnt": 1, "linewidths": 0}
        colours = LinearSegmentedColormap.from_list("tide", TIDE)
        ax.hexbin(told["mean_gap_days"], told["shape"], cmap=colours, **options)
    for name, region, colour in regions:
        some = told.filter(region)
        if not is_dense:
            ax.plot(some["mean_gap_days"], some["shape"], "o", color=colour, markersize=3.5, alpha=0.7)
        labels[name] = (f"{name}: {len(some):,}", MUTED if colour == FAINT else colour)
    ax.axhline(1, color=INK, linewidth=1)
    ax.set(xscale="log", yscale="log", xlabel="Mean gap between orders, days (log scale)")
    for axis in (ax.xaxis, ax.yaxis):
        axis.set_major_locator(LogLocator(subs=(1, 2, 5)))
        axis.set_minor_locator(NullLocator())
        plain_numbers(axis)
    (low, high), end = ax.get_ylim(), ax.get_xlim()[1]
    heights = {"clumpy": low**0.5, "chance": 1.0, "regular": high**0.5}  # the middle of each region
    end_labels(ax, [(end, heights[name], *label) for name, label in labels.items()])
    y_label(
        ax, f"Shape of the gaps (log scale), n = {len(told):,} of {rhythm.n:,} customers{'; dark: many' * is_dense}"
    )
    return ax


def lifecycle(lifecycle: Lifecycle, *, ax: Axes | None = None) -> Axes:
    """Draw how many customers are in which state in each period, one on another, so that the bars add up to all."""
    wide = lifecycle.table.pivot("state", index="period_start", values="n_customers")
    ax = new_axes(ax, figsize=(7.6, 4.2))
    base, labels = np.zeros(len(wide)), []
    for state in (name for name in _SHADES if name in wide.columns):
        count, colour = wide[state].to_numpy(), _SHADES[state]
        ax.bar(range(len(wide)), count, bottom=base, width=0.86, color=colour)
        labels.append(
            (
                len(wide) - 0.55,
                float(base[-1] + count[-1] / 2),
                state.replace("_", " "),
                MUTED if state in ("lapsed", "quiet") else colour,  # their shades are too pale for words
            )
        )
        base = base + count
    every = -(-len(wide) // _TICKS)
    form = "%d\n%b" if lifecycle.period == "week" else "%b\n%Y"
    ax.set_xticks(range(0, len(wide), every))
    ax.set_xticklabels([f"{start:{form}}" for start in wide["period_start"].gather_every(every)])
    ax.set(xlim=(-0.6, len(wide) - 0.4), ylim=(0, None), xlabel=f"{lifecycle.period.capitalize()} (first day)")
    plain_numbers(ax.yaxis)
    y_label(ax, f"Customers, n = {lifecycle.n:,}; lapsed: over {lifecycle.lapse_days} days without an order")
    end_labels(ax, labels)
    return ax


def affinity(affinity: Affinity, *, ax: Axes | None = None, top: int = 12) -> Axes:
    """Draw the lifts among the `top` things of the strongest pairs (by `low`), the most bought first.

    Coloured around 1; pale where the interval holds 1, empty where the table does not tell.
    """
    from matplotlib.colors import LinearSegmentedColormap
    from matplotlib.patches import Rectangle

    check_number("top", top, least=2, whole=True)
    table = affinity.table
    strong = table.sort("low", "n_both", "a", descending=[True, True, False])
    chosen = strong.unique("a", keep="first", maintain_order=True).head(int(top))
    sizes = chosen.sort("n_a", "a", descending=[True, False]).select("a", "n_a").rows()
    if not sizes:
        raise ValueError(f"affinity has no pair in {affinity.n:,} {affinity.within}s; lower at_least.")
    place = {name: k for k, (name, _) in enumerate(sizes)}
    drawn = table.filter(pl.col("a").is_in(place.keys()), pl.col("b").is_in(place.keys()))
    colours = LinearSegmentedColormap.from_list("low_high", LOW_HIGH)
    reach = max(1e-9, *np.abs(np.log(drawn["lift"])), 0.0)
    ax = new_axes(ax, figsize=(7.6, 0.42 * len(sizes) + 1.3))
    cells = {pair: row for row in drawn.to_dicts() for pair in ((row["a"], row["b"]), (row["b"], row["a"]))}
    for (a, b), row in cells.items():  # one lift both ways
        is_clear = not row["low"] <= 1 <= row["high"]
        colour = colours(0.5 + np.log(row["lift"]) / reach / 2) if is_clear else (1.0, 1.0, 1.0, 0.0)
        x, y = place[b], place[a]
        ax.add_patch(Rectangle((x - 0.47, y - 0.46), 0.94, 0.92, facecolor=colour, edgecolor=GRID, lw=0.6))
        ink = ink_on(colour) if is_clear else MUTED
        lift = f"{row['lift']:.{2 * (row['lift'] < 10)}f}"
        ax.text(x, y, lift, ha="center", va="center", fontsize=9, color=ink)
    names = [str(name) for name in place]
    ax.set(
        xlim=(-0.5, len(sizes) - 0.5), ylim=(len(sizes) - 0.5, -0.5), xticks=range(len(sizes)), yticks=range(len(sizes))
    )
    ax.set_xticklabels(names, rotation=40, ha="right", parse_math=False)
    ax.set_yticklabels([f"{name}   n = {n:,}" for name, n in sizes], parse_math=False)
    ax.grid(False)
    ax.tick_params(length=0)
    ax.spines["bottom"].set_visible(False)
    y_label(ax, f"Lift in {affinity.n:,} {affinity.within}s; clay: above 1, blue: below, pale: may be 1")
    return ax
