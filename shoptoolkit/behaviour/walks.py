"""Sessions as walks from item to item, and what four simple methods learn from them.

In: rows of `features.sessions`. Out: `walks` -> steps; `by_hash` -> their items in the order that breaks ties; `coded`
-> the steps with those items as numbers; `learn` -> `Lists` (popularity, markov, item_knn) or `Neighbours`
(session_knn), which answer alike: `top` gives the best items and their scores for each query of `asked_at`.

Counting which items go with which is the same for three methods: the items of a list's groups are counted. Groups are
all sessions (popularity), the steps after each leaving of an item (markov), or the sessions with it (item_knn).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from hashlib import blake2b
from typing import TYPE_CHECKING

import numpy as np
import polars as pl

from shoptoolkit.behaviour.prefixes import arrival
from shoptoolkit.contract.arrays import Floats, Ints

if TYPE_CHECKING:
    from shoptoolkit.behaviour.kernels import Asked

METHODS = ("popularity", "markov", "item_knn", "session_knn")
LONGEST = 200  # steps of a session that count, the last ones: no person's is longer, and a bot's would cost its square


def walks(rows: pl.DataFrame, *, of: str, kinds: Sequence[str]) -> pl.DataFrame:
    """The steps of sessions, in time: customer_id, visit (0..), began, item, at, came (when it was known)."""
    one = ["customer_id", "session_number"]
    number = rows.select(_is_new(one).cum_sum().cast(pl.Int64) - 1).to_series()
    item = pl.col(of) if rows.schema[of].is_integer() else pl.col(of).cast(pl.String)
    told = rows.select("customer_id", "at", "event", item=item, came=arrival(rows), visit=number)
    told = told.with_columns(began=pl.when(_is_new(["visit"])).then("at").forward_fill())
    walk = told.filter(pl.col("event").is_in(list(kinds)), pl.col("item").is_not_null())
    return walk.filter(_is_new(["visit", "item"])).drop("event")


def by_hash(steps: pl.DataFrame) -> pl.DataFrame:
    """The different items in the order of a hash of their text, with the hash (64 bits)."""
    item = steps["item"].unique().sort()
    mixed = [int.from_bytes(blake2b(str(one).encode(), digest_size=8).digest()) for one in item]
    return item.to_frame().with_columns(pl.Series("hash", mixed, dtype=pl.UInt64)).sort("hash", "item")


def coded(steps: pl.DataFrame, items: pl.DataFrame) -> pl.DataFrame:
    """The steps with their item's place in `items` as `code` (others follow), row, `low` (first row) and is_last."""
    codes = pl.concat([items["item"], steps["item"]]).unique(maintain_order=True).to_frame().with_row_index("code")
    start = _is_new(["visit"])
    return (
        steps.join(codes, on="item", how="left", maintain_order="left")
        .with_row_index("row")
        .with_columns(pl.col("code", "row").cast(pl.Int64))
        .with_columns(low=pl.when(start).then("row").forward_fill(), is_last=start.shift(-1, fill_value=True))
    )


def asked_at(steps: pl.DataFrame, queries: pl.DataFrame) -> Asked:
    """Queries on coded steps: those from row `low` up to `high` that were known before `at`."""
    from shoptoolkit.behaviour.kernels import Asked

    low, high, at = (queries[name].to_physical().to_numpy() for name in ("low", "high", "at"))
    return Asked(low, high, at, steps["code"].to_numpy(), steps["came"].to_physical().to_numpy())


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Lists:
    """The best items for each last item (`of_items`), or one list for all."""

    best: Ints
    score: Floats
    of_items: bool

    def top(self, asked: Asked, n: int) -> tuple[Ints, Floats]:
        from shoptoolkit.behaviour.kernels import from_lists

        return from_lists(asked, self.best, self.score, self.of_items, n)


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Neighbours:
    """Past sessions, numbered from the latest: the items of each, and those with each item."""

    first_item: Ints
    item: Ints
    first_session: Ints
    session: Ints
    sizes: tuple[int, int, int]

    def top(self, asked: Asked, n: int) -> tuple[Ints, Floats]:
        from shoptoolkit.behaviour.kernels import from_sessions

        return from_sessions(asked, self.first_item, self.item, self.first_session, self.session, self.sizes, n)


def learn(
    method: str, steps: pl.DataFrame, items: pl.DataFrame, *, keep: int, sizes: tuple[int, int]
) -> Lists | Neighbours:
    """What a method knows of the steps; `keep` items per list, `sizes` as for session_knn."""
    from shoptoolkit.behaviour.kernels import best_lists

    n, ends = len(items), steps.filter("is_last").select("visit", end="row")
    steps = steps.join(ends, on="visit", maintain_order="left").filter(pl.col("end") - pl.col("row") < LONGEST)
    if method == "markov":
        code, goes_on = steps["code"].to_numpy(), ~steps["is_last"].to_numpy()
        origin, goal = code[goes_on], code[1:][goes_on[:-1]]
        order = np.argsort(origin, kind="stable")
        leavings = np.bincount(origin, minlength=n)
        groups = (_starts(leavings), order, np.arange(len(goal) + 1), goal)
        best, score = best_lists(*groups, leavings**2, np.ones(n, np.int64), keep, True)
        return Lists(best=best, score=score, of_items=True)
    visit, code = _latest_first(steps, items)
    first_item, holders = _starts(np.bincount(visit)), np.argsort(code, kind="stable")
    size = np.bincount(code, minlength=n)
    if method == "session_knn":
        found = {"first_item": first_item, "item": code, "first_session": _starts(size), "session": visit[holders]}
        return Neighbours(**found, sizes=(LONGEST, *sizes))
    if method == "item_knn":
        best, score = best_lists(_starts(size), visit[holders], first_item, code, size, size, keep, True)
        return Lists(best=best, score=score, of_items=True)
    visits = len(first_item) - 1
    every, total = (np.array([0, visits]), np.arange(visits)), np.array([visits**2])
    best, score = best_lists(*every, first_item, code, total, np.ones(n, np.int64), keep, False)
    return Lists(best=best, score=score, of_items=False)


def _latest_first(steps: pl.DataFrame, items: pl.DataFrame) -> tuple[Ints, Ints]:
    """The different items of each session, sessions numbered from the latest; of equal age, by what is in them."""
    held = steps.group_by("visit", "code").agg(pl.col("at").max()).sort("visit", "code")
    start = np.flatnonzero(held.select(_is_new(["visit"])).to_series().to_numpy())
    ended = np.maximum.reduceat(held["at"].to_physical().to_numpy(), start)
    inside = np.add.reduceat(items["hash"].to_numpy()[held["code"].to_numpy()], start)
    place = np.empty(len(start), np.int64)
    place[np.lexsort((inside, -ended))] = np.arange(len(start))
    visit = np.repeat(place, np.diff(start, append=len(held)))
    order = np.lexsort((held["code"].to_numpy(), visit))
    return visit[order], held["code"].to_numpy()[order]


def _starts(sizes: Ints) -> Ints:
    """Where each of several parts begins, and where the last one ends."""
    return np.concatenate([[0], np.cumsum(sizes)])


def _is_new(keys: Sequence[str]) -> pl.Expr:
    """True for a row that differs from the one before it."""
    return pl.any_horizontal((pl.col(key) != pl.col(key).shift()).fill_null(True) for key in keys)
