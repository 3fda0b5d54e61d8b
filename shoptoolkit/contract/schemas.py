"""What each frame must be: one `Contract` per frame, from events to estimates.

In: nothing. Out: the contracts `Events`, `Orders`, `Spells`, `Requests`, `Assignments`, `Outcomes`, `Panel`, `Media`,
`Touches`, `Auctions`, `PolicyLog`, `Estimates`, and `ContractError`. A contract names its columns and the rules of a
row; `check` (in check.py) builds the dataframely schema from those of its columns that a frame really has.

Reading order: `Field`, `Contract`, then the contracts in the order of the data's way.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import polars as pl

from shoptoolkit.contract.lines import moves_money

EVENT_KINDS = ("impression", "click", "view", "watch", "search", "cart", "checkout", "purchase", "refund")


class ContractError(ValueError):
    """A frame is not what its contract says; the message lists every fault and the mend."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Field:
    """One column of a contract: its kind, and what its values may be.

    `kind` is one of id (integer or text), time (datetime in microseconds, UTC, naive), date, number, whole, flag, text.
    """

    kind: str
    required: bool = True
    nullable: bool = False
    above: float | None = None  # values must be > this
    least: float | None = None  # values must be >= this
    most: float | None = None  # values must be <= this
    values: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Contract:
    """What one kind of frame must be.

    `fields` maps column -> `Field`. `rules` maps a sentence that says what is wrong -> (the columns it looks at, the
    expression that is true for a good row); a rule applies when all its columns are present.
    """

    name: str
    fields: dict[str, Field]
    rules: dict[str, tuple[tuple[str, ...], Callable[[], pl.Expr]]] = field(default_factory=dict)

    @property
    def required(self) -> list[str]:
        """Names of the columns that must be there."""
        return [name for name, one in self.fields.items() if one.required]

    @property
    def optional(self) -> list[str]:
        """Names of the columns that may be there."""
        return [name for name, one in self.fields.items() if not one.required]

    def __repr__(self) -> str:
        return f"{self.name}: {', '.join(self.required)}; optional: {', '.join(self.optional) or 'none'}"


def _need(kind: str, **options: Any) -> Field:
    return Field(kind=kind, **options)


def _may(kind: str, **options: Any) -> Field:
    return Field(kind=kind, required=False, nullable=True, **options)


def _share(**options: Any) -> Field:
    return Field(kind="number", least=0, most=1, **options)


Events = Contract(
    name="events",
    fields={
        "customer_id": _need("id"),
        "at": _need("time"),
        "event": _need("text", values=EVENT_KINDS),
        "event_id": _may("id"),
        "known_at": _may("time"),
        "order_id": _may("id"),
        "item_id": _may("id"),
        "category": _may("text"),
        "price": _may("number", least=0),
        "quantity": _may("whole", least=1),
        "watch_seconds": _may("number", least=0),
        "source": _may("text"),
        "campaign_id": _may("id"),
    },
    rules={
        "price is missing on a purchase or refund": (
            ("event", "price"),
            lambda: moves_money().not_() | pl.col("price").is_not_null(),
        ),
        "known_at is before at": (("at", "known_at"), lambda: pl.col("known_at") >= pl.col("at")),
    },
)

Orders = Contract(
    name="orders",
    fields={
        "customer_id": _need("id"),
        "order_id": _need("id"),
        "ordered_at": _need("time"),
        "order_number": _need("whole", least=1),
        "gross_revenue": _need("number", least=0),
        "refunded": _need("number", least=0),
        "revenue": _need("number"),
        "items": _need("whole", least=0),
        "history_known": _may("flag"),
        "source": _may("text"),
        "category": _may("text"),
    },
)

Spells = Contract(
    name="spells",
    fields={
        "customer_id": _need("id"),
        "duration_days": _need("number", above=0),
        "repurchased": _need("flag"),
        "spell_number": _may("whole", least=1),
        "started_at": _may("time"),
        "entry_days": _may("number", least=0),
        "start_days": _may("number", least=0),
        "stop_days": _may("number", above=0),
        "cause": _may("text"),
        "weight": _may("whole", least=1),
    },
    rules={
        "entry_days is not before duration_days": (
            ("entry_days", "duration_days"),
            lambda: pl.col("entry_days") < pl.col("duration_days"),
        ),
        "start_days is not before stop_days": (
            ("start_days", "stop_days"),
            lambda: pl.col("start_days") < pl.col("stop_days"),
        ),
    },
)

