"""The features of a fit: which columns of which types, and how they become the matrix that trees read.

In: a frame. Out: `Encoder.learn` -> an `Encoder`, whose `encode` gives typed features (the same for every later frame,
or one error that lists all that is wrong) and whose `unseen` counts categories it has never met (`unseen_in_words` says
so, `warn` warns); `matrix` -> float32 with NaN where a value is missing.
"""

from __future__ import annotations

import warnings
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import polars as pl

from shoptoolkit.contract import ContractError

_TEXTS = (pl.String, pl.Categorical, pl.Enum)
_WORDS = {"number": "a number", "flag": "Boolean", "category": "String, Categorical or Enum"}
_MOST_CATEGORIES = 1_000
_READ = pl.all().to_physical().cast(pl.Float32)  # how trees read a value


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Encoder:
    """What a frame must be to be read by a fit.

    `dtypes`: feature -> its polars type in the training frame, as text. `kinds`: feature -> number, flag or category.
    `categories`: text feature -> the values it had in training, sorted; their place is their code.
    """

    dtypes: Mapping[str, str]
    kinds: Mapping[str, str]
    categories: Mapping[str, tuple[str, ...]]

    @classmethod
    def learn(cls, train: pl.DataFrame, features: Sequence[str]) -> Encoder:
        """The types and categories of the training frame; a ContractError names each feature that will not do."""
        dtypes = {name: train.schema[name] for name in features}
        kinds = {name: _kind(dtype) for name, dtype in dtypes.items()}
        texts = [name for name, kind in kinds.items() if kind == "category"]
        categories = {name: tuple(train[name].cast(pl.String).drop_nulls().unique().sort()) for name in texts}
        faults = [
            f"'{name}' is {dtype}, must be a number, Boolean or text (turn a time into days before as_of)"
            for name, dtype in dtypes.items()
            if not kinds[name]
        ]
        faults += _infinite(train, features)
        faults += [
            f"'{name}' has {len(values):,} categories, more than {_MOST_CATEGORIES:,} (is it an id?)"
            for name, values in categories.items()
            if len(values) > _MOST_CATEGORIES
        ]
        if faults:
            raise ContractError(f"features: {'; '.join(faults)}.")
        encoder = cls(dtypes={name: str(dtypes[name]) for name in features}, kinds=kinds, categories=categories)
        if faults := _constant(encoder.encode(train), train):
            raise ContractError(
                f"features: {'; '.join(faults)} in the training part. A constant teaches nothing: leave it out of "
                "features=, or train on a longer time."
            )
        return encoder

    @classmethod
    def of(cls, entries: Mapping[str, Any]) -> Encoder:
        """The encoder again, of what a fit on disk says."""
        categories = {name: tuple(values) for name, values in entries["categories"].items()}
        return cls(dtypes=entries["dtypes"], kinds=entries["kinds"], categories=categories)

    @property
    def features(self) -> tuple[str, ...]:
        """Names, in the order of the matrix's columns."""
        return tuple(self.kinds)

    def encode(self, frame: pl.DataFrame) -> pl.DataFrame:
        """Float64, Boolean and Enum columns in the fit's order; null where missing, NaN or a category never seen."""
        self._check(frame)
        return frame.select(self._expression(name, kind) for name, kind in self.kinds.items())

    def unseen(self, frame: pl.DataFrame) -> pl.DataFrame:
        """Categories that were not in the training part: feature, category, rows."""
        self._check(frame)
        parts = [pl.DataFrame(schema={"feature": pl.String, "category": pl.String, "rows": pl.Int64})]
        for name, values in self.categories.items():
            column = frame[name].cast(pl.String).alias("category")
            new = column.filter(~column.is_in(list(values))).value_counts(name="rows")
            in_order = new.sort("rows", "category", descending=[True, False])
            parts.append(in_order.select(pl.lit(name).alias("feature"), "category", pl.col("rows").cast(pl.Int64)))
        return pl.concat(parts)

    def _expression(self, name: str, kind: str) -> pl.Expr:
        if kind == "number":
            return pl.col(name).cast(pl.Float64).fill_nan(None)
        if kind == "flag":
            return pl.col(name).cast(pl.Boolean)
        return pl.col(name).cast(pl.String).cast(pl.Enum(self.categories[name]), strict=False)

    def _check(self, frame: pl.DataFrame) -> None:
        """A column without any value yet may be of any type."""
        theirs = {name: frame.schema.get(name) for name in self.features}
        faults = [f"'{name}' is missing" for name, dtype in theirs.items() if dtype is None]
        faults += [
            f"'{name}' is {dtype}, must be {_WORDS[self.kinds[name]]} ({self.dtypes[name]} in training)"
            for name, dtype in theirs.items()
            if dtype not in (None, pl.Null) and _kind(dtype) != self.kinds[name]
        ]
        faults += _infinite(frame, self.features)
        if faults:
            raise ContractError(f"features: {'; '.join(faults)}. It has: {', '.join(frame.columns) or 'no columns'}.")


def unseen_in_words(unseen: pl.DataFrame) -> list[str]:
    """One sentence per feature with categories that training has not seen."""
    return [
        f"{part['rows'].sum():,} rows have a category of {name!r} that training has not seen "
        f"(e.g. {part['category'][0]!r}); they count as missing."
        for (name,), part in unseen.group_by("feature", maintain_order=True)
    ]


def warn(messages: Iterable[str]) -> None:
    """Warn at the line that called the public function which called this."""
    for message in messages:
        warnings.warn(message, UserWarning, stacklevel=3)


def matrix(encoded: pl.DataFrame) -> Any:
    """One float32 column per feature, NaN where missing; categories by their code."""
    return encoded.select(_READ).to_numpy()


def _kind(dtype: pl.DataType) -> str:
    """Which kind of feature a column of this type is, "" for none; one without any value counts as a number."""
    if dtype == pl.Boolean:
        return "flag"
    if dtype in _TEXTS:
        return "category"
    return "number" if dtype.is_numeric() or dtype == pl.Null else ""


def _infinite(frame: pl.DataFrame, features: Iterable[str]) -> list[str]:
    """Numbers that are infinite as trees read them."""
    numbers = [name for name in features if name in frame.columns and frame.schema[name].is_numeric()]
    counts = {name: frame[name].cast(pl.Float32).is_infinite().sum() for name in numbers}
    return [f"'{name}' has {count:,} infinite values (or beyond 3.4e38)" for name, count in counts.items() if count]


def _constant(encoded: pl.DataFrame, train: pl.DataFrame) -> list[str]:
    """Constant as trees read it; a column that is sometimes missing is not constant."""
    distinct = encoded.select(_READ.n_unique()).row(0, named=True)
    return [
        f"'{name}' is always {'missing' if encoded[name][0] is None else train[name][0]}"
        for name, count in distinct.items()
        if count == 1
    ]
