"""The command line: words come in, reports and one line per notebook go out.

- `main`: `shoptoolkit report [NAMES] -p key=value --for-each COLUMN --jobs N --time-limit S --out DIR`,
  `shoptoolkit simulate --customers N --days D --seed S --experiment --threads N --out DIR`, and those of `commands`:
  `shoptoolkit check FILE`, `shoptoolkit doctor`.

Exit status: 0 all is well (a notebook may have been skipped), 1 a notebook failed, 2 the command was wrong (nothing was
run), 130 interrupted, 143 terminated.
"""

from __future__ import annotations

import argparse
import os
import shlex
import sys
import textwrap
from collections.abc import Sequence
from typing import TYPE_CHECKING

from shoptoolkit.contract.connect import without_password
from shoptoolkit.report.commands import COMMANDS, add_commands
from shoptoolkit.report.progress import Terminal

if TYPE_CHECKING:
    from shoptoolkit.report.runner import RunResult
    from shoptoolkit.report.series import Plan

__all__ = ["main"]

PARAMETER_HELP = """set a parameter, again for another: -p horizon_days=60 -p history_known=true -p by=category.
The value takes the type of the notebook's default. Where that is None, true, false, none, plain numbers, lists [1, 2]
and dicts {"ts": "at"} are read as such; dates such as 20111209 and numbers such as 007 stay text. A path to files here
is made absolute, since notebooks run in their own folder"""
FOR_EACH_HELP = """one report per value of this column of the log, such as country, from notebooks that have a parameter
`only`. Rows are chosen, not customers: what a customer did under another value is not seen"""


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command line.

    Parameters
    ----------
    argv
        Words after `shoptoolkit`; None: those of the process.

    Returns
    -------
    int
        The exit status: 0, 1, 2, 130 or 143.
    """
    words = list(sys.argv[1:] if argv is None else argv)
    try:
        told = _parser().parse_args(words)
        if told.command in COMMANDS:
            return COMMANDS[told.command](told, _tell)
        return _simulate(told) if told.command == "simulate" else _report(told, words)
    except SystemExit as stop:  # argparse has printed its message; above 128 stands for a signal
        code = stop.code if isinstance(stop.code, int) else 2
        return _interrupted(code) if code > 128 else code
    except KeyboardInterrupt:
        return _interrupted(130)


def _interrupted(code: int) -> int:
    print("shoptoolkit: interrupted; reports already written are whole, and the index lists them.", file=sys.stderr)
    return code


def _parser() -> argparse.ArgumentParser:
    from shoptoolkit import __version__

    parser = argparse.ArgumentParser(prog="shoptoolkit", description="Reports about shoppers, from notebooks.")
    parser.add_argument("--version", action="version", version=f"shoptoolkit {__version__}")
    commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")
    report = commands.add_parser("report", help="run notebooks and write HTML reports", allow_abbrev=False)
    report.add_argument("names", nargs="*", metavar="NAME", help="20_repurchase_retention, 20 or a path; none: 00-69")
    report.add_argument("-p", "--parameter", action="append", default=[], metavar="KEY=VALUE", help=PARAMETER_HELP)
    report.add_argument("--for-each", metavar="COLUMN", help=FOR_EACH_HELP)
    report.add_argument("--at-most", type=int, metavar="N", help="of its values the N most frequent (all, up to 50)")
    report.add_argument("--jobs", type=int, default=1, metavar="N", help="notebooks run at a time (1)")
    report.add_argument("--time-limit", type=float, metavar="S", help="seconds for a whole notebook (no limit)")
    report.add_argument("--out", default="reports", metavar="DIR", help="where the reports go (reports)")
    report.add_argument("--notebooks", default="notebooks", metavar="DIR", help="where the notebooks are (notebooks)")
    world = commands.add_parser("simulate", help="write a simulated shop as parquet files", allow_abbrev=False)
    world.add_argument("--customers", type=int, default=4_000, metavar="N", help="customers (4000)")
    world.add_argument("--days", type=int, default=365, metavar="D", help="days of the log (365)")
    world.add_argument("--seed", type=int, default=20, metavar="S", help="seed: the same gives the same files (20)")
    world.add_argument("--experiment", action="store_true", help="with a randomised ad experiment")
    world.add_argument("--threads", type=int, default=1, metavar="N", help="parts made at a time (1)")
    world.add_argument("--out", default="data/simulated", metavar="DIR", help="where it goes (data/simulated)")
    add_commands(commands)
    return parser


def _simulate(told: argparse.Namespace) -> int:
    from shoptoolkit import simulate

    size = {"n_customers": told.customers, "days": told.days, "rng": told.seed, "threads": told.threads}
    try:
        rows = simulate.write_shop(told.out, experiment=simulate.Experiment() if told.experiment else None, **size)
    except (ValueError, OSError) as error:
        print(f"shoptoolkit simulate: {error}", file=sys.stderr)
        return 2
    _tell(f"{rows:,} events of {told.customers:,} customers: {told.out}/events/*.parquet")
    return 0


def _report(told: argparse.Namespace, words: Sequence[str]) -> int:
    from shoptoolkit.report.runner import run_plan
    from shoptoolkit.report.series import plan_series

    try:
        plan = plan_series(
            told.names,
            notebooks=told.notebooks,
            out=told.out,
            parameters=_parameters(told.parameter),
            jobs=told.jobs,
            time_limit=told.time_limit,
            for_each=told.for_each,
            at_most=told.at_most,
        )
        plan.out.mkdir(parents=True, exist_ok=True)
    except (ValueError, OSError) as error:
        print(f"shoptoolkit report: {error}", file=sys.stderr)
        return 2
    for note in plan.notes:
        _tell(note)
    with Lines(plan) as lines:
        results = run_plan(plan, command=without_password(shlex.join(["shoptoolkit", *words])), watch=lines)
    failed = [result.name for result in results if result.status == "failed"]
    if failed:
        _tell(f"{len(failed)} of {len(results)} failed: {', '.join(failed)}")
    _tell(f"Index: {plan.out / 'index.html'}")
    return 1 if failed else 0


class Lines(Terminal):
    """The terminal's progress, and on stdout one line per notebook that is done, with what went wrong."""

    def __init__(self, plan: Plan) -> None:
        super().__init__(plan)
        self._width = max(len(job.name) for job in plan.work)

    def result(self, result: RunResult) -> None:
        super().result(result)
        with self.aside():
            _say(result, self._width)


