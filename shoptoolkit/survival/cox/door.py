"""The door of Cox regression: which clock a model reads, and which rows it must refuse (rules R1 to R3).

In: Spells. Out: `cox_door` -> one checked row per row given, in its order: entry_days, duration_days (on the clock of
the model), repurchased, weight and perhaps cluster.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import polars as pl

from shoptoolkit.contract import ContractError
from shoptoolkit.survival.spells import at_the_door, is_unique

TOTAL, PWP = ("ag", "pwp_total"), ("pwp_total", "pwp_gap")


def cox_door(
    frame: pl.DataFrame,
    *,
    names: Mapping[str, str],
    strata: Sequence[str],
    cluster: str | None,
    recurrent: str | None,
    time_varying: bool,
) -> pl.DataFrame:
    """`names`: {the caller's column: the contract's}. Total time runs from `start_days` to `stop_days`."""
    theirs = {ours: name for name, ours in names.items()}
    on_total_time = time_varying or recurrent in TOTAL
    clock = [theirs["start_days"], theirs["stop_days"]] if on_total_time else []
    if absent := [name for name in (*strata, *clock) if name not in frame.columns]:
        raise ContractError(f"spells: no column {', '.join(map(repr, absent))}. It has: {', '.join(frame.columns)}.")
    if recurrent in PWP:
        _refuse_unknown_history(frame, strata[-1])
    unread = ("duration_days", "entry_days") if on_total_time else ("start_days", "stop_days")
    read = {name: ours for name, ours in names.items() if ours not in unread}
    if on_total_time:
        frame, read["duration_days"] = frame.with_columns(duration_days=pl.lit(1.0)), "duration_days"  # not looked at
    if recurrent or time_varying:
        cluster = cluster or theirs["customer_id"]
    else:
        _refuse_repeats(frame, theirs["customer_id"])
    table = at_the_door(frame, by=None, cluster=cluster, names=read)
    if on_total_time:
        _refuse_overlaps(table, theirs, time_varying)
        table = table.drop("duration_days").rename({"start_days": "entry_days", "stop_days": "duration_days"})
    defaults = {"entry_days": 0.0, "weight": 1}
    table = table.with_columns(pl.lit(value).alias(name) for name, value in defaults.items() if name not in table)
    return table.with_columns(pl.col("entry_days").fill_null(0.0), pl.col("weight").cast(pl.Float64))


def _refuse_repeats(frame: pl.DataFrame, id: str) -> None:
    if id in frame.columns and not is_unique(frame[id]):
        raise ContractError(
            f"spells: {id!r} repeats ({len(frame):,} spells of {frame[id].n_unique():,} customers). Take one index "
            "spell each, repurchase_spells(..., index='first'); or say how orders recur: recurrent='ag', 'pwp_total' "
            "or 'pwp_gap'; or time_varying=True if the rows are one spell with changing covariates."
        )


def _refuse_unknown_history(frame: pl.DataFrame, spell_number: str) -> None:
    """Orders before the log would make every spell number too small (rule R2)."""
    if "history_known" not in frame.columns or not frame["history_known"].fill_null(False).all():
        raise ContractError(
            f"spells: history_known is not true, so {spell_number!r} may not count from a customer's first order, and "
            "Prentice-Williams-Peterson strata would mix them. Pass features.orders(..., history_known=True) if the "
            "log is complete, or take recurrent='ag'."
        )


def _refuse_overlaps(table: pl.DataFrame, theirs: Mapping[str, str], time_varying: bool) -> None:
    if nulls := table["start_days"].null_count() + table["stop_days"].null_count():
        raise ContractError(f"spells: {theirs['start_days']!r} or {theirs['stop_days']!r} is null {nulls:,} times.")
    rows = table.select("customer_id", "start_days", "stop_days", "repurchased").sort("customer_id", "start_days")
    again = rows.filter(
        pl.col("customer_id") == pl.col("customer_id").shift(), pl.col("start_days") < pl.col("stop_days").shift()
    )
    if len(again):
        raise ContractError(
            f"spells: {len(again):,} rows begin before the row before them has ended, e.g. of customer "
            f"{again['customer_id'][0]} on day {again['start_days'][0]:g}; a customer is at risk once at a time."
        )
    followed = rows.filter(
        pl.col("repurchased") & (pl.col("customer_id") == pl.col("customer_id").shift(-1)) & pl.lit(time_varying)
    )
    if len(followed):
        raise ContractError(
            f"spells: {len(followed):,} rows that ended in a repurchase are followed by others of the customer, e.g. "
            f"{followed['customer_id'][0]}; time_varying is for one next order. For all orders pass recurrent='ag'."
        )
