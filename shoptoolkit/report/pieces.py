"""Pieces of a report, called in notebook cells: each returns a small frozen object that shows itself.

- `answer`: the box that opens a report: number, interval, one sentence, hero figure, status of the checks.
- `figure`: a finding in bold, how it was drawn, the picture with its alt text.
- `table`: a frame, captioned (`contract.show.html_table`).
- `callout`: a note, or a trap to avoid.

Every text is escaped; `sentence` and `more` of the answer may hold `<b>`. JupyterLab gets a little style with each
piece, which the report page drops in favour of its own.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import cache
from html import escape
from importlib.resources import files
from operator import index
from pathlib import Path
from typing import Any

import polars as pl

from shoptoolkit.contract.show import html_table
from shoptoolkit.report.icons import icon
from shoptoolkit.report.pictures import Picture, render
from shoptoolkit.report.provenance import fingerprint, made_with

__all__ = ["ANSWER_MIME", "STATUS_WORDS", "Piece", "answer", "callout", "figure", "table"]

ANSWER_MIME = "application/vnd.shoptoolkit.answer+json"
STATUS_WORDS = {"pass": "pass", "warn": "warning", "stop": "stop"}
CALLOUTS = {"note": "info", "trap": "warn"}


@dataclass(frozen=True, slots=True, kw_only=True)
class Piece:
    """Something a report shows. `html` and `text` say it; `data` says it to the exporter and the index."""

    html: str
    text: str
    data: Mapping[str, Any] = field(default_factory=dict)

    def __repr__(self) -> str:
        return self.text

    def _repr_html_(self) -> str:
        return _lab_style() + self.html

    def _repr_mimebundle_(self, include: object = None, exclude: object = None) -> dict[str, Any]:
        bundle: dict[str, Any] = {"text/html": self._repr_html_(), "text/plain": self.text}
        return bundle | ({ANSWER_MIME: dict(self.data)} if self.data else {})


@cache
def _lab_style() -> str:
    css = files("shoptoolkit.report").joinpath("templates/shopreport/lab.css").read_text(encoding="utf-8")
    return f"<style data-lab>{css}</style>"


# ---- answer ---------------------------------------------------------------------------------------------------------


def answer(
    *,
    sentence: str,
    number: str = "",
    interval: str = "",
    more: str = "",
    checks: Sequence[tuple[str, str, str]] = (),
    figure: object = None,
    caption: str = "",
    caption_note: str = "",
    alt: str = "",
    facts: Mapping[str, object] | None = None,
    seed: int | None = None,
    data: pl.DataFrame | None = None,
) -> Piece:
    """The answer of a report in one box; the index of the series quotes it.

    Parameters
    ----------
    sentence
        The answer, one sentence; may hold `<b>`.
    number
        The number that carries it, with its unit: "36.3 %". Filled from a variable, never typed.
    interval
        Its interval and what it is of: "of customers, 95 % interval 35.7 to 37.0 %". Required with `number`.
    more
        At most one more sentence; may hold `<b>`.
    checks
        Tuples (name, status, text); status is pass, warn or stop.
    figure
        Hero figure: matplotlib Axes or Figure (closed afterwards). Draw it 5.0 x 3.45 inches.
    caption, caption_note
        The figure's finding in bold, and how it was drawn.
    alt
        What the figure shows, for those who do not see it. Required with `figure`.
    facts
        What stands under the title of the report: {"Data": "one simulated shop", "Customers": "24 318"}.
    seed, data
        The notebook's SEED and the frame it rests on: the foot of the report tells the seed, the number of rows and a
        fingerprint of them (`provenance.fingerprint`), beside versions and git commit of this kernel.

    Returns
    -------
    Piece
        Shows itself as HTML; carries {sentence, number, interval, checks, thumbnail, facts, made} for the index.

    Raises
    ------
    TypeError
        A text is not a string, `figure` is not from matplotlib, `seed` no whole number, or `data` no polars DataFrame.
    ValueError
        `sentence` is empty, `number` has no interval, `figure` no alt text, or a check is malformed.
    """
    texts = {"sentence": sentence, "number": number, "interval": interval, "more": more}
    _need_texts(texts | {"caption": caption, "caption_note": caption_note, "alt": alt})
    _need_filled("sentence", sentence, "say the answer in one sentence")
    if number and not interval:
        raise ValueError(f"interval is empty beside number={number!r}; say the interval, or why there is none.")
    tiles = [_checked(check) for check in checks]
    made = _made(seed, data)
    if figure is not None:
        _need_filled("alt", alt, "say what the figure shows")
    picture = None if figure is None else render(figure, argument="figure", thumbnail=True)
    html = _answer_html(texts, tiles, picture, caption, caption_note, alt)
    said = {name: _plain(text) for name, text in texts.items()}
    told: dict[str, Any] = {**said, "checks": [list(tile) for tile in tiles]}
    told |= {"thumbnail": picture.thumbnail if picture else ""}
    told |= {"facts": [[str(k), str(v)] for k, v in (facts or {}).items()], "made": made}  # a saved notebook sorts keys
    return Piece(html=html, text=_answer_text(said, tiles), data=told)


def _made(seed: object, data: object) -> dict[str, Any]:
    """What this kernel knows of itself and of its data; numpy's whole numbers count as such."""
    if seed is not None and (isinstance(seed, bool) or not hasattr(seed, "__index__")):
        raise TypeError(f"seed is {seed!r}; it must be a whole number, the notebook's SEED, or None.")
    if data is not None and not isinstance(data, pl.DataFrame):
        mend = "call .collect() first" if isinstance(data, pl.LazyFrame) else "give the frame the report rests on"
        raise TypeError(f"data is a {type(data).__name__}; it must be a polars DataFrame: {mend}.")
    made = made_with(Path.cwd()) | {"at": datetime.now(UTC).isoformat(timespec="seconds")}
    made |= {} if seed is None else {"seed": index(seed)}
    return made | ({} if data is None else {"rows": data.height, "fingerprint": fingerprint(data)})


