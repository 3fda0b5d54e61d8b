"""What the contract makes of a user's file: words of the command line come in, lines and one HTML page go out.

- `check_file`: opens the file once, guesses columns and kinds, reads it as told and, where that fails, as guessed.
- `Look`: what was found; `check_page.write_page` makes the page of it. The rows set aside go to a file beside the page.
- `plain`: text of a stranger's file without control characters, for terminals and pages.

The guess comes from a sample of at most 20,000 rows, the check from all of them.
"""

from __future__ import annotations

import os
import re
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path

import polars as pl

from shoptoolkit.contract.check import Checked
from shoptoolkit.contract.clock import day_of
from shoptoolkit.contract.connect import kind_of, shown, without_password
from shoptoolkit.contract.guess import Contents, Guess, columns_of, contents_of, guess_columns, guess_kind
from shoptoolkit.contract.lines import order_key
from shoptoolkit.contract.read import check_words, open_source, paths_of, read_opened
from shoptoolkit.contract.schemas import EVENT_KINDS, ContractError
from shoptoolkit.report.files import write_whole

__all__ = ["Look", "check_file", "plain"]

SAMPLE, KINDS_SHOWN, FEW = 20_000, 30, 12
BYTES_A_SECOND = 12e6  # of csv, on two cores
_FORMULA = r"^[=+\-@\t\r]"  # what a spreadsheet would run
_HAS_ZONE = r"(Z|UTC|[+-]\d\d:?\d\d)$"


@dataclass(slots=True, kw_only=True)
class Look:
    """What was found in a file. `checked` is of the guess, not of what was told, where `fault` is not empty."""

    source: str
    query: str | None
    columns: dict[str, str]  # as told; then with the guesses
    kinds: dict[str, str]
    clock: str | None
    datetime_format: str | None
    out: Path
    size: int = 0
    rows: int = 0
    seconds: float = 0.0
    fault: str = ""
    mends: list[str] = field(default_factory=list)
    contents: dict[str, Contents] = field(default_factory=dict)
    dtypes: dict[str, str] = field(default_factory=dict)
    guesses: list[Guess] = field(default_factory=list)
    signed: str = ""  # the column whose sign tells refunds from purchases, where no column names the kind of event
    has_event: bool = True
    words: list[tuple[str, int, str]] = field(default_factory=list)  # their kind of event, rows, ours
    checked: Checked | None = None
    facts: list[tuple[str, str]] = field(default_factory=list)
    as_of: str = ""
    quarantine: Path | None = None

    @property
    def stem(self) -> str:
        """`log/2024*.csv.gz` -> "log_2024"."""
        path = Path(shown(self.source))
        name = f"{path.parent.name}_{path.name}" if set(path.name) & set("*?[") else path.name
        name = re.sub(r"\.(csv|tsv|txt|parquet|pq|jsonl|ndjson|json)(\.gz)?$", "", name, flags=re.IGNORECASE)
        return re.sub(r"[^\w.-]+", "_", name).strip("_.")[:80] or "log"

    @property
    def name(self) -> str:
        """The file's name, to show."""
        path = Path(shown(self.source))
        return plain("/".join(path.parts[-2:] if set(path.name) & set("*?[") else path.parts[-1:]), 80)

    @property
    def bytes(self) -> str:
        """The size, to show; of a table nobody tells it."""
        if not self.size:
            return "not told"
        return f"{self.size / 1e6:,.1f} MB" if self.size >= 1e5 else f"{self.size:,} bytes"

    @property
    def address(self) -> str:
        """What opens the source from anywhere, but for a password."""
        return without_password(self.source) if "://" in self.source else os.path.abspath(self.source)

    @property
    def is_understood(self) -> bool:
        """Whether read_events takes the file as told, and a row of it is good."""
        return not self.fault


def check_file(
    source: str,
    *,
    query: str | None = None,
    columns: Mapping[str, str] | None = None,
    kinds: Mapping[str, str] | None = None,
    clock: str | None = None,
    datetime_format: str | None = None,
    out: str | Path = "reports",
    tell: Callable[[str], None] = print,
) -> int:
    """Tell what the contract makes of a file, and write it down as a page.

    Parameters
    ----------
    source
        A path or glob, a table or a database, as `contract.read_events` takes it.
    query, columns, kinds, clock, datetime_format
        As `query`, `columns`, `kinds`, `timezone` and `datetime_format` of `read_events`.
    out
        Folder for `check_NAME.html` and, if rows are set aside, `check_NAME_quarantine.csv` (parquet for lists).
    tell
        Takes the lines for the terminal.

    Returns
    -------
    int
        0: the file is understood as told, though rows may be set aside; 1: it is not.

    Raises
    ------
    ValueError
        No such file, table, clock or kind of event, or the database gives nothing; nothing was read.
    OSError
        `out` cannot be written.
    """
    from shoptoolkit.report.check_page import terminal, write_page

    check_words(kinds, clock)
    paths = [] if kind_of(source) else paths_of(source)
    look = Look(source=source, query=query, columns=dict(columns or {}), kinds=dict(kinds or {}), clock=clock,
                datetime_format=datetime_format, out=Path(out))  # fmt: skip
    look.out.mkdir(parents=True, exist_ok=True)
    look.size, begun = sum(path.stat().st_size for path in paths), time.monotonic()
    many = f"{len(paths):,} files, " if len(paths) > 1 else ""
    long = f"; this takes about {look.size / BYTES_A_SECOND:.0f} s" if look.size > 5 * BYTES_A_SECOND else ""
    tell(f"Reading {look.name} ({many}{look.bytes}{long}) ...")
    try:
        given, kind = open_source(source, query=query)
    except ContractError as error:
        if not paths:
            raise
        look.fault, look.mends = str(error), _header_mends(_first_names(paths[0]))
    else:
        _look_at(look, given, kind)
    look.seconds = time.monotonic() - begun
    for line in terminal(look):
        tell(plain(line, 2_000))
    tell(f"Page: {plain(str(write_page(look)))}")
    return 0 if look.is_understood else 1


