"""Tiny notebooks for the tests of the report."""

from __future__ import annotations

from pathlib import Path

import nbformat
from nbformat.v4 import new_code_cell, new_markdown_cell, new_notebook, new_output


def text(source):
    return new_markdown_cell(source)


def code(source, *tags, outputs=(), count=None):
    cell = new_code_cell(source, outputs=list(outputs), execution_count=count)
    cell.metadata["tags"] = list(tags)
    return cell


def shown(piece):
    """The output that a piece leaves in a notebook."""
    return new_output("display_data", data=piece._repr_mimebundle_())


def notebook(*cells):
    return new_notebook(cells=list(cells))


def save(nb, path: Path) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    nbformat.write(nb, path)
    return path
