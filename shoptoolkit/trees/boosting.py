"""Boosted trees for a yes-or-no outcome: training with early stopping, log-odds, their TreeSHAP values, calibration.

In: encoded frames, which `data` turns into XGBoost's matrices. Out: `train` -> `Trees`, cut at the best round, which
read any later frame; `anew` grows as many on all rows; `isotonic` -> the knots of a monotone map from raw to calibrated
probability, which `calibrate` applies.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import polars as pl

from shoptoolkit.contract import to_polars
from shoptoolkit.contract.arrays import Floats
from shoptoolkit.trees.encoding import Encoder, matrix

_ROWS_PER_THREAD = 50_000  # on less, threads wait for each other longer than they work; the trees are the same
_SETTINGS = {
    "objective": "binary:logistic",
    "tree_method": "hist",
    "min_child_weight": 5,
    "subsample": 0.8,
    "colsample_bynode": 0.8,
}


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Trees:
    """A booster and the encoder of the frames that it reads. It can be explained: see `explain.Explainable`."""

    booster: Any
    encoder: Encoder
    nthread: int

    @property
    def features(self) -> tuple[str, ...]:
        """Names, in sorted order; the booster's features are numbered in this order."""
        return self.encoder.features

    @property
    def dtypes(self) -> dict[str, str]:
        """Feature -> polars type in the training frame, as text."""
        return dict(self.encoder.dtypes)

    @property
    def rounds(self) -> int:
        """Trees kept by early stopping."""
        return int(self.booster.num_boosted_rounds())

    def encode(self, frame: Any) -> pl.DataFrame:
        """The features as the trees read them: Float64, Boolean and Enum columns, null where missing."""
        return self.encoder.encode(to_polars(frame))

    def unseen_categories(self, frame: Any) -> pl.DataFrame:
        """Categories of a frame that were not in the training part: feature, category, rows."""
        return self.encoder.unseen(to_polars(frame))

    def margin(self, frame: Any) -> Floats:
        """Log-odds by row, before any calibration."""
        return self._told(frame, output_margin=True).ravel()

    def explain_margin(self, frame: Any) -> tuple[Floats, Floats]:
        """Path-dependent TreeSHAP values of the log-odds (rows x features) and the base of each row."""
        parts = self._told(frame, pred_contribs=True)
        return parts[:, :-1], parts[:, -1]

    def explain_pairs(self, frame: Any) -> Floats:
        """TreeSHAP interactions of the log-odds, rows x features x features; a pair stands twice, each time half."""
        return self._told(frame, pred_interactions=True)[:, :-1, :-1]

    def strongest(self) -> str:
        """The feature by whose splits the trees gain most."""
        gains = self.booster.get_score(importance_type="total_gain")
        return self.features[int(max(gains, key=gains.__getitem__)[1:])] if gains else "none"

    def _told(self, frame: Any, **what: bool) -> Floats:
        encoded = self.encode(frame)
        if encoded.is_empty():  # of which xgboost warns
            return np.zeros((0, encoded.width + 1))
        return np.asarray(self.booster.predict(data(encoded, nthread=self.nthread), **what), dtype=np.float64)


def train(
    encoder: Encoder, grown: Any, held: Any, *, rounds: int, patience: int, nthread: int, **settings: Any
) -> Trees:
    """Trees of the rounds up to the one with the least log-loss on `held`. In: xgboost matrices, as of `data`."""
    import xgboost

    booster = xgboost.train(
        {"nthread": nthread, **_SETTINGS, **settings},
        grown,
        num_boost_round=rounds,
        evals=[(held, "validation")],
        early_stopping_rounds=patience,
        verbose_eval=False,
    )
    return Trees(booster=booster[: booster.best_iteration + 1], encoder=encoder, nthread=nthread)


def anew(trees: Trees, whole: Any, **settings: Any) -> Trees:
    """As many trees of the same settings, grown on all rows."""
    import xgboost

    settings = {"nthread": trees.nthread, **_SETTINGS, **settings}
    return replace(trees, booster=xgboost.train(settings, whole, num_boost_round=trees.rounds))


def probability(margin: Floats) -> Floats:
    """From log-odds, in float64."""
    return 1.0 / (1.0 + np.exp(-margin))


def isotonic(raw: Floats, outcome: Floats) -> tuple[Floats, Floats]:
    """Knots of the best monotone map from raw probability to outcome, kept away from 0 and 1 by 1 / (n + 2).

    A finite validation part cannot show that something is impossible or certain (Laplace's rule of succession).
    Zadrozny and Elkan (2002), KDD, 694-699.
    """
    from sklearn.isotonic import IsotonicRegression

    fitted = IsotonicRegression(out_of_bounds="clip").fit(raw, outcome)
    least = 1 / (len(raw) + 2)
    return fitted.X_thresholds_.astype(float), np.clip(fitted.y_thresholds_.astype(float), least, 1 - least)


def calibrate(raw: Floats, knots: tuple[Floats, Floats] | None) -> Floats:
    """Linear between the knots, flat beyond them; unchanged without knots."""
    return raw if knots is None else np.interp(raw, *knots)


def threads(nthread: int, rows: int) -> int:
    """No more threads than the rows keep busy."""
    return min(nthread, 1 + rows // _ROWS_PER_THREAD)


def data(encoded: pl.DataFrame, *, nthread: int, label: Floats | None = None) -> Any:
    """Encoded features as XGBoost reads them."""
    import xgboost

    kinds = ["c" if isinstance(dtype, pl.Enum) else "q" for dtype in encoded.dtypes]
    return xgboost.DMatrix(matrix(encoded), label, feature_types=kinds, nthread=nthread)
