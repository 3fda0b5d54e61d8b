"""Loops of intent and of the next item, compiled by numba. Imported where they are used, as numba loads slowly.

In: a log in time as arrays, moments in microseconds. Out: `open_sessions`, the rows of the session open at a moment;
`best_lists`, which items go with which; `from_lists` and `from_sessions`, what comes next for each query.

Items are codes in the order of a hash of their names: the lower code wins a tie, not the popular nor the first seen.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numba import njit

from shoptoolkit.contract.arrays import Floats, Ints


@njit(cache=True)
def open_sessions(first: Ints, end: Ints, as_of: Ints, at: Ints, known_at: Ints, gap: int) -> tuple[Ints, Ints]:
    """From which to before which row the session lies that is open at each moment; rows known later are still in it.

    Request r looks at the customer's rows first[r] up to end[r]. It walks back from its moment, over rows that were
    known by then, to the first pause longer than `gap`.
    """
    low, high = np.empty_like(as_of), np.empty_like(as_of)
    for r in range(len(as_of)):
        i = first[r] + np.searchsorted(at[first[r] : end[r]], as_of[r]) - 1
        low[r] = high[r] = i + 1
        last = as_of[r]
        while i >= first[r] and last - at[i] <= gap:
            if known_at[i] < as_of[r]:
                low[r], last = i, at[i]
            i -= 1
    return low, high


class Asked(NamedTuple):
    """Queries: the steps low[q] up to high[q] of a walk, of which those count that were known before moment[q].

    `item`: each step's item, a code from 0; codes that a model does not know are items never seen in training.
    """

    low: Ints
    high: Ints
    moment: Ints
    item: Ints
    known_at: Ints


@njit(cache=True)
def last_items(asked: Asked) -> Ints:
    """The last item known in each query, or -1."""
    out = np.full(len(asked.low), -1)
    for q in range(len(out)):
        for p in range(asked.high[q] - 1, asked.low[q] - 1, -1):
            if asked.known_at[p] < asked.moment[q]:
                out[q] = asked.item[p]
                break
    return out


@njit(cache=True)
def best_lists(
    first_group: Ints, group: Ints, first_item: Ints, item: Ints, row: Ints, column: Ints, most: int, of_items: bool
) -> tuple[Ints, Floats]:
    """For each list the items found most often in its groups, at most `most`: codes (-1: no more) and scores.

    Score: count / sqrt(row of the list x column of the item), compared as the square of that, so that equal fractions
    are equal numbers. `of_items`: there is a list per item, which does not hold the item itself.
    """
    lists = len(first_group) - 1
    best, score = np.full((lists, most), -1), np.zeros((lists, most))
    count, found = np.zeros(len(column), np.int64), np.empty(len(column), np.int64)
    for one in range(lists):
        n = 0
        for g in group[first_group[one] : first_group[one + 1]]:
            for i in item[first_item[g] : first_item[g + 1]]:
                if not of_items or i != one:
                    if count[i] == 0:
                        found[n] = i
                        n += 1
                    count[i] += 1
        kept = 0
        for i in found[:n]:
            kept = _keep(best[one], score[one], kept, i, count[i] * count[i] / (row[one] * column[i]))
            count[i] = 0
    return best, np.sqrt(score)


@njit(cache=True)
def from_lists(asked: Asked, best: Ints, score: Floats, of_items: bool, n: int) -> tuple[Ints, Floats]:
    """The first n items of the list of each query's last item (or else of the only list), without that item."""
    out, told = np.full((len(asked.low), n), -1), np.zeros((len(asked.low), n))
    last = last_items(asked)
    for q in range(len(last)):
        one = last[q] if of_items else 0
        k = 0
        if 0 <= one < len(best):
            for c in range(best.shape[1]):
                if k < n and best[one, c] >= 0 and best[one, c] != last[q]:
                    out[q, k], told[q, k] = best[one, c], score[one, c]
                    k += 1
    return out, told


