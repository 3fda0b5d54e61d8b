"""The doubly robust score of an effect, and how far a confounder that nobody measured could move it.

In: outcomes, who was treated, and what was to be expected of each. Out: `score` -> `Score`; `bounds`, where estimate
and interval lie at worst; `robustness`, how strong a confounder undoes them; `gains`, how strong a known covariate is.

Chernozhukov, Cinelli, Newey, Sharma and Syrgkanis (2022), NBER working paper 30302.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np

from shoptoolkit.contract.arrays import Flags, Floats
from shoptoolkit.contract.estimates import z_of


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Score:
    """An estimate and how far each customer moves it.

    `weights`: of the customers' residuals (the Riesz representer). `bias`: by how much a confounder of strength 1 moves
    the estimate, the root of `unexplained` (variance of the residuals) x `spread` (of the weights), and
    `bias_influence` how far each customer moves that.
    """

    estimate: float
    influence: Floats
    weights: Floats
    unexplained: float
    spread: float
    bias: float
    bias_influence: Floats

    @property
    def error(self) -> float:
        """The standard error of the estimate."""
        return _error(self.influence)


def score(outcome: Floats, treated: Flags, *, chance: Floats, without: Floats, with_it: Floats, estimand: str) -> Score:
    """The augmented inverse-propensity score, of all ("ate") or of the treated ("att").

    Robins, Rotnitzky and Zhao (1994), JASA 89, 846-866; cross-fitted: Chernozhukov et al. (2018).
    """
    share = treated.mean()
    about, tilt = (treated / share, chance / share) if estimand == "att" else (np.ones(len(chance)),) * 2
    weights = tilt * (treated / chance - ~treated / (1 - chance))
    residual = outcome - np.where(treated, with_it, without)
    told = about * (with_it - without) + weights * residual
    estimate = float(told.mean())
    squares = residual**2
    spreads = 2 * about * tilt * (1 / chance + 1 / (1 - chance)) - weights**2
    unexplained, spread = float(squares.mean()), float(spreads.mean())
    bias = math.sqrt(max(0.0, unexplained * spread))
    slope = unexplained * (spreads - spread) + spread * (squares - unexplained)
    moved = slope / (2 * bias) if bias else np.zeros(len(outcome))
    return Score(
        estimate=estimate,
        influence=told - about * estimate,
        weights=weights,
        unexplained=unexplained,
        spread=spread,
        bias=bias,
        bias_influence=moved - bias * (about - 1),  # the latter as the share of the treated is estimated too
    )


def bounds(found: Score, *, outcome_share: float, treatment_share: float, level: float) -> dict[str, Any]:
    """Where estimate and interval lie at worst, if a confounder explains such shares of what is left of both."""
    strength = math.sqrt(outcome_share * treatment_share / (1 - treatment_share))
    reach, z = strength * found.bias, z_of(level)
    below, above = (_error(found.influence + sign * strength * found.bias_influence) for sign in (-1, 1))
    low, high = found.estimate - reach, found.estimate + reach
    return {"estimate_low": low, "estimate_high": high, "low": low - z * below, "high": high + z * above}


def robustness(found: Score, *, level: float) -> tuple[float, float]:
    """How large both shares must be for the estimate to be 0, and for the interval to hold 0."""
    from scipy.optimize import brentq

    if not found.bias:
        return (1.0 if found.estimate else 0.0,) * 2
    most, side = abs(found.estimate) / found.bias, 1 if found.estimate > 0 else -1

    def left(strength: float) -> float:
        error = _error(found.influence - side * strength * found.bias_influence)
        return abs(found.estimate) - strength * found.bias - z_of(level) * error

    interval = float(brentq(left, 0, most, xtol=1e-14)) if left(0) > 0 else 0.0
    return _share_of(most), _share_of(interval)


def gains(found: Score, short: Score) -> tuple[float, float]:
    """The shares that a covariate explains, by the score without it."""
    of_outcome = (short.unexplained - found.unexplained) / found.unexplained if found.unexplained else 0.0
    of_treatment = (found.spread - short.spread) / short.spread
    return min(max(of_outcome, 0.0), 1.0), min(max(of_treatment, 0.0), 0.999)  # at 1 nothing bounds the bias


def _share_of(strength: float) -> float:
    """c with c / sqrt(1 - c) = strength: both shares, if they are equal."""
    square = strength**2
    return 2 * square / (square + math.sqrt(square**2 + 4 * square)) if square else 0.0


def _error(influence: Floats) -> float:
    return float(np.sqrt(np.mean(influence**2) / len(influence)))
