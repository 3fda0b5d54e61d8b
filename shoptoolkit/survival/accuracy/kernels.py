"""Loops of the accuracy measures, compiled by numba: pairs of customers counted in O(n log n).

`pair_sums` counts the pairs of a concordance by a tree of cumulative sums (Fenwick 1994); `auc_sums` compares cases
with controls along one sort.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numba import njit

from shoptoolkit.contract.arrays import Floats, Ints


@njit(cache=True)
def _add(tree: Floats, rank: int, mass: float) -> None:
    while rank < len(tree):
        tree[rank] += mass
        rank += rank & -rank


@njit(cache=True)
def _below(tree: Floats, rank: int) -> float:
    """Mass at ranks 1..rank."""
    total = tree[0]  # nothing, of the tree's type
    while rank > 0:
        total += tree[rank]
        rank -= rank & -rank
    return total


@njit(cache=True)
def pair_sums(order: Ints, key: Ints, rank: Any, weight: Any, worth: Any) -> tuple[Floats, Floats]:
    """How many pairs each row is in, and in how many the score is right (ties count 1/2), in `order`; two columns each.

    Column 0: pairs in which the row came back first, per unit of its `worth`; column 1: pairs in which it stayed
    longer, each weighed by the worth of the one that came back. `order` sorts by `key` = 2 day + (0 came back, 1
    censored): of two on one day, only one who came back and one censored can be compared. `rank`: of the score, from 1.
    """
    n, top = len(order), rank.max() + 1
    pairs, right = np.zeros((n, 2)), np.zeros((n, 2))
    key, ranked, weight, worth = key[order], rank[order], weight[order], worth[order]
    tree, at, total = np.zeros(top, weight.dtype), np.zeros(top, weight.dtype), 0.0
    end = n
    while end > 0:  # from the last day to the first: those who stayed longer are in the tree
        start = end
        while start > 0 and key[start - 1] == key[end - 1]:
            start -= 1
        if key[start] % 2 == 0:
            for k in range(start, end):
                if worth[k] > 0:
                    right[k, 0] = _below(tree, ranked[k] - 1) + 0.5 * at[ranked[k]]
                    pairs[k, 0] = total
        for k in range(start, end):
            _add(tree, ranked[k], weight[k])
            at[ranked[k]] += weight[k]
            total += weight[k]
        end = start
    tree[:], at[:], total, start = 0, 0, 0.0, 0
    while start < n:  # from the first day on: those who came back are in the tree
        end = start
        while end < n and key[end] == key[start]:
            end += 1
        for k in range(start, end):
            right[k, 1] = total - _below(tree, ranked[k]) + 0.5 * at[ranked[k]]
            pairs[k, 1] = total
        if key[start] % 2 == 0:
            for k in range(start, end):
                mass = weight[k] * worth[k]
                _add(tree, ranked[k], mass)
                at[ranked[k]] += mass
                total += mass
        start = end
    return pairs, right


@njit(cache=True)
def auc_sums(order: Ints, score: Floats, case: Floats, control: Floats) -> Floats:
    """Per row, the controls below a case or the cases above a control; ties count 1/2. `order` sorts by score."""
    n, cases = len(order), case.sum()
    told = np.zeros(n)
    below, cases_below = 0.0, 0.0
    start = 0
    while start < n:
        end, controls_here, cases_here = start, 0.0, 0.0
        while end < n and score[order[end]] == score[order[start]]:
            controls_here += control[order[end]]
            cases_here += case[order[end]]
            end += 1
        for row in order[start:end]:
            if case[row] > 0:
                told[row] = below + 0.5 * controls_here
            elif control[row] > 0:
                told[row] = cases - cases_below - 0.5 * cases_here
        below += controls_here
        cases_below += cases_here
        start = end
    return told
