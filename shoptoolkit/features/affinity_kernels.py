"""Counting what is bought together, compiled by numba. Imported where it is used, as numba loads slowly.

In: `Lines`. Out: `partners`, each item's strongest partners with their counts and the bounds of their lift. Memory: the
lines, one row of sums for one item at a time, and the pairs kept; never all pairs.

A lift is log(n_ab) + log(n) - log(n_a) - log(n_b) on the log scale. A cluster with m units, of them m_a with a, m_b
with b, m_ab with both, moves it by m_ab / n_ab + m / n - m_a / n_a - m_b / n_b; its variance is the sum of the squares
of these moves. Multiplied out, only clusters with both a and b need to be looked at for a pair, the rest is summed once
per item (`spreads`). All sums are of integers, so their order does not matter.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numba import njit

from shoptoolkit.contract.arrays import Floats, Ints

# sums over clusters: of m_ab, of its square, of m_ab times m, m_a and m_b, and of m_a times m_b
_BOTH, _SQUARES, _ALL, _WITH_A, _WITH_B, _APART = range(6)


class Lines(NamedTuple):
    """Which unit has which item, once each, sorted by cluster and unit; a unit alone in its cluster is independent.

    Line i is of `item[i]`, unit `unit[i]` and cluster `cluster[i]`; unit u has the lines unit_first[u] up to
    unit_first[u + 1], clusters likewise; item a those that `by_item` lists from item_first[a] to item_first[a + 1].
    `units`: each cluster's units, also those without a line. Of all clusters, also those without a line, `n`: units,
    `squares`: sum of (units / n) squared.
    """

    item: Ints
    unit: Ints
    unit_first: Ints
    cluster: Ints
    cluster_first: Ints
    by_item: Ints
    item_first: Ints
    units: Ints
    n: int
    squares: float


@njit(cache=True)
def spreads(lines: Lines, size: Ints) -> Floats:
    """Sum over all clusters of (m / n - m_a / n_a) squared, for each item."""
    out = np.empty(len(size))
    for a in range(len(size)):
        product, square, i = 0, 0, lines.item_first[a]
        while i < lines.item_first[a + 1]:
            c, m_a = lines.cluster[lines.by_item[i]], _run(lines, i, lines.item_first[a + 1])
            product, square, i = product + lines.units[c] * m_a, square + m_a * m_a, i + m_a
        out[a] = lines.squares - 2 * product / (lines.n * size[a]) + square / size[a] ** 2
    return out


@njit(cache=True)
def partners(lines: Lines, size: Ints, spread: Floats, reaches: Floats, least: int, most: int) -> tuple[Ints, Floats]:
    """Each item's `most` partners with the highest lower bound of the lift, of those in at least `least` units with it.

    `size`: units of each item; `reaches`: how many errors the bounds reach, by the sum of squares of the clusters'
    shares in the pair, in even steps from 0 to 1/2. Gives rows of a, b and their units, and rows of lift, low and high;
    a in order, then b by strength.
    """
    sums, together = np.zeros((len(size), 6), np.int64), np.zeros(len(size), np.int64)
    pairs, told, kept = np.empty((1024, 3), np.int64), np.empty((1024, 3)), 0
    seen = np.empty(len(size), np.int64)
    for a in range(len(size)):
        n_seen = _meet(lines, a, sums, together, seen)
        found = np.sort(np.array([b for b in seen[:n_seen] if sums[b, _BOTH] >= least], np.int64))
        bounds = np.empty((len(found), 3))
        for k, b in enumerate(found):
            _bound(lines.n, size[a], size[b], spread[a] + spread[b] - lines.squares, sums[b], reaches, bounds[k])
        best = np.argsort(-bounds[:, 1], kind="mergesort")[:most]
        while kept + len(best) > len(pairs):
            pairs, told = np.concatenate((pairs, pairs)), np.concatenate((told, told))  # twice the room
        for k in best:
            pairs[kept, 0], pairs[kept, 1], pairs[kept, 2] = a, found[k], sums[found[k], _BOTH]
            told[kept] = bounds[k]
            kept += 1
        for b in seen[:n_seen]:
            sums[b] = 0
    return pairs[:kept], told[:kept]


@njit(cache=True)
def _run(lines: Lines, i: int, end: int) -> int:
    """How many lines of an item from place i on lie in one cluster."""
    j, c = i, lines.cluster[lines.by_item[i]]
    while j < end and lines.cluster[lines.by_item[j]] == c:
        j += 1
    return j - i


@njit(cache=True)
def _meet(lines: Lines, a: int, sums: Ints, together: Ints, seen: Ints) -> int:
    """Fill the `sums` of a's partners, cluster by cluster, and list them in `seen`; `together` is zeros, as before."""
    n_seen, i = 0, lines.item_first[a]
    while i < lines.item_first[a + 1]:
        c = lines.cluster[lines.by_item[i]]
        m, m_a = lines.units[c], _run(lines, i, lines.item_first[a + 1])
        for k in lines.by_item[i : i + m_a]:
            for j in range(lines.unit_first[lines.unit[k]], lines.unit_first[lines.unit[k] + 1]):
                together[lines.item[j]] += 1
        for j in range(lines.cluster_first[c], lines.cluster_first[c + 1]):  # m_b lines for each b
            b = lines.item[j]
            one = sums[b]
            if b != a:
                if one[_APART] == 0:
                    seen[n_seen] = b
                    n_seen += 1
                one[_APART] += m_a
                one[_WITH_B] += together[b]
        for k in lines.by_item[i : i + m_a]:
            for j in range(lines.unit_first[lines.unit[k]], lines.unit_first[lines.unit[k] + 1]):
                b = lines.item[j]
                if together[b]:  # once per cluster
                    if b != a:
                        one = sums[b]
                        one[_BOTH] += together[b]
                        one[_SQUARES] += together[b] ** 2
                        one[_ALL] += together[b] * m
                        one[_WITH_A] += together[b] * m_a
                    together[b] = 0
        i += m_a
    return n_seen


@njit(cache=True)
def _bound(n: int, n_a: int, n_b: int, apart: float, sums: Ints, reaches: Floats, out: Floats) -> None:
    """Lift, low and high by the delta method on the log; `apart`: the variance without what the pair has in common."""
    both = sums[_BOTH]
    cross = sums[_ALL] / n - sums[_WITH_A] / n_a - sums[_WITH_B] / n_b
    variance = apart + sums[_SQUARES] / both**2 + 2 * cross / both + 2 * sums[_APART] / n_a / n_b
    place = min(2 * sums[_SQUARES] / both**2, 1.0) * (len(reaches) - 1)
    k = min(int(place), len(reaches) - 2)
    errors = reaches[k] + (place - k) * (reaches[k + 1] - reaches[k])
    reach = np.exp(errors * np.sqrt(max(variance, 0.0)))
    out[0] = both / n_a / n_b * n
    out[1], out[2] = out[0] / reach, out[0] * reach
