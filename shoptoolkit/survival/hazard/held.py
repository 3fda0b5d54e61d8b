"""A hazard with the period held fixed: what `HazardFit.at` gives, and how several causes become one answer."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from shoptoolkit.contract.arrays import Floats
from shoptoolkit.contract.check import choose
from shoptoolkit.trees.boosting import Trees
from shoptoolkit.trees.encoding import matrix


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class HazardAt(Trees):
    """The hazard of one period. The period is no feature: every tree knows it. See `explain.Explainable`.

    `margin` is the log-odds to come back in the `period`; of several `causes`, the log of the hazard of `cause` over
    the chance to go on.
    """

    period: int
    causes: tuple[str, ...]
    cause: str | None

    def margin(self, frame: Any) -> Floats:
        """Log-odds of the hazard, by row."""
        return against_going_on(self._told(frame, output_margin=True), self.causes, self.cause)

    def explain_margin(self, frame: Any) -> tuple[Floats, Floats]:
        """Path-dependent TreeSHAP values of `margin` where the period is known (rows x features), and the base."""
        parts = against_going_on(self._told(frame, pred_contribs=True), self.causes, self.cause)
        return parts[:, :-1], parts[:, -1]

    def explain_pairs(self, frame: Any) -> Floats:
        """TreeSHAP interactions of `margin`: rows x features x features."""
        return against_going_on(self._told(frame, pred_interactions=True), self.causes, self.cause)[:, :-1, :-1]

    def read(self, frame: Any) -> Any:
        """The matrix that the trees read: rows x features, float32."""
        return matrix(self.encode(frame))

    def log_staying(self, read: Any) -> Floats:
        """Log of the chance that the wait goes on past the period, whatever the cause, by row of `encode`'s matrix."""
        told = np.asarray(
            self.booster.inplace_predict(read, predict_type="margin", validate_features=False), np.float64
        )
        if len(self.causes) == 1:
            return -np.logaddexp(0.0, told.ravel())
        return -np.logaddexp.reduce(told - told[:, :1], axis=1)


def against_going_on(told: Floats, causes: Sequence[str], cause: str | None) -> Floats:
    """One cause's part of what the trees say: log-odds, or of several causes the difference to going on."""
    if len(causes) == 1:
        return told
    if cause is None:
        raise ValueError(f"cause is None; this fit has several: {', '.join(map(repr, causes))}. Name one.")
    choose("cause", cause, causes)
    return np.asarray(told[:, 1 + causes.index(cause)] - told[:, 0])
