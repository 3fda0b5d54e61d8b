"""What a report page says beside the notebook's own cells: an executed notebook comes in, a `Page` goes out.

- `build_page`: cleans outputs, lifts the answer to the top, renders markdown into sections, gathers facts for head and
  foot. It changes the notebook it is given: the exporter hands it a copy.
- `Page`: what the template reads.
"""

from __future__ import annotations

import re
import shlex
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from html import escape
from textwrap import shorten
from typing import Any

from shoptoolkit.report.fragments import fragment
from shoptoolkit.report.markdown import Outline, markdown_html
from shoptoolkit.report.messages import tidy_stream
from shoptoolkit.report.outcome import (
    RunFailure,
    cells_not_run,
    find_failure,
    has_tag,
    is_out_of_order,
    source_of,
)
from shoptoolkit.report.parameters import NOT_PLAIN, read_injected, read_parameters
from shoptoolkit.report.pieces import ANSWER_MIME
from shoptoolkit.report.provenance import PACKAGES

__all__ = ["NO_ANSWER", "Page", "build_page", "moment_in_words", "seconds_in_words", "status_of"]

NO_ANSWER = "no answer"  # the status of a page that says nothing
META = "shoptoolkit"  # the runner's facts in the notebook's metadata
WIDGET = "application/vnd.jupyter.widget-view+json"
BASE64 = re.compile(r"[A-Za-z0-9+/\s]+=*\s*", re.ASCII)
LEFTOVER = re.compile(r"\[?\(?<(matplotlib|Axes|Figure|BarContainer|ErrorbarContainer)|Text\(|\(array\(")


@dataclass(slots=True, kw_only=True)
class Page:
    """Everything the template needs beside the cells."""

    name: str
    outline: Outline
    answer: Mapping[str, Any] = field(default_factory=dict)
    answer_html: str = ""
    failure: RunFailure | None = None
    not_run: int = 0  # code cells without a result
    banners: list[str] = field(default_factory=list)
    parameters: dict[str, Any] = field(default_factory=dict)
    changed: dict[str, Any] = field(default_factory=dict)  # parameters that differ from the notebook's defaults
    started: str = ""  # ISO 8601, UTC
    seconds: float | None = None
    made: Mapping[str, Any] = field(default_factory=dict)  # with what, from what

    @property
    def title(self) -> str:
        """HTML of the title."""
        return self.outline.title or escape(self.crumb)

    @property
    def title_text(self) -> str:
        """The title without tags."""
        return fragment(self.title).get_text()

    @property
    def again(self) -> str:
        """The command that makes this page again, values that are not the defaults included."""
        values = [f"-p {shlex.quote(f'{name}={value}')}" for name, value in self.changed.items()]
        return " ".join(["shoptoolkit report", self.name, *values])

    @property
    def crumb(self) -> str:
        """`20_repurchase_retention` -> "20 Repurchase retention"."""
        number, _, words = self.name.partition("_")
        if not number.isdigit():
            number, words = "", self.name
        return f"{number} {words.replace('_', ' ').capitalize()}".strip()

    @property
    def contents(self) -> list[tuple[str, str]]:
        """(link, text) of every section; the answer comes first, wherever it was computed."""
        others = [entry for entry in self.outline.entries if entry[0] != "in-short"]
        return [("in-short", "In short"), *others] if self.has_short else others

    @property
    def has_short(self) -> bool:
        """Whether the page opens with a section "In short"."""
        return bool(self.answer_html) or self.has_short_heading

    @property
    def has_short_heading(self) -> bool:
        """Whether the notebook has the heading "In short" itself."""
        return any(link == "in-short" for link, _ in self.outline.entries)

    @property
    def status(self) -> str:
        """The worst check: pass, warn or stop; "failed" when a cell failed or did not run; else "no answer"."""
        return status_of(self.answer, failed=self.failure is not None or self.not_run > 0)

    @property
    def error(self) -> str:
        """Why the page is incomplete, in one line; "" when it is not."""
        return shorten(self.banners[0], 400, placeholder=" ...") if self.status == "failed" else ""

    @property
    def ran(self) -> str:
        """When and how long, in words."""
        day = moment_in_words(datetime.fromisoformat(self.started)) if self.started else ""
        return ", ".join(filter(None, (day, seconds_in_words(self.seconds))))

    @property
    def facts(self) -> list[tuple[str, str]]:
        """The line under the title."""
        found = [(str(k), str(v)) for k, v in self.answer.get("facts", ())]
        found += [("Run", re.sub(r" \d\d:\d\d UTC", "", self.ran))] if self.ran else []
        few = dict(list(self.changed.items())[:3])
        return found + ([("Parameters", _values_in_words(few, more=len(self.changed) > 3))] if few else [])

    @property
    def data(self) -> str:
        """What the report is about, as the answer names it."""
        return dict(self.answer.get("facts", ())).get("Data", "")

    @property
    def origins(self) -> list[tuple[str, str]]:
        """The list at the foot."""
        made = self.made
        versions = made.get("packages", {})
        packages = ", ".join(f"{name} {versions[name]}" for name in PACKAGES if name in versions)
        rows = f"{made['rows']:,}" if "rows" in made else ""
        found = [("Notebook", f"{self.name}.ipynb"), ("Run", self.ran), ("Seed", str(made.get("seed", "")))]
        found += [("Parameters", _values_in_words(self.parameters)), ("Rows of data", rows)]
        found += [("Data fingerprint", made.get("fingerprint", "")), ("Git commit", made.get("commit", ""))]
        python = ", ".join(filter(None, (made.get("python", ""), made.get("system", ""))))
        found += [("Python", python), ("Packages", packages)]
        return [(name, text) for name, text in found if text]

    @property
    def description(self) -> str:
        """The answer in one line of plain text."""
        number = " ".join(filter(None, (self.answer.get("number", ""), self.answer.get("interval", ""))))
        return ". ".join(filter(None, (self.answer.get("sentence", "").rstrip("."), number)))


