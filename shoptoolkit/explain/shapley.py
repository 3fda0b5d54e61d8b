"""Shapley values of any answer by walks from background rows to a row, switching one player's columns at a time.

In: an answer as a function of a matrix, rows, background rows, and the player of each column. Out: `shapley` ->
`Shares`.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np

from shoptoolkit.contract.arrays import Floats, Ints

_CELLS = 1 << 22  # numbers that are asked at once, about


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Shares:
    """Base (answers) and what each player adds to it, with its Monte-Carlo error (rows x answers x players).

    `orders`: walked from each background row to each row, the reversed ones too.
    """

    base: Floats
    contributions: Floats
    errors: Floats
    orders: int


def shapley(
    answer: Callable[[Any], Floats],
    rows: Any,
    background: Any,
    players: Ints,
    *,
    permutations: int,
    rng: int | np.random.Generator,
    drawn_from: int | None = None,
    done: Callable[[int], object] = lambda _: None,
) -> Shares:
    """What does each player add to the answers of each row, where what is missing comes from the background?

    Parameters
    ----------
    answer
        Takes a matrix of rows x columns, returns rows x answers.
    rows, background
        Matrices. A player that is not in yet has the values of a background row (interventional).
    players
        Of each column, the number of its player, from 0.
    permutations
        Orders walked from each background row to each row, at least 2, each also in reverse (antithetic). Where they
        are half of all orders or more, all are walked and the values are exact. All rows share the orders, so a row's
        values do not depend on its neighbours.
    rng
        Seed or Generator of the orders.
    drawn_from
        Rows that the background is a random sample of; the errors are then of this draw too. None: it is no sample.
    done
        Is told the number of rows after each part of them.

    Returns
    -------
    Shares
        Every walk adds up to the way from its background row to the row, and every background row is used equally
        often: base (the mean answer of the background) and contributions add up to the answer but for rounding. The
        errors are of two draws: of orders, their variance taken within each background row, and of the background.

    Raises
    ------
    ValueError
        An answer is not finite.

    References
    ----------
    Castro, Gomez and Tejada (2009), Computers & Operations Research 36, 1726-1730; reversed orders: Mitchell, Cooper,
    Frank and Holmes (2022), JMLR 23(43); errors of two draws: Cochran (1977), Sampling Techniques, chapter 10.
    """
    count = int(players.max()) + 1
    orders, is_exact = _orders(count, len(background), permutations, np.random.default_rng(rng))
    start = _finite(answer(background))
    parts = []
    size = len(background)
    left_out = 0.0 if drawn_from is None else (1 - size / drawn_from) / max(1, size - 1)
    for part in _parts(len(rows), 2 * orders.shape[1] * count * max(len(players), start.shape[1])):
        end, mean, spread, within = _finite(answer(rows[part])), 0.0, 0.0, 0.0
        for seen, (one, first, order) in enumerate(zip(background, start, orders, strict=True)):
            added = _walked(answer, rows[part], end, one, first, order, players)
            gap = added.mean(axis=1) - mean
            mean, spread = mean + gap / (seen + 1), spread + gap**2 * seen / (seen + 1)
            within = within + (0.0 if is_exact else added.var(axis=1, ddof=1) / orders.shape[1])
        parts.append((mean, np.sqrt(spread * left_out / size + within / size**2)))
        done(len(end))
    contributions, errors = (np.concatenate(told).swapaxes(1, 2) for told in zip(*parts, strict=True))
    walked = min(2 * permutations, math.factorial(count))
    return Shares(base=start.mean(axis=0), contributions=contributions, errors=errors, orders=walked)


def _orders(players: int, background: int, permutations: int, rng: np.random.Generator) -> tuple[Ints, bool]:
    """Of each background row, orders (one of each with its reverse), and whether these are all."""
    if 2 * permutations >= math.factorial(players):
        every = [one for one in itertools.permutations(range(players)) if one <= one[::-1]]
        return np.array([every] * background), True
    return rng.permuted(np.tile(np.arange(players), (background, permutations, 1)), axis=2), False


def _parts(rows: int, cells: int) -> Iterator[slice]:
    step = max(1, _CELLS // cells)
    return (slice(start, start + step) for start in range(0, rows, step))


def _walked(
    answer: Callable[[Any], Floats], rows: Any, end: Floats, one: Any, first: Floats, order: Ints, players: Ints
) -> Floats:
    """What each player adds on the ways from one background row, mean of an order and its reverse.

    Rows x orders x players x answers.
    """
    both = np.stack([order, order[:, ::-1]], axis=1)
    n, count, answers = len(rows), order.shape[1], len(first)
    turn = both.argsort(axis=2)
    is_in = (turn[:, :, None] < np.arange(1, count)[:, None])[..., players]
    asked = np.where(is_in, rows[:, None, None, None], one).reshape(-1, len(players))
    way = np.empty((n, *both.shape[:2], count + 1, answers))
    way[..., 0, :], way[..., -1, :] = first, end[:, None, None]
    if len(asked):
        way[..., 1:-1, :] = _finite(answer(asked)).reshape(n, *both.shape[:2], count - 1, answers)
    return np.take_along_axis(np.diff(way, axis=3), turn[None, ..., None], axis=3).mean(axis=2)


def _finite(told: Floats) -> Floats:
    if not np.isfinite(told).all():
        raise ValueError(
            f"the answer is {told[~np.isfinite(told)][0]} for some rows (of a log: a chance of 0); contributions add "
            "up to finite answers only. Explain earlier periods, or another scale."
        )
    return told
