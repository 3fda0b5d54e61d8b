"""Pages for everybody: axe-core finds nothing, and the keyboard reaches all there is, visibly."""

import pytest
from visits import DESKTOP, PAGES, PHONE

FOCUSABLE = "a[href], button, input, select, textarea, summary, [tabindex='0']"
REACHABLE = """(focusable) => {
    window.reachable = [...document.querySelectorAll(focusable)].filter(x => !x.disabled && x.checkVisibility());
    return reachable.map(x => x.outerHTML.slice(0, 120));
}"""
FOCUSED = """() => {
    const at = document.activeElement, style = getComputedStyle(at), box = at.getBoundingClientRect();
    const ring = style.outlineStyle != "none" && parseFloat(style.outlineWidth) >= 1;
    const seen = box.width > 1 && box.bottom > 0 && box.top < innerHeight && box.right > 0 && box.left < innerWidth;
    return [window.reachable.indexOf(at), at == document.body, (ring && seen) ? "" : at.outerHTML.slice(0, 120)];
}"""


@pytest.mark.parametrize("name", PAGES)
@pytest.mark.parametrize("size", [DESKTOP, PHONE], ids=["desktop", "phone"])
@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_axe_finds_no_violation(reports, visit, axe, measured, name, size, scheme):
    opened = visit(reports / f"{name}.html", size=size, color_scheme=scheme, bypass_csp=True)
    found = opened.violations(axe)
    opened.open_all_code()
    found += [line for line in opened.violations(axe) if line not in found]
    measured[f"{name}: axe, {scheme}, {size[0]} px"] = f"{len(found)} violations"
    assert found == []


@pytest.mark.parametrize("name", PAGES)
@pytest.mark.parametrize("dark", ["by the system", "by choice"])
def test_axe_finds_no_violation_on_paper(reports, visit, axe, name, dark):
    opened = visit(reports / f"{name}.html", color_scheme="light", bypass_csp=True)
    if dark == "by choice":
        opened.page.locator("#shop-theme").click()
        opened.page.emulate_media(media="print")
    else:
        opened.page.emulate_media(media="print", color_scheme="dark")
    assert opened.violations(axe) == []


@pytest.mark.parametrize("name", PAGES)
@pytest.mark.parametrize("size", [DESKTOP, PHONE], ids=["desktop", "phone"])
def test_the_keyboard_reaches_everything_and_shows_where_it_is(reports, visit, name, size):
    page = visit(reports / f"{name}.html", size=size).page
    wanted = page.evaluate(REACHABLE, FOCUSABLE)
    reached, unseen = set(), []
    for _ in range(2 * len(wanted) + 10):
        page.keyboard.press("Tab")
        index, is_over, lost = page.evaluate(FOCUSED)
        if is_over or (index in reached and index >= 0):
            break
        reached.add(index)
        unseen += [lost] if lost else []
    assert [html for i, html in enumerate(wanted) if i not in reached] == []
    assert unseen == []
