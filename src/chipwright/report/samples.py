"""Sample results beside the truth: the panels of a task drawn side by side into one picture.

Pixels (images, class colours, frames of boxes) are set by numpy, so that they are exact and fast however many there are;
only words are drawn by matplotlib.
"""

from __future__ import annotations

import math
import textwrap
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from chipwright.chips.chipset import IGNORE, ClassInfo
from chipwright.report.drawing import BAD, GOOD, INK, fonts, label_text, to_png

if TYPE_CHECKING:
    from matplotlib.axes import Axes

    from chipwright.chips.display import Panel

MOST_LINES = 8
"""Lines of samples in the picture."""

_WIDTH = 1240
_LARGEST_PANEL, _SMALLEST_PANEL = 420, 120
_GAP, _SAMPLE_GAP, _MARGIN = 10, 34, 12
_TITLE, _TEXT_LINE, _LEGEND_LINE = 28, 20, 28
_OPACITY = 0.5
_TINT = 0.25
_MOST_BOX_TEXTS = 25
_DPI = 100
_CHARACTER = 0.62
"""Mean width of a character over the size of its type, of matplotlib's own font; a little too much rather than too little."""

Pixels = NDArray[np.uint8]
Color = tuple[int, int, int]


@dataclass(frozen=True)
class _Line:
    """One line of the picture: its panels with the left edges, and its heights in pixels."""

    panels: list[tuple[int, Panel]]
    height: int
    texts: int


