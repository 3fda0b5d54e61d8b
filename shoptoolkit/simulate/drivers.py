"""Which signals of a simulated shop's log tell who will order next, by its parameters. Read off the lives, not the log.

In: a `Recipe`. Out: `drivers_of` -> signal, role, because, parameter. What a role means, and where the code that plants
it stands: rates, sources and tastes in shoppers.py; dropping out, rhythm and watching in lives.py (`_days`,
`_after_order`); the ad of an experiment in lives.py (`respond`); refunds and idle clicks in lines.py.
"""

from __future__ import annotations

from collections.abc import Iterator

import polars as pl

from shoptoolkit.simulate.experiment import Experiment
from shoptoolkit.simulate.recipe import Recipe
from shoptoolkit.simulate.shoppers import ACQUISITION, Shoppers

ROLES = ("driver", "proxy", "none")
_HARDLY = 0.01  # a share of orders after which so few stop that nobody could tell
Row = tuple[str, str, str, str]


def drivers_of(recipe: Recipe) -> pl.DataFrame:
    """What tells who will order next: signal, role, because, parameter (the numbers that decide it).

    role "driver": it moves a customer's next order, or shows a state that does. "proxy": it carries the trace of a
    driver. "none": beyond the other signals, it tells nothing of the next order; it may still go with them.
    """
    shoppers, experiment = recipe.shoppers, recipe.experiment
    rows = [*_orders(shoppers), _watching(shoppers, experiment), _ads(shoppers, experiment), *_traces(shoppers)]
    kinds = dict.fromkeys(("signal", "role", "because", "parameter"), pl.String)
    told = pl.DataFrame(rows, schema=kinds, orient="row")
    return told.sort(pl.col("role").replace_strict(ROLES, range(len(ROLES))), maintain_order=True)


def _orders(shoppers: Shoppers) -> Iterator[Row]:
    """The rate, who has stopped, and how regular the gaps are."""
    yield (
        "how often they came",
        "driver",
        "each orders and visits at a rate of their own",
        _told(shoppers, "rate_shape"),
    )
    stops, is_timed = _stops(shoppers), shoppers.rhythm != 1 or shoppers.rhythm_spread > 0
    because = " and ".join(
        [*["some have stopped for good"] * stops, *["a next order is due some time after the last"] * is_timed]
    )
    role = "driver" if because else "proxy"
    because = because or "the longer the silence, the lower the rate may be"
    yield "how lately they came", role, because, _told(shoppers, "dropout", "rhythm", "rhythm_spread")
    if shoppers.rhythm_spread:
        yield "rhythm", "driver", "gaps are more regular for some than for others", _told(shoppers, "rhythm_spread")
    else:
        yield "rhythm", "proxy", "the mean gap is one over the rate", _told(shoppers, "rhythm_spread")


def _stops(shoppers: Shoppers) -> bool:
    a, b = shoppers.dropout
    return a / (a + b) >= _HARDLY


def _watching(shoppers: Shoppers, experiment: Experiment | None) -> Row:
    parameter = _told(shoppers, "watch_effect", "lapsed_activity", "watch_sessions_per_day", "dropout")
    is_watched = shoppers.watch_sessions_per_day > 0
    raises = is_watched and shoppers.watch_effect > 0 and shoppers.watch_minutes > 0
    falls = is_watched and shoppers.lapsed_activity < 1 and _stops(shoppers)
    if raises or falls:
        told = [*["it raises the rate for some days"] * raises, *["it falls when somebody has stopped"] * falls]
        return "watching", "driver", " and ".join(told), parameter
    if _works(shoppers, experiment):
        return "watching", "proxy", "only those who watch are shown the ad", parameter
    because = "it goes on whatever they order, and moves no order" if is_watched else "nobody watches"
    return "watching", "none", because, parameter


def _ads(shoppers: Shoppers, experiment: Experiment | None) -> Row:
    if experiment and _works(shoppers, experiment):
        because = "the ad of the experiment adds orders or moves them"
        return "ads", "driver", because, _told(experiment, "lift", "pulled_forward", "win_share", "compliance")
    because = "clicks are a random share of the visits and orders that come anyway, and of ads seen"
    return "ads", "none", because, _told(shoppers, "paid_entry_share")


def _works(shoppers: Shoppers, experiment: Experiment | None) -> bool:
    """Whether anybody can see the ad, and it then changes when or how often they order."""
    if experiment is None:
        return False
    is_seen = shoppers.watch_sessions_per_day * experiment.win_share * experiment.compliance > 0
    return is_seen and (experiment.lift > 0 or experiment.pulled_forward > 0)


def _traces(shoppers: Shoppers) -> Iterator[Row]:
    factors = ", ".join(f"{name} x {factor:g}" for name, (_, factor) in ACQUISITION.items())
    yield "source of first order", "proxy", f"order rates differ by source ({factors})", "fixed"
    yield "time as a customer", "proxy", "orders over time make a rate, and give time to stop", "fixed"
    yield "money spent", "proxy", "it adds up over orders", _told(shoppers, "lines_per_order")
    yield "what they choose", "proxy", "different items and categories add up over visits", _told(shoppers, "own_taste")
    because = "the first tells the source; later ones are drawn anew, or follow a live show"
    yield "ways in", "proxy", because, _told(shoppers, "paid_entry_share", "search_entry_share")
    yield "refunds", "none", "a random share of the lines bought comes back", _told(shoppers, "refund_share")
    yield "random numbers", "none", "they are not of this shop", "none"


def _told(of: Shoppers | Experiment, *names: str) -> str:
    return ", ".join(f"{name} = {getattr(of, name)}" for name in names)
