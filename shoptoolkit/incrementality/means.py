"""Means of two arms from their moments: ratios linearised, covariates adjusted for, strata weighed together.

In: pairs of `Cell` (treatment, control), one per stratum. Out: `compare` -> `Means`, with what `lift` says in rows.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from shoptoolkit.contract.arrays import Floats
from shoptoolkit.incrementality.moments import Cell, merged

_FLAT = 1e-10  # share of a covariate's variance, below which the others tell it
_ROUNDING = 1e-13  # share of a variance that is no more than its rounding
SKEW = 0.5  # of the difference of two means, as measured, above which 95 % intervals hold less than some 92 %


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Means:
    """Means of m metrics in two arms (treatment first), with the parts of their variance.

    `value` 2 x m; `parts` strata x 2 x m: variance within arms, independent, with `degrees` strata x 2; `shared`
    2 x 2 x m: that of what both arms share (means of covariates, sizes of strata); `floor` 2 x m: what of `parts` is
    nothing but rounding.
    """

    value: Floats
    parts: Floats
    degrees: Floats
    shared: Floats
    floor: Floats

    def known(self) -> Means:
        """The same, as if what both arms share were known."""
        return replace(self, shared=np.zeros_like(self.shared))

    @property
    def covariance(self) -> Floats:
        """2 x 2 x m: of the means of treatment and control."""
        return self.shared + np.eye(2)[:, :, None] * self.parts.sum(axis=0)

    def freedom(self, metric: int, scale: tuple[float, float] = (1.0, 1.0)) -> float:
        """Degrees of freedom of a difference of the means times `scale` (Welch and Satterthwaite)."""
        weight = np.array(scale)
        parts = self.parts[:, :, metric] * weight**2
        sign = weight * (1, -1)
        total = parts.sum() + sign @ self.shared[:, :, metric] @ sign
        return float(total**2 / (parts**2 / self.degrees).sum())


def skewness(n: Any, variance: Any, third: Any) -> Any:
    """How skew the difference of two means is, of n units each with these central moments: it cancels in equal arms."""
    a, b = 1 / n[0], 1 / n[1]
    return abs((a**2 - b**2) * third) / (variance * (a + b)) ** 1.5


def lines(tops: Floats, bottoms: Floats, mean: Floats) -> tuple[Floats, Floats]:
    """Ratios of means, top'mean / bottom'mean, and the columns' weights that make them sums (delta method)."""
    bottom = bottoms.T @ mean
    ratio = tops.T @ mean / bottom
    return ratio, (tops - bottoms * ratio) / bottom


def quadratic(weights: Floats, cross: Floats) -> Floats:
    """w' S w for each column w of weights."""
    return np.asarray(np.einsum("pm,pq,qm->m", weights, cross, weights))


def compare(
    pairs: Sequence[tuple[Cell, Cell]],
    tops: Floats,
    bottoms: Floats,
    *,
    covariates: Sequence[int] = (),
    pooled: bool = False,
) -> Means:
    """The means of two arms, ratios top / bottom of columns' means, each stratum with the weight of both arms' units.

    Of ratios the mean of (top - ratio x bottom) / mean of bottom is taken (delta method); covariates move it within a
    stratum. The errors of interacted covariates are HC2 where the cells hold rows, else of equal residual variance.
    """
    n = np.array([[cell.n for cell in pair] for pair in pairs], dtype=float)
    share = n.sum(axis=1) / n.sum()
    means = [sum(part * pair[arm].mean for part, pair in zip(share, pairs)) for arm in (0, 1)]
    ratio, weights = zip(*(lines(tops, bottoms, np.asarray(mean)) for mean in means))
    total = [merged(pair) for pair in pairs]
    both = lines(tops, bottoms, np.asarray(sum(part * one.mean for part, one in zip(share, total))))[1]
    told = []
    for pair, whole in zip(pairs, total):
        if not covariates:
            told.append(_plain(pair, weights))
        elif pooled:
            told.append(_pooled(pair, whole, weights, both, covariates))
        else:
            told.append(_interacted(pair, whole, weights, covariates))
    moved, parts, degrees, shared = (np.array(one) for one in zip(*told))
    off = moved - np.einsum("s,sam->am", share, moved)
    between = np.einsum("s,sam,sbm->abm", share, off, off) / n.sum()  # strata stand for those of customers to come
    loose = [[np.diag(cell.cross) @ weights[arm] ** 2 for arm, cell in enumerate(pair)] for pair in pairs]
    floor = _ROUNDING * np.einsum("s,sam,sa->am", share**2, np.array(loose), n**-2)
    return Means(
        value=np.array(ratio) + np.einsum("s,sam->am", share, moved),
        parts=share[:, None, None] ** 2 * parts,
        degrees=degrees,
        shared=np.einsum("s,sabm->abm", share**2, shared) + between,
        floor=floor,
    )


Told = tuple[Floats, Floats, Floats, Floats]  # means 2 x m, their variance 2 x m, degrees 2, what is shared 2 x 2 x m


def _plain(pair: tuple[Cell, Cell], weights: Sequence[Floats]) -> Told:
    both = list(zip(pair, weights))
    means = np.array([line.T @ cell.mean for cell, line in both])
    variance = np.array([quadratic(line, cell.cross) / (cell.n - 1) / cell.n for cell, line in both])
    return means, variance, np.array([cell.effective - 1 for cell in pair]), np.zeros((2, *means.shape))


