"""Online shoppers' intention (UCI 468): 12,330 sessions of a Turkish shop in one year, each of another visitor.

In: the table of the publisher's file. Out: `lines` (exact, the same from every form of the file), from them `made`, the
sessions, in the file's order:

- `administrative_pages`, `informational_pages`, `product_pages`: pages seen, by kind; `..._seconds`: time on them.
- `bounce_share`, `exit_share`: means over the session's pages of what Google Analytics tells of each page: the share of
  sessions that began on it and ended at once, and of its views that were the last.
- `page_value`: the same mean of what a page was worth: revenue of the sessions that bought after seeing it, per view
  (currency not told). It knows the purchases of this very session: no feature for a session that still goes on.
- `special_day`: closeness to Mother's Day, Valentine's ... as the shop weighs it, 0 to 1.
- `month`: 2 to 12 (January and April are missing; the year is not told). `is_weekend`.
- `operating_system`, `browser`, `region`, `traffic_type`: numbers without a key. `visitor`: new, returning, other.
- `bought`: the session ended in a purchase (15.5 %).
"""

from __future__ import annotations

import polars as pl

from shoptoolkit.datasets.tables import BILLIONTHS, decimals, flags, in_units, take, wholes, words

_WHOLE = {
    "administrative_pages": "Administrative",
    "informational_pages": "Informational",
    "product_pages": "ProductRelated",
    "operating_system": "OperatingSystems",
    "browser": "Browser",
    "region": "Region",
    "traffic_type": "TrafficType",
}
_DECIMAL = {
    "administrative_seconds": "Administrative_Duration",
    "informational_seconds": "Informational_Duration",
    "product_seconds": "ProductRelated_Duration",
    "bounce_share": "BounceRates",
    "exit_share": "ExitRates",
    "page_value": "PageValues",
    "special_day": "SpecialDay",
}
_FLAG = {"is_weekend": "Weekend", "bought": "Revenue"}
_NAMES = ("jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec")
_MONTHS = {name: number for number, name in enumerate(_NAMES, start=1)} | {"june": 6}
_VISITORS = {"new_visitor": "new", "returning_visitor": "returning", "other": "other"}
COLUMNS = (
    *("administrative_pages", "administrative_seconds", "informational_pages", "informational_seconds"),
    *("product_pages", "product_seconds", "bounce_share", "exit_share", "page_value", "special_day", "month"),
    *("is_weekend", "operating_system", "browser", "region", "traffic_type", "visitor", "bought"),
)


def lines(table: pl.DataFrame) -> pl.DataFrame:
    """The publisher's lines under our names: decimals in whole billionths, flags as 1 and 0, months as 1 to 12."""
    wanted = _WHOLE | _DECIMAL | _FLAG | {"month": "Month", "visitor": "VisitorType"}
    raw = take(table, {ours: (theirs,) for ours, theirs in wanted.items()})
    return raw.with_columns(
        *(wholes(raw[name]) for name in _WHOLE),
        *(decimals(raw[name]) for name in _DECIMAL),
        *(flags(raw[name]) for name in _FLAG),
        words(raw["month"], _MONTHS),
        words(raw["visitor"], _VISITORS),
    ).select(COLUMNS)


def made(given: pl.DataFrame) -> pl.DataFrame:
    """One row per session."""
    units = [in_units(given[name], by=BILLIONTHS) for name in _DECIMAL]
    return given.with_columns(*units, *(given[name].cast(pl.Boolean) for name in _FLAG))
