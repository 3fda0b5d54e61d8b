"""Notebooks with everything a report may meet."""

from __future__ import annotations

from pathlib import Path

from tiny_notebooks import code, notebook, save, text

NUMBERS = "Numbers that text would sort wrongly"
REFUSED = "Estimates, one of them refused"
FORMULAS = "Words that a spreadsheet would run"
PLAIN_TABLES = """
from shoptoolkit import report
import polars as pl

numbers = pl.DataFrame({
    "shop": ["a", "b", "c", "d", "e", "f"],
    "orders": [9, 10, 1_234_567, -5, 0, None],
    "share": [0.5, 0.25, 1e-7, -0.125, 2.0, 1.5],
    "since": ["2024-10-01", "2024-09-30", "2023-01-01", "2025-02-02", "2024-01-31", "2024-12-01"],
})
report.table(numbers, title=%r, note="Six shops.")
"""
ESTIMATES = """
rows = [("Email", 500, 0.36, 0.31, 0.41, "ok", None), ("Search", 9, None, None, None, "refused", "9 of 50 needed"),
        ("Social", 700, 0.05, -0.02, 0.12, "ok", None), ("Direct", 80, 0.125, 0.1, 0.15, "ok", None)]
names = ["source", "n", "estimate", "low", "high", "verdict", "reason"]
report.table(pl.DataFrame(rows, schema=names, orient="row"), title=%r)
"""
SPREADSHEET = r"""
words = ["=1+1", "+1+1", "-1+1", "@SUM(A1)", "\t=1", "=HYPERLINK(\"http://127.0.0.1:9/\")", "a, \"b\"\nc", "plain"]
report.table(pl.DataFrame({"word": words, "=n": range(8), "also": words[::-1]}), title=%r)
"""
WIDE = """
wide = pl.DataFrame({f"a_rather_long_name_{i}": [i * 1000.5, None] for i in range(14)})
report.table(wide, title="A wide one")
"""
PICTURES = r"""
import matplotlib.pyplot as plt
fig, ax = plt.subplots()
ax.plot([1, 2, 3], label="a line")
_ = ax.legend()
"""
FIGURE = """
from matplotlib.figure import Figure
drawn = Figure((8, 4))
drawn.add_subplot().plot([3, 1, 2])
report.figure(drawn, title="Down and up", note="Three points.", alt="A line that falls to one and rises to two.")
"""
MATHS = r"""## Maths

Inline $\hat S(t) = \prod_{t_i \le t} (1 - d_i / n_i)$, and

$$\begin{align} a &= b + c \\ &= \int_0^\tau S(t)\,dt \end{align}$$

$$f(x) = \begin{cases} 1 & x > 0 \\ 0 & \text{else} \end{cases}$$

$$a_1 + a_2 + a_3 + a_4 + a_5 + a_6 + a_7 + a_8 + a_9 + a_{10} + a_{11} + a_{12} + a_{13} + a_{14} + a_{15} + a_{16}$$

### A smaller heading

> A quotation, `some_code`, [a link](https://example.org/), and a table:

| a | b |
|---|--:|
| one | 2 |
"""
NOISE = """
import sys, time, warnings
from tqdm.auto import tqdm
for _ in tqdm(range(3)): time.sleep(0.01)
for _ in range(30): print("a long line " * 30)
print("to stderr", file=sys.stderr)
warnings.warn("mind this")
"""
LONG = "\n".join(["total = 0", *(f"total += {i}  # step {i} of many, explained at some length" for i in range(60))])
LONG += "\nname = '" + "x" * 400 + "'\ntotal"
ANSWER = """
hero = Figure((5, 3.45))
hero.add_subplot().plot([1, 3, 2])
report.answer(
    number="36.3 %", interval="of customers, 95 % interval 35.7 to 37.0 %", sentence="<b>A third</b> come back.",
    more="Or a little more.", figure=hero, caption="Up and down", alt="A line that rises to three and falls to two.",
    checks=[("Contract", "pass", "all rows good"), ("Placebo", "warn", "a bit off"), ("Overlap", "stop", "too thin")],
    facts={"Data": "made up", "Customers": "24 318"},
)
"""


def torture(path: Path) -> Path:
    """Tables, a refused row, maths, figures, an error, a widget, noise, long code."""
    return save(
        notebook(
            text("# Does everything survive?"),
            text("## In short"),
            code('horizon_days = 90\nname = "mine"', "parameters"),
            text("## Tables\n\nMany of them."),
            code(PLAIN_TABLES.strip() % NUMBERS),
            code(ESTIMATES.strip() % REFUSED),
            code(SPREADSHEET.strip() % FORMULAS),
            code(WIDE.strip()),
            code("report.table(numbers.clear(), title='No rows at all')"),
            code("numbers.to_pandas()"),
            text(MATHS),
            text("## Figures"),
            code(PICTURES.strip()),
            code(FIGURE.strip()),
            code("report.callout('Mind the gap', 'It is wide.', kind='trap')"),
            text("## Noise"),
            code("import ipywidgets\nipywidgets.IntSlider(3)"),
            code(NOISE.strip()),
            text("## Long code"),
            code(LONG),
            text("## An error that was expected"),
            code("1 / 0", "raises-exception"),
            code(ANSWER.strip(), "hide-input"),
        ),
        path,
    )


def broken(path: Path) -> Path:
    """A notebook that fails on its way."""
    cells = [text("# Will this one fail?"), text("## Estimate"), code("x = 1\nx / 0"), text("## After"), code("x")]
    return save(notebook(*cells), path)
