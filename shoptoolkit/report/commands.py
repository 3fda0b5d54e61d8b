"""The commands about a user's own file and machine: parsed words come in, an exit status goes out.

- `add_commands`: the parsers of `shoptoolkit check` and `shoptoolkit doctor`.
- `COMMANDS`: name -> function of the parsed words and of what takes the lines for the terminal.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Callable
from typing import Any

__all__ = ["COMMANDS", "add_commands"]

Tell = Callable[[str], None]


def add_commands(commands: Any) -> None:
    """Add both to the subparsers of the command line."""
    check = commands.add_parser("check", help="what is made of a log of your own", allow_abbrev=False)
    check.add_argument(
        "file",
        metavar="FILE",
        help="csv, parquet or json lines, or a quoted glob of them; a Delta or Iceberg table, or a database",
    )
    check.add_argument("--query", metavar="SQL", help="of a database: the name of a table, or a SELECT")
    check.add_argument("--columns", type=_mapping, metavar="JSON", help='{"your column": "ours"}')
    check.add_argument("--kinds", type=_mapping, metavar="JSON", help='{"your kind of event": "ours"}')
    check.add_argument("--clock", metavar="ZONE", help="where timestamps without a zone were written (UTC)")
    formats = "of text timestamps, such as %%d/%%m/%%Y %%H:%%M; s, ms, us or ns for numbers since 1970"
    check.add_argument("--datetime-format", metavar="F", help=formats)
    check.add_argument("--out", default="reports", metavar="DIR", help="where page and quarantine go (reports)")
    commands.add_parser("doctor", help="what is missing on this machine, and its mend", allow_abbrev=False)


def _mapping(text: str) -> dict[str, str]:
    try:
        found = json.loads(text)
    except ValueError:
        found = None
    if isinstance(found, dict) and all(isinstance(value, str) for value in found.values()):
        return found
    raise argparse.ArgumentTypeError(f"{text!r} is no mapping of text to text; write {json.dumps({'yours': 'ours'})!r}")


def _check(told: argparse.Namespace, tell: Tell) -> int:
    from shoptoolkit.report.check_file import check_file, plain

    options = {name: getattr(told, name) for name in ("query", "columns", "kinds", "clock", "datetime_format", "out")}
    try:
        return check_file(told.file, tell=tell, **options)
    except (ValueError, OSError) as error:
        said = plain(str(error).replace("timezone is", "clock is", 1), 2_000)
        print(f"shoptoolkit check: {said}", file=sys.stderr)
        return 2


def _doctor(_told: argparse.Namespace, tell: Tell) -> int:
    from shoptoolkit.report.doctor import examine

    return examine(tell=tell)


COMMANDS: dict[str, Callable[[argparse.Namespace, Tell], int]] = {"check": _check, "doctor": _doctor}
