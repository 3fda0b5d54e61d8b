"""Matplotlib pictures as text: an Axes or Figure comes in, a PNG data URI with its size on the page goes out.

- `render`: transparent, 200 dots per inch, closed afterwards so that the notebook does not show it twice.
- `Picture`: data URI, width and height in page pixels, and a small one for the index.
"""

from __future__ import annotations

import base64
import io
import struct
from dataclasses import dataclass
from typing import Any

__all__ = ["Picture", "render"]

DPI = 200
PAGE_DPI = 100  # a figure drawn 7.6 in wide takes 760 px on the page
THUMBNAIL_WIDTHS = (352, 250, 176)  # px; shown at 176, the first that is small enough is taken
THUMBNAIL_CHARACTERS = 40_000


@dataclass(frozen=True, slots=True, kw_only=True)
class Picture:
    """A drawn figure, ready for `<img>`."""

    uri: str
    width: int  # px on the page
    height: int
    thumbnail: str = ""  # data URI, small


def render(drawing: object, *, argument: str, thumbnail: bool = False) -> Picture:
    """Draw a matplotlib Axes or Figure into a PNG data URI and close it.

    Parameters
    ----------
    drawing
        matplotlib Axes or Figure.
    argument
        The caller's name for it, for the error message.
    thumbnail
        Whether to draw a small one too.

    Returns
    -------
    Picture
        Transparent PNG, 200 dots per inch, cut to its contents.

    Raises
    ------
    TypeError
        `drawing` is neither Axes nor Figure.
    """
    fig = _figure_of(drawing, argument)
    png = _png(fig, DPI)
    width, height = struct.unpack(">II", png[16:24])  # the IHDR chunk of every PNG
    small = _thumbnail(fig, width) if thumbnail else ""
    _close(fig)
    scale = PAGE_DPI / DPI
    return Picture(uri=_uri(png), width=round(width * scale), height=round(height * scale), thumbnail=small)


def _figure_of(drawing: object, argument: str) -> Any:
    fig = drawing if hasattr(drawing, "savefig") else getattr(drawing, "figure", None)
    fig = fig.get_figure(root=True) if hasattr(fig, "get_figure") else fig  # a SubFigure's Axes
    if not hasattr(fig, "savefig"):
        kind = type(drawing).__name__
        raise TypeError(f"{argument} is a {kind}; it must be a matplotlib Axes or Figure, as from plt.subplots().")
    return fig


def _thumbnail(fig: Any, width: int) -> str:
    sizes = (_uri(_png(fig, DPI * wanted / width)) for wanted in THUMBNAIL_WIDTHS)
    return next((uri for uri in sizes if len(uri) < THUMBNAIL_CHARACTERS), "")


def _png(fig: Any, dpi: float) -> bytes:
    buffer = io.BytesIO()
    fig.savefig(buffer, format="png", dpi=dpi, transparent=True, bbox_inches="tight", pad_inches=0.04)
    return buffer.getvalue()


def _uri(png: bytes) -> str:
    return "data:image/png;base64," + base64.b64encode(png).decode("ascii")


def _close(fig: Any) -> None:
    from matplotlib import pyplot

    pyplot.close(fig)
