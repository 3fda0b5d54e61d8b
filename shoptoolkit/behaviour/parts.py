"""The split in time: what trees learn from, what stops them, and what judges them.

In: a table with `CUSTOMER`, `AT`, `OUTCOME` and features. Out: `cut` -> `Parts`. The test part is never looked at
before the end; the validation part is the end of the training time.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta

import numpy as np
import polars as pl

from shoptoolkit.contract import ContractError

CUSTOMER, AT, OUTCOME = "__customer", "__at", "__outcome"  # the caller's columns may have any other name
PARTS = {
    "part": pl.String,
    "n": pl.Int64,
    "n_customers": pl.Int64,
    "outcome_share": pl.Float64,
    "first": pl.Datetime("us"),
    "last": pl.Datetime("us"),
}


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Parts:
    """The rows of each part. `how` says in words how the validation part was cut off."""

    trees: pl.DataFrame
    validation: pl.DataFrame
    test: pl.DataFrame
    left_out: pl.DataFrame
    how: str

    def table(self) -> pl.DataFrame:
        """One row per part: part, n, n_customers, outcome_share, first, last."""
        parts = {name: getattr(self, name) for name in ("trees", "validation", "test", "left_out")}
        told = [
            part.select(
                pl.lit(name.replace("_", " ")).alias("part"),
                pl.len().alias("n"),
                pl.col(CUSTOMER).n_unique().alias("n_customers"),
                pl.col(OUTCOME).mean().alias("outcome_share"),
                pl.col(AT).min().alias("first"),
                pl.col(AT).max().alias("last"),
            ).cast(PARTS)
            for name, part in parts.items()
        ]
        return pl.concat(told)

    def shared_customers(self) -> int:
        """How many customers of the test part also have earlier rows that trees or validation saw."""
        seen = pl.concat([self.trees.select(CUSTOMER), self.validation.select(CUSTOMER)]).unique()
        return self.test.select(CUSTOMER).unique().join(seen, on=CUSTOMER, how="semi").height


def cut(
    table: pl.DataFrame,
    *,
    split_at: datetime,
    outcome_days: float,
    validation_share: float,
    rng: np.random.Generator,
) -> Parts:
    """Rows before `split_at` train, the rest test; rows whose outcome was not known by then are left out."""
    first, last = (moment for moment in table.select(pl.min(AT), pl.max(AT).alias("last")).row(0))
    if not first < split_at <= last:
        raise ValueError(
            f"split_at is {split_at}; the rows run from {first} to {last}: it must lie after the first and not after "
            "the last, so that both sides have rows."
        )
    before, test = table.filter(pl.col(AT) < split_at), table.filter(pl.col(AT) >= split_at)
    is_known = pl.col(AT) + timedelta(days=outcome_days) <= split_at
    train, left_out = before.filter(is_known), before.filter(~is_known)
    if train.is_empty():
        raise ValueError(
            f"outcome_days is {outcome_days:g}: no row before {split_at} had its outcome known by then; the rows begin "
            f"on {first}. Choose a later split_at."
        )
    _both(train, f"the training part (before {split_at})", "Choose a later split_at, or look at the outcome.")
    _both(test, f"the test part (from {split_at} on)", "Choose an earlier split_at, or look at the outcome.")
    is_held, how = _held(train, validation_share, rng)
    parts = Parts(trees=train.filter(~is_held), validation=train.filter(is_held), test=test, left_out=left_out, how=how)
    _both(parts.trees, "what the validation part leaves of the training part", "Lower validation_share.")
    _both(parts.validation, f"the validation part ({how})", "Raise validation_share.")
    return parts


def _held(train: pl.DataFrame, share: float, rng: np.random.Generator) -> tuple[pl.Expr, str]:
    """The rows from that moment on which comes nearest to the share; with one moment only, a share of the customers."""
    at_or_after = train[AT].value_counts().sort(AT, descending=True).with_columns(rows=pl.col("count").cum_sum())
    moments = at_or_after.head(-1)
    if moments.is_empty():
        customers = train[CUSTOMER].unique().sort()
        drawn = customers[rng.permutation(len(customers))[: round(share * len(customers))]]
        return pl.col(CUSTOMER).is_in(drawn.implode()), f"{share:.0%} of the customers, as all rows are of one moment"
    start = moments.row(by_distance(moments["rows"] / len(train), share), named=True)[AT]
    return pl.col(AT) >= start, f"rows from {start} on"


def by_distance(shares: pl.Series, share: float) -> int:
    """The place of the value nearest to `share`."""
    return int((shares - share).abs().arg_min() or 0)


def _both(part: pl.DataFrame, name: str, mend: str) -> None:
    classes = part[OUTCOME].unique().to_list()
    if len(classes) < 2:
        told = f"only outcome {classes[0]:g} in its {len(part):,} rows" if classes else "no rows"
        raise ContractError(f"{name} has {told}; both outcomes are needed. {mend}")
