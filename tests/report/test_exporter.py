"""The page: self-contained, structured, calm about what notebooks leave behind."""

import base64
import hashlib
import re
import subprocess
import sys
from datetime import datetime
from pathlib import Path

import polars as pl
import pytest
from bs4 import BeautifulSoup
from check_reports import network_requests
from matplotlib.figure import Figure
from nbformat.v4 import new_output
from tiny_notebooks import code, notebook, save, shown, text

from shoptoolkit import report
from shoptoolkit.report import ShopReportExporter, answer, callout, figure, table, write_index
from shoptoolkit.report.exporter import script_of, style_of
from shoptoolkit.report.markdown import Outline, latex_html
from shoptoolkit.report.page import Page, moment_in_words
from shoptoolkit.report.pieces import ANSWER_MIME


def page_of(*cells, name="20_repurchase_retention", metadata=None):
    nb = notebook(*cells)
    nb.metadata.update(metadata or {})
    html, _ = ShopReportExporter().from_notebook_node(nb, resources={"metadata": {"name": name}})
    return html


def soup_of(*cells, **options):
    return BeautifulSoup(page_of(*cells, **options), "html.parser")


def html_output(html):
    return new_output("display_data", data={"text/html": html, "text/plain": "x"})


@pytest.fixture(scope="module")
def page():
    box = answer(
        sentence="Yes.", number="36 %", interval="35 to 37 %", checks=[("Truth", "warn", "4 of 5")], facts={"Data": "A"}
    )
    return page_of(
        text("# Do customers come back?\nA word before."),
        code("within_days = 90", "parameters", count=1),
        text("## Data\nSee [below](#What-to-do).\n\n### Detail"),
        code("a = 1\nb = 2", count=2, outputs=[new_output("stream", name="stdout", text="hello <there>")]),
        code("secret = 1", "hide-input", count=3, outputs=[html_output("<p>kept</p>")]),
        code("gone = 1", "remove-input", count=4, outputs=[html_output("<p>also kept</p>")]),
        code("shy = 1", "remove-output", count=5, outputs=[html_output("<p>dropped</p>")]),
        code("never = 1", "remove-cell", count=6),
        text("## What to do\n\n$$\\hat S(t)$$\n\n## Data"),
        code("answer(...)", count=7, outputs=[shown(box)]),
    )


def test_the_page_is_one_small_file_that_loads_nothing(page):
    assert network_requests(page) == []
    assert len(page) < 60_000
    assert len(style_of("shopreport/report.css")) + len(script_of()) < 60_000


def test_no_script_but_ours_may_run(page):
    soup = BeautifulSoup(page, "html.parser")
    script = soup.find("script").string
    digest = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
    policy = soup.find("meta", attrs={"http-equiv": "Content-Security-Policy"})["content"]
    assert f"script-src 'sha256-{digest}';" in policy
    assert "default-src 'none'" in policy


def test_title_contents_and_sections_come_from_the_headings(page):
    soup = BeautifulSoup(page, "html.parser")
    assert soup.title.string == "Do customers come back? · shoptoolkit"
    assert [h.get_text() for h in soup.find_all("h1")] == ["Do customers come back?"]
    links = [a["href"] for a in soup.select("nav.toc a")]
    assert links == ["#in-short", "#Data", "#What-to-do", "#Data-2"]
    assert [s.get("id") for s in soup.find_all("section")] == ["in-short", None, "Data", "What-to-do", "Data-2"]
    ids = [tag["id"] for tag in soup.find_all(id=True)]
    assert len(ids) == len(set(ids))
    assert soup.select_one("#What-to-do math")


def test_the_answer_goes_to_the_top_once(page):
    soup = BeautifulSoup(page, "html.parser")
    assert len(soup.select(".short")) == 1
    assert soup.select_one("section#in-short .short .tile")
    assert soup.find("meta", attrs={"name": "shoptoolkit-status"})["content"] == "warn"
    assert soup.find("meta", attrs={"name": "shoptoolkit-answer"})["content"] == "Yes."
    assert "Data" in soup.select_one("dl.meta").get_text()
    assert "data-lab" not in page


def test_code_is_folded_and_tags_are_honoured(page):
    soup = BeautifulSoup(page, "html.parser")
    sources = {d.find("pre").get_text().strip(): d for d in soup.select("details.src")}
    assert "Code, 2 lines" in sources["a = 1\nb = 2"].get_text()
    assert not sources["a = 1\nb = 2"].has_attr("open")
    assert sources["within_days = 90"].has_attr("open")
    assert "quiet" in sources["secret = 1"]["class"]
    assert not {"gone = 1", "never = 1"} & set(sources)
    assert "also kept" in page
    assert "dropped" not in page
    assert "hello &lt;there&gt;" in page


