"""House style of the figures: ink, palette, one dict of settings and three small helpers. Importing it changes nothing.

`set_style` is called by a notebook. A figure holds marks, axes and direct labels only: its title (the finding) and its
note stand around it as text, where they can be searched and read aloud.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from matplotlib.axes import Axes

INK, MUTED, FAINT, GRID = "#1a2330", "#525e6c", "#8592a0", "#d5dbe1"
SERIES = {
    "blue": "#1d6fb8",
    "clay": "#bf4a1b",
    "sea": "#0f8468",
    "plum": "#5a2a70",
    "sand": "#5a4300",
    "grey": "#6d7884",
}
DASHES: list[Any] = ["-", (0, (6, 2)), (0, (2.5, 1.6)), (0, (7, 2, 1.5, 2)), (0, (1, 1.4))]  # a cue beside colour
TIDE = ["#f0f5f9", "#c5dbec", "#86b4d8", "#3f86c2", "#1d62a3", "#0f3763"]  # little to much
LOW_HIGH = ["#1d6fb8", "#82b0da", "#c9cdd2", "#e0976f", "#bf4a1b"]  # low value to high value
_FONTS = ["Inter", "Helvetica Neue", "Segoe UI", "Noto Sans", "Liberation Sans", "DejaVu Sans"]
_SIZES = {
    "axes.labelsize": 10.5,
    "xtick.labelsize": 10.5,
    "ytick.labelsize": 10.5,
    "ytick.major.size": 0,
    "xtick.major.size": 4,
}


def set_style() -> None:
    """Set fonts, colours and axes for every figure drawn afterwards (matplotlib and seaborn)."""
    import matplotlib as mpl
    from cycler import cycler
    from matplotlib import font_manager

    here = set(font_manager.get_font_names())
    colours = dict.fromkeys(("axes.labelcolor", "xtick.color", "ytick.color"), MUTED)
    spines = {f"axes.spines.{side}": False for side in ("top", "right", "left")}
    clear = {"figure.facecolor": "none", "axes.facecolor": "none", "savefig.transparent": True}
    settings: dict[Any, Any] = {
        "font.family": [*[font for font in _FONTS if font in here][:1], "DejaVu Sans"],
        "font.size": 11,
        "figure.figsize": (7.6, 4.0),
        "figure.dpi": 100,
        "savefig.dpi": 200,
        "figure.constrained_layout.use": True,
        "text.color": INK,
        "axes.edgecolor": FAINT,
        "axes.grid": True,
        "axes.grid.axis": "y",
        "axes.axisbelow": True,
        "grid.color": GRID,
        "grid.linewidth": 0.8,
        "lines.linewidth": 2.1,
        "legend.frameon": False,
        "axes.prop_cycle": cycler(color=list(SERIES.values())),
        **colours,
        **spines,
        **clear,
        **_SIZES,
    }
    mpl.rcParams.update(settings)


def new_axes(ax: Axes | None, *, figsize: tuple[float, float] = (7.6, 4.0)) -> Axes:
    """The Axes given, or new ones."""
    import matplotlib.pyplot as plt

    return plt.subplots(figsize=figsize)[1] if ax is None else ax


def hero_axes() -> Axes:
    """New Axes in the size of the answer box of a report."""
    return new_axes(None, figsize=(5.0, 3.45))


def look_of(place: int) -> tuple[str, Any]:
    """Colour and dash of the n-th series; six colours and five dashes make thirty different looks."""
    return list(SERIES.values())[place % 6], DASHES[place % 5]


def y_label(ax: Axes, text: str) -> None:
    """Write the y label flat above the axis, where it is read first: as a left title, so that it narrows no Axes.

    It breaks into lines where the figure is too narrow for it, as on a phone.
    """
    ax.set_ylabel("")
    look: dict[str, Any] = {"color": MUTED, "fontsize": 10.5, "fontweight": "normal"}
    ax.set_title(text, loc="left", pad=9, parse_math=False, wrap=True, **look)


def end_labels(ax: Axes, labels: Sequence[tuple[float, float, str, str]], *, gap_points: float = 15.0) -> None:
    """Name each line at its right end: (x, y, text, colour). Neighbours are pushed apart, so no legend is needed."""
    ax.figure.canvas.draw()
    scale, last = 72 / ax.figure.dpi, -1e9
    for x, y, text, colour in sorted(labels, key=lambda label: label[1]):
        here = ax.transData.transform((x, y))[1] * scale
        at = max(here, last + gap_points)
        options: dict[str, Any] = {
            "textcoords": "offset points",
            "va": "center",
            "weight": "bold",
            "annotation_clip": False,
            "parse_math": False,  # "$0-$50" is a price band, no formula
        }
        ax.annotate(text, (x, y), (7, at - here), color=colour, **options)
        last = at


def per_so_many(axis: Any, per: float) -> str:
    """Tick labels of a mean per customer as one per so many, and how to say it: "customer", "1,000 customers"."""
    from matplotlib.ticker import FuncFormatter, MaxNLocator

    if per == 1:
        return "customer"
    axis.set_major_locator(MaxNLocator(6, steps=[1, 2, 2.5, 5, 10]))
    axis.set_major_formatter(FuncFormatter(lambda mean, _: f"{per * mean:,.6g}".replace("-", "\u2212")))
    return f"{per:,g} customers"


def in_percent(axis: Any) -> None:
    """Tick labels of a share in percent."""
    from matplotlib.ticker import FuncFormatter

    axis.set_major_formatter(FuncFormatter(lambda share, _: f"{100 * share:.0f} %".replace("-", "\u2212")))


def plain_numbers(axis: Any) -> None:
    """Tick labels as people write them: 0.1, 10, 1,000."""
    from matplotlib.ticker import FuncFormatter

    axis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:,.10g}"))


def ink_on(colour: Sequence[float]) -> str:
    """Dark or white ink on a cell: what its worse reading, of light page and dark, is better for (luminance, WCAG)."""
    red, green, blue = ((c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4) for c in colour[:3])
    return INK if 0.2126 * red + 0.7152 * green + 0.0722 * blue > 0.28 else "#ffffff"
