"""Loops that numpy cannot say well, compiled by numba. Imported where they are used, as numba loads slowly."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
from numba import njit

Floats = npt.NDArray[np.float64]
Ints = npt.NDArray[np.int64]


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
