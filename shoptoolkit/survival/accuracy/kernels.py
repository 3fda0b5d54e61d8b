"""Loops of the accuracy measures, compiled by numba: pairs of customers counted in O(n log n).

`lower_scores` counts the pairs of a concordance by a tree of cumulative sums (Fenwick 1994); `auc_sums` compares cases
with controls along one sort.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numba import njit

from shoptoolkit.contract.arrays import Floats, Ints


def lower_scores(order: Ints, score: Any, key: Any, weight: Any, mass: Any) -> list[Floats]:
    """Per row, of the rows with lower scores: the `weight` of larger keys, the `mass` of smaller ones; ties count 1/2.

    `order` sorts by score. A tree of many keys would not stay in the processor's cache, so keys are compared by their
    upper digits first, then within each of these by the lower.
    """
    values = score[order]
    run = np.cumsum(values != np.roll(values, 1), dtype=np.int32)
    key, weight, mass = key.astype(np.int32)[order], weight[order], mass[order]
    digits = int(key.max()).bit_length() // 2
    if digits < 7:
        told = _walk(np.zeros_like(run), run, key, weight, mass)
    else:
        told = _walk(np.zeros_like(run), run, key >> digits, weight, mass)
        by = np.argsort((key >> digits).astype(np.uint16), kind="stable")  # by radix; of 31 bits at most 16 are left
        key = key[by]
        more_told = _walk(key >> digits, run[by], key & (2**digits - 1), weight[by], mass[by])
        for one, more in zip(told, more_told):
            one[by] += more
    by_row = [np.empty(len(order)), np.empty(len(order))]
    for one, two in zip(by_row, told):
        one[order] = two
    return by_row


@njit(cache=True)
def _walk(block: Any, run: Any, key: Any, weight: Any, mass: Any) -> tuple[Floats, Floats]:
    """As `lower_scores`, within each block, of rows that lie in order of block and score; `run`: of equal scores."""
    n = len(key)
    larger, smaller = np.empty(n), np.empty(n)
    tree, total = np.zeros((key.max() + 2, 2), weight.dtype), weight[0]
    start = 0
    while start < n:
        if start == 0 or block[start] != block[start - 1]:
            tree[:] = 0
            total = tree[0, 0]
        end = start + 1
        while end < n and run[end] == run[start] and block[end] == block[start]:
            end += 1
        for k in range(start, end):
            larger[k], smaller[k] = _larger_and_smaller(tree, key[k], total)
        for k in range(start, end):
            at = key[k] + 1
            total += weight[k]
            while at < len(tree):
                tree[at, 0] += weight[k]
                tree[at, 1] += mass[k]
                at += at & -at
        if end > start + 1:  # the mean of without and with the equals
            for k in range(start, end):
                with_equals = _larger_and_smaller(tree, key[k], total)
                larger[k] = (larger[k] + with_equals[0]) / 2
                smaller[k] = (smaller[k] + with_equals[1]) / 2
        start = end
    return larger, smaller


@njit(cache=True)
def _larger_and_smaller(tree: Any, key: int, total: Any) -> Any:
    at, larger, smaller = key + 1, total, tree[0, 1]
    while at > 0:
        larger -= tree[at, 0]
        at &= at - 1
    at = key
    while at > 0:
        smaller += tree[at, 1]
        at &= at - 1
    return larger, smaller


@njit(cache=True)
def auc_sums(score: Any, case: Floats, control: Floats) -> Floats:
    """Per row, the controls below a case or the cases above a control; ties count 1/2. Rows are sorted by score."""
    n, cases = len(score), case.sum()
    told = np.zeros(n)
    below, cases_below = 0.0, 0.0
    start = 0
    while start < n:
        end, controls_here, cases_here = start, 0.0, 0.0
        while end < n and score[end] == score[start]:
            controls_here += control[end]
            cases_here += case[end]
            end += 1
        for row in range(start, end):
            if case[row] > 0:
                told[row] = below + 0.5 * controls_here
            elif control[row] > 0:
                told[row] = cases - cases_below - 0.5 * cases_here
        below += controls_here
        cases_below += cases_here
        start = end
    return told
