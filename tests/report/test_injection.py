"""Whatever stands in data, parameters, titles or markdown: nothing of it runs, and the page stays whole."""

import base64
import hashlib
import re

import pytest
from bs4 import BeautifulSoup
from check_reports import network_requests
from injection import CORPUS, nasty_notebook
from tiny_notebooks import code, notebook, text

from shoptoolkit.report import ShopReportExporter
from shoptoolkit.report.exporter import script_of

html5lib = pytest.importorskip(
    "bleach._vendor.html5lib", reason="needs bleach, which nbconvert brings, to parse as browsers do"
)

FORBIDDEN = {
    *("iframe", "frame", "frameset", "object", "embed", "applet", "base", "form", "input", "textarea", "select"),
    *("link", "template", "noscript", "plaintext", "xmp", "video", "audio", "canvas", "animate", "use", "image"),
    *("foreignObject", "annotation-xml", "mglyph", "marquee", "dialog", "slot", "portal"),
}
UNSEEN = re.compile("[\x00-\x08\x0b\x0c\x0e-\x1f\x7f\u202a-\u202e\u2066-\u2069]")


def page_of(nb, name="20_nasty"):
    html, _ = ShopReportExporter().from_notebook_node(nb, resources={"metadata": {"name": name}})
    return html


def as_browsers_see_it(html):
    """The tree that the HTML standard prescribes, not that of a lenient parser."""
    return html5lib.parse(html, treebuilder="etree", namespaceHTMLElements=False)


def name_of(tag):
    return re.sub(r"^\{.*\}", "", tag.tag) if isinstance(tag.tag, str) else "a comment"


def faults(html, tree):
    """Say everything on a page that is not ours to put there."""
    found = []
    for tag in tree.iter():
        name = name_of(tag)
        found += [f"<{name}>"] if name in FORBIDDEN or name == "a comment" else []
        for key, value in tag.attrib.items():
            key = re.sub(r"^\{.*\}", "", str(key)).lower()
            bad = key.startswith("on") or key in (
                "srcdoc",
                "formaction",
                "action",
                "ping",
                "autofocus",
                "contenteditable",
            )
            bad |= key in ("href", "src", "srcset") and not is_fine(name, key, value)
            bad |= key == "style" and not re.fullmatch(r"text-align:\s*(left|right|center);?", value.strip())
            found += [f"<{name} {key}={value[:60]!r}>"] if bad else []
    scripts = [tag for tag in tree.iter() if name_of(tag) == "script"]
    styles = [tag for tag in tree.iter() if name_of(tag) == "style"]
    found += [f"{len(scripts)} scripts, {len(styles)} style sheets"] if (len(scripts), len(styles)) != (1, 1) else []
    digest = base64.b64encode(hashlib.sha256((scripts[0].text or "").encode()).digest()).decode()
    found += [] if scripts[0].text == script_of() and f"'sha256-{digest}'" in html else ["not our script"]
    metas = [tag.get("http-equiv") for tag in tree.iter() if name_of(tag) == "meta" and tag.get("http-equiv")]
    found += [] if metas == ["Content-Security-Policy"] else [f"meta {metas}"]
    found += [f"a character that cannot be seen: {UNSEEN.search(html)[0]!r}"] if UNSEEN.search(html) else []
    return found + network_requests(html)


def is_fine(name, key, value):
    if key == "href":
        return name == "a" and re.match(r"(https?:|mailto:|#|[\w./%#-]*$)", value)
    return re.match(r"data:image/(png|jpeg|gif|webp|svg\+xml)[;,]", value) if name in ("img", "source") else False


def shape(tree):
    """The page's own frame: what stands directly in the body, the page and the main part."""
    body = tree.find("body")
    page = next(tag for tag in body if tag.get("class") == "page")
    main = page.find("main")
    outer = [list(map(name_of, tree)), [name_of(tag) for tag in body], [name_of(tag) for tag in page]]
    return [*outer, [(name_of(tag), (tag.get("class") or "")) for tag in main]]


def without_sections(tree):
    """The frame; sections may be more, since markdown may hold headings."""
    *outer, main = shape(tree)
    return outer, [one for one in main if one != ("section", "")]


@pytest.fixture(scope="module")
def tame():
    return without_sections(as_browsers_see_it(page_of(nasty_notebook({"tame": "tame"}))))


