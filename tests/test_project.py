"""The project's files agree with each other, the package is quiet on import, the notebooks keep their skeleton."""

import json
import re
import runpy
import statistics
import subprocess
import sys
import tomllib
from itertools import chain
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

import shoptoolkit

ROOT = Path(__file__).resolve().parent.parent
PYPROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
CORE = PYPROJECT["project"]["dependencies"]
EXTRAS = PYPROJECT["project"]["optional-dependencies"]
NOTEBOOKS = sorted((ROOT / "notebooks").glob("*.ipynb"))
HEADINGS = [
    "In short",
    "Parameters",
    "Data",
    "What we want to know",
    "Look",
    "Estimate",
    "Doubt",
    "What to do",
    "Limits",
    "References",
]


def python(code: str) -> str:
    return subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True, cwd=ROOT).stdout


def test_environment_yml_is_what_pyproject_says():
    made = runpy.run_path(str(ROOT / ".ci" / "environment.py"))["environment"](PYPROJECT)
    assert (ROOT / "environment.yml").read_bytes() == made.encode(), "run `make environment`"


@pytest.mark.parametrize("requirement", sorted({*CORE, *chain(*EXTRAS.values())}))
def test_every_dependency_has_a_lower_bound(requirement):
    assert [bound for bound in Requirement(requirement).specifier if bound.operator == ">="]


@pytest.mark.parametrize(
    "requirement", [*CORE, *chain(*(EXTRAS[name] for name in ("dev", "crosscheck", "lake", "sql")))]
)
def test_constraints_pin_every_direct_dependency_within_its_bound(requirement):
    lines = (ROOT / "constraints.txt").read_text(encoding="utf-8").splitlines()
    pins = dict(line.split("==") for line in lines if not line.startswith("#"))
    pinned = {canonicalize_name(name): version for name, version in pins.items()}
    wanted = Requirement(requirement)
    assert wanted.specifier.contains(pinned[canonicalize_name(wanted.name)]), "run `make lock`"


def test_the_changelog_knows_this_version():
    assert f"## [{shoptoolkit.__version__}]" in (ROOT / "CHANGELOG.md").read_text(encoding="utf-8")


def test_import_costs_at_most_1_3_times_polars():
    """The median CPU seconds (user and system) of each import in fresh processes, taken in turn."""
    cost = "import time; before = time.process_time(); import {}; print(time.process_time() - before)"
    for _ in range(3):  # a busy machine may spoil a try
        runs = [[float(python(cost.format(name))) for name in ("shoptoolkit", "polars")] for _ in range(7)]
        ours, theirs = map(statistics.median, zip(*runs, strict=True))
        if ours <= 1.3 * theirs:
            return
    pytest.fail(f"import shoptoolkit takes {ours:.3f} s of CPU; 1.3 times import polars is {1.3 * theirs:.3f} s")


def test_import_loads_no_heavy_library():
    heavy = {"lifelines", "xgboost", "shap", "seaborn", "matplotlib", "sklearn", "pandas", "numba"}
    loaded = python("import sys, shoptoolkit; print(*sys.modules)").split()
    assert heavy.intersection(loaded) == set()


@pytest.mark.parametrize("path", NOTEBOOKS, ids=[path.stem for path in NOTEBOOKS])
class TestNotebook:
    def test_carries_no_outputs(self, path):
        code = [cell for cell in cells(path) if cell["cell_type"] == "code"]
        assert [cell for cell in code if cell["outputs"] or cell["execution_count"]] == []

    def test_has_the_skeleton(self, path):
        text = "\n".join(source(cell) for cell in cells(path) if cell["cell_type"] == "markdown")
        assert len(re.findall(r"^# \S", text, re.MULTILINE)) == 1
        found = re.findall(r"^## +(.+?) *$", text, re.MULTILINE)
        assert [heading for heading in found if heading in HEADINGS] == HEADINGS

    def test_has_one_cell_of_parameters(self, path):
        assert sum("parameters" in cell["metadata"].get("tags", []) for cell in cells(path)) == 1

    def test_has_at_most_40_cells(self, path):
        assert len(cells(path)) <= 40

    def test_code_cells_are_short_and_define_at_most_one_function(self, path):
        code = [source(cell) for cell in cells(path) if cell["cell_type"] == "code"]
        assert [text for text in code if text.count("\n") >= 20] == []
        assert [text for text in code if len(re.findall(r"^\s*(?:async )?def ", text, re.MULTILINE)) > 1] == []


def cells(path: Path) -> list[dict]:
    return json.loads(path.read_text(encoding="utf-8"))["cells"]


def source(cell: dict) -> str:
    return "".join(cell["source"]).strip()
