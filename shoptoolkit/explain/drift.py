"""Do the rows to be forecast look like those learnt from? Each feature's distance, beside what chance alone would give.

In: training and test rows. Out: `drift` -> `Drift`. Rows of one customer stay together, also where a customer has rows
on both sides.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import polars as pl

from shoptoolkit.contract import ContractError, to_polars
from shoptoolkit.contract.arrays import Floats, Ints
from shoptoolkit.contract.check import check_level, listed
from shoptoolkit.contract.estimates import holm
from shoptoolkit.contract.show import html_table

_BINS = 10  # of a number; a category has one bin each, up to twice as many
_NOTE = "distance of the shares by bin or category; by chance: it stays below this, if nothing moved,"
_FEWEST = 20  # customers in both parts together
_LEAST = 10  # customers in a bin; fewer are counted together, and if they still are, with the commonest
_TYPES: dict[str, Any] = dict.fromkeys(("feature", "kind", "what", "before", "after"), pl.String)
_TYPES |= {"missing_before": pl.Float64, "missing_after": pl.Float64, "distance": pl.Float64, "by_chance": pl.Float64}
_TYPES |= {"p_value": pl.Float64, "p_adjusted": pl.Float64, "moved": pl.Boolean}


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Drift:
    """Which features have moved between training and test rows.

    `table`, the clearest first: feature, kind (number, flag, category), what, before, after (in words: the median, or
    where it stayed the mean; the share of yes, of the category whose share has changed most, or, where most of the
    distance lies there, the share missing), missing_before,
    missing_after (shares), distance (sum over bins of the squared difference of shares over the pooled share: about
    the population stability index), by_chance (what it stays below with probability `level` if nothing moved), p_value,
    p_adjusted (Holm over all features), moved. `n_customers`: of both parts together; `n_shared`: in both.
    """

    table: pl.DataFrame
    level: float
    n_train: int
    n_test: int
    n_customers: int
    n_shared: int

    @property
    def verdict(self) -> str:
        """One sentence: what has moved, and how."""
        moved = self.table.filter("moved")
        asked = f"{len(self.table):,} feature{'s' * (len(self.table) != 1)} compared (Holm, level {self.level:g})"
        if moved.is_empty():
            return f"{asked}: no move shown."
        told = [f"{row['feature']} ({row['what']} {row['before']} -> {row['after']})" for row in moved.to_dicts()]
        rest = f", and {len(told) - 5} more" if len(told) > 5 else ""
        return f"{asked}: {len(told)} moved: {', '.join(told[:5])}{rest}."

    def __repr__(self) -> str:
        return f"Drift from {self.n_train:,} to {self.n_test:,} rows of {self.n_customers:,} customers\n{self.verdict}"

    def _repr_html_(self) -> str:
        whom = f"{self.n_customers:,} customers ({self.n_shared:,} in both)"
        rows = f"{self.n_train:,} rows before, {self.n_test:,} after, of {whom}"
        note = f"{rows}; {_NOTE} in {100 * self.level:g} % of worlds"
        shown = self.table.drop("kind", "p_value", "missing_before", "missing_after")
        return html_table(shown, title="Have the features moved?", note=note, max_rows=20)


def drift(
    train: Any, test: Any, *, features: Sequence[str] | None = None, id: str | None = None, level: float = 0.95
) -> Drift:
    """Which features have moved between the rows learnt from and those to be forecast?

    Parameters
    ----------
    train, test
        Two frames with the features.
    features
        Columns: numbers, flags, text; missing values are a bin of their own. None: all such columns of both frames but
        `id`.
    id
        Column of the customers, if they have several rows or rows on both sides. None: every row stands alone.
    level
        Under no drift, some feature is said to have moved with a probability of at most 1 - `level`.

    Returns
    -------
    Drift
        Numbers are compared in ten bins of about equal size. The null distribution takes customers with all their rows
        as the units; if nothing moved, two rows of one customer go together alike before and after. A small move of
        many rows is found as well as a large one: look at before and after.

    Raises
    ------
    ContractError
        A frame has no rows, lacks a feature or the id, or a feature is of another kind in the other frame.
    ValueError
        No features, fewer than 20 customers, or a `level` outside 0 to 1.

    References
    ----------
    Chi-square of shares from clusters with the second-order correction: Rao and Scott (1984), Annals of Statistics 12,
    46-60; by the law of F as Thomas and Rao (1987), JASA 82, 630-636. Stability index: Yurdakul and Naranjo (2020),
    Journal of Risk Model Validation 14(4).

    Examples
    --------
    >>> import numpy as np, polars as pl
    >>> rng = np.random.default_rng(1)
    >>> before = pl.DataFrame({"days_since_view": rng.exponential(12, 500), "paid": rng.random(500) < 0.2})
    >>> after = pl.DataFrame({"days_since_view": rng.exponential(20, 500), "paid": rng.random(500) < 0.2})
    >>> print(drift(before, after).verdict)
    2 features compared (Holm, level 0.95): 1 moved: days_since_view (median 7.7 -> 14.8).
    """
    check_level(level)
    parts = [to_polars(train), to_polars(test)]
    kinds = _kinds(parts, features, id)
    both = pl.concat([part.select(_read(name, kind) for name, kind in kinds.items()) for part in parts])
    sides = np.repeat([0, 1], [len(part) for part in parts])
    units, shared = _units(parts, id)
    if (n_customers := int(units.max()) + 1) < _FEWEST:
        raise ValueError(f"train and test have {n_customers} customers; to tell drift takes at least {_FEWEST}.")
    rows = [_row(both[name], kind, sides, units, level) for name, kind in kinds.items()]
    adjusted = holm([row["p_value"] for row in rows])
    told = [row | {"p_adjusted": p, "moved": bool(p <= 1 - level)} for row, p in zip(rows, adjusted, strict=True)]
    table = pl.DataFrame(told, schema=_TYPES).sort("p_value", -pl.col("distance"), "feature")
    sizes = {"n_train": len(parts[0]), "n_test": len(parts[1]), "n_customers": n_customers}
    return Drift(table=table, level=level, n_shared=shared, **sizes)


def _kinds(parts: list[pl.DataFrame], features: Sequence[str] | None, id: str | None) -> dict[str, str]:
    """The features and what they are."""
    asked = None if features is None else listed(features, name="features")
    for name, part in zip(("train", "test"), parts, strict=True):
        if absent := [one for one in (*(asked or ()), *([id] if id else [])) if one not in part.columns]:
            has = ", ".join(part.columns) or "no columns"
            raise ContractError(f"drift: {', '.join(map(repr, absent))} missing in {name}. It has: {has}.")
        if part.is_empty():
            raise ContractError(f"drift: {name} has 0 rows; at least one is needed.")
    names = [name for name in parts[0].columns if name != id and name in parts[1].columns] if asked is None else asked
    found = {name: {_kind(part.schema[name]) for part in parts if part.schema[name] != pl.Null} for name in names}
    if faults := [name for name, kinds in found.items() if len(kinds) > 1 or (asked and "" in kinds)]:
        told = "; ".join(
            f"{one!r} is {parts[0].schema[one]} in train, {parts[1].schema[one]} in test" for one in faults
        )
        raise ContractError(f"drift: {told}; both must be numbers, Boolean or text.")
    kinds = {name: next(iter(kinds), "number") for name, kinds in found.items()}
    if not any(kinds.values()):
        raise ValueError("there are no features to compare; both frames need columns of numbers, flags or text.")
    return {name: kind for name, kind in kinds.items() if kind}


def _kind(dtype: pl.DataType) -> str:
    if dtype == pl.Boolean:
        return "flag"
    if dtype in (pl.String, pl.Categorical, pl.Enum):
        return "category"
    return "number" if dtype.is_numeric() else ""


def _read(name: str, kind: str) -> pl.Expr:
    if kind == "number":
        return pl.col(name).cast(pl.Float64).fill_nan(None)
    return pl.col(name).cast(pl.Boolean if kind == "flag" else pl.String)


def _units(parts: list[pl.DataFrame], id: str | None) -> tuple[Ints, int]:
    """The customer of each row, by number, and how many are in both parts."""
    n = sum(map(len, parts))
    if id is None:
        return np.arange(n), 0
    ids = pl.concat([part[id].cast(pl.String) for part in parts])
    if lost := ids.null_count():
        raise ContractError(f"drift: {id!r} is null in {lost:,} rows; leave them out.")
    units = (ids.rank("dense") - 1).cast(pl.Int64).to_numpy()
    return units, len(np.intersect1d(units[: len(parts[0])], units[len(parts[0]) :]))


def _row(column: pl.Series, kind: str, sides: Ints, units: Ints, level: float) -> dict[str, Any]:
    code, count = _bins(column, kind, units)
    distance, by_chance, p_value = _compare(code, count, sides, units, level)
    before, after = (column.filter(pl.Series(sides == side)).drop_nulls() for side in (0, 1))
    missing = column.is_null().to_numpy()
    first, last, pooled = missing[sides == 0].mean(), missing[sides == 1].mean(), missing.mean()
    is_gap = before.is_empty() or after.is_empty() or (last - first) ** 2 > pooled * distance / 2
    words = (
        ("share missing", f"{100 * first:.1f} %", f"{100 * last:.1f} %") if is_gap else _in_words(before, after, kind)
    )
    told: dict[str, Any] = {"feature": column.name, "kind": kind}
    told |= dict(zip(("what", "before", "after"), words, strict=True))
    told |= {"missing_before": first, "missing_after": last, "distance": distance, "by_chance": by_chance}
    return told | {"p_value": p_value}


def _bins(column: pl.Series, kind: str, units: Ints) -> tuple[Ints, int]:
    """Each row's bin, and how many there are; missing values have one of their own."""
    missing = column.is_null().to_numpy()
    if kind == "number":
        values = column.to_numpy()
        known = values[~missing]
        edges = (
            np.unique(np.quantile(known, np.arange(1, _BINS) / _BINS, method="inverted_cdf")) if len(known) else known
        )
        code = np.searchsorted(edges, values)
    else:
        counts = column.drop_nulls().cast(pl.String).alias("value").value_counts()
        largest = counts.sort("count", "value", descending=[True, False])["value"].head(2 * _BINS - 1)
        place = {value: number for number, value in enumerate(largest)}
        code = column.cast(pl.String).replace_strict(place, default=len(place), return_dtype=pl.Int64).to_numpy()
    code = np.where(missing, code.max(initial=0) + 1, code)
    count = int(code.max()) + 1
    code = np.where(_customers(code, units)[code] < _LEAST, count, code)  # the rare ones together
    of_customers = _customers(code, units)
    code = np.where(of_customers[code] < _LEAST, of_customers.argmax(), code)
    found, code = np.unique(code, return_inverse=True)
    return code, len(found)


