"""Loops of the Cox model, compiled by numba: sums over risk sets, over ties, and over clusters.

A row is at risk at the event times `first` <= t < `last` of its stratum; if it ends in a repurchase, this is at `last`
- 1. `starts[t]` is the first event time in the stratum of t.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
from numba import njit

from shoptoolkit.contract.arrays import Floats, Ints


@njit(cache=True)
def risk_sums(
    x: Floats, risk: Floats, seen: npt.NDArray[np.bool_], first: Ints, last: Ints, starts: Ints
) -> tuple[Floats, Floats, Floats, Floats]:
    """Per event time: sums of risk and of risk times x over all at risk (s0, s1) and over the repurchases (e0, e1)."""
    size, width = len(starts), x.shape[1]
    s0, e0, s1, e1 = np.zeros(size), np.zeros(size), np.zeros((size, width)), np.zeros((size, width))
    for i in range(len(risk)):
        t, before = last[i] - 1, first[i] - 1
        s0[t] += risk[i]
        for k in range(width):
            s1[t, k] += risk[i] * x[i, k]
        if first[i] > starts[t]:  # entered late: not at risk before
            s0[before] -= risk[i]
            for k in range(width):
                s1[before, k] -= risk[i] * x[i, k]
        if seen[i]:
            e0[t] += risk[i]
            for k in range(width):
                e1[t, k] += risk[i] * x[i, k]
    for t in range(size - 2, -1, -1):
        if starts[t] == starts[t + 1]:
            s0[t] += s0[t + 1]
            for k in range(width):
                s1[t, k] += s1[t + 1, k]
    return np.maximum(s0, e0), s1, e0, e1


@njit(cache=True)
def tie_sums(s0: Floats, e0: Floats, deaths: Floats, efron: bool) -> Floats:
    """Per event time, over the d tied repurchases l = 0 .. d-1 with f = l/d (Efron) or 0 (Breslow) and p = s0 - f e0:
    sums of log p, 1/p, f/p, 1/p^2, f/p^2, f^2/p^2. All that ties do to a Cox model goes through these six.
    """
    sums = np.zeros((6, len(s0)))
    for t in range(len(s0)):
        count = deaths[t]
        terms = int(count) if efron else 1
        for tie in range(terms):
            f, times = (tie / count, 1.0) if efron else (0.0, count)
            p = s0[t] - f * e0[t]
            sums[0, t] += times * np.log(p)
            sums[1, t] += times / p
            sums[2, t] += f / p
            sums[3, t] += times / p**2
            sums[4, t] += f / p**2
            sums[5, t] += f * f / p**2
    return sums


@njit(cache=True)
def weighted_square(x: Floats, weight: Floats) -> Floats:
    """X' diag(weight) X."""
    width = x.shape[1]
    total = np.zeros((width, width))
    for i in range(len(weight)):
        for k in range(width):
            part = weight[i] * x[i, k]
            for j in range(k + 1):
                total[k, j] += part * x[i, j]
    return total + np.tril(total, -1).T


@njit(cache=True)
def cluster_scores(
    x: Floats,
    risk: Floats,
    seen: npt.NDArray[np.bool_],
    first: Ints,
    last: Ints,
    cluster: Ints,
    of_risk: tuple[Floats, Floats],
    of_event: tuple[Floats, Floats, Floats, Floats],
) -> Floats:
    """Score residuals summed within clusters, which are numbered from 0; formulas in cox_likelihood.cluster_scores."""
    (hazard, drift), (step, mean, less, pull) = of_risk, of_event
    scores = np.zeros((cluster.max() + 1, x.shape[1]))
    for i in range(len(risk)):
        a, b, c = first[i], last[i], cluster[i]
        for k in range(x.shape[1]):
            value = -risk[i] * (x[i, k] * (hazard[b] - hazard[a]) - (drift[b, k] - drift[a, k]))
            if seen[i]:
                t = b - 1
                value += step[t] * x[i, k] - mean[t, k] + risk[i] * (x[i, k] * less[t] - pull[t, k])
            scores[c, k] += value
    return scores
