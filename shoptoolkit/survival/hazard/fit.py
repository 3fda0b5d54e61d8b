"""A fitted hazard: survival, incidences and hazards of any frame, their explanation, and the way to disk and back.

Out: `HazardFit`, which `fit_hazard` makes; `load_hazard` brings a saved one back; `chances` -> the hazards of the rows
that the trees read; `TABLE` -> the types of `HazardFit.table`.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass, fields, replace
from numbers import Integral
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl

from shoptoolkit.contract import EstimateTable, to_polars
from shoptoolkit.contract.arrays import Floats
from shoptoolkit.contract.check import choose, days_asked
from shoptoolkit.contract.show import html_table
from shoptoolkit.survival.covariates import days_waited
from shoptoolkit.survival.hazard.door import PERIOD
from shoptoolkit.survival.hazard.held import HazardAt, HazardOver, against_going_on
from shoptoolkit.survival.hazard.judge import facts, judge
from shoptoolkit.survival.hazard.likelihood import losses
from shoptoolkit.survival.hazard.rows import Singles, blocks, incidence
from shoptoolkit.survival.risk import spell_names
from shoptoolkit.trees import storage
from shoptoolkit.trees.boosting import Trees
from shoptoolkit.trees.encoding import Encoder, matrix, unseen_in_words, warn
from shoptoolkit.trees.judging import Fact
from shoptoolkit.trees.pruning import held, parted

_CAUSE = {"cause": pl.String}
NUMBERS = ("n_at_risk", "n_observed", "observed", "low", "high", "predicted")
TABLE = {"period": pl.Int64, "until_days": pl.Float64, "cause": pl.String} | dict.fromkeys(NUMBERS, pl.Float64)
_SCALARS: dict[str, type] = {"n": int, "n_periods": int, "periods": int, "nthread": int} | dict.fromkeys(
    ("thin", "level"), float
)
_SCALARS |= {"period_days": float} | dict.fromkeys(("id", "time", "validation"), str)
_SAVED = {**_SCALARS, **dict.fromkeys(("dtypes", "kinds", "categories"), dict), "causes": list, "table": list}


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
            Days from now (>= 0).
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
            No, negative or infinite days, a wait below 0, or days all beyond what was learnt.
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

    def judge(
        self,
        frame: Any,
        *,
        by: str | Sequence[str] | None = None,
        rng: object = None,
        level: float = 0.95,
        horizon_days: float | None = None,
        duration: str = "duration_days",
        repurchased: str = "repurchased",
        cause: str = "cause",
    ) -> EstimateTable:
        """How good are the forecasts of spells that the fit has not seen, overall and by segment?

        Parameters
        ----------
        frame
            The features, the id, `duration` and `repurchased` (of several causes, `cause`: any ends the wait).
        by
            Columns; the values of each are segments, besides all spells. Known at the start of the spell.
        rng
            Not needed: there is nothing random. Taken so that all fits can be judged alike.
        level
            Coverage of the intervals.
        horizon_days
            By which day to judge. None: the last end of a period to which at least half of those still waiting are
            watched.
        duration, repurchased, cause
            Names of the columns.

        Returns
        -------
        EstimateTable
            By group, "all" and then e.g. "source = paid", for spells lost from sight as `survival.concordance`,
            `brier` and `calibration` do: uno_concordance (pairs up to the day), brier, observed_less_predicted (share
            back by the day less its forecast, in percentage points, p-value against 0), calibration_slope (p-value
            against 1; below 1: forecasts too extreme). Where customers have several spells, errors are over customers.
            Refused with fewer than 20 customers, or fewer than 10 spells known to have ended by the day, or to last
            longer.

        Raises
        ------
        ContractError
            The frame is not what the fit reads, lacks a column, or has spells that enter late.
        ValueError
            A day beyond what was learnt.
        """
        options: dict[str, Any] = {"level": level, "horizon_days": horizon_days}
        names: dict[str, Any] = {"duration": duration, "repurchased": repurchased, "cause": cause}
        return judge(self, frame, by=by, **options, **names)

    def facts(self, train: Any, test: Any) -> list[Fact]:
        """What a model card tells of this fit and its spells: section, item, text."""
        told = [("model", "trees", f"boosted trees of the hazard by period: {self._sizes()}")]
        told += [("model", "validation", self.validation), ("model", "ends a wait", ", ".join(self.causes))]
        if self.thin < 1:
            told.append(
                ("limits", "thinning", f"{100 * self.thin:g} % of the person-periods without an end were learnt from")
            )
        return [*facts(self, train, test), *told]

    def margin(self, frame: Any, *, cause: str | None = None) -> Floats:
        """Log-odds of the hazard by row; the frame has a column `period` (1, 2, ...) beside the features."""
        return against_going_on(self._told(frame, output_margin=True), self.causes, cause)

    def explain_margin(self, frame: Any, *, cause: str | None = None) -> tuple[Floats, Floats]:
        """Path-dependent TreeSHAP values of `margin` (rows x features, the last of the period) and each row's base."""
        parts = against_going_on(self._told(frame, pred_contribs=True), self.causes, cause)
        return parts[:, :-1], parts[:, -1]

    def explain_pairs(self, frame: Any, *, cause: str | None = None) -> Floats:
        """TreeSHAP interactions of `margin`: rows x features x features; a pair stands twice, each time half."""
        return against_going_on(self._told(frame, pred_interactions=True), self.causes, cause)[:, :-1, :-1]

    def at(self, period: int, *, cause: str | None = None) -> HazardAt:
        """The hazard of one period (1, 2, ...), held fixed: no feature any more. Of several causes, name one.

        It can be explained, e.g. `explain.shap_values(fit.at(3), frame)`; `explain.explain_survival` takes them all.
        """
        about = self._held([period], cause)
        place = self.features.index(PERIOD)
        return HazardAt(booster=held(self.booster, feature=place, value=period, nthread=self.nthread), **about)

    def over(self, periods: Sequence[int], *, cause: str | None = None) -> HazardOver:
        """The hazards of some periods, each held fixed as by `at`; it serves `explain.explain_survival`."""
        about = self._held(periods, cause)
        place = self.features.index(PERIOD)
        fixed, moving = parted(self.booster, feature=place, values=periods, nthread=self.nthread)
        return HazardOver(fixed=fixed, moving=tuple(moving), **about)

    def losses(
        self,
        frame: Any,
        *,
        duration: str = "duration_days",
        repurchased: str = "repurchased",
        cause: str = "cause",
        entry: str = "entry_days",
        weight: str = "weight",
    ) -> Floats:
        """How far the hazards miss what happened: minus the log-likelihood of each spell, in nats.

        Spells as in `fit_hazard`, counted as there and up to the last period that was learnt: of a period that ended
        the spell the log of its cause's chance, of any other the log of the chance to go on, times the share of the
        period at risk; the spell's sum times its weight. Raises ContractError where they are no spells of this fit.
        """
        names = spell_names(id=self.id, duration=duration, repurchased=repurchased, entry=entry, weight=weight)
        return losses(
            frame,
            {**names, cause: "cause", "started_at": "started_at"},
            features=self.features[:-1],
            causes=self.causes,
            encode=lambda table: matrix(self.encode(_timed(table)))[:, :-1],
            chance=lambda rows: chances(self, rows, len(self.causes)),
            period_days=self.period_days,
            periods=self.periods,
        )

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

    def _held(self, periods: Sequence[int], cause: str | None) -> dict[str, Any]:
        """What a hazard of these periods is beside its trees."""
        for one in periods:
            if not isinstance(one, Integral) or not 1 <= one <= self.periods:
                raise ValueError(f"period is {one!r}; it must be a whole number from 1 to {self.periods}.")
        if cause is not None:
            choose("cause", cause, self.causes)
        kinds, dtypes = (
            {name: told for name, told in one.items() if name != PERIOD}
            for one in (self.encoder.kinds, self.encoder.dtypes)
        )
        encoder = replace(self.encoder, dtypes=dtypes, kinds=kinds)
        return {"encoder": encoder, "nthread": self.nthread, "causes": self.causes, "cause": cause}

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
            told[:, period] = chances(self, read, len(self.causes))
        return told

    def _ended(
        self, table: pl.DataFrame, days: float | Sequence[float], waited: float | str
    ) -> Iterator[tuple[pl.DataFrame, Floats]]:
        """Ids and days asked, and the share ended by each cause (rows x days x causes), in blocks of rows."""
        asked, since = days_asked(days), days_waited(table, waited) / self.period_days
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
        table=storage.table_of(found["table"], TABLE),
        **{name: found[name] for name in _SCALARS},
    )


def _timed(table: pl.DataFrame) -> pl.DataFrame:
    """With a period, which will be overwritten."""
    return table.with_columns(pl.lit(1, pl.UInt8).alias(PERIOD))


def _repeat(ids: pl.DataFrame, times: int) -> pl.DataFrame:
    return ids[np.repeat(np.arange(len(ids)), times)]


def chances(trees: Trees, read: Singles, causes: int) -> Floats:
    """Hazard of each cause, by row of the matrix that the trees read."""
    told = trees.booster.inplace_predict(read, validate_features=False)
    return np.asarray(told, dtype=np.float64).reshape(len(read), causes + (causes > 1))[:, -causes:]