def _look_at(look: Look, given: pl.DataFrame, kind: str) -> None:
    look.rows, told = len(given), dict(look.columns)
    sample = given.gather_every(max(1, len(given) // SAMPLE))
    look.dtypes = {name: "text" if kind == "csv" else str(dtype) for name, dtype in given.schema.items()}
    look.contents = {s.name: contents_of(s, datetime_format=look.datetime_format) for s in sample}
    known = {theirs: ours for theirs, ours in told.items() if theirs in given.columns}
    look.guesses = guess_columns(sample, look.contents, told=known)
    theirs = {guess.ours: guess.theirs for guess in look.guesses}
    look.has_event = "event" in theirs
    look.words = _words(given[theirs["event"]], look.kinds) if look.has_event else []
    try:
        look.checked = _read(look, given, kind, told)
    except ContractError as error:
        look.fault, look.mends = str(error), _header_mends(given.columns)
        if look.mends:  # columns without names: nothing to guess from
            look.guesses, look.words = [], []
            return
    if look.checked is not None and look.checked.good.is_empty():
        look.fault = f"No row of {look.name} is good.\n{look.checked}"
    guessed = columns_of(look.guesses) | told
    look.columns = {name: guessed[name] for name in given.columns if name in guessed}
    look.kinds = {word: ours for word, _, ours in look.words if ours and word != ours} | look.kinds
    if look.fault and look.rows:
        _try_guess(look, given, kind, theirs)
    if look.checked is not None:
        look.facts = _facts(look, look.checked, given.get_column(theirs["at"]) if "at" in theirs else None)
        look.quarantine = _write_quarantine(look.checked.quarantined, look)


def _read(look: Look, given: pl.DataFrame, kind: str, columns: Mapping[str, str]) -> Checked:
    options = {"columns": columns, "kinds": look.kinds, "timezone": look.clock, "datetime_format": look.datetime_format}
    return read_opened(given, kind, name=look.name, **options)  # type: ignore[arg-type]


def _try_guess(look: Look, given: pl.DataFrame, kind: str, theirs: Mapping[str, str]) -> None:
    """What the check would say if the guesses were right: shown as such."""
    held = look.contents.get(theirs.get("at", ""))
    if held is not None and look.datetime_format is None and held.unit in ("s", "ms", "us", "ns"):
        look.datetime_format = held.unit
        look.mends.append(f"{theirs['at']!r} counts from 1970: pass datetime_format={held.unit!r}.")
    if not look.has_event:
        given, look.signed = _with_event(given, [theirs[ours] for ours in ("quantity", "price") if ours in theirs])
        below = f", or a refund where {look.signed!r} is below zero" if look.signed else ""
        few = [name for name, held in look.contents.items() if held.holds == "text" and held.unique <= FEW < held.known]
        perhaps = f" Or is it in {' or '.join(map(repr, few))}?" if few else ""
        look.mends.append(f"No column tells the kind of event. If every row is a purchase{below}, say so.{perhaps}")
    missing = [ours for ours in ("customer_id", "at") if ours not in theirs]
    if missing:
        look.mends.append(f"No column looks like {' or '.join(missing)}; name it by columns={{yours: ours}}.")
    try:
        checked = None if missing else _read(look, given, kind, look.columns)
    except ContractError as error:
        if str(error) != look.fault:
            look.mends.append(f"With the guesses below it is not read either: {error}")
        return
    look.checked = look.checked if checked is None or checked.good.is_empty() else checked


def _with_event(given: pl.DataFrame, numbers: list[str]) -> tuple[pl.DataFrame, str]:
    """Every row a purchase, or a refund where a number is below zero; the number then loses its sign."""
    for name in numbers:
        column, is_text = pl.col(name), given.schema[name] == pl.String
        below = column.str.strip_chars().str.starts_with("-") if is_text else column < 0
        if given.select(below.any()).item():
            size = column.str.strip_chars().str.strip_prefix("-") if is_text else column.abs()
            event = pl.when(below).then(pl.lit("refund")).otherwise(pl.lit("purchase"))
            return given.with_columns(size, event=event), name
    return given.with_columns(event=pl.lit("purchase")), ""


def _words(series: pl.Series, told: Mapping[str, str]) -> list[tuple[str, int, str]]:
    """Kinds of events as read_events sees them, most frequent first, with ours (told, the same, or guessed)."""
    text = series.cast(pl.String, strict=False) if not series.dtype.is_nested() else series.head(0).cast(pl.String)
    bare = text.drop_nulls().str.strip_chars().str.to_lowercase()
    counts = bare.value_counts(sort=True, name="rows").head(KINDS_SHOWN)
    ours = {word.strip().lower(): kind for word, kind in told.items()}
    return [
        (word, rows, ours.get(word) or (word if word in EVENT_KINDS else guess_kind(word) or ""))
        for word, rows in counts.iter_rows()
    ]


def _facts(look: Look, checked: Checked, at: pl.Series | None) -> list[tuple[str, str]]:
    good = checked.good
    if good.is_empty():
        return []
    bought = good.filter(pl.col("event") == "purchase")
    orders = bought.select("customer_id", order=order_key(good.columns)).n_unique() if len(bought) else 0
    first, last = good.select(first=pl.col("at").min(), last=pl.col("at").max()).row(0)
    look.as_of = str(day_of(last, timezone=look.clock or "UTC") + timedelta(days=1))
    zoned = at is not None and (
        at.dtype.time_zone is not None
        if isinstance(at.dtype, pl.Datetime)
        else at.dtype == pl.String and bool(at.drop_nulls().head(100).str.contains(_HAS_ZONE).all())
    )
    clock = "written with its zone" if zoned else f"no zone is written: read as {look.clock or 'UTC'}"
    clock = "counted from 1970 UTC" if look.datetime_format in ("s", "ms", "us", "ns") else clock
    return [
        ("Good rows", f"{len(good):,}"),
        ("In quarantine", f"{len(checked.quarantined):,}"),
        ("Customers", f"{good['customer_id'].n_unique():,}"),
        ("Orders", f"{orders:,}"),
        ("First event", f"{first:%Y-%m-%d %H:%M} UTC"),
        ("Last event", f"{last:%Y-%m-%d %H:%M} UTC"),
        ("Clock", clock),
        ("Currency", "left open; a log does not tell it"),
        ("First orders ever in it?", "left open; history_known says so"),
    ]


def _write_quarantine(rows: pl.DataFrame, look: Look) -> Path | None:
    """As csv that no spreadsheet runs, or as parquet where values are lists or records; the last run's file goes."""
    stem = f"check_{look.stem}_quarantine"
    for suffix in (".csv", ".parquet"):
        (look.out / f"{stem}{suffix}").unlink(missing_ok=True)
    if rows.is_empty():
        return None
    rows = rows.select("row", "reason", pl.exclude("row", "reason"))
    if any(dtype.is_nested() or dtype == pl.Binary for dtype in rows.dtypes):
        path = look.out / f"{stem}.parquet"
        rows.write_parquet(beside := path.with_name(f".{path.name}.part"))
        os.replace(beside, path)
        return path
    text = pl.col(pl.String)
    runs = text.str.contains(_FORMULA) & text.cast(pl.Float64, strict=False).is_null()
    safe = rows.with_columns(pl.when(runs).then("'" + text).otherwise(text).name.keep())
    heads = pl.DataFrame([[f"'{n}" if re.match(_FORMULA, n) else n for n in rows.columns]], orient="row")
    path = look.out / f"{stem}.csv"
    write_whole(path, f"\ufeff{heads.write_csv(include_header=False)}{safe.write_csv(include_header=False)}")
    return path


def _first_names(path: Path) -> list[str]:
    with path.open("rb") as file:
        line = file.read(10_000).split(b"\n", 1)[0].decode("cp1252", errors="replace")
    return re.split(r"[,;\t|]", line) if line.isprintable() or "\t" in line else []


def _header_mends(names: list[str]) -> list[str]:
    """What is wrong with a first line that is no header."""
    shown = ", ".join(repr(name[:30]) for name in names[:4])
    if names and sum(bool(re.match(r"\s*-?\d", name)) for name in names) * 2 > len(names):
        return [f"The first line ({shown}) looks like data: put a line of column names before it."]
    if len(names) == 1 and len(names[0]) > 12 and re.search(r"[^\w\s]", names[0]):
        return [f"Only one column was found, {shown}: separate the columns by a comma, semicolon, tab or bar."]
    return []


def plain(text: str, most: int = 400) -> str:
    """Text of a stranger for a terminal or page: control and direction signs become visible, and it ends somewhere.

    Parameters
    ----------
    text
        Anything.
    most
        Signs kept.

    Returns
    -------
    str
        In one line.
    """
    cut = text if len(text) <= most else f"{text[: most - 1]}…"
    return "".join(sign if sign.isprintable() else sign.encode("unicode_escape").decode() for sign in cut)
