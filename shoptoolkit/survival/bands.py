"""How far a whole curve may stray: errors of dependent spells, and the critical values of simultaneous bands.

In: a `RiskTable`, and the curve as a sum over days. Out: `Moves`, by how much every cluster moves the curve, with the
variance of each day and the covariance of days; `band_days`, where a band can be told; `equal_precision` and
`highest`, how many standard errors wide it is.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from shoptoolkit.contract.arrays import Floats, Ints
from shoptoolkit.contract.estimates import z_of
from shoptoolkit.survival.risk import RiskTable, numbered

_WORTH = 10  # independent returns that an estimate must be worth, and spells at risk, for a band
_DAYS = 64  # of a band whose critical value is integrated


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Moves:
    """Derivatives of a curve with respect to the weights of its spells, summed within clusters.

    A curve that adds `jump` for each repurchase has, with G (`total`) the cumulated sums of jump d / n, the derivative
    G(t) - G(e-) for a spell at risk since day e; from its end on the value stands, less `jump` if it ended in a
    repurchase. So a cluster moves it by a + b G(t), where a and b change by `level` and `slope` only on the days its
    spells begin and end: one pass over the spells, whatever the number of days.
    """

    total: Floats
    cluster: Ints
    day: Ints
    slope: Ints
    level: Floats

    @classmethod
    def of(cls, risk: RiskTable, *, total: Floats, jump: Floats, amounts: Floats | None = None) -> Moves:
        """The moves of the clusters of a risk table, sorted by cluster, then day.

        `amounts`: how much each spell's repurchase counts; None: 1 each.
        """
        cluster = numbered(risk.spells["cluster"])
        came = jump[risk.place] * (risk.spells["repurchased"].to_numpy() if amounts is None else amounts)
        entered = risk.entered if len(risk.entered) else np.zeros(len(cluster), dtype=np.int64)
        before = np.concatenate([[0.0], total])[entered]
        moves = {
            "cluster": np.repeat(cluster, 2),
            "day": np.column_stack([entered, risk.place]).ravel(),
            "slope": np.tile([1, -1], len(cluster)),
            "level": np.column_stack([-before, total[risk.place] - came]).ravel(),
        }
        key = moves["cluster"] * len(total) + moves["day"]
        if (key[1:] < key[:-1]).any():
            order = np.argsort(key, kind="stable")
            moves = {name: values[order] for name, values in moves.items()}
        return cls(total=total, **moves)

    @property
    def clusters(self) -> int:
        """How many clusters there are."""
        return int(self.cluster[-1]) + 1

    def by_cluster(self, at: Ints) -> Floats:
        """By how much each cluster moves the curve on the grid days `at`: clusters x days."""
        told = np.empty((self.clusters, len(at)))
        for k, day in enumerate(at):
            step = np.where(self.day <= day, self.level + self.slope * self.total[day], 0.0)
            told[:, k] = np.bincount(self.cluster, step, self.clusters)
        return told

    def variance(self) -> Floats:
        """The sum over clusters of their squared moves, per grid day (infinitesimal jackknife); nan of one cluster."""
        from shoptoolkit.survival.kernels import squared_sums

        q2, q1, q0 = squared_sums(self.cluster, self.day, self.slope, self.level, len(self.total))
        variance = np.maximum(q2 * self.total**2 + 2 * q1 * self.total + q0, 0.0)
        return variance if self.clusters > 1 else np.where(self.total > 0, np.nan, variance)

    def covariance(self, at: Ints) -> Floats:
        """The sum over clusters of the products of their moves on the grid days `at`."""
        from shoptoolkit.survival.kernels import crossed_sums

        return crossed_sums(self.cluster, self.day, self.slope, self.level, self.total, at)


def band_days(risk: RiskTable, error_log: Floats) -> Ints:
    """The run of grid days on which a curve with this error (of its logarithm; of log(-log S)) can carry a band.

    At both its ends the estimate is worth ten independent returns, whose logarithm has the error 1 / sqrt(10), and ten
    spells are at risk: earlier and later the normal law does not hold.
    """
    able = np.flatnonzero((error_log > 0) & (error_log <= _WORTH**-0.5) & (risk.at_risk >= _WORTH))
    return np.arange(able[0], able[-1] + 1) if len(able) else able


def equal_precision(ratio: float, level: float) -> float:
    """How many errors wide a band of equal precision is, if variances grow by `ratio` through independent increments.

    The standardised curve is an Ornstein-Uhlenbeck process over the time log(ratio) (Nair 1984, Technometrics 26,
    265-275). It leaves (-c, c) at the rates that are the eigenvalues of its generator (f'' - x f') / 2 with f = 0 at
    the ends, here by finite volumes: the continuous supremum, so a curve that is told by the day is covered a little
    more often.
    """
    from scipy.linalg import eigh_tridiagonal
    from scipy.optimize import brentq

    def missing(c: float) -> float:
        edges = np.linspace(0, c, 81)  # by symmetry: a mirror at 0, a wall at c
        width = edges[1]
        flow = np.exp(-(edges**2) / 2) / np.sqrt(2 * np.pi) / width
        flow[0], flow[-1] = 0.0, 2 * flow[-1]  # the wall is half a cell away
        mass = 2 * np.exp(-((edges[1:] - width / 2) ** 2) / 2) / np.sqrt(2 * np.pi) * width
        rates, modes = eigh_tridiagonal((flow[1:] + flow[:-1]) / mass, -flow[1:-1] / np.sqrt(mass[1:] * mass[:-1]))
        return float((np.exp(-rates * np.log(ratio)) * (modes.T @ np.sqrt(mass)) ** 2).sum()) - level

    pointwise = z_of(level)
    return pointwise if ratio <= 1 else float(brentq(missing, 0.9 * pointwise, pointwise + 8, xtol=1e-5))


def highest(days: Ints, total: Floats, covariance: Callable[[Ints], Floats], level: float) -> float:
    """How many errors wide a band over grid `days` is: the quantile of max |Z| for the `covariance` of days.

    Many days are thinned, evenly in the logarithm of `total`, where curves are equally rough; what the maximum gains
    between them is 0.5826 steps (Siegmund 1985, Sequential Analysis, chapter 10). The quantile is integrated over 2^13
    points of a Sobol sequence, the same in every call, along the principal axes.
    """
    from scipy.special import ndtri
    from scipy.stats import qmc

    clock = np.log(total[days])
    chosen = days[np.unique(np.searchsorted(clock, np.linspace(clock[0], clock[-1], _DAYS) - 1e-12))]
    crossed = covariance(chosen if len(days) > _DAYS else days)
    scale = np.sqrt(np.diag(crossed))
    moves = scale > 1e-9 * scale.max()
    if not moves.any():  # all customers alike: nothing to be wrong about
        return z_of(level)
    crossed, scale = crossed[np.ix_(moves, moves)], scale[moves]
    correlation = crossed / np.outer(scale, scale)
    values, axes = np.linalg.eigh(correlation)
    axes *= np.sign(axes[np.abs(axes).argmax(axis=0), np.arange(len(axes))])  # a sign is arbitrary; the answer is not
    kept = values > 1e-9 * values[-1]
    points = qmc.Sobol(int(kept.sum()), rng=np.random.default_rng(0)).random_base2(13)
    paths = ndtri(np.clip(points[:, ::-1], 1e-12, 1 - 1e-12)) @ (axes[:, kept] * np.sqrt(values[kept])).T
    steps = np.sqrt(np.maximum(2 - 2 * np.diag(correlation, 1), 0)) if len(days) > _DAYS else np.zeros(1)
    reach = float(np.quantile(np.abs(paths).max(axis=1), level) + 0.5826 * steps.mean())
    return max(z_of(level), reach)  # of one day it is that, but for the grid of points
