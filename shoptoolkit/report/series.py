"""Which notebooks to run, and with which parameters: names come in, a checked plan goes out. Nothing is run here.

- `plan_series`: every mistake a caller can make is found now, before the first kernel starts.
- `Plan`, `Job`: what the runner carries out. A file that is no notebook is among them: its job will fail, the rest run.
- `read_notebook`, `known_notebooks`: what lies in a file, in a folder.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import nbformat

from shoptoolkit.report.parameters import read_parameters, typed

__all__ = ["Job", "Plan", "known_notebooks", "plan_series", "read_notebook"]

DEFAULT_SERIES = range(70)  # 00 to 69; the others run by name


@dataclass(frozen=True, slots=True, kw_only=True)
class Job:
    """One notebook to run."""

    path: Path
    values: Mapping[str, Any]  # typed parameters that this notebook knows

    @property
    def name(self) -> str:
        """File name without ending; the report is called the same."""
        return self.path.stem


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """A series of notebooks, checked."""

    work: tuple[Job, ...]
    out: Path
    jobs: int
    time_limit: float | None


def plan_series(
    names: Sequence[str | Path] = (),
    *,
    notebooks: str | Path = "notebooks",
    out: str | Path = "reports",
    parameters: Mapping[str, Any] | None = None,
    jobs: int = 1,
    time_limit: float | None = None,
) -> Plan:
    """Check names, parameters and options of a series.

    Parameters
    ----------
    names
        `20_repurchase_retention`, `20`, or a path; empty: the notebooks numbered 00 to 69.
    notebooks, out
        Folder of the notebooks; folder for the reports.
    parameters
        Name to text or value. Each must be known to at least one of the notebooks.
    jobs
        Notebooks run at a time, at least 1.
    time_limit
        Seconds for a whole notebook, above 0; None: no limit.

    Returns
    -------
    Plan
        In the order given, or by number.

    Raises
    ------
    ValueError
        Unknown or ambiguous name, unknown or ill-typed parameter, option out of range.
    """
    _need_options(jobs, time_limit)
    paths = _paths(names, Path(notebooks))
    known = {path: _parameters_of(path) for path in paths}
    _need_known(parameters or {}, known)
    work = tuple(Job(path=path, values=_values(parameters or {}, known[path] or {})) for path in paths)
    return Plan(work=work, out=Path(out), jobs=jobs, time_limit=time_limit)


def _need_options(jobs: object, time_limit: object) -> None:
    if isinstance(jobs, bool) or not isinstance(jobs, int) or jobs < 1:
        raise ValueError(f"jobs is {jobs!r}; it must be a whole number of at least 1.")
    if time_limit is None:
        return
    if isinstance(time_limit, bool) or not isinstance(time_limit, (int, float)) or not 0 < time_limit < 1e9:
        raise ValueError(f"time_limit is {time_limit!r}; it must be seconds above 0, or None for no limit.")


def known_notebooks(folder: Path) -> dict[str, Path]:
    """The notebooks of a folder by name, in order.

    Parameters
    ----------
    folder
        Where to look; not below it.

    Returns
    -------
    dict
        Name without ending to path.

    Raises
    ------
    ValueError
        The folder does not exist or holds no notebook.
    """
    found = {path.stem: path for path in sorted(folder.glob("*.ipynb"))}
    if not found:
        why = "holds no *.ipynb" if folder.is_dir() else "is not a folder"
        raise ValueError(f"notebooks={str(folder)!r} {why}; run from the project's root or pass notebooks=FOLDER.")
    return found


def _paths(names: Sequence[str | Path], folder: Path) -> list[Path]:
    if isinstance(names, (str, Path)):
        names = [names]
    if not names:
        known = known_notebooks(folder).items()
        numbered = [path for name, path in known if re.match(r"\d\d_", name) and int(name[:2]) in DEFAULT_SERIES]
        if not numbered:
            raise ValueError(f"notebooks={str(folder)!r} holds no notebook numbered 00 to 69; name those to run.")
        return numbered
    paths = list(dict.fromkeys(_path(str(name), folder) for name in names))
    stems = [path.stem for path in paths]
    if twice := sorted({stem for stem in stems if stems.count(stem) > 1}):
        raise ValueError(f"names: {', '.join(twice)} stands for two files; their reports would overwrite each other.")
    return paths


def _path(name: str, folder: Path) -> Path:
    if name.endswith(".ipynb") and Path(name).is_file():
        return Path(name)
    known = known_notebooks(folder)
    stem = name.removesuffix(".ipynb")
    fits = [stem] if stem in known else [other for other in known if other.startswith(f"{stem}_")]
    if len(fits) == 1:
        return known[fits[0]]
    if fits:
        raise ValueError(f"names: {name!r} fits {' and '.join(fits)}; say which.")
    raise ValueError(f"names: {name!r} is not a notebook in {folder}/. Known: {', '.join(known)}.")


def read_notebook(path: Path) -> Any:
    """Read a notebook of any format version.

    Parameters
    ----------
    path
        A file.

    Returns
    -------
    NotebookNode
        In format 4.

    Raises
    ------
    ValueError
        The file is not there, no JSON, or no notebook.
    """
    try:
        return nbformat.read(path, as_version=4)
    except Exception as error:  # nbformat raises many kinds
        raise ValueError(f"{path} cannot be read as a notebook: {error}") from error


def _parameters_of(path: Path) -> dict[str, Any] | None:
    """None for a file that cannot be read: the runner will say so on its page."""
    try:
        return read_parameters(read_notebook(path))
    except ValueError:
        return None


def _need_known(parameters: Mapping[str, Any], known: Mapping[Path, Mapping[str, Any] | None]) -> None:
    names = sorted({name for found in known.values() for name in found or ()})
    unknown = sorted(set(parameters) - set(names))
    if unknown:
        of = ", ".join(
            path.stem + (" (which cannot be read)" if found is None else "") for path, found in known.items()
        )
        raise ValueError(f"parameters: {', '.join(unknown)} unknown to {of}. Known: {', '.join(names) or 'none'}.")


def _values(parameters: Mapping[str, Any], known: Mapping[str, Any]) -> dict[str, Any]:
    return {name: typed(name, value, known[name]) for name, value in parameters.items() if name in known}
