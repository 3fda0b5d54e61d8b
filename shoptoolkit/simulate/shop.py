"""A shop whose truth is known: its log, its customers, its experiment.

In: numbers and `rng`. Out: `shop` -> `Shop`, in memory; `write_shop` writes the same as parquet files, of any size.

Customers are made in blocks of 10,000, each from a seed of its own, so that what comes out depends neither on the
number of threads nor on how it is kept.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from pathlib import Path
from typing import TypeVar

import numpy as np
import polars as pl

from shoptoolkit.simulate.experiment import Experiment
from shoptoolkit.simulate.frames import assignments_of, customers_of, events_of
from shoptoolkit.simulate.limits import check_whole
from shoptoolkit.simulate.recipe import Block, Recipe, live_block
from shoptoolkit.simulate.shoppers import Shoppers
from shoptoolkit.simulate.truth import Truth

_BLOCK = 10_000
_LONGEST = 3_660  # days
_ORDER = ("at", "customer_id")
T = TypeVar("T")


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Shop:
    """A simulated shop.

    `events`: Events, sorted by time: impressions, clicks, views, watching, searches, carts, checkouts, purchases and
    refunds, with `known_at`. `assignments`: Assignments of the experiment, empty without one. `customers`: customer_id,
    source (of the first order), joined_at. `truth`: what is behind it all. `as_of`: the first day after the log. Every
    customer's whole history is in the log. Geo panel, media and auctions of the same customers are still to come.
    """

    events: pl.DataFrame
    assignments: pl.DataFrame
    customers: pl.DataFrame
    truth: Truth
    as_of: date

    def __repr__(self) -> str:
        return f"Shop of {len(self.customers):,} customers, {len(self.events):,} events up to {self.as_of}"


def shop(
    *,
    rng: int | np.random.Generator,
    n_customers: int = 4_000,
    days: int = 365,
    start: date = date(2025, 1, 1),
    shoppers: Shoppers | None = None,
    experiment: Experiment | None = None,
    threads: int = 1,
) -> Shop:
    """Simulate a shop: who buys, why, and what an ad changed, all of it known.

    Customers join evenly over the log with an order, order again at a rate and in a rhythm of their own, and stop for
    good after some order. Watching content, promotions, weekdays and the year move their rate.

    Parameters
    ----------
    rng
        Seed or Generator.
    n_customers, days, start
        Size and window of the log.
    shoppers
        How customers behave; None: `Shoppers()`.
    experiment
        A randomised ad experiment among them, e.g. `Experiment()`; None: none.
    threads
        Blocks of 10,000 customers made at a time; the result is the same for any number.

    Returns
    -------
    Shop
        Events, assignments, customers, and the truth.

    Notes
    -----
    Where the year swings, customers who join late are watched in another season than the others, so that censoring is
    not quite independent. By default the limit of a Kaplan-Meier curve over a year's log lies .0001 from the truth at
    90 days, .003 below it at 180, .007 at 300; with year_swing=0 it is the truth.

    The default shop beside two real ones (orders above zero; gaps are those seen between orders of a customer):

    ================================  ===========  =================  ==============
    what                              this shop    UCI Online Retail  CDNOW
    ================================  ===========  =================  ==============
    days of log                       365          373                546
    orders a day per 1,000 customers  7.7          11.4               5.4
    orders per customer               2.8          4.3                3.0
    customers with one order, %       45           34                 50
    days between orders, quartiles    9, 23, 52    12, 28, 58         12, 34, 94
    their deviation / mean            1.2          1.2                1.3
    value of an order, quartiles      18, 32, 53   158, 303, 472      14.5, 26, 44
    ================================  ===========  =================  ==============

    Raises
    ------
    ValueError
        A number is out of its range, or the experiment does not fit into the log.
    TypeError
        A parameter is of the wrong type.

    Examples
    --------
    >>> small = shop(n_customers=100, days=90, rng=7)
    >>> small.customers.columns
    ['customer_id', 'source', 'joined_at']
    """
    recipe, seeds, sizes = _plan(rng, n_customers, days, start, shoppers, experiment, threads)
    made = list(_in_order(lambda k: _make(recipe, seeds[k], sizes[k], k * _BLOCK + 1), len(sizes), threads))
    blocks, frames = [block for block, _ in made], [frame for _, frame in made]
    return Shop(
        events=pl.concat(frames).sort(_ORDER, maintain_order=True),
        assignments=pl.concat(assignments_of(recipe, block, k * _BLOCK + 1) for k, block in enumerate(blocks)),
        customers=pl.concat(customers_of(recipe, block.people, k * _BLOCK + 1) for k, block in enumerate(blocks)),
        truth=Truth(recipe=recipe, blocks=tuple(block.settled() for block in blocks)),
        as_of=recipe.start + timedelta(days=days),
    )


def write_shop(
    folder: str | Path,
    *,
    rng: int | np.random.Generator,
    n_customers: int,
    days: int = 365,
    start: date = date(2025, 1, 1),
    shoppers: Shoppers | None = None,
    experiment: Experiment | None = None,
    threads: int = 1,
) -> int:
    """Write a shop of any size as parquet: events/, assignments/ and customers/ in parts of 10,000 customers.

    The rows are those of `shop` with the same numbers, each part sorted by time. Memory holds `threads` parts at once.

    Parameters
    ----------
    folder
        Where to write; made if it is not there. Read the log back by `contract.read_events("folder/events/*.parquet")`.
    rng, n_customers, days, start, shoppers, experiment, threads
        As in `shop`.

    Returns
    -------
    int
        Rows of the log.

    Raises
    ------
    FileExistsError
        There are parts in the folder already.
    ValueError, TypeError
        As in `shop`.
    """
    recipe, seeds, sizes = _plan(rng, n_customers, days, start, shoppers, experiment, threads)
    folder = Path(folder)
    if old := sorted(folder.glob("*/part-*.parquet")):
        raise FileExistsError(
            f"folder is '{folder}', which holds {len(old)} parts, e.g. {old[0].name}; name a new one."
        )
    for name in ("events", "assignments", "customers"):
        (folder / name).mkdir(parents=True, exist_ok=True)
    return sum(_in_order(lambda k: _write(folder, recipe, seeds[k], sizes[k], k), len(sizes), threads))


def _plan(
    rng: int | np.random.Generator,
    n_customers: int,
    days: int,
    start: date,
    shoppers: Shoppers | None,
    experiment: Experiment | None,
    threads: int,
) -> tuple[Recipe, list[np.random.SeedSequence], list[int]]:
    if isinstance(rng, bool) or not isinstance(rng, int | np.integer | np.random.Generator):
        raise TypeError(f"rng is {rng!r}; it must be a seed (a whole number from 0 on) or a Generator.")
    check_whole(n_customers=n_customers, days=days, threads=threads)
    if days > _LONGEST:
        raise ValueError(f"days is {days}; at most {_LONGEST}, ten years.")
    if not isinstance(start, date):
        raise TypeError(f"start is {start!r}; it must be a date, e.g. date(2025, 1, 1).")
    start = start.date() if isinstance(start, datetime) else start
    _check_type("shoppers", shoppers, Shoppers)
    _check_type("experiment", experiment, Experiment)
    recipe = Recipe(shoppers=shoppers or Shoppers(), experiment=experiment, days=days, start=start)
    if experiment:
        experiment.starts(days)
    sizes = [min(_BLOCK, n_customers - done) for done in range(0, n_customers, _BLOCK)]
    root = np.random.SeedSequence(int(np.random.default_rng(rng).integers(2**63)))
    return recipe, root.spawn(len(sizes)), sizes


def _check_type(name: str, value: object, kind: type) -> None:
    if value is not None and not isinstance(value, kind):
        raise TypeError(f"{name} is {value!r}; it must be {kind.__name__}(...) or None.")


def _in_order(work: Callable[[int], T], n: int, threads: int) -> Iterator[T]:
    """Results of work(0) to work(n - 1) in order; never more than `threads` are under way."""
    with ThreadPoolExecutor(threads) as pool:
        for first in range(0, n, threads):
            yield from pool.map(work, range(first, min(first + threads, n)))


def _make(recipe: Recipe, seed: np.random.SeedSequence, size: int, first_id: int) -> tuple[Block, pl.DataFrame]:
    rng = np.random.default_rng(seed)
    block = live_block(recipe, size, rng)
    return block, events_of(recipe, block, rng, first_id)


def _write(folder: Path, recipe: Recipe, seed: np.random.SeedSequence, size: int, part: int) -> int:
    block, events = _make(recipe, seed, size, first_id := part * _BLOCK + 1)
    frames = {
        "events": events.sort(_ORDER, maintain_order=True),
        "assignments": assignments_of(recipe, block, first_id),
        "customers": customers_of(recipe, block.people, first_id),
    }
    for name, frame in frames.items():
        frame.write_parquet(folder / name / f"part-{part:05d}.parquet")
    return len(events)
