"""What all tests share: drawing without a screen, the public data, repeatable hypothesis runs."""

import os
import shutil
import sys
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path

import matplotlib
import numpy as np
import pytest
from hypothesis import settings

ROOT = Path(__file__).resolve().parent.parent
BESIDE = ROOT.parent / "shared" / "data"  # a copy that some checkouts have next to them
IN_CI = bool(os.environ.get("CI"))
WORLDS = 1_000 if os.environ.get("CERTIFY") else 200  # `make certify` takes more
CURRENT = pytest.StashKey[pytest.Item]()

matplotlib.use("Agg")  # not through the environment, or the kernels of executed notebooks would draw nothing

settings.register_profile("here", deadline=None)
settings.register_profile("in_ci", deadline=None, derandomize=True)
settings.load_profile("in_ci" if IN_CI else "here")


@pytest.hookimpl(tryfirst=True)
def pytest_runtest_setup(item: pytest.Item) -> None:
    """Remember which test runs, so that a fixture of any scope can ask for its markers."""
    item.config.stash[CURRENT] = item


@pytest.fixture(scope="session")
def public_data(pytestconfig: pytest.Config) -> Callable[[str], Path]:
    """Give the path of a file under data/; skip (or, for a reference test in CI, fail) where there is none."""

    def path_of(relative: str) -> Path:
        here, beside = ROOT / "data" / relative, BESIDE / relative
        if not here.exists() and beside.exists():
            here.parent.mkdir(parents=True, exist_ok=True)
            half = here.with_name(f"{here.name}.{os.getpid()}.part")
            shutil.copyfile(beside, half)
            half.replace(here)
        if here.exists():
            return here
        is_reference = pytestconfig.stash[CURRENT].get_closest_marker("reference") is not None
        why = f"needs data/{relative}: run `make data`"
        pytest.fail(why) if IN_CI and is_reference else pytest.skip(why)

    return path_of


@pytest.fixture(autouse=True)
def close_figures() -> Iterator[None]:
    """Leave no figure open for the next test."""
    yield
    if "matplotlib.pyplot" in sys.modules:
        sys.modules["matplotlib.pyplot"].close("all")


@pytest.fixture(scope="session")
def certify() -> Callable[..., np.ndarray]:
    """Give a judge of intervals: `certify(hits_of_seed, level=0.9)` counts how often they hold over many worlds.

    `hits_of_seed(seed)` gives one bool per interval of that world. An interval that holds its truth less often than
    `level` by more than three Monte-Carlo errors fails the test; one that holds it more often is told as a warning.
    """

    def judge(hits_of_seed: Callable[[int], list[bool]], *, level: float, worlds: int = WORLDS) -> np.ndarray:
        hits = np.array([hits_of_seed(seed) for seed in range(worlds)], dtype=float)
        share, reach = hits.mean(axis=0), 3 * np.sqrt(level * (1 - level) / worlds)
        told = f"cover {np.round(share, 3)} in {worlds} worlds; asked {level} +- {reach:.3f}"
        assert (share >= level - reach).all(), told
        if (share > level + reach).any():
            warnings.warn(f"over-cover: {told}", UserWarning, stacklevel=2)
        return share

    return judge
