"""The loop of the Poisson bootstrap, compiled by numba. Imported where it is used, as numba loads slowly.

In: alike customers with their count and cell. Out: `resampled`, the sums of each cell in each resample.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
from numba import njit

from shoptoolkit.contract.arrays import Floats, Ints

_COUNTS = np.array([24109, 24109, 12055, 4018, 1005, 201, 33, 5, 1])  # 2^16 times the law of Poisson(1): mean, variance
POISSON = np.repeat(np.arange(9, dtype=np.uint8), _COUNTS)  # ... and shares are right to 1e-4
_MANY = 16  # customers of a row up to whom draws are added one by one, as that is faster


@njit(cache=True)
def resampled(
    cell: npt.NDArray[np.int32],
    count: Ints,
    values: Floats,
    spread: Floats,
    cells: int,
    seeds: Ints,
    rng: np.random.Generator,
    poisson: npt.NDArray[np.uint8],
) -> Floats:
    """Per resample, score and cell the sums of weight x values, where each customer's weight is a Poisson(1) draw.

    Row r stands for count[r] customers, who lie in cell[s, r] by score s, with values[r] on average; the second value
    differs between them, with spread[r] the root of the sum of squares about its mean. Of several customers the sum of
    weights is drawn at once, and that of weight x value given it by the normal law: its mean, variance and covariance
    with the weights are those of separate draws. All scores see the same weights. Seed 0 draws nothing: every weight is
    1. Random bits by SplitMix64 (Steele, Lea and Flood 2014, OOPSLA).
    """
    out = np.zeros((len(seeds), len(cell), cells, values.shape[1]))
    for b in range(len(seeds)):
        state, bits, left = np.uint64(seeds[b]), np.uint64(0), 0
        for r in range(len(count)):
            weight, more = float(count[r]), 0.0
            if seeds[b] != 0 and count[r] > 1:
                more = spread[r] * rng.standard_normal()
            if seeds[b] != 0 and count[r] > _MANY:
                weight = float(rng.poisson(count[r]))
            elif seeds[b] != 0:
                weight = 0.0
                for _ in range(count[r]):
                    if left == 0:
                        state += np.uint64(0x9E3779B97F4A7C15)
                        bits = (state ^ (state >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
                        bits = (bits ^ (bits >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
                        bits ^= bits >> np.uint64(31)
                        left = 4
                    weight += poisson[bits & np.uint64(0xFFFF)]
                    bits >>= np.uint64(16)
                    left -= 1
            for s in range(len(cell)):
                for k in range(values.shape[1]):
                    out[b, s, cell[s, r], k] += weight * values[r, k]
                out[b, s, cell[s, r], 1] += more
    return out
