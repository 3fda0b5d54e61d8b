"""Numbers as people say them: "once", "5 weeks ago", "GBP 1,240", "12 minutes", "35 %".

In: a value and its unit. Out: `in_words` -> text; `UNITS`, the units it knows beside any noun, which is counted.
"""

from __future__ import annotations

import math

from shoptoolkit.contract.show import MINUS

_DAYS = ("Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday", "Sunday")
_OFTEN = {1: "once", 2: "twice"}
# from so many (seconds, or days) on, a unit of so many is taken; it has a decimal as long as it is below so much
_TIME = ((0, 1, "second", 0), (60, 60, "minute", 3), (7_200, 3_600, "hour", 10))
_SPAN = ((0, 1, "day", 0), (14, 7, "week", 0), (91, 365.25 / 12, "month", 0), (730, 365.25, "year", 10))
UNITS = {
    "number": lambda value: figure(value),
    "times": lambda value: _OFTEN.get(value, f"{figure(value)} times"),
    "share": lambda value: f"{_digits(100 * value, 1)} %",
    "seconds": lambda value: _span(value, _TIME),
    "minutes": lambda value: _span(60 * value, _TIME),
    "days": lambda value: _span(value, _SPAN),
    "days ago": lambda value: f"{_span(value, _SPAN)} ago",
    "months ago": lambda value: f"{counted(value, 'month') if value >= 1 else 'less than a month'} ago",
    "hour": lambda value: f"between {value:.0f}:00 and {(value + 1) % 24:.0f}:00",
    "weekday": lambda value: _DAYS[int(value) - 1] if value in range(1, 8) else figure(value),
    "flag": lambda value: "yes" if value else "no",
}


def in_words(value: float, unit: str, currency: str = "") -> str:
    """A number with its unit, rounded for people.

    `unit`: one of `UNITS`, "money" (of `currency`), or a noun that is counted ("day": "1 day", "3 days").

    Examples
    --------
    >>> [in_words(value, "times") for value in (1, 2, 1_000)]
    ['once', 'twice', '1,000 times']
    >>> in_words(36, "days ago"), in_words(1239.6, "money", "GBP"), in_words(754, "seconds"), in_words(0.347, "share")
    ('5 weeks ago', 'GBP 1,240', '13 minutes', '35 %')
    """
    if not math.isfinite(value):
        return figure(value)
    if unit == "money":
        cents = 0 if abs(value) >= 100 or value == round(value) else 2
        return f"{currency} {_signed(f'{value:,.{cents}f}')}".strip()
    return UNITS[unit](value) if unit in UNITS else counted(value, unit)


def counted(value: float, noun: str) -> str:
    """So many of something: "1 day", "3 days"."""
    told = figure(value)
    return f"{told} {noun if told == '1' else plural(noun)}"


def plural(noun: str) -> str:
    """The plural of a regular noun: category, categories."""
    if noun.endswith("y") and noun[-2:-1] not in "aeiou":
        return f"{noun[:-1]}ies"
    return noun + ("es" if noun.endswith(("s", "x", "ch", "sh")) else "s")


def figure(value: float) -> str:
    """Three significant digits, no fewer than the whole part has: "3", "3.4", "1,000"."""
    if not math.isfinite(value):
        return "not a number" if math.isnan(value) else f"{MINUS if value < 0 else ''}∞"
    return _digits(value, 3)


def _digits(value: float, least: int) -> str:
    """At least so many significant digits, the whole part whole."""
    size = math.floor(math.log10(abs(value))) + 1 if value else 1
    decimals = min(max(0, least - size), 12)
    told = f"{value:,.{decimals}f}"
    return _signed(told.rstrip("0").rstrip(".") if decimals else told)


def _signed(told: str) -> str:
    return told.replace("-", MINUS if told.strip("-0.,") else "")


def _span(value: float, units: tuple[tuple[float, float, str, float], ...]) -> str:
    """A length of time in the unit that people would take."""
    if 0 <= value < 1:
        return f"less than a {units[0][2]}"
    _, size, unit, fine = next(one for one in reversed(units) if value >= one[0] or one is units[0])
    return counted(round(value / size, 1 if value / size < fine else 0), unit)
