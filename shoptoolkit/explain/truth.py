"""Does an explanation find what was planted? Each signal beside the truth of a simulated shop.

In: a `NullImportance` and the truth's drivers. Out: `compare_with_truth` -> `Comparison`.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import polars as pl

from shoptoolkit.contract import ContractError, to_polars
from shoptoolkit.contract.show import html_table
from shoptoolkit.explain.null import NullImportance

_ROLES = ("driver", "proxy", "none")
_NEEDED = ("signal", "role", "because")
_TOGETHER = 0.1  # a rank correlation below this explains no credit


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Comparison:
    """What was planted, and what was found. The models it speaks of are those behind the `NullImportance`.

    `table`, largest signal first: signal, role (driver, proxy, none; null where the truth does not know it), because,
    rank, mean_size, share, null_high, p_value, is_above, n, verdict (in words). `sentence`: the table in one sentence.
    `n_drivers`, `n_first`: planted drivers, and those above their null and before every signal that was not planted;
    `n_nothing`, `n_silent`: signals that were not planted, and those not above their null.
    """

    table: pl.DataFrame
    sentence: str
    n_drivers: int
    n_first: int
    n_nothing: int
    n_silent: int
    level: float
    scale: str

    def __repr__(self) -> str:
        return f"Comparison: {self.sentence}\n{self.table}"

    def _repr_html_(self) -> str:
        shown = self.table.select("signal", "role", "rank", "share", "p_value", "verdict", "because")
        note = f"{self.sentence}; p values of all signals together, level {100 * self.level:g} %"
        return html_table(shown, title="Planted, and found?", note=note)


def compare_with_truth(found: NullImportance, drivers: Any, *, signals: Mapping[str, str] | None = None) -> Comparison:
    """Do the planted drivers rank first, and do signals that were not planted get nothing?

    Parameters
    ----------
    found
        From `null_importance`.
    drivers
        What was planted, e.g. `world.truth.drivers`: signal, role ("driver", "proxy" or "none"), because.
    signals
        Your name of a signal -> the name in `drivers`, where they differ.

    Returns
    -------
    Comparison
        A signal without a role of its own that is above its null is no mistake of the model: it goes with a driver,
        which the verdict names (the driver with the largest rank correlation).

    Raises
    ------
    ContractError
        `drivers` lacks a column, has a role that is unknown or names a signal twice.
    ValueError
        No signal is known to `drivers`.
    """
    planted = _planted(drivers)
    named = found.table.with_columns(known=pl.col("signal").replace(dict(signals or {})))
    table = named.join(planted.rename({"signal": "known"}), on="known", how="left", maintain_order="left")
    if table["role"].null_count() == len(table):
        ours, theirs = (", ".join(map(repr, names)) for names in (named["known"], planted["signal"]))
        raise ValueError(f"no signal is known to drivers: {ours}. They know {theirs}; map yours to theirs by signals=.")
    verdicts = [_verdict(row, _partner(row["signal"], table, found.together)) for row in table.to_dicts()]
    columns = ("signal", "role", "because", "rank", "mean_size", "share", "null_high", "p_value", "is_above", "n")
    role, above, rank = pl.col("role"), pl.col("is_above"), pl.col("rank")
    barrier = table.filter(role == "none")["rank"].min()
    drivers_found = table.filter(role == "driver", above, rank < (barrier if barrier is not None else float("inf")))
    counts = {
        "n_drivers": table.filter(role == "driver").height,
        "n_first": drivers_found.height,
        "n_nothing": table.filter(role == "none").height,
        "n_silent": table.filter(role == "none", ~above).height,
    }
    told = table.select(*columns).with_columns(verdict=pl.Series(verdicts, dtype=pl.String))
    return Comparison(table=told, sentence=_sentence(told, **counts), level=found.level, scale=found.scale, **counts)


def _planted(drivers: Any) -> pl.DataFrame:
    planted = to_polars(drivers)
    if missing := [name for name in _NEEDED if name not in planted.columns]:
        told = f"{', '.join(map(repr, missing))} missing. It has: {', '.join(planted.columns)}"
        raise ContractError(f"compare_with_truth: of drivers, {told}.")
    if unknown := sorted(set(planted["role"].fill_null("null")) - set(_ROLES)):
        raise ContractError(f"compare_with_truth: role is {unknown[0]!r}; it must be one of {', '.join(_ROLES)}.")
    if planted["signal"].is_duplicated().any():
        twice = planted.filter(planted["signal"].is_duplicated())["signal"][0]
        raise ContractError(f"compare_with_truth: drivers names {twice!r} twice; each signal has one role.")
    return planted.select(_NEEDED)


def _partner(signal: str, table: pl.DataFrame, together: pl.DataFrame) -> str | None:
    """The driver that goes most with a signal, if any does."""
    names = table.filter(pl.col("role") == "driver", pl.col("signal") != signal)["signal"]
    some = together.filter(
        pl.col("signal") == signal, pl.col("other").is_in(names.implode()), pl.col("correlation") >= _TOGETHER
    )
    return str(some.sort(-pl.col("correlation"), "other")["other"][0]) if len(some) else None


def _verdict(row: Mapping[str, Any], partner: str | None) -> str:
    with_whom = f"; goes with {partner or 'no driver'}"
    return {
        ("driver", True): "found",
        ("driver", False): "missed: not above its null",
        ("proxy", True): f"credited, as a trace{with_whom}",
        ("proxy", False): "no trace shown",
        ("none", True): f"credited though not planted{with_whom}",
        ("none", False): "nothing, as planted",
    }.get((row["role"], row["is_above"]), "not known to the truth")


def _sentence(told: pl.DataFrame, *, n_drivers: int, n_first: int, n_nothing: int, n_silent: int) -> str:
    parts = []
    if n_drivers:
        where = "rank before all that was not planted" if n_nothing else "are above their null"
        parts.append(f"{n_first} of {n_drivers} planted drivers {where}")
    if n_nothing:
        parts.append(f"{n_silent} of {n_nothing} signals that were not planted get nothing")
    if missed := told.filter(pl.col("verdict").str.starts_with("missed"))["signal"].to_list():
        parts.append(f"missed: {', '.join(missed)}")
    return "; ".join(parts) or "no signal here was planted, or is known to be none: there are only traces"
