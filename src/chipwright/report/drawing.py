"""The one style of all pictures: colours, text sizes, axes. Figures are objects of their own, so that threads do not meet.

Matplotlib is imported inside the functions: naming a figure must not cost loading a drawing library.
"""

from __future__ import annotations

import warnings
from functools import cache
from io import BytesIO
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

DPI = 150
"""Dots per inch of line pictures: sharp on a good screen and on paper."""

COLORS = ("#0072b2", "#d55e00", "#009e73", "#cc79a7", "#e69f00", "#56b4e9", "#5c5c5c", "#8c6d1f")
"""Line colours that colour-blind readers tell apart (after Okabe and Ito), without its yellow, too faint on white."""

LINE_STYLES = ("-", "--", ":", "-.")

INK, FAINT, GRID = "#1f2933", "#6b7785", "#e3e8ed"
GOOD, BAD = "#1a7f37", "#c0262d"

_OTHER_SCRIPTS = (
    "Noto Sans CJK SC",
    "Noto Sans CJK JP",
    "Source Han Sans SC",
    "Microsoft YaHei",
    "SimHei",
    "PingFang SC",
    "Hiragino Sans",
    "Yu Gothic",
    "Malgun Gothic",
    "WenQuanYi Zen Hei",
    "Droid Sans Fallback",
    "Arial Unicode MS",
    "Noto Sans",
    "Nirmala UI",
)
"""Fonts for the scripts that matplotlib's own font lacks: class names come in any language."""


@cache
def fonts() -> list[str]:
    """Return the font families to draw text with: matplotlib's own, then those installed for other scripts."""
    from matplotlib import font_manager

    installed = set(font_manager.get_font_names())
    return ["DejaVu Sans", *(name for name in _OTHER_SCRIPTS if name in installed)]


def label_text(text: str, most: int = 28) -> str:
    """Return `text` fit for a picture: one line, at most `most` characters, dollar signs not taken for formulas."""
    line = "".join(character if character.isprintable() else " " for character in str(text)).strip()
    if len(line) > most:
        line = line[: most - 1].rstrip() + "…"
    # a leading underscore would hide the entry from a legend
    return (" " + line if line.startswith("_") else line).replace("$", r"\$")


def new_figure(width: float, height: float) -> Figure:
    """Return an empty figure of `width` by `height` inches."""
    from matplotlib.figure import Figure

    return Figure(figsize=(width, height), dpi=DPI, layout="constrained", facecolor="white")


def style(axes: Axes, title: str = "", x_label: str = "", y_label: str = "") -> None:
    """Give axes the house style: title at the left, faint grid, no box."""
    from matplotlib.font_manager import FontProperties

    axes.set_title(title, loc="left", fontsize=11, fontweight="bold", color=INK, family=fonts())
    axes.set_xlabel(x_label, fontsize=9.5, color=INK, family=fonts())
    axes.set_ylabel(y_label, fontsize=9.5, color=INK, family=fonts())
    axes.tick_params(labelsize=9, colors=FAINT, labelcolor=INK, length=3)
    axes.grid(True, color=GRID, linewidth=0.8)
    axes.set_axisbelow(True)
    for side in ("top", "right"):
        axes.spines[side].set_visible(False)
    for side in ("left", "bottom"):
        axes.spines[side].set_color("#a5b0bb")
    legend = axes.get_legend()
    if legend is not None:
        for text in legend.get_texts():
            text.set_fontproperties(FontProperties(family=fonts(), size=9))


def add_legend(axes: Axes, outside: bool = False, columns: int = 1) -> None:
    """Add the legend of what was drawn with a label, inside where there is most room, or to the right of the axes."""
    from matplotlib.font_manager import FontProperties

    handles, labels = axes.get_legend_handles_labels()
    if not handles:
        return
    place: dict[str, Any] = {"loc": "upper left", "bbox_to_anchor": (1.01, 1.02)} if outside else {"loc": "best"}
    axes.legend(
        handles,
        labels,
        prop=FontProperties(family=fonts(), size=9),
        frameon=not outside,
        framealpha=0.85,
        edgecolor="none",
        ncols=columns,
        handlelength=1.8,
        **place,
    )


def whole_epochs(axes: Axes, first: float, last: float) -> None:
    """Make the x axis count epochs: whole numbers, with some room at both ends."""
    from matplotlib.ticker import MaxNLocator

    room = 0.5 if last == first else min(0.03 * (last - first), 0.5)
    axes.set_xlim(first - room, last + room)
    axes.xaxis.set_major_locator(MaxNLocator(nbins=9, integer=True, min_n_ticks=1))


def to_png(figure: Figure) -> bytes:
    """Return the figure as a PNG file's bytes."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg

    buffer = BytesIO()
    with warnings.catch_warnings():
        # a script for which no font is installed shows as boxes; that is no news for the console
        warnings.filterwarnings("ignore", message=".*[Gg]lyph.*missing")
        # not savefig: it draws everything twice
        FigureCanvasAgg(figure).print_png(buffer, metadata={"Software": "chipwright"})
    return buffer.getvalue()
