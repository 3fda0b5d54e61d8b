"""Impossible shops are refused at the door, by the name of the parameter, its value and what is allowed."""

from __future__ import annotations

from dataclasses import fields
from datetime import date

import numpy as np
import pytest

from shoptoolkit.simulate import Experiment, Shoppers, shop, write_shop
from shoptoolkit.simulate.recipe import Recipe, live_block

SHARES = {
    Shoppers: [
        "live_share",
        "lapsed_activity",
        "paid_entry_share",
        "search_entry_share",
        "year_swing",
        "weekday_swing",
        "hour_swing",
        "promotion_depth",
        "own_taste",
        "refund_share",
        "late_share",
    ],
    Experiment: [
        "treated_share",
        "win_share",
        "compliance",
        "lift_by_sensitivity",
        "win_back",
        "displaced",
        "pulled_forward",
    ],
}
ZERO_OR_MORE = {
    Shoppers: [
        "rhythm_spread",
        "watch_sessions_per_day",
        "watch_spread",
        "watch_minutes",
        "watch_effect",
        "visits_per_order",
        "price_sensitivity",
        "lines_per_order",
        "late_hours",
    ],
    Experiment: ["lift", "delay_days"],
}
ABOVE_ZERO = {Shoppers: ["rate_shape", "rate_scale_days", "rhythm", "watch_memory_days"], Experiment: []}
WHOLE = {
    Shoppers: ["promotion_days", "promotion_every_days", "n_categories", "n_items"],
    Experiment: ["flight_days", "effect_days", "borrow_days"],
}
APART = {Shoppers: {"dropout"}, Experiment: {"start_day"}}
BOTH = (Shoppers, Experiment)
NUMBERS = (SHARES, ZERO_OR_MORE, ABOVE_ZERO)


def cases(*kinds):
    return [pytest.param(world, name, id=name) for kind in kinds for world in BOTH for name in kind[world]]


@pytest.mark.parametrize("world", BOTH)
def test_every_parameter_is_held_to_its_limits_here(world):
    told = {name for kind in (*NUMBERS, WHOLE) for name in kind[world]} | APART[world]
    assert told == {one.name for one in fields(world)}


@pytest.mark.parametrize(("world", "name"), cases(*NUMBERS, WHOLE))
def test_a_parameter_below_zero_is_refused(world, name):
    for value in (-1, -5):
        with pytest.raises(ValueError, match=rf"^{name} is {value}; it must be "):
            world(**{name: value})


@pytest.mark.parametrize(("world", "name"), cases(*NUMBERS))
def test_a_parameter_that_is_not_finite_is_refused(world, name):
    for value in (float("nan"), float("inf"), float("-inf"), np.nan):
        with pytest.raises(ValueError, match=rf"^{name} is -?(nan|inf); it must be (a share, from 0 to 1|.*finite)\.$"):
            world(**{name: value})


@pytest.mark.parametrize(("world", "name"), cases(*NUMBERS, WHOLE))
def test_a_parameter_that_is_no_number_is_refused(world, name):
    for value in (True, False, "0.5", None, [0.5], 1j):
        with pytest.raises(TypeError, match=rf"^{name} is .*; it must be a (whole )?number"):
            world(**{name: value})


@pytest.mark.parametrize(("world", "name"), cases(SHARES))
def test_a_share_above_one_is_refused(world, name):
    for value in (1.01, 20, -0.01):
        with pytest.raises(ValueError, match=rf"^{name} is {value}; it must be a share, from 0 to 1\.$"):
            world(**{name: value})


@pytest.mark.parametrize(("world", "name"), cases(ABOVE_ZERO))
def test_zero_is_refused_where_nothing_would_be_left(world, name):
    with pytest.raises(ValueError, match=rf"^{name} is 0; it must be above 0, and finite\.$"):
        world(**{name: 0})


@pytest.mark.parametrize(("world", "name"), cases(WHOLE))
def test_a_count_is_whole_and_at_least_one(world, name):
    for value in (2.5, 30.0, float("nan")):
        with pytest.raises(TypeError, match=rf"^{name} is {value}; it must be a whole number: whole, "):
            world(**{name: value})
    with pytest.raises(ValueError, match=rf"^{name} is 0; it must be whole, "):
        world(**{name: 0})


