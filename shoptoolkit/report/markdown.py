"""Markdown and notebook HTML as safe fragments of a page: text comes in, balanced HTML goes out.

- `markdown_html`: markdown with maths as MathML; what cannot be converted stays readable as its source.
- `latex_html`: one formula.
- `Outline`: unique ids for headings, the title, the contents list; it cuts a page into sections.
- `fragment`, `tidy_html`: balanced HTML without what a page that runs and loads nothing cannot use.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from html import escape
from typing import Any
from urllib.parse import quote

from bs4 import BeautifulSoup, Tag
from nbconvert.filters.markdown_mistune import IPythonRenderer, MarkdownWithMath

__all__ = ["Outline", "fragment", "latex_html", "markdown_html", "tidy_html"]

UNNUMBERED = ("align", "gather", "alignat", "multline", "eqnarray")
SCROLL = {"class": "scroll", "tabindex": "0", "role": "region", "aria-label": "Table"}
RESERVED = ("shop-theme", "shop-fold", "in-short", "made", "contents")


class _Renderer(IPythonRenderer):
    """Headings without paragraph signs, maths without a network."""

    def block_math(self, body: str) -> str:
        return latex_html(body, display=True)

    def inline_math(self, body: str) -> str:
        if body != body.strip():  # "$5 and $10" is money
            return f"${escape(body)}$"
        return latex_html(body)

    def latex_environment(self, name: str, body: str) -> str:
        return latex_html(rf"\begin{{{name}}}{body}\end{{{name}}}", display=True)


def markdown_html(source: str, *, attachments: Mapping[str, Any] | None = None, folder: str = "") -> str:
    """Render markdown; local pictures are taken into the page.

    Parameters
    ----------
    source
        Markdown, with `$..$`, `$$..$$` and LaTeX environments.
    attachments
        Pictures of the cell.
    folder
        Where relative picture paths start.

    Returns
    -------
    str
        HTML.
    """
    renderer = _Renderer(
        escape=False, embed_images=True, exclude_anchor_links=True, path=folder, attachments=dict(attachments or {})
    )
    return MarkdownWithMath(renderer=renderer).render(source)


def latex_html(latex: str, *, display: bool = False) -> str:
    """Turn LaTeX into MathML.

    Parameters
    ----------
    latex
        A formula without its dollars.
    display
        Whether it stands on its own line.

    Returns
    -------
    str
        `<math>`; the escaped source in `<code class="tex">` where it cannot be converted.
    """
    from latex2mathml.converter import convert

    source = re.sub(rf"\\(begin|end)\{{({'|'.join(UNNUMBERED)})\}}", r"\\\1{\2*}", latex.strip())
    source = re.sub(r"\\(begin|end)\{equation\*?\}", "", source).strip()
    try:
        mathml = convert(source, display="block" if display else "inline")
    except Exception:
        mathml = "\\"
    if "\\" in mathml:  # a command it does not know
        return f'<code class="tex" title="formula, as LaTeX">{escape(latex.strip())}</code>'
    mathml = re.sub(r'(<mover accent="true">.*?<mo)>', r'\1 stretchy="false">', mathml)
    return f'<span class="eq" tabindex="0">{mathml}</span>' if display else mathml  # a long one scrolls on a phone


def fragment(html: str) -> BeautifulSoup:
    """Parse HTML on its own, so that a tag left open ends where its output ends."""
    soup = BeautifulSoup(html, "html.parser")
    for style in soup.find_all("style"):
        if style.has_attr("data-lab") or ".dataframe" in style.get_text():  # the page has its own look for these
            style.decompose()
    for tag in soup.find_all(["link", "base", "meta"]):
        tag.decompose()
    scripts = soup.find_all("script")
    for tag in scripts:
        tag.decompose()
    if scripts:
        soup.append(_notice(soup, "An interactive part of this output is left out: a report page runs no scripts."))
    for img in soup.find_all("img"):
        if not str(img.get("src", "")).startswith("data:"):
            text = f"Picture not included: {img.get('alt') or img.get('src', '')}"
            img.replace_with(_notice(soup, text, "span"))
    return soup


def _notice(soup: BeautifulSoup, text: str, tag: str = "p") -> Tag:
    notice = soup.new_tag(tag, attrs={"class": "note absent"})
    notice.string = text
    return notice


def tidy_html(html: str) -> str:
    """HTML output of a cell as a balanced fragment; tables that overflow scroll on their own.

    Returns
    -------
    str
        HTML.
    """
    return str(_scrolling(fragment(html)))


def _scrolling(soup: BeautifulSoup) -> BeautifulSoup:
    """Tables that overflow scroll on their own."""
    for table in soup.find_all("table"):
        if table.find_parent(class_="scroll") is None:
            table.wrap(soup.new_tag("div", attrs=SCROLL))
    return soup


@dataclass(slots=True, kw_only=True)
class Outline:
    """Title and contents of one page, gathered while its markdown cells are rendered in order."""

    title: str = ""  # HTML of the first `#` heading
    entries: list[tuple[str, str]] = field(default_factory=list)  # (link, text) of each section
    used: set[str] = field(default_factory=lambda: set(RESERVED))

    def sections(self, html: str) -> str:
        """Give headings ids and start a `<section>` at every `##` (and at every `#` after the title).

        Returns
        -------
        str
            HTML that closes the section it stands in and leaves the last one open.
        """
        soup = _scrolling(fragment(html))
        parts = []
        for node in list(soup.children):
            if isinstance(node, Tag) and node.name in ("h1", "h2"):
                parts.append(self._heading(node))
                continue
            for heading in node.find_all(re.compile("^h[1-6]$")) if isinstance(node, Tag) else ():
                heading["id"] = self._unique(heading.get_text())
            if isinstance(node, Tag) and re.fullmatch("h[3-6]", node.name):
                node["id"] = self._unique(node.get_text())
            parts.append(str(node))
        return "".join(parts)

    def _heading(self, node: Tag) -> str:
        if node.name == "h1" and not self.title:
            self.title = node.decode_contents().strip()
            return ""
        text = node.get_text().strip()
        is_short = text.casefold() == "in short" and not any(link == "in-short" for link, _ in self.entries)
        name = "in-short" if is_short else self._unique(text)
        self.entries.append((quote(name), text))
        kind = ' class="in-short"' if is_short else ""
        opening = f'</section>\n<section id="{escape(name)}"{kind} aria-labelledby="h-{escape(name)}">'
        return f'{opening}<h2 id="h-{escape(name)}">{node.decode_contents()}</h2>'

    def _unique(self, text: str) -> str:
        """JupyterLab's ids, so that links between headings work in both: "What to do" -> "What-to-do"."""
        base = re.sub(r"\s+", "-", text.strip())[:80] or "section"
        count, name = 1, base
        while name in self.used:
            count += 1
            name = f"{base}-{count}"
        self.used.add(name)
        return name
