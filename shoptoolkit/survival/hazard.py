"""Who comes back when: boosted trees for the chance of each period, given that the customer has waited until then.

In: Spells with features frozen at their start (rule R4), e.g. of `landmark_spells`. Out: `fit_hazard` -> `HazardFit`,
with `predict_survival`, `predict_incidence` and `hazard`; `load_hazard` brings a saved one back.

Around it: hazard_door.py checks and splits, hazard_rows.py tells person-periods; `trees` types the features, grows and
saves.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, fields, replace
from datetime import date, datetime
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl

from shoptoolkit.contract import ContractError, to_polars, wilson
from shoptoolkit.contract.check import choose
from shoptoolkit.contract.show import html_table
from shoptoolkit.survival.curves import spell_names
from shoptoolkit.survival.hazard_door import PERIOD, causes_of, check_numbers, check_parts, in_two, read, waits_of
from shoptoolkit.survival.hazard_rows import (
    Floats,
    Piece,
    Singles,
    Waits,
    blocks,
    by_period,
    incidence,
    pieces,
    quantile_matrix,
)
from shoptoolkit.trees import storage
from shoptoolkit.trees.boosting import Trees, anew, threads, train
from shoptoolkit.trees.encoding import Encoder, matrix, unseen_in_words, warn

_LEAF = 20  # spells that end in the smallest leaf, at least, about: its sum of h (1 - h)
_CAUSE = {"cause": pl.String}
_NUMBERS = ("n_at_risk", "n_observed", "observed", "low", "high", "predicted")
_TABLE = {"period": pl.Int64, "until_days": pl.Float64, "cause": pl.String} | dict.fromkeys(_NUMBERS, pl.Float64)
_SCALARS: dict[str, type] = {"n": int, "n_periods": int, "periods": int, "nthread": int} | dict.fromkeys(
    ("thin", "level"), float
)
_SCALARS |= {"period_days": float} | dict.fromkeys(("id", "time", "validation"), str)
_SAVED = {**_SCALARS, **dict.fromkeys(("dtypes", "kinds", "categories"), dict), "causes": list, "table": list}


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
    share, and that did not end, weighs that share: why, and how far that is unbiased, is said in hazard_rows.py.

    References
    ----------
    Singer and Willett (1993), J. Educational Statistics 18, 155-195; several causes: Tutz and Schmid (2016), Modeling
    Discrete Time-to-Event Data, chapter 8; trees: Chen and Guestrin (2016), KDD, 785-794.
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
    waits, count = waits_of(table, encoder, **length)
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
    doubled = {
        "learning_rate": min(1.0, 2 * step),
        "min_child_weight": 2 * _LEAF,
    }  # XGBoost's softmax doubles h (1 - h)
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
        waits, rows, periods=periods, causes=len(causes), chance=lambda read: _chances(trees, read, len(causes))
    )
    n = at_risk[:, None]
    observed, predicted = (
        np.divide(count, n, out=np.full(count.shape, np.nan), where=n > 0) for count in (seen, foreseen)
    )
    low, high = wilson(observed, np.where(n > 0, n, np.nan), level)
    numbers = dict(zip(_NUMBERS, (np.broadcast_to(n, seen.shape), seen, observed, low, high, predicted), strict=True))
    number = np.repeat(np.arange(1, periods + 1), len(causes))
    told = {"period": number, "until_days": number * period_days, "cause": list(causes) * periods}
    flat = {name: values.ravel() for name, values in numbers.items()}
    return pl.DataFrame({**told, **flat}, schema=_TABLE, nan_to_null=True)


def _chances(trees: Trees, read: Singles, causes: int) -> Floats:
    """Hazard of each cause, by row of the matrix that the trees read."""
    told = trees.booster.inplace_predict(read, validate_features=False)
    return np.asarray(told, dtype=np.float64).reshape(len(read), -1)[:, -causes:]


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class HazardFit(Trees):
    """Trees that give the chance of each period that the wait ends in it. Draw it with `figures.hazard`.

    `table`: of the part that stopped the trees, period, until_days (its last day), cause, n_at_risk (spells, those at
    risk for a share as that share), n_observed, observed (hazard), low, high (Wilson's), predicted (by trees that had
    not seen it).
    `n`: spells; `n_periods`: person-periods that grew the trees; `thin`: the share kept of those without an end;
    `causes`: what ends a spell; `validation`: what stopped the trees, in words.

    Predictions go on to day `periods` * `period_days`, never beyond. They keep the frame's id and time columns where
    present, and its order. A large frame is predicted in parts, `for part in frame.iter_slices(50_000): ...`.

    `features` (the last is `period`, from 1), `rounds`, `margin` and `explain_margin` serve `explain`: log-odds of the
    hazard; of several causes, the log of one's hazard over the chance to go on.
    """

    causes: tuple[str, ...]
    period_days: float
    periods: int
    n: int
    n_periods: int
    thin: float
    validation: str
    id: str
    time: str
    table: pl.DataFrame
    level: float

    def predict_survival(self, frame: Any, *, days: float | Sequence[float], waited: float | str = 0.0) -> pl.DataFrame:
        """How likely is it that a customer is not yet back in so many days?

        Parameters
        ----------
        frame
            The features, by the names and types of the training frame.
        days
            Days from now (> 0).
        waited
            Days already waited in vain, a number or a column: the answer is then S(waited + days) / S(waited). On
            landmarks, where the wait began before the request, it is a feature: leave 0.

        Returns
        -------
        pl.DataFrame
            Ids, duration_days (the days asked), survival. Between the ends of periods, survival falls by a constant
            rate. Null where waited + days lies beyond what was learnt, or waited is null.

        Raises
        ------
        ContractError
            A feature is missing, mistyped or infinite.
        ValueError
            No, negative or infinite days, or all beyond what was learnt.
        """
        table = to_polars(frame)
        warn(unseen_in_words(self._unseen(table)))
        return pl.concat(
            ids.with_columns(survival=pl.Series(1 - ended.sum(axis=2).ravel(), nan_to_null=True))
            for ids, ended in self._ended(table, days, waited)
        )

    def predict_incidence(
        self, frame: Any, *, days: float | Sequence[float], waited: float | str = 0.0
    ) -> pl.DataFrame:
        """How likely is it that the wait has ended in so many days, by what ended it?

        As `predict_survival`, but ids, duration_days, cause, incidence; of one customer and day, all causes and the
        survival add up to 1.
        """
        table = to_polars(frame)
        warn(unseen_in_words(self._unseen(table)))
        told, causes = [], len(self.causes)
        for ids, ended in self._ended(table, days, waited):
            part = {"cause": list(self.causes) * len(ids), "incidence": ended.ravel()}
            told.append(_repeat(ids, causes).hstack(pl.DataFrame(part, schema_overrides=_CAUSE, nan_to_null=True)))
        return pl.concat(told)

    def hazard(self, frame: Any) -> pl.DataFrame:
        """What share of those still waiting ends in each period: ids, period, until_days, cause, hazard."""
        table = to_polars(frame)
        warn(unseen_in_words(self._unseen(table)))
        grid = self.table.select("period", "until_days", "cause")
        told = self._hazards(table, self.periods).reshape(-1)
        every = pl.concat([grid] * len(table)) if len(table) else grid.clear()
        return _repeat(self._ids(table), len(grid)).hstack(every).with_columns(hazard=pl.Series(told, dtype=pl.Float64))

    def margin(self, frame: Any, *, cause: str | None = None) -> Floats:
        """Log-odds of the hazard by row; the frame has a column `period` (1, 2, ...) beside the features."""
        return self._against_going_on(self._told(frame, output_margin=True), cause)

    def explain_margin(self, frame: Any, *, cause: str | None = None) -> tuple[Floats, Floats]:
        """Path-dependent TreeSHAP values of `margin` (rows x features, the last of the period) and each row's base."""
        parts = self._against_going_on(self._told(frame, pred_contribs=True), cause)
        return parts[:, :-1], parts[:, -1]

    def save(self, folder: str | Path) -> Path:
        """Write model.json (XGBoost) and fit.json (everything else) into a folder. No pickle."""
        known = {field.name: getattr(self, field.name) for field in fields(self)} | asdict(self.encoder)
        return storage.write(folder, self.booster, {name: known[name] for name in _SAVED})

    def __repr__(self) -> str:
        return f"HazardFit by {', '.join(self.causes)}: {self._sizes()}\n{self.table}"

    def _repr_html_(self) -> str:
        shown = self.table.select("until_days", "cause", "n_at_risk", "observed", "low", "high", "predicted")
        note = f"{self._sizes()}; of {self.validation}, {100 * self.level:g} % interval"
        return html_table(shown, title="Hazard by period", note=note)

    def _sizes(self) -> str:
        told = f"{len(self.features) - 1} features, {self.periods} periods of {self.period_days:g} days"
        return f"{told}, {self.rounds} rounds, n = {self.n:,} spells, {self.n_periods:,} person-periods"

    def _unseen(self, table: pl.DataFrame) -> pl.DataFrame:
        return self.unseen_categories(_timed(table))

    def _ids(self, table: pl.DataFrame) -> pl.DataFrame:
        return table.select(name for name in (self.id, self.time) if name in table.columns)

    def _hazards(self, table: pl.DataFrame, periods: int) -> Floats:
        """Rows x periods x causes."""
        read = np.array(matrix(self.encode(_timed(table))), dtype=np.float32, order="C")
        told = np.empty((len(table), periods, len(self.causes)))
        for period in range(periods):
            read[:, -1] = period + 1
            told[:, period] = _chances(self, read, len(self.causes))
        return told

    def _ended(
        self, table: pl.DataFrame, days: float | Sequence[float], waited: float | str
    ) -> Iterator[tuple[pl.DataFrame, Floats]]:
        """Ids and days asked, and the share ended by each cause (rows x days x causes), in blocks of rows."""
        asked, since = _days_asked(days), _waited(table, waited) / self.period_days
        last = since[:, None] + asked / self.period_days
        is_known = last <= self.periods + 1e-9
        if len(table) and not is_known.any():
            raise ValueError(
                f"days is {days} and waited {waited!r}: all beyond the {self.periods * self.period_days:g} days that "
                "were learnt. Ask for less, or fit more periods on a longer log."
            )
        last, since = np.where(is_known, last, 0.0), np.where(since <= self.periods, since, 0.0)
        periods = max(1, int(np.ceil(last.max(initial=0.0))))
        for rows in blocks(len(table), max(periods, len(asked))):
            hazards = self._hazards(table[rows], periods)
            before, after = (incidence(hazards, one[rows]) for one in (since[:, None], last))
            ended = (after - before) / (1 - before.sum(axis=2, keepdims=True))
            ended[~is_known[rows]] = np.nan
            ids = _repeat(self._ids(table[rows]), len(asked))
            yield ids.with_columns(duration_days=pl.Series(np.tile(asked, len(hazards)))), ended

    def _against_going_on(self, told: Floats, cause: str | None) -> Floats:
        """One cause's part of what the trees say: log-odds, or of several causes the difference to going on."""
        if len(self.causes) == 1:
            return told
        if cause is None:
            raise ValueError(f"cause is None; this fit has several: {', '.join(map(repr, self.causes))}. Name one.")
        choose("cause", cause, self.causes)
        return np.asarray(told[:, 1 + self.causes.index(cause)] - told[:, 0])


