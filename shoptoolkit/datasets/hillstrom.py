"""Hillstrom's e-mail test: 64,000 customers of a shop, a third each with one of two e-mails or none, for two weeks.

In: the table of the publisher's file. Out: `lines` (exact, the same from every form of the file), from them `made`,
Outcomes in the file's order:

- `customer_id`: the row's number in the file, from 1. `arm`: none, mens or womens (the goods that the e-mail showed).
  `probability`: of the customer's own arm, 1/3.
- over the two weeks after the e-mail: `visited` the site, `converted` (bought), `spend` (USD).
- before it: `pre_recency_months` since the last purchase (1 to 12), `pre_history` (USD spent in the past year) and
  `pre_history_segment`, `pre_mens` and `pre_womens` (bought such goods in the past year), `pre_newbie` (new in the past
  year), `pre_zip_code` (urban, suburban, rural), `pre_channel` (phone, web, multichannel: of last year's purchases).
"""

from __future__ import annotations

import polars as pl

from shoptoolkit.datasets.tables import flags, in_units, money, take, texts, wholes, words

_THEIRS = {
    "arm": "segment",
    "visited": "visit",
    "converted": "conversion",
    "spend": "spend",
    "pre_recency_months": "recency",
    "pre_history": "history",
    "pre_history_segment": "history_segment",
    "pre_mens": "mens",
    "pre_womens": "womens",
    "pre_newbie": "newbie",
    "pre_zip_code": "zip_code",
    "pre_channel": "channel",
}
_MONEY = ("spend", "pre_history")
_FLAGS = ("visited", "converted", "pre_mens", "pre_womens", "pre_newbie")
_WORDS = {
    "arm": {"no e-mail": "none", "mens e-mail": "mens", "womens e-mail": "womens"},
    "pre_zip_code": {"urban": "urban", "surburban": "suburban", "suburban": "suburban", "rural": "rural"},  # [sic]
    "pre_channel": {"phone": "phone", "web": "web", "multichannel": "multichannel"},
}


def lines(table: pl.DataFrame) -> pl.DataFrame:
    """The publisher's lines under our names: money in hundredths of cents, flags as 1 and 0."""
    raw = take(table, {ours: (theirs,) for ours, theirs in _THEIRS.items()})
    return raw.with_columns(
        wholes(raw["pre_recency_months"]),
        texts(raw["pre_history_segment"]),
        *(money(raw[name]) for name in _MONEY),
        *(flags(raw[name]) for name in _FLAGS),
        *(words(raw[name], known) for name, known in _WORDS.items()),
    )


def made(given: pl.DataFrame) -> pl.DataFrame:
    """One row per customer."""
    told = [*(in_units(given[name]) for name in _MONEY), *(given[name].cast(pl.Boolean) for name in _FLAGS)]
    return given.with_columns(told).select(
        pl.int_range(1, pl.len() + 1, dtype=pl.Int64).alias("customer_id"),
        "arm",
        pl.lit(1 / 3).alias("probability"),
        pl.exclude("arm"),
    )
