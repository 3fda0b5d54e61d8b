"""Run notebooks and write their reports: a plan comes in, HTML files and one result per notebook go out.

- `run_series`: check, run, convert, write, index. A notebook that cannot be read, run or made into a page leaves
  `NAME.FAILED.html` with the error, one that raises `Skip` leaves `NAME.SKIPPED.html` with its reason; the rest go on.
- `run_plan`: the same for a plan that is checked already (the command line's way).
- `RunResult`, `RunFailure`: what became of a notebook.

Notebooks run in their own folder, as JupyterLab and plain nbconvert do, by the Python that runs this.

There is one page per notebook (and value, see `for_each`), that of its last run: it takes the place of an earlier one,
be that good, failed or skipped, because a page from before a failure would mislead. Pages of notebooks that did not run
stay, even if the notebook is gone (it may lie in another folder); the index marks them. What we did not write stays.
Upon SIGINT, SIGTERM or SIGHUP all kernels are killed, pages already written stay, and the index lists them.
"""

from __future__ import annotations

import signal
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import Any

from nbformat.v4 import new_notebook

from shoptoolkit.report.each import file_words, words_of
from shoptoolkit.report.files import sweep, write_whole
from shoptoolkit.report.index import is_page, skipped_page, write_index
from shoptoolkit.report.kernel import execute, usable_cores
from shoptoolkit.report.outcome import RunFailure, Skip
from shoptoolkit.report.page import META, Page, moment_in_words, seconds_in_words
from shoptoolkit.report.parameters import inject
from shoptoolkit.report.progress import Watch
from shoptoolkit.report.provenance import git_commit, made_with
from shoptoolkit.report.series import Job, Plan, plan_series, read_notebook

__all__ = ["RunFailure", "RunResult", "run_plan", "run_series"]

ENDINGS = {"ok": ".html", "failed": ".FAILED.html", "skipped": ".SKIPPED.html"}


@dataclass(frozen=True, slots=True, kw_only=True)
class RunResult:
    """What became of one notebook."""

    name: str
    status: str  # "ok", "failed" or "skipped"
    seconds: float
    path: Path  # of the page
    size: int  # bytes; 0 if it could not be written
    title: str
    answer: str  # in plain text; "" if there is none
    failure: RunFailure | None = None  # of a skipped one: its reason is the message


def run_series(
    names: Sequence[str | Path] = (),
    *,
    notebooks: str | Path = "notebooks",
    out: str | Path = "reports",
    parameters: Mapping[str, Any] | None = None,
    jobs: int = 1,
    time_limit: float | None = None,
    for_each: str | None = None,
    at_most: int | None = None,
) -> tuple[RunResult, ...]:
    """Run notebooks, write one HTML report each, and the index.

    Parameters
    ----------
    names
        `20_repurchase_retention`, `20`, or a path; empty: the notebooks numbered 00 to 69.
    notebooks, out
        Folder of the notebooks; folder for the reports, made if missing.
    parameters
        Values for cells tagged `parameters`: text or typed. Each must be known to at least one of the notebooks.
    jobs
        Notebooks run at a time; each gets its share of the cores, unless the environment says how many threads
        (POLARS_MAX_THREADS, OMP_NUM_THREADS, NUMBA_NUM_THREADS).
    time_limit
        Seconds for a whole notebook, its page not counted; None: no limit.
    for_each, at_most
        A column of the log: one report per value of it, see `plan_series`; only for the most frequent values.

    Returns
    -------
    tuple of RunResult
        In the order of the notebooks. Failures are among them, not raised: in a cell, of the kernel, of a file that is
        no notebook, of a page that could not be made.

    Raises
    ------
    ValueError
        A name, parameter or option is wrong; nothing was run then.
    KeyboardInterrupt, SystemExit
        Interrupted; terminated. By then all kernels are dead, and the index is written.
    """
    plan = plan_series(
        names,
        notebooks=notebooks,
        out=out,
        parameters=parameters,
        jobs=jobs,
        time_limit=time_limit,
        for_each=for_each,
        at_most=at_most,
    )
    return tuple(run_plan(plan))


