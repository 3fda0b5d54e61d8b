"""Walks give Shapley values: those of the definition, within an error that is told and that holds."""

from __future__ import annotations

import itertools
import math

import numpy as np
import pytest

from shoptoolkit.explain.shapley import shapley

PLAYERS = np.arange(8)


def brute_force(answer, row, background, players):
    """Shapley values by their definition: v(S) is the mean answer where players outside S come from the background."""
    count = int(players.max()) + 1

    def value(known):
        return answer(np.where(np.isin(players, known), row, background)).mean(axis=0)

    told = {known: value(known) for size in range(count + 1) for known in itertools.combinations(range(count), size)}
    parts = np.zeros((len(told[()]), count))
    for known, before in told.items():
        for player in set(range(count)) - set(known):
            weight = math.factorial(len(known)) * math.factorial(count - len(known) - 1) / math.factorial(count)
            parts[:, player] += weight * (told[tuple(sorted((*known, player)))] - before)
    return parts


def tangled(rows):
    """Two answers of eight columns, with pairs and triples that matter together; the last column does not."""
    one = rows[:, 0] * rows[:, 1] + np.exp(0.3 * rows[:, 2] * rows[:, 3] * rows[:, 4]) - rows[:, 5]
    return np.column_stack([one, np.maximum(rows[:, 6], rows[:, 0]) * rows[:, 2]])


def draws(rows=3, background=6, columns=8, seed=0):
    rng = np.random.default_rng(seed)
    return rng.normal(size=(rows, columns)), rng.normal(size=(background, columns))


def test_walks_come_as_near_to_brute_force_as_they_say():
    rows, background = draws()
    told = shapley(tangled, rows, background, PLAYERS, permutations=200, rng=1)
    exact = np.array([brute_force(tangled, row, background, PLAYERS) for row in rows])
    assert told.errors.max() < 0.02 < np.abs(exact).max() / 20
    assert (np.abs(told.contributions - exact) <= 4 * told.errors + 1e-9).all()


@pytest.mark.parametrize("count", [1, 2, 3, 4])
def test_few_players_are_told_exactly(count):
    rows, background = draws()
    players = np.arange(8) % count
    told = shapley(tangled, rows, background, players, permutations=12, rng=1)
    exact = np.array([brute_force(tangled, row, background, players) for row in rows])
    np.testing.assert_allclose(told.contributions, exact, atol=1e-12)
    assert (told.errors == 0).all()
    assert told.orders == math.factorial(count)


def test_base_and_contributions_are_the_answer():
    rows, background = draws(rows=40)
    told = shapley(tangled, rows, background, PLAYERS, permutations=2, rng=1)
    np.testing.assert_allclose(told.base, tangled(background).mean(axis=0), rtol=1e-12)
    np.testing.assert_allclose(told.base + told.contributions.sum(axis=2), tangled(rows), atol=1e-12)


def test_of_an_additive_answer_every_order_tells_the_truth():
    rows, background = draws()
    weights = np.array([2.0, -1, 0.5, 0, 3, 0, 1, -2])
    told = shapley(lambda rows: (rows @ weights)[:, None], rows, background, PLAYERS, permutations=2, rng=1)
    np.testing.assert_allclose(told.contributions[:, 0], weights * (rows - background.mean(axis=0)), atol=1e-12)
    assert told.errors.max() < 1e-12


def test_a_player_that_changes_nothing_gets_exactly_nothing():
    rows, background = draws()
    told = shapley(tangled, rows, background, PLAYERS, permutations=5, rng=1)
    assert (told.contributions[..., 7] == 0).all()
    assert (told.errors[..., 7] == 0).all()


def test_players_that_do_the_same_get_the_same():
    rows, background = draws()
    rows[:, 1], background[:, 1] = rows[:, 0], background[:, 0]
    told = shapley(
        lambda rows: rows[:, :3].prod(axis=1)[:, None], rows, background, np.arange(8) % 4, permutations=12, rng=1
    )
    np.testing.assert_allclose(told.contributions[..., 0], told.contributions[..., 1], atol=1e-12)


def test_a_row_is_told_the_same_whatever_its_neighbours():
    rows, background = draws(rows=5)
    told = shapley(tangled, rows, background, PLAYERS, permutations=3, rng=1)
    alone = shapley(tangled, rows[[3, 1]], background, PLAYERS, permutations=3, rng=1)
    np.testing.assert_array_equal(alone.contributions, told.contributions[[3, 1]])


def test_parts_of_rows_are_told_as_the_whole(monkeypatch):
    rows, background = draws(rows=7)
    known, counted = shapley(tangled, rows, background, PLAYERS, permutations=3, rng=1), []
    monkeypatch.setattr("shoptoolkit.explain.shapley._CELLS", 1_000)
    told = shapley(tangled, rows, background, PLAYERS, permutations=3, rng=1, done=counted.append)
    np.testing.assert_array_equal(told.contributions, known.contributions)
    assert len(counted) > 1
    assert sum(counted) == 7


def test_an_answer_that_is_not_finite_is_refused():
    rows, background = draws()
    with pytest.raises(ValueError, match=r"the answer is -inf for some rows .*Explain earlier periods"):
        shapley(lambda rows: np.full((len(rows), 1), -np.inf), rows, background, PLAYERS, permutations=2, rng=1)


@pytest.mark.certify
def test_the_error_covers_the_draw_of_the_background_too(certify):
    rows, everyone = draws(rows=1, background=400)
    players = PLAYERS % 3
    exact = shapley(tangled, rows, everyone, players, permutations=3, rng=1).contributions
    options = {"permutations": 2, "drawn_from": 400}

    def hits(seed):
        rng = np.random.default_rng(seed)
        told = shapley(tangled, rows, rng.permutation(everyone)[:50], players, rng=rng, **options)
        return (np.abs(told.contributions - exact) <= 1.959964 * told.errors)[0].ravel()[[0, 1, 3, 5]]  # not the skewed

    certify(hits, level=0.95)


def test_a_background_of_everyone_has_no_error_of_its_own():
    rows, background = draws()
    known = shapley(tangled, rows, background, PLAYERS, permutations=3, rng=1)
    told = shapley(tangled, rows, background, PLAYERS, permutations=3, rng=1, drawn_from=len(background))
    np.testing.assert_array_equal(told.errors, known.errors)
    more = shapley(tangled, rows, background, PLAYERS, permutations=3, rng=1, drawn_from=1_000)
    assert (more.errors >= known.errors).all()
    assert more.errors.mean() > 5 * known.errors.mean()


@pytest.mark.certify
def test_the_monte_carlo_error_covers(certify):
    """With the defaults of `explain_survival`; fewer orders tell it right in the mean square, but less surely."""
    rows, background = draws(rows=1, background=50)
    exact = brute_force(tangled, rows[0], background, PLAYERS)[:, :6]

    def hits(seed):
        told = shapley(tangled, rows, background, PLAYERS, permutations=8, rng=seed)
        is_near = np.abs(told.contributions[0, :, :6] - exact) <= 1.959964 * told.errors[0, :, :6]
        return [is_near[0, 2], is_near[0, 3], is_near[0, 4], is_near[1, 0]]  # those that meet in a product of three

    certify(hits, level=0.95)
