"""What a reader can press: one toggle for all code, light and dark, contents, sorting, CSV, search."""

import csv
import io

import pytest
from torture import FORMULAS, NUMBERS, REFUSED
from visits import PHONE

BACKGROUND = "getComputedStyle(document.body).backgroundColor"
WHITE = "rgb(255, 255, 255)"
TORTURE = "65_torture.html"
LONG = "20_repurchase_retention.html"


# ---- toggles --------------------------------------------------------------------------------------------------------


def test_one_toggle_opens_and_folds_all_code(reports, visit):
    page = visit(reports / LONG).page
    toggle, sources = page.locator("#shop-fold"), page.locator("details.src:not(.aside)")
    folded = page.locator("details.src:not(.aside):not([open])").count()
    assert folded > 5
    assert toggle.inner_text() == "Show code"
    toggle.click()
    assert toggle.inner_text() == "Fold code"
    assert toggle.get_attribute("aria-pressed") == "true"
    assert all(source.is_visible() for source in sources.locator("pre").all())
    toggle.press("Enter")
    assert page.locator("details.src:not(.aside):not([open])").count() == folded


@pytest.mark.parametrize("name", [LONG, "index.html"])
def test_a_chosen_light_or_dark_stays(reports, visit, name):
    page = visit(reports / name).page
    assert page.evaluate(BACKGROUND) == WHITE
    page.locator("#shop-theme").click()
    dark = page.evaluate(BACKGROUND)
    assert dark != WHITE
    page.reload()
    assert page.evaluate(BACKGROUND) == dark
    assert page.locator("#shop-theme").inner_text() == "Light"
    page.locator("#shop-theme").click()
    page.reload()
    assert page.evaluate(BACKGROUND) == WHITE


@pytest.mark.parametrize("name", [LONG, "index.html"])
def test_without_a_choice_the_page_follows_the_system(reports, visit, name):
    page = visit(reports / name, color_scheme="dark").page
    assert page.evaluate(BACKGROUND) != WHITE
    assert page.locator("#shop-theme").inner_text() == "Light"
    page.emulate_media(color_scheme="light")
    assert page.evaluate(BACKGROUND) == WHITE
    page.locator("#shop-theme", has_text="Dark").wait_for()  # the button now says what it would do


# ---- contents -------------------------------------------------------------------------------------------------------


def top_of(page, selector: str) -> float:
    return page.locator(selector).evaluate("x => x.getBoundingClientRect().top")


def targets(page) -> list[str]:
    return page.locator(".toc a").evaluate_all("all => all.map(a => decodeURIComponent(a.hash.slice(1)))")


def test_on_a_desktop_the_contents_stay_in_sight_and_lead_to_the_headings(reports, visit):
    page = visit(reports / LONG).page
    assert page.locator(".toc ol").is_visible()
    page.locator(".toc summary").click()
    assert page.locator(".toc ol").is_visible(), "fixed, not folded"
    for link in targets(page):
        page.locator(f'.toc a[href="#{link}"]').click()
        assert 0 <= page.locator(".toc ol").bounding_box()["y"] < 400
        heading = page.locator(f'[id="{link}"] h2').first
        assert link == "in-short" or heading.bounding_box()["y"] >= 0
        assert heading.evaluate("x => x.getBoundingClientRect().top < innerHeight")
    page.evaluate("scrollTo(0, document.getElementById('Estimate').offsetTop)")
    page.locator(".toc a[aria-current]", has_text="Estimate").wait_for()


def test_on_a_phone_the_contents_are_folded_until_asked_for(reports, visit):
    page = visit(reports / LONG, size=PHONE).page
    contents = page.locator(".toc ol")
    assert not contents.is_visible()
    page.locator(".toc summary").click()
    assert contents.is_visible()
    page.locator('.toc a[href="#Estimate"]').click()
    assert not contents.is_visible()
    assert page.evaluate("location.hash") == "#Estimate"
    bar = page.locator(".toc").bounding_box()
    assert top_of(page, "#Estimate h2") >= bar["y"] + bar["height"], "the heading is under the contents"
    assert top_of(page, "#Estimate h2") < 300


# ---- tables: a script puts `button.sort` into each head, each captioned table has one `button.csv` ------------------


def table(page, title: str):
    return page.locator(".table", has=page.locator(".cap b", has_text=title))


def head(found, name: str):
    return found.locator(f'thead th[data-column="{name}"]')


def values(found, number: int) -> list[str]:
    """The cells of a column as shown, by position from 0."""
    return [row.locator("th, td").nth(number).inner_text() for row in found.locator("tbody tr").all()]


def exact(found, number: int) -> list[float]:
    """The numbers behind a column; those that are not there are left out."""
    cells = [row.locator("th, td").nth(number).get_attribute("data-v") for row in found.locator("tbody tr").all()]
    return [float(cell) for cell in cells if cell is not None]


