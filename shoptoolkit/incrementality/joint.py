"""What an arm changed in several numbers at once, with what their errors share.

In: the table of `arms` (door.py). Out: `joint` -> `Joint`, whose `row` and `ratio` are rows of Estimates for any
weighted sum of the numbers and any quotient of two; `split_by` gives the customers group by group.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import polars as pl

from shoptoolkit.contract import ContractError, estimate_row, refused_row
from shoptoolkit.contract.arrays import Floats
from shoptoolkit.incrementality.ratios import ratio_row

Weights = Mapping[str, float]


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Joint:
    """Differences between two arms, and their covariance.

    `difference`: name -> arm less control. `parts`: the covariance that comes from either arm, and from the covariates'
    means, each with its `degrees` of freedom. `n`: customers of both. `reason`: why there is no saying, if so; its rows
    are then refused.
    """

    difference: dict[str, float]
    parts: Floats
    degrees: Floats
    n: int
    reason: str | None = None

    def value(self, weights: Weights) -> float:
        """A weighted sum of the differences."""
        return sum(weight * self.difference[name] for name, weight in weights.items())

    def covariance(self, *of: Weights) -> Floats:
        """The covariance of weighted sums."""
        return self._parts(*of).sum(axis=0)

    def row(self, weights: Weights, *, level: float, null: float | None = 0.0, **rest: Any) -> dict[str, Any]:
        """One row of Estimates for a weighted sum; refused where all customers are alike in it."""
        told: dict[str, Any] = {"level": level, "n": self.n} | rest
        if self.reason:
            return refused_row(**told | {"reason": self.reason})
        estimate, variance = self.value(weights), float(self.covariance(weights)[0, 0])
        if variance == 0 == estimate:
            same = f"{' and '.join(weights)}: the same for every customer; look at how it was counted."
            return refused_row(**told | {"reason": same})
        error, degrees = float(np.sqrt(variance)), self._degrees(weights)
        return estimate_row(estimate=estimate, standard_error=error, null=null, degrees=degrees, **told)

    def ratio(
        self, top: Weights, bottom: Weights, *, level: float, null: float | None = 0.0, **rest: Any
    ) -> dict[str, Any]:
        """One row of Estimates for a quotient of weighted sums, with Fieller's set; refused where it divides by 0."""
        told: dict[str, Any] = {"level": level, "n": self.n} | rest
        if reason := self.reason or ("" if self.value(bottom) else f"Divided by {' and '.join(bottom)}, which is 0."):
            return refused_row(**told | {"reason": reason})
        above, below = self.value(top), self.value(bottom)
        apart = {name: top.get(name, 0.0) - above / below * bottom.get(name, 0.0) for name in {**top, **bottom}}
        told |= {"covariance": self.covariance(top, bottom), "degrees": self._degrees(apart), "null": null}
        return ratio_row(top=above, bottom=below, **told)

    def _parts(self, *of: Weights) -> Floats:
        names = {name: k for k, name in enumerate(self.difference)}
        chosen = np.zeros((len(of), len(names)))
        for k, weights in enumerate(of):
            for name, weight in weights.items():
                chosen[k, names[name]] = weight
        return np.asarray(chosen @ self.parts @ chosen.T)

    def _degrees(self, weights: Weights) -> float | None:
        """Degrees of freedom of a weighted sum (Welch 1947, Satterthwaite 1946); None where nothing varies."""
        each = self._parts(weights)[:, 0, 0]
        return float(each.sum() ** 2 / (each**2 / self.degrees).sum()) if each.any() else None


def split_by(table: pl.DataFrame, by: str | None) -> dict[str, pl.DataFrame]:
    """The customers of each group, groups in order; "all" where `by` is None."""
    if by is None:
        return {"all": table}
    if nobody := table[by].null_count():
        raise ContractError(f"outcomes: {by!r} is null for {nobody:,} customers; give each a group, or leave them out.")
    return {str(value): table.filter(pl.col(by) == value) for value in table[by].unique().sort()}


