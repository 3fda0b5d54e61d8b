"""What will the customer look at next? Four simple methods that are hard to beat, judged on later sessions.

In: Events. Out: `fit_next_item` -> `NextItemFit`, with its accuracy; its `recommend` tells what comes next in the
sessions open at a moment.

walks.py turns sessions into walks from item to item and learns from them; here they are asked and judged.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from typing import Any

import numpy as np
import polars as pl

from shoptoolkit.behaviour.prefixes import known_before
from shoptoolkit.behaviour.walks import METHODS, Lists, Neighbours, asked_at, by_hash, coded, learn, walks
from shoptoolkit.contract import ContractError, EstimateTable, Events, estimate_row, refused_row, require, wilson
from shoptoolkit.contract.check import check_level, check_number, choose, listed
from shoptoolkit.contract.clock import arrival, in_words, moment
from shoptoolkit.contract.schemas import EVENT_KINDS
from shoptoolkit.contract.show import html_table
from shoptoolkit.features import sessions

_BLOCK = 100_000  # queries answered at once
_LEAST = 20  # customers; with fewer the interval covers less often than it says


def fit_next_item(
    events: Any,
    *,
    split_at: datetime | date | str,
    method: str = "item_knn",
    of: str = "item_id",
    kinds: str | Sequence[str] = ("view",),
    gap_minutes: float = 30.0,
    n: int = 20,
    keep: int = 100,
    recent: int = 1_000,
    neighbours: int = 500,
    level: float = 0.95,
) -> NextItemFit:
    """What will the customer look at next: learnt from what was known before `split_at`, judged on later sessions.

    Parameters
    ----------
    events
        Events with the column `of`.
    split_at
        Rows known before this moment train; sessions that began at or after it test. A date is the start of that day in
        UTC.
    method
        The score of an item, given a session whose last item is i:

        - "popularity": share of the training sessions that have it;
        - "markov": share of the steps from i that went to it;
        - "item_knn": cosine between it and i: sessions with both / sqrt(sessions with it x sessions with i);
        - "session_knn": sum of the similarities of the past sessions that have it, over the `neighbours` most similar
          of the `recent` latest training sessions that share an item with this one. Similarity is the cosine between
          the past session (1 for each of its items) and this one, whose items weigh the more the later they came:
          place of the last step to it / number of steps.
    of
        What is foreseen: "item_id", "category" or any other column.
    kinds
        The kinds of events that are steps. Rows without a value in `of` are none, nor is a repeat of the same value;
        so the last item is never foreseen. Of a session its last 200 steps count.
    gap_minutes
        A pause longer than this starts a new session.
    n
        Length of the lists that are judged.
    keep
        Items kept per item, more than `n` (not for session_knn, which keeps the sessions).
    recent, neighbours
        For session_knn.
    level
        Coverage of the intervals.

    Returns
    -------
    NextItemFit
        `accuracy` has recall@n (share of the steps whose item is among the first n foreseen) and mrr@n (mean of 1 /
        rank, 0 beyond n), with intervals over customers. Each step of a test session after its first is a query: what
        was known of the session before it is given, so lines of one moment are not foreseen from each other. Items that
        training has not seen are misses.

    Notes
    -----
    Items of equal score are in the order of a hash of their names, not of popularity or rows: a method cannot win by
    ties. An item of score 0 is not foreseen. With fewer than 20 customers to judge by there is no interval; with 20 to
    30 that are very unlike each other one of 95 % may cover 0.86.

    Raises
    ------
    ContractError
        The events break their contract, have no column `of`, or no step from item to item on one side of the split.
    ValueError
        An unknown method or kind, a number out of its range, `split_at` outside the log.

    References
    ----------
    Jannach and Ludewig (2017), RecSys, 306-310 (session kNN; 500 neighbours of 1,000 recent sessions); Ludewig and
    Jannach (2018), User Modeling and User-Adapted Interaction 28, 331-390 (weights by place, measures, Markov chain);
    Hidasi, Karatzoglou, Baltrunas and Tikk (2016), ICLR (item kNN, recall@20 and MRR@20 of each next step).

    Examples
    --------
    >>> at = pl.datetime_range(datetime(2025, 1, 1), datetime(2025, 1, 3), "10h", eager=True)
    >>> walk = [pl.DataFrame({"customer_id": who, "at": at.dt.offset_by(f"{m}m"), "event": "view", "item_id": item})
    ...         for who in range(20) for m, item in enumerate(["lamp", "bulb", "shade"])]
    >>> fit_next_item(pl.concat(walk), split_at="2025-01-02", method="markov", n=1).accuracy.table["estimate"].to_list()
    [1.0, 1.0]
    """
    choose("method", method, METHODS)
    for name, value in {"n": n, "keep": keep, "recent": recent, "neighbours": neighbours}.items():
        check_number(name, value, least=1, whole=True)
    check_level(level)
    _check_length(n := int(n), keep := int(keep))
    log, split = _log(events, of, kinds := listed(kinds, name="kinds")), moment(split_at, name="split_at")
    first, last = log.select(arrival(log.columns).min(), arrival(log.columns).max().alias("last")).row(0)
    if not first < split <= last:
        raise ValueError(f"split_at is {split}; it must lie within the log, after {first} and not after {last}.")
    past = walks(sessions(known_before(log, split), gap_minutes=gap_minutes), of=of, kinds=kinds)
    if past.is_empty():
        raise ContractError(
            f"events: before {split} no row of the kinds {', '.join(map(repr, kinds))} has a value in {of!r}."
        )
    later = walks(sessions(log, gap_minutes=gap_minutes), of=of, kinds=kinds).filter(pl.col("began") >= split)
    most = [min(int(size), past["visit"].n_unique()) for size in (recent, neighbours)]
    steps = coded(past, items := by_hash(past))
    model = learn(method, steps, items, keep=min(keep, len(items)), sizes=(most[0], most[1]))
    judged = _judge(model, coded(later, items), len(items), n)
    if judged.is_empty():
        raise ContractError(
            f"events: no session from {split} on goes from one {of!r} to another at a later moment. Choose other "
            "kinds, a longer gap_minutes or an earlier split_at."
        )
    return NextItemFit(
        method=method,
        of=of,
        kinds=tuple(kinds),
        gap_minutes=gap_minutes,
        split_at=split,
        n=n,
        keep=keep,
        items=items["item"],
        model=model,
        n_sessions=past["visit"].n_unique(),
        n_unseen=int(judged["is_unseen"].sum()),
        accuracy=EstimateTable.from_rows(_accuracy(judged, n=n, level=level, words=_words(of, method, split))),
    )


def _words(of: str, method: str, split: datetime) -> dict[str, str]:
    among = f"steps of sessions from {in_words(split)} on"
    return {"question": f"Which {of} comes next?", "estimand": among, "method": method}


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class NextItemFit:
    """What comes next after each item or session, and how well that was foreseen in sessions from `split_at` on.

    `accuracy`: Estimates rows recall@n and mrr@n, the method as their group, so that the tables of several fits under
    each other compare them (draw it with `figures.estimates`); their n are the steps judged, `n_unseen` those of them
    to an item that training had not seen, all misses. `n_sessions`: training sessions with a step. `items`: those of
    training, in the order that breaks ties.
    """

    method: str
    of: str
    kinds: tuple[str, ...]
    gap_minutes: float
    split_at: datetime
    n: int
    keep: int
    items: pl.Series
    model: Lists | Neighbours
    n_sessions: int
    n_unseen: int
    accuracy: EstimateTable

    def recommend(self, events: Any, *, as_of: datetime | date | str, n: int | None = None) -> pl.DataFrame:
        """What comes next in each session open at `as_of`: customer_id, rank (1..), item, score; the best `n` items.

        Open: the last row known before `as_of` lies no longer than `gap_minutes` back. The score is the method's (no
        estimate). Sessions without a step, and those whose items lead nowhere known, have no row.
        """
        check_number("n", n := self.n if n is None else n, least=1, whole=True)
        _check_length(n := int(n), self.keep)
        at = moment(as_of)
        rows = sessions(known_before(_log(events, self.of, []), at), gap_minutes=self.gap_minutes)
        is_open = rows.filter(pl.col("at") >= at - timedelta(minutes=self.gap_minutes))
        last = is_open.group_by("customer_id").agg(pl.col("session_number").max())
        rows = rows.join(last, on=["customer_id", "session_number"], how="semi", maintain_order="left")
        steps = walks(rows, of=self.of, kinds=self.kinds)
        if (theirs := steps.schema["item"]) != self.items.dtype:
            raise ContractError(f"events: {self.of!r} is {theirs}, and was {self.items.dtype} in training; cast it.")
        steps = coded(steps, self.items.to_frame("item"))
        ends = steps.filter("is_last").select("customer_id", "low", high=pl.col("row") + 1, at=pl.lit(at))
        found, score = self.model.top(asked_at(steps, ends), n)
        query, place = np.nonzero(found >= 0)
        return pl.DataFrame(
            {
                "customer_id": ends["customer_id"][query],
                "rank": place + 1,
                "item": self.items[found[query, place]],
                "score": score[query, place],
            }
        )

    def __repr__(self) -> str:
        learnt = f"{len(self.items):,} values of {self.of!r} in {self.n_sessions:,} sessions"
        return f"NextItemFit by {self.method}: {learnt}; {self.n_unseen:,} steps to unseen items\n{self.accuracy!r}"

    def _repr_html_(self) -> str:
        shown = self.accuracy.table.select("metric", "estimate", "low", "high", "n", "reason")
        since = in_words(self.split_at)
        note = f"{self.method}; sessions from {since} on; {self.n_unseen:,} steps to items not seen before"
        return html_table(shown, title=f"How well the next {self.of!r} is foreseen", note=note)


def _check_length(n: int, keep: int) -> None:
    if n >= keep:
        raise ValueError(f"n is {n}, and keep {keep}; a list can only have fewer items than are kept. Raise keep.")


def _log(events: Any, of: str, kinds: Sequence[str]) -> pl.DataFrame:
    log = require(events, Events)
    if of not in log.columns:
        raise ContractError(f"events: no column {of!r} (of). They have: {', '.join(log.columns)}.")
    if log.schema[of].is_nested() or log.schema[of] in (pl.Binary, pl.Object):
        raise ContractError(f"events: {of!r} (of) is {log.schema[of]}; choose a column of numbers or text.")
    for kind in kinds:
        choose("kinds", kind, EVENT_KINDS)
    return log


def _judge(model: Lists | Neighbours, steps: pl.DataFrame, known: int, n: int) -> pl.DataFrame:
    """Each step that follows another: customer_id, rank (0: not among the first n), is_unseen."""
    from shoptoolkit.behaviour.kernels import last_items

    goals = steps.filter(pl.col("row") > pl.col("low")).with_columns(high="row")
    last = pl.Series(last_items(asked_at(steps, goals)), dtype=pl.Int64)
    goals = goals.filter((last >= 0) & (last != goals["code"]))  # a step not yet known may leave none, or no step
    ranks = []
    for block in goals.iter_slices(_BLOCK):
        found, _ = model.top(asked_at(steps, block), n)
        is_hit = found == block["code"].to_numpy()[:, None]
        ranks.append(np.where(is_hit.any(axis=1), is_hit.argmax(axis=1) + 1, 0))
    rank = pl.Series("rank", np.concatenate([np.empty(0, np.int64), *ranks]))
    return goals.select("customer_id", rank, is_unseen=pl.col("code") >= known)


def _accuracy(judged: pl.DataFrame, *, n: int, level: float, words: dict[str, str]) -> Iterator[dict[str, Any]]:
    """Both measures; Wilson's interval on the number of independent steps that has the error over customers."""
    customer = (judged["customer_id"].rank("dense") - 1).cast(pl.Int64).to_numpy()
    rank, customers = judged["rank"].to_numpy().astype(float), int(customer.max()) + 1
    values = {"recall": rank > 0, "mrr": np.divide(1, rank, out=np.zeros_like(rank), where=rank > 0)}
    for name, value in values.items():
        fixed: dict[str, Any] = {
            "metric": f"{name}@{n}",
            "contrast": None,
            "group": words["method"],
            "n": len(rank),
            **words,
        }
        if customers < _LEAST:
            reason = (
                f"there are {customers:,} customers to judge by; an interval needs at least {_LEAST}. Split earlier."
            )
            yield refused_row(reason=reason, level=level, **fixed)
            continue
        mean = float(value.mean())
        spread = mean * (1 - mean)
        sums = np.bincount(customer, value - mean)
        variance = float(sums @ sums) * customers / (customers - 1) / len(rank) ** 2
        effective = spread / variance if variance > 1e-12 * spread else customers  # where all customers are alike
        low, high = wilson(mean, effective, level)
        ends = {"low": float(low), "high": float(high)}
        yield estimate_row(estimate=mean, standard_error=variance**0.5, level=level, **ends, **fixed)