def run_plan(plan: Plan, *, command: str = "", watch: Watch | None = None) -> list[RunResult]:
    """Carry out a checked plan.

    Parameters
    ----------
    plan
        From `series.plan_series`.
    command
        How it was started, for the index.
    watch
        Told of each cell as it begins and each result as soon as it is there.

    Returns
    -------
    list of RunResult
        In the order of the plan.

    Raises
    ------
    KeyboardInterrupt, SystemExit
        As `run_series`.
    """
    plan.out.mkdir(parents=True, exist_ok=True)
    sweep(plan.out)
    watch = watch or Watch()
    started, clock = datetime.now(UTC), time.monotonic()
    facts = {"Started": moment_in_words(started), "Took": "not finished"} | _how(plan)
    found: dict[str, RunResult] = {}
    with _signals() as caught:
        for result in _each(plan, watch, caught):
            found[result.name] = result
            watch.result(result)  # and the index, so that it agrees with the pages even if we are killed
            write_index(plan.out, [done.path.name for done in found.values()], command=command, facts=facts)
        if not caught:
            _forget_other_values(plan, found)
            facts["Took"] = seconds_in_words(time.monotonic() - clock)
        write_index(plan.out, [done.path.name for done in found.values()], command=command, facts=facts)
    if caught:
        raise KeyboardInterrupt if caught[0] == signal.SIGINT else SystemExit(128 + caught[0])
    return [found[job.name] for job in plan.work]


@contextmanager
def _signals() -> Iterator[list[int]]:
    """Collect the signals that would end us, so that we end in good order; what was ignored (nohup) stays ignored."""
    caught: list[int] = []
    before = {}
    if threading.current_thread() is threading.main_thread():
        numbers = [getattr(signal, name) for name in ("SIGINT", "SIGTERM", "SIGHUP") if hasattr(signal, name)]
        before = {number: signal.getsignal(number) for number in numbers}
    heard = [number for number, handler in before.items() if handler not in (signal.SIG_IGN, None)]
    for number in heard:
        signal.signal(number, lambda number, _frame: caught.append(number))
    try:
        yield caught
    finally:
        for number in heard:
            signal.signal(number, before[number])


