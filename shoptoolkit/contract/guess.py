"""Which column of a log is which? Guesses from names and contents, each with how sure and why. Nothing is applied here.

In: a sample of a log as it was opened. Out: `guess_columns` -> one `Guess` per column of the contract that was found;
`guess_kind` -> our word for one of theirs; `contents_of` -> what a column holds. Read `guess_columns` first.
"""

from __future__ import annotations

import difflib
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

import polars as pl

from shoptoolkit.contract.columns import OTHER_NAMES, bare
from shoptoolkit.contract.read import to_numbers
from shoptoolkit.contract.schemas import ContractError, Events
from shoptoolkit.contract.timestamps import to_utc

MOST = 0.9  # a column holds what nine in ten of its values are
FITS = {  # kind of field -> what a column may hold
    "id": ("whole numbers", "text"),
    "time": ("moments", "counts since 1970"),
    "number": ("numbers", "whole numbers"),
    "whole": ("whole numbers",),
    "text": ("text", "whole numbers"),
}
_LOOKS_DATED = r"^\s*\d{1,4}[-/.]?\d{1,2}[-/.]?\d{1,4}"
_EPOCHS = {"s": 1e9, "ms": 1e12, "us": 1e15, "ns": 1e18}  # September 2001; twice as much is 2033
_TOTALS = {"amount", "value", "total", "revenue", "sales", "spend", "paid"}
_KIND_WORDS = {
    "impression": "impressions ad_impression shown served ad_view",
    "click": "clicks clicked ad_click",
    "view": "views viewed page_view pageview product_view view_item item_view detail_view visit browse",
    "watch": "watched video_view play video_play video_watch stream",
    "search": "searched searches query view_search_results",
    "cart": "add_to_cart addtocart add_cart cart_add basket add_to_basket added_to_cart",
    "checkout": "begin_checkout checkout_start start_checkout initiate_checkout",
    "purchase": "purchases purchased buy bought order ordered order_completed sale sold transaction conversion",
    "refund": "refunds refunded return returned returns cancel cancelled canceled cancellation credit credit_note",
}
_KIND_OF = {bare(word): ours for ours, words in _KIND_WORDS.items() for word in [ours, *words.split()]}


@dataclass(frozen=True, slots=True, kw_only=True)
class Contents:
    """What a column holds: `holds` in words, an example, how many values differ, blanks left out."""

    holds: str
    example: str
    unique: int
    known: int
    unit: str = ""  # of counts since 1970: s, ms, us or ns


@dataclass(frozen=True, slots=True, kw_only=True)
class Guess:
    """`theirs` may be our column `ours`. `sure`: told (by its name, or by the caller), sure, likely or perhaps."""

    ours: str
    theirs: str
    sure: str
    why: str


def guess_columns(
    sample: pl.DataFrame, contents: Mapping[str, Contents], *, told: Mapping[str, str] | None = None
) -> list[Guess]:
    """The columns of Events among those of a log; `told` ({theirs: ours}) comes before any guess."""
    told = dict(told or {})
    found = [Guess(ours=ours, theirs=theirs, sure="told", why="you said so") for theirs, ours in told.items()]
    ours_told = set(told.values())
    exact = [name for name in sample.columns if name in Events.fields and name not in told and name not in ours_told]
    found += [Guess(ours=name, theirs=name, sure="told", why="has our name") for name in exact]
    pairs = sorted(_pairs(sample, contents), key=lambda pair: -pair[0])
    for _, guess in pairs:
        _take(found, guess)
    for ours, alone in (("at", ("moments",)), ("price", ("numbers",)), ("customer_id", FITS["id"])):
        left = [name for name in sample.columns if name not in {guess.theirs for guess in found}]
        fit = [name for name in left if contents[name].holds in alone and contents[name].unique > 1]
        if ours == "customer_id":
            fit = [name for name in fit if _repeats(contents[name]) and not _is_usual(name)]
        if len(fit) == 1:
            why = f"the only column left that holds {contents[fit[0]].holds}"
            _take(found, Guess(ours=ours, theirs=fit[0], sure="likely" if ours == "at" else "perhaps", why=why))
    return found


def columns_of(guesses: list[Guess]) -> dict[str, str]:
    """`columns={theirs: ours}` for read_events. A line's total is not multiplied by its quantity once more."""
    theirs = {guess.ours: guess.theirs for guess in guesses}
    columns = {guess.theirs: guess.ours for guess in guesses if guess.theirs != guess.ours}
    if is_total(theirs.get("price", "")) and "quantity" in theirs:
        columns.pop(theirs["quantity"], None)
        columns |= {"quantity": "pieces"} if theirs["quantity"] == "quantity" else {}
    return columns


def is_total(name: str) -> bool:
    """Whether a column of money may be the total of a line, not the price of a piece."""
    words = _words(name)
    return bool(words & _TOTALS) and not words & {"unit", "per", "item", "piece"}


def guess_kind(value: str) -> str | None:
    """Our kind of event for a shop's own word: `addToCart` is cart. None where no word is known."""
    return _KIND_OF.get(bare(value))


