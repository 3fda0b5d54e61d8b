"""Loops over customers' timelines, compiled by numba. Imported where they are used, as numba loads slowly.

In: arrays sorted by customer. Out: `by_customer` and `sort_within` bring rows into that order; `windowed_sums`,
`windowed_distinct`, `latest`, `gaps` and `known` walk a `Timeline` once, forwards, and answer every request on the way;
`last_known` walks it backwards.

A row counts at a request while known_at < as_of <= at + window. That is one interval per row and window: the row comes
when it is known and goes when its window is over, and a row known only after its window never comes. So each walk is
linear in rows and requests, however heavy a customer is. Amounts are integers: what came in any order goes to zero.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numba import njit

from shoptoolkit.contract.arrays import Ints

NEVER = np.iinfo(np.int64).min


class Timeline(NamedTuple):
    """Rows sorted by customer and `at`, requests sorted by customer and `as_of`; moments in microseconds.

    Customer c has the rows first_event[c] up to first_event[c + 1], and likewise its requests. `arrival` lists a
    customer's rows in the order of `known_at`; `row` is where the answer to a request belongs.
    """

    first_event: Ints
    at: Ints
    known_at: Ints
    arrival: Ints
    first_request: Ints
    as_of: Ints
    row: Ints


@njit(cache=True)
def by_customer(customer: Ints, n: int) -> tuple[Ints, Ints]:
    """Where each of n customers begins, and the rows sorted by customer (else as they come); below 0 is left out."""
    first = np.zeros(n + 1, np.int64)
    for c in customer:
        if c >= 0:
            first[c + 1] += 1
    first = np.cumsum(first)
    free, order = first[:-1].copy(), np.empty(first[n], np.int64)
    for i in range(len(customer)):
        c = customer[i]
        if c >= 0:
            order[free[c]] = i
            free[c] += 1
    return first, order


@njit(cache=True)
def sort_within(first: Ints, order: Ints, moment: Ints) -> None:
    """Sort each customer's part of `order` by `moment`, in place; a part in order, as in most logs, costs one look."""
    for c in range(len(first) - 1):
        part = order[first[c] : first[c + 1]]
        for i in range(1, len(part)):
            if moment[part[i]] < moment[part[i - 1]]:
                part[:] = part[np.argsort(moment[part])]
                break


@njit(cache=True)
def windowed_sums(line: Timeline, spans: Ints, group: Ints, amount: Ints, n_groups: int) -> Ints:
    """Sum of `amount` per request, group and window of `spans` microseconds; a row of group -1 is in none."""
    out = np.zeros((len(line.row), n_groups, len(spans)), np.int64)
    now, gone = np.zeros((n_groups, len(spans)), np.int64), np.empty(len(spans), np.int64)
    for c in range(len(line.first_event) - 1):
        come, end = line.first_event[c], line.first_event[c + 1]
        gone[:], now[:] = come, 0
        for r in range(line.first_request[c], line.first_request[c + 1]):
            while come < end and line.known_at[line.arrival[come]] < line.as_of[r]:
                i = line.arrival[come]
                come += 1
                if group[i] >= 0:
                    for w in range(len(spans)):
                        if line.known_at[i] - line.at[i] < spans[w]:
                            now[group[i], w] += amount[i]
            for w in range(len(spans)):
                while gone[w] < end and line.at[gone[w]] + spans[w] < line.as_of[r]:
                    i = gone[w]
                    gone[w] += 1
                    if group[i] >= 0 and line.known_at[i] - line.at[i] < spans[w]:
                        now[group[i], w] -= amount[i]
            out[line.row[r]] = now
    return out


@njit(cache=True)
def windowed_distinct(line: Timeline, spans: Ints, code: Ints, n_codes: int) -> Ints:
    """Number of different codes (0 up to `n_codes`; -1 is none) per request and window of `spans` microseconds."""
    out = np.zeros((len(line.row), len(spans)), np.int64)
    copies = np.zeros((n_codes, len(spans)), np.int32)
    now, gone = np.zeros(len(spans), np.int64), np.empty(len(spans), np.int64)
    for c in range(len(line.first_event) - 1):
        come, end = line.first_event[c], line.first_event[c + 1]
        gone[:], now[:] = come, 0
        for r in range(line.first_request[c], line.first_request[c + 1]):
            while come < end and line.known_at[line.arrival[come]] < line.as_of[r]:
                i = line.arrival[come]
                come += 1
                if code[i] >= 0:
                    for w in range(len(spans)):
                        if line.known_at[i] - line.at[i] < spans[w]:
                            now[w] += copies[code[i], w] == 0
                            copies[code[i], w] += 1
            for w in range(len(spans)):
                while gone[w] < end and line.at[gone[w]] + spans[w] < line.as_of[r]:
                    i = gone[w]
                    gone[w] += 1
                    if code[i] >= 0 and line.known_at[i] - line.at[i] < spans[w]:
                        copies[code[i], w] -= 1
                        now[w] -= copies[code[i], w] == 0
            out[line.row[r]] = now
        for k in range(line.first_event[c], come):  # the next customer starts from nothing
            if code[line.arrival[k]] >= 0:
                copies[code[line.arrival[k]]] = 0
    return out


