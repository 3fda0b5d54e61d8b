"""Draws what the buy-till-you-die models of `survival` return: who is still a customer, what is to come, its worth.

`orders_forecast`, `p_alive`, `customer_value`: a result and `ax=` in, Axes out.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import polars as pl

from shoptoolkit.figures.style import (
    FAINT,
    INK,
    MUTED,
    SERIES,
    TIDE,
    end_labels,
    in_percent,
    new_axes,
    plain_numbers,
    y_label,
)

if TYPE_CHECKING:
    from matplotlib.axes import Axes

    from shoptoolkit.survival import CustomerValue

_LATE = "last_order_age"


def orders_forecast(
    forecast: pl.DataFrame,
    *,
    ax: Axes | None = None,
    fitted_until: float | None = None,
    what: str = "Repeat orders so far",
    since: str = "",
) -> Axes:
    """Draw expected orders by day with their interval, beside those observed.

    Parameters
    ----------
    forecast
        duration_days, expected_orders, expected_orders_low, expected_orders_high (as from `OrdersFit.expected_new`),
        and, where they are known, observed_orders.
    fitted_until
        Day up to which the model was fitted: all after it is forecast.
    what
        What is counted, for the axis.
    since
        What the days are counted from, for the axis.
    """
    ax, blue = new_axes(ax), SERIES["blue"]
    days, expected = forecast["duration_days"], forecast["expected_orders"]
    ax.plot(days, expected, color=blue)
    low, high = forecast["expected_orders_low"], forecast["expected_orders_high"]
    ax.fill_between(days, low, high, color=blue, alpha=0.17, linewidth=0)
    labels = [(float(days[-1]), float(expected[-1]), "expected", blue)]
    if "observed_orders" in forecast.columns:
        seen = forecast.drop_nulls("observed_orders")
        ax.plot(seen["duration_days"], seen["observed_orders"], color=INK, linestyle=(0, (6, 2)))
        labels.append((float(seen["duration_days"][-1]), float(seen["observed_orders"][-1]), "observed", INK))
    if fitted_until is not None:
        ax.axvline(fitted_until, color=FAINT, linewidth=1)
        place: dict[str, Any] = {"xycoords": ("data", "axes fraction"), "textcoords": "offset points"}
        ax.annotate("forecast", (fitted_until, 0.02), (5, 0), color=MUTED, **place)
    ax.set(xlim=(0, float(days[-1])), ylim=(0, None), xlabel=f"Days since {since}" if since else "Days")
    plain_numbers(ax.yaxis)
    y_label(ax, what)
    end_labels(ax, labels)
    return ax


def p_alive(alive: pl.DataFrame, *, ax: Axes | None = None, unit: str = "days") -> Axes:
    """Draw how likely customers are still there, by the number of repeat orders and the silence since the last.

    `alive` is `OrdersFit.p_alive` of a grid of histories of one `age`: all pairs of repeat_orders and last_order_age,
    as in `pl.DataFrame({"repeat_orders": [1, 2, 5]}).join(late, how="cross").with_columns(age=90.0)`, where `late` has
    the column last_order_age.
    """
    from matplotlib.colors import LinearSegmentedColormap

    if alive["age"].n_unique() > 1 or alive.select("repeat_orders", _LATE).is_duplicated().any():
        raise ValueError(
            f"alive has {len(alive):,} rows of several ages or of equal histories; it must be a grid. Ask p_alive of "
            "each pair of repeat_orders and last_order_age once, with one age."
        )
    ax = new_axes(ax, figsize=(7.6, 4.2))
    wide = alive.pivot("repeat_orders", index="last_order_age", values="p_alive", sort_columns=True).sort(
        "last_order_age"
    )
    silence = float(alive["age"][0]) - wide[_LATE].to_numpy()
    counts = np.array([int(name) for name in wide.columns[1:]])
    order = np.argsort(counts)
    share = wide.drop(_LATE).to_numpy().T[order]
    colours = LinearSegmentedColormap.from_list("tide", TIDE)
    mesh = ax.pcolormesh(silence, counts[order], share.astype(float), cmap=colours, vmin=0, vmax=1, shading="nearest")
    bar = ax.figure.colorbar(mesh, ax=ax, label="Chance of being still a customer")
    in_percent(bar.ax.yaxis)
    ax.set_xlabel(f"Silence since the last order, {unit}")
    ax.grid(False)
    y_label(ax, f"Repeat orders of a customer seen for {float(alive['age'][0]):g} {unit}")
    return ax


def customer_value(value: CustomerValue, *, ax: Axes | None = None, mark: float = 0.2) -> Axes:
    """Draw how the expected value is concentrated: which share of it the best customers bring; `mark` names one."""
    ax, blue = new_axes(ax), SERIES["blue"]
    best_first = value.table["value"].sort(descending=True)
    share = np.concatenate([[0.0], (best_first.cum_sum() / best_first.sum()).to_numpy()])
    customers = np.linspace(0, 1, len(share))
    ax.plot(customers, share, color=blue)
    ax.plot([0, 1], [0, 1], color=FAINT, linewidth=1)
    here = float(np.interp(mark, customers, share))
    ax.plot([mark], [here], "o", color=blue)
    told = f"{100 * mark:.0f} % of customers: {100 * here:.0f} % of value"
    ax.text(0.98, 0.08, told, transform=ax.transAxes, ha="right", color=blue, weight="bold")  # below both lines
    ax.set(xlim=(0, 1), ylim=(0, 1.01), xlabel=f"Share of customers, best first, n = {value.n:,}")
    in_percent(ax.xaxis)
    in_percent(ax.yaxis)
    y_label(ax, f"Share of the value expected within {value.horizon_days:g} days")
    return ax
