"""Why a score says that the ad moves a customer: SHAP values of the effect, not of the outcome."""

from __future__ import annotations

from dataclasses import replace
from typing import Any, Protocol

import numpy as np

from shoptoolkit.explain.explanation import Explanation
from shoptoolkit.explain.values import Explainable, offers, shap_values


class Scored(Protocol):
    """What a fit of effects offers so that it can be explained. `incrementality.UpliftFit` does."""

    def of(self, arm: str | None) -> Explainable:
        """The score of one arm, whose answer is the effect."""


def explain_uplift(
    fit: Scored,
    frame: Any,
    *,
    arm: str | None = None,
    rows: int | None = None,
    by: str | None = None,
    rng: int | np.random.Generator | None = None,
) -> Explanation:
    """What makes a customer one whom the ad moves?

    A feature that tells of the outcome in both arms alike earns nothing here: base plus contributions of a row are its
    score, what `fit.predict` gives, in units of the outcome.

    Parameters
    ----------
    fit
        A fit of effects, e.g. from `incrementality.fit_uplift`.
    arm
        The treatment whose effect is explained; it may be left out where there is one.
    frame, rows, by, rng
        As in `shap_values`.

    Returns
    -------
    Explanation
        On the scale "effect". It describes the scores, which may be wrong (`incrementality.uplift_calibration` says
        how far), and says not that changing a feature would change the effect.

    Raises
    ------
    ContractError
        The frame has no rows, lacks `by`, or is not what the fit reads.
    TypeError
        The fit lacks a method of `Scored`.
    ValueError
        `arm` has no scores or was left out where there are several; `rows` and `rng` as in `shap_values`.

    References
    ----------
    Lundberg et al. (2020), Nature Machine Intelligence 2, 56-67, on a weighted sum of trees.
    """
    offers(fit, Scored, "pass what fit_uplift returns.")
    return replace(shap_values(fit.of(arm), frame, rows=rows, by=by, rng=rng), scale="effect")
