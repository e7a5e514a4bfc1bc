"""Which windows a network sees of a raster, and which pixels of each are kept.

The kept parts tile the raster; around each the network sees a margin, or the raster's edge. Windows begin at multiples of the
network's stride, so that its coarse maps lie in every window as they would lie in the whole image.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

Span = tuple[int, int]
"""First pixel, and the one after the last."""

Box = tuple[int, int, int, int]
"""Left, top, right, bottom in a raster's pixels."""


@dataclass(frozen=True)
class Window:
    """A part of a raster that a network sees, `seen`, and the part of it that is kept, `kept`; both in the raster's pixels."""

    seen: Box
    kept: Box

    @property
    def shape(self) -> tuple[int, int]:
        """(height, width) of what is seen."""
        left, top, right, bottom = self.seen
        return bottom - top, right - left

    @property
    def inner(self) -> tuple[slice, slice]:
        """Rows and columns of what is kept within what is seen."""
        return slice(self.kept[1] - self.seen[1], self.kept[3] - self.seen[1]), slice(
            self.kept[0] - self.seen[0], self.kept[2] - self.seen[0]
        )


@dataclass(frozen=True)
class Plan:
    """Windows over a raster, or over an area of it.

    Attributes:
        width, height: of the raster in pixels.
        size: side of a window in pixels.
        margin: pixels at each side of a window at least that are seen and not kept, but at the raster's edges.
        stride: pixels of whose multiples windows begin.
        area: the part of the raster that is predicted.
    """

    width: int
    height: int
    size: int
    margin: int
    stride: int
    area: Box

    @staticmethod
    def over(width: int, height: int, size: int, margin: int, stride: int = 1, area: Box | None = None) -> Plan:
        """Return a plan for the whole raster, or an area of it.

        Args:
            width, height, size, margin, stride, area: as the attributes. `size` exceeds twice the margin; where what is kept
                of a window is narrower than the stride, windows begin at the nearest half, quarter, ... of it.
        """
        while stride > max(1, size - 2 * margin):
            stride //= 2
        return Plan(width, height, size, margin, stride, area or (0, 0, width, height))

    def __len__(self) -> int:
        return len(self._spans(self.width, 0)) * len(self.rows)

    @property
    def rows(self) -> list[tuple[Span, Span]]:
        """Rows of pixels that each row of windows sees, and those it keeps."""
        return self._spans(self.height, 1)

    def row(self, index: int) -> Iterator[Window]:
        """Yield one row of windows, from left to right."""
        seen_rows, kept_rows = self.rows[index]
        for seen, kept in self._spans(self.width, 0):
            yield Window((seen[0], seen_rows[0], seen[1], seen_rows[1]), (kept[0], kept_rows[0], kept[1], kept_rows[1]))

    def _spans(self, length: int, axis: int) -> list[tuple[Span, Span]]:
        low, high = self.area[axis], self.area[axis + 2]
        return [
            (seen, (max(kept[0], low), min(kept[1], high)))
            for seen, kept in _spans(length, self.size, self.margin, self.stride)
            if kept[1] > low and kept[0] < high
        ]


def _spans(length: int, size: int, margin: int, stride: int) -> list[tuple[Span, Span]]:
    """Return what is seen and what is kept along one axis.

    The last window ends at the raster's edge and is up to a stride smaller than the others: the network fills it up as it fills
    up a whole image.
    """
    last = max(0, -(-(length - size) // stride) * stride)  # where a window that reaches the edge begins
    spans: list[tuple[Span, Span]] = []
    done = 0
    while done < length:
        start = min(max(0, done - margin) // stride * stride, last)
        end = length if start == last else start + size - margin
        spans.append(((start, min(start + size, length)), (done, end)))
        done = end
    return spans
