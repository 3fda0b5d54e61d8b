"""What can stand in for each other is one cluster; what only goes together, each with a say of its own, is not."""

from __future__ import annotations

import numpy as np
import polars as pl
import pytest

from shoptoolkit.explain.clusters import bins_of, clusters_of

N = 600
RNG = np.random.default_rng(0)
X, Y, NOISE = RNG.normal(size=(3, N))


def together(values, contributions, codes=()):
    """Names of features that share a number with another."""
    bins = [[bins_of(pl.Series(one, nan_to_null=True), is_code=name in codes)] for name, one in values.items()]
    numbers = clusters_of(bins, np.column_stack(contributions)).tolist()
    names = list(values)
    return {tuple(name for name, one in zip(names, numbers, strict=True) if one == number) for number in numbers}


def test_bins_hold_about_as_many_rows_each_and_missing_has_its_own():
    values = pl.Series([None, *RNG.exponential(size=N)])
    bins = bins_of(values, is_code=False)
    assert bins[0] == -1
    assert np.bincount(bins[1:]).tolist() == [20] * 30
    assert bins_of(pl.Series([3.0, None, 0.0, 3.0]), is_code=True).tolist() == [1, -1, 0, 1]
    assert set(bins_of(pl.Series([2.0] * 60), is_code=False)) <= {0, 1}


@pytest.mark.parametrize(
    "twin", [X, X + 0.05 * NOISE, np.exp(X), -X, np.round(X, 1)], ids=["copy", "noisy", "exp", "minus", "rounded"]
)
@pytest.mark.parametrize("share", [0.0, 0.5])
def test_a_twin_is_found_however_the_model_shares_between_the_two(twin, share):
    values, made = {"x": X, "twin": twin, "y": Y}, [(1 - share) * X, share * X, 0.8 * Y]
    assert together(values, made) == {("x", "twin"), ("y",)}


def test_credit_that_cancels_is_of_one_cluster_but_a_difference_that_counts_is_not():
    noisy = X + 0.05 * NOISE
    assert together({"x": X, "noisy": noisy, "y": Y}, [4 * X, -3 * noisy, Y]) == {("x", "noisy"), ("y",)}
    assert len(together({"x": X, "noisy": noisy}, [30 * X, -29 * noisy])) == 2, "the rest hangs on what sets them apart"


def test_what_hangs_on_other_features_too_hides_no_twin():
    assert together({"x": X, "twin": X, "y": Y}, [X * (Y > 0), 0.3 * X, Y]) == {("x", "twin"), ("y",)}


@pytest.mark.parametrize(("correlation", "apart"), [(0.0, True), (0.5, True), (0.7, True), (0.95, False)])
def test_two_drivers_are_apart_unless_either_tells_nearly_all_of_both(correlation, apart):
    other = correlation * X + np.sqrt(1 - correlation**2) * NOISE
    assert (len(together({"x": X, "other": other}, [X, other])) == 2) == apart


def test_windows_of_one_count_are_one_where_they_tell_the_same():
    def windows(orders_a_year):
        rate = orders_a_year * np.exp(RNG.normal(size=N))
        counts = np.cumsum([RNG.poisson(share * rate) for share in (0.08, 0.17, 0.75)], axis=0)
        return {"28d": counts[0], "91d": counts[1], "364d": counts[2]}

    many, few = windows(2_000), windows(5)
    assert together(many, [0.3 * np.log1p(one) for one in many.values()]) == {("28d", "91d", "364d")}
    assert len(together(few, [0 * few["28d"], 0 * few["91d"], np.log1p(few["364d"])])) == 3


def test_categories_flags_and_gaps_count_as_values():
    code, size = RNG.integers(0, 4, N).astype(float), np.array([0.0, 2.0, -1.0, 0.7])
    renamed = np.array([3.0, 0.0, 2.0, 1.0])[code.astype(int)]
    made = size[code.astype(int)]
    assert together({"a": code, "b": renamed}, [made, 0 * made], codes=("a", "b")) == {("a", "b")}
    gone = np.where(code == 1, np.nan, X)
    flag = (code == 1).astype(float)
    assert together({"gone": gone, "flag": flag}, [2.0 * flag, 0 * flag], codes=("flag",)) == {("gone", "flag")}


def test_what_the_model_never_uses_stands_in_for_nothing():
    assert len(together({"x": X, "unused": NOISE, "idle": Y}, [X, 0 * X, 0 * X])) == 3
    assert len(together({"x": X, "twin": X}, [0 * X, 0 * X])) == 2
    assert clusters_of([[bins_of(pl.Series(X), is_code=False)]], X[:, None]).tolist() == [0]


def test_every_two_of_a_cluster_pass():
    chain = {"a": X, "b": X + 0.35 * Y, "c": X + 0.7 * Y}
    made = list(chain.values())
    assert {
        len(one) for one in (together({k: chain[k] for k in pair}, [chain[k] for k in pair]) for pair in ("ab", "bc"))
    } == {1}
    assert together({"a": X, "c": chain["c"]}, [made[0], made[2]]) == {("a",), ("c",)}
    assert max(map(len, together(chain, made))) == 2


def test_neither_scale_nor_row_order_decide():
    values = {"x": X, "noisy": X + 0.4 * NOISE, "y": Y}
    made = [X, X + 0.4 * NOISE, Y]
    order = RNG.permutation(N)
    there = together(
        {name: 1_000 * one[order] - 7 for name, one in values.items()}, [1e-3 * one[order] for one in made]
    )
    assert there == together(values, made)


def test_noise_is_seldom_taken_for_a_twin():
    found = 0
    for seed in range(60):
        values = np.random.default_rng(seed).normal(size=(4, 300))
        made = [np.round(one, 0) * 0.1 for one in values]
        found += len(together(dict(zip("abcd", values, strict=True)), made)) < 4
    assert found == 0


def test_a_handful_of_rows_tells_of_no_twins():
    for seed in range(20):
        values = np.random.default_rng(seed).normal(size=(3, 5))
        assert len(together(dict(zip("abc", values, strict=True)), list(values))) == 3
