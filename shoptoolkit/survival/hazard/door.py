"""The door of the hazard fit: from the caller's spells to arrays of who waited how long, and who stops the trees.

In: spells with features. Out: `check_numbers`; `read` -> a checked table in the contract's names; `causes_of` -> what
ended the spells, by number as `coded` tells; `waits_of` -> `Waits`, `cut_at` their last period; `in_two` -> the part
that grows the trees and the part that stops them.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import date, datetime
from typing import Any

import numpy as np
import polars as pl

from shoptoolkit.contract import ContractError, Spells, require, to_polars
from shoptoolkit.contract.check import check_level
from shoptoolkit.contract.clock import in_words, moment
from shoptoolkit.survival.hazard.rows import MOST_PERIODS, Piece, Singles, Waits
from shoptoolkit.survival.spells import refuse_absent, refuse_nulls
from shoptoolkit.trees.door import check_growth, feature_names, some_customers

PERIOD, CODE = "period", "__code"
ANY = ("repurchased",)  # the one cause of spells whose causes are not told apart


def check_numbers(*, period_days: float, periods: int | None, thin: float, level: float, **growth: Any) -> None:
    """Raise an error for a number that is none or out of its range; `growth` as in `trees.door.check_growth`."""
    plain = {"period_days": period_days, "thin": thin, "level": level}
    check_growth(numbers=tuple(plain), **plain, periods=1 if periods is None else periods, **growth)
    check_level(level)
    if not 0 < period_days < np.inf:
        raise ValueError(f"period_days is {period_days}; it must be a number of days above 0, e.g. 7.")
    if not 0 < thin <= 1:
        raise ValueError(f"thin is {thin}; it must be above 0 and at most 1 (all person-periods), e.g. 0.2.")


def read(
    spells: Any, features: Sequence[str] | None, names: Mapping[str, str], *, timed: bool
) -> tuple[pl.DataFrame, list[str]]:
    """The spells in the contract's names beside their features, and the features' names, sorted.

    `names`: the caller's column -> the contract's. `timed`: the start of each spell is needed.
    """
    table, theirs = to_polars(spells), {ours: name for name, ours in names.items()}
    refuse_absent(table, names)
    is_counts = theirs["weight"] in table.columns and theirs["customer_id"] not in table.columns
    table = table.with_row_index(theirs["customer_id"]) if is_counts else table
    needed = [theirs[name] for name in ("customer_id", "duration_days", "repurchased")]
    chosen = feature_names(
        table,
        features,
        keys=[*needed, *([theirs["started_at"]] if timed else [])],
        other=(*names, *Spells.fields, "as_of"),
        reserved=(*names.values(), "stop_days", PERIOD, CODE),
        frame="spells",
        what="what is known only afterwards, the id and the time",
    )
    _refuse_unwatched(table, theirs["duration_days"])
    kept = [name for name in names if name in table.columns]
    known = require(table.select(kept), Spells, rename=names)
    refuse_nulls(known, {name: theirs[name] for name in ("weight", "started_at")[: 1 + timed]})
    return known.hstack(table.select(chosen)), chosen


def _refuse_unwatched(table: pl.DataFrame, duration: str) -> None:
    if lost := table[duration].null_count():
        raise ContractError(
            f"spells: {duration!r} is null in {lost:,} of {len(table):,} rows: not watched for a day, so no spells. "
            f"Leave them out, spells.drop_nulls({duration!r}); the fit can predict them."
        )


def causes_of(table: pl.DataFrame) -> tuple[pl.DataFrame, tuple[str, ...]]:
    """The table with the number of the cause that ended each spell (0: none yet), and the causes in sorted order."""
    causes = ANY
    if "cause" in table.columns:
        causes = tuple(table["cause"].drop_nulls().unique().sort())
    if len(causes) > 20:
        raise ContractError(f"spells: {len(causes):,} causes, more than 20 (is it an id? e.g. {causes[0]!r}).")
    table = coded(table, causes)
    if not table[CODE].max():
        raise ContractError(f"spells: none of {len(table):,} has ended, so there is no hazard to learn.")
    return table, causes


def coded(table: pl.DataFrame, causes: Sequence[str]) -> pl.DataFrame:
    """The table with the number of the cause that ended each spell, of those given; 0 where none has."""
    if tuple(causes) == ANY:
        return table.with_columns(pl.col("repurchased").cast(pl.Int64).alias(CODE))
    if "cause" not in table.columns:
        raise ContractError(f"spells: no column 'cause'; the fit tells {', '.join(map(repr, causes))} apart.")
    if silent := table.filter(pl.col("repurchased") & pl.col("cause").is_null()).height:
        raise ContractError(f"spells: {silent:,} rows are repurchased, but their cause is null; say 'repurchase'.")
    if new := sorted({*table["cause"].drop_nulls()} - {*causes}):
        raise ContractError(f"spells: the cause {new[0]!r} was not in training; it knows {', '.join(causes)}.")
    code = pl.col("cause").cast(pl.Enum(causes)).to_physical().cast(pl.Int64) + 1
    return table.with_columns(code.fill_null(0).alias(CODE))


def waits_of(table: pl.DataFrame, features: Singles, *, period_days: float) -> Waits:
    """The spells in units of periods, beside what the trees read of them."""
    entry = table["entry_days"].fill_null(0).to_numpy() if "entry_days" in table.columns else np.zeros(len(table))
    return Waits(
        features=features,
        entry=entry / period_days,
        end=table["duration_days"].to_numpy() / period_days,
        code=table[CODE].to_numpy(),
        weight=table["weight"].to_numpy() if "weight" in table.columns else np.ones(len(table), np.int64),
    )


def cut_at(waits: Waits, *, period_days: float, periods: int | None) -> tuple[Waits, int]:
    """The spells up to the last period, and its number."""
    longest = float(waits.end.max())
    count = max(1, int(longest)) if periods is None else periods
    if count > MOST_PERIODS:
        raise ValueError(
            f"period_days is {period_days:g}: {count:,} periods, more than {MOST_PERIODS}. Take longer periods, e.g. "
            f"period_days={np.ceil(count * period_days / 60):g}, or fewer, periods={MOST_PERIODS}."
        )
    if count > np.ceil(longest):
        raise ValueError(
            f"periods is {count}; the longest spell fills {longest:.1f} periods of {period_days:g} days, and nothing "
            f"is known beyond. Take at most {int(np.ceil(longest))}."
        )
    return waits.until(count), count


def in_two(
    table: pl.DataFrame,
    waits: Waits,
    *,
    split_at: datetime | date | str | None,
    period_days: float,
    share: float,
    rng: np.random.Generator,
) -> tuple[Waits, Waits, str]:
    """Who grows the trees and who stops them, and how they were told apart, in words."""
    if split_at is not None:
        split = moment(split_at, name="split_at")
        days = table.select((split - pl.col("started_at")).dt.total_days(fractional=True)).to_series().to_numpy()
        over = np.maximum(np.floor(days / period_days), 0)
        return waits.until(over), waits.since(over), f"periods not over by {in_words(split)}"
    if "weight" in table.columns:
        held = rng.binomial(waits.weight, share)
    else:
        drawn = some_customers(table["customer_id"], share=share, rng=rng)
        held = waits.weight * table["customer_id"].is_in(drawn.implode()).to_numpy()
    return waits.weighted(waits.weight - held), waits.weighted(held), f"{100 * share:g} % of the customers"


def check_parts(parts: Sequence[Sequence[Piece]], causes: Sequence[str], validation: str) -> None:
    """Each cause must be seen by the trees, and by what stops them."""
    mends = ("Take a later split_at or a smaller validation_share", "Take an earlier split_at, or a larger share")
    names = ("what is left to grow the trees", f"the validation part ({validation})")
    for part, name, mend in zip(parts, names, mends, strict=True):
        seen = sum((np.bincount(one.label, minlength=len(causes) + 1) for one in part), np.zeros(len(causes) + 1))
        if absent := [cause for cause, count in zip(causes, seen[1:], strict=True) if not count]:
            raise ContractError(
                f"spells: {name} has {seen.sum():,.0f} person-periods, and none that ended by "
                f"{', '.join(map(repr, absent))}. {mend}, or count that cause as censored."
            )
