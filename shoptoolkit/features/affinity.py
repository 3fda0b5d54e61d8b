"""What is bought together: pairs of items or categories, and how much more often than by chance.

In: Events. Out: `affinity` -> `Affinity`: each one's strongest partners, with counts and an interval of the lift.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import polars as pl

from shoptoolkit.contract import ContractError, Events, require
from shoptoolkit.contract.arrays import Floats, Ints
from shoptoolkit.contract.check import check_level, check_number, choose
from shoptoolkit.contract.lines import order_key
from shoptoolkit.contract.show import html_table
from shoptoolkit.features.given import check_column, whole
from shoptoolkit.features.in_time import is_new

if TYPE_CHECKING:
    from shoptoolkit.features.affinity_kernels import Lines

_TOGETHER = 5  # units, below which a pair has no interval and is not told
_FINE = 4_097  # steps of the table of Student's t, which then is right to a millionth


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Affinity:
    """What is bought together. Draw it with `figures.affinity`.

    `table`: a, b, n_both, n_a, n_b, support, confidence, lift, low, high. `n`: orders (or customers), `within` says
    which; `n_unnamed`: purchase lines left out, as their `of` is null.
    """

    table: pl.DataFrame
    of: str
    within: str
    level: float
    n: int
    n_unnamed: int

    def __repr__(self) -> str:
        return f"{self._told()}\n{self.table}"

    def _repr_html_(self) -> str:
        note = f"{self._told()}; {100 * self.level:g} % intervals of the lift"
        return html_table(self.table, title=f"What is bought together, by {self.of}", note=note, max_rows=20)

    def _told(self) -> str:
        left = f", {self.n_unnamed:,} lines without {self.of} left out" if self.n_unnamed else ""
        return f"{len(self.table):,} pairs of {self.of} in {self.n:,} {self.within}s{left}"


def affinity(
    events: Any,
    *,
    of: str = "category",
    within: str = "order",
    at_least: int = 20,
    most: int = 50,
    level: float = 0.95,
) -> Affinity:
    """What is bought together, and how much more often than if nothing had to do with anything?

    Parameters
    ----------
    events
        Events; their purchases are looked at. Lines of one `order_id` are one order; without it, a customer's purchases
        at one moment.
    of
        Column that says what was bought: "category", "item_id" or any other. Lines where it is null are left out and
        counted.
    within
        Together in one "order", or bought by one "customer" at any time.
    at_least
        What is in fewer orders (or customers) is left out first.
    most
        How many partners to tell for each, the strongest first.
    level
        Coverage of the interval of the lift.

    Returns
    -------
    Affinity
        One row per pair and direction, sorted by `a`, then by strength (`low`, the least lift that is credible): a, b,
        n_both, n_a, n_b (orders or customers with both, with a, with b; twice in one order is once), support (share
        with both), confidence (share of those with a that have b), lift (share with both by the product of the shares
        of a and b: 1 where they are independent), low, high (of the lift). Pairs seen together fewer than 5 times are
        not told: too few for an interval. (a, b) and (b, a) have one lift; one may be told without the other, where b
        has `most` stronger partners.

    Raises
    ------
    ContractError
        The events break their contract, have no purchase, or no column `of`; or nothing is in `at_least` orders.
    ValueError
        `within`, `at_least`, `most` or `level` is out of range.

    Notes
    -----
    The interval is that of the lift's logarithm by the delta method. Orders of one customer are alike, so its error is
    that of customers: with moves d of each customer's orders in it, the sum of d squared. It reaches as far as
    Student's t with 1 / sum(s^2) - 1 degrees of freedom, at least 1, for customers' shares s in the pair's orders: a
    pair that one or two buy over and over is hardly known. It is for one pair looked at; of many pairs some exclude 1
    by chance. A lift is no effect: large orders among small ones lift every pair above 1, as does a taste that a
    customer keeps, and orders of a few lines push it below 1, as one thing takes the place of another. So compare pairs
    with each other rather than with 1.

    Pairs are counted one `a` at a time in one row of sums, so memory grows with lines and pairs told, not with pairs.

    References
    ----------
    Brin, Motwani and Silverstein (1997), SIGMOD Record 26, 265-276 (lift, as "interest"); Agresti (2013), Categorical
    Data Analysis, section 3.1 (log of a ratio of shares); Liang and Zeger (1986), Biometrika 73, 13-22 (clusters); Kish
    (1965), Survey Sampling, 8.2 (unequal shares count as 1 / sum(s^2) equal ones).

    Examples
    --------
    >>> from datetime import datetime
    >>> import polars as pl
    >>> cats = ["tea", "cup", "tea", "cup", "tea", "jam"] * 5
    >>> events = pl.DataFrame({"customer_id": [i // 2 for i in range(30)], "at": datetime(2025, 1, 1), "price": 9.0,
    ...                        "event": "purchase", "category": cats})
    >>> affinity(events, at_least=5).table.select("a", "b", "n_both", "confidence", "lift").rows()
    [('cup', 'tea', 10, 1.0, 1.0), ('jam', 'tea', 5, 1.0, 1.0), ('tea', 'cup', 10, 0.6666666666666666, 1.0), \
('tea', 'jam', 5, 0.3333333333333333, 1.0)]
    """
    check_level(level)
    choose("within", within, ("order", "customer"))
    check_number("at_least", at_least, least=1, whole=True)
    check_number("most", most, least=1, whole=True)
    bought, n_unnamed = _bought(require(events, Events), of, within)
    items = bought.group_by("item").agg(size=pl.len().cast(pl.Int64)).sort("item")
    common = items.filter(pl.col("size") >= at_least)
    if common.is_empty():
        highest: Any = items["size"].max()
        raise ContractError(
            f"events: no {of} is in {at_least:,} {within}s, the most common is in {highest:,}; lower at_least."
        )
    lines = _lines(bought, common)
    table = _table(lines, common, level, whole(most))
    return Affinity(table=table, of=of, within=within, level=level, n=lines.n, n_unnamed=n_unnamed)


def _bought(log: pl.DataFrame, of: str, within: str) -> tuple[pl.DataFrame, int]:
    """Which unit of which customer has which item, once each, sorted by customer and unit; and the nameless lines."""
    check_column(log, "of", of)
    log = log.filter(pl.col("event") == "purchase")
    named = log.drop_nulls(of)
    if named.is_empty():
        raise ContractError(f"events: no row is a purchase with a known {of!r}, so nothing is bought together.")
    is_numbered = "order_id" in log.columns and not log["order_id"].null_count()
    order = pl.col("order_id") if is_numbered else order_key(log.columns)
    unit = order if within == "order" else pl.lit(0)
    bought = named.select("customer_id", unit=unit, item=of).unique().sort("customer_id", "unit")
    return bought, len(log) - len(named)


def _lines(bought: pl.DataFrame, common: pl.DataFrame) -> Lines:
    """The lines of common items, items, units and clusters numbered."""
    from shoptoolkit.features.affinity_kernels import Lines
    from shoptoolkit.features.kernels import by_customer

    numbered = bought.with_columns(cluster=is_new("customer_id").cum_sum(), is_next=is_new("customer_id", "unit"))
    units = numbered.filter("is_next")["cluster"].to_numpy()
    numbers = common.select("item", number=pl.int_range(pl.len()))
    kept = numbered.with_columns(unit=pl.col("is_next").cum_sum()).join(numbers, on="item", maintain_order="left")
    item, unit, cluster = (kept[name].cast(pl.Int64).to_numpy() for name in ("number", "unit", "cluster"))
    item_first, by_item = by_customer(item, len(common))
    per_cluster = np.bincount(units)  # units of each, the first is none
    has_lines = np.unique(cluster)
    return Lines(
        item,
        *_runs(unit),
        *_runs(cluster),
        by_item,
        item_first,
        units=per_cluster[has_lines],
        n=len(units),
        squares=float((per_cluster**2).sum()) / len(units) ** 2,
    )


def _runs(code: Ints) -> tuple[Ints, Ints]:
    """Sorted codes as numbers from 0 without a gap, and where each begins."""
    starts = np.flatnonzero(np.append(True, np.diff(code) > 0))
    return np.cumsum(np.diff(code, prepend=code[:1]) > 0), np.append(starts, len(code))


def _reaches(level: float) -> Floats:
    """Student's reach, by the reciprocal of its degrees of freedom and one, in even steps from 0 to 1/2."""
    from scipy.stats import t

    few = np.linspace(0, 0.5, _FINE)
    return np.asarray(t.isf((1 - level) / 2, 1 / np.maximum(few, 1e-12) - 1))


def _table(lines: Lines, common: pl.DataFrame, level: float, most: int) -> pl.DataFrame:
    from shoptoolkit.features.affinity_kernels import partners, spreads

    size = common["size"].to_numpy()
    pairs, told = partners(lines, size, spreads(lines, size), _reaches(level), _TOGETHER, most)
    a, b, both = pairs.T
    columns = {"a": common["item"][a], "b": common["item"][b], "n_both": both, "n_a": size[a], "n_b": size[b]}
    shares = {"support": both / lines.n, "confidence": both / size[a]}  # by numpy: polars divides by multiplying
    return pl.DataFrame(columns | shares | dict(zip(("lift", "low", "high"), told.T, strict=True)))
