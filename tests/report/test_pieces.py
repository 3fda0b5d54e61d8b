"""What notebooks call: answer, figure, table, callout."""

import json
import subprocess
import sys

import matplotlib as mpl
import polars as pl
import pytest

from shoptoolkit.report import answer, callout, figure, table
from shoptoolkit.report.pieces import ANSWER_MIME

mpl.use("agg")
from matplotlib import pyplot as plt


@pytest.fixture
def ax():
    _, ax = plt.subplots(figsize=(2, 1))
    ax.plot([1, 2])
    yield ax
    plt.close("all")


def test_the_answer_shows_all_its_parts_and_tells_the_index():
    checks = [("Data contract", "pass", "61 204 rows"), ("Placebo", "warn", "gap 2 points")]
    piece = answer(sentence="Yes, <b>many</b> do.", number="36.3 %", interval="95 % interval 35 to 37 %", checks=checks)
    html = piece._repr_html_()
    assert "36.3<small>%</small>" in html
    assert "<b>many</b>" in html
    assert '<em class="warn">warning</em>' in html
    data = piece._repr_mimebundle_()[ANSWER_MIME]
    assert data["sentence"] == "Yes, many do."
    assert data["checks"][1] == ["Placebo", "warn", "gap 2 points"]
    assert data["made"]["packages"]["polars"] == pl.__version__
    assert json.loads(json.dumps(data)) == data


def test_only_bold_survives_in_the_sentence():
    piece = answer(sentence="<b>a</b><i>b</i><script>c</script><b>open", checks=[("<x>", "pass", "<y>")])
    assert "<i>" not in piece.html
    assert "<script" not in piece.html
    assert "<b>a</b>" in piece.html
    assert "&lt;b&gt;open" in piece.html
    assert "&lt;x&gt;" in piece.html


def test_the_hero_figure_comes_with_a_small_thumbnail(ax):
    piece = answer(sentence="Yes.", figure=ax, caption="It <rises>", alt='A "line"')
    assert piece.data["thumbnail"].startswith("data:image/png;base64,")
    assert len(piece.data["thumbnail"]) < 40_000
    assert "It &lt;rises&gt;" in piece.html
    assert 'alt="A &quot;line&quot;"' in piece.html


def test_a_figure_is_shown_once_and_its_matplotlib_figure_closed(ax):
    piece = figure(ax, title="It rises", note="n = 2", alt="A rising line")
    assert not plt.get_fignums()
    assert piece.html.count("<img ") == piece.html.count("data:image/png;base64,") == 1
    assert "<b>It rises</b><span>n = 2</span>" in piece.html
    assert ANSWER_MIME not in piece._repr_mimebundle_()


def test_table_and_callout_show_what_they_were_given():
    assert "<b>Orders</b>" in table(pl.DataFrame({"a": [1]}), title="Orders").html
    assert "callout shop-piece trap" in callout("Mind", "the <gap>", kind="trap").html
    assert "the &lt;gap&gt;" in callout("Mind", "the <gap>").html


def test_a_piece_is_frozen():
    with pytest.raises(AttributeError):
        callout("a", "b").html = "c"


@pytest.mark.parametrize(
    ("call", "error", "message"),
    [
        (lambda: answer(sentence=" "), ValueError, "sentence is ' '; it must not be empty"),
        (lambda: answer(sentence=3), TypeError, "sentence is 3, a int; it must be a string"),
        (lambda: answer(sentence="a", number="3"), ValueError, "interval is empty beside number='3'"),
        (lambda: answer(sentence="a", checks=[("a", "pass")]), ValueError, r"checks holds \('a', 'pass'\); each check"),
        (lambda: answer(sentence="a", checks=[("a", "good", "b")]), ValueError, "'good'; it must be one of pass, warn"),
        (lambda: answer(sentence="a", figure=object()), ValueError, "alt is ''; it must not be empty"),
        (lambda: answer(sentence="a", figure=3, alt="b"), TypeError, "figure is a int; it must be a matplotlib Axes"),
        (lambda: answer(sentence="a", seed="20"), TypeError, "seed is '20'; it must be a whole number, the notebook's"),
        (lambda: answer(sentence="a", seed=True), TypeError, "seed is True; it must be a whole number"),
        (lambda: answer(sentence="a", data=[1]), TypeError, "data is a list; it must be a polars DataFrame: give the"),
        (lambda: answer(sentence="a", data=pl.LazyFrame()), TypeError, r"data is a LazyFrame; .* call \.collect\(\)"),
        (lambda: figure(3, title="a", alt="b"), TypeError, "ax is a int; it must be a matplotlib Axes or Figure"),
        (
            lambda: figure(3, title="a", alt=""),
            ValueError,
            "alt is ''; it must not be empty: say what the figure shows",
        ),
        (lambda: figure(3, title="", alt="b"), ValueError, "title is ''; it must not be empty: say the finding"),
        (lambda: table(pl.DataFrame(), title=""), ValueError, "title is ''; it must not be empty"),
        (lambda: callout("a", "b", kind="tip"), ValueError, "kind is 'tip'; it must be one of note, trap"),
        (lambda: callout("", "b"), ValueError, "title is ''; it must not be empty"),
    ],
)
def test_wrong_arguments_are_named(call, error, message):
    with pytest.raises(error, match=message):
        call()


def test_importing_the_report_loads_neither_matplotlib_nor_nbconvert():
    heavy = "[m for m in ('matplotlib', 'nbconvert', 'nbclient') if m in sys.modules]"
    script = (
        f"import sys, shoptoolkit.report as r; from shoptoolkit.report import answer; print({heavy}, len(dir(r)) > 5)"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert done.stdout.split() == ["[]", "True"]


def test_an_unknown_name_is_refused_with_the_known_ones():
    import shoptoolkit.report

    with pytest.raises(AttributeError, match=r"no attribute 'anwser'; it has: .*answer"):
        shoptoolkit.report.anwser  # noqa: B018


def test_a_table_keeps_the_decimals_asked_for_and_its_exact_values():
    html = table(pl.DataFrame({"who": ["all"], "share": [33.3623]}), title="Shares", decimals={"share": 0}).html
    assert '<td data-v="33.3623">33</td>' in html
