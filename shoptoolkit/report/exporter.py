"""The nbconvert exporter: an executed notebook comes in, one self-contained HTML page goes out.

- `ShopReportExporter`: `jupyter nbconvert --execute --to shopreport NOTEBOOK.ipynb`, also in JupyterLab's export menu.

The page loads nothing and runs only its own script: its Content-Security-Policy names that script by its hash.
"""

from __future__ import annotations

import base64
import hashlib
import re
from pathlib import Path
from typing import Any

from nbconvert.exporters import HTMLExporter
from traitlets import default
from traitlets.config import Config

from shoptoolkit.contract.connect import without_password
from shoptoolkit.report.fragments import plain_text, tidy_html
from shoptoolkit.report.icons import icon
from shoptoolkit.report.markdown import latex_html, markdown_html
from shoptoolkit.report.outcome import ANSI
from shoptoolkit.report.page import build_page
from shoptoolkit.report.provenance import made_with

__all__ = ["TEMPLATES", "ShopReportExporter", "page_policy", "script_of", "style_of", "template"]

HALF = re.compile("[\ud800-\udfff]")
TEMPLATES = Path(__file__).parent / "templates"


class ShopReportExporter(HTMLExporter):
    """Export a notebook as a report page of the house."""

    export_from_notebook = "Shop report (HTML)"

    @default("template_name")
    def _template_name_default(self) -> str:
        return "shopreport"

    @default("extra_template_basedirs")
    def _basedirs_default(self) -> list[str]:
        return [str(TEMPLATES)]

    @property
    def default_config(self) -> Config:
        """Pictures are taken from HTML, SVG, LaTeX and PNG in this order; scripts and widgets are not shown."""
        mine = Config(
            {
                "NbConvertBase": {
                    "display_data_priority": [
                        *("text/html", "text/markdown", "image/svg+xml", "text/latex"),
                        *("image/png", "image/jpeg", "text/plain"),
                    ]
                },
                "HTMLExporter": {"exclude_input_prompt": True, "exclude_output_prompt": True},
            }
        )
        config = super().default_config.copy()
        config.merge(mine)
        return config

    def default_filters(self) -> Any:
        """Nbconvert's filters and those of the page."""
        yield from super().default_filters()
        yield ("tidy_html", tidy_html)
        yield ("markdown_html", lambda text: tidy_html(markdown_html(text)))
        yield ("latex_html", _latex_output)
        yield ("no_ansi", lambda text: ANSI.sub("", text))

    def from_notebook_node(self, nb: Any, resources: Any = None, **kw: Any) -> Any:
        """Nbconvert's page, without characters that cannot be seen, and without passwords of databases."""
        html, resources = super().from_notebook_node(nb, resources, **kw)
        return without_password(plain_text(html)), resources

    def _preprocess(self, nb: Any, resources: Any) -> tuple[Any, Any]:
        nb, resources = super()._preprocess(_whole(nb), resources)
        told = resources.get("metadata", {})
        folder = told.get("path", "")
        is_run_now = bool(self.config.get("ExecutePreprocessor", {}).get("enabled"))
        made = made_with(Path(folder or ".")) if is_run_now else None
        resources["page"] = build_page(nb, name=told.get("name") or "notebook", folder=folder, made=made)
        style = style_of("shopreport/report.css")
        resources |= {"icon": icon, "style": style, "script": script_of(), "policy": page_policy()}
        return nb, resources


def _whole(node: Any) -> Any:
    """A copy without halves of characters (a text cut within an emoji), which no parser takes."""
    if isinstance(node, dict):
        return type(node)({key: _whole(value) for key, value in node.items()})
    if isinstance(node, list):
        return [_whole(value) for value in node]
    return HALF.sub("\ufffd", node) if isinstance(node, str) else node


def _latex_output(text: str) -> str:
    """IPython's text/latex: with dollars, or without."""
    body = text.strip()
    display = body.startswith(("$$", r"\begin")) or not body.startswith("$")
    return tidy_html(latex_html(body.strip("$"), display=display))


def style_of(own: str) -> str:
    """The style sheet of a page: the tokens, then its own rules.

    Parameters
    ----------
    own
        Path below templates/.

    Returns
    -------
    str
        CSS, comments and line breaks removed.
    """
    css = "".join((TEMPLATES / name).read_text(encoding="utf-8") for name in ("shopreport/base.css", own))
    return re.sub(r"\s*\n\s*", "", re.sub(r"/\*.*?\*/", "", css, flags=re.DOTALL))


def template(path: str, *, style: str) -> Any:
    """A page that is no notebook: it looks and is guarded like one.

    Parameters
    ----------
    path, style
        Template and style sheet, below templates/.

    Returns
    -------
    jinja2.Template
        Escapes what it is given; knows icon, style, script and policy.
    """
    from jinja2 import Environment, FileSystemLoader, StrictUndefined

    environment = Environment(loader=FileSystemLoader(TEMPLATES), autoescape=True, undefined=StrictUndefined)
    environment.globals |= {"icon": icon, "style": style_of(style), "script": script_of(), "policy": page_policy()}
    return environment.get_template(path)


def script_of() -> str:
    """The one script of every page.

    Returns
    -------
    str
        JavaScript.
    """
    return (TEMPLATES / "shopreport/page.js").read_text(encoding="utf-8").strip()


def page_policy() -> str:
    """The Content-Security-Policy: nothing is loaded, no script runs but ours.

    Returns
    -------
    str
        For `<meta http-equiv>`.
    """
    digest = base64.b64encode(hashlib.sha256(script_of().encode()).digest()).decode()
    return (
        "default-src 'none'; img-src data:; style-src 'unsafe-inline'; font-src data:; "
        f"script-src 'sha256-{digest}'; base-uri 'none'; form-action 'none'"
    )
