"""Covariates of a regression: from columns of a frame to a matrix of numbers, the same way for every later frame.

In: a frame. Out: `Covariates.learn` -> `Covariates`, whose `matrix` gives one float column per coefficient. Cox and
parametric fits share it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import polars as pl

from shoptoolkit.contract import ContractError
from shoptoolkit.contract.arrays import Floats
from shoptoolkit.contract.check import days_asked, listed

_MOST_LEVELS = 100


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Covariates:
    """Which columns, and for text their levels; the first level is the reference and has no coefficient."""

    levels: dict[str, tuple[str, ...]]  # column -> its levels; none for numbers and flags

    @classmethod
    def learn(cls, frame: pl.DataFrame, names: Sequence[str]) -> Covariates:
        """Levels of text in sorted order, those of an Enum in its own."""
        names = listed(names)
        faults = [f"no column {name!r}" for name in names if name not in frame.columns]
        faults += [f"{name!r} is named twice" for name in dict.fromkeys(names) if names.count(name) > 1]
        levels = {name: _levels(frame[name]) for name in names if name in frame.columns}
        faults += [
            f"{name!r} has {len(found):,} levels, more than {_MOST_LEVELS} (is it an id?)"
            for name, found in levels.items()
            if len(found) > _MOST_LEVELS
        ]
        if faults:
            raise ContractError(f"covariates: {'; '.join(faults)}. The frame has: {', '.join(frame.columns)}.")
        learnt = cls(levels=levels)
        learnt._check(frame)
        if constant := [name for name in names if frame[name].min() == frame[name].max()]:
            told = "; ".join(f"{name!r} is always {frame[name][0]}" for name in constant)
            raise ContractError(f"covariates: {told}. A constant has no coefficient; leave it out.")
        return learnt

    @property
    def names(self) -> list[str]:
        """One name per coefficient: the column, or column=level."""
        return [name for column, found in self.levels.items() for name in _labels(column, found)]

    def matrix(self, frame: pl.DataFrame) -> Floats:
        """One row per row of the frame; a ContractError lists every column that cannot be used."""
        self._check(frame)
        columns = []
        for name, found in self.levels.items():
            text = pl.col(name).cast(pl.String)
            columns += [text == level for level in found[1:]] if found else [pl.col(name)]
        numbers = [column.cast(pl.Float64).alias(str(place)) for place, column in enumerate(columns)]
        return np.array(frame.select(numbers).to_numpy(), order="C").reshape(len(frame), len(columns))

    def _check(self, frame: pl.DataFrame) -> None:
        faults = [f"{name!r} is missing" for name in self.levels if name not in frame.columns]
        for name, found in self.levels.items():
            if name in frame.columns:
                faults += _faults(frame[name], found)
        if faults:
            raise ContractError(f"covariates: {'; '.join(faults)}.")


def _levels(column: pl.Series) -> tuple[str, ...]:
    if column.dtype not in (pl.String, pl.Categorical, pl.Enum):
        return ()
    found = column.drop_nulls().unique().cast(pl.String)
    if isinstance(column.dtype, pl.Enum):
        return tuple(level for level in column.dtype.categories if level in set(found))
    return tuple(found.sort())


def _labels(column: str, levels: tuple[str, ...]) -> list[str]:
    return [f"{column}={level}" for level in levels[1:]] or [column]


def _faults(column: pl.Series, levels: tuple[str, ...]) -> list[str]:
    name, dtype = column.name, column.dtype
    is_number = dtype.is_numeric() or dtype == pl.Boolean
    if not (levels or is_number):
        return [f"{name!r} is {dtype}, must be a number, Boolean or text (turn a time into days)"]
    if levels and (new := column.cast(pl.String).drop_nulls().unique().sort().to_list()) and set(new) - set(levels):
        unseen = [level for level in new if level not in levels]
        return [f"{name!r} has the levels {unseen[:3]}, which the fit has not seen (it knows {list(levels)})"]
    lost = column.null_count()
    if dtype.is_float() or dtype.is_decimal():
        lost = len(column) - int(column.cast(pl.Float64).is_finite().sum())
    return [f"{name!r} is null, NaN or infinite in {lost:,} of {len(column):,} rows (fill or drop them)"] * bool(lost)


def long_survival(ids: pl.Series, days: Floats, survival: Floats, known: npt.NDArray[np.bool_]) -> pl.DataFrame:
    """The id, duration_days, survival: one row per customer and day; null where not known."""
    return pl.DataFrame(
        {
            ids.name: ids.gather(np.repeat(np.arange(len(ids)), len(days))),
            "duration_days": np.tile(days, len(ids)),
            "survival": survival.ravel(),
        }
    ).with_columns(pl.when(pl.Series(known.ravel())).then("survival").alias("survival"))


def asked(frame: pl.DataFrame, days: float | Sequence[float], waited: float | str, id: str) -> tuple[Floats, Floats]:
    """The days asked for, and the days that each row has already waited; the frame has the id."""
    if id not in frame.columns:
        raise ContractError(f"frame: no column {id!r} (id). It has: {', '.join(frame.columns)}.")
    return days_asked(days), days_waited(frame, waited)


def days_waited(frame: pl.DataFrame, waited: float | str) -> Floats:
    """Days already waited by row; NaN where they are not known."""
    if isinstance(waited, str) and waited not in frame.columns:
        raise ContractError(f"waited is {waited!r}, no such column. It has: {', '.join(frame.columns)}.")
    given = (
        frame[waited].cast(pl.Float64)
        if isinstance(waited, str)
        else pl.Series([float(waited)] * len(frame), dtype=pl.Float64)
    )
    if len(wrong := given.filter(given.is_infinite() | (given < 0))):
        raise ValueError(f"waited has {wrong[0]:g}; days already waited are >= 0 and finite.")
    return given.to_numpy()


def refuse_collinear(information: Floats, n: float, names: Sequence[str], scale: Floats) -> None:
    """From n times the covariance of standardised covariates (within risk sets): is a combination of them constant?"""
    spread = np.sqrt(np.maximum(np.diag(information), 0.0) / n)
    if (flat := spread < 1e-6).any():
        told = ", ".join(repr(names[k]) for k in np.flatnonzero(flat).tolist())
        raise ContractError(
            f"covariates: {told} never differs among those at risk at one time (in one stratum), so it has no "
            "coefficient. Leave it out, or do not stratify by it."
        )
    size = spread * np.sqrt(n)
    values, vectors = np.linalg.eigh(information / np.outer(size, size))
    if values[0] > 1e-10:
        return
    raw = vectors[:, 0] / (spread * scale)
    part = np.flatnonzero(np.abs(vectors[:, 0]) > 1e-4)
    culprit = int(part[-1])
    told = " ".join(f"{-raw[k] / raw[culprit]:+.4g} x {names[k]!r}" for k in part[:-1].tolist())
    raise ContractError(
        f"covariates: {names[culprit]!r} is collinear: it equals {told} (but for a constant) among those at risk. "
        "Leave one of them out, or pass penalty= > 0."
    )
