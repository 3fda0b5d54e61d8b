"""Answers with their intervals, as rows of one long table that can refuse.

`EstimateTable` is what an estimator returns: rows of the `Estimates` contract. `estimate_row` makes a row with a Wald
interval; `refused_row` one without a number, which says what to mend; `wilson` gives the bounds of shares, `error_of`
the error of a sum of independent parts; `holm` adjusts p-values.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass
from statistics import NormalDist
from typing import Any

import numpy as np
import numpy.typing as npt
import polars as pl

from shoptoolkit.contract.check import check
from shoptoolkit.contract.schemas import ContractError, Estimates
from shoptoolkit.contract.show import html_table

_SHOWN = ("estimate", "low", "high", "measure", "p_value", "truth", "n", "verdict", "reason")


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class EstimateTable:
    """Estimates, one row each: `table` has the columns of the contract `Estimates`.

    Draw it with `figures.estimates`.
    """

    table: pl.DataFrame

    @classmethod
    def from_rows(cls, rows: Iterable[dict[str, Any]]) -> EstimateTable:
        """A table from rows made by `estimate_row` and `refused_row`."""
        types = {"id": pl.String, "text": pl.String, "number": pl.Float64, "whole": pl.Int64}
        schema = {name: types[one.kind] for name, one in Estimates.fields.items()}
        checked = check(pl.DataFrame(list(rows), schema=schema), Estimates)
        if len(checked.quarantined):  # our own fault, not the caller's
            raise ContractError(
                f"estimates: {checked.quarantined['reason'][0]}: {checked.quarantined.row(0, named=True)}"
            )
        return cls(table=checked.good)

    def __repr__(self) -> str:
        return "\n".join(_sentence(row, self._telling()) for row in self.table.to_dicts())

    def _repr_html_(self) -> str:
        table = self.table
        told = {name: table[name].unique(maintain_order=True).drop_nulls().to_list() for name in table.columns}
        name = "contrast" if told["contrast"] else "group"
        always = ("estimate", "low", "high", "reason")  # what makes it a table of estimates
        shown = [one for one in _SHOWN if one in always or (told[one] and told[one] != ["ok"])]
        notes = told["estimand"] + [f"{100 * level:g} % intervals" for level in told["level"]]
        if len(told["measure"]) == 1:  # one unit for all stands in the note
            shown.remove("measure")
            notes += [f"in {unit}" for unit in told["measure"] if unit != "share"]
        telling = self._telling()
        if "estimand" in telling:
            notes = notes[len(told["estimand"]) :]
        if told["set_shape"] not in ([], ["interval"]):
            shown.insert(shown.index("high") + 1, "set_shape")
        return html_table(
            table.select(name, *telling, *shown), title=", ".join(told["question"]), note="; ".join(notes)
        )

    def _telling(self) -> list[str]:
        """Columns that, beside the contrast or group, tell the rows apart: first what they measure and how far."""
        key = ["contrast", "group"] if self.table["contrast"].null_count() else ["contrast"]
        chosen = [one for one in ("metric", "horizon_days") if self.table[one].n_unique() > 1]
        for one in ("group", "estimand", "method"):
            if self.table[one].n_unique() > 1 and self.table.select(*key, *chosen).is_duplicated().any():
                chosen += [] if one in key else [one]
        return chosen


def estimate_row(
    *,
    estimate: float,
    standard_error: float,
    level: float,
    null: float | None = None,
    degrees: float | None = None,
    **rest: Any,
) -> dict[str, Any]:
    """One row of Estimates with a Wald interval; a two-sided p-value against `null` where one is given.

    By Student's law where `degrees` of freedom are given, else by the normal one.
    """
    reach = critical_of(level, degrees) * standard_error
    p_value = None if null is None else two_sided(estimate - null, standard_error, degrees)
    return {
        "estimate": estimate,
        "standard_error": standard_error,
        "low": estimate - reach,
        "high": estimate + reach,
        "level": level,
        "p_value": p_value,
        "verdict": "ok",
        "set_shape": "interval",
        **rest,
    }


def refused_row(*, reason: str, level: float, **rest: Any) -> dict[str, Any]:
    """One row of Estimates without a number: the assumption that failed, and what to mend."""
    return {"verdict": "refused", "reason": reason, "level": level, **rest}


def z_of(level: float) -> float:
    """How many standard errors an interval of this level reaches to either side, by the normal law."""
    return NormalDist().inv_cdf(0.5 + level / 2)


def critical_of(level: float, degrees: float | None = None) -> float:
    """How many standard errors an interval reaches to either side: by Student's law where `degrees` are given."""
    if degrees is None:
        return z_of(level)
    from scipy.special import stdtrit

    return float(stdtrit(degrees, 0.5 + level / 2))


