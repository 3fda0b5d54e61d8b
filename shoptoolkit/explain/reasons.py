"""Why a row is forecast as it is, in sentences: the customer's value, a typical customer's, and which way it moves.

In: an `Explanation` of features, and words for them. Out: `reasons` -> `Reasons`. It describes the model, not the cause.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from html import escape
from numbers import Integral
from typing import Any

import polars as pl

from shoptoolkit.contract import ContractError, to_polars
from shoptoolkit.contract.check import check_number
from shoptoolkit.contract.show import LAB_STYLE
from shoptoolkit.explain.dictionary import Dictionary, dictionary, sentence
from shoptoolkit.explain.explanation import Explanation
from shoptoolkit.explain.numbers import figure
from shoptoolkit.explain.vocabulary import Word

_ERRORS = 2  # Monte-Carlo errors within which a contribution may be none
_SHOWN = 10  # rows in a notebook's cell
_HTML = "div"
# scale: what is forecast, which way a positive contribution moves it, and of what its exponential is a factor
_SCALES = {
    "margin": ("Forecast", 1, "odds"),
    "logit hazard": ("Forecast to come back in this period", 1, "odds"),
    "log survival": ("Forecast to be back by then", -1, "chance not to be back"),
    "effect": ("Score", 1, ""),
}
_DIRECTIONS = {1: "higher", -1: "lower", 0: "neither higher nor lower"}
_KEYS = ["row", "group", "period"]


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Reasons:
    """What moves the forecast of each row most, in sentences.

    `table`: row, group, period, place (1: the strongest), signal, feature (the one told of), sentence, contribution (of
    the whole signal), direction (higher, lower), factor (what that does to the model's odds, or to the chance not to be
    back; null where the scale has none). Of each row the last line, without signal and feature, adds up the others.
    `reference`: who is typical. `scale`, `kind`: of the explanation. `names`: row -> how it is called.
    """

    table: pl.DataFrame
    reference: str
    scale: str
    kind: str
    names: Mapping[int, str]

    def of(self, row: int) -> list[str]:
        """The sentences of one row, the strongest first."""
        part = self.table.filter(pl.col("row") == row)
        if part.is_empty():
            known = self.table["row"].unique().sort()
            raise ValueError(f"row is {row!r}; no reason is told for it. There are {len(known)}, e.g. {_few(known)}.")
        if part["period"].n_unique() > 1:
            raise ValueError(f"row {row} has {part['period'].n_unique()} periods; take one: reasons(explanation.at(1)).")
        return part["sentence"].to_list()

    @property
    def note(self) -> str:
        """Who is typical, what the numbers are, and what they are not."""
        factor = _SCALES[self.scale][2]
        told = f"x: factor on the model's {factor}. " if factor else "A score that ranks; it has no interval. "
        return f"Typical: {self.reference}. {told}{self.kind}. The model, not the cause."

    def __repr__(self) -> str:
        lines = [f"Reasons of {self.table['row'].n_unique():,} rows. {self.note}"]
        for title, part in self._blocks():
            lines += [title, *(f"  - {told}" for told in part["sentence"])]
        return "\n".join(lines)

    def _blocks(self) -> list[tuple[str, pl.DataFrame]]:
        """Titles and sentences of the first rows."""
        parts = self.table.partition_by("row", "period", maintain_order=True)
        return [(self._title(part.row(0, named=True)), part) for part in parts[:_SHOWN]]

    def _title(self, first: dict[str, Any]) -> str:
        name = self.names.get(first["row"], f"Row {first['row']}")
        return name if first["period"] is None else f"{name}, period {first['period']}"

    def _repr_html_(self) -> str:
        blocks = "".join(
            f"<p><b>{escape(title)}</b></p><ol>{''.join(map(self._item, part.to_dicts()))}</ol>"
            for title, part in self._blocks()
        )
        rest = self.table.select(pl.struct("row", "period").n_unique()).item() - _SHOWN
        more = f'<p class="note">and {rest:,} more</p>' if rest > 0 else ""
        caption = f'<div class="cap"><p><b>What moves the forecast most</b>{escape(self.note)}</p></div>'
        return f'{LAB_STYLE}<div class="table shop-table">{caption}{blocks}{more}</div>'

    def _item(self, told: dict[str, Any]) -> str:
        factor = "" if told["factor"] is None else f" <small>\u00d7 {figure(told['factor'])}</small>"
        return f"<li>{escape(told['sentence'])}{factor}</li>"
