"""Boosted trees for a yes-or-no outcome: training with early stopping, log-odds, their TreeSHAP values, calibration.

In: encoded frames. Out: `train` -> `Trees`, cut at the best round, which read any later frame; `isotonic` -> the knots
of a monotone map from raw to calibrated probability, which `calibrate` applies.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import polars as pl

from shoptoolkit.behaviour.encoding import Encoder, matrix

Floats = npt.NDArray[np.float64]
_ROWS_PER_THREAD = 50_000  # on less, threads wait for each other longer than they work; the trees are the same


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Trees:
    """A booster and the encoder of the frames that it reads."""

    booster: Any
    encoder: Encoder
    nthread: int

    @property
    def rounds(self) -> int:
        return int(self.booster.num_boosted_rounds())

    def margin(self, frame: pl.DataFrame) -> Floats:
        """Log-odds by row."""
        encoded = self.encoder.encode(frame)
        return self._told(encoded, output_margin=True) if len(frame) else np.zeros(0)

    def contributions(self, frame: pl.DataFrame) -> tuple[Floats, Floats]:
        """What each feature adds to the log-odds (rows x features), and the base: xgboost's path-dependent TreeSHAP."""
        encoded = self.encoder.encode(frame)
        if frame.is_empty():
            return np.zeros((0, encoded.width)), np.zeros(0)
        parts = self._told(encoded, pred_contribs=True)
        return parts[:, :-1], parts[:, -1]

    def strongest(self) -> str:
        """The feature by whose splits the trees gain most."""
        gains = self.booster.get_score(importance_type="total_gain")
        return self.encoder.features[int(max(gains, key=gains.__getitem__)[1:])] if gains else "none"

    def _told(self, encoded: pl.DataFrame, **what: bool) -> Floats:
        return np.asarray(self.booster.predict(_data(encoded, nthread=self.nthread), **what), dtype=np.float64)


def train(
    encoder: Encoder,
    trees: pl.DataFrame,
    validation: pl.DataFrame,
    *,
    outcome: str,
    rounds: int,
    patience: int,
    nthread: int,
    **settings: Any,
) -> Trees:
    """Trees of the rounds up to the one with the least log-loss on the validation part. In: encoded parts."""
    import xgboost

    nthread = min(nthread, 1 + len(trees) // _ROWS_PER_THREAD)
    data = [
        _data(part.select(encoder.features), nthread=nthread, label=part[outcome].to_numpy())
        for part in (trees, validation)
    ]
    booster = xgboost.train(
        {"objective": "binary:logistic", "tree_method": "hist", "nthread": nthread, **settings},
        data[0],
        num_boost_round=rounds,
        evals=[(data[1], "validation")],
        early_stopping_rounds=patience,
        verbose_eval=False,
    )
    return Trees(booster=booster[: booster.best_iteration + 1], encoder=encoder, nthread=nthread)


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


def _data(encoded: pl.DataFrame, *, nthread: int, label: Floats | None = None) -> Any:
    import xgboost

    kinds = ["c" if isinstance(dtype, pl.Enum) else "q" for dtype in encoded.dtypes]
    return xgboost.DMatrix(matrix(encoded), label, feature_types=kinds, nthread=nthread)
