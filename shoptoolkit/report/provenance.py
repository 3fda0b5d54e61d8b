"""Where a report comes from: versions, Python, commit. Nothing is imported to find its version.

- `made_with`: versions of this process, as plain JSON; `answer` carries it out of the kernel that computed.
- `git_commit`: the commit of a folder, and whether it had uncommitted changes.
"""

from __future__ import annotations

import platform
import subprocess
from functools import cache
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

__all__ = ["git_commit", "made_with"]

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


def made_with() -> dict[str, Any]:
    """Versions of the running Python and of the packages a report rests on.

    Returns
    -------
    dict
        python, system (text), packages (name to version).
    """
    system = f"{platform.system()} {platform.machine()}"
    return {"python": platform.python_version(), "system": system, "packages": dict(_versions())}


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
