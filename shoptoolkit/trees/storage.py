"""A fit on disk without pickle: the booster as XGBoost's JSON, everything else as plain JSON beside it.

In: a booster and a dictionary of plain values and small tables. Out: `write` -> model.json and fit.json in a folder;
`read` -> both again, after a check of format, entries and fingerprints; `table_of` -> a table again, in its types.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from io import StringIO
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl

from shoptoolkit import __version__

FORMAT = 1
MODEL, META = "model.json", "fit.json"
_HEAD = {"format": int, "version": str, "model_sha256": str, "entries_sha256": str}


def write(folder: str | Path, booster: Any, entries: Mapping[str, Any]) -> Path:
    """Both files; the folder is made where needed, files of an earlier fit in it are replaced."""
    place = Path(folder)
    if place.exists() and not place.is_dir():
        raise ValueError(f"folder is {str(folder)!r}, which is a file; a fit is saved as two files in a folder.")
    place.mkdir(parents=True, exist_ok=True)
    booster.save_model(place / MODEL)
    plain = json.loads(json.dumps(entries, default=_plain))
    seals = {"model_sha256": _sha256((place / MODEL).read_bytes()), "entries_sha256": _seal(plain)}
    told = {"format": FORMAT, "version": __version__, **seals, **plain}
    (place / META).write_text(json.dumps(told, indent=1, ensure_ascii=False), encoding="utf-8")
    return place


def read(folder: str | Path, expected: Mapping[str, type]) -> tuple[Any, dict[str, Any]]:
    """The booster and the entries; a ValueError lists every fault of the files together."""
    import xgboost

    place = Path(folder)
    if absent := [name for name in (META, MODEL) if not (place / name).is_file()]:
        raise FileNotFoundError(f"{place} has no {' and no '.join(absent)}; a fit is made by fit.save(folder).")
    try:
        entries = json.loads((place / META).read_text(encoding="utf-8"))
    except ValueError as error:
        raise ValueError(f"{place / META} is not JSON: {error}. Fit and save anew.") from error
    if faults := _faults(entries if isinstance(entries, dict) else {}, {**_HEAD, **expected}, place):
        raise ValueError(
            f"{place / META} is not a fit that this version reads: {'; '.join(faults)}. Fit and save anew."
        )
    return xgboost.Booster(model_file=str(place / MODEL)), entries


def other_version(folder: str | Path, entries: Mapping[str, Any]) -> list[str]:
    """A sentence if another version of this package wrote the files."""
    wrote = entries["version"]
    return [] if wrote == __version__ else [f"{folder} was written by shoptoolkit {wrote}; this is {__version__}."]


def table_of(rows: list[dict[str, Any]], types: Mapping[str, Any]) -> pl.DataFrame:
    """A table that `write` turned into rows."""
    return pl.read_json(StringIO(json.dumps(rows)), schema=types)


def _plain(value: Any) -> Any:
    """What JSON does not know: tables, arrays, numbers of numpy, moments."""
    if isinstance(value, pl.DataFrame):
        return json.loads(value.write_json())
    return value.tolist() if isinstance(value, np.ndarray | np.generic) else value.isoformat()


def _faults(entries: Mapping[str, Any], expected: Mapping[str, type], place: Path) -> list[str]:
    found = [f"{name!r} is missing" for name in expected if name not in entries]
    found += [
        f"{name!r} is {type(entries[name]).__name__}, must be {kind.__name__}"
        for name, kind in expected.items()
        if name in entries and not isinstance(entries[name], kind)
    ]
    if entries.get("format", FORMAT) != FORMAT:
        found.append(f"'format' is {entries['format']!r}, must be {FORMAT} (written by {entries.get('version')})")
    if entries.get("model_sha256") not in (None, _sha256((place / MODEL).read_bytes())):
        found.append(f"{MODEL} is not the one that {META} was written with")
    if entries.get("entries_sha256") not in (None, _seal(entries)):
        found.append(f"{META} was changed after it was written")
    return found


def _seal(entries: Mapping[str, Any]) -> str:
    """The fingerprint of all but the head: names, types, categories and their order decide what a fit answers."""
    return _sha256(json.dumps({name: value for name, value in entries.items() if name not in _HEAD}).encode())


def _sha256(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()
