"""Which features can stand in for each other: seen from their values and from what the model makes of them.

In: the bins of each feature's values (`bins_of`) and the contributions. Out: `clusters_of` -> a number per feature (or
signal); those with one number are interchangeable.

Two features are interchangeable where either one alone tells at least nine tenths of what both together tell of the sum
of their contributions. It is a statement on this model and these customers: a copy, or a count with a little noise, can
stand in for the original. Two drivers that go together and each count for something of their own are kept apart, unless
they go together so closely that either tells nearly all of both (rank correlation above about 0.8 where they count
alike).
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import combinations

import numpy as np
import polars as pl

from shoptoolkit.contract.arrays import Floats, Ints

ALIKE = 0.9
_MOST_BINS, _ROWS_PER_BIN = 50, 20


def bins_of(values: pl.Series, *, is_code: bool) -> Ints:
    """Values cut into bins of about equal size, whatever their scale; categories by their code, missing by itself."""
    places = values.rank("dense" if is_code else "average").to_numpy() - 1
    count = max(2, min(_MOST_BINS, len(values) // _ROWS_PER_BIN))
    bins = places if is_code else np.floor(places * count / max(1, values.count()))
    return np.where(np.isnan(bins), -1, bins).astype(np.int64)


def clusters_of(bins: Sequence[Sequence[Ints]], contributions: Floats) -> Ints:
    """A number per feature or signal (`bins` of its members), given rows x features; every two of one number pass.

    Fewer than 20 rows tell of no two that they are alike.
    """
    if len(bins) < 2 or len(contributions) < _ROWS_PER_BIN:
        return np.arange(len(bins))
    from scipy.cluster.hierarchy import fcluster, linkage

    bases = [_basis(np.column_stack([_flags(one) for one in members])) for members in bins]
    apart = [1 - _alike(bases[a], bases[b], contributions[:, [a, b]].sum(axis=1)) for a, b in _pairs(len(bins))]
    return np.asarray(fcluster(linkage(apart, "complete"), 1 - ALIKE, "distance"))


def _pairs(count: int) -> combinations:
    return combinations(range(count), 2)


def _alike(one: Floats, other: Floats, both: Floats) -> float:
    """What the poorer of two tells of `both` alone, as a share of what they tell together."""
    alone = _told(one, both), _told(other, both)
    if min(alone) < ALIKE * max(alone) or max(alone) <= 0:
        return 0.0
    return min(1.0, min(alone) / _told(_basis(np.hstack([one, other])), both))


def _told(basis: Floats, answer: Floats) -> float:
    """Adjusted R squared of the answer on the basis."""
    off = answer - answer.mean()
    if not (total := off @ off) > 0:
        return 0.0
    left = max(1, len(off) - 1 - basis.shape[1])
    return float(1 - (1 - np.square(basis.T @ off).sum() / total) * (len(off) - 1) / left)


def _flags(bins: Ints) -> Floats:
    return np.equal.outer(bins, np.unique(bins)).astype(np.float64)


def _basis(columns: Floats) -> Floats:
    """Orthonormal columns that span the given ones about their means."""
    left, sizes, _ = np.linalg.svd(columns - columns.mean(axis=0), full_matrices=False)
    return np.asarray(left[:, sizes > 1e-9 * max(1.0, sizes.max(initial=0.0))])
