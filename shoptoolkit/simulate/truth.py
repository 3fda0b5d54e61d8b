"""What is behind a simulated shop: computed from its parameters and latent states, not estimated from its log.

In: a `Recipe` and its customers. Out: `Truth`: `customers` (each one's state), `values` (what can be expected of each),
`curves` (how soon customers come back), `arms` (what the experiment changed, day by day), `estimates` (the population
value per question, as rows of Estimates).

What has no closed form is the mean over replicate customers of the same recipe, made without a log and, where an
experiment is in it, lived twice, with and without the ad. Equal recipes share the result, whatever their seed.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property, lru_cache
from typing import Any, NamedTuple

import numpy as np
import polars as pl

from shoptoolkit.contract import EstimateTable, estimate_row, refused_row
from shoptoolkit.contract.arrays import Floats, Ints
from shoptoolkit.simulate.drivers import drivers_of
from shoptoolkit.simulate.experiment import HORIZON_DAYS
from shoptoolkit.simulate.frames import traits_of
from shoptoolkit.simulate.moments import EXPERIMENT, LATER, ORDER, PAID
from shoptoolkit.simulate.recipe import Block, Recipe, futures, live_block
from shoptoolkit.simulate.shoppers import ACQUISITION, Table, basket

REPLICATES = 200_000  # customers behind every population value
FUTURES = 100  # lives of each customer after the log
VALUE_DAYS = (30, 90, 365)
_BLOCK = 20_000
_SEED = 20_260_101  # of the replicates: a truth must not change from run to run
_COME_BACK = (30, 90)


@dataclass(frozen=True, kw_only=True, eq=False)
class Truth:
    """The truth of a simulated shop; each part is worked out when it is first looked at.

    `customers`, one row each: customer_id, source, joined_at, rate (orders per day while active, nothing watched),
    rhythm (shape of the gaps), drop_probability (after each order), price_sensitivity, watch_sessions_per_day,
    order_value (expected, full prices, before refunds), active (at the end of the log), dropped_on (day of the order
    after which they stopped, but for what ads bring; null if active), expected_uplift (orders that treatment rather
    than control is expected to add within 90 days of the assignment, given traits, activity and watching; null if not
    assigned).

    `values`, one row each: customer_id, orders_30d, orders_90d, orders_365d, revenue_30d ...: expected after the log,
    given the state at its end: means over 100 futures.

    `curves`: group (source of the first order, "all"), duration_days, survival (share without a next order so many days
    after the first, were all followed that long), restricted_mean_days, mean_cumulative_orders (after the first;
    several on one day are one).

    `arms`: group (control, treatment), duration_days (since the assignment), survival (share without an order since),
    restricted_mean_days, mean_cumulative_orders. Empty without an experiment.

    `estimates`: one row of Estimates per question; standard_error, low and high are those of the replicates.

    `drivers`, one row per signal of the log: signal, role (driver: it moves the next order, or shows a state that does;
    proxy: it carries a driver's trace; none: beyond the others it tells nothing), because, parameter (what decides it).
    """

    recipe: Recipe
    blocks: tuple[Block, ...]

    def __repr__(self) -> str:
        return (
            f"Truth over {REPLICATES:,} replicate customers: .customers, .values, .curves, .arms, .estimates, .drivers"
        )

    @property
    def curves(self) -> pl.DataFrame:
        """How soon customers come back after the first order."""
        return _population(self.recipe).curves

    @property
    def arms(self) -> pl.DataFrame:
        """What the experiment changed, by arm and day."""
        return _population(self.recipe).arms

    @property
    def estimates(self) -> EstimateTable:
        """The population value per question."""
        return _population(self.recipe).estimates

    @property
    def drivers(self) -> pl.DataFrame:
        """Which signals tell who will order next, as the parameters have it."""
        return drivers_of(self.recipe)

    @cached_property
    def customers(self) -> pl.DataFrame:
        """Each customer's state."""
        uplift = np.concatenate([_uplift(block) for block in self.blocks])
        return traits_of(self.recipe, self._people, first_id=1).with_columns(
            pl.Series("expected_uplift", uplift).fill_nan(None)
        )

    @cached_property
    def values(self) -> pl.DataFrame:
        """What can be expected of each customer after the log."""
        return self.customers.select("customer_id", *_values(self.recipe, self._people, np.random.default_rng(_SEED)))

    @property
    def _people(self) -> Table:
        return np.concatenate([block.people for block in self.blocks])


def _uplift(block: Block) -> Floats:
    """New orders expected of the assigned; nan for the others."""
    if block.arms is None:
        return np.full(len(block.people), np.nan)
    return np.where(block.arms.assigned, block.new_orders, np.nan)


def _values(recipe: Recipe, people: Table, rng: np.random.Generator) -> list[pl.Series]:
    """Orders and revenue to be expected within so many days after the log; nothing of those who have dropped out."""
    active = np.flatnonzero(people["active"])
    some, worth = people[active], _price_level(recipe, recipe.days + max(VALUE_DAYS))
    orders, levels = np.zeros((2, len(VALUE_DAYS), len(people)))
    for _ in range(FUTURES):
        moments = futures(recipe, some, max(VALUE_DAYS), rng)
        for k, days in enumerate(VALUE_DAYS):
            orders[k, active] += _count(moments, len(some), recipe.days, recipe.days + days)
            levels[k, active] += _count(moments, len(some), recipe.days, recipe.days + days, worth)
    revenue = levels * basket(recipe.shoppers, people)
    told = [(f"orders_{days}d", one) for days, one in zip(VALUE_DAYS, orders, strict=True)]
    told += [(f"revenue_{days}d", one) for days, one in zip(VALUE_DAYS, revenue, strict=True)]
    return [pl.Series(name, one / FUTURES) for name, one in told]


def _price_level(recipe: Recipe, days: int) -> Floats:
    """What is left of a full price on each day."""
    return np.where(recipe.calendar(days).promotion, 1.0 - recipe.shoppers.promotion_depth, 1.0)


class Population(NamedTuple):
    """The truth that all worlds of one recipe share."""

    curves: pl.DataFrame
    arms: pl.DataFrame
    estimates: EstimateTable


@lru_cache(maxsize=8)
def _population(recipe: Recipe) -> Population:
    """Means over replicate customers."""
    rng = np.random.default_rng(_SEED)
    parts = [_replicate(recipe, _BLOCK, rng) for _ in range(REPLICATES // _BLOCK)]
    made = {name: np.concatenate([part[name] for part in parts]) for name in parts[0]}
    curves, arms = _curves(recipe, made), _arms(made)
    return Population(curves, arms, EstimateTable.from_rows([*_return_rows(made), *_ad_rows(recipe, made)]))


def _replicate(recipe: Recipe, n: int, rng: np.random.Generator) -> dict[str, Floats]:
    """What is asked of each of n replicate customers, followed for as long after joining as the log lasts."""
    block = live_block(recipe, n, rng, days=recipe.days + max(recipe.days, HORIZON_DAYS), treat_all=True)
    is_order = np.isin(block.moments["kind"], (ORDER, LATER))
    treated, own = block.moments[is_order], block.own
    told: dict[str, Any] = {"source": block.people["source"]}
    world = own
    if block.arms is not None:
        in_treatment = block.arms.treated
        world = np.concatenate([own[~in_treatment[own["customer"]]], treated[in_treatment[treated["customer"]]]])
        is_own = np.flatnonzero(is_order) < len(own)
        told |= {"assigned": block.arms.assigned, "shown": block.arms.assigned & block.arms.shown}
        told |= {"basket": basket(recipe.shoppers, block.people)}
        for arm, lives in {"control": own, "treatment": treated}.items():
            found = _answers(recipe, n, lives[block.arms.assigned[lives["customer"]]])
            told |= {f"{arm}_{name}": one for name, one in found.items()}
        told |= _made_of(recipe, n, own, treated, is_own)
        told |= {"logged": _count(world, n, 0, recipe.days), "logged_own": _count(own, n, 0, recipe.days)}
    gap = _wait(world, n, block.people["joined"])
    told["repeats"] = _repeats(world, block.people, recipe.days)
    return told | {"gap": np.where(gap <= max(recipe.days, HORIZON_DAYS), gap, np.inf)}


def _wait(moments: Table, n: int, after: Ints) -> Floats:
    """Days from a day of each customer to the first order after it."""
    first = np.full(n, np.inf)
    later = moments[moments["day"] > after[moments["customer"]]]
    np.minimum.at(first, later["customer"], later["day"])
    return first - after


def _repeats(moments: Table, people: Table, days: int) -> Ints:
    """Days with orders after the first, by source and by days since it, source after source."""
    lag = moments["day"] - people["joined"][moments["customer"]]
    seen = (lag > 0) & (lag <= days)
    once = np.unique(moments["customer"][seen].astype(np.int64) * (days + 1) + lag[seen])
    source = people["source"][once // (days + 1)].astype(np.int64)
    return np.bincount(source * (days + 1) + once % (days + 1), minlength=len(ACQUISITION) * (days + 1))


def _count(moments: Table, n: int, first: int, last: int, weight: Floats | None = None) -> Floats:
    """Each customer's orders from a day to before another, or the sum of their weights by day."""
    some = moments[(moments["day"] >= first) & (moments["day"] < last)]
    return np.bincount(some["customer"], None if weight is None else weight[some["day"]], minlength=n).astype(float)


def _answers(recipe: Recipe, n: int, moments: Table) -> dict[str, Any]:
    """Outcomes of the experiment in one arm, if all were in it."""
    start, flight = recipe.assigned_on, recipe.experiment.flight_days  # type: ignore[union-attr]
    end = start + HORIZON_DAYS
    return {
        "wait": _wait(moments, n, np.full(n, start - 1)),
        "orders": _count(moments, n, start, end),
        "paid": _count(moments[moments["source"] == PAID], n, start, end),
        "in_flight": _count(moments, n, start, start + flight),
        "levels": _count(moments, n, start, end, _price_level(recipe, 2 * recipe.days)),
        "daily": np.bincount(moments["day"], minlength=end)[start:end],
    }


def _made_of(recipe: Recipe, n: int, own: Table, treated: Table, is_own: Any) -> dict[str, Floats]:
    """Orders through the ad, of each kind, within the horizon of the assignment."""
    start, end = recipe.assigned_on, recipe.assigned_on + HORIZON_DAYS
    kept = treated[is_own]
    through = kept["campaign"] == EXPERIMENT
    moved = kept["day"] != own["day"]
    kinds = {"displaced": kept[through & ~moved], "pulled": kept[through & moved], "new": treated[~is_own]}
    return {name: _count(some, n, start, end) for name, some in kinds.items()}


def _curves(recipe: Recipe, made: dict[str, Any]) -> pl.DataFrame:
    repeats = made["repeats"].reshape(-1, len(ACQUISITION), recipe.days + 1).sum(axis=0)
    groups = {name: (made["gap"][made["source"] == k], repeats[k]) for k, name in enumerate(ACQUISITION)}
    groups |= {"all": (made["gap"], repeats.sum(axis=0))}
    return pl.concat(
        _curve(name, gap, recipe.days).with_columns(mean_cumulative_orders=np.cumsum(daily) / len(gap))
        for name, (gap, daily) in groups.items()
    )


def _curve(group: str, wait: Floats, days: int) -> pl.DataFrame:
    """The share still waiting after each number of whole days, and the area under it."""
    ended = np.bincount(wait[wait <= days].astype(np.int64), minlength=days + 1)
    left = 1 - np.cumsum(ended) / len(wait)
    area = np.concatenate([[0.0], np.cumsum(left)[:-1]])
    day = np.arange(days + 1, dtype=float)
    return pl.DataFrame({"group": group, "duration_days": day, "survival": left, "restricted_mean_days": area})


def _arms(made: dict[str, Any]) -> pl.DataFrame:
    """What the assigned do in either arm, if all were in it."""
    empty = _curve("all", np.array([np.inf]), 0).with_columns(mean_cumulative_orders=0.0).clear()
    if "assigned" not in made:
        return empty
    told, among = [], made["assigned"]
    for arm in ("control", "treatment"):
        daily = made[f"{arm}_daily"].reshape(-1, HORIZON_DAYS).sum(axis=0)
        orders = pl.Series("mean_cumulative_orders", np.concatenate([[0.0], np.cumsum(daily)]) / among.sum())
        told.append(_curve(arm, made[f"{arm}_wait"][among], HORIZON_DAYS).with_columns(orders))
    return pl.concat(told)


def _return_rows(made: dict[str, Any]) -> Iterator[dict[str, Any]]:
    groups = {"all": made["gap"]} | {name: made["gap"][made["source"] == k] for k, name in enumerate(ACQUISITION)}
    for group, gap in groups.items():
        told: dict[str, Any] = {"question": "Do customers come back?", "estimand": "after the first order"}
        told["group"] = group
        for days in _COME_BACK:
            yield _row(gap <= days, metric="share who bought again", measure="share", horizon_days=days, **told)
        mean = np.minimum(gap, HORIZON_DAYS)
        yield _row(mean, metric="days until the next order", measure="days", horizon_days=HORIZON_DAYS, **told)


def _ad_rows(recipe: Recipe, made: dict[str, Any]) -> Iterator[dict[str, Any]]:
    told: dict[str, Any] = {"question": "What does watching do to buying?", "estimand": "factor on the order rate"}
    told |= {"metric": "doubling of 10 + recent minutes", "measure": "factor", "method": "parameter", "group": "all"}
    yield estimate_row(estimate=2.0**recipe.shoppers.watch_effect, standard_error=0.0, level=0.95, n=0, **told)
    if recipe.experiment is None:
        return
    part = {name: one[made["assigned"]] for name, one in made.items() if len(one) == len(made["assigned"])}
    flight, shown = recipe.experiment.flight_days, part["shown"].astype(float)
    names = ("orders", "paid", "in_flight", "levels")
    added = {name: part[f"treatment_{name}"] - part[f"control_{name}"] for name in names}
    revenue = added["levels"] * part["basket"]
    waits = [np.minimum(part[f"{arm}_wait"], HORIZON_DAYS) for arm in ("treatment", "control")]
    through = part["displaced"] + part["pulled"] + part["new"]
    told = {"question": "What did the ads add?", "contrast": "treatment - control", "horizon_days": HORIZON_DAYS}
    assigned, exposed = {"estimand": "per assigned customer"} | told, {"estimand": "per exposed customer"} | told
    yield _row(added["orders"], metric="orders", measure="orders", **assigned)
    yield _row(added["in_flight"], metric="orders", measure="orders", **assigned | {"horizon_days": flight})
    yield _row(added["paid"], metric="paid_orders", measure="orders", **assigned)
    yield _row(added["orders"] - added["paid"], metric="organic_orders", measure="orders", **assigned)
    yield _row(revenue, metric="revenue", measure="currency", **assigned)
    yield _row(waits[0] - waits[1], metric="days until the next order", measure="days", **assigned)
    yield _row(added["orders"], shown, metric="orders", measure="orders", **exposed)
    yield _row(revenue, shown, metric="revenue", measure="currency", **exposed)
    yield _row(through, shown, metric="orders through the ad", measure="orders", **exposed)
    told |= {"question": "Whose orders are those through the ad?", "estimand": "share of orders through the ad"}
    for name in ("displaced", "pulled", "new"):
        yield _row(part[name], through, metric=name, measure="share", **told)
    told["estimand"] = "share of additional paid orders"
    for name, orders in {"taken from organic": added["paid"] - added["orders"], "on top": added["orders"]}.items():
        yield _row(orders, added["paid"], metric=name, measure="share", **told)
    told |= {"question": "Did the ad borrow from later?", "estimand": "(L(flight) - L(horizon)) / L(flight)"}
    borrowed = added["in_flight"] - added["orders"]
    yield _row(borrowed, added["in_flight"], metric="pull-forward", measure="share", **told)
    told = {"question": "What share of orders comes unprompted?", "estimand": "orders there would be without the ad"}
    yield _row(made["logged_own"], made["logged"], metric="orders", measure="share", **told)


def _row(top: Floats, bottom: Floats | None = None, **rest: Any) -> dict[str, Any]:
    """The mean over replicates, or the ratio of two means, with its Monte-Carlo error."""
    told: dict[str, Any] = {"group": "all", "method": f"{REPLICATES:,} replicate customers", "n": len(top)} | rest
    if bottom is None:
        bottom = np.ones(len(top))
    if abs(bottom.mean()) <= 4 * bottom.std() / math.sqrt(len(bottom)):
        reason = "Nothing to divide by: what it is a share of is not distinct from zero in this world."
        return refused_row(reason=reason, level=0.95, **told)
    ratio = top.mean() / bottom.mean()
    error = np.std(top - ratio * bottom) / abs(bottom.mean()) / math.sqrt(len(top))
    return estimate_row(estimate=float(ratio), standard_error=float(error), level=0.95, **told)
