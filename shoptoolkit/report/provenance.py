"""Where a report comes from: versions, Python, commit, data. Nothing is imported to find its version.

- `made_with`: versions and commit of this process, as plain JSON; `answer` carries it out of the kernel that computed.
- `git_commit`: the commit of a folder, and whether it had uncommitted changes.
- `fingerprint`: a frame in sixteen signs, whatever the order of its rows.
"""

from __future__ import annotations

import hashlib
import platform
import subprocess
from functools import cache
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl

__all__ = ["fingerprint", "git_commit", "made_with"]

PACKAGES = (
    *("shoptoolkit", "polars", "numpy", "scipy", "lifelines", "xgboost"),
    *("shap", "scikit-learn", "matplotlib", "seaborn"),
)


@cache
def _versions() -> tuple[tuple[str, str], ...]:
    found = []
    for name in PACKAGES:
        try:
            found.append((name, version(name)))
        except PackageNotFoundError:
            continue
    return tuple(found)


def made_with(folder: Path | None = None) -> dict[str, Any]:
    """Versions of the running Python and of the packages a report rests on.

    Parameters
    ----------
    folder
        Whose git commit to add; None: no commit.

    Returns
    -------
    dict
        python, system (text), packages (name to version), with `folder` also commit (text).
    """
    system = f"{platform.system()} {platform.machine()}"
    made: dict[str, Any] = {"python": platform.python_version(), "system": system, "packages": dict(_versions())}
    return made if folder is None else made | {"commit": git_commit(folder)}


def fingerprint(frame: pl.DataFrame) -> str:
    """Tell frames apart: the same rows of the same columns give the same signs, in whatever order the rows stand.

    Parameters
    ----------
    frame
        Any polars frame; a million rows take a tenth of a second.

    Returns
    -------
    str
        Sixteen hexadecimal signs: SHA-256 of names and types of the columns, the number of rows, and the sum and the
        exclusive or of polars' hashes of the rows. Polars may hash otherwise in another version; compare within one.

    Raises
    ------
    ValueError
        A column holds Python objects, which have no hash that lasts.
    """
    odd = [name for name, dtype in frame.schema.items() if dtype == pl.Object]
    if odd:
        raise ValueError(
            f"data holds Python objects in {', '.join(odd)}; they have no lasting hash. Cast or drop them."
        )
    words = frame.with_columns(pl.col(pl.Categorical).cast(pl.String))  # their codes depend on the order of arrival
    rows = words.hash_rows().to_numpy() if frame.width else np.zeros(0, np.uint64)
    known = (list(frame.schema.items()), frame.height, int(np.add.reduce(rows)), int(np.bitwise_xor.reduce(rows)))
    return hashlib.sha256(repr(known).encode()).hexdigest()[:16]


def git_commit(folder: Path) -> str:
    """The commit that `folder` stands at.

    Returns
    -------
    str
        "4f1c9ae, no uncommitted changes", or "" where there is no repository, no commit or no git.
    """
    commit = _git(folder, "rev-parse", "--short=7", "HEAD")
    if not commit:
        return ""
    changes = _git(folder, "status", "--porcelain", "--untracked-files=no")
    return f"{commit}, {'with uncommitted changes' if changes else 'no uncommitted changes'}"


def _git(folder: Path, *words: str) -> str:
    try:
        words = ("git", "-C", str(folder), *words)
        done = subprocess.run(words, capture_output=True, text=True, timeout=10, check=False)
    except (OSError, subprocess.TimeoutExpired):
        return ""
    return done.stdout.strip() if done.returncode == 0 else ""
