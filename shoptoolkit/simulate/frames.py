"""From a block of simulated customers to frames that keep the contract.

In: `Recipe` and `Block`. Out: `events_of`, `assignments_of`, `customers_of`, and `traits_of`, what only the simulator
knows.
"""

from __future__ import annotations

from datetime import datetime, timedelta

import numpy as np
import polars as pl

from shoptoolkit.contract.schemas import EVENT_KINDS
from shoptoolkit.simulate.recipe import Block, Recipe
from shoptoolkit.simulate.shoppers import ACQUISITION, NEVER, SOURCES, Table, bargain, basket, catalogue

CATEGORIES = (
    "beauty", "snacks", "fashion", "home", "kitchen", "baby", "toys", "sports", "shoes", "bags", "jewellery",
    "phones", "audio", "computers", "books", "garden", "pets", "health", "drinks", "stationery",
    "tools", "car", "travel", "games",
)  # fmt: skip
CAMPAIGNS = ("always_on", "experiment")
_SECOND = 1_000_000  # microseconds
_DAY = 86_400 * _SECOND


def events_of(recipe: Recipe, block: Block, rng: np.random.Generator, first_id: int) -> pl.DataFrame:
    """The rows of a block's moments, customer by customer."""
    from shoptoolkit.simulate.lines import DAY, ORDERS_EACH, Habits, write

    shoppers = recipe.shoppers
    habits = Habits(
        own_taste=float(shoppers.own_taste),
        more_lines=shoppers.lines_per_order - 1.0,
        refunds=float(shoppers.refund_share),
        late=float(shoppers.late_share),
        late_seconds=3600.0 * shoppers.late_hours,
        cut=1.0 - shoppers.promotion_depth,
        last_second=recipe.days * DAY,
    )
    promotion, shelves = recipe.calendar(recipe.days).promotion, catalogue(shoppers)
    rows = write(rng, block.people, block.moments, bargain(block.people), promotion, shelves, habits)
    raw = _columns(rows)
    at, item = _epoch(recipe) + pl.col("at") * _SECOND, pl.col("item")
    number = pl.col("customer").cast(pl.Int64)
    return raw.select(
        (number + first_id).alias("customer_id"),
        at.cast(pl.Datetime("us")).alias("at"),
        _words("event", EVENT_KINDS),
        _where(pl.col("order") >= 0, (number + first_id) * ORDERS_EACH + pl.col("order")).alias("order_id"),
        _where(item >= 0, item.cast(pl.Int64) + 1).alias("item_id"),
        _where(item >= 0, _words("category", categories(shoppers.n_categories))),
        _where(pl.col("price").is_not_nan(), pl.col("price").round(2)).alias("price"),
        _where(pl.col("quantity") > 0, pl.col("quantity").cast(pl.Int64)).alias("quantity"),
        _where(pl.col("watched").is_not_nan(), pl.col("watched").cast(pl.Float64).round(1)).alias("watch_seconds"),
        _words("source", SOURCES),
        _where(pl.col("campaign") > 0, _words("campaign", ("none", *CAMPAIGNS))).alias("campaign_id"),
        (at + pl.col("late").cast(pl.Int64) * _SECOND).cast(pl.Datetime("us")).alias("known_at"),
    )


def assignments_of(recipe: Recipe, block: Block, first_id: int) -> pl.DataFrame:
    """Who was assigned when and to which arm; eligible_at in both arms, exposed_at in treatment."""
    people, arms = block.people, block.arms
    if arms is None or recipe.experiment is None:
        kept, treated, recent, shown = (np.zeros(0, np.int64), *(np.zeros(0, bool),) * 3)
    else:
        kept = np.flatnonzero(arms.assigned)
        treated, recent, shown = (one[kept] for one in (arms.treated, arms.recent, arms.shown))
    some = people[kept]
    eligible = some["eligible"].astype(np.int64) * _DAY + some["eligible_second"].astype(np.int64) * _SECOND
    share = recipe.experiment.treated_share if recipe.experiment else 0.0
    raw = pl.DataFrame({"treated": treated, "recent": recent, "shown": shown & treated, "eligible": eligible})
    at = (_epoch(recipe) + pl.col("eligible")).cast(pl.Datetime("us"))
    source = pl.Series(some["source"]).cast(pl.UInt8).cat.to(pl.Enum(list(ACQUISITION))).cast(pl.String)
    return raw.with_columns(source=source, customer_id=kept + first_id).select(
        pl.lit("ads").alias("experiment_id"),
        pl.col("customer_id").cast(pl.Int64),
        pl.when("treated").then(pl.lit("treatment")).otherwise(pl.lit("control")).alias("arm"),
        pl.lit(_midnight(recipe) + timedelta(days=recipe.assigned_on)).alias("assigned_at"),
        pl.when("treated").then(share).otherwise(1 - share).alias("probability"),
        pl.format("{}, {}", "source", pl.when("recent").then(pl.lit("recent")).otherwise(pl.lit("lapsed"))).alias(
            "stratum"
        ),
        _where(pl.col("eligible") >= 0, at).alias("eligible_at"),
        _where("shown", at).alias("exposed_at"),
    )


def customers_of(recipe: Recipe, people: Table, first_id: int) -> pl.DataFrame:
    """What the shop itself knows of its customers."""
    raw = _columns(people[["source", "joined"]]).with_row_index("customer_id", offset=first_id)
    return raw.select(
        pl.col("customer_id").cast(pl.Int64),
        _words("source", tuple(ACQUISITION)).cast(pl.String),
        (pl.lit(recipe.start) + pl.duration(days="joined")).alias("joined_at"),
    )


def traits_of(recipe: Recipe, people: Table, first_id: int) -> pl.DataFrame:
    """What a customer is: also the latent traits, and the day of the order after which they stopped."""
    latent = _columns(people, but="favourites").select(
        pl.col("rate"),
        pl.col("rhythm"),
        pl.col("drop").alias("drop_probability"),
        pl.col("sensitivity").alias("price_sensitivity"),
        pl.col("watching").alias("watch_sessions_per_day"),
        pl.Series("order_value", basket(recipe.shoppers, people)),
        pl.col("active"),
        _where(pl.col("dropped") != NEVER, pl.lit(recipe.start) + pl.duration(days="dropped")).alias("dropped_on"),
    )
    return customers_of(recipe, people, first_id).hstack(latent)


def categories(n: int) -> tuple[str, ...]:
    """Names of the categories."""
    return tuple(CATEGORIES[k] if k < len(CATEGORIES) else f"category {k + 1}" for k in range(n))


def _columns(table: Table, *, but: str = "") -> pl.DataFrame:
    names = [name for name in table.dtype.names or () if name != but]
    return pl.DataFrame({name: np.ascontiguousarray(table[name]) for name in names})


def _midnight(recipe: Recipe) -> datetime:
    return datetime.combine(recipe.start, datetime.min.time())


def _epoch(recipe: Recipe) -> int:
    return (recipe.start - datetime(1970, 1, 1).date()).days * _DAY


def _words(name: str, words: tuple[str, ...]) -> pl.Expr:
    """Numbers as the words they stand for."""
    return pl.col(name).cat.to(pl.Enum(list(words)))


def _where(holds: pl.Expr | str, then: pl.Expr) -> pl.Expr:
    """A value where something holds, null elsewhere."""
    return pl.when(holds).then(then)
