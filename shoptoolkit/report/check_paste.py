"""Lines to paste after `shoptoolkit check`: a `Look` comes in, code and commands go out.

- `again`: the command that checks the file with the guesses as told.
- `pasted`: for a notebook (or, where words alone will not do, code that makes a file of the log), and for a shell.
- `line_total`: the caution where a price may be the total of a line.
"""

from __future__ import annotations

import json
import shlex
from pathlib import Path

from shoptoolkit.contract.connect import without_password
from shoptoolkit.contract.guess import is_total
from shoptoolkit.report.check_file import Look, plain

__all__ = ["again", "is_prepared", "line_total", "pasted"]


def is_prepared(look: Look) -> bool:
    """Whether words alone will not do, so that a file has to be made of the log first."""
    return look.checked is not None and (not look.has_event or bool(look.datetime_format))


def again(look: Look) -> str:
    """The command that checks the file with the guesses as told; "" where words alone will not do."""
    if not look.fault or not {"customer_id", "at", "event"} <= {guess.ours for guess in look.guesses}:
        return ""
    told = {
        "query": look.query,
        "columns": look.columns,
        "kinds": look.kinds,
        "clock": look.clock,
        "datetime-format": look.datetime_format,
    }
    words = ["shoptoolkit", "check", without_password(look.source)]
    for name, value in told.items():
        words += [f"--{name}", value if isinstance(value, str) else _literal(value)] if value else []
    return plain(shlex.join(words), 100_000)


def pasted(look: Look) -> tuple[str, str]:
    """Lines to paste: into a notebook or script, and into a shell; none where the guess leads nowhere."""
    if look.checked is None or look.checked.good.is_empty():
        return "", ""
    words = {"query": look.query, "columns": look.columns, "kinds": look.kinds, "clock": look.clock}
    words = {name: value for name, value in words.items() if value and not is_prepared(look)}
    path = str(Path.cwd() / f"{look.stem}_events.parquet") if is_prepared(look) else look.address
    code, shell = [f"dataset = {_literal(path)}"], ["shoptoolkit", "report", "-p", f"dataset={path}"]
    for name, value in words.items():
        code.append(f"{name} = {_literal(value)}")
        shell += ["-p", f"{name}={value if isinstance(value, str) else _literal(value)}"]
    if look.as_of:
        code.append(f'as_of = "{look.as_of}"  # the day after the last event: the first day not looked at')
        shell += ["-p", f"as_of={look.as_of}"]
    made = _preparation(look, path) if is_prepared(look) else "\n".join(code)
    return made, plain(shlex.join(shell), 100_000)


def _preparation(look: Look, path: str) -> str:
    """Code that writes a file which read_events takes as it is."""
    query = f", query={_literal(look.query)}" if look.query else ""
    lines = ["import polars as pl", "", "from shoptoolkit import contract"]
    lines += ["from shoptoolkit.contract.read import open_source", ""]
    lines += [f"log, _ = open_source({_literal(look.address)}{query})"]
    name, is_text = _literal(look.signed), look.dtypes.get(look.signed) in ("text", "String")
    if look.signed:
        below = f'pl.col({name}).str.strip_chars().str.starts_with("-")' if is_text else f"pl.col({name}) < 0"
        size = f'pl.col({name}).str.strip_chars().str.strip_prefix("-")' if is_text else f"pl.col({name}).abs()"
        lines += [f"is_back = {below}", 'event = pl.when(is_back).then(pl.lit("refund")).otherwise(pl.lit("purchase"))']
        lines += [f"log = log.with_columns({size}, event=event)"]
    elif not look.has_event:
        lines += ['log = log.with_columns(event=pl.lit("purchase"))']
    words = {"columns": look.columns, "kinds": look.kinds, "timezone": look.clock}
    words |= {"datetime_format": look.datetime_format}
    given = [f"    {name}={_literal(value)}," for name, value in words.items() if value]
    lines += ["checked = contract.read_events(", "    log,", *given, ")"]
    return "\n".join([*lines, f"checked.good.write_parquet({_literal(path)})", "checked"])


def line_total(look: Look) -> str:
    """The caution where a price may be the total of a line."""
    theirs = {guess.ours: guess.theirs for guess in look.guesses}
    if "quantity" not in theirs or not is_total(theirs.get("price", "")) or theirs["price"] == "price":
        return ""
    return (
        f"{theirs['price']!r} may be the total of a line. Ours is the price of one piece, multiplied by quantity; so "
        f"{theirs['quantity']!r} is kept out of quantity in the guess. Map it back if this is the price of one piece."
    )


def _literal(value: object) -> str:
    """A Python literal that is JSON too, without a sign that cannot be seen."""
    shown = json.dumps(value, ensure_ascii=False)
    return shown if shown.isprintable() else json.dumps(value)
