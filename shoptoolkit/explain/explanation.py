"""What each feature adds to an answer, as one long table: the result of everything that explains.

In: encoded features and contributions. Out: `Explanation`, with `importance` (mean size by feature), `over_time` (the
same by period), `steps` (one row from base to answer), `only` (one group), `at` (one period), `by_signal` (features
that say the same, added up); `long` makes its table, `cells_of` what stands in it beside the contributions.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import polars as pl

from shoptoolkit.contract.arrays import Floats
from shoptoolkit.contract.check import check_number
from shoptoolkit.contract.show import html_table
from shoptoolkit.explain.signals import members, owners

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
    in words; null where the model reads it as missing, "" for a signal of several features), contribution, error (its
    Monte-Carlo error; null where it is exact), base, period (1, 2, ... of a survival model, else null). Of one row and
    period, base plus contributions is the answer on `scale`: "margin" is log-odds, before any calibration; "effect" a
    score in units of the outcome; "logit hazard" the log-odds to come back in a period, "log survival" the log of the
    chance not to be back by its end. `kind`: the method and what it conditions on. `categories`: features whose value
    is only a code. `n`: rows explained; `sample`: how they were chosen; `period_days`: length of a period, of a
    survival model.
    """

    table: pl.DataFrame
    scale: str
    kind: str
    categories: tuple[str, ...]
    n: int
    sample: str
    period_days: float | None = None

    @property
    def of(self) -> str:
        """What the rows of the table are of: "features", or "signals" that add several up."""
        return "signals" if (self.table["shown"] == "").any() else "features"

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
        check_number("most", most, least=1, whole=True)
        part = picked(self.table, "row", row)
        if part["period"].n_unique() > 1:
            raise ValueError(f"row {row} has {part['period'].n_unique()} periods; take one, e.g. .at(1).steps({row}).")
        ranked = part.sort(-pl.col("contribution").abs(), "feature").select("feature", "shown", "contribution", "base")
        if len(ranked) > most + 1:
            rest = ranked.slice(int(most))
            told = {"feature": f"{len(rest)} other {self.of}", "shown": None, "base": part["base"][0]}
            last = pl.DataFrame({**told, "contribution": rest["contribution"].sum()}, schema_overrides=COLUMNS)
            ranked = pl.concat([ranked.head(int(most)), last.select(ranked.columns)])
        end = pl.col("base") + pl.col("contribution").cum_sum()
        return ranked.select("feature", "shown", "contribution", start=end - pl.col("contribution"), end=end)

    def only(self, group: str) -> Explanation:
        """The rows of one group."""
        part = picked(self.table, "group", group)
        return replace(self, table=part, n=part["row"].n_unique())

    def at(self, period: int) -> Explanation:
        """One period of a survival model."""
        if self.period_days is None:
            raise ValueError(f"period is {period!r}; leave .at() out: this one, on the scale {self.scale!r}, has none.")
        return replace(self, table=picked(self.table, "period", period))

    def renamed(self, labels: Mapping[str, str]) -> Explanation:
        """The same under other names, e.g. for figures by the labels of `explain.dictionary`; others stay."""
        known = owners(self.table["feature"].unique(maintain_order=True), labels, name="labels")
        if alike := [names for names in members(known).values() if len(names) > 1]:
            raise ValueError(
                f"labels give {few(alike[0])} one name, {known[alike[0][0]]!r}; to add up, use .by_signal()."
            )
        names = tuple(known.get(name, name) for name in self.categories)
        return replace(self, table=self.table.with_columns(pl.col("feature").replace(known)), categories=names)

    def by_signal(self, signals: Mapping[str, str]) -> Explanation:
        """Contributions of features that say the same thing, added up.

        `signals`: feature -> signal, e.g. of `explain.signals_of`; a feature that it does not name stays by itself.
        A signal of several features has neither value nor words of its own: value is null, shown is "".
        """
        if self.table["error"].null_count() < len(self.table):
            raise ValueError("contributions with a Monte-Carlo error do not add up; pass signals= to explain_survival.")
        known = owners(self.table["feature"].unique(maintain_order=True), signals)
        renamed = self.table.with_columns(pl.col("feature").replace(known))
        keys = ["row", "group", "feature", "base", "period"]
        is_one = pl.len() == 1
        table = renamed.group_by(keys, maintain_order=True).agg(
            pl.col("contribution").sum(),
            pl.when(is_one).then(pl.col("value").first()),
            pl.when(is_one).then(pl.col("shown").first()).otherwise(pl.lit("")),
            error=pl.lit(None, pl.Float64),
        )
        kept = tuple(by for by, one in members(known).items() if len(one) == 1 and one[0] in self.categories)
        return replace(self, table=table.select(*COLUMNS), kind=f"{self.kind}, added up by signal", categories=kept)

    def __repr__(self) -> str:
        return f"Explanation of {self.n:,} rows ({self.sample}): {self.kind}, {self.scale}\n{self.importance()}"

    def _repr_html_(self) -> str:
        note = f"mean size of the contributions, {self.scale}; {self.kind}; {self.sample}. The model, not the cause."
        return html_table(self.importance().drop("rank"), title="What moves the answer", note=note)


