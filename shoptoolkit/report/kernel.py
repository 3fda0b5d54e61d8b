"""One notebook in a kernel of its own: cells come in, their outputs go into them.

- `execute`: all cells, until the end, the first error, the time limit or a stop. The kernel ends in any case.
- `usable_cores`, `THREADS`: what kernels share, and the words of the environment that tell how much each takes.
"""

from __future__ import annotations

import asyncio
import atexit
import math
import os
import threading
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from tempfile import TemporaryFile
from typing import IO, Any

from shoptoolkit.report.outcome import RunFailure, failure_at, find_failure, number_of

__all__ = ["THREADS", "execute", "usable_cores"]

THREADS = ("POLARS_MAX_THREADS", "OMP_NUM_THREADS", "NUMBA_NUM_THREADS")  # xgboost and BLAS follow OpenMP
POLL_SECONDS = 0.2


def execute(
    nb: Any,
    folder: Path,
    *,
    threads: int,
    time_limit: float | None = None,
    stop: threading.Event,
    on_cell: Callable[[int], None],
) -> RunFailure | None:
    """Run a notebook.

    Parameters
    ----------
    nb
        The notebook; outputs are written into it, also those before a failure.
    folder
        Working folder of the kernel.
    threads
        For polars, OpenMP and numba, where the environment does not say.
    time_limit
        Seconds, the start of the kernel included.
    stop
        Once it is set, the kernel is killed; what is returned then means nothing.
    on_cell
        Told the number of each cell as it begins.

    Returns
    -------
    RunFailure or None
        None when all cells ran.
    """
    return asyncio.run(_execute(nb, folder, threads, time_limit, stop, on_cell))


def usable_cores() -> int:
    """How many cores may this process use?

    Returns
    -------
    int
        At least 1.
    """
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


async def _execute(
    nb: Any,
    folder: Path,
    threads: int,
    time_limit: float | None,
    stop: threading.Event,
    on_cell: Callable[[int], None],
) -> RunFailure | None:
    from nbclient import NotebookClient
    from nbclient.exceptions import CellExecutionError

    at: list[int] = []  # cells begun

    def begin(cell: Any, cell_index: int) -> None:
        at.append(cell_index)
        on_cell(number_of(nb, cell_index))

    manager = _manager()
    where = {"metadata": {"path": str(folder.resolve())}}
    client = NotebookClient(nb, km=manager, on_cell_start=begin, timeout=None, record_timing=True, resources=where)
    with TemporaryFile() as said:  # what the kernel's own machinery says, as when it ends in the middle of a word
        environment = dict.fromkeys(THREADS, str(threads)) | os.environ
        work = asyncio.ensure_future(_all_cells(client, manager, env=environment, stderr=said))
        if await _is_cut(work, client, stop, math.inf if time_limit is None else time_limit):
            return _stopped(nb, at, "TimeLimit", f"the whole notebook had {time_limit} s and was still running")
        try:
            work.result()
        except CellExecutionError as error:
            return find_failure(nb) or _stopped(nb, at, error.ename, error.evalue)
        except Exception as error:
            told = "\n".join(filter(None, (str(error) or "the kernel stopped", _last_lines(said))))
            return _stopped(nb, at, type(error).__name__, told)
    return None


def _last_lines(said: IO[bytes]) -> str:
    said.seek(0)
    return "\n".join(said.read().decode("utf-8", "replace").splitlines()[-5:])


def _manager() -> Any:
    from jupyter_client.kernelspec import KernelSpecManager
    from jupyter_client.manager import AsyncKernelManager

    specs = KernelSpecManager(kernel_dirs=[])  # none but the kernel of this very Python
    manager = AsyncKernelManager(kernel_name="python3", kernel_spec_manager=specs, transport="tcp")
    if manager.has_trait("transport_encryption"):  # jupyter_client 8.9 and later
        manager.transport_encryption = "auto"
    return manager


async def _all_cells(client: Any, manager: Any, **options: Any) -> None:
    try:
        await client.async_start_new_kernel(**options)
        await client.async_start_new_kernel_client()
        await client.async_execute(cleanup_kc=True)
    finally:
        atexit.unregister(client._cleanup_kernel)  # of nbclient, which forgets it when it is cancelled
        if manager.has_kernel:
            await manager.shutdown_kernel(now=True)


async def _is_cut(work: asyncio.Future[None], client: Any, stop: threading.Event, seconds: float) -> bool:
    """Wait for the end. True: it was stopped or ran out of time; its kernel, and what that had begun, are killed."""
    end = time.monotonic() + seconds
    while not work.done():
        await asyncio.wait({work}, timeout=POLL_SECONDS)
        if not work.done() and (stop.is_set() or time.monotonic() > end):
            client.shutdown_kernel = "immediate"
            for task in asyncio.all_tasks() - {asyncio.current_task()}:
                task.cancel()  # nbclient's watch of the kernel too: it would outlive the cell, find no kernel, complain
            await asyncio.wait({work})
            return work.cancelled() or bool(work.exception()) or True
    return False


def _stopped(nb: Any, at: Sequence[int], name: str, message: str) -> RunFailure:
    if not at:
        return RunFailure(cell=0, heading="", name=name, message=message)
    return failure_at(nb, at[-1], name, message)