def test_an_in_short_heading_of_the_notebook_is_used():
    soup = soup_of(text("# Q\n## In short"), code("x", count=1, outputs=[shown(answer(sentence="Yes."))]), text("## B"))
    assert [s.get("id") for s in soup.find_all("section")] == [None, "in-short", "B"]
    assert soup.select_one("section#in-short > .short")


def test_a_failed_cell_and_cells_not_run_are_announced():
    error = new_output(
        "error", ename="KeyError", evalue="'\x1b[31mcity'", traceback=["Cell In[1], line 2", "\x1b[0mbad"]
    )
    soup = soup_of(text("# Q\n## Estimate"), code("a = 1\nb['city']", count=1, outputs=[error]), code("c = 2"))
    banners = [p.get_text() for p in soup.select(".banner")]
    assert banners[0] == "This run stopped in cell 2, under “Estimate”: KeyError: 'city'"
    assert banners[1].startswith("1 code cell did not run")
    assert soup.find("meta", attrs={"name": "shoptoolkit-status"})["content"] == "failed"
    assert "\x1b" not in str(soup)


def status_on(page):
    return BeautifulSoup(page, "html.parser").find("meta", attrs={"name": "shoptoolkit-status"})["content"]


def test_a_page_passes_only_with_an_answer_that_was_run():
    said = [shown(answer(sentence="Yes."))]
    assert status_on(page_of(code("x", count=1, outputs=said))) == "pass"
    assert status_on(page_of(text("# Only words"))) == "no answer"
    assert status_on(page_of(code("x", count=1))) == "no answer"
    never = page_of(code("x", outputs=said), code("y"))
    assert status_on(never) == "failed"
    error = BeautifulSoup(never, "html.parser").find("meta", attrs={"name": "shoptoolkit-error"})["content"]
    assert error.startswith("2 code cells did not run")


def test_a_check_of_an_unknown_status_does_not_pass():
    said = shown(answer(sentence="Yes.", checks=[("Placebo", "pass", "gap 0")]))
    said.data[ANSWER_MIME]["checks"][0][1] = "fine"
    assert status_on(page_of(code("x", count=1, outputs=[said]))) == "no answer"
    said.data[ANSWER_MIME]["checks"].append(["Overlap", "stop", "none"])
    assert status_on(page_of(code("x", count=1, outputs=[said]))) == "stop"


def test_a_long_error_of_several_lines_stands_whole_at_the_top():
    message = (
        "events: 'at' is missing;\n" + 40 * "its column 'x' is a String; " + "\nIf 'ts' is your 'at', pass columns."
    )
    error = new_output("error", ename="ContractError", evalue=message, traceback=[])
    soup = soup_of(text("# Q"), code("x", count=1, outputs=[error]))
    assert (
        soup.select_one(".top > .banner").get_text()
        == f"This run stopped in cell 2, under “Q”: ContractError: {message}"
    )
    assert "\n" not in soup.find("meta", attrs={"name": "shoptoolkit-error"})["content"]
    assert "white-space:pre-wrap" in re.search(r"\.banner\{[^}]*", str(soup.style))[0]


def test_the_head_names_only_the_parameters_that_were_changed():
    defaults = code("within_days = 90\nas_of = None\nshop = 'mine'", "parameters", count=1)
    injected = code("within_days = 90\nas_of = '2011-12-09'", "injected-parameters", count=2)
    assert not soup_of(defaults).select(".meta")
    page = soup_of(defaults, injected)
    assert page.select_one(".meta").get_text() == "Parametersas_of 2011-12-09"
    assert "within_days 90, as_of 2011-12-09, shop mine" in page.select_one(".facts").get_text()


def test_the_password_of_a_database_stands_nowhere_on_the_page():
    address = "postgresql://shop:hush@server:5432/shop"
    page = page_of(
        code(f'dataset = "simulated"  # or "{address}"', "parameters"),
        code(f"dataset = {address!r}", "injected-parameters"),
        code("log", outputs=[new_output("display_data", data={"text/plain": repr(address)})]),
    )
    assert "hush" not in page
    assert page.count("postgresql://shop:***@server:5432/shop") > 3


