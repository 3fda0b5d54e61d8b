"""How good are predicted probabilities: three measures with intervals over customers, and the reliability table.

In: outcome, probability and customer of rows the model has not seen. Out: `accuracy` -> EstimateTable (ROC AUC, average
precision, log-loss); `reliability` -> predicted against observed shares by bin; `leaks` -> what is too good to be true,
in words. `measures`, `log_loss` and `single_auc` are the numbers behind them.
"""

from __future__ import annotations

from functools import partial
from typing import Any

import numpy as np
import polars as pl

from shoptoolkit.behaviour.parts import OUTCOME
from shoptoolkit.contract import EstimateTable, estimate_row, refused_row, wilson
from shoptoolkit.contract.arrays import Floats, Ints
from shoptoolkit.trees.boosting import Trees

MEASURES = {"roc_auc": None, "average_precision": None, "log_loss": "nats per row"}  # and their units
_CELLS = 2_000_000  # weights held at once
LEAST = 20  # customers; with fewer the bootstrap covers far less often than it says
_LEAK = 0.999  # an AUC above it warns


def accuracy(
    outcome: Floats,
    probability: Floats,
    customer: Ints,
    *,
    level: float,
    replicates: int,
    rng: np.random.Generator,
    part: str = "the test part",
    mend: str = "Choose an earlier split_at or a longer log.",
    **words: Any,
) -> EstimateTable:
    """Three Estimates rows with percentile intervals over customers drawn with replacement, all their rows together.

    A measure is refused where more than one replicate in a hundred draws customers of one class only, and all are with
    fewer than 20 customers. Intervals for 0.95 cover about as often from some 100 customers on; with 60 about 0.92,
    with 20 about 0.85 to 0.93. `customer`: codes from 0 without gaps. `words`: columns of Estimates such as question;
    `part` and `mend` are what a refusal says.
    """
    customers, rows = int(customer.max()) + 1, len(outcome)
    draws = _draws(customers, replicates=replicates, rows=rows, rng=rng)
    values = np.concatenate([measures(outcome, probability, weights[:, customer]) for weights in draws])
    point = measures(outcome, probability, np.ones((1, rows)))[0]
    method = f"xgboost; bootstrap of customers, {replicates:,} replicates"
    fixed = {"contrast": None, "group": "all", "method": method, "n": rows, "level": level, **words}
    told = partial(_interval, customers=customers, level=level, part=part, mend=mend)
    return EstimateTable.from_rows(
        {**fixed, "metric": name, "measure": measure, **told(point[i], values[:, i])}
        for i, (name, measure) in enumerate(MEASURES.items())
    )


def measures(outcome: Floats, probability: Floats, weights: Floats) -> Floats:
    """ROC AUC, average precision and log-loss (nats) for each row of `weights` (replicates x rows), as columns.

    Rows of equal probability are one step of the curve; NaN where a replicate holds one class only.
    """
    order = np.argsort(-probability, kind="stable")
    outcome, probability, weights = outcome[order], probability[order], weights[:, order]
    ends = np.flatnonzero(np.append(np.diff(probability) != 0, True))
    hits = np.cumsum(weights * outcome, axis=1)[:, ends]
    rows = np.cumsum(weights, axis=1)[:, ends]
    step, fall = np.diff(hits, prepend=0.0), np.diff(rows - hits, prepend=0.0)
    positive, negative = hits[:, -1], rows[:, -1] - hits[:, -1]
    with np.errstate(invalid="ignore", divide="ignore"):
        auc = (fall * (hits - step / 2)).sum(axis=1) / (positive * negative)
        precision = np.divide(hits, rows, out=np.zeros_like(hits), where=rows > 0)
        average = np.where(negative > 0, (step * precision).sum(axis=1) / positive, np.nan)
    return np.column_stack([auc, average, weights @ log_loss(outcome, probability) / rows[:, -1]])


def single_auc(frame: pl.DataFrame, outcome: Floats) -> dict[str, float]:
    """How well each column alone ranks the outcome, in either direction, with missing values first or last.

    In: numeric columns. The Mann-Whitney statistic by average ranks.
    """
    positive, negative = outcome.sum(), len(outcome) - outcome.sum()
    best = np.full(frame.width, 0.5)
    for filler in (-np.inf, np.inf):
        ranks = frame.select(pl.all().fill_null(filler).rank("average"))
        total = np.array([column.to_numpy() @ outcome for column in ranks.iter_columns()])
        auc = (total - positive * (positive + 1) / 2) / (positive * negative)
        best = np.maximum(best, np.maximum(auc, 1 - auc))
    return dict(zip(frame.columns, best.tolist(), strict=True))


