"""Where a report comes from: the data it rests on, the seed, the commit, told by the kernel that ran."""

import subprocess
import sys
import time

import numpy as np
import polars as pl
import pytest
from bs4 import BeautifulSoup
from tiny_notebooks import code, notebook, shown, text

from shoptoolkit.report import ShopReportExporter, answer
from shoptoolkit.report.provenance import fingerprint, made_with

FRAME = pl.DataFrame(
    {"who": ["b", "a", None], "n": [1, 2, 2], "x": [0.5, float("nan"), None], "l": [[1], [], None]},
    schema_overrides={"who": pl.Categorical},
)


def test_the_order_of_rows_does_not_change_the_fingerprint():
    assert fingerprint(FRAME.reverse()) == fingerprint(FRAME) == fingerprint(pl.concat([FRAME[:1], FRAME[1:]]))
    assert fingerprint(FRAME.with_columns(pl.col("who").cast(pl.String).cast(pl.Categorical))) == fingerprint(FRAME)


@pytest.mark.parametrize(
    "other",
    [
        FRAME.rename({"n": "m"}),
        FRAME.with_columns(pl.col("n").cast(pl.Int32)),
        FRAME[:2],
        pl.concat([FRAME, FRAME[:1]]),
        FRAME.with_columns(n=pl.Series([2, 1, 2])),
        FRAME.with_columns(x=None),
        FRAME.clear(),
        pl.DataFrame(),
    ],
)
def test_any_other_frame_has_another_fingerprint(other):
    assert fingerprint(other) != fingerprint(FRAME)
    assert len(fingerprint(other)) == 16


def test_another_process_finds_the_same_fingerprint():
    made = "pl.DataFrame({'s': ['a', 'é'], 'n': [1, None]})"
    script = f"import polars as pl; from shoptoolkit.report.provenance import fingerprint; print(fingerprint({made}))"
    told = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True).stdout.strip()
    assert told == fingerprint(pl.DataFrame({"s": ["a", "é"], "n": [1, None]}))


def test_a_million_rows_take_no_time():
    many = np.arange(1_000_000)
    frame = pl.DataFrame({"n": many, "s": pl.Series(many % 977).cast(pl.String), "x": many / 7})
    clock = time.perf_counter()
    fingerprint(frame)
    assert time.perf_counter() - clock < 2


def test_python_objects_have_no_fingerprint():
    with pytest.raises(ValueError, match=r"data holds Python objects in what; .* Cast or drop them"):
        fingerprint(pl.DataFrame({"what": pl.Series([object()], dtype=pl.Object)}))


def foot_of(cells, name="20_q", **metadata):
    nb = notebook(*cells)
    nb.metadata.update(metadata)
    html, _ = ShopReportExporter().from_notebook_node(nb, resources={"metadata": {"name": name}})
    rows = BeautifulSoup(html, "html.parser").select(".foot .facts div")
    return {row.dt.get_text(): row.dd.get_text() for row in rows}


def test_the_foot_tells_seed_rows_fingerprint_and_commit_of_the_kernel():
    piece = answer(sentence="Yes.", seed=np.int64(20), data=pl.DataFrame({"n": range(1234)}))
    foot = foot_of(
        [text("# Q"), code("level = 0.9", "parameters", count=1), code("x", count=2, outputs=[shown(piece)])]
    )
    assert foot["Seed"] == "20"
    assert foot["Rows of data"] == "1,234"
    assert foot["Data fingerprint"] == fingerprint(pl.DataFrame({"n": range(1234)}))
    assert foot["Parameters"] == "level 0.9"
    assert foot["Git commit"] == piece.data["made"]["commit"]
    assert foot["Run"].endswith(" UTC")
    assert f"polars {pl.__version__}" in foot["Packages"]


def test_a_seed_of_0_is_told_and_none_is_not():
    said = [answer(sentence="Yes.", seed=seed) for seed in (0, None)]
    feet = [foot_of([code("x", count=1, outputs=[shown(piece)])]) for piece in said]
    assert feet[0]["Seed"] == "0"
    assert not {"Seed", "Rows of data", "Data fingerprint"} & set(feet[1])


def test_a_page_claims_no_versions_of_a_kernel_it_never_saw():
    foot = foot_of([code("x", count=1)], language_info={"name": "python", "version": "3.9.1"})
    assert foot["Python"] == "3.9.1"
    assert "Packages" not in foot
    assert "Git commit" not in foot
    noted = {"made": made_with(), "commit": "4f1c9ae", "started": "2024-03-05T12:00:00+00:00"}
    foot = foot_of([code("x", count=1)], shoptoolkit=noted)
    assert foot["Git commit"] == "4f1c9ae"
    assert f"polars {pl.__version__}" in foot["Packages"]