@pytest.mark.parametrize("name", CORPUS)
def test_nothing_executes_and_the_page_stays_whole(name, tame):
    html = page_of(nasty_notebook({name: CORPUS[name]}))
    tree = as_browsers_see_it(html)
    assert faults(html, tree) == []
    assert without_sections(tree) == tame
    assert len(list(tree.find("body").iter("h1"))) == 1
    last = list(tree.iter("section"))[-1]
    assert "".join(last.find("h2").itertext()) == "The end"
    assert "Still here." in "".join(last.itertext())


@pytest.mark.parametrize(
    "planted",
    [
        "<script>1</script>",
        "<b onclick=x>",
        "<a href=javascript:x>",
        "<iframe></iframe>",
        "<p style='color:red'>",
        "<meta http-equiv=refresh>",
        "<img src='https://evil.example/x.png'>",
        "<!-- x -->",
        "\u202e",
        "<style></style>",
    ],
)
def test_these_tests_find_what_is_planted(planted):
    html = page_of(notebook(text("# Q\n\nHERE")))
    for found, page in ((False, html), (True, html.replace("HERE", planted))):
        assert bool(faults(page, as_browsers_see_it(page))) == found
    torn = as_browsers_see_it(html.replace("HERE", "</div></section></main></div>"))
    assert without_sections(torn) != without_sections(as_browsers_see_it(html))


def test_all_of_them_on_one_page():
    html = page_of(nasty_notebook())
    assert faults(html, as_browsers_see_it(html)) == []
    soup = BeautifulSoup(html, "html.parser")
    heads = [h2.get_text() for h2 in soup.select("main h2")]
    assert [f"Section {name}" for name in CORPUS if f"Section {name}" not in heads] == []
    ids = [tag["id"] for tag in soup.find_all(id=True)]
    assert len(ids) == len(set(ids))
    assert [a["href"] for a in soup.select(".toc a")][-1] == "#The-end"
    assert not soup.select("main .banner")


def test_texts_of_data_stand_on_the_page_as_they_are():
    for name in (
        "script",
        "event handler",
        "template braces",
        "entities",
        "formula of a spreadsheet",
        "comment",
        "style",
    ):
        soup = BeautifulSoup(page_of(nasty_notebook({"tame": CORPUS[name]})), "html.parser")
        cells = [cell.get_text() for cell in soup.select(".shop-table tbody th")]
        assert cells == [CORPUS[name]] * 2
        assert CORPUS[name] in soup.select_one(".short .tile b").get_text()
        assert CORPUS[name] in soup.select_one(".foot").get_text(), "a parameter"
        assert CORPUS[name] in [dd.get_text() for dd in soup.select(".meta dd")]


def test_a_page_says_where_it_leaves_something_out():
    page = page_of(notebook(text('# Q\n<iframe src="https://evil.example/"></iframe> <video></video>\n\n## A')))
    assert "An interactive part of this output is left out" in page


def test_links_and_plain_html_of_authors_stay():
    source = (
        '# Q\n## A\n<a href="https://example.org/?a=b:c">a</a> <a href="mailto:a@b.c">b</a> <a href="c.html#x">c</a>'
        ' [d](#A) <abbr title="Return on ad spend">ROAS</abbr> <details><summary>s</summary>x</details>'
        '<svg viewBox="0 0 9 9"><rect x="1" width="3" height="3" fill="red"></rect></svg>\n\n|a|b|\n|:-:|--:|\n|1|2|'
    )
    page = page_of(notebook(text(source), code("1", count=1)))
    assert faults(page, as_browsers_see_it(page)) == []
    soup = BeautifulSoup(page, "html.parser")
    links = [a["href"] for a in soup.select("main a")]
    assert links == ["https://example.org/?a=b:c", "mailto:a@b.c", "c.html#x", "#A"]
    assert soup.select_one("main abbr")["title"] == "Return on ad spend"
    assert soup.select_one("main details > summary")
    assert soup.select_one("main svg > rect")["fill"] == "red"
    assert "center" in soup.select_one("main th")["style"]


def test_a_lonely_half_of_a_character_does_not_stop_the_page():
    page = page_of(notebook(text("# Q \ud800"), code("1", count=1)))
    assert page.encode("utf-8")
    assert "Q \ufffd" in page
