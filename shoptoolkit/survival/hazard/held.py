"""A hazard with the period held fixed, and how several causes become one answer.

Out: `HazardAt`, one period, which `HazardFit.at` gives; `HazardOver`, some, which `HazardFit.over` gives;
`against_going_on`.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
import polars as pl

from shoptoolkit.contract import to_polars
from shoptoolkit.contract.arrays import Floats
from shoptoolkit.contract.check import choose
from shoptoolkit.trees.boosting import Trees
from shoptoolkit.trees.encoding import Encoder, matrix


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class HazardAt(Trees):
    """The hazard of one period. The period is no feature: every tree knows it. See `explain.Explainable`.

    `margin` is the log-odds to come back in the period; of several `causes`, the log of the hazard of `cause` over
    the chance to go on.
    """

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


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class HazardOver:
    """Some periods of a hazard, each held fixed: trees that never ask for the period (`fixed`), and those of each."""

    fixed: Any
    moving: tuple[Any, ...]
    encoder: Encoder
    nthread: int
    causes: tuple[str, ...]
    cause: str | None

    @property
    def features(self) -> tuple[str, ...]:
        """Names, in the order of the matrix's columns."""
        return self.encoder.features

    def encode(self, frame: Any) -> pl.DataFrame:
        """The features as the trees read them."""
        return self.encoder.encode(to_polars(frame))

    def read(self, frame: Any) -> Any:
        """The matrix that the trees read: rows x features, float32."""
        return matrix(self.encode(frame))

    def explain(self, read: Any) -> tuple[Floats, Floats, Floats]:
        """Contributions (rows x periods x features), base and margin (rows x periods), as of `HazardAt`."""
        one = partial(against_going_on, causes=self.causes, cause=self.cause)
        parts, margin = self._added(read, one, pred_contribs=True), self._added(read, one, output_margin=True)
        return parts[..., :-1], parts[..., -1], margin

    def log_staying(self, read: Any) -> Floats:
        """Log of the chance that the wait goes on past each period, whatever the cause: rows x periods."""
        told = self._added(read, lambda told: told.reshape(len(read), -1), output_margin=True)
        if len(self.causes) == 1:
            return -np.logaddexp(0.0, told[..., 0])
        return -np.logaddexp.reduce(told - told[..., :1], axis=2)

    def _added(self, read: Any, of: Callable[[Floats], Floats], **what: bool) -> Floats:
        import xgboost

        kinds = ["c" if kind == "category" else "q" for kind in self.encoder.kinds.values()]
        rows = xgboost.DMatrix(read, feature_types=kinds, nthread=self.nthread)
        always, *each = (of(one.predict(rows, **what).astype(np.float64)) for one in (self.fixed, *self.moving))
        return np.stack([always + one for one in each], axis=1)


def against_going_on(told: Floats, causes: Sequence[str], cause: str | None) -> Floats:
    """One cause's part of what the trees say: log-odds, or of several causes the difference to going on."""
    if len(causes) == 1:
        return told
    if cause is None:
        raise ValueError(f"cause is None; this fit has several: {', '.join(map(repr, causes))}. Name one.")
    choose("cause", cause, causes)
    return np.asarray(told[:, 1 + causes.index(cause)] - told[:, 0])