def _each(plan: Plan, watch: Watch, caught: Sequence[int]) -> Iterator[RunResult]:
    """The results as they come, until all are there or a signal is caught."""
    stop = threading.Event()
    threads = max(1, usable_cores() // plan.jobs)

    def run(job: Job) -> RunResult | None:
        return None if stop.is_set() else _run(job, plan, threads, stop, watch)

    pool = ThreadPoolExecutor(plan.jobs)
    try:
        left: set[Future[RunResult | None]] = {pool.submit(run, job) for job in plan.work}
        while left and not caught:
            done, left = wait(left, timeout=0.2, return_when=FIRST_COMPLETED)
            watch.tick()
            yield from filter(None, (future.result() for future in done))
    finally:
        stop.set()
        pool.shutdown(cancel_futures=True)
    yield from filter(None, (future.result() for future in left if not future.cancelled()))


def _how(plan: Plan) -> dict[str, str]:
    """How the series is run, for the foot of the index."""
    facts = {"At a time": f"{plan.jobs} notebooks"} if plan.jobs > 1 else {}
    facts |= {"Time limit": f"{plan.time_limit:g} s a notebook"} if plan.time_limit else {}
    facts |= {"Git commit": git_commit(plan.work[0].path.parent)}
    return facts | ({"In no report": " ".join(plan.notes)} if plan.notes else {})


def _forget_other_values(plan: Plan, found: Mapping[str, RunResult]) -> None:
    """The reports by one column belong together: those of values that are no more, or that were not asked for, go."""
    if not plan.for_each:
        return
    kept = {result.path for result in found.values()}
    starts = {job.path.stem + file_words({**job.only, plan.for_each: ""}) for job in plan.work if job.only}
    for path in set(plan.out.glob("*.html")) - kept:
        start, sign, value = path.name.rpartition("=")
        if f"{start}{sign}" in starts and f".{value.partition('.')[2]}" in ENDINGS.values():
            _remove(path)


def _remove(path: Path) -> None:
    if is_page(path):  # a file that we did not write stays
        path.unlink(missing_ok=True)


def _run(job: Job, plan: Plan, threads: int, stop: threading.Event, watch: Watch) -> RunResult | None:
    """None: it was stopped, and nothing written."""
    started, clock = datetime.now(UTC), time.monotonic()
    nb, failure = _prepare(job)
    failure = failure or execute(
        nb, job.path.parent, threads=threads, time_limit=plan.time_limit, stop=stop, on_cell=partial(watch.cell, job)
    )
    if stop.is_set():
        return None
    seconds = time.monotonic() - clock
    nb.metadata[META] = {
        "name": job.path.stem,
        "only": words_of(job.only),
        "started": started.isoformat(timespec="seconds"),
        "seconds": round(seconds, 2),
        "commit": git_commit(job.path.parent),
        "made": made_with(),
        "failure": asdict(failure) if failure else None,
    }
    html, page = _convert(nb, job)
    return _write(html, page, job, plan.out, seconds)


def _prepare(job: Job) -> tuple[Any, RunFailure | None]:
    try:
        nb = inject(read_notebook(job.path), job.values)
    except Exception as error:  # no notebook, or one that lost its cell tagged `parameters` meanwhile
        return new_notebook(), _outside("while its file was read", error)
    _forget(nb)
    return nb, None


def _outside(outside: str, error: Exception) -> RunFailure:
    return RunFailure(cell=0, heading="", name=type(error).__name__, message=str(error), outside=outside)


def _forget(nb: Any) -> None:
    """Results of an earlier run must not pass for results of this one."""
    for cell in nb.cells:
        if cell.cell_type == "code":
            cell.outputs, cell.execution_count = [], None
            cell.metadata.pop("execution", None)


# ---- pages ----------------------------------------------------------------------------------------------------------


def _write(html: str, page: Page, job: Job, out: Path, seconds: float) -> RunResult:
    failure = page.failure
    status = "ok" if failure is None else "skipped" if failure.name == Skip.__name__ else "failed"
    if failure and status == "skipped":
        html = skipped_page(page, words_of(job.only), failure.message)
    paths = {kind: out / f"{job.name}{ending}" for kind, ending in ENDINGS.items()}
    path = paths.pop(status)
    try:
        write_whole(path, html)
        for stale in paths.values():  # one page per notebook: that of the last run
            _remove(stale)
        size = path.stat().st_size
    except OSError as error:  # no space, no right, a folder of that name
        status, failure, size = "failed", _outside("while its page was written", error), 0
    return RunResult(
        name=job.name,
        status=status,
        seconds=seconds,
        path=path,
        size=size,
        title=page.title_text,
        answer=page.answer.get("sentence", ""),
        failure=failure,
    )


def _convert(nb: Any, job: Job) -> tuple[str, Page]:
    try:
        return _page_of(nb, job)
    except Exception as error:  # such as a picture that is not attached; a page without cells tells of it
        told = asdict(_outside("while its page was made", error))
        if first := nb.metadata[META]["failure"]:
            also = f"Its page could not be made: {told['name']}: {told['message']}"
            told = first | {"message": f"{first['message']}\n{also}"}
        return _page_of(new_notebook(metadata={META: nb.metadata[META] | {"failure": told}}), job)


def _page_of(nb: Any, job: Job) -> tuple[str, Page]:
    from shoptoolkit.report.exporter import ShopReportExporter

    where = {"metadata": {"name": job.name, "path": str(job.path.parent.resolve())}}
    html, resources = ShopReportExporter().from_notebook_node(nb, resources=where)
    return html, resources["page"]
