"""The features of a fit: which columns of which types, and how they become the matrix that trees read.

In: a frame. Out: `usable` -> the names of the columns that can be features; `Encoder.learn` -> an `Encoder`, whose
`encode` gives typed features (the same for every later frame, or one error that lists all that is wrong) and whose
`unseen` counts categories it has never met; `matrix` -> float32 with NaN where a value is missing.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import polars as pl

from shoptoolkit.contract import ContractError

Floats = npt.NDArray[np.float64]
_TEXTS = (pl.String, pl.Categorical, pl.Enum)
_WORDS = {"number": "a number", "flag": "Boolean", "category": "String, Categorical or Enum"}
_MOST_CATEGORIES = 1_000


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Encoder:
    """What a frame must be to be read by a fit.

    `dtypes`: feature -> its polars type in the training frame, as text. `kinds`: feature -> number, flag or category.
    `categories`: text feature -> the values it had in training, in the order of their codes.
    """

    dtypes: Mapping[str, str]
    kinds: Mapping[str, str]
    categories: Mapping[str, tuple[str, ...]]

    @classmethod
    def learn(cls, train: pl.DataFrame, features: Sequence[str]) -> Encoder:
        """The types and categories of the training frame; a ContractError names each feature that will not do."""
        kinds = {name: _kind(train.schema[name]) or "" for name in features}
        categories = {name: _values(train[name]) for name in features if kinds[name] == "category"}
        encoder = cls(
            dtypes={name: str(train.schema[name]) for name in features}, kinds=kinds, categories=dict(categories)
        )
        if faults := [*_bad_types(train, kinds), *_infinite(train, kinds), *_too_many(categories)]:
            raise ContractError(f"features: {'; '.join(faults)}.")
        if faults := _constant(matrix(encoder.encode(train)), train, features):
            raise ContractError(
                f"features: {'; '.join(faults)} in the training part. A constant teaches nothing: leave it out of "
                "features=, or train on a longer time."
            )
        return encoder

    @property
    def features(self) -> tuple[str, ...]:
        """Names, in the order of the matrix's columns."""
        return tuple(self.kinds)

    def encode(self, frame: pl.DataFrame) -> pl.DataFrame:
        """Float64, Boolean and Enum columns in the fit's order; null where missing, NaN or a category never seen."""
        self._check(frame)
        return frame.select(self._expression(name, frame.schema[name]) for name in self.features)

    def unseen(self, frame: pl.DataFrame) -> pl.DataFrame:
        """Categories that were not in the training part: feature, category, rows."""
        self._check(frame)
        parts = [_unseen(frame[name].cast(pl.String), values) for name, values in self.categories.items()]
        schema = {"feature": pl.String, "category": pl.String, "rows": pl.Int64}
        return pl.concat([pl.DataFrame(schema=schema), *parts])

    def _expression(self, name: str, dtype: pl.DataType) -> pl.Expr:
        column, kind = pl.col(name), self.kinds[name]
        if kind == "number":
            return column.cast(pl.Float64).fill_nan(None)
        if kind == "flag" or dtype == pl.Null:
            return column.cast(pl.Boolean if kind == "flag" else pl.Enum(self.categories[name]))
        return column.cast(pl.String).cast(pl.Enum(self.categories[name]), strict=False)

    def _check(self, frame: pl.DataFrame) -> None:
        faults = [f"'{name}' is missing" for name in self.features if name not in frame.columns]
        for name, kind in self.kinds.items():
            dtype = frame.schema.get(name)
            if dtype is not None and dtype != pl.Null and _kind(dtype) != kind:
                faults.append(f"'{name}' is {dtype}, must be {_WORDS[kind]} ({self.dtypes[name]} in training)")
        right = {name: kind for name, kind in self.kinds.items() if _kind(frame.schema.get(name)) == kind}
        if faults := faults + _infinite(frame, right):
            raise ContractError(f"features: {'; '.join(faults)}. It has: {', '.join(frame.columns) or 'no columns'}.")