@njit(cache=True)
def from_sessions(
    asked: Asked, first_item: Ints, item: Ints, first_session: Ints, session: Ints, sizes: tuple[int, int, int], n: int
) -> tuple[Ints, Floats]:
    """The n items most found in the past sessions most like each query, without its last item.

    Past sessions are numbered from the latest; `first_session` and `session` list those with an item. `sizes`: steps of
    a query looked at (the last ones), latest sessions sharing an item, and of them the most similar that count.
    """
    longest, recent, neighbours = sizes
    out, told = np.full((len(asked.low), n), -1), np.zeros((len(asked.low), n))
    score, found = np.zeros(len(first_session) - 1), np.empty(len(first_session) - 1, np.int64)
    mine, weight = np.empty(longest, np.int64), np.empty(longest, np.int64)
    near, like = np.empty(recent, np.int64), np.empty(recent)
    for q in range(len(out)):
        last, length, used = _prefix(asked, q, mine, weight, len(first_session) - 1)
        if used == 0:
            continue
        total = 0
        for k in range(used):
            weight[k] += length + 1  # counted down from the end; now the place, 1 for the first
            total += weight[k] * weight[k]
        kept = _nearest(mine[:used], weight[:used], first_item, first_session, session, near, like)
        order = np.argsort(-like[:kept], kind="mergesort")[:neighbours]  # of equals the latest
        m = 0
        for k in order:
            similarity = np.sqrt(like[k] / total)
            for i in item[first_item[near[k]] : first_item[near[k] + 1]]:
                if i != last:
                    if score[i] == 0:
                        found[m] = i
                        m += 1
                    score[i] += similarity
        k = 0
        for i in found[:m]:
            k = _keep(out[q], told[q], k, i, score[i])
            score[i] = 0
    return out, told


@njit(cache=True)
def _prefix(asked: Asked, q: int, mine: Ints, weight: Ints, n_items: int) -> tuple[int, int, int]:
    """A query's last item, its length, and how many different items it has that training knew, put into `mine`.

    `weight`: minus the place of an item's last step, counted from the end (the last step is -1).
    """
    last, length, used = -1, 0, 0
    for p in range(asked.high[q] - 1, asked.low[q] - 1, -1):
        if length == len(mine):
            break
        if asked.known_at[p] < asked.moment[q]:
            length += 1
            i = asked.item[p]
            last = i if length == 1 else last
            if i < n_items and i not in mine[:used]:
                mine[used], weight[used] = i, -length
                used += 1
    return last, length, used


@njit(cache=True)
def _nearest(
    mine: Ints, weight: Ints, first_item: Ints, first_session: Ints, session: Ints, near: Ints, like: Floats
) -> int:
    """The latest sessions that share an item: how many there are. Merges the items' lists.

    `like`: the square of each one's cosine but for a factor, so that equal fractions are equal numbers.
    """
    head = first_session[mine].copy()
    for kept in range(len(near)):
        latest = np.int64(len(first_item))
        for k in range(len(mine)):
            if head[k] < first_session[mine[k] + 1]:
                latest = min(latest, session[head[k]])
        if latest == len(first_item):
            return kept
        shared = 0
        for k in range(len(mine)):
            if head[k] < first_session[mine[k] + 1] and session[head[k]] == latest:
                shared += weight[k]
                head[k] += 1
        near[kept] = latest
        like[kept] = shared * shared / (first_item[latest + 1] - first_item[latest])
    return len(near)


@njit(cache=True)
def _keep(items: Ints, scores: Floats, count: int, item: int, score: float) -> int:
    """Put an item where it belongs in a list by score, then by code; how many the list holds then."""
    k = min(count, len(items) - 1)
    if count == len(items) and (scores[k] > score or (scores[k] == score and items[k] < item)):
        return count
    while k > 0 and (scores[k - 1] < score or (scores[k - 1] == score and items[k - 1] > item)):
        items[k], scores[k] = items[k - 1], scores[k - 1]
        k -= 1
    items[k], scores[k] = item, score
    return min(count + 1, len(items))
