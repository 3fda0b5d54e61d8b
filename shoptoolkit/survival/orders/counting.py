"""Histories of customers from rows in any order, compiled by numba; imported where it is used."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
from numba import njit

from shoptoolkit.contract.arrays import Floats, Ints


@njit(cache=True)
def histories(
    customer: Ints, day: npt.NDArray[np.int32], money: Floats, n: int, end: int, period: float
) -> tuple[Ints, Ints, Ints, Floats]:
    """First day (-1: no row), last day, number of repeat days and the money of them, for customers 0 .. n - 1.

    With `period` > 0 days: the last whole period after the first day with an order in it, and the number of such;
    a period that is not over on day `end` does not count.
    """
    begin = np.zeros(n + 1, np.int64)
    for c in customer:
        begin[c + 1] += 1
    begin = np.cumsum(begin)
    free, line, paid = begin[:-1].copy(), np.empty(len(day), np.int32), np.empty(len(money))
    for i in range(len(day)):
        place = free[customer[i]]
        free[customer[i]] += 1
        line[place] = day[i]
        if len(money):
            paid[place] = money[i]
    first, last, repeats, spent = np.full(n, -1), np.zeros(n, np.int64), np.zeros(n, np.int64), np.zeros(n)
    for c in range(n):
        mine = line[begin[c] : begin[c + 1]]
        if not len(mine):
            continue
        first[c] = mine.min()
        until = first[c] + np.floor((end - first[c]) / period + 1e-9) * period if period else float(end)
        if len(money):
            for i in range(begin[c], begin[c + 1]):
                spent[c] += paid[i] if first[c] < line[i] <= until + 1e-9 else 0.0
        for i in range(1, len(mine)):
            if mine[i] < mine[i - 1]:
                mine.sort()
                break
        before = 0 if period else first[c]
        for one in mine:
            slot = int(np.ceil((one - first[c]) / period - 1e-9)) if period else one
            if slot > before and one <= until + 1e-9:
                repeats[c] += 1
                before = slot
        last[c] = before
    return first, last, repeats, spent