def _customers(code: Ints, units: Ints) -> Ints:
    """How many customers each bin has."""
    count = int(code.max()) + 1
    return np.bincount(np.unique(units * count + code) % count, minlength=count)


def _compare(code: Ints, count: int, sides: Ints, units: Ints, level: float) -> tuple[float, float, float]:
    """The distance, what chance stays below, and the p-value.

    Under no drift the distance is a sum of chi-squares, weighed by the eigenvalues of the shares' covariance over the
    pooled shares: trace and trace of the square say its mean and spread.
    """
    from scipy.stats import f as law

    if count < 2:
        return 0.0, 0.0, 1.0
    seen = np.zeros((2, int(units.max()) + 1, count))  # sides x customers x bins
    np.add.at(seen, (sides, units, code), 1.0)
    rows, pooled = seen.sum(axis=2), seen.sum(axis=(0, 1)) / len(code)
    sizes = rows.sum(axis=1)
    moved = seen[1].sum(axis=0) / sizes[1] - seen[0].sum(axis=0) / sizes[0]
    covariance = _covariance((seen - rows[:, :, None] * pooled) / np.sqrt(pooled), rows, pooled)
    mean, square = float(np.trace(covariance)), float((covariance**2).sum())
    distance = float((moved**2 / pooled).sum())
    if mean < 1e-9 * (1 / sizes).sum():  # the same rows of each customer on both sides
        return distance, 0.0, 1.0
    spread = ((rows / sizes[:, None]) ** 2).sum(axis=0)
    degrees = mean**2 / square
    others = degrees * (spread.sum() ** 2 / (spread**2).sum() - 1)
    by_chance = min(mean * float(law.isf(1 - level, degrees, others)), len(code) ** 2 / float(sizes.prod()))
    return distance, by_chance, float(law.sf(distance / mean, degrees, others))