def _checked(check: object) -> tuple[str, str, str]:
    if not isinstance(check, (tuple, list)) or len(check) != 3 or not all(isinstance(part, str) for part in check):
        raise ValueError(f"checks holds {check!r}; each check is three texts: (name, status, text).")
    name, status, text = check
    if status not in STATUS_WORDS:
        raise ValueError(f"checks: the status of {name!r} is {status!r}; it must be one of {', '.join(STATUS_WORDS)}.")
    return name, status, text


def _answer_html(
    texts: Mapping[str, str],
    tiles: Sequence[tuple[str, str, str]],
    picture: Picture | None,
    caption: str,
    caption_note: str,
    alt: str,
) -> str:
    left = _big(texts["number"])
    left += f'<p class="range num">{escape(texts["interval"])}</p>' if texts["interval"] else ""
    left += f'<p class="lead">{_with_bold(texts["sentence"])}</p>'
    left += f'<p class="more num">{_with_bold(texts["more"])}</p>' if texts["more"] else ""
    right = _picture("hero", picture, caption, caption_note, alt) if picture else ""
    width = "answer" if picture else "answer alone"
    return f'<div class="short shop-piece"><div class="{width}"><div>{left}</div>{right}</div>{_tiles(tiles)}</div>'


def _big(number: str) -> str:
    """The unit after the last digit is set smaller: 36.3<small> %</small>."""
    if not number:
        return ""
    found = re.fullmatch(r"(.*\d)(\D*)", number, flags=re.DOTALL)
    digits, unit = found.groups() if found else (number, "")
    unit = unit.strip() if len(unit.strip()) < 2 else unit  # a sign stands close, a word keeps its space
    small = f"<small>{escape(unit)}</small>" if unit else ""
    return f'<p class="big num{" long" if len(digits) > 7 else ""}">{escape(digits)}{small}</p>'


def _tiles(tiles: Sequence[tuple[str, str, str]]) -> str:
    if not tiles:
        return ""
    return f'<ul class="tiles" aria-label="Status of the checks">{"".join(map(_tile, tiles))}</ul>'


def _tile(check: tuple[str, str, str]) -> str:
    name, status, text = check
    word = f'<em class="{status}">{STATUS_WORDS[status]}</em>'
    mark = f'<span class="{status}">{icon(status)}</span>'
    return f'<li class="tile">{mark}<b>{escape(name)} {word}</b><span>{escape(text)}</span></li>'


def _answer_text(said: Mapping[str, str], tiles: Sequence[tuple[str, str, str]]) -> str:
    lines = [" ".join(filter(None, (said["number"], said["interval"]))), said["sentence"], said["more"]]
    lines += [f"[{STATUS_WORDS[status]}] {name}: {text}" for name, status, text in tiles]
    return "\n".join(filter(None, lines))


# ---- figure, table, callout -----------------------------------------------------------------------------------------


