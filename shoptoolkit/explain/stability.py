"""Would the explanation be the same with other customers? Ranks and signs over refits on customers drawn anew.

In: a function that refits, and its frame. Out: `stability` -> `Stability`.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from numbers import Integral
from typing import Any

import numpy as np
import polars as pl

from shoptoolkit.contract import ContractError, to_polars
from shoptoolkit.contract.arrays import Floats
from shoptoolkit.contract.check import check_level
from shoptoolkit.contract.show import html_table
from shoptoolkit.explain.explanation import Explanation
from shoptoolkit.explain.values import Explainable, shap_values


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Stability:
    """How far the ranking of features and the direction of their contributions hold over refits.

    `table`, most important first: feature, mean_rank (1 = largest mean absolute contribution; ties share), rank_low,
    rank_high (the middle `level` of the refits' ranks), sign_agreement (the share of the first fit's contributions, by
    size, whose sign a refit keeps, over refits; 1 = always, about 0.5 = a coin, null = never used), share_in_top_k
    (refits that rank it `top` or better). `draws`: replicate, feature, mean_size, rank, sign_agreement.
    """

    table: pl.DataFrame
    draws: pl.DataFrame
    level: float
    replicates: int
    top: int
    n_customers: int

    def __repr__(self) -> str:
        return f"Stability over {self.replicates} refits ({self.n_customers:,} customers drawn anew)\n{self.table}"

    def _repr_html_(self) -> str:
        note = (
            f"{self.replicates} refits, {self.n_customers:,} customers drawn anew in each; ranks: the middle "
            f"{self.level:.0%}; top k: {self.top}"
        )
        return html_table(self.table, title="Does the explanation hold?", note=note)


def stability(
    refit: Callable[[pl.DataFrame], Explainable],
    frame: Any,
    *,
    replicates: int,
    rng: int | np.random.Generator,
    id: str = "customer_id",
    rows: int | None = 1_000,
    top: int = 5,
    level: float = 0.95,
) -> Stability:
    """Would other customers have given the same ranking and the same directions?

    Parameters
    ----------
    refit
        Takes a frame like `frame`, returns a fit, e.g.
        `lambda frame: behaviour.fit_propensity(frame, "bought", split_at=..., rng=1)`.
    frame
        What the model was fitted on. Each replicate draws as many customers with replacement, each with all its rows.
    replicates
        Refits, at least 2; some 20 to see the ranks, 100 for their bounds.
    rng
        Seed or Generator of the draws.
    id
        Column of the customers.
    rows
        All fits are explained on the same sample of the frame, of this size (None: all rows).
    top
        What counts as top, for share_in_top_k.
    level
        Coverage of rank_low to rank_high.

    Returns
    -------
    Stability
        The draws say how the sample of customers moves the explanation; how a feature shares with its correlated
        neighbours is part of that.

    Raises
    ------
    ContractError
        `id` is missing or null.
    ValueError
        `replicates` below 2, `top` below 1, fewer than 2 customers, or refits with other features than the first.

    References
    ----------
    Field and Welsh (2007), JRSS B 69, 369-390 (bootstrap of clusters).
    """
    check_level(level)
    if not all(isinstance(count, Integral) for count in (replicates, top)) or replicates < 2 or top < 1:
        given = f"replicates is {replicates!r} and top {top!r}"
        raise ValueError(f"{given}; they must be at least 2 and 1, and whole numbers.")
    rng = np.random.default_rng(rng)
    table = to_polars(frame)
    rows_of = _by_customer(table, id)
    first = refit(table)
    explained = shap_values(first, table, rows=rows, rng=rng)
    sample = table[explained.table["row"].unique().sort()]
    reference = _contributions(explained, first.features)
    draws = []
    for replicate in range(replicates):
        drawn = table[rows_of.gather(rng.integers(len(rows_of), size=len(rows_of))).explode()]
        draws.append(_compare(refit, drawn, sample, reference, first.features, replicate))
    told = pl.concat(draws)
    return Stability(
        table=_summary(told, level=level, top=top),
        draws=told,
        level=level,
        replicates=replicates,
        top=top,
        n_customers=len(rows_of),
    )


def _by_customer(table: pl.DataFrame, id: str) -> pl.Series:
    """The row numbers of each customer, as lists."""
    if id not in table.columns or table[id].null_count():
        told = "is null in some rows" if id in table.columns else "is missing"
        raise ContractError(f"stability: {id!r} {told}. It has: {', '.join(table.columns) or 'no columns'}.")
    owned = pl.DataFrame({"customer": table[id], "row": pl.int_range(len(table), eager=True)})
    rows = owned.group_by("customer").agg("row").sort("customer")["row"]
    if len(rows) < 2:
        raise ValueError(f"the frame has {len(rows)} customers; drawing them anew needs at least 2.")
    return rows


def _contributions(explanation: Explanation, features: tuple[str, ...]) -> Floats:
    """Rows x features."""
    return explanation.table["contribution"].to_numpy().reshape(-1, len(features))


def _compare(
    refit: Callable[[pl.DataFrame], Explainable],
    drawn: pl.DataFrame,
    sample: pl.DataFrame,
    reference: Floats,
    features: tuple[str, ...],
    replicate: int,
) -> pl.DataFrame:
    """One refit beside the first fit, by feature."""
    try:
        fit = refit(drawn)
        values = shap_values(fit, sample)
    except Exception as error:
        error.add_note(f"in replicate {replicate} of stability(), on customers drawn anew")
        raise
    if tuple(fit.features) != tuple(features):
        raise ValueError(f"a refit has the features {', '.join(fit.features)}; the first has {', '.join(features)}.")
    now = _contributions(values, features)
    size, kept = np.abs(reference), np.sign(now) == np.sign(reference)
    with np.errstate(invalid="ignore"):
        agreement = (size * kept).sum(axis=0) / size.sum(axis=0)
    told = pl.DataFrame({"feature": features, "mean_size": np.abs(now).mean(axis=0), "sign_agreement": agreement})
    return told.select(
        pl.lit(replicate).alias("replicate"),
        "feature",
        "mean_size",
        pl.col("mean_size").rank("average", descending=True).alias("rank"),
        pl.col("sign_agreement").fill_nan(None),
    )


def _summary(draws: pl.DataFrame, *, level: float, top: int) -> pl.DataFrame:
    is_top = (pl.col("rank") <= top) & (pl.col("mean_size") > 0)
    return (
        draws.group_by("feature")
        .agg(
            pl.col("rank").mean().alias("mean_rank"),
            pl.col("rank").quantile(0.5 - level / 2, "nearest").alias("rank_low"),
            pl.col("rank").quantile(0.5 + level / 2, "nearest").alias("rank_high"),
            pl.col("sign_agreement").mean(),
            is_top.mean().alias("share_in_top_k"),
        )
        .sort("mean_rank", "feature")
    )