def usable(frame: pl.DataFrame, *, features: Sequence[str] | None, taken: Iterable[str]) -> list[str]:
    """The names of the features in sorted order, so that the order of the columns decides nothing."""
    reserved = list(taken)
    if isinstance(features, str):
        raise TypeError(f"features is {features!r}; it must be a list of column names, e.g. [{features!r}].")
    names = [name for name in frame.columns if name not in reserved] if features is None else list(features)
    if clash := [name for name in names if name in reserved]:
        raise ValueError(f"features has {_quoted(clash)}: the id, time and outcome columns cannot be features.")
    if twice := sorted({name for name in names if names.count(name) > 1}):
        raise ValueError(f"features names {_quoted(twice)} more than once.")
    if not names:
        raise ValueError(f"there are no features; beside {_quoted(reserved)}, at least one column is needed.")
    return sorted(names)


def matrix(encoded: pl.DataFrame) -> Any:
    """One float32 column per feature, NaN where missing; categories by their code."""
    return encoded.select(pl.all().to_physical().cast(pl.Float32)).to_numpy()


def _kind(dtype: Any) -> str | None:
    """Which kind of feature a column of this type is; a column without any value yet counts as a number."""
    if dtype is None:
        return None
    if dtype == pl.Boolean:
        return "flag"
    if dtype in _TEXTS:
        return "category"
    return "number" if dtype.is_numeric() or dtype == pl.Null else None


def _values(column: pl.Series) -> tuple[str, ...]:
    """The values that occur, in the order of an Enum's own list, else sorted."""
    seen = set(column.cast(pl.String).drop_nulls().unique())
    own = column.dtype.categories.to_list() if isinstance(column.dtype, pl.Enum) else sorted(seen)
    return tuple(value for value in own if value in seen)


def _unseen(column: pl.Series, values: Sequence[str]) -> pl.DataFrame:
    counted = column.drop_nulls().alias("category").value_counts(name="rows")
    in_order = counted.sort("rows", "category", descending=[True, False])
    new = in_order.filter(~pl.col("category").is_in(list(values)))
    return new.select(pl.lit(column.name).alias("feature"), "category", pl.col("rows").cast(pl.Int64))


def _bad_types(frame: pl.DataFrame, kinds: Mapping[str, str]) -> list[str]:
    return [
        f"'{name}' is {frame.schema[name]}, must be a number, Boolean or text (turn a time into days before as_of)"
        for name, kind in kinds.items()
        if not kind
    ]


def _infinite(frame: pl.DataFrame, kinds: Mapping[str, str]) -> list[str]:
    """Also what is infinite as float32, which is how trees read it."""
    numbers = [name for name, kind in kinds.items() if kind == "number"]
    if not numbers:
        return []
    found = frame.select(pl.col(numbers).cast(pl.Float32).is_infinite().sum()).row(0, named=True)
    return [f"'{name}' has {count:,} infinite values (or beyond 3.4e38)" for name, count in found.items() if count]


def _too_many(categories: Mapping[str, tuple[str, ...]]) -> list[str]:
    return [
        f"'{name}' has {len(values):,} categories, more than {_MOST_CATEGORIES:,} (is it an id?)"
        for name, values in categories.items()
        if len(values) > _MOST_CATEGORIES
    ]


def _constant(values: Any, train: pl.DataFrame, features: Sequence[str]) -> list[str]:
    """Constant as float32, which is how trees read it; a column that is sometimes missing is not constant."""
    same = ((values == values[:1]) | (np.isnan(values) & np.isnan(values[:1]))).all(axis=0)
    found = [name for name, is_it in zip(features, same, strict=True) if is_it]
    return [
        f"'{name}' is always {'missing' if np.isnan(values[0, features.index(name)]) else train[name][0]}"
        for name in found
    ]


def _quoted(names: Iterable[str]) -> str:
    return ", ".join(map(repr, names))
