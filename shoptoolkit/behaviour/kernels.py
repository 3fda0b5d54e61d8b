"""Loops of intent and of the next item, compiled by numba. Imported where they are used, as numba loads slowly.

In: a log in time as arrays, moments in microseconds. Out: `open_sessions`, the rows of the session open at a moment.
"""

from __future__ import annotations

import numpy as np
from numba import njit

from shoptoolkit.contract.arrays import Ints


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
