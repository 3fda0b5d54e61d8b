"""Loops that numpy cannot say well, compiled by numba. Imported inside the functions that use them: numba costs time to load."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
from numba import njit

Floats = npt.NDArray[np.float64]
Ints = npt.NDArray[np.int64]


@njit(cache=True)
def clustered_variance(
    cluster: Ints, place: Ints, entered: Ints, seen: npt.NDArray[np.bool_], greenwood: Floats, jump: Floats
) -> Floats:
    """Sum over clusters of (d log S(t) / d weight of the cluster)^2 on the grid; spells sorted by cluster.

    A spell at risk on day u adds d/(n(n-d)) to the derivative; if it ends in a repurchase there, it takes off 1/(n-d).
    """
    size = len(greenwood)
    variance = np.zeros(size)
    slope = np.zeros(size)
    reach = 0
    for i in range(len(cluster)):
        for u in range(entered[i], place[i] + 1):
            slope[u] += greenwood[u]
        if seen[i]:
            slope[place[i]] -= jump[place[i]]
        reach = max(reach, place[i])
        if i + 1 == len(cluster) or cluster[i + 1] != cluster[i]:
            total = 0.0
            for u in range(size):
                if u <= reach:
                    total += slope[u]
                    slope[u] = 0.0
                variance[u] += total * total
            reach = 0
    return variance
