"""One page on a model: what it learnt from, how good it is and for whom, whether its rows have moved, what it is for.

In: a fit that keeps the protocol `Judged`, the rows it learnt from, and rows that it has not seen. Out: `model_card` ->
`ModelCard`.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from html import escape
from typing import Any, Protocol

import numpy as np
import polars as pl

from shoptoolkit.contract import EstimateTable, to_polars
from shoptoolkit.contract.check import check_level, listed
from shoptoolkit.contract.estimates import holm
from shoptoolkit.contract.show import html_table
from shoptoolkit.explain.drift import Drift, drift

_TYPES: dict[str, Any] = dict.fromkeys(("section", "item", "group", "value"), pl.String)
_TYPES |= dict.fromkeys(("estimate", "low", "high"), pl.Float64) | {"n": pl.Int64, "reason": pl.String}
_CALIBRATION = ("observed_less_predicted", "calibration_slope")  # metrics; all others are of accuracy
_WORDS = {
    "roc_auc": "ROC AUC",
    "log_loss": "log-loss",
    "uno_concordance": "concordance (Uno)",
    "brier": "Brier score",
    "observed_less_predicted": "came true less forecast",
}
_ALWAYS = "saying what would change the outcome: it describes the model, not the cause; that takes an experiment"


class Judged(Protocol):
    """What a frozen fit offers so that a card can be written. `behaviour.PropensityFit` does."""

    @property
    def features(self) -> tuple[str, ...]:
        """Names; those that are columns of both frames are compared between them."""

    def judge(self, frame: pl.DataFrame, *, by: Any, rng: Any, level: float) -> EstimateTable:
        """Accuracy and calibration on rows not seen, in the group "all" and then by segment."""

    def facts(self, train: pl.DataFrame, test: pl.DataFrame) -> list[tuple[str, str, str]]:
        """What the fit knows of itself and its rows: section (data, sample, censoring, model, limits), item, text."""


class Held(Protocol):
    """What says whether explanations hold. `explain.Stability` does."""

    @property
    def verdict(self) -> str:
        """One sentence."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class ModelCard:
    """What a reader must know before the model is used.

    `table`, one row per fact, in the order of the card: section (summary, use, data, sample, censoring, model,
    accuracy, calibration, drift, stability, limits), item, group, value (in words), estimate, low, high, n, reason
    (where a number is refused). `estimates`: the rows of accuracy and calibration. `drift`: how the features moved.
    """

    table: pl.DataFrame
    estimates: EstimateTable
    drift: Drift
    level: float

    def __repr__(self) -> str:
        lines = [f"{section}, {item}: {value}" for section, item, value in self._told().rows()]
        return "\n".join(["ModelCard", *lines, repr(self.estimates)])

    def _repr_html_(self) -> str:
        told = self._told()
        section = pl.col("section")
        last = section.is_in(["stability", "limits"])
        top = [
            f"<p><b>{escape(item)}.</b> {escape(value)}</p>"
            for _, item, value in told.filter(section == "summary").rows()
        ]
        is_told = self.estimates.table["verdict"][0] == "ok"
        note = "what the model learnt from and what it is for; it describes the model, not the cause"
        apart = told.with_columns(pl.format("{}: {}", section.str.to_titlecase(), "item").alias("item"))
        shown = [
            f'<div class="callout{"" if is_told else " trap"}">{"".join(top)}</div>',
            html_table(_but(apart, ~last & ~section.is_in(["summary", "drift"])), title="Model card", note=note),
            *(self._judged(one) for one in self.table.drop_nulls("n")["section"].unique(maintain_order=True)),
            self.drift._repr_html_(),
            html_table(_but(apart, last), title="Does it hold, and where not?"),
        ]
        return "".join(shown)

    def _judged(self, section: str) -> str:
        """One table of estimates: every measure of all rows, and of each segment the first."""
        part = self.table.filter(pl.col("section") == section)
        whole = [_group(row) for row in self.estimates.table.filter(pl.col("group") == "all").to_dicts()]
        shown = part.filter((pl.col("item") == part["item"][0]) | pl.col("group").is_in(whole))
        note = f"rows not seen by the fit; {100 * self.level:g} % intervals, each for itself"
        return html_table(
            shown.drop("section", "value").select("group", pl.exclude("group")), title=section.capitalize(), note=note
        )

    def _told(self) -> pl.DataFrame:
        """What is said in words."""
        return self.table.filter(pl.col("value").is_not_null()).select("section", "item", "value")