def picked(table: pl.DataFrame, name: str, value: object) -> pl.DataFrame:
    """The rows with this value of a column."""
    known = table[name].unique().sort().to_list()
    if value not in known:
        raise ValueError(f"{name} is {value!r}; it must be one of {few(known)}.")
    return table.filter(pl.col(name) == value)


def few(names: Iterable[object]) -> str:
    """A few of many names."""
    first = [repr(name) for name in names]
    return ", ".join(first[:5]) + (f" and {len(first) - 5} more" if len(first) > 5 else "")


def long(
    cells: Sequence[tuple[str, pl.Series, pl.Series]],
    contributions: Floats,
    base: Floats,
    *,
    row: Any,
    group: pl.Series,
    periods: Sequence[int | None] = (None,),
    error: Floats | None = None,
) -> pl.DataFrame:
    """One row per explained row, period and feature, in this order.

    `cells`: name, value and words of each feature, as `cells_of` gives them; `contributions` and `error` are rows x
    periods x features, `base` rows x periods.
    """
    n, times, width = contributions.shape
    who, place = np.repeat(np.arange(n), times * width), np.tile(np.arange(width), n * times)
    names, values, words = zip(*cells, strict=True)
    columns = {
        "row": pl.Series(row).gather(who),
        "group": group.gather(who),
        "feature": pl.Series(names).gather(place),
        "value": pl.concat(values).gather(place * n + who),
        "shown": pl.concat(words).gather(place * n + who),
        "contribution": contributions.ravel(),
        "error": pl.repeat(None, len(who), eager=True) if error is None else error.ravel(),
        "base": np.repeat(base, width),
        "period": pl.Series(periods, dtype=pl.Int64).gather(np.tile(np.repeat(np.arange(times), width), n)),
    }
    return pl.DataFrame(columns, schema_overrides=COLUMNS)


def cells_of(encoded: pl.DataFrame, signals: Mapping[str, str] | None = None) -> list[tuple[str, pl.Series, pl.Series]]:
    """Name, value and words of each feature; of a signal of several features, which has neither, null and ""."""
    several = (pl.repeat(None, len(encoded), dtype=pl.Float64, eager=True), pl.repeat("", len(encoded), eager=True))
    owned = members({name: name for name in encoded.columns} if signals is None else signals)
    return [
        (name, *(several if len(features) > 1 else (_value(encoded[features[0]]), _words(encoded[features[0]]))))
        for name, features in owned.items()
    ]


def categories_of(encoded: pl.DataFrame, signals: Mapping[str, str] | None = None) -> tuple[str, ...]:
    """The features, or signals of one feature, whose value is only a code."""
    owned = members({name: name for name in encoded.columns} if signals is None else signals)
    return tuple(
        name for name, features in owned.items() if len(features) == 1 and encoded.schema[features[0]] == pl.Enum
    )


def _value(column: pl.Series) -> pl.Series:
    return column.to_physical().cast(pl.Float64)


def _words(column: pl.Series) -> pl.Series:
    """A feature's values in words."""
    if isinstance(column.dtype, pl.Enum):
        return column.cast(pl.String)
    known = column.drop_nulls().unique()
    told = [_number(value) if column.dtype != pl.Boolean else ("no", "yes")[value] for value in known]
    return column.replace_strict(known, told, default=None, return_dtype=pl.String)


def _number(value: float) -> str:
    return f"{value:,.0f}" if abs(value) >= 1000 else f"{value:.4g}"
