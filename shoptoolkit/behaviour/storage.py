"""A fit on disk without pickle: the booster as XGBoost's JSON, everything else as plain JSON beside it.

In: a booster and a dictionary. Out: `write` -> model.json and fit.json in a folder; `read` -> both again, after a check
of format, entries, the version that wrote them and the model's fingerprint.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from io import StringIO
from pathlib import Path
from typing import Any

import polars as pl

from shoptoolkit import __version__

FORMAT = 1
MODEL, META = "model.json", "fit.json"


def write(folder: str | Path, booster: Any, entries: Mapping[str, Any]) -> Path:
    """Both files; the folder is made where needed, files of an earlier fit in it are replaced."""
    place = Path(folder)
    if place.exists() and not place.is_dir():
        raise ValueError(f"folder is {str(folder)!r}, which is a file; a fit is saved as two files in a folder.")
    place.mkdir(parents=True, exist_ok=True)
    booster.save_model(place / MODEL)
    head = {"format": FORMAT, "version": __version__, "model_sha256": _fingerprint(place / MODEL)}
    (place / META).write_text(json.dumps({**head, **entries}, indent=1, ensure_ascii=False), encoding="utf-8")
    return place


def read(folder: str | Path, expected: Mapping[str, type | tuple[type, ...]]) -> tuple[Any, dict[str, Any]]:
    """The booster and the entries; a ValueError lists every fault of the files together."""
    import xgboost

    place = Path(folder)
    if absent := [name for name in (META, MODEL) if not (place / name).is_file()]:
        raise FileNotFoundError(f"{place} has no {' and no '.join(absent)}; a fit is made by fit.save(folder).")
    entries = _parsed(place / META)
    head: dict[str, type | tuple[type, ...]] = {"format": int, "version": str, "model_sha256": str}
    if faults := [*_faults(entries, {**head, **expected}), *_other(entries, place)]:
        raise ValueError(
            f"{place / META} is not a fit that this version reads: {'; '.join(faults)}. Fit and save anew."
        )
    return xgboost.Booster(model_file=str(place / MODEL)), entries


def rows_of(frame: pl.DataFrame) -> list[dict[str, Any]]:
    """A small table as rows of plain JSON."""
    rows: list[dict[str, Any]] = json.loads(frame.write_json())
    return rows


def table_of(rows: list[dict[str, Any]], schema: Mapping[str, Any]) -> pl.DataFrame:
    """The table again, in its types."""
    return pl.read_json(StringIO(json.dumps(rows)), schema=dict(schema)) if rows else pl.DataFrame(schema=dict(schema))


def _parsed(path: Path) -> dict[str, Any]:
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
    except ValueError as error:
        raise ValueError(f"{path} is not JSON: {error}. Fit and save anew.") from error
    return found if isinstance(found, dict) else {}


def _faults(entries: Mapping[str, Any], expected: Mapping[str, type | tuple[type, ...]]) -> list[str]:
    missing = [f"{name!r} is missing" for name in expected if name not in entries]
    wrong = [
        f"{name!r} is {type(entries[name]).__name__}, must be {_named(kind)}"
        for name, kind in expected.items()
        if name in entries and not isinstance(entries[name], kind)
    ]
    return missing + wrong


def _other(entries: Mapping[str, Any], place: Path) -> list[str]:
    found = []
    if entries.get("format", FORMAT) != FORMAT:
        found.append(f"'format' is {entries['format']!r}, must be {FORMAT} (written by {entries.get('version')})")
    if entries.get("model_sha256") not in (None, _fingerprint(place / MODEL)):
        found.append(f"{MODEL} is not the one that {META} was written with")
    return found


def _named(kind: type | tuple[type, ...]) -> str:
    return " or ".join(one.__name__ for one in (kind if isinstance(kind, tuple) else (kind,)))


def _fingerprint(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()