def test_cells_out_of_order_are_announced():
    soup = soup_of(code("a", count=2), code("b", count=1))
    assert "out of order" in soup.select_one(".banner").get_text()


def test_widgets_and_progress_bars_leave_no_rubbish():
    widget = {"application/vnd.jupyter.widget-view+json": {"model_id": "m"}, "text/plain": "  0%|      |"}
    outputs = [
        new_output("display_data", data=widget),
        new_output("stream", name="stderr", text="10%\r"),
        new_output("stream", name="stderr", text="50%\r100% done\n"),
        new_output("execute_result", data={"text/plain": "<Axes: xlabel='day'>"}, execution_count=1),
    ]
    page = page_of(
        code("x", count=1, outputs=outputs), metadata={"widgets": {"application/vnd.jupyter.widget-state+json": {}}}
    )
    page = page.partition("<body>")[2]
    assert "0%|" not in page
    assert "50%" not in page
    assert "100% done" in page
    assert "Messages while running, 1 line<" in page
    assert "Axes" not in page
    assert "widget" not in page


def test_foreign_html_cannot_break_the_page_or_call_out():
    nasty = '</div></section></main><div><b>open<script src="https://x.y/z.js"></script><img src="https://x.y/i.png">'
    page = page_of(text(f"# Q\n## A\n{nasty}\n\n## B"), code("x", count=1, outputs=[html_output(nasty)]))
    assert network_requests(page) == []
    soup = BeautifulSoup(page, "html.parser")
    assert "An interactive part of this output is left out" in page
    assert "Picture not included: https://x.y/i.png" in page
    assert [s.get("id") for s in soup.select("main > section")] == [None, "A", "B"]
    assert soup.select_one("main > footer")


def test_plain_frames_lose_their_own_style():
    page = page_of(
        code(
            "x",
            count=1,
            outputs=[html_output("<div><style>.dataframe{color:red}</style><table class=dataframe></table></div>")],
        )
    )
    assert "color:red" not in page
    assert 'class="scroll"' in page


def test_the_title_is_escaped_and_falls_back_to_the_name():
    assert "<title>30 Ad experiments" in page_of(text("no heading"), name="30_ad_experiments")
    assert "<title>A &lt;b&gt; &amp; c" in page_of(text("# A `<b>` & c"))


@pytest.mark.parametrize("latex", [r"\frac{", r"\nosuch x", r"\left("])
def test_a_formula_that_cannot_be_converted_stays_readable(latex):
    html = latex_html(latex)
    assert html.startswith('<code class="tex"')
    assert latex in html


@pytest.mark.parametrize(
    "latex",
    [
        r"\prod_{t_i \le t}\left(1 - \frac{d_i}{n_i}\right)",
        r"\begin{align} a &= b \\ c &= d \end{align}",
        r"\begin{cases} 1 & x > 0 \\ 0 & \text{else} \end{cases}",
        r"\begin{equation} \mathbb{E}[Y \mid X] \end{equation}",
    ],
)
def test_formulas_become_mathml(latex):
    html = latex_html(latex, display=True)
    assert "<math" in html
    assert "<code" not in html
    assert "(1)" not in html


def test_html_between_words_keeps_its_words():
    page = page_of(text('# Q\n## A\nSo <b>much</b> <abbr title="x"><i>of it</i></abbr> ![p](https://x.y/z.png)'))
    assert 'So <b>much</b> <abbr title="x"><i>of it</i></abbr>' in page
    assert page.count("Picture not included") == 1


def test_a_list_of_tasks_keeps_its_ticks():
    items = [li.get_text() for li in soup_of(text("# Q\n## A\n- [x] done\n- [ ] to do")).select("main li")]
    assert items == ["\u2611 done", "\u2610 to do"]


def test_money_is_no_formula():
    assert "<math" not in page_of(text("It costs $5 and $10."))
    assert "<math" in page_of(text("The day $t$."))