@pytest.mark.parametrize(("world", "name"), cases(SHARES, ZERO_OR_MORE))
def test_the_ends_of_a_range_are_allowed_where_they_mean_something(world, name):
    apart = {"lines_per_order": [1, 20], "treated_share": [0.01, 0.99], "promotion_depth": [0, 0.99]}
    for value in apart.get(name, [0, 1]):
        more = {"paid_entry_share": 0.0, "search_entry_share": 0.0} if name.endswith("entry_share") else {}
        assert getattr(world(**more | {name: value}), name) == value


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"promotion_depth": 1}, "promotion_depth is 1; goods given away have no elasticity"),
        ({"promotion_days": 43}, "promotion_days is 43; at most promotion_every_days, 42"),
        ({"paid_entry_share": 0.8}, r"paid_entry_share and search_entry_share add up to 1\.05; at most 1"),
        ({"lines_per_order": 0.9}, r"lines_per_order is 0\.9; a mean from 1 to 20"),
        ({"lines_per_order": 21}, "lines_per_order is 21; a mean from 1 to 20"),
        ({"n_categories": 2}, "n_categories is 2; it must be whole, from 3 to 250"),
        ({"n_categories": 251}, "n_categories is 251; it must be whole, from 3 to 250"),
        ({"n_items": 23}, "n_items is 23; it must be whole, 24 or more"),
        ({"n_items": 24, "n_categories": 25}, "n_items is 24; at least one for each of 25 categories"),
        ({"dropout": (0, 1)}, r"dropout is \(0, 1\); both shapes of the beta must be above 0"),
        ({"dropout": (1, -1)}, r"dropout is \(1, -1\); both shapes"),
        ({"dropout": (1, float("nan"))}, r"dropout is \(1, nan\); both shapes"),
        ({"dropout": (float("inf"), 1)}, r"dropout is \(inf, 1\); both shapes"),
    ],
)
def test_shoppers_who_cannot_be_are_refused(options, message):
    with pytest.raises(ValueError, match=f"^{message}"):
        Shoppers(**options)


@pytest.mark.parametrize(
    "dropout", [0.2, None, "ab", [0.6, 3.0], (0.6,), (0.6, 3.0, 1.0), ("1", 2), (True, 1), (None, 1)]
)
def test_dropout_is_a_pair_of_shapes(dropout):
    with pytest.raises(TypeError, match=r"^dropout is .*; it must be the two shapes of a beta"):
        Shoppers(dropout=dropout)


@pytest.mark.parametrize("share", [0, 1, 0.0, 1.0])
def test_both_arms_need_customers(share):
    with pytest.raises(ValueError, match=f"^treated_share is {share}; both arms need customers"):
        Experiment(treated_share=share)


@pytest.mark.parametrize("start_day", ["3", True, 10.5, (3,)])
def test_a_start_day_is_a_whole_number(start_day):
    with pytest.raises(TypeError, match=r"^start_day is .*; it must be a whole number"):
        Experiment(start_day=start_day)


@pytest.mark.parametrize("start_day", [0, -1, 276, 10_000])
def test_an_experiment_must_fit_into_the_log(start_day):
    assert shop(rng=1, n_customers=10, experiment=Experiment(start_day=275)).as_of == date(2026, 1, 1)
    told = rf"start_day is {start_day}\b.*(1 or more|90 days before the end)"
    with pytest.raises(ValueError, match=told):
        shop(rng=1, n_customers=10, experiment=Experiment(start_day=start_day))


def test_a_log_is_long_enough_for_an_experiment_or_goes_without():
    with pytest.raises(ValueError, match=r"start_day is 98 - 98 in a log of 98 days; .*or pass experiment=None"):
        shop(rng=1, n_customers=10, days=98, experiment=Experiment())
    assert len(shop(rng=1, n_customers=100, days=99, experiment=Experiment()).assignments) < 20, "one day to join"


