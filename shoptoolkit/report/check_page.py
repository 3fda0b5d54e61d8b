"""The page and the terminal lines of `shoptoolkit check`: a `Look` comes in, words go out.

- `write_page`: one self-contained HTML page in the look of a report.
- `terminal`: the same in lines of text.

Every value of the file is made plain, then escaped.
"""

from __future__ import annotations

from pathlib import Path

import polars as pl

from shoptoolkit.contract.check import Checked
from shoptoolkit.contract.connect import without_password
from shoptoolkit.contract.reconcile import reconcile
from shoptoolkit.contract.show import LAB_STYLE, html_table
from shoptoolkit.report.check_file import Look, plain
from shoptoolkit.report.check_paste import again, is_prepared, line_total, pasted
from shoptoolkit.report.files import write_whole
from shoptoolkit.report.page import seconds_in_words

__all__ = ["terminal", "write_page"]

QUESTIONS = (  # question; columns with more than one value; kinds of which one is there; what is said without them
    ("Do customers come back, and when?", (), ("purchase",), "no purchase is in it"),
    ("Who comes back sooner, by source?", ("source",), (), "no source that differs: no split by source"),
    ("... by category of the first order?", ("category",), (), "no category that differs: no split by category"),
    ("Which lines are one order?", ("order_id",), (), "no order_id: what a customer buys at one moment is one order"),
    ("What is an order worth?", ("price",), ("purchase",), "no price, or one price only"),
    ("How many pieces?", ("quantity",), (), "no quantity that differs: a line is one piece"),
    ("What comes back to the shop?", (), ("refund",), "no refund: revenue is before returns"),
    ("What leads up to an order?", (), ("view", "search", "cart", "click"), "no views, searches, carts or clicks"),
    ("How long do people watch?", ("watch_seconds",), (), "no watch_seconds"),
    ("Which ads did they meet?", ("campaign_id",), ("impression", "click"), "no campaign_id on impressions or clicks"),
    ("What was known at the time?", ("known_at",), (), "no known_at: a row counts as known at its own moment"),
)
ADS = "not from a log alone: it takes an experiment's assignments, or regions treated and not"


def terminal(look: Look) -> list[str]:
    """What is told on the terminal, line by line."""
    lines = [
        f"{_headline(look)} ({look.rows:,} row{'s' * (look.rows != 1)} in {seconds_in_words(look.seconds)})",
        *(f"  {line}" for line in look.fault.splitlines()),
    ]
    lines += [f"  mend: {mend}" for mend in look.mends]
    if look.contents:
        lines += ["", _columns_line("column", "holds", "example", "taken for", "sure?", "why")]
        shown = ("column", "holds", "example", "taken for", "how sure", "why")
        lines += [_columns_line(*(row[name] for name in shown)) for row in _columns(look).to_dicts()]
    if look.words:
        lines += ["", "kinds of events"]
        lines += [f"  {rows:>12,}  {plain(word, 30):<32}{ours or '?'}" for word, rows, ours in look.words]
    if look.checked is not None:
        lines += ["", "if the guess is right" if look.fault else "the check"]
        lines += [f"  {name}: {text}" for name, text in look.facts]
        lines += [f"  {f['rows']:,} {f['action']}: {f['rule']} (e.g. {f['example']})" for f in _faults(look.checked)]
    lines += ["", "to check the guess", f"  {again(look)}"] if again(look) else []
    code, shell = pasted(look)
    if code:
        once = "once, to make a file that is" if is_prepared(look) else "to paste into a notebook"
        lines += ["", once, *(f"  {line}" for line in code.splitlines()), "", "in a shell", f"  {shell}"]
    lines += [f"  note: {note}"] if (note := line_total(look)) else []
    return [*lines, "", *([f"Quarantine: {look.quarantine}"] if look.quarantine else [])]


def _columns_line(name: str, holds: str, example: str, ours: str, sure: str, why: str) -> str:
    return f"{plain(name, 22):<24}{holds:<20}{plain(example, 22):<24}{ours:<15}{sure:<9}{why}"


def write_page(look: Look) -> Path:
    """Write the page.

    Returns
    -------
    Path
        `check_NAME.html` in the folder of the look.
    """
    from shoptoolkit.report.exporter import template
    from shoptoolkit.report.pieces import answer

    code, shell = pasted(look)
    number, interval = _number(look)
    short = answer(sentence=_headline(look), number=number, interval=interval, checks=_tiles(look)).html
    html = template("check/page.html.j2", style="shopreport/report.css").render(
        look=look,
        fault=[plain(line, 2_000) for line in look.fault.splitlines()],
        mends=[plain(mend, 2_000) for mend in look.mends],
        short=short,
        tables=_tables(look),
        code=code,
        shell=shell,
        is_prepared=is_prepared(look),
        again=again(look),
        note=line_total(look),
        facts=[("File", plain(without_password(look.source))), ("Size", look.bytes), ("Rows", f"{look.rows:,}"),
               ("Read and checked in", seconds_in_words(look.seconds))],
        quarantine=plain(look.quarantine.name) if look.quarantine else "",
    )  # fmt: skip
    path = look.out / f"check_{look.stem}.html"
    write_whole(path, html)
    return path


