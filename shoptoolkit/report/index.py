"""The front page of a series: a folder of reports comes in, its `index.html` goes out.

- `write_index`: every report in the folder, read from the `<meta name="shoptoolkit-...">` tags of its page, so that
  running one notebook does not empty the index. Reports of one notebook by value of a column stand together.
- `is_page`: did we write this file?
- `skipped_page`: the page of a notebook that needs what is not there.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from html.parser import HTMLParser
from itertools import groupby
from pathlib import Path

from shoptoolkit.report.exporter import template
from shoptoolkit.report.files import write_whole
from shoptoolkit.report.page import NO_ANSWER, Page, seconds_in_words
from shoptoolkit.report.pictures import THUMBNAIL_CHARACTERS
from shoptoolkit.report.provenance import made_with

__all__ = ["is_page", "skipped_page", "write_index"]

STYLE = "series/index.css"
KINDS = {  # status: (class and icon, word of the chip, words of the tally)
    "pass": ("pass", "Answered", "answered without a warning"),
    "warn": ("warn", "With a warning", "answered with a warning"),
    "stop": ("stop", "A check stops", "answered, a check says stop"),
    NO_ANSWER: ("info", "No answer", "without an answer in one line"),
    "failed": ("stop", "Did not finish", "did not finish"),
    "skipped": ("info", "Skipped", "skipped"),
}
NUMBERS = ("No", "One", "Two", "Three", "Four", "Five", "Six", "Seven", "Eight", "Nine", "Ten", "Eleven", "Twelve")


@dataclass(frozen=True, slots=True, kw_only=True)
class Item:
    """One report, as the index lists it."""

    file: str
    name: str  # of the notebook
    only: str  # "country GB"; "" for the report of the whole log
    title: str
    text: str
    interval: str  # the number of the answer with its interval
    data: str  # what it is about
    status: str
    seconds: str
    size: str
    thumbnail: str
    is_new: bool

    @property
    def number(self) -> str:
        """`20_repurchase_retention` -> "20"."""
        head = self.name.partition("_")[0]
        return head if head.isdigit() else ""


def write_index(
    out: str | Path, files: Sequence[str] = (), *, command: str = "", facts: Mapping[str, str] | None = None
) -> Path:
    """List all reports of a folder in its `index.html`.

    Parameters
    ----------
    out
        The folder of the reports.
    files
        Names of the pages that this run wrote; the others are listed as earlier ones.
    command
        How the series was run.
    facts
        What else to say of the run: name to text.

    Returns
    -------
    Path
        Of the index.

    Raises
    ------
    ValueError
        `out` is not a folder.
    """
    folder = Path(out)
    if not folder.is_dir():
        raise ValueError(f"out={str(out)!r} is not a folder; run `shoptoolkit report --out {out}` first.")
    pages = (path for path in sorted(folder.glob("*.html")) if path.name != "index.html" and path.is_file())
    found = (_item(path, is_new=path.name in files) for path in pages)
    items = sorted((item for item in found if item), key=lambda item: (item.name, item.only.casefold(), item.file))
    path = folder / "index.html"
    write_whole(path, _render(items, command, facts or {}))
    return path


def is_page(path: Path) -> bool:
    """Whether a file is a report that we wrote; its tags say so."""
    return path.is_file() and "name" in _tags(path)


def skipped_page(page: Page, only: str, reason: str) -> str:
    """Say why a notebook was skipped.

    Parameters
    ----------
    page
        Of the notebook as far as it ran.
    only
        The choice of rows in words; "" for the whole log.
    reason
        What it needs.

    Returns
    -------
    str
        HTML, with the tags by which the index knows a page.
    """
    made = template("series/skipped.html.j2", style=STYLE)
    return str(made.render(page=page, only=only, reason=reason or "It does not say what it needs."))


def _item(path: Path, *, is_new: bool) -> Item | None:
    tags = _tags(path)
    if "name" not in tags:
        return None  # not a page of ours
    number = " ".join(filter(None, (tags.get("number"), tags.get("interval"))))
    status = tags.get("status", "")
    text = tags.get("error") or tags.get("answer") or number or "This report gives no answer in one line."
    small = tags.get("thumbnail", "")
    return Item(
        file=path.name,
        name=tags["name"],
        only=tags.get("only", ""),
        title=tags.get("title") or tags["name"],
        text=text,
        interval=number if text == tags.get("answer") else "",
        data=tags.get("data", ""),
        status=status if status in KINDS else NO_ANSWER,
        seconds=_time_in_words(tags.get("seconds", "")),
        size=_size_in_words(path.stat().st_size),
        thumbnail=small if small.startswith("data:image/png;base64,") and len(small) < THUMBNAIL_CHARACTERS else "",
        is_new=is_new,
    )


def _tags(path: Path) -> dict[str, str]:
    """The `shoptoolkit-` tags of a page's head; a page is read again only when it has changed."""
    stat = path.stat()
    return _read_tags(path, stat.st_ino, stat.st_mtime_ns, stat.st_size)


@lru_cache(maxsize=4096)
def _read_tags(path: Path, *_state: int) -> dict[str, str]:
    """Whichever way the attributes are ordered and quoted."""
    with path.open(encoding="utf-8", errors="replace") as file:
        head = _Head()
        head.feed(file.read(200_000).partition("<style>")[0])
    return head.found


class _Head(HTMLParser):
    """Collects our tags; those that stand in the body are not ours."""

    def __init__(self) -> None:
        super().__init__()
        self.found: dict[str, str] = {}
        self.is_over = False

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.is_over |= tag == "body"
        told = dict(attrs)
        name = told.get("name") or ""
        if tag == "meta" and name.startswith("shoptoolkit-") and not self.is_over:
            self.found.setdefault(name.removeprefix("shoptoolkit-"), told.get("content") or "")


def _time_in_words(text: str) -> str:
    try:
        return seconds_in_words(float(text)) if text else ""
    except (ValueError, OverflowError):  # not written by us: "soon", "nan", "inf"
        return ""


def _size_in_words(size: int) -> str:
    return f"{size / 1e6:.1f} MB" if size >= 1e6 else f"{max(1, round(size / 1e3))} kB"


def _render(items: Sequence[Item], command: str, facts: Mapping[str, str]) -> str:
    count = len({item.name for item in items})
    number = NUMBERS[count] if count < len(NUMBERS) else str(count)
    tally = Counter(item.status for item in items)
    new = sum(item.is_new for item in items)
    told = [("In this run", f"{new} of {len(items)} reports")] if new else []
    made = made_with()
    versions = made["packages"]
    packages = ", ".join(f"{name} {versions[name]}" for name in ("shoptoolkit", "polars") if name in versions)
    return str(
        template("series/index.html.j2", style=STYLE).render(
            heading=f"{number} question{'' if count == 1 else 's'} about shoppers",
            groups=[list(group) for _, group in groupby(items, key=lambda item: (item.name, bool(item.only)))],
            kinds=KINDS,
            tally=[(KINDS[kind][0], tally[kind], KINDS[kind][2]) for kind in KINDS if tally[kind]],
            facts=[*facts.items(), *told, ("Made with", f"{packages}, Python {made['python']}")],
            command=command,
        )
    )
