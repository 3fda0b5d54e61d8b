"""HTML that a notebook brings, made safe for a page: any HTML comes in, a balanced fragment of known tags goes out.

- `fragment`: parsed on its own; what runs, loads, submits or styles is left out, unknown tags lose their brackets.
- `tidy_html`: the same as text; tables that overflow scroll on their own.
- `plain_text`: characters that browsers, or readers, cannot see are made visible.

An allowlist, because a list of what is dangerous is never complete. Behind it stands the Content-Security-Policy.
"""

from __future__ import annotations

import re

from bs4 import BeautifulSoup, Tag
from bs4.element import PreformattedString

__all__ = ["fragment", "plain_text", "scrolling", "tidy_html"]


def _names(text: str) -> frozenset[str]:
    return frozenset(text.split())


HTML = _names(
    "a abbr b blockquote br caption cite code col colgroup dd del details dfn div dl dt em figcaption figure h1 h2 h3 "
    "h4 h5 h6 hr i img ins kbd li mark ol p picture pre q s samp small source span strong sub summary sup table tbody "
    "td tfoot th thead time tr u ul var wbr"
)
DRAWING = _names("svg g path circle ellipse rect line polyline polygon text tspan")
MATHS = _names(
    "math menclose merror mfenced mfrac mi mmultiscripts mn mo mover mpadded mphantom mprescripts mroot mrow ms mspace "
    "msqrt mstyle msub msubsup msup mtable mtd mtext mtr munder munderover none"
)
INTERACTIVE = _names("script iframe object embed applet video audio canvas form portal")
GONE = INTERACTIVE | _names(  # with what they hold: raw text to a browser, or loaded, or no part of a report
    "style link base meta title template noscript noembed noframes frame frameset textarea xmp plaintext listing "
    "select option datalist input foreignobject use image animate animatemotion animatetransform set filter "
    "annotation annotation-xml mglyph malignmark math-field slot param track"
)
ATTRIBUTES = _names(
    "alt aria-hidden aria-label class colspan datetime dir lang open role rowspan scope start title "
    "data-v data-low data-high data-column data-reason"
)
SHAPES = _names(  # of svg and MathML; html.parser writes names in lower case
    "accent accentunder columnalign columnlines columnspacing cx cy d depth display displaystyle fence fill font-size "
    "form height largeop linethickness lspace mathcolor mathvariant maxsize minsize movablelimits notation opacity "
    "points r rowlines rowspacing rspace rx ry scriptlevel separator stretchy stroke stroke-dasharray stroke-linecap "
    "stroke-linejoin stroke-width symmetric text-anchor transform viewbox voffset width x x1 x2 xmlns y y1 y2"
)
FRAME = _names("act bar banner csv facts foot front in-short meta page skip sort src toc top")  # the page's
PICTURE = re.compile(r"data:image/(png|jpeg|gif|webp|svg\+xml)(;[\w=-]+)*,[\w+/=%.~-]*")
ALIGNED = re.compile(r"\s*text-align\s*:\s*(left|right|center)\s*;?\s*")
LINKS = ("http", "https", "mailto")
SCROLL = {"class": "scroll", "tabindex": "0", "role": "group", "aria-label": "Table"}
UNSEEN = re.compile("[\x00-\x08\x0b\x0c\x0e-\x1f\x7f\ud800-\udfff\u202a-\u202e\u2066-\u2069]")


def fragment(html: str) -> BeautifulSoup:
    """Parse HTML on its own, so that a tag left open ends where its output ends, and keep only what a page may show.

    Returns
    -------
    BeautifulSoup
        Known tags and attributes; a notice where something interactive or a picture from elsewhere is left out.
    """
    soup = BeautifulSoup(html, "html.parser")
    for text in soup.find_all(string=lambda node: isinstance(node, PreformattedString)):
        text.extract()  # comments, CDATA, declarations
    is_interactive = False
    for tag in soup.find_all(True):
        if tag.decomposed:
            continue
        if tag.name == "input" and "task-list-item-checkbox" in tag.get_attribute_list("class"):
            tag.replace_with("\u2611 " if tag.has_attr("checked") else "\u2610 ")  # "- [x] done" in markdown
        elif tag.name in GONE:
            is_interactive |= tag.name in INTERACTIVE
            tag.decompose()
        elif tag.name in HTML or tag.name in DRAWING or tag.name in MATHS:
            _trim(soup, tag)
        else:
            tag.unwrap()
    if is_interactive:
        soup.append(_notice(soup, "An interactive part of this output is left out: a report page runs no scripts."))
    return soup


def _trim(soup: BeautifulSoup, tag: Tag) -> None:
    """Keep the attributes that say something; a picture has to be in the page already."""
    if tag.name == "img" and not PICTURE.fullmatch(str(tag.get("src", ""))):
        text = f"Picture not included: {tag.get('alt') or tag.get('src', '')}"
        tag.replace_with(_notice(soup, text, "span"))
        return
    tag.attrs = {name: value for name, value in tag.attrs.items() if _is_kept(tag.name, name, value)}
    if "class" in tag.attrs:
        tag["class"] = " ".join(str(name) for name in tag.get_attribute_list("class") if name not in FRAME)


def _is_kept(tag: str, name: str, value: str | list[str]) -> bool:
    text = value if isinstance(value, str) else " ".join(value)
    if name == "style":
        return bool(ALIGNED.fullmatch(text))
    if name in ("src", "srcset"):
        return tag in ("img", "source") and bool(PICTURE.fullmatch(text))
    if name == "href":
        return tag == "a" and _is_link(text)
    if name == "tabindex":
        return text == "0"
    if name == "media":
        return tag == "source"
    if tag in DRAWING or tag in MATHS:
        return name in ATTRIBUTES or (name in SHAPES and "url" not in text.lower())
    return name in ATTRIBUTES or (tag in ("img", "source", "col") and name in ("width", "height"))


def _is_link(href: str) -> bool:
    """As browsers read it: blanks and control characters inside the scheme do not count."""
    scheme = re.match(r"([^/?#:]*):", re.sub(r"[\x00-\x20\x7f-\xa0\u200b-\u200f\ufeff]", "", href))
    return scheme is None or scheme[1].lower() in LINKS


def _notice(soup: BeautifulSoup, text: str, tag: str = "p") -> Tag:
    notice = soup.new_tag(tag, attrs={"class": "note absent"})
    notice.string = text
    return notice


def scrolling(soup: BeautifulSoup) -> BeautifulSoup:
    """Tables that overflow scroll on their own; an empty head (the corner of a pandas frame) is no head."""
    for head in soup.find_all("th"):
        if not head.get_text(strip=True):
            head.name = "td"
    for table in soup.find_all("table"):
        if table.find_parent(class_="scroll") is None:
            table.wrap(soup.new_tag("div", attrs=SCROLL))
    return soup


def tidy_html(html: str) -> str:
    """HTML output of a cell as a safe, balanced fragment; tables that overflow scroll on their own.

    Returns
    -------
    str
        HTML; its headings stand below those of the page.
    """
    soup = scrolling(fragment(html))
    for heading in soup.find_all(["h1", "h2"]):
        heading.name = "h3"
    return str(soup)


def plain_text(text: str) -> str:
    """Show what cannot be seen: control characters, halves of characters, marks that turn the direction of reading.

    Returns
    -------
    str
        The text, with U+FFFD in their place.
    """
    return UNSEEN.sub("\ufffd", text)