Requests = Contract(name="requests", fields={"customer_id": _need("id"), "as_of": _need("time")})

Assignments = Contract(
    name="assignments",
    fields={
        "experiment_id": _need("id"),
        "customer_id": _need("id"),
        "arm": _need("text"),
        "assigned_at": _need("time"),
        "probability": _share(required=False, nullable=True),
        "stratum": _may("text"),
        "cluster": _may("id"),
        "eligible_at": _may("time"),
        "exposed_at": _may("time"),
    },
    rules={
        "exposed_at is before assigned_at": (
            ("exposed_at", "assigned_at"),
            lambda: pl.col("exposed_at") >= pl.col("assigned_at"),
        ),
        "eligible_at is before assigned_at": (
            ("eligible_at", "assigned_at"),
            lambda: pl.col("eligible_at") >= pl.col("assigned_at"),
        ),
    },
)

Outcomes = Contract(
    name="outcomes",
    fields={
        "customer_id": _need("id"),
        "arm": _need("text"),
        "stratum": _may("text"),
        "cluster": _may("id"),
        "exposed": _may("flag"),
        "probability": _share(required=False, nullable=True),
    },
)

Panel = Contract(
    name="panel",
    fields={
        "geo": _need("text"),
        "date": _need("date"),
        "outcome": _need("number"),
        "spend": _may("number", least=0),
        "treated": _may("flag"),
    },
)

Media = Contract(
    name="media",
    fields={
        "date": _need("date"),
        "channel": _need("text"),
        "spend": _need("number", least=0),
        "geo": _may("text"),
        "impressions": _may("number", least=0),
    },
)

Touches = Contract(
    name="touches",
    fields={
        "customer_id": _need("id"),
        "at": _need("time"),
        "channel": _need("text"),
        "converted_at": _may("time"),
        "value": _may("number"),
    },
)

Auctions = Contract(
    name="auctions",
    fields={
        "auction_id": _need("id"),
        "at": _need("time"),
        "bid": _need("number", least=0),
        "won": _need("flag"),
        "mechanism": _need("text", values=("first", "second", "gsp")),
        "price": _may("number", least=0),
        "price_to_win": _may("number", least=0),
        "slot": _may("whole", least=1),
        "pctr": _share(required=False, nullable=True),
        "value": _may("number"),
        "clicked_at": _may("time"),
        "converted_at": _may("time"),
    },
)

PolicyLog = Contract(
    name="policy log",
    fields={
        "action": _need("id"),
        "propensity": _need("number", above=0, most=1),
        "reward": _need("number"),
        "position": _may("whole"),
    },
)

_NUMBERS = ("estimate", "standard_error", "low", "high", "p_value")

Estimates = Contract(
    name="estimates",
    fields={
        "question": _need("text"),
        "estimand": _need("text"),
        "metric": _need("text"),
        "contrast": _need("text", nullable=True),
        "method": _need("text"),
        "group": _need("text"),
        "estimate": _need("number", nullable=True),
        "standard_error": _need("number", nullable=True, least=0),
        "low": _need("number", nullable=True),
        "high": _need("number", nullable=True),
        "level": _need("number", above=0, most=1),
        "p_value": _share(nullable=True),
        "n": _need("whole", least=0),
        "verdict": _need("text", values=("ok", "refused")),
        "reason": _need("text", nullable=True),
        "horizon_days": _may("number", above=0),
        "measure": _may("text"),
        "set_shape": _may("text", values=("interval", "rays", "line", "empty")),
        "truth": _may("number"),
    },
    rules={
        "a refused row has a number or no reason": (
            ("verdict", "reason", *_NUMBERS),
            lambda: (
                (pl.col("verdict") == "ok")
                | (pl.all_horizontal(pl.col(_NUMBERS).is_null()) & pl.col("reason").fill_null("").str.contains(r"\S"))
            ),
        ),
        "low is above high": (("low", "high"), lambda: pl.col("low") <= pl.col("high")),
        "the estimate lies outside its interval": (
            ("estimate", "low", "high", "set_shape"),  # rays lie on both sides of what low and high enclose
            lambda: pl.col("set_shape").ne_missing("interval") | pl.col("estimate").is_between("low", "high"),
        ),
    },
)