def joint(
    table: pl.DataFrame,
    *,
    arm: str,
    control: str,
    metrics: Sequence[str],
    covariates: Sequence[str] = (),
    cluster: str | None = None,
) -> Joint:
    """Arm less control in each metric.

    Each arm has a regression of its own on the covariates, told at their mean over both arms (Lin 2013, Annals of
    Applied Statistics 7, 295-318), with HC2 errors, and the error of that mean, as the truth is that of the population.
    Customers who came in clusters, dealt as one: errors of Bell and McCaffrey (2002), Survey Methodology 28, 169-181,
    exact without covariates.
    """
    sides = {side: table.filter(pl.col("arm") == name) for side, name in (("arm", arm), ("control", control))}
    for name, side in zip((arm, control), sides.values()):
        if (found := len(side) if cluster is None else side[cluster].n_unique()) < len(covariates) + 2:
            what = "customers" if cluster is None else f"values of {cluster!r}"
            reason = f"{found} {what} in {name!r}; it takes {len(covariates) + 2} or more."
            n = sum(map(len, sides.values()))
            return Joint(difference={}, parts=np.zeros((0, 0, 0)), degrees=np.zeros(0), n=n, reason=reason)
    if cluster is not None and (torn := set(sides["arm"][cluster]) & set(sides["control"][cluster])):
        raise ContractError(
            f"outcomes: {len(torn):,} values of {cluster!r} are in both arms (e.g. {min(torn)!r}); where customers "
            "were dealt one by one, leave cluster= out."
        )
    both = pl.concat(sides.values())
    centre = both.select(pl.col(*metrics, *covariates).mean()).to_numpy()[0]
    fits = [_fit(side, metrics, covariates, centre, cluster) for side in sides.values()]
    parts, degrees = [one.covariance for one in fits], [one.degrees for one in fits]
    if covariates:
        moved = (both.select(covariates).to_numpy() - centre[len(metrics) :]) @ (fits[0].slopes - fits[1].slopes)
        parts.append(np.cov(moved, rowvar=False).reshape(len(metrics), -1) / len(both))
        degrees.append(len(both) - 1.0)
    difference = (fits[0].means - fits[1].means).tolist()
    return Joint(
        difference=dict(zip(metrics, difference)),
        parts=np.stack(parts),
        degrees=np.array(degrees),
        n=len(both),
    )


def words_of(method: str, asked: Mapping[str, Any]) -> str:
    """A method's name, with what else was asked of `joint`."""
    adjusted = f", adjusted for {', '.join(asked['covariates'])} in each arm" if asked.get("covariates") else ""
    return f"{method}{adjusted}{', errors by cluster' if asked.get('cluster') else ''}"


@dataclass(frozen=True, slots=True)
class _Fit:
    """One arm: `means` less the centre, at the covariates' centre, their covariance, and the covariates' slopes."""

    means: Floats
    covariance: Floats
    degrees: float
    slopes: Floats


def _fit(
    side: pl.DataFrame, metrics: Sequence[str], covariates: Sequence[str], centre: Floats, cluster: str | None
) -> _Fit:
    n = len(side)
    values = side.select(*metrics, *covariates).to_numpy() - centre  # centred, so that large numbers keep their digits
    means = values.mean(axis=0)
    y, x = np.split(values - means, [len(metrics)], axis=1)
    axes, basis = _orthonormal(x)
    slopes = basis.T @ y
    at = -means[len(metrics) :] @ axes
    errors, pull = y - basis @ slopes, 1 / n + basis @ at
    leverage = 1 / n + np.einsum("ij,ij->i", basis, basis)
    if cluster is None:
        moves = (pull / np.sqrt((1 - leverage).clip(1e-12)))[:, None] * errors
        degrees = n - 1.0 - basis.shape[1]
    else:
        moves, degrees = _by_cluster(side[cluster], pull[:, None] * errors)
    return _Fit(means[: len(metrics)] + at @ slopes, moves.T @ moves, degrees, axes @ slopes)


def _orthonormal(x: Floats) -> tuple[Floats, Floats]:
    """`axes` and x @ axes, whose columns are orthonormal; what is constant or a copy of others is left out."""
    scale = np.sqrt(np.einsum("ij,ij->j", x, x))
    scale[scale == 0] = 1.0
    sizes, turned = np.linalg.eigh((x / scale).T @ (x / scale))
    kept = sizes > 1e-10
    axes = turned[:, kept] / np.sqrt(sizes[kept]) / scale[:, None]
    return axes, x @ axes


def _by_cluster(of: pl.Series, moves: Floats) -> tuple[Floats, float]:
    """What each cluster moves the means by, and the degrees of freedom (Bell and McCaffrey 2002)."""
    _, which, size = np.unique(of.rank("dense").to_numpy(), return_inverse=True, return_counts=True)
    share = size / len(of)
    sums = np.stack([np.bincount(which, column) for column in moves.T], axis=1)
    spill = share**2 / (1 - share)
    degrees = 1 / ((share**2).sum() + spill.sum() ** 2 - (spill**2).sum())
    return sums / np.sqrt(1 - share)[:, None], float(degrees)
