"""What each feature adds to a model's answer for each row: SHAP values of any frozen fit, as a long table.

In: a fit that keeps the protocol `Explainable`, and a frame it can read. Out: `shap_values` -> `Explanation`, with
`importance` (mean size by feature), `steps` (one row from base to answer) and `only` (one group). It describes the
model, not the cause.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from numbers import Integral
from typing import Any, Protocol

import numpy as np
import polars as pl

from shoptoolkit.contract import ContractError, to_polars
from shoptoolkit.contract.arrays import Floats, Ints
from shoptoolkit.contract.show import html_table

_KIND = "path-dependent TreeSHAP"
_GAP = 1e-4  # contributions and base must add up to the answer within this, relative to its size or to 1
COLUMNS = {
    "row": pl.Int64,
    "group": pl.String,
    "feature": pl.String,
    "value": pl.Float64,
    "shown": pl.String,
    "contribution": pl.Float64,
    "base": pl.Float64,
    "period": pl.Int64,
}


class Explainable(Protocol):
    """What a frozen fit offers so that it can be explained. `behaviour.PropensityFit` does."""

    @property
    def features(self) -> tuple[str, ...]:
        """Names, in the order of the contributions' columns."""

    def encode(self, frame: pl.DataFrame) -> pl.DataFrame:
        """The features as the model reads them: numbers, Booleans and Enums; null where missing."""

    def margin(self, frame: pl.DataFrame) -> Floats:
        """The answer on the scale where contributions add up: log-odds."""

    def explain_margin(self, frame: pl.DataFrame) -> tuple[Floats, Floats]:
        """Path-dependent TreeSHAP values (rows x features), and the base of each row."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Explanation:
    """What each feature adds to the answer for each row. Draw it with `figures.beeswarm` and its neighbours.

    `table`: row (its number in the frame, from 0), group, feature, value (categories by their code), shown (the value
    in words; null where the model reads it as missing), contribution, base, period (null). Of one row, base plus
    contributions is the answer on `scale`: "margin" is log-odds, before any calibration; "effect" is a score in units
    of the outcome. `kind`: the method and what it conditions on. `categories`: features whose value is only a code.
    `n`: rows explained; `sample`: how they were chosen.
    """

    table: pl.DataFrame
    scale: str
    kind: str
    categories: tuple[str, ...]
    n: int
    sample: str

    def importance(self) -> pl.DataFrame:
        """How much each feature moves the answer: group, feature, mean_size (mean absolute contribution), rank, n.

        Largest first in each group; ties by name.
        """
        sizes = self.table.group_by("group", "feature").agg(
            mean_size=pl.col("contribution").abs().mean(), n=pl.len().cast(pl.Int64)
        )
        rank = pl.col("mean_size").rank("average", descending=True).over("group")
        return sizes.sort("group", -pl.col("mean_size"), "feature").select(
            "group", "feature", "mean_size", rank.alias("rank"), "n"
        )

    def steps(self, row: int, *, most: int = 8) -> pl.DataFrame:
        """One row's way from base to answer: feature, shown, contribution, start, end.

        The `most` largest contributions come by size; the others are summed in a last step, "3 other features".
        """
        part = self.table.filter(pl.col("row") == row)
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

    def __repr__(self) -> str:
        return f"Explanation of {self.n:,} rows ({self.sample}): {self.kind}, {self.scale}\n{self.importance()}"

    def _repr_html_(self) -> str:
        note = f"mean size of the contributions, {self.scale}; {self.kind}; {self.sample}. The model, not the cause."
        return html_table(self.importance().drop("rank"), title="What moves the answer", note=note)


def shap_values(
    fit: Explainable,
    frame: Any,
    *,
    rows: int | None = None,
    by: str | None = None,
    rng: int | np.random.Generator | None = None,
) -> Explanation:
    """What does each feature add to the model's answer, row by row?

    Parameters
    ----------
    fit
        Any frozen fit with the methods of `Explainable`, e.g. from `behaviour.fit_propensity`.
    frame
        A frame that the fit can read.
    rows
        Explain a sample of this size: TreeSHAP takes about a second per thousand rows. It is systematic along the
        ranked answer (within each group of `by`), so low, middle and high answers come in their shares, and every row
        with the same chance. None, or more rows than there are: all.
    by
        Column whose values become the groups; one group "all" without it.
    rng
        Seed or Generator; needed with `rows`.

    Returns
    -------
    Explanation
        TreeSHAP with the tree path's own weights: exact for the model; what is missing is averaged over the training
        rows that took the same path, so correlated features share what one of them may have earned.

    Raises
    ------
    ContractError
        The frame has no rows, lacks `by`, or is not what the fit reads.
    ValueError
        `rows` is below 1 or comes without `rng`; the fit's contributions do not add up to its answer within 1e-4.

    References
    ----------
    Lundberg et al. (2020), Nature Machine Intelligence 2, 56-67.
    """
    table = to_polars(frame)
    if table.is_empty():
        raise ContractError("shap_values: the frame has 0 rows; at least one is needed.")
    group = _groups(table, by)
    margin = fit.margin(table)
    chosen, sample = _sample(margin, group, rows=rows, rng=rng)
    part = table[chosen]
    contributions, base = fit.explain_margin(part)
    _add_up(contributions, base, margin[chosen], fit.features)
    encoded = fit.encode(part).select(fit.features)
    return Explanation(
        table=_long(encoded, contributions, {"row": chosen, "group": group[chosen], "base": base}),
        scale="margin",
        kind=_KIND,
        categories=tuple(name for name in fit.features if isinstance(encoded.schema[name], pl.Enum)),
        n=len(part),
        sample=sample,
    )


def _groups(table: pl.DataFrame, by: str | None) -> pl.Series:
    if by is None:
        return pl.repeat("all", len(table), eager=True)
    if by not in table.columns:
        raise ContractError(f"shap_values: by is {by!r}, which is missing. It has: {', '.join(table.columns)}.")
    return table[by].cast(pl.String).fill_null("missing")


def _sample(
    margin: Floats, group: pl.Series, *, rows: int | None, rng: int | np.random.Generator | None
) -> tuple[Ints, str]:
    """Every (n / rows)-th row along group and answer, from a random start; in the frame's order."""
    n = len(margin)
    if rows is not None and not (isinstance(rows, Integral) and rows >= 1):
        raise ValueError(f"rows is {rows!r}; it must be at least 1, or None for all rows, and a whole number.")
    if rows is None or rows >= n:
        return np.arange(n), f"all {n:,} rows"
    if rng is None:
        raise ValueError(f"rows is {rows}, which draws a sample; pass rng=, a seed or a Generator.")
    start = np.random.default_rng(rng).random()
    order = np.lexsort((np.arange(n), margin, group.rank("dense").to_numpy()))
    places = np.minimum(((np.arange(rows) + start) * (n / rows)).astype(np.int64), n - 1)
    return np.sort(order[places]), f"{rows:,} of {n:,} rows, evenly along the ranked answer from a random start"


def _add_up(contributions: Floats, base: Floats, margin: Floats, features: tuple[str, ...]) -> None:
    if contributions.shape != (len(margin), len(features)):
        raise ValueError(
            f"the fit's explain_margin gives contributions of shape {contributions.shape}; for its {len(features)} "
            f"features they must be of shape {(len(margin), len(features))}."
        )
    gap = np.abs(contributions.sum(axis=1) + base - margin) / np.maximum(1.0, np.abs(margin))
    if not gap.max() <= _GAP:
        raise ValueError(
            f"the contributions miss the fit's answer by up to {gap.max():.2g} of its size, more than {_GAP:g}: its "
            "explain_margin and margin are not of the same model."
        )


def _long(encoded: pl.DataFrame, contributions: Floats, ours: dict[str, Any]) -> pl.DataFrame:
    """One row per explained row and feature, in this order."""
    parts = [
        pl.DataFrame({**_values(column), **ours, "contribution": contributions[:, place]}).with_columns(
            feature=pl.lit(column.name), period=pl.lit(None)
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
