"""How good a propensity is on rows that it has not seen, overall and by segment.

In: outcome, probability and customer, and the rows of each segment. Out: `judge` -> EstimateTable: the measures of
accuracy.py, and how far what came true lies above the forecasts.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import numpy as np
import polars as pl

from shoptoolkit.behaviour.accuracy import LEAST, accuracy
from shoptoolkit.contract import EstimateTable, estimate_row, refused_row
from shoptoolkit.contract.arrays import Floats
from shoptoolkit.contract.estimates import error_of

_LEAST_OF_ONE = 10  # customers with either outcome
_MEND = "Take more rows, or a wider segment."


def judge(
    rows: pl.DataFrame, parts: Iterable[tuple[str, pl.Series]], *, rng: np.random.Generator, level: float, **words: Any
) -> EstimateTable:
    """Five rows per part: roc_auc, average_precision, log_loss, observed_less_predicted, calibration_slope.

    `rows`: outcome (0 or 1), probability, customer; `parts`: names and row numbers.
    """
    tables = []
    for name, inside in parts:
        part = rows[inside].sort("probability", "outcome")
        codes = _numbered(part)
        outcome, probability = part["outcome"].to_numpy(), part["probability"].to_numpy()
        about = {**words, "group": name, "level": level}
        asked: dict[str, Any] = {"part": "this part", "mend": _MEND, "rng": rng}
        tables.append(accuracy(outcome, probability, codes.to_numpy(), **asked, **about).table)
        about.pop("replicates")
        tables.append(EstimateTable.from_rows(_came_true(outcome, probability, codes, about)).table)
    return EstimateTable(table=pl.concat(tables))


def _numbered(part: pl.DataFrame) -> pl.Series:
    """Customers by number, in an order that neither their names nor the order of their rows decide."""
    chance, outcome = pl.col("probability"), pl.col("outcome")
    keys = {"a": chance.sum(), "b": (chance * outcome).sum(), "c": (chance**2).sum()}
    ranked = part.group_by("customer").agg(**keys).sort(*keys).select("customer", pl.int_range(pl.len()).alias("code"))
    return part.join(ranked, on="customer", maintain_order="left")["code"].cast(pl.Int64)


def _came_true(
    outcome: Floats, probability: Floats, customer: pl.Series, about: dict[str, Any]
) -> list[dict[str, Any]]:
    """Mean of outcome less forecast, and the least-squares slope of the outcome on the forecast.

    Errors over customers, with all their rows; Student's law by Satterthwaite.
    """
    about = about | {"method": "xgboost; sums over customers", "n": len(outcome)}
    gap = about | {"metric": "observed_less_predicted", "measure": "percentage points"}
    slope = about | {"metric": "calibration_slope"}
    if reason := _few(outcome, customer):
        return [refused_row(reason=reason, **one) for one in (gap, slope)]

    def row(value: float, influence: Floats, null: float, one: dict[str, Any]) -> dict[str, Any]:
        error, degrees = error_of(influence, customer)
        return estimate_row(estimate=value, standard_error=error, degrees=degrees, null=null, **one)

    off = 100 * (outcome - probability)
    mean = float(off.mean())
    told = [row(mean, (off - mean) / len(off), 0.0, gap)]
    centred = probability - probability.mean()
    squares = float(centred @ centred)
    if squares < 1e-12 * len(off):
        return [*told, refused_row(reason="all forecasts are the same; there is no slope.", **slope)]
    value = float(centred @ outcome) / squares
    left = outcome - outcome.mean() - value * centred
    return [*told, row(value, centred * left / squares, 1.0, slope)]


def _few(outcome: Floats, customer: pl.Series) -> str:
    """Why no error can be told, if none can."""
    least = {"": LEAST, " with outcome 1": _LEAST_OF_ONE, " with outcome 0": _LEAST_OF_ONE}
    inside = (customer, *(customer.filter(pl.Series(outcome == value)) for value in (1, 0)))
    counts = zip(least.items(), (one.n_unique() for one in inside))
    short = [f"customers{name}: {n:,}, needed: {needed}" for (name, needed), n in counts if n < needed]
    return f"{'; '.join(short)}. {_MEND}" if short else ""