def _covariance(own: Floats, rows: Floats, pooled: Floats) -> Floats:
    """Of the difference of shares if nothing moved, from each customer's sums by side, over the root of the shares.

    Of one row, of two rows of a customer on one side, and of two across: each learnt from both sides together, as a
    small side alone would tell too little of what is rare there.
    """
    sizes, pairs, (before, after) = rows.sum(axis=1), (rows * (rows - 1)).sum(axis=1), own
    one = np.eye(len(pooled)) - np.sqrt(np.outer(pooled, pooled))
    two = (before.T @ before + after.T @ after - sizes.sum() * one) / max(1.0, pairs.sum())
    across = (before.T @ after + after.T @ before) / sizes.prod()
    told = one * (1 / sizes).sum() + two * (pairs / sizes**2).sum() - across
    return np.asarray(told * rows.shape[1] / (rows.shape[1] - 1))


def _in_words(before: pl.Series, after: pl.Series, kind: str) -> tuple[str, str, str]:
    """What is told of the feature, and its values before and after."""
    if kind == "number":
        medians, means = ([getattr(part, what)() for part in (before, after)] for what in ("median", "mean"))
        name, told = ("mean", means) if medians[0] == medians[1] else ("median", medians)
        return name, _number(told[0]), _number(told[1])
    shares = [part.alias("value").value_counts(normalize=True, name="share") for part in (before, after)]
    change = shares[0].join(shares[1], on="value", how="full", coalesce=True).fill_null(0)
    if kind == "flag":
        most = change.filter("value")
    else:
        most = change.sort(-(pl.col("share") - pl.col("share_right")).abs(), "value").head(1)
    first, last = (f"{100 * most[one].sum():.1f} %" for one in ("share", "share_right"))
    return "share of yes" if kind == "flag" else f"share of {most['value'][0]!r}", first, last


def _number(value: float) -> str:
    return f"{value:,.0f}" if 1_000 <= abs(value) < 1e15 else f"{value:.3g}"
