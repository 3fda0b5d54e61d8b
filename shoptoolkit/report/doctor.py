"""What is missing on this machine, and its mend: nothing comes in, one line per check goes out. No network.

- `examine`: runs every check, tells its line; a check that breaks tells its error and the next one runs.
- `Line`: ok, warning or stop (`make reports` fails), what was found, and the mend in one sentence.

At the top only the standard library is imported: where a package is missing, this still runs, also as
`python -m shoptoolkit.report.doctor`.
"""

from __future__ import annotations

import os
import platform
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path
from typing import Any

__all__ = ["Line", "examine"]

OK, WARNING, STOP = "ok", "warning", "stop"
BROWSERS = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable", "chrome", "msedge")
INSTALL = "install the project: python -m pip install -e ."
KERNEL_SECONDS = 120
IN_KERNEL = "import shoptoolkit; [getattr(shoptoolkit, room) for room in shoptoolkit.__all__]"


@dataclass(frozen=True, slots=True, kw_only=True)
class Line:
    """One finding. `mend` is empty where there is nothing to mend."""

    status: str
    name: str
    found: str
    mend: str = ""


def examine(*, tell: Callable[[str], None] = print) -> int:
    """Check Python, packages, kernel, exporter, browser, Java, folders, disk, cores and time zones.

    Parameters
    ----------
    tell
        Takes the lines.

    Returns
    -------
    int
        1 if something that `make reports` needs is missing, else 0.
    """
    levels, worst = [OK, WARNING, STOP], OK
    for name, check, broken in CHECKS:
        try:
            lines = list(check())
        except Exception as error:
            said = f"this check itself failed: {type(error).__name__}: {error}"
            lines = [Line(status=broken, name=name, found=said, mend=INSTALL)]
        for line in lines:
            worst = max(worst, line.status, key=levels.index)
            tell(_shown(line))
    ends = {OK: "All is well.", WARNING: "Reports can be made; see the warnings.", STOP: "Reports cannot be made yet."}
    tell(f"\n{ends[worst]}")
    return 1 if worst == STOP else 0


def _shown(line: Line) -> str:
    text = f"{line.status:<9}{line.name:<14}{line.found}" + (f"  ->  {line.mend}" if line.mend else "")
    return "".join(sign if sign.isprintable() else " " for sign in text)


def _python() -> Iterator[Line]:
    from packaging.specifiers import SpecifierSet

    wanted = metadata.metadata("shoptoolkit")["Requires-Python"] or ""
    fits = SpecifierSet(wanted).contains(platform.python_version(), prereleases=True)
    mend = "" if fits else f"make the environment anew with a Python {wanted}: make PYTHON=/path/to/python3"
    yield Line(
        status=OK if fits else STOP, name="Python", found=f"{platform.python_version()}, {sys.executable}", mend=mend
    )


def _requirements() -> Iterator[tuple[Any, str | None, str]]:
    """Each requirement of shoptoolkit, its extra ("" for the core), and the version that is installed, if any."""
    from packaging.requirements import Requirement

    for text in metadata.requires("shoptoolkit") or []:
        one = Requirement(text)
        for extra in ("", *EXTRAS):
            if one.marker is None or one.marker.evaluate({"extra": extra}):
                yield one, _version(one.name), extra
                break


EXTRAS = {
    "spark": "for Spark",
    "deep": "for sequence models",
    "lake": "for Delta and Iceberg tables",
    "sql": "for databases",
    "dev": "for make test",
    "crosscheck": "for the oracles of make test",
}


def _version(name: str) -> str | None:
    try:
        return metadata.version(name)
    except metadata.PackageNotFoundError:
        return None


def _packages() -> Iterator[Line]:
    core = [(one, version) for one, version, extra in _requirements() if not extra]
    bad = [
        (one, version)
        for one, version in core
        if version is None or not one.specifier.contains(version, prereleases=True)
    ]
    for one, version in bad:
        mend = f"python -m pip install '{one.name}{one.specifier}'"
        yield Line(status=STOP, name="packages", found=f"{one.name} is {version or 'missing'}", mend=mend)
    if not bad:
        ours = f"shoptoolkit {metadata.version('shoptoolkit')} in {Path(__file__).resolve().parents[1]}"
        yield Line(status=OK, name="packages", found=f"{ours}; {len(core)} others, none below its bound")


