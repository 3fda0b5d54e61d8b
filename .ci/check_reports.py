"""Checks finished reports: there, under 3 MB, self-contained. Usage: python .ci/check_reports.py FILE.html ...

Tests import `network_requests` from here, so that there is one answer to what a page asks of the network.
"""

import re
import sys
from html.parser import HTMLParser
from pathlib import Path

MEGABYTES = 3
LOADS = {"src", "srcset", "poster", "data", "background", "formaction", "action", "xlink:href"}
IN_CSS = re.compile(r"""url\((?!\s*['"]?(?:data:|#))[^)]{1,80}|@import\s+['"][^'"]{1,80}""", re.IGNORECASE)
IN_SCRIPT = re.compile(r"""\b(?:fetch|importScripts|import|WebSocket)\(\s*['"`][^'"`]{1,80}|\bXMLHttpRequest\b""")


class Requests(HTMLParser):
    """Collects whatever a browser would fetch: a plain link (<a href>) is none, a stylesheet or a picture is."""

    def __init__(self) -> None:
        super().__init__(convert_charrefs=True)
        self.found: list[str] = []
        self.inside = ""

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        """Look at the attributes that load something."""
        self.inside = tag if tag in ("style", "script") else self.inside
        for name, value in attrs:
            loads = (name in LOADS or name == "href") and tag not in ("a", "area")
            if loads and value and not value.strip().startswith(("data:", "#")):
                self.found.append(f"<{tag} {name}={value[:80]!r}>")
            if name == "style" and value:
                self.found += [match.group(0) for match in IN_CSS.finditer(value)]

    handle_startendtag = handle_starttag

    def handle_endtag(self, tag: str) -> None:
        """Leave a style or script."""
        self.inside = "" if tag == self.inside else self.inside

    def handle_data(self, data: str) -> None:
        """Look into styles and scripts."""
        pattern = {"style": IN_CSS, "script": IN_SCRIPT}.get(self.inside)
        if pattern:
            self.found += [match.group(0) for match in pattern.finditer(data)]


def network_requests(html: str) -> list[str]:
    requests = Requests()
    requests.feed(html)
    requests.close()
    return requests.found


def faults(path: Path) -> list[str]:
    if not path.is_file():
        return [f"{path} does not exist"]
    found = []
    if (size := path.stat().st_size) >= MEGABYTES * 1_000_000:
        found.append(f"{path} has {size:,} bytes; it must stay under {MEGABYTES} MB")
    asked = network_requests(path.read_text(encoding="utf-8"))
    return found + [f"{path} asks the network for {request}" for request in asked]


if __name__ == "__main__":
    paths = [Path(name) for name in sys.argv[1:]]
    found = [fault for path in paths for fault in faults(path)]
    print("\n".join(found) or f"{len(paths)} reports: small, and asking nothing of the network.")
    sys.exit(bool(found) or not paths)
