"""Where the pixels of a sample go: one of the eight symmetries, then a crop at whole pixels or one affine resampling."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional as F

from chipwright.chips.augmentation.pixels import Array, cast, column, float_type
from chipwright.chips.augmentation.settings import Augmentation

Size = tuple[int, int]
"""(width, height) in pixels."""


@dataclass(frozen=True)
class Symmetry:
    """Mirrored at the diagonal, then left to right, then top to bottom: what moves pixels whole.

    Attributes:
        source: size of what is changed.
    """

    source: Size
    diagonal: bool
    horizontal: bool
    vertical: bool

    @classmethod
    def drawn(cls, source: Size, augmentation: Augmentation, rng: np.random.Generator) -> Symmetry:
        """Return one of those that the augmentation allows, all equally likely."""
        diagonal, horizontal, vertical = (rng.random(3) < 0.5).tolist()
        return cls(
            source,
            augmentation.quarter_turn and diagonal,
            augmentation.horizontal_flip and horizontal,
            augmentation.vertical_flip and vertical,
        )

    @property
    def size(self) -> Size:
        """Size of the result."""
        width, height = self.source
        return (height, width) if self.diagonal else (width, height)

    def pixels(self, array: Array) -> Array:
        """Return a view of an array (..., height, width)."""
        array = array.swapaxes(-1, -2) if self.diagonal else array
        array = array[..., ::-1] if self.horizontal else array
        return array[..., ::-1, :] if self.vertical else array

    def boxes(self, boxes: Array) -> Array:
        """Return boxes (count, 4) where they lie in the result."""
        width, height = self.size
        boxes = boxes[:, [1, 0, 3, 2]] if self.diagonal else boxes
        if self.horizontal:
            boxes = np.abs(np.array([width, 0, width, 0], np.float32) - boxes)[:, [2, 1, 0, 3]]
        if self.vertical:
            boxes = np.abs(np.array([0, height, 0, height], np.float32) - boxes)[:, [0, 3, 2, 1]]
        return boxes


@dataclass(frozen=True)
class Crop:
    """A window at whole pixels; `left` and `top` are negative where the scene is padded."""

    left: int
    top: int
    size: Size

    scale = 1.0
    """Area in the result of what was one square pixel."""

    def nearest(self, array: Array, fill: Sequence[float]) -> Array:
        """Return a new (bands, height, width) array cut from `array`, filled where it has nothing."""
        (width, height), left, top = self.size, self.left, self.top
        below, right = min(top + height, array.shape[1]), min(left + width, array.shape[2])
        inner = array[:, max(top, 0) : below, max(left, 0) : right]
        if inner.shape[1:] == (height, width):
            return np.array(inner, order="C")
        window = np.empty((len(array), height, width), array.dtype)
        window[:] = column(fill, array.dtype)
        y, x = max(-top, 0), max(-left, 0)
        window[:, y : y + inner.shape[1], x : x + inner.shape[2]] = inner
        return window

    smooth = nearest

    def boxes(self, boxes: Array) -> Array:
        """Return boxes (count, 4) where they lie in the result, not yet clipped to it."""
        return boxes - np.array([self.left, self.top, self.left, self.top], np.float32)


@dataclass(frozen=True, eq=False)
class Resampling:
    """Rotated and enlarged.

    Attributes:
        source, size: of what is resampled, and of the result.
        matrix: (2, 2) from pixels of the result about its centre to pixels of the source about `centre`.
        centre: (x, y) in the source that the result's centre shows.
    """

    source: Size
    size: Size
    matrix: NDArray[np.float64]
    centre: NDArray[np.float64]

    @property
    def scale(self) -> float:
        """Area in the result of what was one square pixel."""
        return float(1 / abs(np.linalg.det(self.matrix)))

    @cached_property
    def _grid(self) -> Tensor:
        """Source places in grid_sample's terms: both frames reach from -1 to 1, edge to edge."""
        width, height = self.source
        theta = np.empty((2, 3))
        theta[:, :2] = self.matrix * self.size / np.array([[width], [height]])
        theta[:, 2] = 2 * self.centre / (width, height) - 1
        across, down = ((2 * np.arange(side) + 1) / side - 1 for side in self.size)
        grid = np.empty((1, self.size[1], self.size[0], 2), np.float32)
        for axis, (along_x, along_y, start) in enumerate(theta):  # six times as fast as affine_grid, which multiplies matrices
            grid[0, ..., axis] = along_x * across + (along_y * down + start)[:, None]
        return torch.from_numpy(grid)

    @cached_property
    def _places(self) -> tuple[NDArray[np.intp], NDArray[np.bool_]]:
        """The source pixel that each of the result's lies in, as an index into all, and whether there is one."""
        across, down = (np.arange(side) + 0.5 - side / 2 for side in self.size)
        x, y = (
            np.floor(row[0] * across + row[1] * down[:, None] + at).astype(np.intp)
            for row, at in zip(self.matrix, self.centre, strict=True)
        )
        width, height = self.source
        inside = (x >= 0) & (x < width) & (y >= 0) & (y < height)
        return np.where(inside, y * width + x, 0), inside

    def nearest(self, array: Array, fill: Sequence[float]) -> Array:
        """Return `array` (bands, height, width) resampled to the nearest pixel; beyond its edge stands `fill`."""
        places, inside = self._places
        return np.where(inside, array.reshape(len(array), math.prod(self.source))[:, places], column(fill, array.dtype))

    def smooth(self, array: Array, fill: Sequence[float]) -> Array:
        """Return `array` (bands, height, width) resampled bilinearly; beyond its edge stands `fill`."""
        work = float_type(array.dtype)
        base = column(fill, work)
        # sampled relative to the fill value, since grid_sample pads with zero
        relative = array.astype(work, order="C") - base
        if array.dtype.kind == "f":  # one NaN would spread to its neighbours
            np.nan_to_num(relative, copy=False, nan=0.0, posinf=0.0, neginf=0.0)
        source = torch.from_numpy(np.ascontiguousarray(relative))[None]
        sampled = F.grid_sample(source, self._grid.to(source.dtype), "bilinear", "zeros", align_corners=False)[0].numpy()
        sampled += base
        return cast(sampled, array.dtype)

    def boxes(self, boxes: Array) -> Array:
        """Return the upright hulls of the moved boxes (count, 4), not yet clipped to the result."""
        corners = boxes[:, [[0, 1], [2, 1], [0, 3], [2, 3]]]  # (count, 4, 2)
        moved = (corners - self.centre) @ np.linalg.inv(self.matrix).T + np.array(self.size) / 2
        return np.concatenate([moved.min(1), moved.max(1)], axis=1)


def draw_frame(source: Size, size: Size, augmentation: Augmentation, rng: np.random.Generator) -> Crop | Resampling:
    """Return what of a scene of size `source` is shown in a result of `size`: drawn rotation, zoom and place."""
    degrees = rng.uniform(-augmentation.rotation, augmentation.rotation) if rng.random() < augmentation.rotation_share else 0.0
    zoom = rng.uniform(*augmentation.zoom) if rng.random() < augmentation.zoom_share else 1.0
    view = size[0] / zoom, size[1] / zoom
    place = rng.random(2) if augmentation.random_crop else (0.5, 0.5)
    rooms = [(at, side - seen) for at, side, seen in zip(place, source, view, strict=True)]
    if degrees == 0 and zoom == 1:
        left, top = (math.floor(at * (room + 1) if room > 0 else room / 2) for at, room in rooms)
        return Crop(left, top, size)
    corner = np.array([at * room if room > 0 else room / 2 for at, room in rooms])
    turn = math.radians(degrees)
    matrix = np.array([[math.cos(turn), -math.sin(turn)], [math.sin(turn), math.cos(turn)]]) / zoom
    return Resampling(source, size, matrix, corner + np.array(view) / 2)