@njit(cache=True)
def latest(line: Timeline, group: Ints, n_groups: int) -> Ints:
    """The last `at` of each group per request, of rows known before it; NEVER where there is none."""
    out = np.empty((len(line.row), n_groups), np.int64)
    now = np.empty(n_groups, np.int64)
    for c in range(len(line.first_event) - 1):
        come, end = line.first_event[c], line.first_event[c + 1]
        now[:] = NEVER
        for r in range(line.first_request[c], line.first_request[c + 1]):
            while come < end and line.known_at[line.arrival[come]] < line.as_of[r]:
                i = line.arrival[come]
                come += 1
                if group[i] >= 0:
                    now[group[i]] = max(now[group[i]], line.at[i])
            out[line.row[r]] = now
    return out


@njit(cache=True)
def gaps(line: Timeline, day: Ints) -> Ints:
    """Gaps between the different days known of (-1 is none): how many, their sum, and the sum of their squares.

    A day that becomes known late splits the gap it falls into. Days stand sorted: a new one costs a search and a shift,
    and there are no more of them than days in the log, however many rows.
    """
    out = np.zeros((len(line.row), 3), np.int64)
    days = np.empty(np.diff(line.first_event).max() if len(line.at) else 0, np.int64)
    for c in range(len(line.first_event) - 1):
        come, n, squares = line.first_event[c], 0, 0
        for r in range(line.first_request[c], line.first_request[c + 1]):
            while come < line.first_event[c + 1] and line.known_at[line.arrival[come]] < line.as_of[r]:
                new = day[line.arrival[come]]
                come += 1
                place = np.searchsorted(days[:n], new)
                if new < 0 or (place < n and days[place] == new):
                    continue
                if place > 0:
                    squares += (new - days[place - 1]) ** 2
                if place < n:
                    squares += (days[place] - new) ** 2
                if 0 < place < n:
                    squares -= (days[place] - days[place - 1]) ** 2
                for k in range(n, place, -1):
                    days[k] = days[k - 1]
                days[place] = new
                n += 1
            if n > 1:
                out[line.row[r]] = (n - 1, days[n - 1] - days[0], squares)
    return out


@njit(cache=True)
def known(line: Timeline) -> Ints:
    """How many of the customer's rows are known before each request."""
    out = np.empty(len(line.row), np.int64)
    for c in range(len(line.first_event) - 1):
        come = line.first_event[c]
        for r in range(line.first_request[c], line.first_request[c + 1]):
            while come < line.first_event[c + 1] and line.known_at[line.arrival[come]] < line.as_of[r]:
                come += 1
            out[line.row[r]] = come - line.first_event[c]
    return out


@njit(cache=True)
def last_known(line: Timeline, first: Ints) -> Ints:
    """The last rows that happened, of those known: for request r, as many as fit from first[r] to first[r + 1].

    The requests are met from the last to the first, so that rows only leave: one step each in a linked list.
    """
    out, n = np.empty(first[-1], np.int64), len(line.at)
    before, after = np.arange(-1, n - 1), np.arange(1, n + 1)
    for c in range(len(line.first_event) - 1):
        begin, end = line.first_event[c], line.first_event[c + 1]
        unknown, newest = end, end - 1
        for r in range(line.first_request[c + 1] - 1, line.first_request[c] - 1, -1):
            while unknown > begin and line.known_at[line.arrival[unknown - 1]] >= line.as_of[r]:
                unknown -= 1
                i = line.arrival[unknown]
                if after[i] < end:
                    before[after[i]] = before[i]
                else:
                    newest = before[i]
                if before[i] >= begin:
                    after[before[i]] = after[i]
            i, row = newest, line.row[r]
            for place in range(first[row + 1] - 1, first[row] - 1, -1):
                out[place] = i
                i = before[i]
    return out
