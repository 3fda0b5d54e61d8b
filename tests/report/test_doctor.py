"""`shoptoolkit doctor`: each finding has a line and a mend, and no finding stops the next one."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from shoptoolkit.report import doctor
from shoptoolkit.report.cli import main
from shoptoolkit.report.doctor import OK, STOP, WARNING, Line, examine

ROOT = Path(__file__).resolve().parents[2]


def lines(*checks: str) -> dict[str, Line]:
    return {line.name: line for name, check, _ in doctor.CHECKS if name in checks for line in check()}


def test_this_machine_makes_reports(capsys):
    assert main(["doctor"]) == 0
    told = capsys.readouterr().out
    assert "imports shoptoolkit and its rooms in" in told
    assert "shopreport is registered" in told
    assert "stop" not in told


@pytest.mark.parametrize(("status", "code"), [(OK, 0), (WARNING, 0), (STOP, 1)])
def test_only_what_stops_reports_fails(monkeypatch, status, code):
    monkeypatch.setattr(doctor, "CHECKS", (("x", lambda: [Line(status=status, name="x", found="y")], STOP),))
    assert examine(tell=[].append) == code


def test_a_check_that_breaks_is_told_and_the_next_one_runs(monkeypatch):
    def breaks():
        raise RuntimeError("a\x1b[31mfault")

    fine = [Line(status=OK, name="fine", found="there")]
    monkeypatch.setattr(doctor, "CHECKS", (("broken", breaks, WARNING), ("fine", lambda: fine, STOP)))
    told: list[str] = []
    assert examine(tell=told.append) == 0
    assert "RuntimeError: a [31mfault" in told[0]
    assert "fine" in told[1]


def test_a_package_below_its_bound_or_missing_stops(monkeypatch):
    wanted = ["polars>=99", "nosuchpackage>=1", "numpy>=1", "alsomissing>=1; extra == 'deep'"]
    monkeypatch.setattr(doctor.metadata, "requires", lambda _: wanted)
    found = list(doctor._packages())
    assert [line.status for line in found] == [STOP, STOP]
    assert found[0].mend == "python -m pip install 'polars>=99'"
    assert "nosuchpackage is missing" in found[1].found
    assert any("alsomissing" in line.found and line.status == OK for line in doctor._extras())


def test_a_python_that_is_too_old_stops(monkeypatch):
    monkeypatch.setattr(doctor.platform, "python_version", lambda: "3.9.1")
    assert lines("Python")["Python"].status == STOP


def test_a_folder_that_cannot_be_written_stops(monkeypatch):
    def refuse(**_):
        raise PermissionError("read-only")

    monkeypatch.setattr(doctor.tempfile, "TemporaryFile", refuse)
    found = lines("folders")
    assert [found[name].status for name in ("reports", "data", "numba cache")] == [STOP, WARNING, WARNING]
    assert "--out" in found["reports"].mend


def test_asking_makes_no_folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    lines("folders", "disk", "notebooks", "constraints")
    assert list(tmp_path.iterdir()) == []


def test_threads_beyond_the_cores_are_a_warning(monkeypatch):
    monkeypatch.setenv("POLARS_MAX_THREADS", "many")
    assert lines("cores")["cores"].status == WARNING


def test_an_exporter_that_is_not_registered_stops(monkeypatch):
    monkeypatch.setattr(doctor.metadata, "entry_points", lambda **_: [])
    assert lines("exporter")["exporter"].status == STOP


def test_a_kernel_that_cannot_import_the_package_stops(monkeypatch):
    monkeypatch.setattr(doctor, "IN_KERNEL", "import nosuchroom")
    found = lines("kernel")["kernel"]
    assert found.status == STOP
    assert "ModuleNotFoundError" in found.found


def test_it_runs_where_no_package_is_installed():
    words = [sys.executable, "-S", "-m", "shoptoolkit.report.doctor"]
    done = subprocess.run(
        words, capture_output=True, text=True, env=os.environ | {"PYTHONPATH": str(ROOT)}, check=False
    )
    assert done.returncode == 1
    assert done.stderr == ""
    assert "Reports cannot be made yet" in done.stdout
