"""Moments of the outcomes by arm: all that a comparison of means needs, so that a warehouse can do the counting.

In: Outcomes, or sums from elsewhere. Out: `moments` -> `Moments`, which add up (`+`) and go into `lift` and `power`.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import polars as pl

from shoptoolkit.contract import ContractError, to_polars
from shoptoolkit.contract.arrays import Floats
from shoptoolkit.contract.check import check_number, choose, listed
from shoptoolkit.contract.show import html_table
from shoptoolkit.incrementality.door import metrics_of, rows_of, window_of

_KEY = ("group", "stratum", "arm")
SIZE = "customers"  # how many customers a unit has: 1, or those of a cluster


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Cell:
    """The units of one arm (and group and stratum): how many, means, and cross-products about them.

    The first column is the number of customers in a unit. `cube`: sums of third powers about the means, NaN where not
    known. `rows` about the mean, where errors need them.
    """

    n: int
    mean: Floats
    cross: Floats
    cube: Floats
    rows: Floats | None = None

    @property
    def effective(self) -> float:
        """How many units of equal size tell as much: n, unless some clusters are larger than others."""
        size = self.n * self.mean[0] ** 2
        return float(self.n * size / (size + self.cross[0, 0]))

    @property
    def customers(self) -> int:
        """How many customers."""
        return round(float(self.n * self.mean[0]))


def merged(cells: Iterable[Cell]) -> Cell:
    """One cell for all units (Chan, Golub and LeVeque 1983, American Statistician 37, 242-247)."""
    cells = list(cells)
    n = sum(one.n for one in cells)
    mean = np.asarray(sum(one.n / n * one.mean for one in cells))
    off = [one.mean - mean for one in cells]
    cross = sum(one.cross + one.n * np.outer(far, far) for one, far in zip(cells, off))
    cube = sum(one.cube + 3 * far * np.diag(one.cross) + one.n * far**3 for one, far in zip(cells, off))
    return Cell(n=n, mean=mean, cross=cross, cube=np.asarray(cube))


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Moments:
    """Moments of some columns by group, stratum and arm; `+` merges those of other customers.

    `names`: the columns. `centre`: what was subtracted from each, so that large numbers keep their digits. `cells`:
    (group, stratum, arm) -> moments of `units`, customers or clusters. `window_days`: over how long outcomes were
    counted, where they say so; `start`: from when on.
    """

    names: tuple[str, ...]
    centre: Floats
    cells: dict[tuple[str, str, str], Cell]
    units: str = "customers"
    window_days: float | None = None
    start: str = "assigned_at"

    @property
    def table(self) -> pl.DataFrame:
        """One row per group, stratum, arm and pair of columns.

        group, stratum, arm, n (units); x, y (names of columns; "customers" is the size of a cluster); centre_x,
        centre_y; mean_x, mean_y (means over n units of the sums of x - centre_x); cross (sum of the products of what x
        and y are above these means).
        """
        return pl.DataFrame(list(self._lines()), infer_schema_length=None)

    @classmethod
    def from_sums(
        cls,
        table: Any,
        *,
        centre: Mapping[str, float],
        units: str = "customers",
        window_days: float | None = None,
    ) -> Moments:
        """Moments from sums that a warehouse has counted.

        Parameters
        ----------
        table
            One row per arm (and `group`, `stratum`, where these are columns): arm, n, and with x' = x - centre of x
            sum__x = sum of x' and, for each pair, sum__x__y = sum of x' y' (sum__x__x of squares). Where units are
            clusters, x' is the sum of x - centre over the customers of the cluster, and "customers", their number, is
            one more column, with centre 0.
        centre
            The columns, and for each a number near its values; that of all arms, or the digits of large numbers go.
        units
            "customers", or "clusters".

        Examples
        --------
        >>> sums = pl.DataFrame({"arm": ["ad", "none"], "n": [40, 50], "sum__orders": [12, 10],
        ...                      "sum__orders__orders": [16, 14]})
        >>> Moments.from_sums(sums, centre={"orders": 0})
        Moments of orders: 90 customers in arms 'ad', 'none'
        """
        table, names = _of_sums(table, centre, units), tuple(name for name in centre if name != SIZE)
        every = ([SIZE] if units != SIZE else []) + list(names)
        keys = table.select(
            pl.col(key).cast(pl.String) if key in table.columns else pl.lit("all").alias(key) for key in _KEY
        )
        if keys.is_duplicated().any() or any(keys.null_count().row(0)):
            raise ContractError("moments: arm is null, or several rows have the same arm, group and stratum; sum them.")
        cells = {key: _cell_of_sums(row, every) for key, row in zip(keys.rows(), table.iter_rows(named=True))}
        return cls(
            names=names,
            centre=np.array([centre[name] for name in names], dtype=float),
            cells=cells,
            units=units,
            window_days=window_days,
        )

    def __add__(self, other: Moments) -> Moments:
        if not isinstance(other, Moments):
            return NotImplemented
        if (self.names, self.units) != (other.names, other.units):
            raise ValueError(
                f"moments of {self.units} with {self.names} and of {other.units} with {other.names} cannot be merged; "
                "make both from the same columns."
            )
        if (self.window_days, self.start) != (other.window_days, other.start):
            raise ValueError(
                f"moments over {self.window_days} days from {self.start} and over {other.window_days} from "
                f"{other.start} cannot be merged; count both over the same window."
            )
        moved = {key: _recentred(cell, other.centre - self.centre) for key, cell in other.cells.items()}
        keys = dict.fromkeys([*self.cells, *moved])
        cells = {key: merged(cells[key] for cells in (self.cells, moved) if key in cells) for key in keys}
        return replace(self, cells=cells)

    def __radd__(self, other: int) -> Moments:
        return self if isinstance(other, int) and other == 0 else NotImplemented  # sum() begins with 0

    def __repr__(self) -> str:
        told = ", ".join(repr(arm) for arm in sorted({arm for _, _, arm in self.cells}))
        return (
            f"Moments of {', '.join(self.names)}: {sum(c.n for c in self.cells.values()):,} {self.units} in arms {told}"
        )

    def _repr_html_(self) -> str:
        return html_table(self.table, title=repr(self), note="centred sums of products; merge them with +")

    def places(self, names: Iterable[str]) -> list[int]:
        """Where the columns stand in a cell."""
        if absent := sorted({name for name in names if name not in self.names}):
            told = ", ".join(map(repr, absent))
            raise ContractError(f"moments: {told} missing. They are of {', '.join(self.names)}.")
        return [1 + self.names.index(name) for name in names]

    def weights(self, top: str, bottom: str | None) -> tuple[Floats, Floats, float]:
        """What of a unit's columns makes a numerator and its denominator, by default the customers.

        Last what is to be added to their ratio: a mean stays above its centre, so that differences keep their digits.
        """
        told = np.zeros((2, 1 + len(self.names)))
        centre = 0.0
        for weight, name in zip(told, (top, bottom)):
            weight[self.places([name])[0] if name else 0] = 1
            centre = float(self.centre[self.names.index(name)]) if name else centre
            weight[0] += centre if name and bottom else 0.0
        return told[0], told[1], 0.0 if bottom else centre

    def _lines(self) -> Iterator[dict[str, Any]]:
        names, centre = list(self.names), self.centre.tolist()
        if self.units != SIZE:
            names, centre = [SIZE, *names], [0.0, *centre]
        for key, cell in self.cells.items():
            mean, cross = cell.mean[-len(names) :], cell.cross[-len(names) :, -len(names) :]
            for i, j in zip(*np.triu_indices(len(names))):
                told = {"x": names[i], "y": names[j], "centre_x": centre[i], "centre_y": centre[j]}
                told |= {"mean_x": mean[i], "mean_y": mean[j], "cross": cross[i, j]}
                yield dict(zip(_KEY, key)) | {"n": cell.n} | told


def moments(
    outcomes: Any,
    *,
    metrics: str | Iterable[str] | Mapping[str, Any],
    covariates: str | Iterable[str] = (),
    by: str | None = None,
    strata: str | None = None,
    cluster: str | None = None,
) -> Moments:
    """What `lift` and `power` need to know of the outcomes: counts, means and products, without the customers.

    Parameters
    ----------
    outcomes, metrics, covariates, by, strata, cluster
        As in `lift`; one arm may stand alone, to be merged with others.

    Returns
    -------
    Moments
        `.table` has them as rows; `+` and `sum` merge those of different customers.

    Notes
    -----
    Only totals per customer over the whole window have moments that tell an error: sums of days or of lines would lose
    what binds the days of one customer. Whole numbers, e.g. cents, are summed without rounding up to 2^53.

    Examples
    --------
    >>> shop = pl.DataFrame({"customer_id": range(40), "arm": ["ad", "none"] * 20, "orders": [1, 0, 2, 1] * 10})
    >>> moments(shop.head(18), metrics="orders") + moments(shop.tail(22), metrics="orders")
    Moments of orders: 40 customers in arms 'ad', 'none'
    """
    numbers = columns_of(metrics_of(metrics))
    covariates = listed(covariates, name="covariates")
    table = rows_of(outcomes, numbers=numbers, covariates=covariates, keep=(by, strata, cluster))
    told = gathered(table, [*numbers, *covariates], by=by, strata=strata, cluster=cluster, keep_rows=False)
    return Moments(**told, **window_of(outcomes))


def columns_of(metrics: Mapping[str, tuple[str, str | None]]) -> list[str]:
    """The columns that some metrics are made of."""
    return list(dict.fromkeys(name for pair in metrics.values() for name in pair if name))


def gathered(
    table: pl.DataFrame,
    names: Sequence[str],
    *,
    by: str | None,
    strata: str | None,
    cluster: str | None,
    keep_rows: bool,
) -> dict[str, Any]:
    """Fields of `Moments` from rows, one per customer."""
    names = list(dict.fromkeys(names))
    centre = table.select(pl.col(names).min())  # a value of its own, so that a constant column is exactly 0
    keys = {f"__{key}": one for key, one in zip(_KEY, (by, strata, "arm")) if one}
    units = table.select(
        *(pl.col(one).cast(pl.String).fill_null("unknown").alias(key) for key, one in keys.items()),
        *([pl.col(cluster).alias("__cluster")] if cluster else []),
        pl.lit(1.0).alias("__size"),
        *(pl.col(name) - centre[name][0] for name in names),
    )
    if cluster:
        units = _clusters(units, list(keys), cluster)
    cells = {}
    for found, part in sorted(units.partition_by(*keys, as_dict=True).items()):
        told = dict(zip(keys, found))
        group, stratum, arm = (str(told.get(f"__{key}", "all")) for key in _KEY)
        cells[group, stratum, arm] = _cell(part.select("__size", *names).to_numpy(), keep_rows)
    return {
        "names": tuple(names),
        "centre": centre.to_numpy()[0],
        "cells": cells,
        "units": "clusters" if cluster else SIZE,
    }


def _clusters(units: pl.DataFrame, keys: Sequence[str], cluster: str) -> pl.DataFrame:
    """Sums by cluster; each must lie in one arm and stratum, or it was not what was assigned."""
    if missing := units["__cluster"].null_count():
        raise ContractError(f"outcomes: {cluster!r} is null in {missing:,} rows; every customer needs a cluster.")
    places = units.group_by("__cluster").agg(pl.col([key for key in keys if key != "__group"]).n_unique())
    if len(torn := places.filter(pl.any_horizontal(pl.exclude("__cluster") > 1)).sort("__cluster")):
        raise ContractError(
            f"outcomes: {len(torn):,} of {cluster!r} are in several arms or strata (e.g. {torn['__cluster'][0]!r}), "
            "so clusters were not what was assigned. If customers were, leave cluster= out."
        )
    return units.group_by(*keys, "__cluster").agg(pl.exclude(*keys, "__cluster").sum()).sort("__cluster")


def _cell(rows: Floats, keep_rows: bool) -> Cell:
    mean = rows.mean(axis=0)
    rows = rows - mean
    cube = np.einsum("ij,ij,ij->j", rows, rows, rows)
    return Cell(n=len(rows), mean=mean, cross=rows.T @ rows, cube=cube, rows=rows if keep_rows else None)


def _of_sums(table: Any, centre: Mapping[str, float], units: str) -> pl.DataFrame:
    """The table, if it is one of arms and numbers, with a centre for each column."""
    choose("units", units, (SIZE, "clusters"))
    if not isinstance(centre, Mapping) or not set(centre) - {SIZE}:
        raise TypeError(f"centre is {centre!r}; give {{column: number}}, e.g. {{'revenue': 20.0}}.")
    for name, one in centre.items():
        check_number(f"centre of {name!r}", one, least=-math.inf)
    table = to_polars(table)
    if absent := [name for name in ("arm", "n") if name not in table.columns]:
        raise ContractError(f"moments: {absent[0]!r} missing. The sums have: {', '.join(table.columns)}.")
    wrong = [name for name, kind in table.schema.items() if name.startswith(("n", "sum__")) and kind == pl.String]
    if wrong:
        raise ContractError(f"moments: {wrong[0]!r} is text; it must be numbers.")
    return table


def _cell_of_sums(row: Mapping[str, Any], names: Sequence[str]) -> Cell:
    """One row of sums; the column of customers is 1 for each unit where it is not given."""
    try:
        n, sums = row["n"], np.array([row[f"sum__{name}"] for name in names], dtype=float)
        pairs = [[_either(row, one, other) for other in names] for one in names]
    except KeyError as error:
        raise ContractError(f"moments: {error.args[0]!r} missing. The sums have: {', '.join(row)}.") from error
    squares = np.array(pairs, dtype=float)
    if not n or not n >= 1 or n % 1 or not np.isfinite(squares).all() or not np.isfinite(sums).all():
        raise ContractError(
            f"moments: n is no whole number above 0, or a sum is null or infinite: {dict(row)}. Leave out empty arms."
        )
    mean, cross = sums / n, squares - np.outer(sums, sums) / n
    if names[0] != SIZE:
        mean, cross = np.append(1.0, mean), np.pad(cross, ((1, 0), (1, 0)))
    return Cell(n=int(n), mean=mean, cross=cross, cube=np.full(len(mean), np.nan))


def _either(row: Mapping[str, Any], one: str, other: str) -> Any:
    """The sum of the products of a pair, whichever comes first in its name."""
    name = f"sum__{other}__{one}"
    return row[name] if name in row else row[f"sum__{one}__{other}"]


def _recentred(cell: Cell, step: Floats) -> Cell:
    """The cell with each column moved by `step` for every customer of a unit."""
    turn = np.eye(len(cell.mean))
    turn[1:, 0] = step
    cube = cell.cube if not cell.cross[0, 0] else np.where(turn[:, 0], np.nan, cell.cube)
    return Cell(n=cell.n, mean=turn @ cell.mean, cross=turn @ cell.cross @ turn.T, cube=cube)
