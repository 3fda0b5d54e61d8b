"""What `fit_propensity` returns: it predicts, is explained, is saved and comes back.

In: trees and how well they did. Out: `PropensityFit` and `load_propensity`.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl

from shoptoolkit import __version__
from shoptoolkit.behaviour import storage
from shoptoolkit.behaviour.accuracy import RELIABILITY
from shoptoolkit.behaviour.boosting import Floats, Trees, calibrate, probability
from shoptoolkit.behaviour.doubts import unseen_in_words, warn
from shoptoolkit.behaviour.encoding import Encoder
from shoptoolkit.behaviour.parts import PARTS
from shoptoolkit.contract import EstimateTable, to_polars
from shoptoolkit.contract.show import html_table

_SCALARS = ("calibration", "outcome", "id", "time", "validation", "n_shared_customers", "level")
_SAVED: dict[str, type | tuple[type, ...]] = {
    "outcome": str,
    "id": str,
    "time": str,
    "calibration": str,
    "knots": (list, type(None)),
    "split_at": str,
    "validation": str,
    "n_shared_customers": int,
    "level": float,
    "nthread": int,
    "dtypes": dict,
    "kinds": dict,
    "categories": dict,
    "accuracy": list,
    "reliability": list,
    "parts": list,
}


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class PropensityFit:
    """Trees that give the probability of `outcome`, and how good they were on the rows from `split_at` on.

    `accuracy`: Estimates rows for roc_auc, average_precision and log_loss, intervals by bootstrap of customers.
    `reliability`: bin, n, mean_predicted, observed, low, high, level (draw it with `figures.reliability`). `parts`:
    part (trees, validation, test, left out), n, n_customers, outcome_share, first, last. `n_shared_customers`: how many
    customers of the test part also have rows in the other parts. `knots`: raw -> calibrated probability, or None.
    `validation`: how its part was cut off, in words.

    `features`, `dtypes`, `rounds` tell of the trees; `margin`, `encode` and `explain_margin` serve `explain`.
    """

    trees: Trees
    knots: tuple[Floats, Floats] | None
    calibration: str
    outcome: str
    id: str
    time: str
    split_at: datetime
    validation: str
    parts: pl.DataFrame
    n_shared_customers: int
    accuracy: EstimateTable
    reliability: pl.DataFrame
    level: float

    @property
    def features(self) -> tuple[str, ...]:
        """Names, in sorted order."""
        return self.trees.encoder.features

    @property
    def dtypes(self) -> dict[str, str]:
        """Feature -> polars type in the training frame, as text."""
        return dict(self.trees.encoder.dtypes)

    @property
    def rounds(self) -> int:
        """Trees kept by early stopping."""
        return self.trees.rounds

    @property
    def booster(self) -> Any:
        """The xgboost Booster; its features are numbered in the order of `features`."""
        return self.trees.booster

    def predict(self, frame: Any) -> pl.DataFrame:
        """How likely is the outcome: the frame's id and time columns where present, and probability; row order kept.

        Categories never seen in training count as missing and are counted in a warning. Raises ContractError, with
        every missing, mistyped or infinite feature, if the frame is not like the training frame.
        """
        table = to_polars(frame)
        chance = calibrate(probability(self.trees.margin(table)), self.knots)
        warn(unseen_in_words(self.unseen_categories(table)))
        kept = [table[name] for name in (self.id, self.time) if name in table.columns]
        return pl.DataFrame([*kept, pl.Series("probability", chance, dtype=pl.Float64)])

    def unseen_categories(self, frame: Any) -> pl.DataFrame:
        """Categories of a frame that were not in the training part: feature, category, rows."""
        return self.trees.encoder.unseen(to_polars(frame))

    def encode(self, frame: Any) -> pl.DataFrame:
        """The features as the trees read them: Float64, Boolean and Enum columns, null where missing."""
        return self.trees.encoder.encode(to_polars(frame))

    def margin(self, frame: Any) -> Floats:
        """Log-odds by row, before calibration."""
        return self.trees.margin(to_polars(frame))

    def explain_margin(self, frame: Any) -> tuple[Floats, Floats]:
        """Path-dependent TreeSHAP values of the log-odds (rows x features) and the base of each row."""
        return self.trees.contributions(to_polars(frame))

    def save(self, folder: str | Path) -> Path:
        """Write model.json (XGBoost) and fit.json (everything else) into a folder. No pickle."""
        encoder = self.trees.encoder
        entries: dict[str, Any] = {
            "knots": None if self.knots is None else [one.tolist() for one in self.knots],
            "split_at": self.split_at.isoformat(),
            "accuracy": self.accuracy.table.to_dicts(),
            "reliability": storage.rows_of(self.reliability),
            "parts": storage.rows_of(self.parts),
            "nthread": self.trees.nthread,
            **{name: dict(getattr(encoder, name)) for name in ("dtypes", "kinds", "categories")},
        }
        entries |= {name: getattr(self, name) for name in _SAVED if name not in entries}
        return storage.write(folder, self.booster, entries)

    def __repr__(self) -> str:
        sizes = ", ".join(f"{n:,} {part}" for part, n in self.parts.select("part", "n").rows() if n)
        return "\n".join(
            [
                f"PropensityFit of {self.outcome!r}: {len(self.features)} features, {self.rounds} rounds, "
                f"calibration {self.calibration}",
                f"rows: {sizes}; {self._shared()}",
                *repr(self.accuracy).splitlines(),
            ]
        )

    def _repr_html_(self) -> str:
        shown = self.accuracy.table.select("metric", "estimate", "low", "high", "n", "reason")
        note = f"rows from {self.split_at} on; {100 * self.level:g} % intervals over customers; {self._shared()}"
        told = html_table(shown, title=f"How well {self.outcome!r} is foreseen", note=note)
        return told + html_table(self.parts, title="Parts", note=f"validation: {self.validation}")

    def _shared(self) -> str:
        total = self.parts.filter(pl.col("part") == "test")["n_customers"][0]
        return f"{self.n_shared_customers:,} of {total:,} test customers also have rows in training"


def load_propensity(folder: str | Path) -> PropensityFit:
    """A fit that `PropensityFit.save` wrote, giving the same predictions to the last bit.

    Raises FileNotFoundError where a file is absent, ValueError (every fault at once) where the files are not such a fit
    or do not belong together, and warns where another version of this package wrote them.
    """
    booster, found = storage.read(folder, _SAVED)
    encoder = Encoder(
        dtypes=found["dtypes"],
        kinds=found["kinds"],
        categories={name: tuple(values) for name, values in found["categories"].items()},
    )
    booster.set_param({"nthread": found["nthread"]})
    if booster.num_features() != len(encoder.features):
        told = f"the model has {booster.num_features()} features, fit.json lists {len(encoder.features)}"
        raise ValueError(f"{folder}: {told}. Fit and save anew.")
    if found["version"] != __version__:
        warn([f"{folder} was written by shoptoolkit {found['version']}; this is {__version__}."])
    knots = None if found["knots"] is None else (np.array(found["knots"][0]), np.array(found["knots"][1]))
    return PropensityFit(
        trees=Trees(booster=booster, encoder=encoder, nthread=found["nthread"]),
        knots=knots,
        split_at=datetime.fromisoformat(found["split_at"]),
        parts=storage.table_of(found["parts"], PARTS),
        accuracy=EstimateTable.from_rows(found["accuracy"]),
        reliability=storage.table_of(found["reliability"], RELIABILITY),
        **{name: found[name] for name in _SCALARS},
    )
