"""Texts that try to break out, in a real browser: nothing runs, nothing is asked for, the page stays whole.

The Content-Security-Policy would stop a script that got through; so each page is opened without it, too.
"""

import pytest
from injection import CORPUS, nasty_notebook
from visits import PHONE

from shoptoolkit.report import ShopReportExporter, write_index

FAULTS = """() => {
    const all = [...document.querySelectorAll("*")], found = [];
    if (window.injected) found.push("a script ran");
    for (const x of all) for (const a of x.attributes) {
        const url = a.value.replace(/[\\s\\x00-\\x20]/g, "").toLowerCase();
        if (a.name.startsWith("on") || url.startsWith("javascript:")) found.push(x.outerHTML.slice(0, 120));
    }
    const count = part => document.querySelectorAll(part).length;
    const frame = ["body > header.bar", "body > .page > .top > h1", ".page > nav.toc", ".page > main > footer.foot"];
    for (const part of frame) if (count(part) != 1) found.push(`${count(part)} times ${part}`);
    const last = [...document.querySelectorAll("main > section[id] > h2")].pop();
    const said = last && last.checkVisibility() ? last.parentNode.innerText : "";
    if (!said.startsWith("The end") || !said.includes("Still here.")) found.push("the last section is lost");
    if (count("script") != 1) found.push(`${count("script")} scripts`);
    return found;
}"""


@pytest.fixture(scope="module")
def pages(tmp_path_factory):
    """One page with all texts in every place, and one for each text, which then is title, answer and failure, too."""
    folder = tmp_path_factory.mktemp("injected")
    corpora = {"99_all": CORPUS} | {f"{n:02}_nasty": {"tame": nasty} for n, nasty in enumerate(CORPUS.values())}
    for name, corpus in corpora.items():
        html, _ = ShopReportExporter().from_notebook_node(
            nasty_notebook(corpus), resources={"metadata": {"name": name}}
        )
        (folder / f"{name}.html").write_text(html, encoding="utf-8")
    write_index(folder, command="; ".join(text for text in CORPUS.values() if len(text) < 1000))
    return folder


PICTURE = "net::ERR_INVALID_URL"  # picture data that are none


def faults(opened) -> list[str]:
    told = opened.page.evaluate(FAULTS) + opened.complaints + opened.requests + opened.scrolls_sideways()
    opened.complaints.clear()
    opened.requests.clear()
    return told


@pytest.mark.parametrize("guarded", [True, False], ids=["with the policy", "without the policy"])
def test_all_of_them_on_one_page_run_nothing_and_leave_it_whole(pages, visit, guarded):
    assert faults(visit(pages / "99_all.html", size=PHONE, bypass_csp=not guarded, ignore=PICTURE)) == []


def test_each_of_them_as_title_answer_and_error_runs_nothing(pages, visit):
    opened = visit(pages / "99_all.html", size=PHONE, bypass_csp=True, ignore=PICTURE)
    found = {}
    for nasty, path in zip(CORPUS, sorted(pages.glob("*_nasty.html")), strict=True):
        opened.page.goto(path.as_uri())
        found |= {nasty: told} if (told := faults(opened)) else {}
    assert found == {}


def test_the_controls_still_work_beside_nasty_texts(pages, visit):
    opened = visit(pages / "99_all.html", ignore=PICTURE)
    page = opened.page
    before = page.evaluate("getComputedStyle(document.body).backgroundColor")
    page.locator("header.bar #shop-theme").click()
    assert page.evaluate("getComputedStyle(document.body).backgroundColor") != before
    page.locator("header.bar #shop-fold").click()
    assert page.locator("details.src:not(.aside):not([open])").count() == 0
    page.locator(".toc a").last.click()
    assert page.locator("main h2").last.evaluate("x => x.getBoundingClientRect().top < innerHeight")
    page.locator("button.sort").first.click()
    assert page.locator("th[aria-sort=ascending]").count() == 1
    assert faults(opened) == []


@pytest.mark.parametrize("guarded", [True, False], ids=["with the policy", "without the policy"])
def test_the_index_takes_nasty_titles_and_answers_for_words(pages, visit, guarded):
    opened = visit(pages / "index.html", bypass_csp=not guarded)
    page = opened.page
    assert page.locator("ol.items > li.item").count() == len(CORPUS) + 1
    page.locator("#find").fill("<script>")
    assert 0 < page.locator(".item:visible").count() < len(CORPUS)
    assert page.locator("body > main > footer pre").count() == 1
    assert page.locator("script").count() == 1
    assert page.evaluate("window.injected") is None
    page.locator("#find").fill("")
    page.set_viewport_size({"width": 390, "height": 844})
    assert opened.scrolls_sideways() == []