def _pooled(
    pair: tuple[Cell, Cell], whole: Cell, weights: Sequence[Floats], both: Floats, covariates: Sequence[int]
) -> Told:
    """One slope, that of the customers of both arms."""
    slope, common = _slope(whole, both, covariates)
    left = [line - _centred(cell, whole, covariates) @ slope for cell, line in zip(pair, weights)]
    means, variance, degrees, _ = _plain(pair, left)
    return means, variance, degrees, np.ones((2, 2, 1)) * common


def _slope(whole: Cell, line: Floats, covariates: Sequence[int]) -> tuple[Floats, Floats]:
    """The slope of all units, and the variance that the covariates' means have through it."""
    turn = _centred(whole, whole, covariates)
    cross = turn.T @ whole.cross @ turn
    slope = _inverse(cross, cross)[0] @ turn.T @ whole.cross @ line
    return slope, quadratic(slope, cross) / (whole.n - 1) / whole.n


def spread(whole: Cell, top: Floats, bottom: Floats, covariates: Sequence[int]) -> tuple[float, float]:
    """The mean of a metric, and the variance of a unit's part in it that the covariates leave."""
    mean, line = lines(top[:, None], bottom[:, None], whole.mean)
    if covariates:
        line = line - _centred(whole, whole, covariates) @ _slope(whole, line, covariates)[0]
    return float(mean[0]), float(quadratic(line, whole.cross)[0] / (whole.n - 1))


def _interacted(pair: tuple[Cell, Cell], whole: Cell, weights: Sequence[Floats], covariates: Sequence[int]) -> Told:
    """A slope for each arm (Lin 2013)."""
    turn = _centred(whole, whole, covariates)
    cross = turn.T @ whole.cross @ turn
    told = [_own(cell, whole, line, covariates, cross) for cell, line in zip(pair, weights)]
    means, variance, degrees, slopes = (np.array(one) for one in zip(*told))
    shared = np.einsum("akm,kl,blm->abm", slopes, cross, slopes) / (whole.n - 1) / whole.n
    return means, variance, degrees, shared


def _own(
    cell: Cell, whole: Cell, line: Floats, covariates: Sequence[int], like: Floats
) -> tuple[Floats, Floats, float, Floats]:
    """Means at the covariates of both arms by the arm's own regression, their variance, degrees and slopes."""
    turn = _centred(cell, whole, covariates)
    inverse, rank = _inverse(turn.T @ cell.cross @ turn, like)
    slope = inverse @ turn.T @ cell.cross @ line
    far = turn.T @ cell.mean
    left = line - turn @ slope
    if cell.rows is None:
        spare = cell.n - rank - 1
        variance = quadratic(left, cell.cross) / spare * (1 / cell.n + far @ inverse @ far)
    else:
        own = cell.rows @ turn
        leverage = 1 / cell.n + np.einsum("ik,kl,il->i", own, inverse, own, optimize=True)
        weight = (1 / cell.n - own @ (inverse @ far)) ** 2 / np.maximum(1 - leverage, 1e-9)
        variance = weight @ (cell.rows @ left) ** 2
    return left.T @ cell.mean, variance, cell.effective - rank - 1, slope


def _centred(cell: Cell, whole: Cell, covariates: Sequence[int]) -> Floats:
    """Columns' weights that give each covariate per customer, less its mean over both arms."""
    turn = np.zeros((len(cell.mean), len(covariates)))
    turn[list(covariates), range(len(covariates))] = 1
    turn[0] = -whole.mean[list(covariates)] / whole.mean[0]
    return turn / cell.mean[0]


def _inverse(spread: Floats, like: Floats) -> tuple[Floats, int]:
    """The inverse of cross-products, and their rank; what `like` shows to be constant or a sum of others is out."""
    scale = np.sqrt(np.diag(like))
    scale = np.divide(1, scale, out=np.zeros(len(scale)), where=scale > 0)
    values, vectors = np.linalg.eigh(spread * scale * scale[:, None])
    kept = values > _FLAT
    root = vectors[:, kept] / np.sqrt(values[kept]) * scale[:, None]
    return root @ root.T, int(kept.sum())


def imbalance(pairs: Sequence[tuple[Cell, Cell]], covariates: Sequence[int]) -> float:
    """The p-value of a test that the arms have the same covariates (Hotelling, strata weighed together)."""
    from scipy.special import betaincc

    total = [merged(pair) for pair in pairs]
    n = sum(whole.n for whole in total)
    far, spread = np.zeros(len(covariates)), np.zeros((len(covariates), len(covariates)))
    for pair, whole in zip(pairs, total):
        turns = [_centred(cell, whole, covariates) for cell in pair]
        part, turn = whole.n / n, _centred(whole, whole, covariates)
        far += part * (turns[0].T @ pair[0].mean - turns[1].T @ pair[1].mean)
        variance = turn.T @ whole.cross @ turn / (whole.n - 1)
        spread += part**2 * variance * (1 / pair[0].n + 1 / pair[1].n)
    inverse, rank = _inverse(spread, spread)
    spare = n - len(pairs) - rank
    if not rank or spare <= 0:
        return 1.0
    return float(betaincc(rank / 2, spare / 2, min(1.0, far @ inverse @ far / (n - len(pairs)))))