def model_card(
    fit: Judged,
    *,
    train: Any,
    test: Any,
    intended_use: str,
    by: str | Sequence[str] | None = None,
    stability: Held | None = None,
    limits: Sequence[str] = (),
    not_for: Sequence[str] = (),
    labels: Mapping[str, str] | None = None,
    id: str = "customer_id",
    rng: int | np.random.Generator,
    level: float = 0.95,
    **judging: Any,
) -> ModelCard:
    """What must a reader know of a model before it is used?

    Parameters
    ----------
    fit
        Any frozen fit with the methods of `Judged`, e.g. from `behaviour.fit_propensity`.
    train, test
        The rows it learnt from, and rows that it has not seen, with outcomes. (Of an `UpliftFit` both are customers of
        the experiment: it is judged on folds that it had not seen.)
    intended_use
        What the model is for, and for whom, in words.
    by
        Columns; the values of each are segments that are judged by themselves.
    stability
        What `explain.stability` said, if it was asked.
    limits, not_for
        What you know beside what the fit tells by itself: sentences.
    labels
        Feature -> words for the drift, e.g. `Dictionary.labels`; others keep their names.
    id
        Column of the customers, for the drift. Where a frame lacks it, rows stand alone.
    rng, level
        Seed or Generator of bootstraps; coverage of the intervals, and 1 - the chance of a false alarm on drift, and
        on calibration over all segments (Holm).
    **judging
        Further options of `fit.judge`, e.g. `replicates` or `horizon_days`.

    Returns
    -------
    ModelCard
        A card tells; it does not praise. Where the accuracy of all rows is refused, it says so first.

    Raises
    ------
    ContractError
        A frame is not what the fit reads, or lacks a column.
    ValueError
        `intended_use` is empty, a `level` outside 0 to 1, or what `drift` refuses: fewer than 20 customers, no feature.

    References
    ----------
    Mitchell et al. (2019), Model cards for model reporting, FAT*, 220-229.
    """
    check_level(level)
    if not isinstance(intended_use, str) or not intended_use.strip():
        raise ValueError(f"intended_use is {intended_use!r}; say what the model is for, e.g. 'to plan stock'.")
    parts = [to_polars(train), to_polars(test)]
    judged = fit.judge(parts[1], by=by, rng=rng, level=level, **judging)
    shared = [name for name in fit.features if all(name in part.columns for part in parts)]
    whose = id if all(id in part.columns for part in parts) else None
    moved = drift(*parts, features=shared, id=whose, level=level)
    moved = replace(moved, table=moved.table.with_columns(pl.col("feature").replace(labels or {})))
    facts = fit.facts(*parts)
    own = {section: [one for one in facts if one[0] == section] for section in dict.fromkeys(one[0] for one in facts)}
    stable = "not asked" if stability is None else stability.verdict
    rows: list[Any] = [
        *(("summary", item, text) for item, text in _summary(judged, moved, level)),
        ("use", "intended", intended_use),
        *(("use", "not for", text) for text in (*listed(not_for, name="not_for"), _ALWAYS)),
        *(one for section in ("data", "sample", "censoring", "model") for one in own.get(section, [])),
        *_estimates(judged),
        ("drift", "verdict", moved.verdict),
        ("stability", "explanations", stable),
        *own.get("limits", []),
        *(("limits", "known", text) for text in listed(limits, name="limits")),
    ]
    return ModelCard(table=_table(rows), estimates=judged, drift=moved, level=level)


def _summary(judged: EstimateTable, moved: Drift, level: float) -> Iterator[tuple[str, str]]:
    """The first lines of a card: what is refused, calibration over segments, drift."""
    table = judged.table
    refused = table.filter(pl.col("group") == "all", pl.col("verdict") == "refused")
    if len(refused):
        names = ", ".join(_item(row) for row in refused.to_dicts())
        yield "Not judged", f"{names} of all rows: refused. {refused['reason'][0]}"
    gaps = table.filter(pl.col("metric") == _CALIBRATION[0], pl.col("p_value").is_not_null())
    if len(gaps):
        off = gaps.filter(pl.Series(holm(gaps["p_value"]) <= 1 - level)).to_dicts()
        told = [f"{_group(row)} ({row['estimate']:+.2g} {row['measure'] or 'units'})" for row in off]
        of = f"in {len(gaps)} part{'s' * (len(gaps) > 1)} (Holm, level {level:g})"
        yield "Calibration", f"what came true less the forecast, {of}: " + (", ".join(told) or "no difference shown")
    untold = table.filter(pl.col("group") != "all", pl.col("verdict") == "refused")["group"].unique(maintain_order=True)
    if len(untold):
        yield "Too small to judge", f"{', '.join(untold)}: some or all measures refused"
    yield "Drift", moved.verdict


def _estimates(judged: EstimateTable) -> Iterator[dict[str, Any]]:
    """The rows of accuracy, then of calibration."""
    is_calibration = judged.table["metric"].is_in(_CALIBRATION)
    for section, rows in (
        ("accuracy", judged.table.filter(~is_calibration)),
        ("calibration", judged.table.filter(is_calibration)),
    ):
        for row in rows.to_dicts():
            kept = {name: row[name] for name in ("estimate", "low", "high", "n", "reason")}
            yield {"section": section, "item": _item(row), "group": _group(row), **kept}


def _group(row: dict[str, Any]) -> str:
    return row["group"] if row["contrast"] is None else f"{row['contrast']}, {row['group']}"


def _item(row: dict[str, Any]) -> str:
    """What a row measures, in words, with its day and unit."""
    day = "" if row["horizon_days"] is None else f", day {row['horizon_days']:g}"
    unit = "" if row["measure"] is None else f", {row['measure']}"
    return f"{_WORDS.get(row['metric'], row['metric'].replace('_', ' '))}{day}{unit}"


def _but(told: pl.DataFrame, chosen: pl.Expr) -> pl.DataFrame:
    return told.filter(chosen).drop("section")


def _table(rows: Iterable[Any]) -> pl.DataFrame:
    told = [row if isinstance(row, dict) else dict(zip(("section", "item", "value"), row, strict=True)) for row in rows]
    return pl.DataFrame(told, schema=_TYPES)
