"""Which notebooks to run, and with which parameters: names come in, a checked plan goes out. Nothing is run here.

- `plan_series`: every mistake a caller can make is found now, before the first kernel starts.
- `Plan`, `Job`: what the runner carries out. A file that is no notebook is among them: its job will fail, the rest run.
- `read_notebook`, `known_notebooks`: what lies in a file, in a folder.
"""

from __future__ import annotations

import hashlib
import re
from collections import Counter
from collections.abc import Mapping, Sequence
from contextlib import chdir
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import nbformat

from shoptoolkit.report.each import GIVEN, ONLY, EachValue, file_words, values_of
from shoptoolkit.report.parameters import NOT_PLAIN, read_parameters, typed

__all__ = ["Job", "Plan", "known_notebooks", "plan_series", "read_notebook"]

DEFAULT_SERIES = range(70)  # 00 to 69; the others run by name


@dataclass(frozen=True, slots=True, kw_only=True)
class Job:
    """One report to make."""

    path: Path  # of the notebook
    name: str  # of the report: that of the notebook; of one value, with ".country=GB" after it
    values: Mapping[str, Any]  # typed parameters that this notebook knows
    cells: int  # of the notebook; 0 if it cannot be read

    @property
    def only(self) -> Mapping[str, Any]:
        """The choice of rows, such as {"country": "GB"}."""
        only = self.values.get(ONLY)
        return only if isinstance(only, dict) else {}


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """A series of notebooks, checked."""

    work: tuple[Job, ...]
    out: Path
    jobs: int
    time_limit: float | None
    for_each: str | None = None
    notes: tuple[str, ...] = ()  # what the reader of the reports has to know


def plan_series(
    names: Sequence[str | Path] = (),
    *,
    notebooks: str | Path = "notebooks",
    out: str | Path = "reports",
    parameters: Mapping[str, Any] | None = None,
    jobs: int = 1,
    time_limit: float | None = None,
    for_each: str | None = None,
    at_most: int | None = None,
) -> Plan:
    """Check names, parameters and options of a series.

    Parameters
    ----------
    names
        `20_repurchase_retention`, `20`, or a path; empty: the notebooks numbered 00 to 69.
    notebooks, out
        Folder of the notebooks; folder for the reports.
    parameters
        Name to text or value. Each must be known to at least one of the notebooks. A text that is the path or glob of
        files here is made absolute, since notebooks run in their own folder.
    jobs
        Notebooks run at a time, at least 1.
    time_limit
        Seconds for a whole notebook, above 0; None: no limit.
    for_each
        A column of the log: notebooks with a parameter `only` make one report per value, the others one as ever.
    at_most
        Only the most frequent values; None: all, up to 50.

    Returns
    -------
    Plan
        In the order given, or by number.

    Raises
    ------
    ValueError
        Unknown or ambiguous name, unknown or ill-typed parameter, option out of range, a log that cannot be opened.
    """
    _need_options(jobs, time_limit, for_each, at_most)
    found = {path: _read(path) for path in _paths(names, Path(notebooks))}
    known = {path: nb and read_parameters(nb) for path, nb in found.items()}
    _need_known(parameters or {}, known)
    given = {name: _from_here(value) for name, value in (parameters or {}).items()}
    work = [
        Job(path=path, name=path.stem, values=_values(given, known[path] or {}), cells=len(nb.cells) if nb else 0)
        for path, nb in found.items()
    ]
    work, notes = _for_each(for_each, work, known, at_most) if for_each else (work, ())
    return Plan(work=_named(work), out=Path(out), jobs=jobs, time_limit=time_limit, for_each=for_each, notes=notes)


def _need_options(jobs: object, time_limit: object, for_each: str | None, at_most: int | None) -> None:
    _need_count("jobs", jobs)
    if at_most is not None:
        _need_count("at_most", at_most)
        if not for_each:
            raise ValueError(
                f"at_most is {at_most}; of what? Name a column of the log with for_each (--for-each country)."
            )
    if time_limit is None:
        return
    if isinstance(time_limit, bool) or not isinstance(time_limit, (int, float)) or not 0 < time_limit < 1e9:
        raise ValueError(f"time_limit is {time_limit!r}; it must be seconds above 0, or None for no limit.")


def _need_count(name: str, value: object) -> None:
    if isinstance(value, bool) or not isinstance(value, int) or value < 1:
        raise ValueError(f"{name} is {value!r}; it must be a whole number of at least 1.")


def _from_here(value: Any) -> Any:
    """A path that means something where the user stands; the notebook stands elsewhere."""
    if isinstance(value, str) and set("./\\") & set(value) and not Path(value).is_absolute():
        try:
            if Path(value).exists() or next(Path().glob(value), None):
                return str(Path.cwd() / value)
        except (ValueError, NotImplementedError, OSError):  # such as "C:x", or far too long
            return value
    return value


def _for_each(
    column: str, work: Sequence[Job], known: Mapping[Path, Mapping[str, Any] | None], at_most: int | None
) -> tuple[list[Job], tuple[str, ...]]:
    """Deal out the notebooks that take `only`; notebooks that are given the same share one look at the log."""
    jobs: list[Job] = []
    looked: dict[str, EachValue] = {}
    for job in work:
        told = {name: value for name, value in (known[job.path] or {}).items() if value is not NOT_PLAIN}
        told |= job.values
        if "dataset" not in told or not isinstance(told.get(ONLY), dict):
            jobs.append(job)
            continue
        key = repr(sorted((name, told[name]) for name in GIVEN if name in told))
        with chdir(job.path.parent):
            found = looked[key] = looked.get(key) or values_of(column, told, at_most=at_most)
        each = ({**job.values, ONLY: {**told[ONLY], column: value}} for value in found.values)
        jobs += [replace(job, values=values) for values in each]
    if not looked:
        raise ValueError(
            f"for_each is {column!r}; none of {', '.join(job.name for job in work)} has the parameters `dataset` and "
            f"`{ONLY}`. Add `{ONLY} = {{}}` to the cell tagged `parameters`, and pass it to datasets.open_log."
        )
    return jobs, tuple(dict.fromkeys(found.note for found in looked.values() if found.note))


def _named(work: Sequence[Job]) -> tuple[Job, ...]:
    """Give each report a file name of its own, also where upper and lower case are one."""
    names = [job.name + file_words(job.only) for job in work]
    counts = Counter(name.casefold() for name in names)
    marks = (hashlib.sha256(repr(job.only).encode()).hexdigest()[:6] for job in work)
    pairs = zip(work, names, marks, strict=True)
    return tuple(
        replace(job, name=f"{name}~{mark}" if counts[name.casefold()] > 1 else name) for job, name, mark in pairs
    )


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


def _read(path: Path) -> Any:
    """None for a file that cannot be read: the runner will say so on its page."""
    try:
        return read_notebook(path)
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
