"""One door for notebooks: a public set by name, your own file, or a frame, with the facts that an analysis needs.

In: a name, path or frame. Out: `open_log` -> `Log`.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import date, timedelta
from html import escape
from pathlib import Path
from typing import Any, cast

import polars as pl

from shoptoolkit.contract import Checked, read_events
from shoptoolkit.contract.clock import day_of
from shoptoolkit.contract.connect import kind_of, shown
from shoptoolkit.datasets.registry import LOGS, SETS
from shoptoolkit.datasets.tidy import load

_FACTS = ("timezone", "currency", "as_of", "history_known", "name", "licence")


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Log:
    """A checked log and the facts that no log tells of itself.

    `as_of`: the first day not looked at. `history_known`: does the log hold every order these customers ever made?
    `timezone`: where the shop's days begin.
    """

    checked: Checked
    name: str
    timezone: str
    currency: str
    as_of: date
    history_known: bool
    licence: str
    citation: str

    @property
    def first_day(self) -> date:
        """The day of the first event."""
        return day_of(self.checked.good["at"].min(), timezone=self.timezone)  # type: ignore[arg-type]

    @property
    def silent_days(self) -> int:
        """Days looked at after the day of the last event; many of them, and `as_of` lies beyond the log's end."""
        last = day_of(self.checked.good["at"].max(), timezone=self.timezone)  # type: ignore[arg-type]
        return max((self.as_of - last).days - 1, 0)

    @property
    def window(self) -> str:
        """First and last day looked at, in words."""
        first, last = self.first_day, self.as_of - timedelta(days=1)
        return f"{first.day} {first:%b %Y} to {last.day} {last:%b %Y}"

    def __repr__(self) -> str:
        return f"{self.name}, {self.window}, days of {self.timezone}\n{self.checked}"

    def _repr_html_(self) -> str:
        cited = f"Source: {self.citation}. " if self.citation else ""
        about = f"{self.name}, {self.window}, days of {self.timezone}. {cited}Licence: {self.licence}."
        return f'<p class="note">{escape(about)}</p>{self.checked._repr_html_()}'


def open_log(
    source: Any,
    *,
    query: str | None = None,
    columns: Mapping[str, str] | None = None,
    kinds: Mapping[str, str] | None = None,
    clock: str | None = None,
    timezone: str | None = None,
    as_of: date | str | None = None,
    only: Mapping[str, Any] | None = None,
    history_known: bool | None = None,
    currency: str | None = None,
    name: str | None = None,
    licence: str | None = None,
    folder: str | Path | None = None,
) -> Log:
    """A shop's log with its facts: of a public set known already, of your own given here.

    Parameters
    ----------
    source
        The name of a public log (`available()`), a path or glob, a frame of events, a Delta or Iceberg table, or a
        database's address (see `contract.read_events`).
    query, columns, kinds, clock
        As `query`, `columns`, `kinds` and `timezone` of `read_events`, for a log of your own: what to read of a
        database, {your column: ours}, {your kind of event: ours}, and where timestamps without a zone were written
        (None: UTC).
    timezone
        Where the shop's days begin. None: what is known of the set, else `clock`, else UTC.
    as_of
        The first day not looked at, e.g. the day after the export. Needed for your own log: there is no hidden "today".
    only
        Keep the good rows with these values, e.g. {"country": "GB"}: text, or what has this text (12, True). It chooses
        rows, not customers: an order of theirs in another country is not seen, and "first order" means first here. Rows
        left out are counted among the faults; those in quarantine stay, since what they are may be in doubt.
    history_known
        True if the log holds every order these customers ever made. None: what is known of the set, else False.
    currency, name, licence
        Words for reports. None: what is known of the set, else "", the file's name, and "your own".
    folder
        The data folder of public sets, as in `load`.

    Returns
    -------
    Log
        `checked` (a `Checked`), name, timezone, currency, as_of, history_known, licence, citation.

    Raises
    ------
    ValueError
        `source` is no set, file or frame; `as_of` is missing for a log of your own, or lies before it; no row is good;
        `only` names no column, or no value of it; or `query`, `columns`, `kinds` or `clock` is given for a public set.
    """
    if isinstance(source, str) and source in SETS:
        if (known := LOGS.get(source)) is None:
            told = f"source is {source!r}, a {SETS[source].returns}: no log, since it knows no times"
            raise ValueError(f"{told}. Take datasets.load({source!r}); logs are {', '.join(LOGS)}.")
        if query or columns or kinds or clock:
            told = f"query is {query!r}, columns is {columns}, kinds is {kinds} and clock is {clock!r}"
            raise ValueError(f"{told}; {source} is tidied already and needs none of them.")
        checked, citation = cast(Checked, load(source, folder=folder)), known.citation
        facts = {key: getattr(known, key) for key in _FACTS}
    else:
        _must_exist(source)
        checked, citation = read_events(source, query=query, columns=columns, kinds=kinds, timezone=clock), ""
        title = Path(shown(source)).name if isinstance(source, str | Path) or kind_of(source) else "a frame"
        facts = dict(zip(_FACTS, (clock or "UTC", "", None, False, title, "your own"), strict=True))
    given = dict(zip(_FACTS, (timezone, currency, as_of, history_known, name, licence), strict=True))
    facts |= {key: value for key, value in given.items() if value is not None}
    if checked.good.is_empty():
        raise ValueError(f"source is {facts['name']!r}, of which no row is good.\n{checked}")
    if facts["as_of"] is None:
        last = f"The last event is of {checked.good['at'].max()!s} UTC."
        raise ValueError(f"as_of is None; give the first day not to look at, e.g. the day after the export. {last}")
    facts["as_of"] = day_of(facts["as_of"], timezone=facts["timezone"])
    for column, value in (only or {}).items():
        checked = _only(checked, column, value)
        facts["name"] += f", {column} {value}"
    log = Log(checked=checked, citation=citation, **facts)
    if log.first_day >= log.as_of:
        raise ValueError(f"as_of is {log.as_of}, and the log begins on {log.first_day}; nothing lies before.")
    return log


def _only(checked: Checked, column: str, value: Any) -> Checked:
    good, text = checked.good, str(value).lower() if isinstance(value, bool) else str(value)
    if column not in good.columns:
        raise ValueError(f"only is {{{column!r}: {value!r}}}; the log has the columns {', '.join(good.columns)}.")
    values = good[column].cast(pl.String)
    is_it = (values == text).fill_null(False)
    if not is_it.any():
        most = values.drop_nulls().value_counts(sort=True)[column].to_list()
        more = f" and {len(most) - 10:,} more" if len(most) > 10 else ""
        raise ValueError(
            f"only is {{{column!r}: {value!r}}}; {column} holds {', '.join(most[:10]) or 'nothing'}{more}."
        )
    if is_it.all():
        return checked
    example = values.filter(~is_it)[0]
    told = {
        "rule": f"{column} is not {text}",
        "action": "left out",
        "rows": len(good) - is_it.sum(),
        "example": example,
    }
    left_out = pl.DataFrame([told], schema=checked.faults.schema)
    return replace(checked, good=good.filter(is_it), faults=pl.concat([checked.faults, left_out]))


def _must_exist(source: Any) -> None:
    """A bare word that is neither a set nor a file is a misspelt set, more often than not."""
    if isinstance(source, str) and not set(source) & set("./\\*?") and not Path(source).exists():
        raise ValueError(f"source is {source!r}: no public set (known are {', '.join(LOGS)}) and no file.")