def status_of(answer: Mapping[str, Any], *, failed: bool) -> str:
    """The worst status among an answer's checks; what is missing or unknown never passes."""
    found = {status for _, status, _ in answer.get("checks", ())}
    if failed:
        return "failed"
    if not answer.get("sentence"):
        return NO_ANSWER
    return next((status for status in ("stop", "warn") if status in found), "pass" if found <= {"pass"} else NO_ANSWER)


def seconds_in_words(seconds: float | None) -> str:
    """41.2 -> "41 s"; 362 -> "6 min 2 s"."""
    if seconds is None:
        return ""
    if seconds < 9.95:
        return f"{seconds:.1f} s"
    minutes, rest = divmod(round(seconds), 60)
    return f"{minutes} min {rest} s" if minutes else f"{rest} s"


def moment_in_words(at: datetime) -> str:
    """2024-03-05T12:00+00:00 -> "5 Mar 2024 12:00 UTC"."""
    return f"{at.day} {at:%b %Y %H:%M} UTC"


def _values_in_words(values: Mapping[str, Any], *, more: bool = False) -> str:
    return ", ".join(f"{name} {value}" for name, value in values.items()) + (" ..." if more else "")


def build_page(nb: Any, *, name: str, folder: str = "", made: Mapping[str, Any] | None = None) -> Page:
    """Turn an executed notebook into what the template shows.

    Parameters
    ----------
    nb
        The notebook, as the run left it; it is changed.
    name
        Its file name without ending.
    folder
        Where it lies, for pictures in markdown.
    made
        Versions and commit, if neither the answer nor the notebook's metadata say: of a run just over.

    Returns
    -------
    Page
        Facts, answer, outline. Markdown cells then hold `metadata.shopreport.html`.
    """
    ran = nb.metadata.get(META, {})
    defaults = {k: v for k, v in read_parameters(nb).items() if v is not NOT_PLAIN}
    injected = read_injected(nb)
    changed = {k: v for k, v in injected.items() if k not in defaults or v != defaults[k]}
    page = Page(name=ran.get("name") or name, outline=Outline(), parameters=defaults | injected, changed=changed)
    page.failure = RunFailure(**ran["failure"]) if ran.get("failure") else find_failure(nb)
    page.not_run = cells_not_run(nb)
    page.banners = _banners(nb, page.failure, page.not_run)
    page.started, page.seconds = _timing(nb, ran)
    _tidy_cells(nb)
    _lift_answer(nb, page)
    page.made = _made(nb, page, ran, made)
    page.started = page.started or page.made.get("at", "")
    _render(nb, page.outline, folder)
    return page


def _banners(nb: Any, failure: RunFailure | None, missing: int) -> list[str]:
    said = []
    if failure:
        said.append(f"This run stopped {failure.where}: {failure.name}: {failure.message}")
    if missing:
        said.append(f"{missing} code cell{'s' if missing > 1 else ''} did not run; what stands here may be incomplete.")
    elif is_out_of_order(nb):
        said.append("The cells ran out of order or more than once. Restart the kernel and run all of them.")
    return said


