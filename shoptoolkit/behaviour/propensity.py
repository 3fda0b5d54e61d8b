"""Who will buy: the probability of an outcome from what was known before, judged on a later time.

In: one row per customer and request, with features and a yes-or-no outcome. Out: `fit_propensity` -> `PropensityFit`,
with accuracy and reliability on the rows from `split_at` on; `load_propensity` brings a saved one back.

Around it: parts.py checks and splits in time, accuracy.py judges; `trees` types the features, grows and saves.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass, fields
from datetime import date, datetime
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl

from shoptoolkit.behaviour.accuracy import accuracy, leaks, log_loss, reliability
from shoptoolkit.behaviour.judge import judge
from shoptoolkit.behaviour.parts import AT, CUSTOMER, OUTCOME, PARTS, account, check_numbers, cut, outcome_of, read
from shoptoolkit.contract import EstimateTable, to_polars
from shoptoolkit.contract.arrays import Floats
from shoptoolkit.contract.check import check_level, check_number, choose
from shoptoolkit.contract.clock import in_words, moment
from shoptoolkit.contract.show import html_table
from shoptoolkit.trees import storage
from shoptoolkit.trees.boosting import Trees, calibrate, data, isotonic, probability, threads, train
from shoptoolkit.trees.encoding import Encoder, unseen_in_words, warn
from shoptoolkit.trees.judging import Fact, segments, sizes, to_judge

_SCALARS = {"n_shared_customers": int, "level": float, "nthread": int} | dict.fromkeys(
    ("outcome", "id", "time", "calibration", "validation", "split_at"), str
)
_SAVED = {
    **_SCALARS,
    **dict.fromkeys(("dtypes", "kinds", "categories"), dict),
    **dict.fromkeys(("knots", "accuracy", "reliability", "parts"), list),
}


def fit_propensity(
    frame: Any,
    outcome: str,
    *,
    split_at: datetime | date | str,
    rng: int | np.random.Generator,
    time: str = "as_of",
    id: str = "customer_id",
    features: Sequence[str] | None = None,
    calibration: str = "none",
    outcome_days: float = 0.0,
    validation_share: float = 0.2,
    rounds: int = 600,
    patience: int = 40,
    learning_rate: float = 0.05,
    depth: int = 4,
    level: float = 0.95,
    replicates: int = 1_000,
    nthread: int = 2,
) -> PropensityFit:
    """How likely is it that a customer does it: boosted trees, trained before `split_at` and judged after it.

    Parameters
    ----------
    frame
        One row per customer and request: `id`, `time` (Datetime or Date), `outcome` and features known at `time`.
        Anything with the Arrow PyCapsule interface is taken.
    outcome
        Column, Boolean or 0/1, without nulls.
    split_at
        Rows before it train, rows from it on test. A date is the start of that day in UTC.
    rng
        Seed or Generator: subsampling, bootstrap, and the validation customers where all rows are of one moment.
    time, id
        Names of the columns.
    features
        Columns; None takes all others. Numbers, Booleans, and text (String, Categorical, Enum), whose categories are
        those of the training part. Nulls and NaN stay missing.
    calibration
        "none", or "isotonic": a monotone map fitted on the validation part.
    outcome_days
        Days after `time` until the outcome is known. Training rows whose outcome was not known by `split_at` are left
        out and counted.
    validation_share
        Share of the training rows, the latest ones, that stop the trees early and calibrate them. Where all training
        rows are of one moment, a share of their customers.
    rounds, patience, learning_rate, depth
        At most so many trees; stop after so many without a better validation log-loss; step; greatest depth.
    level, replicates
        Coverage of the intervals, and bootstrap replicates behind them (customers drawn with all their rows).
    nthread
        Threads at most; small tables take one. The answer does not depend on it.

    Returns
    -------
    PropensityFit
        Its accuracy and reliability are of the test part only. Customers may have rows on both sides of the split: the
        question is what they do later, not who they are; `n_shared_customers` counts them. The order of rows and
        columns decides nothing.

    Raises
    ------
    ContractError
        Columns missing or mistyped, null ids, a null outcome or one that is not 0/1, infinite or constant features, a
        part with one class.
    ValueError
        `split_at` outside the data, id, time or outcome among the features, no features, numbers out of range.
    TypeError
        A number in words, a column's name that is no text, features that are no list.

    Warns
    -----
    UserWarning
        A feature that alone ranks the training outcome with an AUC above .999, or a test AUC above .999: it probably
        knows the future. Categories of the test part that training has not seen.

    References
    ----------
    Chen and Guestrin (2016), KDD, 785-794; bootstrap of clusters: Field and Welsh (2007), JRSS B 69, 369-390.
    """
    choose("calibration", calibration, ("none", "isotonic"))
    growth: dict[str, Any] = {"rounds": rounds, "patience": patience, "learning_rate": learning_rate}
    cuts: dict[str, Any] = {"outcome_days": outcome_days, "validation_share": validation_share}
    check_numbers(level=level, depth=depth, nthread=nthread, replicates=replicates, **growth, **cuts)
    rng = np.random.default_rng(rng)
    split = moment(split_at, name="split_at")
    table, names = read(frame, outcome, time=time, id=id, features=features)
    parts, how = cut(table, split_at=split, rng=rng, **cuts)
    encoder = Encoder.learn(pl.concat([parts["trees"], parts["validation"]]), names)
    grown, held, test = (_in_order(encoder, parts[name]) for name in ("trees", "validation", "test"))
    trees = _train(encoder, grown, held, nthread=nthread, max_depth=depth, seed=int(rng.integers(2**31)), **growth)
    knots = None
    if calibration == "isotonic":
        knots = isotonic(probability(trees.margin(held)), held[OUTCOME].to_numpy())
    codes = (test[CUSTOMER].rank("dense") - 1).cast(pl.Int64).to_numpy()
    seen = (test[OUTCOME].to_numpy(), calibrate(probability(trees.margin(test)), knots), codes)
    words: dict[str, Any] = {
        "question": f"How well is {outcome!r} foreseen?",
        "estimand": f"rows from {in_words(split)} on, new draws of {codes.max() + 1:,} customers",
    }
    judged = accuracy(*seen, level=level, replicates=replicates, rng=rng, **words)
    warn(leaks(pl.concat([grown, held]), trees, judged) + unseen_in_words(encoder.unseen(parts["test"])))
    return PropensityFit(
        booster=trees.booster,
        encoder=encoder,
        nthread=trees.nthread,
        knots=knots,
        calibration=calibration,
        outcome=outcome,
        id=id,
        time=time,
        split_at=split,
        validation=how,
        parts=account(parts),
        n_shared_customers=len({*test[CUSTOMER]} & {*grown[CUSTOMER], *held[CUSTOMER]}),
        accuracy=judged,
        reliability=reliability(*seen, level=level),
        level=level,
    )


def _in_order(encoder: Encoder, part: pl.DataFrame) -> pl.DataFrame:
    """Encoded, in an order that the rows' own order and the customers' names do not decide."""
    whole = encoder.encode(part).hstack(part.select(AT, OUTCOME, CUSTOMER))
    return whole.sort(AT, *encoder.features, OUTCOME, CUSTOMER)


def _train(encoder: Encoder, grown: pl.DataFrame, held: pl.DataFrame, *, nthread: int, **growth: Any) -> Trees:
    nthread = threads(nthread, len(grown))
    both = (
        data(part.select(encoder.features), nthread=nthread, label=part[OUTCOME].to_numpy()) for part in (grown, held)
    )
    return train(encoder, *both, nthread=nthread, **growth)


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class PropensityFit(Trees):
    """Trees that give the probability of `outcome`, and how good they were on the rows from `split_at` on.

    `accuracy`: Estimates rows for roc_auc, average_precision and log_loss, intervals by bootstrap of customers.
    `reliability`: bin, n, mean_predicted, observed, low, high, level (draw it with `figures.reliability`). `parts`:
    part (trees, validation, test, left out), n, n_customers, outcome_share, first, last. `n_shared_customers`: how many
    customers of the test part also have rows in the other parts. `knots`: raw -> calibrated probability, or None.
    `validation`: how its part was cut off, in words.

    `features`, `dtypes`, `rounds` tell of the trees; `margin`, `encode` and `explain_margin` serve `explain`.
    """

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

    def predict(self, frame: Any) -> pl.DataFrame:
        """How likely is the outcome: the frame's id and time columns where present, and probability; row order kept.

        Categories never seen in training count as missing and are counted in a warning. Raises ContractError, with
        every missing, mistyped or infinite feature, if the frame is not like the training frame.
        """
        table = to_polars(frame)
        chance = self._chance(table)
        warn(unseen_in_words(self.unseen_categories(table)))
        kept = [table[name] for name in (self.id, self.time) if name in table.columns]
        return pl.DataFrame([*kept, pl.Series("probability", chance, dtype=pl.Float64)])

    def judge(
        self,
        frame: Any,
        *,
        by: str | Sequence[str] | None = None,
        rng: int | np.random.Generator,
        level: float = 0.95,
        replicates: int = 1_000,
    ) -> EstimateTable:
        """How good are the forecasts of rows that the fit has not seen, overall and by segment?

        Parameters
        ----------
        frame
            The features, the outcome, and the id column of the customers.
        by
            Columns; the values of each are segments, besides all rows. Known at the request, or the segment tells of
            the outcome.
        rng, level, replicates
            Seed or Generator of the bootstrap of customers, coverage of the intervals, replicates.

        Returns
        -------
        EstimateTable
            By group, "all" and then e.g. "source = paid": roc_auc, average_precision, log_loss;
            observed_less_predicted, the mean of the outcome less the forecast in percentage points (p-value against
            0); calibration_slope, of the outcome on the forecast (p-value against 1; below 1: forecasts too extreme).
            Errors of the last two are over customers, too. Intervals are of one segment each. Refused with fewer than
            20 customers, and the last two with fewer than 10 of either outcome; with little more than that, the slope's
            intervals for 0.95 hold 0.90 to 0.94 of the time.

        Raises
        ------
        ContractError
            The frame is not what the fit reads, or lacks the outcome, the id or a column of `by`.
        """
        check_level(level)
        check_number("replicates", replicates, least=round(2 / (1 - level)), whole=True)
        table = to_judge(frame, self.id, self.outcome)
        rows = table.select(customer=self.id).with_columns(
            outcome=outcome_of(table, self.outcome), probability=self.predict(table)["probability"]
        )
        words: dict[str, Any] = {
            "question": f"How well is {self.outcome!r} foreseen?",
            "estimand": "rows not seen by the fit, new draws of customers",
        }
        judging: dict[str, Any] = {"level": level, "replicates": replicates, "rng": np.random.default_rng(rng)}
        return judge(rows, segments(table, by), **judging, **words)

    def facts(self, train: Any, test: Any) -> list[Fact]:
        """What a model card tells of this fit and its rows: section, item, text."""
        lost = self.parts.filter(pl.col("part") == "left out")["n"].sum()
        told = sizes(train, test, id=self.id, time=self.time)
        for name, part in {"training": to_polars(train), "test": to_polars(test)}.items():
            if self.outcome in part.columns and len(part):
                share = 100 * np.mean(outcome_of(part, self.outcome).to_numpy())
                told.append(("sample", f"{name}, outcome", f"{self.outcome!r} in {share:.1f} % of rows"))
        told += [("censoring", "left out of training", f"{lost:,} rows whose outcome was not known by the split")]
        told += [("model", "trees", f"boosted trees: {self.rounds} rounds, {len(self.features)} features")]
        told += [("model", "calibration", self.calibration), ("model", "validation", self.validation)]
        told += [("limits", "time", "other seasons or assortments than those of the test rows are not judged")]
        return told

    def losses(self, frame: Any) -> Floats:
        """How far the probability misses what happened, row by row: log-loss in nats; needs the outcome's column.

        Raises ContractError if the outcome is missing, null or not 0 or 1, or the frame is not like the training frame.
        """
        table = to_polars(frame)
        return log_loss(outcome_of(table, self.outcome).to_numpy(), self._chance(table))

    def save(self, folder: str | Path) -> Path:
        """Write model.json (XGBoost) and fit.json (everything else) into a folder. No pickle."""
        known = {field.name: getattr(self, field.name) for field in fields(self)} | asdict(self.encoder)
        known |= {"knots": self.knots or [], "accuracy": self.accuracy.table}
        return storage.write(folder, self.booster, {name: known[name] for name in _SAVED})

    def __repr__(self) -> str:
        sizes = ", ".join(f"{n:,} {part}" for part, n in self.parts.select("part", "n").rows() if n)
        told = f"{len(self.features)} features, {self.rounds} rounds, calibration {self.calibration}"
        return f"PropensityFit of {self.outcome!r}: {told}\nrows: {sizes}; {self._shared()}\n{self.accuracy!r}"

    def _repr_html_(self) -> str:
        shown = self.accuracy.table.select("metric", "estimate", "low", "high", "n", "reason")
        note = (
            f"rows from {in_words(self.split_at)} on; {100 * self.level:g} % intervals over customers; {self._shared()}"
        )
        told = html_table(shown, title=f"How well {self.outcome!r} is foreseen", note=note)
        return told + html_table(self.parts, title="Parts", note=f"validation: {self.validation}")

    def _chance(self, table: pl.DataFrame) -> Floats:
        return calibrate(probability(self.margin(table)), self.knots)

    def _shared(self) -> str:
        total = self.parts.filter(pl.col("part") == "test")["n_customers"][0]
        return f"{self.n_shared_customers:,} of {total:,} test customers also have rows in training"


def load_propensity(folder: str | Path) -> PropensityFit:
    """A fit that `PropensityFit.save` wrote, giving the same predictions to the last bit.

    Raises FileNotFoundError where a file is absent, ValueError (every fault at once) where the files are not such a
    fit, do not belong together or were changed, and warns where another version of this package wrote them.
    """
    booster, found = storage.read(folder, _SAVED)
    warn(storage.other_version(folder, found))
    booster.set_param({"nthread": found["nthread"]})
    scalars = {name: found[name] for name in _SCALARS} | {"split_at": datetime.fromisoformat(found["split_at"])}
    return PropensityFit(
        booster=booster,
        encoder=Encoder.of(found),
        knots=(np.array(found["knots"][0]), np.array(found["knots"][1])) if found["knots"] else None,
        parts=storage.table_of(found["parts"], PARTS),
        accuracy=EstimateTable.from_rows(found["accuracy"]),
        reliability=pl.DataFrame(found["reliability"]),
        **scalars,
    )
