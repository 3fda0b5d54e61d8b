"""Run notebooks and write their reports: a plan comes in, HTML files and one result per notebook go out.

- `run_series`: check, run, convert, write, index. A notebook that cannot be read, run or made into a page leaves
  `NAME.FAILED.html` with the error, and the rest go on.
- `run_plan`: the same for a plan that is checked already (the command line's way).
- `RunResult`, `RunFailure`: what became of a notebook.

Notebooks run in their own folder, as JupyterLab and plain nbconvert do, by the Python that runs this.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from nbformat.v4 import new_notebook

from shoptoolkit.report.files import write_whole
from shoptoolkit.report.index import write_index
from shoptoolkit.report.outcome import RunFailure, failure_at, find_failure
from shoptoolkit.report.page import META, Page
from shoptoolkit.report.parameters import inject
from shoptoolkit.report.provenance import git_commit, made_with
from shoptoolkit.report.series import Job, Plan, plan_series, read_notebook

__all__ = ["RunFailure", "RunResult", "run_plan", "run_series"]

THREADS = ("POLARS_MAX_THREADS", "OMP_NUM_THREADS", "NUMBA_NUM_THREADS")


@dataclass(frozen=True, slots=True, kw_only=True)
class RunResult:
    """What became of one notebook."""

    name: str
    status: str  # "ok" or "failed"
    seconds: float
    path: Path  # of the page
    size: int  # bytes
    title: str
    answer: str  # in plain text; "" if there is none
    failure: RunFailure | None = None


def run_series(
    names: Sequence[str | Path] = (),
    *,
    notebooks: str | Path = "notebooks",
    out: str | Path = "reports",
    parameters: Mapping[str, Any] | None = None,
    jobs: int = 1,
    time_limit: float | None = None,
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

    Returns
    -------
    tuple of RunResult
        In the order of the notebooks. Failures are among them, not raised: in a cell, of the kernel, of a file that is
        no notebook, of a page that could not be made.

    Raises
    ------
    ValueError
        A name, parameter or option is wrong; nothing was run then.
    """
    plan = plan_series(names, notebooks=notebooks, out=out, parameters=parameters, jobs=jobs, time_limit=time_limit)
    return tuple(run_plan(plan))


def run_plan(plan: Plan, *, command: str = "", on_result: Callable[[RunResult], None] | None = None) -> list[RunResult]:
    """Carry out a checked plan.

    Parameters
    ----------
    plan
        From `series.plan_series`.
    command
        How it was started, for the index.
    on_result
        Called with each result as soon as it is there.

    Returns
    -------
    list of RunResult
        In the order of the plan.
    """
    plan.out.mkdir(parents=True, exist_ok=True)
    started = datetime.now(UTC)
    results = []
    for result in _each(plan):
        results.append(result)
        if on_result:
            on_result(result)
    write_index(plan.out, [result.path.name for result in results], command=command, started=started)
    return results


def _each(plan: Plan) -> Iterator[RunResult]:
    threads = max(1, (os.cpu_count() or 1) // plan.jobs)

    def run(job: Job) -> RunResult:
        return _run(job, plan.out, threads, plan.time_limit)

    if plan.jobs == 1:
        yield from map(run, plan.work)
        return
    with ThreadPoolExecutor(plan.jobs) as pool:
        yield from pool.map(run, plan.work)


def _run(job: Job, out: Path, threads: int, time_limit: float | None) -> RunResult:
    started, clock = datetime.now(UTC), time.monotonic()
    nb, failure = _prepare(job)
    failure = failure or _execute(nb, job.path.parent, threads, time_limit)
    seconds = time.monotonic() - clock
    nb.metadata[META] = {
        "name": job.name,
        "started": started.isoformat(timespec="seconds"),
        "seconds": round(seconds, 2),
        "commit": git_commit(job.path.parent),
        "made": made_with(),
        "failure": asdict(failure) if failure else None,
    }
    html, page = _convert(nb, job)
    return _write(html, page, job, out, seconds)


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


# ---- execution ------------------------------------------------------------------------------------------------------


def _execute(nb: Any, folder: Path, threads: int, time_limit: float | None) -> RunFailure | None:
    from nbclient.exceptions import CellExecutionError, CellTimeoutError

    deadline = None if time_limit is None else time.monotonic() + time_limit
    at: list[int] = []  # cells begun
    client = _client(nb, folder, deadline, at)
    try:
        client.execute(cleanup_kc=True, env=dict.fromkeys(THREADS, str(threads)) | os.environ)
    except CellExecutionError as error:
        return find_failure(nb) or _stopped(nb, at, error.ename, error.evalue)
    except CellTimeoutError:
        return _stopped(nb, at, "TimeLimit", f"the whole notebook had {time_limit:g} s and was still running")
    except Exception as error:
        return _stopped(nb, at, type(error).__name__, str(error) or "the kernel stopped")
    return None


def _client(nb: Any, folder: Path, deadline: float | None, at: list[int]) -> Any:
    from jupyter_client.kernelspec import KernelSpecManager
    from jupyter_client.manager import AsyncKernelManager
    from nbclient import NotebookClient

    specs = KernelSpecManager(kernel_dirs=[])  # none but the kernel of this very Python
    manager = AsyncKernelManager(kernel_name="python3", kernel_spec_manager=specs, transport="tcp")
    if manager.has_trait("transport_encryption"):  # jupyter_client 8.9 and later
        manager.transport_encryption = "auto"

    def seconds_left(_cell: Any) -> float | None:
        return None if deadline is None else max(0.1, deadline - time.monotonic())

    def begin(cell: Any, cell_index: int) -> None:
        at.append(cell_index)

    folder_of = {"metadata": {"path": str(folder.resolve())}}
    options = {"kernel_name": "python3", "timeout_func": seconds_left, "record_timing": True, "resources": folder_of}
    return NotebookClient(nb, km=manager, on_cell_start=begin, **options)


def _stopped(nb: Any, at: Sequence[int], name: str, message: str) -> RunFailure:
    if not at:
        return RunFailure(cell=0, heading="", name=name, message=message)
    return failure_at(nb, at[-1], name, message)


# ---- pages ----------------------------------------------------------------------------------------------------------


def _write(html: str, page: Page, job: Job, out: Path, seconds: float) -> RunResult:
    good, bad = out / f"{job.name}.html", out / f"{job.name}.FAILED.html"
    path, stale = (bad, good) if page.failure else (good, bad)
    write_whole(path, html)
    stale.unlink(missing_ok=True)  # one page per notebook: that of the last run
    return RunResult(
        name=job.name,
        status="failed" if page.failure else "ok",
        seconds=seconds,
        path=path,
        size=path.stat().st_size,
        title=page.title_text,
        answer=page.answer.get("sentence", ""),
        failure=page.failure,
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