def two_sided(distance: float, standard_error: float, degrees: float | None = None) -> float:
    """The p-value of a distance from the null, by the normal or by Student's law; without error, 1 at the null."""
    if standard_error == 0:
        return float(distance == 0)
    size = abs(distance) / standard_error
    if degrees is None:
        return math.erfc(size / math.sqrt(2))  # 1 - cdf would lose the small ones
    from scipy.special import stdtr

    return 2 * float(stdtr(degrees, -size))


def delta_error(slopes: npt.NDArray[np.float64], covariance: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    """Standard errors by the delta method: a row of `slopes` in the parameters for each value told."""
    return np.asarray(np.sqrt(np.einsum("ij,jk,ik->i", slopes, covariance, slopes, optimize=True).clip(0)))


def wilson(share: npt.ArrayLike, n: npt.ArrayLike, level: float) -> tuple[Any, Any]:
    """Bounds of shares out of n (Wilson 1927, JASA 22, 209-212), n possibly effective; within 0 and 1."""
    share, n = np.asarray(share, dtype=float), np.asarray(n, dtype=float)
    z = z_of(level)
    middle = (share + z**2 / (2 * n)) / (1 + z**2 / n)
    reach = z / (1 + z**2 / n) * np.sqrt(share * (1 - share) / n + z**2 / (4 * n**2))
    # at 0 and 1 the bound is the share itself, which arithmetic misses by a rounding error
    return np.where(share == 0, 0.0, middle - reach), np.where(share == 1, 1.0, middle + reach)


def error_of(parts: npt.NDArray[np.float64], cluster: pl.Series | None = None) -> tuple[float, float]:
    """Standard error of the sum of independent `parts` of mean 0, and the degrees of freedom of Student's law.

    The degrees are those of a scaled chi-square with the mean and variance of the sum of squares (Satterthwaite 1946,
    Biometrics Bulletin 2, 110-114), which a few large parts - a small arm, few buyers, unlike clusters - make few.
    """
    scale = 1.0
    if cluster is not None:
        told = pl.DataFrame({"cluster": cluster, "part": parts}).group_by("cluster").agg(pl.sum("part"))
        parts, scale = told["part"].to_numpy(), len(told) / max(1, len(told) - 1)
    largest = float(np.abs(parts).max(initial=0.0))
    if largest == 0:
        return 0.0, 1.0
    squares = (parts / largest) ** 2
    degrees = 3 * squares.sum() ** 2 / (squares**2).sum()
    return largest * math.sqrt(scale * squares.sum()), max(1.0, min(len(parts) - 1.0, float(degrees)))


def holm(p_values: npt.ArrayLike) -> npt.NDArray[np.float64]:
    """Holm's adjusted p-values, in the order given (1979, Scandinavian Journal of Statistics 6, 65-70)."""
    p = np.asarray(p_values, dtype=float)
    order = np.argsort(p, kind="stable")
    adjusted = np.empty(len(p))
    adjusted[order] = np.maximum.accumulate(p[order] * np.arange(len(p), 0, -1)).clip(max=1.0)
    return adjusted


def _sentence(row: dict[str, Any], telling: list[str]) -> str:
    name = row["contrast"] or row["group"]
    if "metric" in telling:
        name = row["metric"] if name == "all" else f"{row['metric']}, {name}"
    if "horizon_days" in telling and row["horizon_days"] is not None:
        name += f", {row['horizon_days']:g} days"
    name = ", ".join([name, *(row[one] for one in telling if one in ("group", "estimand", "method"))])
    if row["verdict"] == "refused":
        return f"{name}: refused. {row['reason']}"
    values = [row[key] for key in ("estimate", "low", "high")]
    known = [value for value in values if value is not None]
    width = max(known) - min(known) if known else 0.0
    digits = max(0, 3 - math.ceil(math.log10(max(width, 1e-12)))) if width else 3
    estimate, low, high = ("none" if value is None else f"{value:,.{digits}f}" for value in values)
    between = {"rays": f"all but {low} to {high}", "line": "any value"}.get(row["set_shape"], f"{low} to {high}")
    measure = f" {row['measure']}" if row["measure"] else ""
    return f"{name}: {estimate} ({between}){measure}, n = {row['n']:,}"
