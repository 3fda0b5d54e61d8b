"""Will this session end in a purchase? Trees on what is seen of it so far, judged on later sessions.

In: Events. Out: `fit_intent` -> `IntentFit`, whose `predict` scores the sessions open at a moment; `load_intent` brings
a saved one back. prefixes.py makes the rows to learn from, `fit_propensity` learns and judges.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from datetime import date, datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl

from shoptoolkit.behaviour.accuracy import accuracy
from shoptoolkit.behaviour.prefixes import (
    AFTER,
    HISTORY,
    SESSION,
    STARTED,
    known_before,
    of_sessions,
    session_prefixes,
)
from shoptoolkit.behaviour.propensity import PropensityFit, fit_propensity, load_propensity
from shoptoolkit.contract import ContractError, EstimateTable, Events, require
from shoptoolkit.contract.clock import arrival, in_words, moment
from shoptoolkit.contract.show import html_table
from shoptoolkit.features import FeatureSpec, sessions
from shoptoolkit.trees.judging import Fact

_FILE = "intent.json"


def fit_intent(
    events: Any,
    *,
    split_at: datetime | date | str,
    rng: int | np.random.Generator,
    gap_minutes: float = 30.0,
    after: Sequence[int] = AFTER,
    spec: FeatureSpec | None = None,
    level: float = 0.95,
    replicates: int = 1_000,
    **options: Any,
) -> IntentFit:
    """Will this session end in a purchase? Learnt from sessions over by `split_at`, judged on later ones.

    Parameters
    ----------
    events
        Events, with purchases.
    split_at
        Sessions over by this moment train, those that began at or after it test; what was still open is in neither. A
        date is the start of that day in UTC.
    rng
        Seed or Generator.
    gap_minutes, after, spec
        As in `session_prefixes`: what ends a session, after how many rows it is looked at, and which features tell of
        the time before.
    level, replicates
        Coverage of the intervals, and bootstrap replicates behind them (customers drawn with all their sessions).
    **options
        Further options of `fit_propensity`: calibration, validation_share, rounds, patience, learning_rate, depth,
        nthread.

    Returns
    -------
    IntentFit
        Its `propensity` is the fit itself, with accuracy, reliability and parts; `by_rows` tells the accuracy after
        each number of rows (of different sessions: those that reach eight rows are not those that end after one).

    Raises
    ------
    ContractError
        The events break their contract or have no purchase; no session can be looked at before or after the split; a
        part has sessions of one outcome only.
    ValueError
        `split_at` is outside the log, or a number is out of its range.

    References
    ----------
    Sakar, Polat, Katircioglu and Kastro (2019), Neural Computing and Applications 31, 6893-6908 (intent from session
    features, there known only at the session's end).

    Examples
    --------
    >>> from shoptoolkit.simulate import shop
    >>> events = shop(n_customers=300, days=120, rng=1).events
    >>> fit = fit_intent(events, split_at="2025-04-01", rng=1, rounds=20, replicates=40)
    >>> fit.predict(events, as_of="2025-04-20T20:15").columns
    ['customer_id', 'session_started_at', 'rows_seen', 'probability']
    """
    log, split, rng = require(events, Events), moment(split_at, name="split_at"), np.random.default_rng(rng)
    train, test = _two_sides(log, split, gap_minutes=gap_minutes, after=after, spec=spec)
    names = [name for name in (*SESSION, *(spec or HISTORY).columns) if train[name].n_unique() > 1]
    judged: dict[str, Any] = {"level": level, "replicates": replicates}
    propensity = fit_propensity(
        pl.concat([train, test]), "bought", split_at=split, rng=rng, features=names, **judged, **options
    )
    return IntentFit(
        propensity=propensity,
        gap_minutes=gap_minutes,
        spec=spec or HISTORY,
        by_rows=_by_rows(propensity, test, rng=rng, **judged),
    )


def _two_sides(log: pl.DataFrame, split: datetime, **options: Any) -> tuple[pl.DataFrame, pl.DataFrame]:
    first, last = log.select(arrival(log.columns).min(), arrival(log.columns).max().alias("last")).row(0)
    if not first < split <= last:
        raise ValueError(f"split_at is {split}; it must lie within the log, after {first} and not after {last}.")
    if not (log["event"] == "purchase").any():
        raise ContractError("events: no row is a purchase, so no session ends in one.")
    end = last + timedelta(microseconds=1)
    return session_prefixes(log, as_of=split, **options), session_prefixes(log, as_of=end, since=split, **options)


def _by_rows(fit: PropensityFit, test: pl.DataFrame, *, rng: np.random.Generator, **judged: Any) -> EstimateTable:
    """The accuracy after each number of rows, a group each."""
    rows = test.with_columns(chance=fit.predict(test)["probability"])
    tables = []
    for (seen,), part in rows.sort("rows_seen", "customer_id", "as_of").group_by("rows_seen", maintain_order=True):
        codes = (part["customer_id"].rank("dense") - 1).cast(pl.Int64).to_numpy()
        words: dict[str, Any] = {
            "question": "How well is a purchase in this session foreseen?",
            "estimand": f"sessions from {in_words(fit.split_at)} on, new draws of customers",
            "group": f"{seen} row{'s' if seen > 1 else ''} seen",
        }
        outcome = part["bought"].cast(pl.Float64).to_numpy()
        tables.append(accuracy(outcome, part["chance"].to_numpy(), codes, rng=rng, **judged, **words).table)
    return EstimateTable(table=pl.concat(tables))


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class IntentFit:
    """The chance that a session under way ends in a purchase, and how good it was on sessions from `split_at` on.

    `propensity`: the `PropensityFit` on session prefixes, with accuracy, reliability (draw it with
    `figures.reliability`) and parts; it is what `explain` takes. `by_rows`: Estimates rows for roc_auc,
    average_precision and log_loss, one group per number of rows seen.
    """

    propensity: PropensityFit
    gap_minutes: float
    spec: FeatureSpec
    by_rows: EstimateTable

    @property
    def accuracy(self) -> EstimateTable:
        return self.propensity.accuracy

    @property
    def reliability(self) -> pl.DataFrame:
        return self.propensity.reliability

    @property
    def features(self) -> tuple[str, ...]:
        return self.propensity.features

    def judge(self, frame: Any, **options: Any) -> EstimateTable:
        """How good are the forecasts of sessions not seen? A frame of `session_prefixes`; as `PropensityFit.judge`."""
        return self.propensity.judge(frame, **options)

    def facts(self, train: Any, test: Any) -> list[Fact]:
        """What a model card tells of this fit: section, item, text."""
        ends = f"{self.gap_minutes:g} minutes of silence end it"
        return [*self.propensity.facts(train, test), ("model", "session", ends)]

    def predict(self, events: Any, *, as_of: datetime | date | str) -> pl.DataFrame:
        """How likely does each session open at `as_of` end in a purchase?

        Open: its last row known before `as_of` lies no longer than `gap_minutes` back. Sessions with a purchase are
        left out. One row per customer, sorted: customer_id, session_started_at, rows_seen, probability (as it was just
        after the last row seen; a session that has been silent for long is less likely than that).
        """
        rows = sessions(known_before(events, at := moment(as_of)), gap_minutes=self.gap_minutes)
        lately = rows.filter(pl.col("at") >= at - timedelta(minutes=self.gap_minutes))
        asked = lately.select(pl.col("customer_id").unique(maintain_order=True), as_of=pl.lit(at))
        told = ["customer_id", STARTED, "rows_seen", "probability"]
        if asked.is_empty():
            types = (rows.schema["customer_id"], pl.Datetime("us"), pl.Int64, pl.Float64)
            return pl.DataFrame(schema=dict(zip(told, types, strict=True)))
        table = of_sessions(rows, asked, self.gap_minutes, self.spec)
        table = table.filter(pl.col("rows_seen") > 0, pl.col("session_purchases") == 0)
        return table.with_columns(self.propensity.predict(table)["probability"]).select(told)

    def save(self, folder: str | Path) -> Path:
        """Write the three files of the fit into a folder: those of `PropensityFit.save`, and intent.json."""
        place = self.propensity.save(folder)
        told = {"gap_minutes": self.gap_minutes, "spec": asdict(self.spec), "by_rows": self.by_rows.table.to_dicts()}
        (place / _FILE).write_text(json.dumps(told, indent=1), encoding="utf-8")
        return place

    def __repr__(self) -> str:
        return f"IntentFit, sessions end after {self.gap_minutes:g} minutes of silence\n{self.propensity!r}"

    def _repr_html_(self) -> str:
        table = self.by_rows.table.filter(pl.col("metric") == "roc_auc")
        shown = table.select("group", "estimate", "low", "high", "n", "reason")
        return self.propensity._repr_html_() + html_table(shown, title="ROC AUC by rows seen of the session")


def load_intent(folder: str | Path) -> IntentFit:
    """A fit that `IntentFit.save` wrote; errors and warnings as in `load_propensity`."""
    propensity = load_propensity(folder)
    told = json.loads((Path(folder) / _FILE).read_text(encoding="utf-8"))
    return IntentFit(
        propensity=propensity,
        gap_minutes=told["gap_minutes"],
        spec=FeatureSpec(**told["spec"]),
        by_rows=EstimateTable.from_rows(told["by_rows"]),
    )
