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

from shoptoolkit.contract.arrays import Floats, Ints
from shoptoolkit.contract.clock import arrival
from shoptoolkit.features.in_time import is_new, moments

if TYPE_CHECKING:
    from shoptoolkit.behaviour.kernels import Asked

METHODS = ("popularity", "markov", "item_knn", "session_knn")
LONGEST = 200  # steps of a session that count, the last ones: no person's is longer, and a bot's would cost its square


def walks(rows: pl.DataFrame, *, of: str, kinds: Sequence[str]) -> pl.DataFrame:
    """The steps of sessions, in time: customer_id, visit (0..), began, item, at, came (when it was known)."""
    one = ["customer_id", "session_number"]
    number = rows.select(is_new(*one).cum_sum().cast(pl.Int64) - 1).to_series()
    is_whole = rows.schema[of].is_integer() and rows.schema[of] not in (pl.UInt64, pl.Int128, pl.UInt128)
    item = pl.col(of).cast(pl.Int64 if is_whole else pl.String)
    told = rows.select("customer_id", "at", "event", item=item, came=arrival(rows.columns), visit=number)
    told = told.with_columns(began=pl.when(is_new("visit")).then("at").forward_fill())
    walk = told.filter(pl.col("event").is_in(list(kinds)), pl.col("item").is_not_null())
    return walk.filter(is_new("visit", "item")).drop("event")


def by_hash(steps: pl.DataFrame) -> pl.DataFrame:
    """The different items in the order of a hash of their text, with the hash (64 bits)."""
    item = steps["item"].unique().sort()
    mixed = [int.from_bytes(blake2b(str(one).encode(), digest_size=8).digest()) for one in item]
    return item.to_frame().with_columns(pl.Series("hash", mixed, dtype=pl.UInt64)).sort("hash", "item")


def coded(steps: pl.DataFrame, items: pl.DataFrame) -> pl.DataFrame:
    """The steps with their item's place in `items` as `code` (others follow), row, `low` (first row) and is_last."""
    codes = pl.concat([items["item"], steps["item"]]).unique(maintain_order=True).to_frame().with_row_index("code")
    start = is_new("visit")
    return (
        steps.join(codes, on="item", how="left", maintain_order="left")
        .with_row_index("row")
        .with_columns(pl.col("code", "row").cast(pl.Int64))
        .with_columns(low=pl.when(start).then("row").forward_fill(), is_last=start.shift(-1, fill_value=True))
    )


def asked_at(steps: pl.DataFrame, queries: pl.DataFrame) -> Asked:
    """Queries on coded steps: those from row `low` up to `high` that were known before `at`."""
    from shoptoolkit.behaviour.kernels import Asked

    low, high, at = (moments(queries[name]) for name in ("low", "high", "at"))
    return Asked(low, high, at, steps["code"].to_numpy(), moments(steps["came"]))


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
    from shoptoolkit.features.kernels import by_customer  # it sorts by any number from 0

    n, last = len(items), pl.when("is_last").then("row").backward_fill()
    steps = steps.filter(last - pl.col("row") < LONGEST)
    if method == "markov":
        code, goes_on = steps["code"].to_numpy(), ~steps["is_last"].to_numpy()
        goal = code[1:][goes_on[:-1]]
        first, leaving = by_customer(code[goes_on], n)  # of each item
        each, left = np.arange(len(goal) + 1), np.diff(first)
        best, score = best_lists(first, leaving, each, goal, left**2, np.ones_like(left), keep, True)
        return Lists(best=best, score=score, of_items=True)
    visit, item = _held(steps, n)
    visits = int(visit[-1]) + 1
    if method == "session_knn":
        visit, item = _latest_first(visit, item, steps, items)
    (first_item, _), (first_session, holder) = by_customer(visit, visits), by_customer(item, n)
    session, size = visit[holder], np.diff(first_session)
    if method == "session_knn":
        found = {"first_item": first_item, "item": item, "first_session": first_session, "session": session}
        return Neighbours(**found, sizes=(LONGEST, *sizes))
    if method == "item_knn":
        best, score = best_lists(first_session, session, first_item, item, size, size, keep, True)
        return Lists(best=best, score=score, of_items=True)
    ends, every, total = np.array([0, visits]), np.arange(visits), np.array([visits**2])
    best, score = best_lists(ends, every, first_item, item, total, np.ones_like(size), keep, False)
    return Lists(best=best, score=score, of_items=False)


def _held(steps: pl.DataFrame, n_items: int) -> tuple[Ints, Ints]:
    """The different items of each session: session (0..) and item, sorted by both."""
    pair = np.sort(
        steps.select(pl.col("visit").rle_id().cast(pl.Int64) * n_items + pl.col("code")).to_series().to_numpy()
    )
    session, item = np.divmod(pair[np.diff(pair, prepend=-1) > 0], n_items)
    return session, item


def _latest_first(session: Ints, item: Ints, steps: pl.DataFrame, items: pl.DataFrame) -> tuple[Ints, Ints]:
    """The same with sessions numbered from the latest; of equal age, by a hash of what is in them."""
    from shoptoolkit.features.kernels import by_customer

    ended = moments(steps.filter("is_last")["at"])
    inside = np.add.reduceat(items["hash"].to_numpy()[item], np.flatnonzero(np.diff(session, prepend=-1)))
    place = np.empty_like(ended)
    place[np.lexsort((inside, -ended))] = np.arange(len(place))
    _, order = by_customer(place[session], len(place))
    return place[session[order]], item[order]
