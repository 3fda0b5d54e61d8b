"""Draws what `features` returns: orders and the customers behind them.

`orders`, `rfm`: a frame and `ax=` in, Axes out.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import polars as pl

from shoptoolkit.contract import Orders, require
from shoptoolkit.figures.style import SERIES, TIDE, new_axes, plain_numbers, y_label

if TYPE_CHECKING:
    from matplotlib.axes import Axes


def orders(orders: Any, *, ax: Axes | None = None, currency: str = "") -> Axes:
    """Draw how the value of orders is spread, on a log scale; orders with nothing paid are counted in words."""
    import seaborn as sns

    value = require(orders, Orders)["gross_revenue"]
    paid = value.filter(value > 0)
    ax = new_axes(ax, figsize=(7.6, 3.4))
    sns.histplot(x=paid.to_numpy(), log_scale=True, bins=50, color=SERIES["blue"], edgecolor="none", ax=ax)
    plain_numbers(ax.xaxis)
    ax.set_xlabel(f"Order value{', ' + currency if currency else ''} (log scale)")
    free = len(value) - len(paid)
    y_label(ax, f"Orders, n = {len(paid):,}" + (f"; {free:,} with nothing paid are not drawn" if free else ""))
    return ax


def rfm(rfm: pl.DataFrame, *, ax: Axes | None = None) -> Axes:
    """Draw how many customers share each pair of recency and frequency score, from `features.rfm`."""
    import seaborn as sns
    from matplotlib.colors import LinearSegmentedColormap

    ax = new_axes(ax, figsize=(7.6, 4.2))
    pair = {"x": rfm["recency_score"].to_numpy(), "y": rfm["orders_score"].to_numpy()}
    colours = LinearSegmentedColormap.from_list("tide", TIDE)
    sns.histplot(**pair, discrete=True, cmap=colours, cbar=True, cbar_kws={"label": "Customers"}, ax=ax)
    bins = range(1, max(pair["x"].max(), pair["y"].max()) + 1)
    ax.set(xlabel="Recency score (high: ordered lately)", xticks=bins, yticks=bins)
    ax.grid(False)
    y_label(ax, f"Orders score (high: ordered often), n = {len(rfm):,} customers")
    return ax