def _headline(look: Look) -> str:
    aside = len(look.checked.quarantined) if look.checked is not None else 0
    if look.fault:
        found = look.checked is not None and len(look.checked.good) > 0
        return f"{look.name} is not understood as it stands" + ("; with the guesses below it is." if found else ".")
    if aside:
        return f"{look.name} is understood; {aside:,} of {look.rows:,} rows are set aside."
    return f"{look.name} is understood, and every row of it is good."


def _number(look: Look) -> tuple[str, str]:
    if look.checked is None or not look.rows:
        return "", ""
    share = len(look.checked.good) / look.rows
    shown = f"{100 * share:.1f}" if share in (0, 1) or 0.0005 < share < 0.9995 else f"{100 * share:.3f}"
    guessed = ", if the guess is right" if look.fault else ""
    return f"{shown} %", f"of {look.rows:,} rows are good{guessed}"


def _tiles(look: Look) -> list[tuple[str, str, str]]:
    """The state of the checks."""
    tiles = [("File", "stop" if look.fault else "pass", "not read as told" if look.fault else "read as told")]
    guessed = [guess for guess in look.guesses if guess.sure != "told"]
    if look.contents:
        text = f"{len(look.guesses)} of {len(look.contents)} columns taken, {len(guessed)} of them guessed"
        tiles.append(("Columns", "warn" if guessed else "pass", text))
    if look.words:
        strange = sum(not ours for _, _, ours in look.words)
        tiles.append(("Kinds of events", "warn" if strange else "pass", f"{len(look.words)} seen, {strange} unknown"))
    elif look.contents:
        tiles.append(("Kinds of events", "stop", "no column tells them"))
    if look.checked is not None:
        aside = len(look.checked.quarantined)
        tiles.append(("Rows", "warn" if aside else "pass", f"{aside:,} set aside"))
    return tiles


def _columns(look: Look) -> pl.DataFrame:
    of = {guess.theirs: guess for guess in look.guesses}
    rows = []
    for name, held in look.contents.items():
        guess = of.get(name)
        ours = look.columns.get(name, guess.ours if guess else "")
        sure, why = (guess.sure, guess.why) if guess else ("", "none of ours")
        rows.append((plain(name, 60), ours, sure, plain(why), held.holds, plain(held.example, 60), look.dtypes[name]))
    names = ["column", "taken for", "how sure", "why", "holds", "example", "type"]
    return pl.DataFrame(rows, schema=dict.fromkeys(names, pl.String), orient="row")


def _faults(checked: Checked) -> list[dict[str, str]]:
    return [row | {"example": plain(row["example"])} for row in checked.faults.to_dicts()]


def _answers(checked: Checked) -> pl.DataFrame:
    """What can be asked of these columns and kinds."""
    good = checked.good
    kinds = set(good["event"].cast(pl.String).unique())
    rows = []
    for question, columns, wanted, without in QUESTIONS:
        has = all(name in good.columns and good[name].drop_nulls().n_unique() > 1 for name in columns)
        has = has and (not wanted or bool(kinds & set(wanted)))
        rows.append((question, "yes" if has else "no", "" if has else without))
    rows.append(("What did the ads add?", "no", ADS))
    return pl.DataFrame(rows, schema=["question", "answer", "why"], orient="row")


def _tables(look: Look) -> dict[str, str]:
    """Name -> HTML of each table that there is something to show in."""
    found = dict.fromkeys(("columns", "kinds", "faults", "facts", "account", "answers"), "")
    if look.contents:
        note = "From a sample of the rows; the check below looks at all. Columns not taken are kept as they are"
        found["columns"] = _html(_columns(look), title="Columns, and what each is taken for", note=note, max_rows=200)
    if look.words:
        words = [(plain(word, 60), rows, ours or "unknown: set aside") for word, rows, ours in look.words]
        frame = pl.DataFrame(words, schema=["their_word", "rows", "taken_for"], orient="row")
        found["kinds"] = _html(frame, title="What each kind is taken for", note="Case and outer blanks do not matter")
    if look.checked is None:
        return found
    if faults := _faults(look.checked):
        note = "A row with several faults counts for each. Rows told as kept are only pointed out"
        found["faults"] = _html(pl.DataFrame(faults), title="Faults", note=note)
    if len(look.checked.good):
        found["facts"] = _html(pl.DataFrame(look.facts, schema=["what", "found"], orient="row"), title="What is in it")
        found["account"] = reconcile(look.checked)._repr_html_().removeprefix(LAB_STYLE)
        found["answers"] = _html(_answers(look.checked), title="What can be asked of it")
    return found


def _html(frame: pl.DataFrame, *, title: str, note: str = "", max_rows: int = 60) -> str:
    return html_table(frame, title=title, note=note, max_rows=max_rows).removeprefix(LAB_STYLE)
