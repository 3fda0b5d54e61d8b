"""All answers beside each other: of many methods, refusals included, and beside the truth where it is known.

In: tables of Estimates. Out: `ledger` -> EstimateTable; `adjust` -> `Adjusted`, p-values that know of each other.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import polars as pl

from shoptoolkit.contract import EstimateTable
from shoptoolkit.contract.arrays import Floats
from shoptoolkit.contract.check import check_level, choose
from shoptoolkit.contract.estimates import holm
from shoptoolkit.contract.show import html_table

_KEY = ("question", "estimand", "metric", "contrast", "horizon_days", "group")


def ledger(*tables: EstimateTable, truth: EstimateTable | None = None) -> EstimateTable:
    """What do all methods say, side by side, and how far is each from the truth?

    Parameters
    ----------
    *tables
        What the estimators gave, in the order in which the ledger shall have them. Refused rows stay.
    truth
        What is true, such as `simulate.shop(...).truth.estimates`. A row is given the truth of the same question,
        estimand, metric, contrast, horizon_days and group; a row without such a truth has null. That of the simulator
        is counted from the assignment; windows of ghost ads, which begin at eligibility (`method` says so), end later.

    Returns
    -------
    EstimateTable
        Every row of every table, in the order given, with `truth`. Draw it with `figures.estimates`.

    Raises
    ------
    TypeError
        Something is no EstimateTable.
    ValueError
        There is no table, or `truth` tells different numbers for the same.

    Examples
    --------
    >>> from shoptoolkit.contract import estimate_row
    >>> told = {"question": "?", "estimand": "per assigned customer", "metric": "orders", "group": "all", "n": 9}
    >>> table = EstimateTable.from_rows([estimate_row(estimate=1.0, standard_error=0.5, level=0.9, method="a", **told)])
    >>> truth = EstimateTable.from_rows([estimate_row(estimate=1.3, standard_error=0.0, level=0.9, method="b", **told)])
    >>> ledger(table, table, truth=truth).table["truth"].to_list()
    [1.3, 1.3]
    """
    if not tables:
        raise ValueError("ledger is given no table; pass what estimators gave, e.g. ledger(lift(...), geo(...)).")
    rows = pl.concat([_table(one) for one in tables])
    if truth is None:
        return EstimateTable(table=rows)
    known = _table(truth).filter(pl.col("estimate").is_not_null()).select(*_KEY, known="estimate").unique()
    known = known.join(rows.select(_KEY).unique(), on=_KEY, how="semi", nulls_equal=True)
    if len(twice := known.filter(known.select(_KEY).is_duplicated()).sort("known")):
        one = twice.row(0, named=True)
        told = ", ".join(f"{name} {one[name]!r}" for name in _KEY if one[name] is not None)
        raise ValueError(f"truth has several numbers for {told}; pass it with one of them.")
    beside = rows.join(known, on=_KEY, how="left", nulls_equal=True, maintain_order="left")
    return EstimateTable(table=beside.with_columns(truth=pl.coalesce("known", "truth")).drop("known"))


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Adjusted:
    """P-values that know how many questions were asked.

    `table`: the estimates with p_adjusted, and rejected (whether it is at most 1 - `level`); both are null where there
    is no p_value. `method`: what is held at 1 - `level`.
    """

    table: pl.DataFrame
    method: str
    level: float

    def __repr__(self) -> str:
        asked = self.table["p_value"].count()
        return (
            f"{self.table['rejected'].sum()} of {asked} null hypotheses rejected ({self.method}, level {self.level:g})"
        )

    def _repr_html_(self) -> str:
        names = [one for one in _KEY if self.table[one].n_unique() > 1] or ["metric"]
        shown = self.table.select(*names, "method", "estimate", "p_value", "p_adjusted", "rejected")
        return html_table(shown, title="Adjusted p-values", note=repr(self))


def adjust(estimates: EstimateTable, *, method: str = "holm", level: float = 0.95) -> Adjusted:
    """Which of the answers are still distinct from nothing, as so many questions were asked?

    Parameters
    ----------
    estimates
        One family of questions; a `ledger` of several tables is one family too. Refused rows, and rows without a
        p-value, stay and are not counted.
    method
        "holm": the chance of any false rejection is at most 1 - `level`, however the tests depend on each other.
        "benjamini_hochberg": the expected share of false ones among the rejections is, for independent tests or ones
        that are positively dependent.
    level
        See `method`.

    Returns
    -------
    Adjusted
        `table`: the rows as given, with p_adjusted and rejected.

    Raises
    ------
    TypeError
        `estimates` is no EstimateTable.
    ValueError
        `method` is unknown, or `level` is out of range.

    References
    ----------
    Holm (1979), Scandinavian Journal of Statistics 6, 65-70. Benjamini and Hochberg (1995), JRSS B 57, 289-300.

    Examples
    --------
    >>> from shoptoolkit.contract import estimate_row
    >>> told = {"question": "?", "estimand": "?", "metric": "orders", "method": "?", "n": 9, "level": 0.95, "null": 0}
    >>> rows = (estimate_row(estimate=z, standard_error=1.0, group=str(z), **told) for z in (3.0, 2.1, 0.5))
    >>> adjust(EstimateTable.from_rows(rows)).table.select(pl.col("p_adjusted").round(3), "rejected").rows()
    [(0.008, True), (0.071, False), (0.617, False)]
    """
    choose("method", method, ("holm", "benjamini_hochberg"))
    check_level(level)
    table = _table(estimates)
    given = table["p_value"].drop_nulls().to_numpy()
    rank = table["p_value"].rank("ordinal") - 1
    adjusted = pl.Series("p_adjusted", (holm if method == "holm" else _benjamini_hochberg)(np.sort(given)))
    told = table.with_columns(p_adjusted=adjusted.gather(rank) if len(given) else pl.lit(None, pl.Float64))
    return Adjusted(table=told.with_columns(rejected=pl.col("p_adjusted") <= 1 - level), method=method, level=level)


def _benjamini_hochberg(p: Floats) -> Floats:
    return np.minimum.accumulate((p * len(p) / np.arange(1, len(p) + 1))[::-1])[::-1].clip(max=1.0)


def _table(one: EstimateTable) -> pl.DataFrame:
    if not isinstance(one, EstimateTable):
        raise TypeError(
            f"an EstimateTable is needed, got {type(one).__name__}; of a result with more than estimates, pass those: "
            "result.estimates."
        )
    return one.table
