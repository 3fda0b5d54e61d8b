"""Matplotlib pictures as text: an Axes or Figure comes in, a PNG data URI with its size on the page goes out.

- `render`: transparent, 200 dots per inch, closed afterwards so that the notebook does not show it twice.
- `Picture`: data URI, width and height in page pixels, a narrow one for phones, and a small one for the index.

On a phone a wide figure would shrink until its words are 7 px high. So it is drawn a second time, as narrow as a phone
and in the same type; matplotlib lays it out anew. Where words would then run into each other (a heat map of twelve
months), there is no narrow one, and the page lets the reader move the wide one sideways.
"""

from __future__ import annotations

import base64
import io
import struct
from dataclasses import dataclass
from itertools import combinations
from typing import Any

__all__ = ["Picture", "render"]

DPI = 200
PAGE_DPI = 100  # a figure drawn 7.6 in wide takes 760 px on the page
THUMBNAIL_WIDTHS = (352, 250, 176)  # px; shown at 176, the first that is small enough is taken
THUMBNAIL_CHARACTERS = 40_000
LEAST_INCHES = 1.5  # of a narrow figure that its axes must keep beside their labels
PHONE_INCHES, PHONE_PIXELS = 4.1, 520  # drawn this wide; with what stands beside the axes at most that


@dataclass(frozen=True, slots=True, kw_only=True)
class Picture:
    """A drawn figure, ready for `<img>`."""

    uri: str
    width: int  # px on the page
    height: int
    thumbnail: str = ""  # data URI, small
    narrow: str = ""  # data URI, for phones; "" where the wide one will do, or nothing narrower can be read

    @property
    def is_wide(self) -> bool:
        """Whether its words are too small on a phone, and nothing else is there to show."""
        return not self.narrow and self.width > PHONE_PIXELS


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
    for ax in fig.axes:
        ax.xaxis.label.set_wrap(True)  # a long one sticks out of a narrow figure, which would then be scaled down
    png = _png(fig, DPI)
    width, height = struct.unpack(">II", png[16:24])  # the IHDR chunk of every PNG
    small = _thumbnail(fig, width) if thumbnail else ""
    scale = PAGE_DPI / DPI
    narrow = _narrow(fig) if width * scale > PHONE_PIXELS else ""
    _close(fig)
    size = {"width": round(width * scale), "height": round(height * scale)}
    return Picture(uri=_uri(png), thumbnail=small, narrow=narrow, **size)


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


def _narrow(fig: Any) -> str:
    """The same figure as wide as a phone; "" if its words then touch each other, stick out, or leave it no room."""
    size, before = fig.get_size_inches(), _collisions(fig)
    fig.set_size_inches(PHONE_INCHES, size[1])
    try:
        png = _png(fig, DPI)
        fits = struct.unpack(">I", png[16:20])[0] * PAGE_DPI / DPI <= PHONE_PIXELS
        fits &= max((ax.bbox.width / fig.dpi for ax in fig.axes), default=LEAST_INCHES) >= LEAST_INCHES
        return _uri(png) if fits and _collisions(fig) <= before else ""
    finally:
        fig.set_size_inches(size)


def _collisions(fig: Any) -> int:
    """How many pairs of the words that are drawn overlap; slanted ones as they stand, not the boxes around them."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg

    renderer = FigureCanvasAgg(fig).get_renderer()
    draw, drawn = renderer.draw_text, dict[int, Any]()

    def note(gc: Any, x: float, y: float, s: str, *args: Any, mtext: Any = None, **options: Any) -> None:
        if mtext is not None:
            drawn[id(mtext)] = mtext.get_window_extent(renderer), _outline(renderer, mtext)
        draw(gc, x, y, s, *args, mtext=mtext, **options)

    renderer.draw_text = note
    fig.draw(renderer)
    return sum(a.overlaps(b) and m.intersects_path(n) for (a, m), (b, n) in combinations(drawn.values(), 2))


def _outline(renderer: Any, text: Any) -> Any:
    """The rectangle of a text, turned as the text is."""
    from matplotlib.path import Path
    from matplotlib.transforms import Affine2D

    box, angle = text.get_window_extent(renderer), text.get_rotation()
    if angle % 90:
        wide, high, _ = renderer.get_text_width_height_descent(text.get_text(), text.get_fontproperties(), ismath=False)
    else:
        wide, high, angle = box.width, box.height, 0
    turn = Affine2D().translate(-0.5, -0.5).scale(wide, high).rotate_deg(angle)
    return Path.unit_rectangle().transformed(turn.translate(box.x0 + box.width / 2, box.y0 + box.height / 2))


def _png(fig: Any, dpi: float) -> bytes:
    buffer = io.BytesIO()
    fig.savefig(buffer, format="png", dpi=dpi, transparent=True, bbox_inches="tight", pad_inches=0.04)
    return buffer.getvalue()


def _uri(png: bytes) -> str:
    return "data:image/png;base64," + base64.b64encode(png).decode("ascii")


def _close(fig: Any) -> None:
    from matplotlib import pyplot

    pyplot.close(fig)
