"""Download a publisher's file into the data folder; a broken transfer is taken up where it stopped.

In: a name. Out: the path of the file, or one `DownloadError` that says what happened and what to put where.
Reading order: `fetch`, `_retrieve` (tries, hash, archive), `_get` (one transfer), `_unpack`, `_reason`.
"""

from __future__ import annotations

import os
import shutil
import time
import zipfile
import zlib
from collections.abc import Callable
from pathlib import Path, PurePosixPath
from urllib.parse import urlsplit

from shoptoolkit.datasets.registry import DataSet, about, home

_PAUSES = (1.0, 4.0)  # seconds before the second and the third try
_TIMEOUT = (10.0, 60.0)  # seconds to connect, and between two pieces
_PIECE = 1 << 13  # bytes; what is less than a piece may be lost when a transfer breaks
_LARGEST = 1 << 30  # bytes; no set is nearly as large: a bomb, not our archive
_WRONG = (
    ValueError,
    zipfile.BadZipFile,
    zlib.error,
    EOFError,
    RuntimeError,
)  # what came is not the file (or is locked)


class DownloadError(OSError):
    """A publisher's file could not be fetched; the message says why, and what to put where by hand."""


def fetch(name: str, *, folder: str | Path | None = None) -> Path:
    """Download a set's file from its publisher into `folder/name/`; nothing is done if it lies there already.

    Parameters
    ----------
    name
        One of `available()`.
    folder
        The data folder; None as in `load`.

    Returns
    -------
    Path
        The publisher's file. Its hash is checked where it is known; `load` and `tidy` check the content in any case.

    Raises
    ------
    ValueError
        No such set.
    DownloadError
        No connection, no such page, a broken transfer, or something other than the published file.
    """
    one = about(name)
    place = home(folder) / name
    try:
        return _retrieve(one, place)
    except (OSError, *_WRONG) as error:
        raise DownloadError(_say(one, place, _reason(error, one))) from error


def _retrieve(one: DataSet, place: Path) -> Path:
    """The publisher's file, by up to three tries; what broke off is taken up again, what is wrong starts anew once."""
    import requests  # pooch brings it

    target = place / one.files[0]
    if one.sha256 is None and target.is_file():
        return target
    part = place / f"{_last(one.url)}.part"
    for pause in _PAUSES:
        was_part = part.exists()
        try:
            return _try(one, place, part, target)
        except requests.RequestException as error:
            if error.response is not None and error.response.status_code < 500:  # it would be the same again
                raise
        except _WRONG:
            if not was_part:  # a download in one go that is wrong would be wrong again
                raise
        time.sleep(pause)
    return _try(one, place, part, target)


def _try(one: DataSet, place: Path, part: Path, target: Path) -> Path:
    import pooch

    archive = place / _last(one.url)
    was_there = archive.exists()
    got = pooch.retrieve(one.url, one.sha256, fname=archive.name, path=place, downloader=_downloader(part))
    if not archive.name.endswith(".zip"):
        return Path(got)
    try:
        _unpack(archive, target)
    except _WRONG:
        if not was_there:
            archive.unlink()
        raise
    if not was_there:
        archive.unlink()
    return target


def _downloader(part: Path) -> Callable[[str, str, object], None]:
    """A downloader as pooch wants it: fills `part`, which outlives a broken transfer, and hands it over when whole."""

    def download(url: str, output_file: str, _pooch: object) -> None:
        if not _get(url, part):
            _get(url, part)
        os.replace(part, output_file)

    return download


def _get(url: str, part: Path) -> bool:
    """Fill `part` from where it stops. False: what lay there was no beginning of that file, and is gone."""
    import requests

    size = part.stat().st_size if part.exists() else 0
    headers = {"Accept-Encoding": "identity"} | ({"Range": f"bytes={size}-"} if size else {})
    with requests.get(url, headers=headers, stream=True, timeout=_TIMEOUT) as response:
        is_rest = response.headers.get("Content-Range", "").startswith(f"bytes {size}-")
        if size and (response.status_code == 416 or (response.status_code == 206 and not is_rest)):
            part.unlink()
            return False
        response.raise_for_status()
        before = size if response.status_code == 206 else 0  # a server that cannot resume sends all of it
        with part.open("ab" if before else "wb") as file:
            for piece in response.iter_content(_PIECE):
                file.write(piece)
        came, due = part.stat().st_size - before, response.headers.get("Content-Length")
        if due is not None and "Content-Encoding" not in response.headers and came != int(due):
            raise requests.exceptions.ChunkedEncodingError(f"{came:,} of {int(due):,} bytes came")
    return True


def _unpack(archive: Path, target: Path) -> None:
    """The one file we want, by its own name: no path inside the archive is trusted."""
    with zipfile.ZipFile(archive) as zipped:
        members = {PurePosixPath(member.filename).name: member for member in zipped.infolist()}
        if target.name not in members:
            raise ValueError(f"the archive has no {target.name!r}; it has {', '.join(members)[:200] or 'nothing'}")
        if (size := members[target.name].file_size) > _LARGEST:
            raise ValueError(f"{target.name!r} in the archive claims {size:,} bytes")
        unpacked = target.with_name(f"{target.name}.part")
        with zipped.open(members[target.name]) as source, unpacked.open("wb") as file:
            shutil.copyfileobj(source, file)
    os.replace(unpacked, target)


def _last(url: str) -> str:
    return PurePosixPath(urlsplit(url).path).name


def _reason(error: BaseException, one: DataSet) -> str:
    """What happened, in a few words."""
    import requests

    host = urlsplit(one.url).netloc
    if isinstance(error, requests.HTTPError) and error.response is not None:
        return f"{host} answered {error.response.status_code} {error.response.reason}"
    if isinstance(error, requests.Timeout):
        return f"{host} did not answer in time"
    if isinstance(error, requests.exceptions.ChunkedEncodingError):
        return "the transfer broke off before its end (the next try goes on from there)"
    if isinstance(error, requests.ConnectionError):
        return f"no connection to {host}"
    if isinstance(error, _WRONG) and not isinstance(error, OSError):
        return f"what {host} sent is not the published file ({error})"
    return f"{type(error).__name__}: {error}"


def _say(one: DataSet, place: Path, reason: str) -> str:
    first, *others = one.files
    return (
        f"{one.name} could not be fetched from {one.url}: {reason}. "
        f"Try again later; or get it by hand from that address or {one.page}, and put {first!r} into {place}{os.sep}. "
        f"{' and '.join(map(repr, others))} with the columns {', '.join(one.columns)} serve as well."
    )
