"""Any polars frame as a tidy HTML table, for notebooks and for the report page.

Comes in: a `pl.DataFrame`. Goes out: one string of HTML in which every value is escaped.

- `html_table`: title, head, rows, and in words how many rows are left out.

A frame with the Estimates columns (`estimate, low, high`, perhaps `verdict, reason`) shows estimate and interval in one
cell; a refused row keeps its place, gives its reason in words and shows no estimate. Cells carry their exact value in
`data-v` (and `data-low`, `data-high`, `data-reason`), columns their name in `data-column`: what sorting and a CSV need.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from datetime import date, datetime
from decimal import Decimal
from html import escape
from typing import Any

import polars as pl

__all__ = ["html_table"]

MINUS = "\u2212"
MERGED = ("low", "high", "reason")  # shown inside the cell of `estimate`
Format = Callable[[Any], str]
CHIPS = {"ok": "pass", "refused": "stop"}  # the contract's verdicts

# What JupyterLab needs to show the table as we mean it; the report page has its own style sheet and drops this.
LAB_STYLE = (
    "<style data-lab>.shop-table p{margin:0 0 6px;line-height:1.4}.shop-table .cap b{display:block;font-size:1.1em}"
    ".shop-table table{border-collapse:collapse}.shop-table th,.shop-table td{text-align:right;padding:5px 10px;"
    "font-variant-numeric:tabular-nums;max-width:40em}.shop-table .l,.shop-table tbody th{text-align:left}"
    ".shop-table tbody th{font-weight:500}.shop-table .ci,.shop-table .note,.shop-table small{opacity:.75}"
    ".shop-table small{display:block}.shop-table tr.refused>*{background:rgba(161,42,51,.1)}"
    ".shop-table .why{white-space:normal}</style>"
)


def html_table(
    frame: pl.DataFrame,
    *,
    title: str = "",
    note: str = "",
    max_rows: int = 60,
    decimals: Mapping[str, int] | None = None,
) -> str:
    """Show a frame as a table that people can read: aligned, rounded, captioned, escaped.

    Parameters
    ----------
    frame
        Any polars frame. Its first column heads the rows. With `estimate, low, high` (and `verdict, reason`) it is
        shown as estimates: "**0.36** (0.35 to 0.37)", refused rows in words.
    title, note
        What the table shows, in bold, and how to read it, with units.
    max_rows
        Rows shown, at least 1; the rest is counted in words.
    decimals
        {column: decimals} where the column's own four digits will not do, as for money to the cent.

    Returns
    -------
    str
        HTML: `div.table > div.cap + div.scroll > table`.

    Raises
    ------
    TypeError
        `frame` is not a polars DataFrame.
    ValueError
        `max_rows` is below 1.

    Examples
    --------
    >>> html = html_table(pl.DataFrame({"shop": ["north"], "share": [-0.25]}))
    >>> '<th scope="row">north</th><td data-v="-0.25">−0.25</td>' in html
    True
    """
    _check(frame, max_rows)
    shown = frame.head(max_rows)
    hidden = set(MERGED) if _is_estimates(frame) else set()
    names = [name for name in frame.columns if name not in hidden]
    formats = {name: _format_of(frame[name]) for name in frame.columns}
    if hidden:  # estimate and bounds share their digits
        formats |= dict.fromkeys(("estimate", "low", "high"), _estimate_format(frame))
    formats |= _fixed(decimals or {}, has_bounds=bool(hidden))
    body = "".join(_row(row, names, formats) for row in shown.iter_rows(named=True)) or _no_rows(len(names))
    label = f' aria-label="{escape(title)}"' if title else ' aria-label="Table"'
    return (
        f'{LAB_STYLE}<div class="table shop-table">{_caption(title, note)}'
        f'<div class="scroll" tabindex="0" role="group"{label}><table{label}>'
        f"<thead><tr>{''.join(_head(frame, name) for name in names)}</tr></thead><tbody>{body}</tbody></table></div>"
        f"{_left_out(frame.height - shown.height)}</div>"
    )


def _fixed(decimals: Mapping[str, int], *, has_bounds: bool) -> dict[str, Format]:
    def to(places: int) -> Format:
        return lambda value: _endless(value) or _grouped(f"{value:.{places}f}")

    bounds = dict.fromkeys(("low", "high"), decimals["estimate"]) if has_bounds and "estimate" in decimals else {}
    return {name: to(places) for name, places in (bounds | dict(decimals)).items()}


def _check(frame: object, max_rows: object) -> None:
    if isinstance(frame, pl.LazyFrame):
        raise TypeError("frame is a LazyFrame; it must be a polars DataFrame. Call .collect() first.")
    if not isinstance(frame, pl.DataFrame):
        raise TypeError(f"frame is a {type(frame).__name__}; it must be a polars DataFrame. Try pl.DataFrame(frame).")
    if isinstance(max_rows, bool) or not isinstance(max_rows, int) or max_rows < 1:
        raise ValueError(f"max_rows is {max_rows!r}; it must be a whole number of at least 1.")


def _is_estimates(frame: pl.DataFrame) -> bool:
    needed = [frame.schema.get(name) for name in ("estimate", "low", "high")]
    return all(dtype is not None and (dtype.is_numeric() or dtype == pl.Null) for dtype in needed)


def _caption(title: str, note: str) -> str:
    if not title and not note:
        return ""
    bold = f"<b>{escape(title)}</b>" if title else ""
    return f'<div class="cap"><p>{bold}{escape(note)}</p></div>'


def _head(frame: pl.DataFrame, name: str) -> str:
    is_number = frame.schema[name].is_numeric() and name != frame.columns[0]
    kind = " ".join(filter(None, ("" if is_number else "l", _long(name))))
    text = "Estimate (low to high)" if name == "estimate" and _is_estimates(frame) else _in_words(name)
    return f'<th scope="col"{_class(kind)} data-column="{escape(name)}">{escape(text)}</th>'


def _class(kind: str) -> str:
    return f' class="{kind}"' if kind else ""


def _long(text: str) -> str:
    """The class of a cell whose longest word has to be broken."""
    return "unbroken" if any(len(word) > 40 for word in text.split()) else ""


def _in_words(name: str) -> str:
    """`first_order_month` -> "First order month"; names that are not snake case stay as they are."""
    if not name.strip():
        return "No name"
    if name == "p_value":
        return "p-value"
    return name.replace("_", " ").capitalize() if len(name) > 1 and name == name.lower() else name


def _no_rows(width: int) -> str:
    return f'<tr><td class="l" colspan="{max(width, 1)}">No rows.</td></tr>'


def _left_out(count: int) -> str:
    if count <= 0:
        return ""
    return f'<p class="note">and {_grouped(str(count))} more row{"s" if count > 1 else ""}</p>'


# ---- rows -----------------------------------------------------------------------------------------------------------


def _row(row: dict[str, Any], names: Sequence[str], formats: dict[str, Format]) -> str:
    refused = "low" in row and "low" not in names and _is_refused(row)
    cells = [_first(row[name], formats[name]) if i == 0 else "" for i, name in enumerate(names)]
    for i, name in enumerate(names):
        if name == "estimate" and "low" in row and "low" not in names:
            cells[i] = _reason(row, head=i == 0) if refused else _estimate(row, formats)
        elif i > 0:
            cells[i] = _cell(row[name], formats[name], name, refused=refused)
    opening = '<tr class="refused">' if refused else "<tr>"
    return f"{opening}{''.join(cells)}</tr>"


def _first(value: Any, show: Format) -> str:
    if value is None:
        return '<td class="l" title="not observed"></td>'  # an empty head would be read aloud as nothing
    exact = f' data-v="{value}"' if _is_number(value) else _class(_long(str(value)))
    return f'<th scope="row"{exact}>{show(value)}</th>'


def _is_number(value: Any) -> bool:
    return isinstance(value, (int, float, Decimal)) and not isinstance(value, bool)


def _cell(value: Any, show: Format, name: str, *, refused: bool) -> str:
    if value is None:
        return '<td title="not observed"></td>'
    if refused and isinstance(value, (float, Decimal)):  # counts stay, measures of a refused row go
        return '<td title="refused"></td>'
    if name == "verdict":
        kind = "stop" if refused else CHIPS.get(str(value), "")
        return f'<td class="l"><span class="chip {kind}">{escape(str(value))}</span></td>'
    if _is_number(value):
        return f'<td data-v="{value}">{show(value)}</td>'
    return f'<td class="{f"l {_long(str(value))}".strip()}">{show(value)}</td>'


def _is_refused(row: dict[str, Any]) -> bool:
    return row.get("verdict") == "refused" or (row["estimate"] is None and bool(row.get("reason")))


def _reason(row: dict[str, Any], *, head: bool) -> str:
    tag, reason = ("th" if head else "td"), escape(str(row.get("reason") or "no reason was given"))
    return f'<{tag} class="{f"why l {_long(reason)}".strip()}" data-reason="{reason}"><b>Refused.</b> {reason}</{tag}>'


def _estimate(row: dict[str, Any], formats: dict[str, Format]) -> str:
    value, low, high = (row[name] for name in ("estimate", "low", "high"))
    if value is None:
        return '<td title="not observed"></td>'
    ends = [formats[name](row[name]) if row[name] is not None else "" for name in ("low", "high")]
    interval = f' <span class="ci">({ends[0] or "no bound"} to {ends[1] or "no bound"})</span>' if any(ends) else ""
    reason = escape(str(row.get("reason") or ""))
    aside = f"<small>{reason}</small>" if reason else ""
    carried = {"v": value, "low": low, "high": high, "reason": reason or None}
    exact = "".join(f' data-{k}="{v}"' for k, v in carried.items() if v is not None)
    return f"<td{exact}><b>{formats['estimate'](value)}</b>{interval}{aside}</td>"


# ---- values ---------------------------------------------------------------------------------------------------------


def _format_of(column: pl.Series) -> Format:
    """One format for a whole column, so that its digits line up."""
    if column.name in ("id", "year") or column.name.endswith(("_id", "_year")):
        return lambda value: escape(str(value))
    if column.dtype.is_integer():
        return lambda value: _grouped(str(value))
    if column.name == "p_value":
        return lambda value: _endless(value) or ("&lt; 0.001" if value < 0.001 else f"{value:.3f}")
    if column.dtype.is_float() or column.dtype.is_decimal():
        return _real_format([*_reals(column.to_frame(), column.name)])
    return _text


def _reals(frame: pl.DataFrame, *names: str) -> Iterator[float]:
    """Absolute values of the finite numbers in some columns."""
    for name in names:
        yield from (abs(float(v)) for v in frame[name].drop_nulls().to_list() if math.isfinite(v))


def _estimate_format(frame: pl.DataFrame) -> Format:
    """Digits that the narrowest interval can tell: two of its width."""
    values = [*_reals(frame, "estimate", "low", "high")]
    widths = [w for w in _reals(frame.select(width=pl.col("high") - pl.col("low")), "width") if w > 0]
    if not widths or max(widths) / min(widths) > 100:  # mixed units
        return _real_format(values)
    decimals = min(_decimals(values), max(0, 1 - math.floor(math.log10(min(widths)))))
    return lambda value: _real(float(value), decimals)


def _real_format(values: Sequence[float]) -> Format:
    """Digits for real numbers: the same for all, unless they span so much that each needs its own (mixed units)."""
    positive = [v for v in values if v > 0]
    if positive and max(positive) / min(positive) > 1e5:
        return lambda value: _real(float(value), _decimals([abs(float(value))]))
    decimals = _decimals(positive)
    return lambda value: _real(float(value), decimals)


def _decimals(values: Sequence[float]) -> int:
    """Decimals that give the largest value about four significant digits, and no more than the values need."""
    largest = max((v for v in values if math.isfinite(v)), default=0.0)
    if largest == 0.0:
        return 0
    enough = min(max(0, 3 - math.floor(math.log10(largest))), 12)
    exact = (d for d in range(enough) if all(math.isclose(v, round(v, d), rel_tol=1e-12) for v in values))
    return next(exact, enough)


def _real(value: float, decimals: int) -> str:
    if endless := _endless(value):
        return endless
    is_lost = abs(value) < 10.0 ** (1 - decimals) and not math.isclose(round(value, decimals), value)
    if value != 0 and (is_lost or decimals > 6):
        return _small(value)
    return _grouped(f"{value:.{decimals}f}")


def _endless(value: float | Decimal) -> str:
    """What has no digits; "" for a finite number."""
    if math.isnan(value):
        return '<span title="not a number"></span>'
    if math.isinf(value):
        return "∞" if value > 0 else f"{MINUS}∞"
    return ""


def _small(value: float) -> str:
    """A value too small for its column's decimals keeps two significant digits; tiny ones get a power of ten."""
    if abs(value) >= 1e-6:
        return _grouped(f"{value:.{1 - math.floor(math.log10(abs(value)))}f}")
    mantissa, power = f"{value:.1e}".split("e")
    return f"{_grouped(mantissa)}×10<sup>{_grouped(str(int(power)))}</sup>"


def _grouped(digits: str) -> str:
    """Thousands by a comma, as sentences and figures have them; a true minus; "-0.00" is "0.00"."""
    sign = MINUS if digits.startswith("-") and digits.strip("-0.") else ""
    whole, point, rest = digits.lstrip("-").partition(".")
    return f"{sign}{int(whole):,}{point}{rest}"


def _text(value: Any) -> str:
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, datetime):
        is_midnight = (value.hour, value.minute, value.second, value.microsecond) == (0, 0, 0, 0)
        return escape(value.date().isoformat() if is_midnight else value.isoformat(sep=" ", timespec="auto"))
    return escape(value.isoformat() if isinstance(value, date) else str(value))
