"""What each feature adds to an answer, as one long table: the result of everything that explains.

In: encoded features and contributions. Out: `Explanation`, with `importance` (mean size by feature), `over_time` (the
same by period), `steps` (one row from base to answer), `only` (one group), `at` (one period), `by_signal` (features
that say the same, added up); `long` makes its table.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

import polars as pl

from shoptoolkit.contract.arrays import Floats
from shoptoolkit.contract.show import html_table

COLUMNS = {
    "row": pl.Int64,
    "group": pl.String,
    "feature": pl.String,
    "value": pl.Float64,
    "shown": pl.String,
    "contribution": pl.Float64,
    "error": pl.Float64,
    "base": pl.Float64,
    "period": pl.Int64,
}


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Explanation:
    """What each feature adds to the answer for each row. Draw it with `figures.beeswarm` and its neighbours.

    `table`: row (its number in the frame, from 0), group, feature, value (categories by their code), shown (the value
    in words; null where the model reads it as missing), contribution, error (its Monte-Carlo error; null where it is
    exact), base, period (1, 2, ... of a survival model, else null). Of one row and period, base plus contributions is
    the answer on `scale`: "margin" is log-odds, before any calibration; "effect" a score in units of the outcome;
    "logit hazard" the log-odds to come back in a period, "log survival" the log of the chance not to be back by its
    end. `kind`: the method and what it conditions on. `categories`: features whose value is only a code. `n`: rows
    explained; `sample`: how they were chosen; `period_days`: length of a period, of a survival model.
    """

    table: pl.DataFrame
    scale: str
    kind: str
    categories: tuple[str, ...]
    n: int
    sample: str
    period_days: float | None = None

    def importance(self) -> pl.DataFrame:
        """How much each feature moves the answer: group, feature, mean_size (mean absolute contribution), rank, n.

        Over all periods, where there are several. Largest first in each group; ties by name.
        """
        return self._sizes("group")

    def over_time(self) -> pl.DataFrame:
        """The same by period: group, period, until_days (its last day), feature, mean_size, rank, n."""
        if self.period_days is None:
            raise ValueError(f"this explanation, on the scale {self.scale!r}, has no periods; explain_survival's has.")
        until = (pl.col("period") * self.period_days).alias("until_days")
        return self._sizes("group", "period").select("group", "period", until, "feature", "mean_size", "rank", "n")

    def _sizes(self, *keys: str) -> pl.DataFrame:
        size, rank = pl.col("contribution").abs().mean(), pl.col("mean_size").rank("average", descending=True)
        sizes = self.table.group_by(*keys, "feature").agg(mean_size=size, n=pl.col("row").n_unique().cast(pl.Int64))
        in_order = sizes.sort(*keys, -pl.col("mean_size"), "feature")
        return in_order.select(*keys, "feature", "mean_size", rank.over(keys).alias("rank"), "n")

    def steps(self, row: int, *, most: int = 8) -> pl.DataFrame:
        """One row's way from base to answer: feature, shown, contribution, start, end.

        The `most` largest contributions come by size; the others are summed in a last step, "3 other features".
        """
        part = self.table.filter(pl.col("row") == row)
        if part["period"].n_unique() > 1:
            raise ValueError(f"row {row} has {part['period'].n_unique()} periods; take one, e.g. .at(1).steps({row}).")
        if part.is_empty():
            known = self.table["row"].unique().sort()
            raise ValueError(f"row is {row}; it is not among the {self.n:,} rows explained (e.g. {known[0]}).")
        if most < 1:
            raise ValueError(f"most is {most}; it must be at least 1.")
        ranked = part.sort(-pl.col("contribution").abs(), "feature").select("feature", "shown", "contribution", "base")
        if len(ranked) > most + 1:
            rest = ranked.slice(most)
            told = {"feature": f"{len(rest)} other features", "shown": None, "base": part["base"][0]}
            last = pl.DataFrame({**told, "contribution": rest["contribution"].sum()}, schema_overrides=COLUMNS)
            ranked = pl.concat([ranked.head(most), last.select(ranked.columns)])
        end = pl.col("base") + pl.col("contribution").cum_sum()
        return ranked.select("feature", "shown", "contribution", start=end - pl.col("contribution"), end=end)

    def only(self, group: str) -> Explanation:
        """The rows of one group."""
        part = self.table.filter(pl.col("group") == group)
        if part.is_empty():
            known = ", ".join(map(repr, self.table["group"].unique().sort()))
            raise ValueError(f"group is {group!r}; it must be one of {known}.")
        return replace(self, table=part, n=part["row"].n_unique())

    def at(self, period: int) -> Explanation:
        """One period of a survival model."""
        part = self.table.filter(pl.col("period") == period)
        if part.is_empty():
            known = self.table["period"].drop_nulls().unique().sort()
            allowed = f"one of {', '.join(map(str, known))}" if len(known) else "left out: this one has no periods"
            raise ValueError(f"period is {period}; it must be {allowed}.")
        return replace(self, table=part)

    def by_signal(self, signals: Mapping[str, str]) -> Explanation:
        """Contributions of features that say the same thing, added up.

        `signals`: feature -> signal, e.g. of `explain.signals_of`; a feature that it does not name stays by itself.
        A signal has neither value nor words of its own.
        """
        if self.table["error"].null_count() < len(self.table):
            raise ValueError("contributions with a Monte-Carlo error do not add up; pass signals= to explain_survival.")
        renamed = self.table.with_columns(pl.col("feature").replace(dict(signals)))
        keys = ["row", "group", "feature", "base", "period"]
        added = renamed.group_by(keys, maintain_order=True).agg(pl.col("contribution").sum())
        table = added.select(
            (pl.col(name) if name in added.columns else pl.lit(None).alias(name)).cast(kind)
            for name, kind in COLUMNS.items()
        )
        return replace(self, table=table, kind=f"{self.kind}, added up by signal", categories=())

    def __repr__(self) -> str:
        return f"Explanation of {self.n:,} rows ({self.sample}): {self.kind}, {self.scale}\n{self.importance()}"

    def _repr_html_(self) -> str:
        note = f"mean size of the contributions, {self.scale}; {self.kind}; {self.sample}. The model, not the cause."
        return html_table(self.importance().drop("rank"), title="What moves the answer", note=note)


def long(encoded: pl.DataFrame, contributions: Floats, ours: dict[str, Any]) -> pl.DataFrame:
    """One row per explained row and feature, in this order."""
    parts = [
        pl.DataFrame({**_values(column), **ours, "contribution": contributions[:, place]}).with_columns(
            feature=pl.lit(column.name), error=pl.lit(None), period=pl.lit(None)
        )
        for place, column in enumerate(encoded.iter_columns())
    ]
    told = pl.concat(parts).select(pl.col(name).cast(kind) for name, kind in COLUMNS.items())
    return told.sort("row", maintain_order=True)


def _values(column: pl.Series) -> dict[str, pl.Series]:
    """A feature as numbers and in words."""
    if isinstance(column.dtype, pl.Enum):
        words = column.cast(pl.String)
    elif column.dtype == pl.Boolean:
        words = column.replace_strict({True: "yes", False: "no"}, return_dtype=pl.String)
    else:
        words = column.map_elements(_number, pl.String)
    return {"value": column.to_physical().cast(pl.Float64), "shown": words}


def _number(value: float) -> str:
    return f"{value:,.0f}" if abs(value) >= 1000 else f"{value:.4g}"