def _parameters(pairs: Sequence[str]) -> dict[str, str]:
    found: dict[str, str] = {}
    for pair in pairs:
        key, sign, value = pair.partition("=")
        if not sign or not key.strip():
            raise ValueError(f"-p {pair!r} is not KEY=VALUE; write for example -p within_days=90.")
        if key.strip() in found:
            raise ValueError(f"-p {key.strip()} is given twice; give it once.")
        found[key.strip()] = value
    return found


def _say(result: RunResult, width: int) -> None:
    from shoptoolkit.report.page import seconds_in_words

    took = seconds_in_words(result.seconds)
    _tell(f"{result.status:<7}  {result.name:<{width}} {took:>10}  {result.size / 1e6:5.2f} MB  {result.path}")
    failure = result.failure
    if failure is None:
        return
    said = f"{failure.where}: {failure.name}: {failure.message}" + (f"\n> {failure.line}" if failure.line else "")
    _tell(textwrap.indent(failure.message if result.status == "skipped" else said, " " * 9))


def _tell(text: str) -> None:
    """Print now; a terminal that lacks a sign of an error message shows "?", and the series goes on."""
    encoding = sys.stdout.encoding or "utf-8"
    try:
        print(text.encode(encoding, "replace").decode(encoding), flush=True)
    except BrokenPipeError:  # the reader of our lines, `head` say, has gone; the series goes on without one
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
