"""Loops that numpy cannot say well, compiled by numba. Imported where they are used, as numba loads slowly."""

from __future__ import annotations

import numpy as np
from numba import njit

from shoptoolkit.contract.arrays import Floats, Ints


@njit(cache=True)
def squared_sums(cluster: Ints, day: Ints, slope: Ints, level: Floats, size: int) -> tuple[Floats, Floats, Floats]:
    """Coefficients q2, q1, q0 on the grid: sum over clusters of (a + b x)^2 = q2 x^2 + 2 q1 x + q0.

    b and a of a cluster change by `slope` and `level` on a grid `day`; the changes come sorted by cluster, then day.
    """
    q2, q1, q0 = np.zeros(size), np.zeros(size), np.zeros(size)
    a, b = 0.0, 0.0
    for i in range(len(cluster)):
        if i == 0 or cluster[i] != cluster[i - 1]:
            a, b = 0.0, 0.0
        q2[day[i]] -= b * b
        q1[day[i]] -= a * b
        q0[day[i]] -= a * a
        a += level[i]
        b += slope[i]
        q2[day[i]] += b * b
        q1[day[i]] += a * b
        q0[day[i]] += a * a
    return np.cumsum(q2), np.cumsum(q1), np.cumsum(q0)


@njit(cache=True)
def crossed_sums(cluster: Ints, day: Ints, slope: Ints, level: Floats, total: Floats, at: Ints) -> Floats:
    """Sum over clusters of (a + b x_j)(a + b x_k) for the grid days j, k of `at`, x = `total`; as in `squared_sums`."""
    size = len(at)
    rows = np.zeros((2048, size))
    crossed = np.zeros((size, size))
    row, a, b, k = -1, 0.0, 0.0, size
    for i in range(len(cluster) + 1):
        is_over = i == len(cluster)
        if is_over or i == 0 or cluster[i] != cluster[i - 1]:
            while k < size:
                rows[row, k] = a + b * total[at[k]]
                k += 1
            if row == len(rows) - 1 or is_over:
                part = rows[: row + 1]
                crossed += part.T @ part
                row = -1
            row, a, b, k = row + 1, 0.0, 0.0, 0
        if is_over:
            break
        while k < size and at[k] < day[i]:
            rows[row, k] = a + b * total[at[k]]
            k += 1
        a += level[i]
        b += slope[i]
    return crossed