def samples_picture(
    samples: Sequence[Sequence[Panel]], classes: Sequence[ClassInfo] = (), dense: bool = False
) -> tuple[bytes, list[int]] | None:
    """Draw rows of panels as a PNG at most 1240 pixels wide, with a legend of the class colours that occur.

    Samples of one or two plain panels are set side by side; with `dense` also those with something drawn over them. Returns
    the picture and the lower edge of each of its lines in pixels, where a page may break it; None where there are no samples.
    """
    rows = [list(sample) for sample in samples if len(sample)]
    if not rows:
        return None
    panels_each = max(len(row) for row in rows)
    overlaid = not dense and any(_overlaid(panel) for row in rows for panel in row)
    abreast = 1 if overlaid else {1: 4, 2: 2}.get(panels_each, 1)  # what is drawn over a picture asks for room
    rows = rows[: MOST_LINES * abreast]
    abreast = min(abreast, len(rows))
    room = _WIDTH - 2 * _MARGIN - (abreast - 1) * _SAMPLE_GAP - abreast * (panels_each - 1) * _GAP
    size = max(_SMALLEST_PANEL, min(_LARGEST_PANEL, room // (abreast * panels_each)))
    lines = _lines(rows, abreast, panels_each, size)
    shown = [panel for line in lines for _, panel in line.panels]
    legend = legend_entries(shown, classes)
    sample_width = panels_each * size + (panels_each - 1) * _GAP
    width = 2 * _MARGIN + abreast * sample_width + (abreast - 1) * _SAMPLE_GAP
    entries = _legend_places(legend, width)
    top = _MARGIN + (entries[-1][1] + 1) * _LEGEND_LINE if entries else _MARGIN
    titles = _titled(lines)
    height = top + sum(
        _TITLE * titled + line.height + _TEXT_LINE * line.texts + _GAP for line, titled in zip(lines, titles, strict=True)
    )
    canvas = np.full((height + _MARGIN - _GAP, width, 3), 255, np.uint8)
    words = _Words(canvas)
    for entry, (left, row) in zip(legend, entries, strict=True):
        y = _MARGIN + row * _LEGEND_LINE
        _swatch(canvas, left, y + 3, entry[1])
        words.add(left + 22, y + 10, label_text(entry[0]), 10, va="center")
    y, edges = top, []
    for line, titled in zip(lines, titles, strict=True):
        if titled:
            for left, panel in line.panels:
                words.add(left, y + _TITLE / 2, label_text(panel.title, 40), 11, va="center", weight="bold")
            y += _TITLE
        for left, panel in line.panels:
            _place(canvas, words, panel, left, y, size, line.height)
        y += line.height + _TEXT_LINE * line.texts + _GAP
        edges.append(y)
    return words.draw(canvas), [*edges[:-1], canvas.shape[0]]


def _lines(samples: list[list[Panel]], abreast: int, panels_each: int, size: int) -> list[_Line]:
    """Set the samples out in lines, each as high as its highest panel."""
    step = panels_each * (size + _GAP) - _GAP + _SAMPLE_GAP
    lines = []
    for start in range(0, len(samples), abreast):
        places = [
            (_MARGIN + column * step + index * (size + _GAP), panel)
            for column, sample in enumerate(samples[start : start + abreast])
            for index, panel in enumerate(sample)
        ]
        height = max(round(size * min(1.5, panel.image.shape[0] / panel.image.shape[1])) for _, panel in places)
        texts = max(len(_wrapped(panel, size)) for _, panel in places)
        lines.append(_Line(places, max(height, 24), texts))
    return lines


def _overlaid(panel: Panel) -> bool:
    return panel.classes is not None or panel.boxes is not None or panel.masks is not None


def _titled(lines: Sequence[_Line]) -> list[bool]:
    """Return which lines bear their panels' titles: the first, and those whose titles differ from the line's above."""
    titles = [[panel.title for _, panel in line.panels] for line in lines]
    return [index == 0 or titles[index] != titles[index - 1][: len(titles[index])] for index in range(len(lines))]


def _wrapped(panel: Panel, size: int) -> list[str]:
    """Return the text under a panel in lines that fit its width, at most four of each line that it is written in."""
    if not panel.text:
        return []
    mark = {True: "✓ ", False: "✗ ", None: ""}[panel.good]
    across = max(8, int(size / (_pixels(10) * 0.56)))
    written = ["".join(character if character.isprintable() else " " for character in line) for line in panel.text.split("\n")]
    lines = [textwrap.wrap(line, across, max_lines=4, placeholder=" …") for line in [mark + written[0], *written[1:]]]
    return [line for wrapped in lines for line in wrapped] or [mark.strip()]


def _pixels(points: float) -> float:
    return points * _DPI / 72


# -- the legend


def legend_entries(panels: Sequence[Panel], classes: Sequence[ClassInfo]) -> list[tuple[str, Color]]:
    """Return (name, colour) of the classes whose colour is drawn in some panel, in the order of `classes`."""
    drawn: set[Color] = set()
    for panel in panels:
        if panel.classes is not None:
            indices = np.unique(panel.classes)
            drawn |= {_color(panel.palette[index]) for index in indices if 0 <= index < len(panel.palette)}
        drawn |= {_color(color) for color in (*panel.box_colors, *panel.mask_colors)}
    return [(info.name, _color(info.color)) for info in classes if _color(info.color) in drawn]


def _color(color: Sequence[int]) -> Color:
    red, green, blue = (int(value) for value in color)
    return red, green, blue


def _legend_places(entries: Sequence[tuple[str, Color]], width: int) -> list[tuple[int, int]]:
    """Return (left edge, row) of each legend entry, wrapped to the picture's width."""
    places, left, row = [], _MARGIN, 0
    for name, _ in entries:
        needed = 22 + int(len(label_text(name)) * _pixels(10) * _CHARACTER) + 18
        if left + needed > width - _MARGIN and left > _MARGIN:
            left, row = _MARGIN, row + 1
        places.append((left, row))
        left += needed
    return places


def _swatch(canvas: Pixels, left: int, top: int, color: Color) -> None:
    canvas[top : top + 14, left : left + 16] = (110, 118, 128)
    canvas[top + 1 : top + 13, left + 1 : left + 15] = color


# -- one panel


def blend(image: Pixels, classes: NDArray[Any], palette: Sequence[Color]) -> Pixels:
    """Return the image with classes laid over it: half transparent, outlined in the full colour, nothing where IGNORE."""
    colors = np.asarray(palette, dtype=np.float32).reshape(-1, 3)
    drawn = (classes != IGNORE) & (classes >= 0) & (classes < len(colors))
    opacity = np.where(_outline(classes), 1.0, _OPACITY)[..., None] * drawn[..., None]
    return (image * (1 - opacity) + colors[np.where(drawn, classes, 0)] * opacity + 0.5).astype(np.uint8)


def _outline(classes: NDArray[Any]) -> NDArray[np.bool_]:
    """Return the pixels whose right or lower neighbour is of another class."""
    edge = np.zeros(classes.shape, bool)
    edge[:, :-1] |= classes[:, :-1] != classes[:, 1:]
    edge[:-1] |= classes[:-1] != classes[1:]
    return edge


def render(panel: Panel, width: int, height: int) -> tuple[Pixels, float]:
    """Return the panel's image with its classes, scaled to lie within `width` x `height`, and the scale.

    Chips are enlarged before their classes are outlined, and reduced after it, so that outlines are thin and never vanish.
    """
    image = np.ascontiguousarray(panel.image, dtype=np.uint8)
    scale = min(width / image.shape[1], height / image.shape[0])
    target = max(1, round(image.shape[1] * scale)), max(1, round(image.shape[0] * scale))
    if scale > 1:
        image = _resized(image, target)
    if panel.classes is not None and len(panel.palette):
        classes = np.asarray(panel.classes)
        if scale > 1:
            rows = (np.arange(target[1]) / scale).astype(int).clip(max=classes.shape[0] - 1)
            columns = (np.arange(target[0]) / scale).astype(int).clip(max=classes.shape[1] - 1)
            classes = classes[np.ix_(rows, columns)]
        image = blend(image, classes, panel.palette)
    if scale <= 1:
        image = _resized(image, target)
    return image, scale


def _resized(image: Pixels, size: tuple[int, int]) -> Pixels:
    """Return the image with (width, height) `size`; pixels that are much enlarged stay visible as squares."""
    from PIL import Image

    scale = size[0] / image.shape[1]
    resampling = Image.Resampling
    method = resampling.NEAREST if scale >= 2 else resampling.BICUBIC if scale > 1 else resampling.LANCZOS
    return np.array(Image.fromarray(image).resize(size, method))


def _place(canvas: Pixels, words: _Words, panel: Panel, left: int, top: int, size: int, height: int) -> None:
    """Draw one panel with its boxes and texts onto the canvas."""
    picture, scale = render(panel, size, height)
    for mask, its_color in zip(() if panel.masks is None else panel.masks, panel.mask_colors, strict=True):
        draw_mask(picture, mask, _color(its_color))
    boxes = np.zeros((0, 4)) if panel.boxes is None else np.asarray(panel.boxes, dtype=float).reshape(-1, 4) * scale
    frame = 1 if len(boxes) > 60 else 2
    for index, box in enumerate(boxes):
        draw_frame(picture, box, _box_color(panel, index), frame)
    canvas[top : top + picture.shape[0], left : left + picture.shape[1]] = picture
    if len(panel.box_texts) <= _MOST_BOX_TEXTS:
        for index, (box, text) in enumerate(zip(boxes, panel.box_texts, strict=False)):
            if text and np.isfinite(box).all():
                words.tag(left, top, picture.shape[1], box, label_text(text, 24), _box_color(panel, index))
    color = {True: GOOD, False: BAD, None: INK}[panel.good]
    for index, line in enumerate(_wrapped(panel, size)):
        y = top + height + _TEXT_LINE * (index + 0.55)
        words.add(left, y, line.replace("$", r"\$"), 10, va="center", color=color)


def _box_color(panel: Panel, index: int) -> Color:
    return _color(panel.box_colors[index]) if index < len(panel.box_colors) else (255, 214, 10)


def draw_frame(picture: Pixels, box: NDArray[np.float64], color: Color, thickness: int) -> None:
    """Draw a box (xmin, ymin, xmax, ymax in pixels) as a frame with a thin dark casing, clipped to the picture."""
    if not np.isfinite(box).all():
        return
    height, width = picture.shape[:2]
    left, top = max(math.floor(box[0]), 0), max(math.floor(box[1]), 0)
    right, bottom = min(math.ceil(box[2]), width), min(math.ceil(box[3]), height)
    if right <= left or bottom <= top:
        return

    def frame(grow: int, deep: int, ink: Color) -> None:
        x0, y0, x1, y1 = max(left - grow, 0), max(top - grow, 0), min(right + grow, width), min(bottom + grow, height)
        picture[y0 : min(y0 + deep, y1), x0:x1] = ink
        picture[max(y1 - deep, y0) : y1, x0:x1] = ink
        picture[y0:y1, x0 : min(x0 + deep, x1)] = ink
        picture[y0:y1, max(x1 - deep, x0) : x1] = ink

    frame(1, 1, (20, 20, 20))
    frame(0, thickness, color)


def draw_mask(picture: Pixels, mask: NDArray[np.bool_], color: Color) -> None:
    """Draw an object's mask, in the pixels of its image, over a picture of any size: tinted, its outline in the full colour."""
    from PIL import Image

    rows, columns = (np.flatnonzero(mask.any(axis=axis)) for axis in (1, 0))
    if not len(rows):
        return
    across, down = picture.shape[1] / mask.shape[1], picture.shape[0] / mask.shape[0]
    # a pixel of ground all around, so that an outline closes; what of it lies beyond the image is cut off below
    top, bottom, left, right = rows[0] - 1, rows[-1] + 2, columns[0] - 1, columns[-1] + 2
    part = np.zeros((bottom - top, right - left), np.uint8)
    part[1:-1, 1:-1] = mask[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1] * 255
    y0, y1, x0, x1 = round(top * down), round(bottom * down), round(left * across), round(right * across)
    shape = np.asarray(Image.fromarray(part).resize((max(x1 - x0, 1), max(y1 - y0, 1)), Image.Resampling.BILINEAR)) > 127
    framed = np.pad(shape, 1)
    inner = shape & framed[:-2, 1:-1] & framed[2:, 1:-1] & framed[1:-1, :-2] & framed[1:-1, 2:]
    window = picture[max(y0, 0) : y1, max(x0, 0) : x1]
    cut = np.s_[max(-y0, 0) : max(-y0, 0) + window.shape[0], max(-x0, 0) : max(-x0, 0) + window.shape[1]]
    opacity = np.where(inner, _TINT, 1.0)[cut][..., None] * shape[cut][..., None]
    window[:] = (window * (1 - opacity) + np.array(color) * opacity + 0.5).astype(np.uint8)


class _Words:
    """Collects the words of the picture and draws them over the canvas in one go."""

    def __init__(self, canvas: Pixels) -> None:
        from matplotlib.figure import Figure

        height, width = canvas.shape[:2]
        self.figure = Figure(figsize=(width / _DPI, height / _DPI), dpi=_DPI)
        self.axes: Axes = self.figure.add_axes((0, 0, 1, 1))
        self.axes.set_axis_off()
        self.axes.set_xlim(0, width)
        self.axes.set_ylim(height, 0)

    def add(self, x: float, y: float, text: str, size: float, **options: Any) -> None:
        """Add words with their left edge at `x`."""
        self.axes.text(x, y, text, fontsize=size, **({"color": INK, "family": fonts()} | options))

    def tag(self, left: int, top: int, width: int, box: NDArray[np.float64], text: str, color: Color) -> None:
        """Add a label at a box's upper left corner, above the box where there is room, never outside its panel."""
        size = 8.0
        across, high = len(text) * _pixels(size) * _CHARACTER + 6, _pixels(size) + 5
        x = left + max(0.0, min(float(box[0]), width - across))
        above = float(box[1]) - high >= 0
        y = top + (float(box[1]) - high if above else max(0.0, float(box[1]))) + high / 2
        dark = 0.299 * color[0] + 0.587 * color[1] + 0.114 * color[2] < 140
        self.add(
            x + 3, y, text, size, va="center_baseline", color="white" if dark else "black",
            bbox={"facecolor": tuple(value / 255 for value in color), "edgecolor": "none", "pad": 1.6, "alpha": 0.88},
        )  # fmt: skip

    def draw(self, canvas: Pixels) -> bytes:
        """Return canvas and words as a PNG file's bytes."""
        height, width = canvas.shape[:2]
        self.axes.imshow(canvas, extent=(0, width, height, 0), interpolation="nearest", aspect="auto", zorder=-1)
        self.axes.set_xlim(0, width)
        self.axes.set_ylim(height, 0)
        return to_png(self.figure)
