"""What is to be expected of a customer, told by boosted trees that have not seen that customer.

In: a table of customers with features. Out: `deal` -> `Folds`; on them `grow` -> `TreeSum` (trees of a number),
`cross_predict` (that number, out of fold) and `cross_chances` (the chance of each arm, out of fold); `no_overlap` says
why customers of different arms cannot be compared.

Chernozhukov et al. (2018), Econometrics Journal 21, C1-C68 (cross-fitting).
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import polars as pl

from shoptoolkit.contract.arrays import Flags, Floats, Ints
from shoptoolkit.trees.boosting import data, threads, train
from shoptoolkit.trees.encoding import Encoder

_GROWTH: dict[str, Any] = {"rounds": 300, "patience": 20, "learning_rate": 0.05, "min_child_weight": 20}
_HELD = 0.2  # of the rows at hand, which stop the trees
FAR, _MOST = 0.1, 0.01  # at most this share of customers may have less than this part of an arm's overall chance


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Folds:
    """Customers in an order that neither their rows nor their names decide, dealt into folds.

    `table`: the rows in that order, and `encoded` their features; `fold`: by row, 0 to `count` - 1; `given`: where each
    row stood in the frame as it was given.
    """

    table: pl.DataFrame
    encoder: Encoder
    encoded: pl.DataFrame
    fold: Ints
    given: Ints
    count: int
    nthread: int

    def matrix(self, rows: Flags | Ints, label: Floats | None = None) -> Any:
        """The features of some rows, as XGBoost reads them."""
        rows = np.flatnonzero(rows) if rows.dtype == bool else rows
        return data(self.encoded[rows], nthread=self.nthread, label=label)


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class TreeSum:
    """An offset and a weighted sum of boosters: what TreeSHAP explains exactly."""

    offset: float
    terms: tuple[tuple[float, Any], ...]

    def predict(self, matrix: Any) -> Floats:
        """The sum by row."""
        parts = (weight * booster.predict(matrix, output_margin=True).astype(float) for weight, booster in self.terms)
        return sum(parts, start=np.full(matrix.num_row(), self.offset))

    def explain(self, matrix: Any) -> tuple[Floats, Floats]:
        """Path-dependent TreeSHAP values (rows x features), and the base of each row."""
        parts = (weight * booster.predict(matrix, pred_contribs=True).astype(float) for weight, booster in self.terms)
        whole = sum(parts, start=np.zeros((matrix.num_row(), matrix.num_col() + 1)))
        return whole[:, :-1], whole[:, -1] + self.offset


def add(parts: Iterable[tuple[float, TreeSum]]) -> TreeSum:
    """The weighted sum of sums."""
    parts = list(parts)
    terms = tuple((weight * inner, booster) for weight, one in parts for inner, booster in one.terms)
    return TreeSum(offset=sum(weight * one.offset for weight, one in parts), terms=terms)


def deal(
    table: pl.DataFrame,
    *,
    features: Sequence[str],
    by: Sequence[str],
    folds: int,
    rng: np.random.Generator,
    customer: str = "customer_id",
    nthread: int = 2,
) -> Folds:
    """Deal customers into folds at random, each with all rows, and the values of `by[0]` evenly.

    `by`: arm and outcome; with the features they decide the order of rows, so that equal customers alone can change
    places. Raises ContractError for features that trees cannot read.
    """
    encoder = Encoder.learn(table, features)
    encoded = encoder.encode(table).select(pl.all().name.prefix("__"))
    keys = encoded.hstack(table.select(*dict.fromkeys([*by, customer])))
    given = keys.select(pl.arg_sort_by(keys.columns)).to_series()
    ordered = table[given]
    people = ordered.select(customer, by[0]).unique(customer, keep="first", maintain_order=True)
    dealt = np.empty(len(people), dtype=np.int64)
    dealt[np.lexsort((rng.random(len(people)), people[by[0]].rank("dense")))] = np.arange(len(people)) % folds
    of_each = people.select(customer, fold=dealt)
    fold = ordered.select(customer).join(of_each, on=customer, how="left", maintain_order="left")
    return Folds(
        table=ordered,
        encoder=encoder,
        encoded=encoder.encode(ordered),
        fold=fold["fold"].to_numpy(),
        given=given.to_numpy().astype(np.int64),
        count=folds,
        nthread=threads(nthread, len(table)),
    )


def grow(folds: Folds, rows: Flags, label: Floats, *, rng: np.random.Generator, depth: int = 3) -> TreeSum:
    """Trees of a number by squared error, learnt on some rows, as many as a held-out fifth of them still rewards.

    The number is standardised for them, so that neither its unit nor its level decides anything.
    """
    own = label[rows]
    center, spread = float(own.mean()), float(own.std())
    if own.min() == own.max():
        return TreeSum(offset=float(own[0]), terms=())
    booster = _booster(folds, rows, (own - center) / spread, rng, objective="reg:squarederror", max_depth=depth)
    return TreeSum(offset=center, terms=((spread, booster),))


def cross_predict(folds: Folds, label: Floats, *, where: Flags, rng: np.random.Generator) -> Floats:
    """The number to be expected of every row, by trees learnt on the rows `where` of the other folds."""
    told = np.empty(len(label))
    for fold in range(folds.count):
        own = folds.fold == fold
        told[own] = grow(folds, where & ~own, label, rng=rng).predict(folds.matrix(own))
    return told


def cross_chances(folds: Folds, arm: Ints, *, rng: np.random.Generator) -> Floats:
    """The chance of each arm (rows x arms; `arm` is its number, from 0), by trees learnt on the other folds."""
    told = np.empty((len(arm), int(arm.max()) + 1))
    for fold in range(folds.count):
        own = folds.fold == fold
        settings = {"objective": "multi:softprob", "num_class": told.shape[1], "max_depth": 3}
        told[own] = _booster(folds, ~own, arm[~own].astype(float), rng, **settings).predict(folds.matrix(own))
    return told


def no_overlap(chances: Floats, shares: Floats) -> str | None:
    """Why customers cannot be compared: too many could hardly have been in one of the arms. None where they can."""
    far = float((chances < FAR * shares).any(axis=1).mean())
    if far <= _MOST:
        return None
    return (
        f"no overlap: {far:.1%} of the customers had less than a tenth of an arm's overall chance of being in it, so "
        "nobody there is like them. Leave such customers out, and say whom the answer is about."
    )


def _booster(folds: Folds, rows: Flags, label: Floats, rng: np.random.Generator, **settings: Any) -> Any:
    mixed = rng.permutation(len(label))
    where, label = np.flatnonzero(rows)[mixed], label[mixed]
    cut = max(1, round(_HELD * len(where)))
    held, grown = (folds.matrix(where[part], label[part]) for part in (slice(cut), slice(cut, None)))
    seed = int(rng.integers(2**31))
    return train(folds.encoder, grown, held, nthread=folds.nthread, seed=seed, **_GROWTH, **settings).booster