def leaks(train: pl.DataFrame, trees: Trees, accuracy: EstimateTable) -> list[str]:
    """Sentences on what is too good to be true: a feature alone, or all together on the test part."""
    shares = [_share(name).alias(name) for name in trees.encoder.categories]
    numbers = train.with_columns(shares).select(pl.col(trees.features).cast(pl.Float64))
    found = [
        f"the feature {name!r} alone ranks the training outcome with an AUC of {auc:.4f}: it probably knows the "
        "future. Look how it was made, or leave it out of features=."
        for name, auc in single_auc(numbers, train[OUTCOME].to_numpy()).items()
        if auc > _LEAK
    ]
    auc = accuracy.table["estimate"][0]
    if auc is not None and auc > _LEAK:
        found.append(
            f"the ROC AUC on the test part is {auc:.4f}: too good to be true. The trees lean most on the feature "
            f"{trees.strongest()!r}; look how it was made."
        )
    return found


def _share(category: str) -> pl.Expr:
    """The category's share of buyers among every other row: a row must not tell its own outcome, as an id would."""
    half = pl.int_range(pl.len()) % 2
    buyers, rows = (
        one.sum().over(category) - one.sum().over(category, half)
        for one in (pl.col(OUTCOME), pl.col(OUTCOME).is_not_null())
    )
    return pl.when(pl.col(category).is_not_null() & (rows > 0)).then(buyers / rows)


def reliability(outcome: Floats, probability: Floats, customer: Ints, *, level: float, most: int = 10) -> pl.DataFrame:
    """Predicted against observed share in bins of about equal size: bin, n, mean_predicted, observed, low, high, level.

    Wilson's interval (1927, JASA 22, 209-212) on the effective number of rows: n over the design effect of customers
    with several rows (at least 1; where all rows of a bin agree, the number of customers).
    """
    edges = np.unique(np.quantile(probability, np.linspace(0, 1, most + 1)[1:-1]))
    place = np.searchsorted(edges, probability, side="left")
    rows = []
    for bin_number, one in enumerate(np.unique(place), start=1):
        inside = place == one
        shares = {"mean_predicted": float(probability[inside].mean()), "observed": float(outcome[inside].mean())}
        low, high = wilson(shares["observed"], _effective(outcome[inside], customer[inside]), level)
        ends = {"low": float(low), "high": float(high), "level": float(level)}
        rows.append({"bin": bin_number, "n": int(inside.sum()), **shares, **ends})
    return pl.DataFrame(rows)


def _draws(customers: int, *, replicates: int, rows: int, rng: np.random.Generator) -> Any:
    """How often each customer is drawn, in blocks of replicates that fit into the cache."""
    block = max(1, min(replicates, _CELLS // max(rows, customers)))
    for start in range(0, replicates, block):
        size = min(block, replicates - start)
        drawn = rng.integers(customers, size=(size, customers)) + customers * np.arange(size)[:, None]
        yield np.bincount(drawn.ravel(), minlength=size * customers).reshape(size, customers).astype(float)


def _interval(estimate: float, values: Floats, *, customers: int, level: float, part: str, mend: str) -> dict[str, Any]:
    reason = ""
    if customers < LEAST:
        reason = f"{part} has {customers:,} customers; an interval needs at least {LEAST}"
    elif (lost := float(np.isnan(values).mean())) > 0.01:
        reason = f"{lost:.0%} of replicates hold one class only: too few customers of one class in {part}"
    if reason:
        return refused_row(reason=f"{reason}. {mend}", level=level)
    known = values[~np.isnan(values)]
    low, high = np.quantile(known, [0.5 - level / 2, 0.5 + level / 2])
    ends = {"low": float(min(low, estimate)), "high": float(max(high, estimate))}
    return estimate_row(estimate=float(estimate), standard_error=float(known.std(ddof=1)), level=level, **ends)


def log_loss(outcome: Floats, probability: Floats) -> Floats:
    """What each row adds to the log-loss, in nats."""
    tiny = float(np.finfo(np.float64).eps)
    kept = np.clip(probability, tiny, 1 - tiny)
    return -np.where(outcome == 1, np.log(kept), np.log1p(-kept))


def _effective(outcome: Floats, customer: Ints) -> float:
    _, place = np.unique(customer, return_inverse=True)
    n, clusters, share = len(outcome), int(place.max()) + 1, outcome.mean()
    if clusters == n:
        return float(n)
    if clusters == 1 or share in (0, 1):
        return float(clusters)
    sums = np.bincount(place, outcome - share)
    design = float(sums @ sums) * clusters / (clusters - 1) / (n * share * (1 - share))
    return n / max(1.0, design)
