"""The door of the buy-till-you-die models: checked histories in arrays, equal ones in one row, and their parameters.

In: the frame of `summarise_orders`. Out: `MODELS`; `read_histories` -> `Histories`; `parameters`, four per history.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import polars as pl

from shoptoolkit.contract import ContractError, to_polars
from shoptoolkit.contract.arrays import Floats, Ints
from shoptoolkit.survival.orders.summaries import HISTORY
from shoptoolkit.survival.spells import is_unique

_X, _LATE, _AGE = HISTORY
_HUGE = 1e5  # opportunities or repeat orders beyond this are no whole days but seconds


@dataclass(frozen=True, slots=True, kw_only=True)
class Model:
    """Names, place in the kernels, and which log parameter a covariate moves, in which direction: rate, dropout."""

    place: int
    names: tuple[str, ...]
    rate: tuple[int, int]
    dropout: tuple[int, int]


MODELS = {
    "bg_nbd": Model(place=0, names=("r", "alpha", "a", "b"), rate=(1, -1), dropout=(2, 1)),
    "mbg_nbd": Model(place=1, names=("r", "alpha", "a", "b"), rate=(1, -1), dropout=(2, 1)),
    "pareto_nbd": Model(place=2, names=("r", "alpha", "s", "beta"), rate=(1, -1), dropout=(3, -1)),
    "bg_bb": Model(place=3, names=("alpha", "beta", "gamma", "delta"), rate=(0, 1), dropout=(2, 1)),
}


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Histories:
    """Different histories, sorted. `designs`: covariates of rate and of dropout, one column each; `weight`: customers.

    `rows`: what tells the history of each row that was read; `keys`: the same of each history, its number as `__place`.
    """

    x: Ints
    late: Floats
    age: Floats
    weight: Floats
    designs: tuple[Floats, Floats]
    rows: pl.DataFrame
    keys: pl.DataFrame

    def places(self) -> Ints:
        """The number of the history of each row that was read."""
        joined = self.rows.join(self.keys, on=self.rows.columns, how="left", maintain_order="left")
        return joined["__place"].cast(pl.Int64).to_numpy()

    def every(self, step: int) -> Histories:
        """Every step-th history: all kinds of them, as they are sorted."""
        designs = (self.designs[0][::step], self.designs[1][::step])
        late, age = self.late[::step].copy(), self.age[::step].copy()
        return replace(self, x=self.x[::step].copy(), late=late, age=age, weight=self.weight[::step], designs=designs)


def read_histories(
    frame: Any, model: str, covariates: tuple[tuple[str, ...], tuple[str, ...]], weight: str | None, unit: float
) -> Histories:
    """Checked and gathered. Without a `weight`, or where the frame has none, each row is one customer.

    `unit`: of the ages, in days; histories of whole days are gathered by one whole number each.
    """
    table, extra = to_polars(frame), list(dict.fromkeys(covariates[0] + covariates[1]))
    own = [weight] if weight not in (None, "weight") else []  # the name of the contract may be missing
    if absent := [name for name in (*HISTORY, *extra, *own) if name not in table.columns]:
        raise ContractError(
            f"summary: no column {', '.join(map(repr, absent))}. It has: {', '.join(table.columns)}. Make it with "
            "survival.summarise_orders(...), and join covariates to it by customer_id."
        )
    if odd := [
        name for name in (*HISTORY, *extra) if not (table[name].dtype.is_numeric() or table[name].dtype == pl.Boolean)
    ]:
        raise ContractError(f"summary: {', '.join(map(repr, odd))} must be numbers; turn text into 0 and 1 columns.")
    if table.is_empty():
        raise ContractError("summary: the frame has 0 rows; at least one is needed.")
    if weight is not None and "customer_id" in table.columns and not is_unique(table["customer_id"]):
        raise ContractError("summary: 'customer_id' repeats; give one row per customer, as summarise_orders does.")
    many = pl.col(weight).cast(pl.Float64) if weight in table.columns else pl.lit(1.0)
    numbers = table.select(pl.col(_X).cast(pl.Float64), pl.col(_LATE, _AGE, *extra).cast(pl.Float64), __weight=many)
    _refuse(numbers, model, extra, weight or "weight")
    keys = [*HISTORY, *extra]
    on = keys
    if not extra and (code := _code(numbers, unit)) is not None:
        numbers, on = numbers.with_columns(__code=code), ["__code"]
    told = numbers.group_by(on).agg(pl.col(*keys).first() if on != keys else [], pl.col("__weight").sum())
    told = told.sort(keys).with_row_index("__place")
    return Histories(
        x=told[_X].cast(pl.Int64).to_numpy(),
        late=told[_LATE].to_numpy(),
        age=told[_AGE].to_numpy(),
        weight=told["__weight"].to_numpy(),
        designs=(_design(told, covariates[0]), _design(told, covariates[1])),
        rows=numbers.select(on),
        keys=told.select(*on, "__place"),
    )


def _code(numbers: pl.DataFrame, unit: float) -> pl.Expr | None:
    """One whole number per history, if ages are whole days and fit in; None if not."""
    late, age = pl.col(_LATE) * unit, pl.col(_AGE) * unit
    off, most, last = numbers.select(
        pl.max_horizontal((late - late.round()).abs().max(), (age - age.round()).abs().max()),
        pl.col(_X).max(),
        age.max(),
    ).row(0)
    size = int(last) + 2
    if off > 1e-6 or (most + 1) * size**2 > 2**62:
        return None
    whole = (pl.col(_X).cast(pl.Int64), late.round().cast(pl.Int64), age.round().cast(pl.Int64))
    return (whole[0] * size + whole[1]) * size + whole[2]


def _design(table: pl.DataFrame, names: tuple[str, ...]) -> Floats:
    return table.select(names).to_numpy() if names else np.empty((len(table), 0))


def _refuse(numbers: pl.DataFrame, model: str, extra: list[str], weight: str) -> None:
    """Every fault of the rows together, each with an example."""
    x, late, age, many = pl.col(_X), pl.col(_LATE), pl.col(_AGE), pl.col("__weight")
    slack = 1e-9 * (1 + age)
    faults = {
        f"{name} is null or not finite": ~pl.col(name).is_finite().fill_null(False) for name in (*HISTORY, *extra)
    }
    faults |= {
        f"{weight} is null or not above 0": ~(many.is_finite() & (many > 0)).fill_null(False),
        f"{_X} is no whole number >= 0 (or beyond {_HUGE:,.0f})": (x < 0) | (x != x.round()) | (x > _HUGE),
        f"{_LATE} is below 0": late < 0,
        f"{_AGE} is below {_LATE}": age + slack < late,
        f"{_LATE} is 0 though {_X} is above 0": (x > 0) & (late == 0),
        f"{_LATE} is above 0 though {_X} is 0": (x == 0) & (late > 0),
    }
    if model == "bg_bb":
        faults["bg_bb counts opportunities, and a number of them is not whole"] = (age != age.round()) | (
            late != late.round()
        )
        faults[f"bg_bb: {_X} is above {_LATE}, more orders than opportunities"] = x > late
    counted = numbers.select(pl.when(bad).then(1).sum().alias(text) for text, bad in faults.items()).row(0, named=True)
    if told := [f"{text} ({rows:,} rows)" for text, rows in counted.items() if rows]:
        mend = " summarise_orders(..., opportunities=True, unit_days=...) counts them." if model == "bg_bb" else ""
        raise ContractError(f"summary: {'; '.join(told)}. Mend these rows or leave them out.{mend}")


def parameters(at: Floats, model: Model, designs: tuple[Floats, Floats]) -> Floats:
    """The four parameters: one row for all, or one per history if there are covariates."""
    rows = max(len(design) for design in designs) if any(design.shape[1] for design in designs) else 1
    logs, used = np.tile(at[:4], (rows, 1)), 4
    for (place, sign), design in zip((model.rate, model.dropout), designs, strict=True):
        logs[:, place] += sign * design @ at[used : used + design.shape[1]] if design.shape[1] else 0.0
        used += design.shape[1]
    return np.exp(np.clip(logs, -300, 300))


def slopes(by_history: Floats, weight: Floats, model: Model, designs: tuple[Floats, Floats]) -> Floats:
    """Slopes of the sum over customers, from the slopes in each history's own four logs."""
    weighted = by_history * weight[:, None]
    moved = [
        sign * weighted[:, place] @ design
        for (place, sign), design in zip((model.rate, model.dropout), designs, strict=True)
    ]
    return np.concatenate([weighted.sum(axis=0), *moved])
