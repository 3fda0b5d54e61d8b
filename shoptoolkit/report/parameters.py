"""Parameters of a notebook: its cell tagged `parameters` comes in, checked and typed values go out, as data.

- `read_parameters`: names and defaults of the tagged cell, read without running it.
- `typed`: a text such as "90" in the type of the default.
- `inject`: a cell tagged `injected-parameters` right after it (papermill's tags).
- `read_injected`: the values a notebook was run with.
"""

from __future__ import annotations

import ast
import copy
import math
import re
from collections.abc import Mapping
from typing import Any

from nbformat.v4 import new_code_cell

from shoptoolkit.report.outcome import INJECTED, has_tag, source_of

__all__ = ["inject", "read_injected", "read_parameters", "typed"]

TAG = "parameters"
WORDS = {"true": True, "yes": True, "1": True, "false": False, "no": False, "0": False}


CONSTANTS = {"true": True, "false": False, "none": None}
NUMBER = re.compile(r"[+-]?(0|[1-9]\d*)?(\.\d+)?")
COMPACT_DATE = re.compile(r"(19|20)\d\d(0[1-9]|1[0-2])(0[1-9]|[12]\d|3[01])")


class _NotPlain:
    """The default is an expression, such as a call: its type is not known without running it."""

    def __repr__(self) -> str:
        return "an expression"


NOT_PLAIN = _NotPlain()


def read_parameters(nb: Any) -> dict[str, Any]:
    """Names and defaults of the cell tagged `parameters`; nothing is run.

    Parameters
    ----------
    nb
        A notebook.

    Returns
    -------
    dict
        Name to default; a default that is no plain value is `NOT_PLAIN`.
    """
    return _assigned(nb, TAG)


def read_injected(nb: Any) -> dict[str, Any]:
    """Values of the cell tagged `injected-parameters`: those a run set.

    Returns
    -------
    dict
        Name to value.
    """
    return _assigned(nb, INJECTED)


def _assigned(nb: Any, tag: str) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for cell in nb.cells:
        if cell.cell_type == "code" and has_tag(cell, tag):
            found |= _assignments(source_of(cell))
    return found


def _assignments(source: str) -> dict[str, Any]:
    try:
        tree = ast.parse(source)
    except SyntaxError:
        return {}
    found: dict[str, Any] = {}
    for node in tree.body:
        targets = node.targets if isinstance(node, ast.Assign) else [getattr(node, "target", None)]
        value = getattr(node, "value", None)
        names = [target.id for target in targets if isinstance(target, ast.Name)]
        found |= {name: _plain(value) for name in names if value is not None}
    return found


def _plain(node: ast.expr) -> Any:
    try:
        return ast.literal_eval(node)
    except (ValueError, TypeError, SyntaxError):
        return NOT_PLAIN


def typed(name: str, value: Any, default: Any) -> Any:
    """Bring a parameter to the type of its default.

    Parameters
    ----------
    name
        The parameter, for the error message.
    value
        A text (from the command line), or a value that has the type already.
    default
        The value in the notebook: int, float, bool, str, None, list, tuple or dict. For None, a text is read as true,
        false, none (any case), a plain decimal number, a list `[...]` or a dict `{...}`; else it stays text, as do a
        date such as 20111209 and a number with leading zeros.

    Returns
    -------
    Any
        The value, never code.

    Raises
    ------
    ValueError
        The text does not fit, or the default is an expression.
    """
    if default is NOT_PLAIN:
        raise ValueError(f"{name} cannot be set: its default in the notebook is an expression, not a plain value.")
    try:
        return _from_text(value, default) if isinstance(value, str) else _from_value(value, default)
    except (ValueError, TypeError, SyntaxError, RecursionError, MemoryError) as error:
        raise ValueError(f"{name}={value!r} does not fit; {_allowed(default)}. The default is {default!r}.") from error


def _from_text(text: str, default: Any) -> Any:
    if isinstance(default, str):
        return text
    if isinstance(default, bool):
        return WORDS[text.strip().lower()] if text.strip().lower() in WORDS else _refuse()
    if isinstance(default, int):
        return int(text)
    if isinstance(default, float):
        number = float(text)
        return number if math.isfinite(number) else _refuse()
    return _guess(text) if default is None else _from_value(ast.literal_eval(text.strip()), default)


def _from_value(value: Any, default: Any) -> Any:
    if isinstance(default, float) and isinstance(value, int) and not isinstance(value, bool):
        value = float(value)
    fits = default is None or (type(value) is type(default)) or {type(value), type(default)} == {list, tuple}
    if not fits or ast.literal_eval(repr(value)) != value:  # its repr must be plain data
        _refuse()
    return type(default)(value) if isinstance(default, (list, tuple)) else value


def _guess(text: str) -> Any:
    """For a default of None: what the text plainly is; else the text itself."""
    word = text.strip()
    if word.lower() in CONSTANTS:
        return CONSTANTS[word.lower()]
    if (word[:1], word[-1:]) in (("{", "}"), ("[", "]")):
        return _from_value(ast.literal_eval(word), None)
    if any(sign.isdigit() for sign in word) and NUMBER.fullmatch(word) and not COMPACT_DATE.fullmatch(word):
        return float(word) if "." in word else int(word)
    return text


def _refuse() -> Any:
    raise ValueError("does not fit")


def _allowed(default: Any) -> str:
    if isinstance(default, bool):
        return "it must be true or false"
    if default is None:
        return "it must be plain data: a text, a number, true, false, none, [1, 2] or {'a': 1}"
    kinds = {int: "a whole number", float: "a finite number", list: "a list such as [1, 2]", tuple: "a tuple: (1, 2)"}
    return f"it must be {kinds.get(type(default), f'of type {type(default).__name__}')}"


def inject(nb: Any, values: Mapping[str, Any]) -> Any:
    """Set parameters in a copy of a notebook.

    Parameters
    ----------
    nb
        A notebook with a cell tagged `parameters`.
    values
        Typed values; each is written as `name = repr(value)`.

    Returns
    -------
    NotebookNode
        A copy with a cell tagged `injected-parameters` after the tagged one; an earlier injected cell is replaced.
    """
    new = copy.deepcopy(nb)
    new.cells = [cell for cell in new.cells if not has_tag(cell, INJECTED)]
    if values:
        source = "\n".join(f"{name} = {value!r}" for name, value in values.items())
        place = max(i for i, cell in enumerate(new.cells) if cell.cell_type == "code" and has_tag(cell, TAG)) + 1
        new.cells.insert(place, new_code_cell(source, metadata={"tags": [INJECTED]}))
    return new