def _extras() -> Iterator[Line]:
    for extra, purpose in EXTRAS.items():
        wanted = [(one, version) for one, version, of in _requirements() if of == extra]
        missing = [one.name for one, version in wanted if version is None or not one.specifier.contains(version, True)]
        if not missing:
            yield Line(status=OK, name="extra", found=f"{extra} ({purpose}) is there")
        else:
            found = f"{extra} ({purpose}) is not: {', '.join(missing)}"
            yield Line(status=OK, name="extra", found=found, mend=f"if wanted: python -m pip install -e '.[{extra}]'")


def _constraints() -> Iterator[Line]:
    path = next((folder / "constraints.txt" for folder in _roots() if (folder / "constraints.txt").is_file()), None)
    if path is None:
        yield Line(
            status=OK, name="constraints", found="no constraints.txt here: any versions within the bounds will do"
        )
        return
    pins = [
        line.split("==")
        for line in path.read_text(encoding="utf-8").splitlines()
        if line[:1].isalnum() and "==" in line
    ]
    other = [f"{n} {v} for {pin.strip()}" for n, pin in pins if (v := _version(n)) not in (None, pin.strip())]
    found = f"{len(pins)} pinned versions, {len(other)} differ here" + (f": {', '.join(other[:4])}" if other else "")
    mend = f"python -m pip install -e . -c {path}" if other else ""
    yield Line(status=WARNING if other else OK, name="constraints", found=found, mend=mend)


def _roots() -> list[Path]:
    return [Path.cwd(), Path(__file__).resolve().parents[2]]


def _kernelspec() -> Iterator[Line]:
    from jupyter_client.kernelspec import KernelSpecManager

    mend = "python -m ipykernel install --sys-prefix"
    spec = KernelSpecManager().get_kernel_spec("python3")
    same = spec.argv[0] in ("python", "python3") or Path(spec.argv[0]).absolute() == Path(sys.executable).absolute()
    found = f"python3 is {'this Python' if same else spec.argv[0]}"
    yield Line(status=OK if same else WARNING, name="kernelspec", found=found, mend="" if same else mend)