@pytest.mark.parametrize("way", ["click", "Enter", "Space"])
@pytest.mark.parametrize(("name", "number"), [("orders", 1), ("share", 2)])
def test_a_column_of_numbers_sorts_as_numbers(reports, visit, way, name, number):
    page = visit(reports / TORTURE).page
    found = table(page, NUMBERS)
    button = head(found, name).locator("button.sort")
    for _ in range(2):
        button.click() if way == "click" else button.press(way)
        direction = head(found, name).get_attribute("aria-sort")
        shown = exact(found, number)
        assert shown == sorted(shown, reverse=direction == "descending")
        assert found.locator("th[aria-sort='ascending'], th[aria-sort='descending']").count() == 1
        assert way == "click" or button.evaluate("x => x == document.activeElement")
    first = [row[0] for row in (("a", 9), ("b", 10), ("c", 1_234_567), ("d", -5), ("e", 0)) if name == "orders"]
    assert sorted(values(found, 0)) == ["a", "b", "c", "d", "e", "f"]
    if first:
        assert values(found, 0)[-1] == "f", "what was not observed stands last"


def test_both_directions_are_told_in_aria_sort_and_words_sort_as_words(reports, visit):
    page = visit(reports / TORTURE).page
    found = table(page, NUMBERS)
    button, told = head(found, "since").locator("button.sort"), []
    for _ in range(2):
        button.click()
        told.append(head(found, "since").get_attribute("aria-sort"))
        shown = values(found, 3)
        assert shown == sorted(shown, reverse=told[-1] == "descending")
    assert sorted(told) == ["ascending", "descending"]
    head(found, "shop").locator("button.sort").click()
    assert head(found, "since").get_attribute("aria-sort") in (None, "none")


def test_a_refused_row_stays_last_whichever_way_it_is_sorted(reports, visit):
    page = visit(reports / TORTURE).page
    found = table(page, REFUSED)
    for name in ("estimate", "n", "source"):
        for _ in range(2):
            head(found, name).locator("button.sort").click()
            assert values(found, 0)[-1].startswith("Search"), name
    assert "Refused. 9 of 50 needed" in found.locator("tr.refused").inner_text().replace("\n", " ")


def downloaded(page, found, tmp_path) -> tuple[str, list[list[str]]]:
    with page.expect_download() as caught:
        found.locator("button.csv").click()
    path = tmp_path / "table.csv"
    caught.value.save_as(path)
    raw = path.read_bytes()
    assert raw.startswith(b"\xef\xbb\xbf"), "Excel takes a file without a BOM for Latin-1"
    return caught.value.suggested_filename, list(csv.reader(io.StringIO(raw.decode("utf-8-sig"), newline="")))


def test_every_captioned_table_can_be_downloaded(reports, visit):
    for name in ("00_start_here.html", LONG, TORTURE):
        page = visit(reports / name).page
        captioned = page.locator(".table:has(.cap)")
        assert captioned.count() > 0
        assert [captioned.nth(i).locator("button.csv").count() for i in range(captioned.count())] == [
            1
        ] * captioned.count()


def test_the_csv_holds_the_rows_as_they_are_shown(reports, visit, tmp_path):
    page = visit(reports / TORTURE).page
    found = table(page, NUMBERS)
    head(found, "orders").locator("button.sort").click()
    filename, rows = downloaded(page, found, tmp_path)
    assert filename.endswith(".csv")
    assert len(rows) == 1 + 6
    assert [row[0] for row in rows[1:]] == values(found, 0)
    assert [float(row[1]) for row in rows[1:] if row[1]] == exact(found, 1)
    assert sorted(float(row[2]) for row in rows[1:]) == [-0.125, 1e-7, 0.25, 0.5, 1.5, 2.0], "exact, not rounded"


def test_the_csv_of_estimates_keeps_bounds_and_reasons(reports, visit, tmp_path):
    page = visit(reports / TORTURE).page
    _, rows = downloaded(page, table(page, REFUSED), tmp_path)
    refused = next(row for row in rows if row[0] == "Search")
    assert any("9 of 50 needed" in cell for cell in refused)
    assert {"0.36", "0.31", "0.41"} <= set(next(row for row in rows if row[0] == "Email"))


def test_no_cell_of_the_csv_is_run_by_a_spreadsheet(reports, visit, tmp_path):
    page = visit(reports / TORTURE).page
    _, rows = downloaded(page, table(page, FORMULAS), tmp_path)
    assert len(rows) == 1 + 8
    assert [cell for row in rows for cell in row if cell.startswith(("=", "+", "-", "@", "\t", "\r"))] == []
    assert any("=1+1" in cell for row in rows for cell in row), "defused, not dropped"


# ---- index ----------------------------------------------------------------------------------------------------------


def test_the_index_finds_reports_and_tells_how_many(reports, visit):
    page = visit(reports / "index.html").page
    page.locator("#find").fill("CUSTOMERS come back")
    assert page.locator(".item:visible").count() == 2
    assert page.locator("#found").inner_text() == "2 reports match"
    page.locator("#find").fill("torture")
    assert page.locator("#found").inner_text() == "0 reports match"
    assert page.locator(".item:visible").count() == 0
    page.locator("#find").fill("survive")
    assert page.locator("#found").inner_text() == "1 report matches"
    page.locator("#find").fill("")
    assert page.locator(".item:visible").count() == 4
    assert page.locator("#found").inner_text() == ""


def test_the_index_leads_to_each_report_and_back(reports, visit):
    page = visit(reports / "index.html").page
    for name in page.locator(".item a").evaluate_all("all => all.map(a => a.getAttribute('href'))"):
        page.locator(f'.item a[href="{name}"]').click()
        assert page.url.endswith(name)
        page.locator("a.mark").click()
        assert page.url.endswith("index.html")