def test_nbconvert_finds_the_exporter_and_runs_a_notebook(tmp_path):
    show = "from shoptoolkit.report import callout\ncallout('Mind', '<gap>')"
    path = save(
        notebook(text("# A question?\n## Look"), code(show), code("print(6 * 7)")), tmp_path / "n" / "10_q.ipynb"
    )
    words = [sys.executable, "-m", "nbconvert", "--execute", "--to", "shopreport", str(path)]
    done = subprocess.run(words, capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 0, done.stderr
    page = path.with_suffix(".html").read_text(encoding="utf-8")
    assert network_requests(page) == []
    assert "<title>A question? · shoptoolkit" in page
    assert "&lt;gap&gt;" in page
    assert re.search(r'<pre class="plain"[^>]*>42', page)
    assert re.search(r'content="\d+\.\d\d" name="shoptoolkit-seconds"', page)
    assert not BeautifulSoup(page, "html.parser").select(".banner")


def test_the_callout_keeps_its_look_on_the_page():
    soup = soup_of(code("x", count=1, outputs=[shown(callout("Mind", "it", kind="trap"))]))
    assert soup.select_one(".callout.trap > svg.icon")


def drawn():
    drawing = Figure((2, 1))
    drawing.add_subplot().plot([1, 2])
    return drawing


def crowded():
    drawing = Figure((8, 1))
    for month in range(24):
        drawing.text(month / 24, 0.5, "100")
    return drawing


def page_with_everything():
    row = {"source": "Email", "n": 5, "estimate": 0.5, "low": 0.4, "high": 0.6, "verdict": "ok", "reason": None}
    refused = row | {"estimate": None, "low": None, "high": None, "verdict": "refused", "reason": "too few"}
    tiles = [("Contract", "pass", "a"), ("Placebo", "warn", "b"), ("Overlap", "stop", "c")]
    full = {"number": "1 234.567 %", "interval": "a to b", "more": "b", "caption": "c", "caption_note": "d"}
    box = answer(sentence="Yes.", checks=tiles, figure=drawn(), alt="a", facts={"Data": "A"}, **full)
    lines = [
        "import math as m",
        "class A: pass",
        "def f(a):",
        '    """d"""',
        "    return len(a) is None or 1 + 1.5  # c",
    ]
    picture = new_output("display_data", data={"image/png": "aaaa"})
    long = shown(table(pl.DataFrame({"a": ["w" * 50]}), title="a"))
    outputs = [
        [shown(box)],
        [shown(figure(drawing, title="a", note="b", alt="c")) for drawing in (drawn(), crowded())],
        [shown(callout("a", "b")), shown(callout("a", "b", kind="trap"))],
        [
            shown(table(pl.DataFrame([row, refused] * 2), title="a", max_rows=3)),
            long,
            html_output("<table class=dataframe>"),
        ],
        [picture, new_output("stream", name="stderr", text="a"), new_output("stream", name="stdout", text="a")],
        [new_output("error", ename="E", evalue="e", traceback=["t"])],
    ]
    words = text(f"# Q\n## In short\n## B\n![x](https://x.y/z.png) $\\frac{{$ ${'a' * 50}$\n\n$$a$$")
    cells = [code("f(r'a', f'{a}', \"b\")", "hide-input", count=n + 2, outputs=o) for n, o in enumerate(outputs)]
    return page_of(words, code("\n".join(lines), count=1), *cells)


def test_the_style_sheets_style_nothing_that_no_page_shows(tmp_path):
    short = page_of(code("a", count=1, outputs=[shown(answer(sentence="Yes."))]))
    (tmp_path / "20_q.html").write_text(page_with_everything(), encoding="utf-8")
    one_value = '<meta name="shoptoolkit-name" content="20_q"><meta name="shoptoolkit-only" content="country GB">'
    (tmp_path / "20_q.country=GB.html").write_text(f"<head>{one_value}</head>", encoding="utf-8")
    pages = page_with_everything() + short + write_index(tmp_path).read_text(encoding="utf-8")
    emitted = {name for tag in BeautifulSoup(pages, "html.parser").find_all(class_=True) for name in tag["class"]}
    emitted |= set(re.findall(r'className = "([\w-]+)"', script_of()))
    for own in ("shopreport/report.css", "series/index.css"):
        selectors = re.sub(r"\{[^{}]*\}", "{}", style_of(own))
        assert set(re.findall(r"\.([a-zA-Z][\w-]*)", selectors)) - emitted == set()


def test_no_time_is_written_in_a_way_that_windows_does_not_know():
    room = Path(report.__file__).parent
    assert [path.name for path in room.glob("*.py") if "%-" in path.read_text(encoding="utf-8")] == []
    assert moment_in_words(datetime(2024, 3, 5, 12, 4)) == "5 Mar 2024 12:04 UTC"


def test_the_foot_says_how_to_make_the_page_again_with_its_values():
    page = Page(name="20_x", outline=Outline(), changed={"dataset": "my log.csv", "horizon_days": 60})
    assert page.again == "shoptoolkit report 20_x -p 'dataset=my log.csv' -p horizon_days=60"