def contents_of(series: pl.Series, *, datetime_format: str | None = None) -> Contents:
    """What a column holds, told by its values and not by its name."""
    dtype = series.dtype
    if dtype.is_nested() or dtype in (pl.Binary, pl.Object):
        return Contents(holds="lists or records", example=str(series.first())[:200], unique=0, known=0)
    known = series.cast(pl.String) if dtype in (pl.Categorical, pl.Enum) else series
    known = known.drop_nulls()
    if known.dtype == pl.String:
        known = known.str.strip_chars()
        known = known.filter(known != "")
    if known.is_empty():
        return Contents(holds="nothing", example="", unique=0, known=0)
    holds, unit = _holds(known, datetime_format)
    return Contents(holds=holds, example=str(known[0])[:200], unique=known.n_unique(), known=len(known), unit=unit)


def _holds(known: pl.Series, datetime_format: str | None) -> tuple[str, str]:
    if known.dtype.is_temporal():
        return ("moments" if known.dtype in (pl.Date, pl.Datetime) else "times of day"), ""
    if known.dtype == pl.Boolean:
        return "yes or no", ""
    if known.dtype == pl.String and (unit := _is_moment(known.head(2_000), datetime_format)) is not None:
        return "moments", unit
    numbers = to_numbers(known) if known.dtype == pl.String else known.cast(pl.Float64, strict=False)
    numbers = numbers.drop_nulls()
    if len(numbers) < MOST * len(known):
        return "text", ""
    if not bool((numbers == numbers.floor()).all()):
        return "numbers", ""
    units = [unit for unit, least in _EPOCHS.items() if numbers.is_between(least, 2 * least).all()]
    return ("counts since 1970", units[0]) if units else ("whole numbers", "")


def _is_moment(text: pl.Series, datetime_format: str | None) -> str | None:
    """None: no moments; "": moments; "?": moments that need a datetime_format."""
    formats = [] if datetime_format in (None, *_EPOCHS) else [datetime_format]
    if text.str.contains(_LOOKS_DATED).sum() >= MOST * len(text):
        formats.append(None)
    said = None
    for one in formats:
        try:
            if to_utc(text, datetime_format=one).count() >= MOST * len(text):
                return ""
        except ContractError as error:
            said = said if "fit" in str(error) else "?"  # it fits no format; else it fits several
    return said


def _pairs(sample: pl.DataFrame, contents: Mapping[str, Contents]) -> Iterator[tuple[float, Guess]]:
    """Every column with everything it may be, and a score to order them by."""
    for theirs in sample.columns:
        held = contents[theirs]
        for ours, field in Events.fields.items():
            score, why = _by_name(ours, theirs)
            is_fit, why = held.holds in FITS[field.kind], f"{why}, and it holds {held.holds}"
            sure = "sure" if score > 0.8 else "likely"
            if ours == "event":
                share = _known_kinds(sample[theirs]) if held.holds == "text" and held.unique <= 50 else 0.0
                is_fit, score = share > 0 or score > 0.8, score + (share > 0.5)
                why = f"{share:.0%} of its values are words for kinds of events" if share else f"{why}, not its values"
                sure = ("sure" if share > MOST else "likely") if share > 0.5 else "perhaps"
            elif field.kind == "id" and score < 0.8 and held.unique <= 20 < held.known:
                continue  # `order_status` numbers no orders
            elif ours == "at" and score > 0.8 and held.holds == "text":
                is_fit, sure, score = True, "perhaps", score - 0.7
                why += ", but its values need a datetime_format"
            if ours == "price" and is_total(theirs):
                sure, why = "likely", f"{why}, though it may be the total of a line"
            if score > 0 and is_fit:
                yield score, Guess(ours=ours, theirs=theirs, sure=sure, why=why)


def _by_name(ours: str, theirs: str) -> tuple[float, str]:
    others = OTHER_NAMES.get(ours, "").split()
    known = [bare(name) for name in (ours, *others)]
    if bare(theirs) in known:
        return 0.95 - known.index(bare(theirs)) / 1000, f"a usual name for {ours}"
    words = _words(theirs) & {name for name in others if "_" not in name}
    if words:
        return 0.6, f"{min(words)!r} is in its name"
    return (0.5, "its name is close") if difflib.get_close_matches(bare(theirs), [bare(ours)], cutoff=0.75) else (0, "")


def _repeats(held: Contents) -> bool:
    """Many values, some of them again: so do customers."""
    return min(20, 0.05 * held.known) < held.unique < held.known


def _is_usual(name: str) -> bool:
    return any(_by_name(ours, name)[0] > 0.8 for ours in Events.fields)


def _words(name: str) -> set[str]:
    """`orderDate` and `order_date` -> order, date."""
    return set(re.findall(r"[a-z0-9]+", re.sub(r"([a-z])([A-Z])", r"\1_\2", name).lower()))


def _known_kinds(series: pl.Series) -> float:
    counts = series.drop_nulls().cast(pl.String).value_counts(name="rows")
    known = [rows for value, rows in counts.iter_rows() if guess_kind(value)]
    return sum(known) / max(counts["rows"].sum(), 1)


def _take(found: list[Guess], guess: Guess) -> None:
    if not any(guess.ours == other.ours or guess.theirs == other.theirs for other in found):
        found.append(guess)