def test_what_is_borrowed_is_paid_back_within_the_days_looked_at():
    assert Experiment(flight_days=40, effect_days=20, borrow_days=30).borrow_days == 30
    with pytest.raises(ValueError, match=r"flight_days, effect_days and borrow_days add up to 91; at most 90"):
        Experiment(flight_days=41, effect_days=20, borrow_days=30)


SHOPS = [
    ({"n_customers": 0}, ValueError, "n_customers is 0; it must be whole, 1 or more"),
    ({"n_customers": -3}, ValueError, "n_customers is -3; it must be whole"),
    ({"n_customers": 10.0}, TypeError, r"n_customers is 10\.0; it must be a whole number"),
    ({"n_customers": True}, TypeError, "n_customers is True; it must be a whole number"),
    ({"n_customers": float("nan")}, TypeError, "n_customers is nan; it must be a whole number"),
    ({"days": 0}, ValueError, "days is 0; it must be whole, 1 or more"),
    ({"days": -1}, ValueError, "days is -1; it must be whole"),
    ({"days": "90"}, TypeError, "days is '90'; it must be a whole number"),
    ({"days": 3_661}, ValueError, "days is 3661; at most 3660, ten years"),
    ({"threads": 0}, ValueError, "threads is 0; it must be whole, 1 or more"),
    ({"threads": None}, TypeError, "threads is None; it must be a whole number"),
    ({"start": "2025-01-01"}, TypeError, r"start is '2025-01-01'; it must be a date, e\.g\. date\(2025, 1, 1\)"),
    ({"start": 20_250_101}, TypeError, "start is 20250101; it must be a date"),
    ({"start": None}, TypeError, "start is None; it must be a date"),
    ({"shoppers": {"rhythm": 1.0}}, TypeError, r"shoppers is .*; it must be Shoppers\(\.\.\.\) or None"),
    ({"shoppers": Experiment()}, TypeError, "shoppers is .*; it must be Shoppers"),
    ({"experiment": Experiment}, TypeError, r"experiment is .*; it must be Experiment\(\.\.\.\) or None"),
    ({"experiment": True}, TypeError, "experiment is True; it must be Experiment"),
]


@pytest.mark.parametrize(("options", "error", "message"), SHOPS)
def test_an_impossible_shop_is_refused_in_memory_and_on_disk(options, error, message, tmp_path):
    told = {"rng": 1, "n_customers": 10, "days": 120} | options
    with pytest.raises(error, match=f"^{message}"):
        shop(**told)
    with pytest.raises(error, match=f"^{message}"):
        write_shop(tmp_path / "shop", **told)
    assert not (tmp_path / "shop").exists(), "nothing is left behind"


def test_chance_must_be_given(tmp_path):
    with pytest.raises(TypeError, match="rng"):
        shop(n_customers=10)
    with pytest.raises(TypeError, match="rng"):
        write_shop(tmp_path, n_customers=10)
    for rng in (None, True, "a", 1.5):
        with pytest.raises(
            TypeError, match=r"^rng is .*; it must be a seed \(a whole number from 0 on\) or a Generator"
        ):
            shop(rng=rng, n_customers=10)


def test_words_and_numbers_go_by_name():
    for call in (lambda: Shoppers(1.0), lambda: Experiment(10), lambda: shop(1)):
        with pytest.raises(TypeError, match="positional"):
            call()
    with pytest.raises(TypeError, match="unexpected keyword argument 'rate'"):
        Shoppers(rate=1.0)


def test_rows_that_are_years_late_are_still_known_after_they_happened():
    events = shop(rng=1, n_customers=20, days=30, shoppers=Shoppers(late_share=1.0, late_hours=1e6)).events
    assert (events["known_at"] >= events["at"]).all()


def test_an_order_that_comes_ages_after_its_click_does_not_come_before_it():
    never = Experiment(start_day=30, delay_days=2e9, lift=5.0, win_share=1.0)
    recipe = Recipe(shoppers=Shoppers(rate_scale_days=10.0), experiment=never, days=130, start=date(2025, 1, 1))
    block = live_block(recipe, 500, np.random.default_rng(1))
    assert (block.moments["day"][len(block.own) :] > 0).all()
    assert (block.moments["day"] > 130).any()
