"""Who comes back when: boosted trees for the chance of each period, given that the customer has waited until then.

In: Spells with features frozen at their start (rule R4), e.g. of `landmark_spells`. Out: `fit_hazard` -> `HazardFit`.

Around it: door.py checks and splits, rows.py tells person-periods, fit.py predicts and saves;
`trees` types the features, grows and saves.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import date, datetime
from functools import partial
from typing import Any

import numpy as np
import polars as pl

from shoptoolkit.contract import wilson
from shoptoolkit.survival.hazard.door import (
    PERIOD,
    causes_of,
    check_numbers,
    check_parts,
    cut_at,
    in_two,
    read,
    waits_of,
)
from shoptoolkit.survival.hazard.fit import NUMBERS, TABLE, HazardFit, chances
from shoptoolkit.survival.hazard.rows import Piece, Waits, by_period, pieces, quantile_matrix
from shoptoolkit.survival.risk import spell_names
from shoptoolkit.trees.boosting import Trees, anew, threads, train
from shoptoolkit.trees.encoding import Encoder, matrix

_LEAF = 20  # spells that end in the smallest leaf, at least, about: its sum of h (1 - h)


def fit_hazard(
    spells: Any,
    *,
    rng: int | np.random.Generator,
    features: Sequence[str] | None = None,
    period_days: float = 7.0,
    periods: int | None = None,
    split_at: datetime | date | str | None = None,
    validation_share: float = 0.3,
    monotone: Mapping[str, int] | None = None,
    thin: float = 1.0,
    rounds: int = 600,
    patience: int = 40,
    learning_rate: float = 0.05,
    depth: int = 3,
    level: float = 0.95,
    nthread: int = 2,
    id: str = "customer_id",
    duration: str = "duration_days",
    repurchased: str = "repurchased",
    cause: str = "cause",
    entry: str = "entry_days",
    weight: str = "weight",
    time: str = "started_at",
) -> HazardFit:
    """How likely is a customer who has waited so long to come back in the next period, by what was known at the start?

    Parameters
    ----------
    spells
        Spells beside features that were known at their start: `id`, `duration` (days, > 0), `repurchased` and, where
        present, `cause` (what ended the spell: repurchase, refund, unsubscribe ...; null = censored), `entry` (days
        already waited when the customer came under observation) and `weight` (a frequency; then `id` may be missing).
        A customer may have several spells.
    rng
        Seed or Generator: who stops the trees, subsampling, thinning.
    features
        Columns; None takes all that the contracts Spells and Requests do not know. Numbers, Booleans and text.
    period_days, periods
        Length of a period (days) and how many are learnt, at most 255; a longer wait counts as censored there. None:
        as many as the longest wait fills.
    split_at
        A moment: periods over by then grow trees, later ones stop them (`time` holds the start of each spell). None: a
        share of the customers stops them. As many trees are then grown anew on all.
    validation_share
        That share; of a row with a weight, a binomial share of its customers.
    monotone
        Feature -> 1 (no fall of the hazard where it grows) or -1 (no rise). For one cause only.
    thin
        Share of the person-periods without an end that is kept to grow the trees, drawn at random; each then weighs
        1 / thin, so that the hazards stay unbiased.
    rounds, patience, learning_rate, depth
        At most so many trees; stop after so many without a better log-loss; step; greatest depth.
    level
        Coverage of the intervals in `HazardFit.table`.
    nthread
        Threads at most; the answer does not depend on it.
    id, duration, repurchased, cause, entry, weight, time
        Names of the columns.

    Returns
    -------
    HazardFit
        The order of rows and columns decides nothing.

    Raises
    ------
    ContractError
        Columns missing or mistyped, spells that break the contract, without a duration or, if repurchased, without a
        cause, none that ended in a part, infinite or constant features, ids among them.
    ValueError
        Numbers out of range, periods that nobody waited, outcomes among the features, `monotone` of no feature.

    Notes
    -----
    A row per spell and period at risk, label: what ended it there. A period that a customer was at risk in only for a
    share, and that did not end, weighs that share: why, and how far that is unbiased, is said in rows.py.

    References
    ----------
    Singer and Willett (1993), J. Educational Statistics 18, 155-195; several causes: Tutz and Schmid (2016), Modeling
    Discrete Time-to-Event Data, chapter 8; trees: Chen and Guestrin (2016), KDD, 785-794.

    Examples
    --------
    >>> import numpy as np
    >>> import polars as pl
    >>> rng = np.random.default_rng(1)
    >>> came, visits = rng.geometric(0.02, 500), rng.poisson(3, 500)
    >>> spells = pl.DataFrame({"customer_id": np.arange(500), "duration_days": np.minimum(came, 60),
    ...                        "repurchased": came <= 60, "visits": visits})
    >>> fit = fit_hazard(spells, rng=1, rounds=20)
    >>> fit.predict_survival(spells.head(1), days=[7, 28]).select("customer_id", "duration_days").rows()
    [(0, 7.0), (0, 28.0)]
    """
    stop = {"rounds": rounds, "patience": patience}
    length: dict[str, Any] = {"period_days": period_days, "periods": periods}
    told: dict[str, Any] = {"thin": thin, "level": level}
    shares: dict[str, Any] = {"validation_share": validation_share, "learning_rate": learning_rate}
    check_numbers(**shares, depth=depth, nthread=nthread, **length, **told, **stop)
    rng = np.random.default_rng(rng)
    names = spell_names(id=id, duration=duration, repurchased=repurchased, entry=entry, weight=weight)
    table, chosen = read(spells, features, {**names, cause: "cause", time: "started_at"}, timed=split_at is not None)
    table, causes = causes_of(table)
    encoder = Encoder.learn(table, chosen)
    grow = {"max_depth": depth, **_objective(causes, learning_rate), **_constraints(monotone, encoder, causes)}
    table = table.sort(*chosen, *sorted(set(table.columns) - set(chosen)))
    waits = waits_of(table, matrix(encoder.encode(table)), period_days=period_days)
    waits, count = cut_at(waits, **length)
    *parts, how = in_two(table, waits, split_at=split_at, period_days=period_days, share=validation_share, rng=rng)
    rows = [pieces(part, thin=share, rng=rng) for part, share in zip(parts, (thin, 1.0), strict=True)]
    check_parts(rows, causes, how)
    n_periods = sum(len(one.row) for one in [*rows[0], *rows[1]])
    feed = partial(quantile_matrix, waits, kinds=_kinds(encoder), nthread=(nthread := threads(nthread, n_periods)))
    grow["seed"] = int(rng.integers(2**31))
    trees = _grow(encoder, feed, rows, nthread=nthread, **stop, **grow)
    sizes: dict[str, Any] = {"period_days": float(period_days), "periods": count}
    return HazardFit(
        booster=anew(trees, feed([*rows[0], *rows[1]]), **grow).booster,
        encoder=trees.encoder,
        nthread=nthread,
        causes=causes,
        id=id,
        time=time,
        n=int(waits.weight.sum()),
        n_periods=n_periods,
        validation=how,
        table=_beside(trees, waits, rows[1], causes=causes, level=level, **sizes),
        **told,
        **sizes,
    )


def _objective(causes: Sequence[str], step: float) -> dict[str, Any]:
    if len(causes) == 1:
        return {"learning_rate": step, "min_child_weight": _LEAF}
    # XGBoost's softmax doubles h (1 - h), so that its leaves are half as large and its steps half as long
    doubled = {"learning_rate": min(1.0, 2 * step), "min_child_weight": 2 * _LEAF}
    return {"objective": "multi:softprob", "num_class": len(causes) + 1, **doubled}


def _constraints(monotone: Mapping[str, int] | None, encoder: Encoder, causes: Sequence[str]) -> dict[str, Any]:
    """In words of XGBoost: a sign per feature, and none for the period."""
    signs = dict(monotone or {})
    if signs and len(causes) > 1:
        raise ValueError(f"monotone goes with one cause only; these spells have {', '.join(map(repr, causes))}.")
    able = [name for name, kind in encoder.kinds.items() if kind != "category"]
    if other := [name for name in signs if name not in able]:
        raise ValueError(f"monotone names {other[0]!r}; it must name features that are numbers: {', '.join(able)}.")
    if wrong := [name for name, sign in signs.items() if sign not in (-1, 1)]:
        raise ValueError(f"monotone[{wrong[0]!r}] is {signs[wrong[0]]!r}; it must be 1 (rising) or -1 (falling).")
    every = ",".join(str(int(signs.get(name, 0))) for name in (*encoder.features, PERIOD))
    return {"monotone_constraints": f"({every})"} if signs else {}


def _kinds(encoder: Encoder) -> list[str]:
    return ["c" if kind == "category" else "q" for kind in encoder.kinds.values()] + ["q"]


def _grow(encoder: Encoder, feed: Any, rows: Sequence[Sequence[Piece]], **growth: Any) -> Trees:
    """Trees that read the features and, last, the period."""
    timed = replace(encoder, dtypes={**encoder.dtypes, PERIOD: "UInt8"}, kinds={**encoder.kinds, PERIOD: "number"})
    grown = feed(rows[0])
    return train(timed, grown, feed(rows[1], reference=grown), **growth)


def _beside(
    trees: Trees,
    waits: Waits,
    rows: Sequence[Piece],
    *,
    causes: Sequence[str],
    periods: int,
    period_days: float,
    level: float,
) -> pl.DataFrame:
    """Observed and predicted hazards of the part that stopped the trees."""
    at_risk, seen, foreseen = by_period(
        waits, rows, periods=periods, causes=len(causes), chance=lambda read: chances(trees, read, len(causes))
    )
    n = at_risk[:, None]
    observed, predicted = (
        np.divide(count, n, out=np.full(count.shape, np.nan), where=n > 0) for count in (seen, foreseen)
    )
    low, high = wilson(observed, np.where(n > 0, n, np.nan), level)
    numbers = dict(zip(NUMBERS, (np.broadcast_to(n, seen.shape), seen, observed, low, high, predicted), strict=True))
    number = np.repeat(np.arange(1, periods + 1), len(causes))
    told = {"period": number, "until_days": number * period_days, "cause": list(causes) * periods}
    flat = {name: values.ravel() for name, values in numbers.items()}
    return pl.DataFrame({**told, **flat}, schema=TABLE, nan_to_null=True)
