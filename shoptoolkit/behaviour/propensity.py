"""Who will buy: the probability of an outcome from what was known before, judged on a later time.

In: one row per customer and request, with features and a yes-or-no outcome. Out: `fit_propensity` -> `PropensityFit`
(in fitted.py), with accuracy and reliability on the rows from `split_at` on.

Around it: door.py checks, encoding.py types the features, parts.py splits in time, boosting.py grows trees, accuracy.py
judges, doubts.py warns, storage.py saves.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import date, datetime
from typing import Any

import numpy as np
import polars as pl

from shoptoolkit.behaviour.accuracy import accuracy, reliability
from shoptoolkit.behaviour.boosting import Floats, Trees, calibrate, isotonic, probability, train
from shoptoolkit.behaviour.door import check_counts, check_sizes, read
from shoptoolkit.behaviour.doubts import leaks, unseen_in_words, warn
from shoptoolkit.behaviour.encoding import Encoder
from shoptoolkit.behaviour.fitted import PropensityFit
from shoptoolkit.behaviour.parts import AT, CUSTOMER, OUTCOME, cut
from shoptoolkit.contract.check import check_level, choose
from shoptoolkit.contract.clock import moment

_TREES = {"min_child_weight": 5, "subsample": 0.8, "colsample_bynode": 0.8}


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

    Warns
    -----
    UserWarning
        A feature that alone ranks the training outcome with an AUC above .999, or a test AUC above .999: it probably
        knows the future. Categories of the test part that training has not seen.

    References
    ----------
    Chen and Guestrin (2016), KDD, 785-794; bootstrap of clusters: Field and Welsh (2007), JRSS B 69, 369-390.
    """
    check_level(level)
    choose("calibration", calibration, ("none", "isotonic"))
    check_counts(rounds=rounds, patience=patience, depth=depth, nthread=nthread)
    check_sizes(outcome_days, validation_share, learning_rate, replicates, level)
    rng = np.random.default_rng(rng)
    split = moment(split_at, name="split_at")
    table, names = read(frame, outcome, time=time, id=id, features=features)
    parts = cut(table, split_at=split, outcome_days=outcome_days, validation_share=validation_share, rng=rng)
    encoder = Encoder.learn(pl.concat([parts.trees, parts.validation]), names)
    grown, held, test = (_in_order(encoder, part) for part in (parts.trees, parts.validation, parts.test))
    growth = {"learning_rate": learning_rate, "max_depth": depth, "seed": int(rng.integers(2**31))}
    options: dict[str, Any] = {"rounds": rounds, "patience": patience, "nthread": nthread, **_TREES, **growth}
    trees = train(encoder, grown, held, outcome=OUTCOME, **options)
    knots = _knots(trees, held) if calibration == "isotonic" else None
    judged = _judge(trees, knots, test, outcome=outcome, split=split, level=level, replicates=replicates, rng=rng)
    warn(leaks(pl.concat([grown, held]), trees, judged["accuracy"]) + unseen_in_words(encoder.unseen(parts.test)))
    return PropensityFit(
        trees=trees,
        knots=knots,
        calibration=calibration,
        outcome=outcome,
        id=id,
        time=time,
        split_at=split,
        validation=parts.how,
        parts=parts.table(),
        n_shared_customers=parts.shared_customers(),
        level=level,
        **judged,
    )


def _in_order(encoder: Encoder, part: pl.DataFrame) -> pl.DataFrame:
    """Encoded, in an order that the rows' own order and the customers' names do not decide."""
    whole = encoder.encode(part).hstack(part.select(AT, OUTCOME, CUSTOMER))
    return whole.sort(AT, *encoder.features, OUTCOME, CUSTOMER)


def _knots(trees: Trees, held: pl.DataFrame) -> tuple[Floats, Floats]:
    return isotonic(probability(trees.margin(held)), held[OUTCOME].to_numpy())


def _judge(
    trees: Trees,
    knots: tuple[Floats, Floats] | None,
    test: pl.DataFrame,
    *,
    outcome: str,
    split: datetime,
    level: float,
    replicates: int,
    rng: np.random.Generator,
) -> dict[str, Any]:
    """Accuracy and reliability on the test part."""
    customer = (test[CUSTOMER].rank("dense") - 1).cast(pl.Int64).to_numpy()
    seen = (test[OUTCOME].to_numpy(), calibrate(probability(trees.margin(test)), knots), customer)
    words: dict[str, Any] = {
        "question": f"How well is {outcome!r} foreseen?",
        "estimand": f"rows from {split} on, new draws of {customer.max() + 1:,} customers",
    }
    return {
        "accuracy": accuracy(*seen, level=level, replicates=replicates, rng=rng, **words),
        "reliability": reliability(*seen, level=level),
    }
