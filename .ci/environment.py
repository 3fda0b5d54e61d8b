"""Prints environment.yml, made from pyproject.toml: core, lake, sql, dev and crosscheck under conda-forge's names."""

import re
import tomllib
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
CONDA_NAMES = {
    "duckdb": "python-duckdb",
    "matplotlib": "matplotlib-base",
    "playwright": "playwright-python",
    "seaborn": "seaborn-base",
    "xgboost": "py-xgboost",
}
# Not on conda-forge, there only older than we ask, or (causalml) only together with PyTorch.
FROM_PIP = {"causalml", "connectorx", "econml", "lifetimes", "pyfixest", "pysyncon"}
HEADER = """\
# Generated from pyproject.toml by `make environment`; do not edit by hand.
# conda env create -f environment.yml && conda activate shoptoolkit
"""


def split(requirement: str) -> tuple[str, str]:
    """Part "numpy>=2.0" into its name and its bounds."""
    name, bounds = re.fullmatch(r"([A-Za-z0-9._-]+)\s*(.*)", requirement).groups()
    return name.lower(), bounds


def environment(pyproject: dict) -> str:
    """Write environment.yml for the read pyproject.toml."""
    project = pyproject["project"]
    extras = project["optional-dependencies"]
    groups = {"core": project["dependencies"], "lake": extras["lake"], "sql": extras["sql"]}
    groups |= {"dev": extras["dev"], "crosscheck": extras["crosscheck"]}
    lines = ["name: shoptoolkit", "channels:", "  - conda-forge", "  - nodefaults", "dependencies:"]
    lines += [f'  - "python{project["requires-python"]}"', "  - pip"]
    by_pip = []
    for group, requirements in groups.items():
        lines.append(f"  # {group}")
        for name, bounds in map(split, requirements):
            if name in FROM_PIP:
                by_pip.append(f'      - "{name}{bounds}"')
            else:
                lines.append(f'  - "{CONDA_NAMES.get(name, name)}{bounds}"')
    lines.append("  # what conda-forge lacks, or has only older or with PyTorch in tow; and the package itself")
    lines += ["  - pip:", *by_pip, "      - -e ."]
    return HEADER + "\n".join(lines) + "\n"


if __name__ == "__main__":
    print(environment(tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))), end="")
