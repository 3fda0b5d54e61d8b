"""A world's recipe: its parameters, from which any number of customers can be made, block by block.

In: `Recipe` (shoppers, experiment, window) and a Generator. Out: `live_block` -> `Block`: customers, their moments as
they are in the world, and as they would have been without the experiment; `futures` lets them live on.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import date
from typing import TYPE_CHECKING

import numpy as np

from shoptoolkit.contract.arrays import Floats
from shoptoolkit.simulate.experiment import HORIZON_DAYS, Arms, Experiment, assign, lifts
from shoptoolkit.simulate.shoppers import NEVER, Calendar, Shoppers, Table, calendar, catalogue, traits

if TYPE_CHECKING:
    from shoptoolkit.simulate.lives import Response, Rules


@dataclass(frozen=True, slots=True, kw_only=True)
class Recipe:
    """What a world is made of; equal recipes have equal truths."""

    shoppers: Shoppers
    experiment: Experiment | None
    days: int
    start: date

    @property
    def assigned_on(self) -> int:
        """Day of the assignment; `NEVER` without an experiment."""
        return NEVER if self.experiment is None else self.experiment.starts(self.days)

    def calendar(self, days: int) -> Calendar:
        """The first `days` days, which may be more than the log has."""
        return calendar(self.shoppers, self.start, days)


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Block:
    """Some customers and their moments.

    `own`: without the experiment. `moments`: with it. `new_orders`: what treatment rather than control is expected to
    add within 90 days of the assignment (what is displaced or pulled forward adds nothing).
    """

    people: Table
    own: Table
    moments: Table
    arms: Arms | None
    new_orders: Floats

    def settled(self) -> Block:
        """The customers without their moments, which take the room."""
        return replace(self, own=self.own[:0], moments=self.moments[:0])


def live_block(
    recipe: Recipe, n: int, rng: np.random.Generator, *, days: int | None = None, treat_all: bool = False
) -> Block:
    """Customers and their lives: all moments within the log, or, with `days`, orders alone for that long.

    `treat_all`: `moments` are those of a world in which everybody is in treatment.
    """
    from shoptoolkit.simulate.lives import intend, last_orders, live, respond

    people = traits(recipe.shoppers, n, recipe.days, rng)
    experiment, hour = recipe.experiment, catalogue(recipe.shoppers).hour
    hazard = np.zeros((n, experiment.effect_days if experiment else 0))
    length = recipe.days if days is None else days
    own = live(rng, people, recipe.calendar(length), _rules(recipe, visible=days is None), hour, hazard, 0)
    if experiment is None:
        return Block(people=people, own=own, moments=own, arms=None, new_orders=np.zeros(n))
    start = recipe.assigned_on
    arms = assign(experiment, people, last_orders(own, n, start), start, rng)
    lift = lifts(experiment, recipe.shoppers, people)
    exposed = arms.shown if treat_all else arms.shown & arms.treated
    moments = respond(rng, people, exposed, lift, hazard, _response(experiment), hour, own)
    new = experiment.compliance * intend(people, lift, hazard, experiment.delay_days, start + HORIZON_DAYS)
    return Block(people=people, own=own, moments=moments, arms=arms, new_orders=new)


def _rules(recipe: Recipe, *, visible: bool) -> Rules:
    """The numbers of the recipe that the loops need."""
    from shoptoolkit.simulate.lives import Rules

    shoppers, experiment, first = recipe.shoppers, recipe.experiment, recipe.assigned_on
    return Rules(
        effect=float(shoppers.watch_effect),
        keep=0.5 ** (1 / shoppers.watch_memory_days),
        minutes=float(shoppers.watch_minutes),
        live_share=float(shoppers.live_share),
        lapsed=float(shoppers.lapsed_activity),
        visits=float(shoppers.visits_per_order),
        paid_entry=float(shoppers.paid_entry_share),
        search_entry=float(shoppers.search_entry_share),
        flight_first=first,
        flight_last=first + (experiment.flight_days if experiment else 0),
        win_share=float(experiment.win_share if experiment else 0),
        effect_days=experiment.effect_days if experiment else 0,
        win_back=float(experiment.win_back if experiment else 0),
        visible=visible,
    )


def _response(experiment: Experiment) -> Response:
    from shoptoolkit.simulate.lives import Response

    return Response(
        effect_days=experiment.effect_days,
        displaced=float(experiment.displaced),
        borrow_days=experiment.borrow_days,
        pulled=float(experiment.pulled_forward),
        delay_days=float(experiment.delay_days),
    )


def futures(recipe: Recipe, people: Table, days: int, rng: np.random.Generator) -> Table:
    """Orders of customers in the state in which they are at the end of the log, over the days after it.

    The state is what the past has settled: traits, active or not, what is remembered of watching, and how far the clock
    has run since the last order. When the next order is due is drawn anew, given that it has not come yet.
    """
    from scipy.special import gammaincc, gammainccinv

    from shoptoolkit.simulate.lives import live

    people = people.copy()
    shape, age = people["rhythm"], people["age"]
    beyond = gammainccinv(shape, rng.random(len(people)) * gammaincc(shape, shape * age)) / shape
    people["due"] = np.where(people["active"], np.maximum(beyond - age, 0), np.inf)
    people["eligible"] = NEVER
    hour, hazard = catalogue(recipe.shoppers).hour, np.zeros((len(people), 0))
    rules = _rules(replace(recipe, experiment=None), visible=False)
    return live(rng, people, recipe.calendar(recipe.days + days), rules, hour, hazard, recipe.days)