def figure(ax: object, *, title: str, note: str = "", alt: str) -> Piece:
    """Show a figure under its finding.

    Parameters
    ----------
    ax
        matplotlib Axes or Figure; drawn to PNG and closed.
    title
        The finding: "Every cohort fades".
    note
        What is drawn, how, and the n.
    alt
        What the picture shows, for those who do not see it.

    Returns
    -------
    Piece
        Shows itself as HTML.

    Raises
    ------
    TypeError
        `ax` is not from matplotlib, or a text is not a string.
    ValueError
        `title` or `alt` is empty.
    """
    _need_texts({"title": title, "note": note, "alt": alt})
    _need_filled("title", title, "say the finding")
    _need_filled("alt", alt, "say what the figure shows")
    html = _picture("fig", render(ax, argument="ax"), title, note, alt)
    return Piece(html=f'<div class="shop-piece">{html}</div>', text=f"{title}\n{note}\n[figure: {alt}]")


def table(
    frame: pl.DataFrame, *, title: str, note: str = "", max_rows: int = 60, decimals: Mapping[str, int] | None = None
) -> Piece:
    """Show a frame under its title.

    Parameters
    ----------
    frame
        Any polars frame; with `estimate, low, high` it is shown as estimates. See `contract.show.html_table`.
    title, note
        What it shows; how to read it, with units.
    max_rows
        Rows shown; the rest is counted in words.
    decimals
        {column: decimals} where the column's own four digits are too many, or too few.

    Returns
    -------
    Piece
        Shows itself as HTML.

    Raises
    ------
    TypeError
        `frame` is not a polars DataFrame, or a text is not a string.
    ValueError
        `title` is empty, or `max_rows` is below 1.
    """
    _need_texts({"title": title, "note": note})
    _need_filled("title", title, "say what the table shows")
    html = html_table(frame, title=title, note=note, max_rows=max_rows, decimals=decimals)
    return Piece(html=html, text=f"{title}\n{frame}")


def callout(title: str, text: str, *, kind: str = "note") -> Piece:
    """Set a remark apart.

    Parameters
    ----------
    title, text
        Its first line, bold, and the rest.
    kind
        "note" (blue, an aside) or "trap" (amber, a mistake easily made).

    Returns
    -------
    Piece
        Shows itself as HTML.

    Raises
    ------
    TypeError
        A text is not a string.
    ValueError
        `title` is empty, or `kind` is unknown.
    """
    _need_texts({"title": title, "text": text})
    _need_filled("title", title, "say the remark in a few words")
    if kind not in CALLOUTS:
        raise ValueError(f"kind is {kind!r}; it must be one of {', '.join(CALLOUTS)}.")
    extra = " trap" if kind == "trap" else ""
    inner = f'{icon(CALLOUTS[kind])}<b class="t">{escape(title)}</b><p>{escape(text)}</p>'
    return Piece(html=f'<div class="callout shop-piece{extra}">{inner}</div>', text=f"{title}: {text}")


def _picture(kind: str, picture: Picture, title: str, note: str, alt: str) -> str:
    caption = f"<b>{escape(title)}</b>" if title else ""
    caption += f"<span>{escape(note)}</span>" if note else ""
    img = f'<img src="{picture.uri}" width="{picture.width}" height="{picture.height}" alt="{escape(alt)}">'
    if picture.narrow:  # the narrow one has its own shape: its width is the phone's, its height follows
        img = f'<picture><source media="screen and (max-width:560px)" srcset="{picture.narrow}">{img}</picture>'
    head = f"<figcaption>{caption}</figcaption>" if caption else ""
    wide = ' wide" tabindex="0" role="group" aria-label="Figure, wider than a phone' if picture.is_wide else ""
    return f'<figure class="{kind}">{head}<div class="pic{wide}">{img}</div></figure>'


def _with_bold(text: str) -> str:
    """Escape all but balanced <b>...</b>."""
    return re.sub(r"&lt;b&gt;(.*?)&lt;/b&gt;", r"<b>\1</b>", escape(text), flags=re.DOTALL)


def _plain(text: str) -> str:
    return re.sub(r"<b>(.*?)</b>", r"\1", text, flags=re.DOTALL)


def _need_texts(texts: Mapping[str, object]) -> None:
    for name, value in texts.items():
        if not isinstance(value, str):
            raise TypeError(f"{name} is {value!r}, a {type(value).__name__}; it must be a string.")


def _need_filled(name: str, value: str, mend: str) -> None:
    if not value.strip():
        raise ValueError(f"{name} is {value!r}; it must not be empty: {mend}.")