def _kernel() -> Iterator[Line]:
    """A real kernel, as the runner starts it: does it import every room?"""
    from jupyter_client.kernelspec import KernelSpecManager
    from jupyter_client.manager import KernelManager

    begun = time.monotonic()
    manager = KernelManager(kernel_name="python3", kernel_spec_manager=KernelSpecManager(kernel_dirs=[]))
    manager.start_kernel(stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    client = manager.client()
    try:
        client.start_channels()
        client.wait_for_ready(timeout=KERNEL_SECONDS)
        up = time.monotonic()
        reply = client.execute_interactive(IN_KERNEL, timeout=KERNEL_SECONDS, output_hook=lambda _: None)["content"]
    finally:
        client.stop_channels()
        manager.shutdown_kernel(now=True)
    found = f"starts in {up - begun:.1f} s, imports shoptoolkit and its rooms in {time.monotonic() - up:.1f} s"
    if reply["status"] == "ok":
        yield Line(status=OK, name="kernel", found=found)
    else:
        said = f"starts, but import shoptoolkit fails: {reply.get('ename')}: {reply.get('evalue')}"
        yield Line(status=STOP, name="kernel", found=said, mend=INSTALL)


def _exporter() -> Iterator[Line]:
    found = [one for one in metadata.entry_points(group="nbconvert.exporters") if one.name == "shopreport"]
    if not found:
        yield Line(status=STOP, name="exporter", found="shopreport is not registered with nbconvert", mend=INSTALL)
        return
    found[0].load()
    yield Line(status=OK, name="exporter", found="shopreport is registered with nbconvert and loads")


def _browser() -> Iterator[Line]:
    path = next(filter(None, map(shutil.which, BROWSERS)), None)
    if path or not _version("playwright"):
        yield Line(status=OK, name="browser", found=path or "none; only the tests of pages want one")
        return
    mend = "python -m playwright install chromium, or apt-get install chromium; without one the page tests skip"
    home = Path(os.environ.get("PLAYWRIGHT_BROWSERS_PATH") or os.path.expanduser("~/.cache/ms-playwright"))
    own = sorted(home.glob("chromium*"))
    yield Line(
        status=OK if own else WARNING, name="browser", found=str(own[-1]) if own else "none", mend="" if own else mend
    )


def _java() -> Iterator[Line]:
    home = os.environ.get("JAVA_HOME")
    path = shutil.which("java", path=f"{home}/bin" if home else None) or shutil.which("java")
    if path is None:
        wanted = _version("pyspark") is not None
        mend = "apt-get install openjdk-17-jre-headless, or set JAVA_HOME" if wanted else ""
        yield Line(
            status=WARNING if wanted else OK, name="Java", found="none; only the spark extra wants it", mend=mend
        )
        return
    said = subprocess.run([path, "-version"], capture_output=True, text=True, timeout=20, check=False)
    yield Line(status=OK, name="Java", found=f"{path}, {(said.stderr or said.stdout).splitlines()[0]}")


def _folders() -> Iterator[Line]:
    cache = os.environ.get("NUMBA_CACHE_DIR")
    package = Path(__file__).resolve().parents[1]
    caches = [Path(cache)] if cache else [package / "__pycache__", Path(os.path.expanduser("~/.cache/numba"))]
    for name, folders, status, mend in (
        ("reports", [Path("reports")], STOP, "change to a folder of your own, or pass --out FOLDER"),
        ("data", [Path("data")], WARNING, "public sets cannot be kept; change to a folder of your own"),
        (
            "numba cache",
            caches,
            WARNING,
            "set NUMBA_CACHE_DIR to a folder of your own, or code is compiled in every run",
        ),
    ):
        good = next(filter(_is_writable, folders), None)
        found = f"{(good or folders[0]).absolute()} {'can' if good else 'cannot'} be written"
        yield Line(status=OK if good else status, name=name, found=found, mend="" if good else mend)


def _is_writable(folder: Path) -> bool:
    """Tried by a file that goes at once; of a folder that is not there yet, the nearest one above."""
    there = next(one for one in (folder.absolute(), *folder.absolute().parents) if one.exists())
    try:
        with tempfile.TemporaryFile(dir=there):
            return True
    except OSError:
        return False


def _disk() -> Iterator[Line]:
    free = shutil.disk_usage(Path.cwd()).free / 1e9
    status = OK if free > 1 else WARNING if free > 0.1 else STOP
    yield Line(status=status, name="disk", found=f"{free:,.1f} GB free", mend="" if status == OK else "make room on it")


def _cores() -> Iterator[Line]:
    import polars as pl

    from shoptoolkit.report.kernel import THREADS, usable_cores

    usable = usable_cores()
    told = {name: os.environ[name] for name in THREADS if os.environ.get(name)}
    shown = ", ".join(f"{name}={value}" for name, value in told.items()) or "no limit of threads set"
    found = f"{usable} of {os.cpu_count()}, polars runs {pl.thread_pool_size()} threads; {shown}"
    high = [name for name, value in told.items() if not value.isdigit() or not 0 < int(value) <= usable]
    mend = f"set {' and '.join(high)} to 1 to {usable}, or unset" if high else ""
    yield Line(status=WARNING if high else OK, name="cores", found=found, mend=mend)


def _zones() -> Iterator[Line]:
    from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

    try:
        ZoneInfo("Europe/London")
        ZoneInfo("UTC")
    except ZoneInfoNotFoundError as error:
        yield Line(status=STOP, name="time zones", found=str(error), mend="python -m pip install tzdata")
        return
    yield Line(status=OK, name="time zones", found="the database is there")


def _notebooks() -> Iterator[Line]:
    count = len(list(Path("notebooks").glob("*.ipynb")))
    mend = "" if count else "change to the project's folder, or pass --notebooks FOLDER"
    found = f"{count} in {Path('notebooks').absolute()}"
    yield Line(status=OK if count else WARNING, name="notebooks", found=found, mend=mend)


CHECKS: tuple[tuple[str, Callable[[], Iterator[Line]], str], ...] = (  # name, check, status where the check breaks
    ("Python", _python, STOP),
    ("packages", _packages, STOP),
    ("constraints", _constraints, WARNING),
    ("extra", _extras, WARNING),
    ("kernelspec", _kernelspec, WARNING),
    ("kernel", _kernel, STOP),
    ("exporter", _exporter, STOP),
    ("notebooks", _notebooks, WARNING),
    ("folders", _folders, STOP),
    ("disk", _disk, WARNING),
    ("cores", _cores, WARNING),
    ("time zones", _zones, STOP),
    ("browser", _browser, WARNING),
    ("Java", _java, WARNING),
)

if __name__ == "__main__":
    sys.exit(examine())
