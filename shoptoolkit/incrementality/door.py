"""What every estimator of an experiment asks at its door: who was in which arm, with which numbers.

In: Outcomes and the names of columns. Out: `arms` -> `Arms`, the checked table with plain numbers, and which arm is
compared with which; `rows_of`, that table alone; `metrics_of` reads the argument `metrics`; `choose_arms`, for those
who ask about one arm.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import polars as pl

from shoptoolkit.contract import ContractError, Outcomes, require, to_polars
from shoptoolkit.contract.check import listed

QUESTION = "What did the ads add?"
MEASURES = {"orders": "orders", "revenue": "currency", "gross_revenue": "currency", "converted": "share"}
ESTIMANDS = {"assigned_at": "per assigned customer", "eligible_at": "per eligible customer"}  # by outcomes' start
COVARIATE = "pre_"  # how names begin of what was known before the experiment
_NOT_METRICS = ("customer_id", "arm", "stratum", "cluster", "exposed", "probability")


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Arms:
    """Outcomes by arm.

    `table`: the columns asked for, numbers and flags as Float64, with customer_id and arm. `treatments`: the other
    arms, sorted. `window_days`: over how many days outcomes were counted, where they say so; `start`: from when on.
    """

    table: pl.DataFrame
    control: str
    treatments: tuple[str, ...]
    window_days: float | None
    start: str

    def of(self, arm: str) -> pl.DataFrame:
        """The rows of one arm."""
        return self.table.filter(pl.col("arm") == arm)

    def contrast(self, arm: str) -> str:
        """How an arm less the control is called."""
        return f"{arm} - {self.control}"


def arms(
    outcomes: Any,
    *,
    control: str,
    numbers: Iterable[str],
    covariates: str | Iterable[str] = (),
    keep: Iterable[str | None] = (),
) -> Arms:
    """The outcomes, checked: one row per customer, two arms or more, finite numbers.

    Parameters
    ----------
    outcomes
        Outcomes (contract), or what `incrementality.outcomes` gives.
    control
        The arm that all others are compared with.
    numbers
        Columns of metrics: numbers or flags, finite, never null.
    covariates
        Columns of numbers or flags known before the experiment, whose names begin with "pre_".
    keep
        Other columns to hand on as they are (strata, clusters, groups); None is left out.

    Raises
    ------
    ContractError
        Columns missing, no numbers, null or infinite; a customer with several rows; one arm only.
    ValueError
        `control` is no arm; a covariate's name does not say that it was known before.
    """
    table = rows_of(outcomes, numbers=numbers, covariates=covariates, keep=keep)
    return Arms(
        table=table,
        control=control,
        treatments=others(table["arm"].unique(), control),
        **window_of(outcomes),
    )


def window_of(outcomes: Any) -> dict[str, Any]:
    """Over how many days outcomes were counted, where they say so, and from when on."""
    return {"window_days": getattr(outcomes, "window_days", None), "start": getattr(outcomes, "start", "assigned_at")}


def others(found: Iterable[str], control: str, *, name: str = "outcomes") -> tuple[str, ...]:
    """The arms that are not the control, sorted: at least one, or a ContractError."""
    found = sorted(set(found))
    if control not in found:
        raise ValueError(f"control is {control!r}; the arms are {', '.join(map(repr, found))}.")
    if len(found) < 2:
        raise ContractError(f"{name}: {control!r} is the one arm; a comparison needs two.")
    return tuple(one for one in found if one != control)


def choose_arms(outcomes: Any, *, control: str, arm: str | None = None) -> tuple[str, str]:
    """Which arm is laid beside the control: the one asked for, or the first of the others.

    Parameters
    ----------
    outcomes
        Anything with a column `arm`.
    control, arm
        Names of arms; `arm` may be left open.

    Returns
    -------
    tuple
        (control, arm).

    Raises
    ------
    ValueError
        One of them is nobody's arm, or there is one arm only.
    """
    found = to_polars(outcomes)["arm"].unique().sort().to_list()
    rest = [one for one in found if one != control]
    if control not in found or arm not in (None, *rest) or not rest:
        raise ValueError(f"control is {control!r} and arm is {arm!r}; those with customers are {', '.join(found)}.")
    return control, arm or rest[0]


def rows_of(
    outcomes: Any, *, numbers: Iterable[str], covariates: str | Iterable[str] = (), keep: Iterable[str | None] = ()
) -> pl.DataFrame:
    """The table of `arms`, however many arms it has."""
    numbers, covariates = list(dict.fromkeys(numbers)), listed(covariates, name="covariates")
    table = require(outcomes, Outcomes)
    wanted = [*numbers, *covariates, *listed([one for one in keep if one is not None], name="columns")]
    if absent := sorted({one for one in wanted if one not in table.columns}):
        told = ", ".join(map(repr, absent))
        raise ContractError(f"outcomes: {told} missing. It has: {', '.join(table.columns)}.")
    if late := [one for one in covariates if not one.startswith(COVARIATE)]:
        raise ValueError(
            f"covariates has {late[0]!r}; what was known before the experiment is named {COVARIATE}..., and only "
            f"that may sharpen a comparison. If it was known, rename it to '{COVARIATE}{late[0]}'."
        )
    if wrong := [one for one in numbers if one in _NOT_METRICS or one.startswith(COVARIATE)]:
        raise ValueError(
            f"metrics has {wrong[0]!r}, which is no outcome of the experiment; name a column measured in it."
        )
    once(table)
    columns = dict.fromkeys(["customer_id", "arm", *wanted])
    return table.select(*columns).with_columns(_number(table, one) for one in dict.fromkeys([*numbers, *covariates]))


def metrics_of(metrics: str | Iterable[str] | Mapping[str, Any]) -> dict[str, tuple[str, str | None]]:
    """The metrics asked for: name -> (column, None), or (numerator, denominator) of a ratio of means."""
    if not isinstance(metrics, Mapping):
        names = listed(metrics, name="metrics")
        metrics = dict(zip(names, names))
    if not metrics:
        raise ValueError("metrics is empty; name at least one column of outcomes.")
    told: dict[str, tuple[str, str | None]] = {}
    for name, of in metrics.items():
        parts: Sequence[Any] = (of, None) if isinstance(of, str) else tuple(of) if isinstance(of, list | tuple) else ()
        if not isinstance(name, str) or len(parts) != 2 or not all(isinstance(one, str | None) for one in parts):
            raise TypeError(
                f"metrics has {name!r}: {of!r}; give a column, or two for a ratio, e.g. "
                "{'revenue per order': ('revenue', 'orders')}."
            )
        told[name] = (parts[0], parts[1])
    return told


def once(table: pl.DataFrame, *, name: str = "outcomes", mend: str = "Sum them to one row each.") -> None:
    """Raise ContractError, which lists them, where customers have several rows or arms."""
    if table["customer_id"].n_unique() == len(table):  # a fifth of the time of what follows
        return
    twice = table.filter(pl.col("customer_id").is_duplicated())
    arms = twice.group_by("customer_id").agg(pl.col("arm").unique().sort()).sort("customer_id")
    both = arms.filter(pl.col("arm").list.len() > 1)
    who = both if len(both) else arms
    told = "; ".join(f"{row[0]!r} ({', '.join(row[1])})" for row in who.head(5).rows())
    more = f" and {len(who) - 5:,} more" if len(who) > 5 else ""
    if len(both):
        raise ContractError(
            f"{name}: {len(both):,} customers are in several arms: {told}{more}. Nobody can say what they were "
            "given; find out why, then leave them out of both arms."
        )
    raise ContractError(f"{name}: {len(arms):,} customers have several rows: {told}{more}. {mend}")


def _number(table: pl.DataFrame, name: str) -> pl.Expr:
    """A column as Float64, or a ContractError that says what is wrong with it."""
    kind = table.schema[name]
    if not (kind.is_numeric() or kind == pl.Boolean):
        raise ContractError(f"outcomes: {name!r} is {kind}; it must be numbers or flags (true, false).")
    column = table[name].cast(pl.Float64)
    if bad := len(column) - int(column.is_finite().sum()):
        row = table.filter(~column.is_finite().fill_null(False)).row(0, named=True)
        raise ContractError(
            f"outcomes: {name!r} is null, NaN or infinite in {bad:,} of {len(table):,} rows (e.g. customer "
            f"{row['customer_id']!r}: {row[name]}). A customer who did nothing has 0; mend the others or find out why."
        )
    return pl.col(name).cast(pl.Float64)