def load_hazard(folder: str | Path) -> HazardFit:
    """A fit that `HazardFit.save` wrote, giving the same predictions to the last bit.

    Raises FileNotFoundError where a file is absent, ValueError (every fault at once) where the files are not such a
    fit, do not belong together or were changed, and warns where another version of this package wrote them.
    """
    booster, found = storage.read(folder, _SAVED)
    warn(storage.other_version(folder, found))
    booster.set_param({"nthread": found["nthread"]})
    return HazardFit(
        booster=booster,
        encoder=Encoder.of(found),
        causes=tuple(found["causes"]),
        table=storage.table_of(found["table"], _TABLE),
        **{name: found[name] for name in _SCALARS},
    )


def _timed(table: pl.DataFrame) -> pl.DataFrame:
    """With a period, which will be overwritten."""
    return table.with_columns(pl.lit(1, pl.UInt8).alias(PERIOD))


def _repeat(ids: pl.DataFrame, times: int) -> pl.DataFrame:
    return ids[np.repeat(np.arange(len(ids)), times)]


def _days_asked(days: float | Sequence[float]) -> Floats:
    if isinstance(days, str):
        raise TypeError(f"days is {days!r}; give a number of days or a list of them.")
    asked = np.atleast_1d(np.asarray(days, dtype=float))
    if not len(asked) or not np.isfinite(asked).all() or (asked < 0).any():
        raise ValueError(f"days is {days}; days from now are >= 0 and finite, e.g. [30, 60, 90].")
    return asked


def _waited(table: pl.DataFrame, waited: float | str) -> Floats:
    """Days already waited by row; NaN where they are not known."""
    if isinstance(waited, str) and waited not in table.columns:
        raise ContractError(f"waited is {waited!r}, no such column. It has: {', '.join(table.columns)}.")
    column = (
        table[waited].cast(pl.Float64)
        if isinstance(waited, str)
        else pl.Series([float(waited)] * len(table), dtype=pl.Float64)
    )
    if len(wrong := column.filter(column.is_infinite() | (column < 0))):
        raise ValueError(f"waited has {wrong[0]:g}; days already waited are >= 0 and finite.")
    return column.to_numpy()
