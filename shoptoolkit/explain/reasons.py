"""Why a row is forecast as it is, in sentences: the customer's value, a typical customer's, and which way it moves.

In: an `Explanation` of features, and words for them. Out: `reasons` -> `Reasons`. About the model, not the cause.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from html import escape
from numbers import Integral
from typing import Any

import numpy as np
import polars as pl

from shoptoolkit.contract import ContractError, to_polars
from shoptoolkit.contract.check import check_number, choose
from shoptoolkit.contract.show import LAB_STYLE
from shoptoolkit.explain.dictionary import Dictionary, Own, Value, dictionary, sentence
from shoptoolkit.explain.explanation import Explanation, few, picked
from shoptoolkit.explain.vocabulary import Word

_ERRORS = 2  # Monte-Carlo errors within which a contribution may be none
_LEAST = 0.05  # of a row's largest contribution; what adds less is no reason
_SHOWN = 10  # rows in a notebook's cell
_SCALES = {  # which way a contribution moves the forecast, what is said of it, and of what its exponential is a factor
    "margin": (1, "Forecast", "odds"),
    "logit hazard": (1, "Forecast of a return", "odds"),
    "log survival": (-1, "Forecast of a return", "chance not to be back"),
    "effect": (1, "Score", ""),
}
_KEYS = ["row", "group", "period"]
_NUMBERS = {"row": pl.Int64, "period": pl.Int64, "place": pl.Int64, "contribution": pl.Float64, "factor": pl.Float64}
_COLUMNS = (*_KEYS, "place", "signal", "feature", "sentence", "contribution", "direction", "factor")


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Reasons:
    """What moves the forecast of each row most, in sentences.

    `table`: row, group, period, place (1: the strongest), signal, feature (the one told of), sentence, contribution (of
    the whole signal), direction (higher, lower), factor (what that does to the model's odds, or to the chance not to be
    back; null where the scale has none). Of each row the last line, without signal and feature, adds up the others.
    direction is of the forecast, on "log survival" that to be back; "unclear" within two Monte-Carlo errors.
    `reference`: who is typical. `scale`, `kind`, `period_days`: of the explanation. `names`: row -> how it is called.
    """

    table: pl.DataFrame
    reference: str
    scale: str
    kind: str
    names: Mapping[int, str]
    period_days: float | None

    def of(self, row: int) -> list[str]:
        """The sentences of one row, the strongest first."""
        part = picked(self.table, "row", row)
        if part["period"].n_unique() > 1:
            raise ValueError(
                f"row {row} has {part['period'].n_unique()} periods; take one: reasons(explanation.at(1), ...)."
            )
        return part["sentence"].to_list()

    @property
    def note(self) -> str:
        """Who is typical, what the numbers are, and what they are not."""
        ratio = _SCALES[self.scale][-1]
        told = "a score, learnt from an experiment, ranks by what an ad may add; it has no interval"
        told = f"in brackets the factor on the model's {ratio}" if ratio else told
        beside = "higher and lower are beside the model's average answer, not the typical customer's"
        return f"Typical is {self.reference}; {beside}; {told}; {self.kind}. The model, not the cause."

    def __repr__(self) -> str:
        n = self.table["row"].n_unique()
        lines = [f"Reasons of {n:,} row{'s' * (n != 1)}. {self.note}"]
        for title, told in self._blocks():
            lines += [title, *(f"  - {one}" for one in told)]
        return "\n".join(lines)

    def _blocks(self) -> list[tuple[str, list[str]]]:
        """Titles and sentences of the first rows."""
        parts = [part.to_dicts() for part in self.table.partition_by("row", "period", maintain_order=True)[:_SHOWN]]
        return [(self._title(part[0]), [self._item(told) for told in part]) for part in parts]

    def _title(self, first: dict[str, Any]) -> str:
        name = self.names.get(first["row"], f"Row {first['row']}")
        if first["period"] is None:
            return name
        until = f" (until day {first['period'] * self.period_days:g})" if self.period_days else ""
        return f"{name}, period {first['period']}{until}"

    def _repr_html_(self) -> str:
        blocks = "".join(
            f"<p><b>{escape(title)}</b></p><ol>{''.join(f'<li>{escape(told)}</li>' for told in lines)}</ol>"
            for title, lines in self._blocks()
        ).replace("\u00d7 ", "\u00d7&nbsp;")  # a factor is not broken from its number
        rest = self.table.select(pl.struct("row", "period").n_unique()).item() - _SHOWN
        more = f'<p class="note">and {rest:,} more</p>' if rest > 0 else ""
        title = f"What moves the {_SCALES[self.scale][1].lower()} most"
        caption = f'<div class="cap"><p><b>{title}</b>{escape(self.note)}</p></div>'
        return f'{LAB_STYLE}<div class="table shop-table">{caption}{blocks}{more}</div>'

    def _item(self, told: dict[str, Any]) -> str:
        factor = "" if told["factor"] is None else f" ({_SCALES[self.scale][-1]} \u00d7 {told['factor']:,.2f})"
        return f"{told['sentence']}{factor}"


def reasons(
    explanation: Explanation,
    k: int = 3,
    *,
    words: Dictionary | Own | None = None,
    reference: Any = None,
    rows: int | Iterable[int] | Mapping[int, str] | None = None,
) -> Reasons:
    """Why is this customer forecast so? The signals that move the forecast most, each as one sentence.

    Parameters
    ----------
    explanation
        Of features, e.g. from `shap_values`, `explain_uplift` or `explain_survival`.
    k
        Signals told for each row (and period); what the others add stands in one more line.
    words
        A `Dictionary`, or words of your own as in `dictionary`.
    reference
        Who is typical: a frame with the features, or another explanation. None: the rows explained, if there are
        several. Of numbers the median that somebody has (the lower of two), of categories the commonest; missing where
        most are missing.
    rows
        Which rows to tell of, in this order; a mapping gives them names ({17: "Anna"}). None: all, in their order.

    Returns
    -------
    Reasons
        Of a signal with several features, the sentence tells of the one that moves the forecast furthest in the
        signal's direction. What lies within two Monte-Carlo errors is not told, nor what adds less than a twentieth
        of the row's largest, but summed up with the rest. Fewer than `k` where no more moves the forecast.

    Notes
    -----
    It says what the model leans on. What would happen if somebody changed it is a question for an experiment.

    Raises
    ------
    ContractError
        `reference` lacks a feature, has it in another kind, or has no rows.
    TypeError
        `explanation` is none.
    ValueError
        `k` is below 1; a row was not explained, or is the only one and there is no `reference`; the contributions
        are those of signals of several features, which have no values to tell; the scale is unknown.

    Examples
    --------
    >>> contributions = {"orders_28d": [0.7, -0.1], "spend_91d": [0.1, -0.2]}
    >>> table = pl.DataFrame({"row": [0, 0, 1, 1], "group": "all", "feature": ["orders_28d", "spend_91d"] * 2,
    ...     "value": [3.0, 120.0, 1.0, 0.0], "shown": ["3", "120", "1", "0"], "contribution": [0.7, 0.1, -0.1, -0.2],
    ...     "error": None, "base": 0.0, "period": None})
    >>> known = Explanation(table=table, scale="margin", kind="TreeSHAP", categories=(), n=2, sample="all 2 rows")
    >>> reasons(known, 1).of(0)  # doctest: +NORMALIZE_WHITESPACE
    ['Ordered 3 times in the last 28 days; a typical customer once. Forecast higher.',
     'And 1 weaker signal. Forecast higher.']
    """
    if not isinstance(explanation, Explanation):
        raise TypeError(
            f"explanation is a {type(explanation).__name__}; pass what shap_values or its neighbours return."
        )
    check_number("k", k, least=1, whole=True)
    choose("scale", explanation.scale, _SCALES)
    _has_values(explanation)
    names = list(explanation.table["feature"].unique(maintain_order=True))
    known = words if isinstance(words, Dictionary) else dictionary(names, words=words)
    if unknown := [name for name in names if name not in known.words]:
        raise ValueError(f"words lack {few(unknown)}; make the dictionary of all features explained.")
    asked = _asked(explanation, rows)
    typical, who = _typical(explanation, reference)
    part = explanation.table.join(asked, on="row", how="inner")
    lines = _lines(part.with_columns(signal=pl.col("feature").replace_strict(known.signals)), int(k))
    told = [{**line, **_said(line, known.words, typical, explanation)} for line in lines.to_dicts()]
    schema = {name: _NUMBERS.get(name, pl.String) for name in _COLUMNS}
    return Reasons(
        table=pl.DataFrame(told, schema=schema),
        reference=who,
        scale=explanation.scale,
        kind=explanation.kind,
        names={row: f"{name}" for row, name in rows.items()} if isinstance(rows, Mapping) else {},
        period_days=explanation.period_days,
    )


def _has_values(explanation: Explanation) -> None:
    of_several = explanation.table.filter(pl.col("value").is_null() & (pl.col("shown") == ""))
    if len(of_several):
        raise ValueError(
            f"{of_several['feature'][0]!r} adds up several features and has no value to tell. Pass what explains "
            "single features (before .by_signal(...); of explain_survival, with signals={}); reasons are by signal."
        )


def _asked(explanation: Explanation, rows: int | Iterable[int] | Mapping[int, str] | None) -> pl.DataFrame:
    """The rows to tell of, and the place of each."""
    explained = explanation.table["row"].unique().sort().to_list()
    given: Any = explained if rows is None else rows
    given = list(given) if np.iterable(given) and not isinstance(given, str) else [given]
    known = set(explained)
    if unknown := [row for row in given if not isinstance(row, Integral) or row not in known]:
        raise ValueError(f"rows has {few(unknown)}, not explained; rows explained: {few(explained)}.")
    asked = list(dict.fromkeys(given))
    return pl.DataFrame({"row": asked, "order": range(len(asked))}, schema={"row": pl.Int64, "order": pl.Int64})


def _typical(explanation: Explanation, reference: Any) -> tuple[dict[str, Value], str]:
    """The typical value of each feature, and whose it is."""
    of = explanation if reference is None else reference
    columns = _columns(of) if isinstance(of, Explanation) else to_polars(of).to_dict()
    wanted = explanation.table["feature"].unique(maintain_order=True)
    if missing := [name for name in wanted if name not in columns]:
        raise ContractError(f"reference lacks {few(missing)}; it has {few(columns) or 'no columns'}.")
    if wrong := [name for name in wanted if _is_text(columns[name]) == (name not in explanation.categories)]:
        told = f"reference has {wrong[0]!r} as {columns[wrong[0]].dtype}, but the model reads it as"
        raise ContractError(f"{told} {'text' if wrong[0] in explanation.categories else 'a number or flag'}.")
    if (n := len(columns[wanted[0]])) < (least := 2 if reference is None else 1):
        told = "one row was explained, which is typical of nobody" if least == 2 else "reference has 0 rows"
        raise ValueError(
            f"{told}; pass a reference= of other customers, such as the frame that the model was fitted on."
        )
    told = f"of the {n:,} rows {'explained' if reference is None else 'of the reference'}"
    return {name: _middle(columns[name]) for name in wanted}, f"the median, or commonest, {told}"


def _columns(explanation: Explanation) -> dict[str, pl.Series]:
    """What was explained, feature by feature."""
    table = explanation.table.unique(["row", "feature"])
    columns = {}
    for (name,), part in table.group_by("feature"):
        shown, is_flag = part["shown"], part["shown"].is_in(["yes", "no"]).any()
        columns[name] = shown if name in explanation.categories else shown == "yes" if is_flag else part["value"]
    return columns


def _cell(told: Mapping[str, Any], categories: Iterable[str]) -> Value:
    """A value as a sentence takes it."""
    if told["value"] is None or told["feature"] in categories:
        return None if told["value"] is None else str(told["shown"])
    return told["shown"] == "yes" if told["shown"] in ("yes", "no") else float(told["value"])


def _is_text(column: pl.Series) -> bool | None:
    """None where it holds nothing."""
    return None if column.dtype == pl.Null else not (column.dtype.is_numeric() or column.dtype == pl.Boolean)


def _middle(column: pl.Series) -> Value:
    known = column.drop_nans().drop_nulls() if column.dtype.is_float() else column.drop_nulls()
    if 2 * len(known) < len(column) or known.is_empty():
        return None
    if column.dtype.is_numeric():
        return float(known.sort()[(len(known) - 1) // 2])
    commonest = known.mode().cast(pl.String).sort()[0]
    return commonest == "true" if column.dtype == pl.Boolean else commonest


def _lines(part: pl.DataFrame, k: int) -> pl.DataFrame:
    """For each row and period the signals told, the strongest first, and what the others add together."""
    size, up = pl.col("contribution").abs(), pl.col("contribution") * pl.col("total").sign()
    keys = ["order", *_KEYS]
    in_order = part.sort(*keys, "feature").with_columns(
        total=pl.col("contribution").sum().over(*keys, "signal"), error=pl.col("error").sum().over(*keys, "signal")
    )
    strongest = in_order.sort(*keys, "signal", up, "feature", descending=[*[False] * 5, True, False])
    signals = strongest.group_by(*keys, "signal", maintain_order=True).first()
    signals = signals.with_columns(contribution="total").filter(size > 0)
    signals = signals.with_columns(is_noise=size <= _ERRORS * pl.col("error").fill_null(0))
    signals = signals.sort(*keys, "is_noise", size, "signal", descending=[*[False] * 5, True, False])
    signals = signals.with_columns(place=pl.int_range(1, pl.len() + 1, dtype=pl.Int64).over(keys))
    is_told = (pl.col("place") <= k) & ~pl.col("is_noise") & (size >= _LEAST * size.max().over(keys))
    rest = signals.filter(~is_told).group_by(keys, maintain_order=True)
    summed = rest.agg(pl.min("place"), pl.sum("contribution", "error"), n=pl.len(), n_noise=pl.sum("is_noise"))
    return pl.concat([signals.filter(is_told), summed], how="diagonal").sort(*keys, "place")


def _said(
    line: Mapping[str, Any], words: Mapping[str, Word], typical: Mapping[str, Value], of: Explanation
) -> dict[str, Any]:
    """The sentence of a line, its direction and its factor."""
    sign, forecast, ratio = _SCALES[of.scale]
    is_up, is_clear = sign * line["contribution"] > 0, abs(line["contribution"]) > _ERRORS * (line["error"] or 0)
    if line["signal"] is None:
        s, noise = "s"[: line["n"] != 1], line["n_noise"]
        told = f"And {line['n']} {'other' if noise else 'weaker'} signal{s}{' together' if s else ''}"
        told += f", {noise} of them within two Monte-Carlo errors" if noise else ""
    else:
        name = line["feature"]
        told = sentence(words[name], _cell(line, of.categories), typical[name])
    direction = ("higher" if is_up else "lower") if is_clear else "unclear"
    return {
        "sentence": f"{told}. {forecast} {direction}." if is_clear else f"{told}. Direction not clear.",
        "direction": direction,
        "factor": math.exp(line["contribution"]) if ratio else None,
    }
