"""Writing a file so that nobody ever sees half of it.

- `write_whole`: beside the target, then rename.
- `sweep`: what a process left that was killed just then.
"""

from __future__ import annotations

import os
import tempfile
import time
from pathlib import Path

__all__ = ["sweep", "write_whole"]

OLD_SECONDS = 60.0  # no page takes that long to write


def write_whole(path: Path, text: str) -> None:
    """Write beside the target, then rename: readers see the old file or the new one.

    Parameters
    ----------
    path
        The target; its folder exists.
    text
        Its contents, written as UTF-8.
    """
    handle, beside = tempfile.mkstemp(prefix=f".{path.name}.", suffix=".part", dir=path.parent)
    try:
        with os.fdopen(handle, "w", encoding="utf-8", newline="\n") as file:
            file.write(text)
        os.chmod(beside, 0o644)
        os.replace(beside, path)
    except BaseException:
        Path(beside).unlink(missing_ok=True)
        raise


def sweep(folder: Path) -> None:
    """Remove files that `write_whole` began and never finished.

    Parameters
    ----------
    folder
        Where the targets lie.
    """
    for path in folder.glob(".*.html.*.part"):
        if time.time() - path.stat().st_mtime > OLD_SECONDS:
            path.unlink(missing_ok=True)
