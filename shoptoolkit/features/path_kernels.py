"""Loops along customers' paths, compiled by numba. Imported where they are used, as numba loads slowly.

In: arrays of a log in time (in_time.py). Out: `number_sessions`, `deepest_chains` for the funnel,
`steps_of_paths` for the transitions.
"""

from __future__ import annotations

import numpy as np
from numba import njit

from shoptoolkit.contract.arrays import Flags, Ints

NEVER = np.iinfo(np.int64).min


@njit(cache=True)
def number_sessions(is_first: Flags, at: Ints, gap: int, campaign: Ints, has_source: Flags) -> tuple[Ints, Ints]:
    """Each row's session, from 1 per customer, and the session's first row with a source (if none, its first row).

    `campaign`: codes, -1 where unknown; empty if a campaign starts no session. `has_source` may be empty as well.
    """
    number, told = np.empty(len(at), np.int64), np.empty(len(at), np.int64)
    begin, entry, last = 0, -1, -1
    for i in range(len(at) + 1):
        is_end = i == len(at)
        is_new = is_end or is_first[i] or at[i] - at[i - 1] > gap
        if not is_end and len(campaign) and campaign[i] >= 0:
            is_new = is_new or (last >= 0 and campaign[i] != last)
        if is_new and i > 0:
            told[begin:i] = max(entry, begin)
        if is_end:
            break
        if is_new:
            number[i] = 1 if is_first[i] else number[i - 1] + 1
            begin, entry, last = i, -1, -1
        else:
            number[i] = number[i - 1]
        if len(campaign) and campaign[i] >= 0:
            last = campaign[i]
        if len(has_source) and has_source[i] and entry < 0:
            entry = i
    return number, told


@njit(cache=True)
def deepest_chains(first: Ints, at: Ints, serves: Ints, n_steps: int, window: int) -> Ints:
    """When each customer made each step of the best chain; NEVER for steps not reached. Bit k of `serves`: step k.

    `start[k]` is the latest start of a chain of k + 1 steps that ended strictly before now: of chains that are as long
    no other can go on for longer, so one walk finds the greatest depth. Rows of one moment are one row that serves all
    their steps, tried from the last step down, so that none builds on another. The best chain is the deepest that is
    complete first, of those the one that starts last; each step in it is made as early as it can be.
    """
    out = np.full((len(first) - 1, n_steps), NEVER)
    start = np.empty(n_steps, np.int64)
    for c in range(len(first) - 1):
        start[:] = NEVER
        depth, began, i = 0, NEVER, first[c]
        while i < first[c + 1]:
            now, bits = at[i], 0
            while i < first[c + 1] and at[i] == now:
                bits |= serves[i]
                i += 1
            for k in range(depth if depth < n_steps else n_steps - 1, -1, -1):
                if bits >> k & 1:
                    begin = now if k == 0 else start[k - 1]
                    if begin != NEVER and now - begin <= window:
                        start[k] = max(start[k], begin)
                        if k == depth:
                            depth, began = k + 1, begin
        step, last = 0, NEVER
        for i in range(first[c], first[c + 1]):
            if step < depth and at[i] >= began and at[i] > last and serves[i] >> step & 1:
                out[c, step] = last = at[i]
                step += 1
    return out


@njit(cache=True)
def steps_of_paths(first: Ints, is_first: Flags, state: Ints, group: Ints, n_states: int) -> tuple[Ints, Ints]:
    """Every step of every path, coded and sorted within its customer, and where each customer's steps begin.

    A step's code tells, in digits to the base n_states + 1, the path's group, the state left (0: the start, then the
    states) and the state reached (the states, then the end).
    """
    base, at = n_states + 1, 0
    code, begin = np.empty(len(state) + is_first.sum(), np.int64), np.zeros(len(first), np.int64)
    for c in range(len(first) - 1):
        for i in range(first[c], first[c + 1]):
            left = 0 if is_first[i] else state[i - 1] + 1
            code[at] = (group[i] * base + left) * base + state[i]
            at += 1
            if i + 1 == len(state) or is_first[i + 1]:
                code[at] = (group[i] * base + state[i] + 1) * base + n_states
                at += 1
        begin[c + 1] = at
        code[begin[c] : at].sort()
    return code, begin
