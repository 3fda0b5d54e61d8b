"""Markdown as sections of a page: text comes in, HTML goes out.

- `markdown_html`: markdown with maths as MathML; what cannot be converted stays readable as its source.
- `latex_html`: one formula.
- `Outline`: unique ids for headings, the title, the contents list; it cuts a page into sections.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from html import escape, unescape
from typing import Any
from urllib.parse import quote
from xml.etree import ElementTree

from bs4 import Tag
from nbconvert.filters.markdown_mistune import IPythonRenderer, MarkdownWithMath

from shoptoolkit.report.fragments import fragment, scrolling

__all__ = ["Outline", "latex_html", "markdown_html"]

ROWS = ("align", "aligned", "gather", "gathered", "multline", "eqnarray", "split")  # shown as align*
SPACES = {"negativethinmathspace": "-0.1667em"}  # a name that browsers do not know
DIGITS = {str(n): chr(0x1D7D8 + n) for n in range(10)}  # double-struck
HEADINGS = re.compile("^h[1-6]$")
RESERVED = ("shop-theme", "shop-fold", "in-short", "made", "contents")


class _Renderer(IPythonRenderer):
    """Headings without paragraph signs, maths without a network."""

    def inline_html(self, html: str) -> str:
        """One tag, opening or closing: nbconvert would close each where it opens, and `<b>so</b>` be "so"."""
        return super().inline_html(html) if html[:4].lower() == "<img" else html

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
    try:
        mathml = _mathml(_plainer(latex), display="block" if display else "inline")
    except Exception:
        mathml = "\\"
    if "\\" in mathml or ">&amp;<" in mathml:  # a command or an alignment it does not know
        return f'<code class="tex" title="formula, as LaTeX">{escape(latex.strip())}</code>'
    mathml = re.sub(r'(<mover accent="true">.*?<mo)>', r'\1 stretchy="false">', mathml)
    signs = len(re.findall("<m[ino]", mathml))  # wider than a line; wider than a phone: such a formula scrolls
    kind = "eq" if display or signs > 70 else "eq-line" if signs > 20 else ""
    return f'<span class="{kind}" tabindex="0">{mathml}</span>' if kind else mathml


def _plainer(latex: str) -> str:
    """The same formula in the commands that the converter knows."""
    source = re.sub(r"\\(?:nonumber|notag)(?![a-zA-Z])|\\label\{[^{}]*\}|\\(?:begin|end)\{equation\*?\}", "", latex)
    source = re.sub(rf"\\(begin|end)\{{(?:{'|'.join(ROWS)})\*?\}}", r"\\\1{align*}", source)
    source = re.sub(r"\\operatorname\*?\{([^{}]*\\[^{}]*)\}", r"\\mathrm{\1}", source)
    source = re.sub(r"\\operatorname\*", r"\\operatorname", source)
    source = re.sub(r"\\arg(?![a-zA-Z])", r"\\operatorname{arg}", source)
    return re.sub(r"\\text\{[^{}]*\}", lambda found: re.sub(r"\\([%_&$#])", r"\1", found[0]), source).strip()


def _mathml(latex: str, *, display: str) -> str:
    """Through the tree, not through the converter's own text: that lets HTML in a text command out unescaped."""
    from latex2mathml.converter import convert_to_element

    tree = convert_to_element(latex, display=display)
    for node in tree.iter():
        node.text = unescape(node.text or "") or None
        node.attrib.pop("href", None)
        if node.get("mathvariant") == "double-struck" and node.text in DIGITS:
            node.text = DIGITS[node.text]
        if "width" in node.attrib:
            node.set("width", SPACES.get(node.attrib["width"], node.attrib["width"]))
    return ElementTree.tostring(tree, encoding="unicode")


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
        soup = scrolling(fragment(html))
        parts = []
        for node in list(soup.children):
            if isinstance(node, Tag) and node.name in ("h1", "h2"):
                parts.append(self._heading(node))
                continue
            for heading in node.find_all(HEADINGS) if isinstance(node, Tag) else ():
                heading["id"] = self._unique(heading.get_text())
                heading.name = max(heading.name, "h3")  # inside something: it starts no section
            if isinstance(node, Tag) and re.fullmatch("h[3-6]", node.name):
                node["id"] = self._unique(node.get_text())
            parts.append(str(node))
        return "".join(parts)

    def _heading(self, node: Tag) -> str:
        for inner in node.find_all(HEADINGS):  # a heading holds words, not headings
            inner.unwrap()
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