def _made(nb: Any, page: Page, ran: Mapping[str, Any], made: Mapping[str, Any] | None) -> Mapping[str, Any]:
    """What the answer says of its kernel; else what the runner noted; else the kernel's own word on its Python."""
    noted = {"commit": ran.get("commit", ""), **ran["made"]} if ran.get("made") else made
    python = nb.metadata.get("language_info", {}).get("version", "")
    return page.answer.get("made") or noted or ({"python": python} if python else {})


def _timing(nb: Any, ran: Mapping[str, Any]) -> tuple[str, float | None]:
    """From the runner, or from the time stamps that nbclient leaves on each cell."""
    if ran.get("started"):
        return ran["started"], ran.get("seconds")
    stamps = [cell.metadata.get("execution", {}) for cell in nb.cells if cell.cell_type == "code"]
    begun = sorted(stamp["iopub.execute_input"] for stamp in stamps if "iopub.execute_input" in stamp)
    ended = sorted(stamp["shell.execute_reply"] for stamp in stamps if "shell.execute_reply" in stamp)
    if not begun or not ended:
        return "", None
    first, last = (datetime.fromisoformat(text.replace("Z", "+00:00")) for text in (begun[0], ended[-1]))
    return begun[0].replace("Z", "+00:00"), (last - first).total_seconds()


# ---- cells ----------------------------------------------------------------------------------------------------------


def _tidy_cells(nb: Any) -> None:
    """Leave out what the tags say, widgets, and what a progress bar wrote over."""
    nb.metadata.pop("widgets", None)
    nb.cells = [cell for cell in nb.cells if not has_tag(cell, "remove-cell", "remove_cell")]
    for cell in nb.cells:
        if cell.cell_type == "code":
            removed = has_tag(cell, "remove-output", "remove_output")
            cell.outputs = [] if removed else _tidy_outputs(cell.outputs)


def _tidy_outputs(outputs: list[Any]) -> list[Any]:
    kept: list[Any] = []
    for output in outputs:
        if output.output_type == "stream" and kept and kept[-1].get("name") == output.name:
            kept[-1].text += output.text
        elif not _is_rubbish(output):
            kept.append(output)
    for output in kept:
        _drop_broken_pictures(output.get("data", {}))
        if output.output_type == "stream":
            output.text = tidy_stream(output.text)
    return [o for o in kept if o.output_type != "stream" or o.text.strip()]


def _drop_broken_pictures(data: Any) -> None:
    for kind in ("image/png", "image/jpeg"):
        if kind in data and not BASE64.fullmatch(data[kind]):
            del data[kind]
            data.setdefault("text/plain", "A picture that cannot be read.")


def _is_rubbish(output: Any) -> bool:
    data = output.get("data", {})
    return WIDGET in data or (set(data) == {"text/plain"} and bool(LEFTOVER.match(data["text/plain"])))


def _lift_answer(nb: Any, page: Page) -> None:
    """The last answer box goes to the top, wherever it was computed."""
    for cell in reversed(nb.cells):
        for output in cell.get("outputs", ()):
            if ANSWER_MIME in output.get("data", {}):
                page.answer = output.data[ANSWER_MIME]
                page.answer_html = str(fragment(output.data["text/html"]))
                cell.outputs = [o for o in cell.outputs if o is not output]
                return


def _render(nb: Any, outline: Outline, folder: str) -> None:
    for cell in nb.cells:
        if cell.cell_type == "markdown":
            html = markdown_html(source_of(cell), attachments=cell.get("attachments"), folder=folder)
            cell.metadata["shopreport"] = {"html": outline.sections(html)}
        elif cell.cell_type == "code":
            cell.metadata["shopreport"] = _code_facts(cell)


def _has_error(cell: Any) -> bool:
    return any(output.output_type == "error" for output in cell.outputs)


def _code_facts(cell: Any) -> dict[str, Any]:
    source = source_of(cell).strip()
    count = len(source.splitlines())
    return {
        "lines": f"{count} line{'s' if count != 1 else ''}",
        "input": bool(source) and not has_tag(cell, "remove-input", "remove_input"),
        "quiet": has_tag(cell, "hide-input", "hide_input"),
        "open": has_tag(cell, "parameters", "injected-parameters") or _has_error(cell),
        "injected": has_tag(cell, "injected-parameters"),
    }
