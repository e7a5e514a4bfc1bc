"""Instance detectors: the outline of every object."""

from __future__ import annotations

import math

import numpy as np

from chipwright.package.functions.object_detector import ChipwrightObjectDetector


class ChipwrightInstanceDetector(ChipwrightObjectDetector):
    """Gives outlines with class and confidence."""

    title = "Detect objects with outlines"

    def own_parameters(self):
        """Return the model's arguments."""
        boxes = self.parameter("return_bboxes", "string", "False", "Boxes in place of outlines", domain=("True", "False"))
        return [*super().own_parameters(), boxes]

    def rings(self, outputs, place, box, size, left, top):
        """Return the outlines of an object's mask."""
        if self.truth("return_bboxes", "False"):
            return super().rings(outputs, place, box, size, left, top)
        own = outputs["boxes"][place].astype(np.float64)
        mask, row, column = pasted(np.squeeze(outputs["masks"][place]), own, size, self.facts["mask_level"])
        shift = left + column - self.padding, top + row - self.padding
        return [[[float(x + shift[0]), float(y + shift[1])] for x, y in ring] for ring in outlines(mask)]


def pasted(mask, box, size, level):
    """Return (the mask as it lies in the image, its first row and column) from probabilities of equal cells of a box."""
    rows, down = cells(box[1], box[3], size[0], mask.shape[0])
    columns, across = cells(box[0], box[2], size[1], mask.shape[0])
    return level <= interpolated(interpolated(mask, down).T, across).T, rows, columns


def cells(low, high, limit, side):
    """Return the first pixel whose middle lies between `low` and `high`, and where each such lies among the box's cells."""
    first, last = math.ceil(low - 0.5), math.floor(high - 0.5)
    if first > last:
        first = last = math.floor((low + high) / 2)
    first, last = max(first, 0), min(last, limit - 1)
    at = (np.arange(first, last + 1) - low) * (side / max(high - low, 1e-6)) - 0.5
    return first, np.clip(at, 0, side - 1).astype(np.float32)


def interpolated(rows, at):
    """Return rows at fractional places."""
    below = at.astype(np.intp)
    share = (at - below)[:, None]
    return rows[below] * (1 - share) + rows[np.minimum(below + 1, len(rows) - 1)] * share


def outlines(mask):
    """Return the closed outlines of a mask along its pixels' edges: clockwise around it, the other way around holes."""
    filled = np.pad(np.asarray(mask, bool), 1)
    ends = {}
    inside = filled[1:, 1:]
    for rows, columns, start, end in (
        (*np.nonzero(inside & ~filled[:-1, 1:]), (0, 0), (0, 1)),  # top edges, left to right
        (*np.nonzero(filled[:-1, :-1] & ~filled[:-1, 1:]), (-1, 0), (0, 0)),  # right edges, downwards
        (*np.nonzero(filled[:-1, :-1] & ~filled[1:, :-1]), (0, 0), (0, -1)),  # bottom edges, right to left
        (*np.nonzero(inside & ~filled[1:, :-1]), (1, 0), (0, 0)),  # left edges, upwards
    ):
        for row, column in zip(rows.tolist(), columns.tolist()):
            ends.setdefault((row + start[0], column + start[1]), []).append((row + end[0], column + end[1]))
    rings = []
    while ends:
        start = at = next(iter(ends))
        ring, came = [], None
        while True:
            ways = ends[at]
            # where two corners meet, turn right: what touches at a corner only is apart
            way = ways[0] if came is None or len(ways) == 1 else max(ways, key=lambda end: turn(came, at, end))
            ways.remove(way)
            if not ways:
                del ends[at]
            if came is None or turn(came, at, way) != 0:
                ring.append((at[1], at[0]))
            came, at = at, way
            if at == start:
                break
        if turn(came, at, tuple(reversed(ring[1 % len(ring)]))) == 0:
            ring = ring[1:]
        rings.append([*ring, ring[0]])
    return rings


def turn(first, middle, last):
    """Return 1 for a turn to the right on the way between (row, column) corners, -1 to the left, 0 straight on."""
    cross = (middle[1] - first[1]) * (last[0] - middle[0]) - (middle[0] - first[0]) * (last[1] - middle[1])
    return (cross > 0) - (cross < 0)
