"""Random changes to training samples, and the fixed crop of validation samples: geometry and light, any bands and depth.

Everything that belongs to one place moves together: all images of a scene, its mask and its boxes. Flips and quarter
turns are exact and keep the file's dtype; rotation, zoom and crop are one affine resampling, so that nothing is
interpolated twice. Light is changed before the geometry, so that ground from beyond the chip is the band's mean exactly
(0 once normalised), and `IGNORE` in the mask.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional as F

from chipwright.chips.chipset import IGNORE, BandStatistics

Array = NDArray[Any]


@dataclass
class Scene:
    """What is changed together. All images and the mask cover the same pixels.

    Attributes:
        images: each (bands, height, width) in the file's dtype; band counts may differ.
        mask: int16 (height, width) class indices, `IGNORE` where unknown.
        boxes: float32 (count, 4) as xmin, ymin, xmax, ymax in pixels.
        box_labels: int64 (count,).
    """

    images: list[Array]
    mask: NDArray[np.int16] | None = None
    boxes: NDArray[np.float32] | None = None
    box_labels: NDArray[np.int64] | None = None


@dataclass(frozen=True)
class Recipe:
    """How samples are changed, as plain numbers.

    Attributes:
        size: (width, height) of the result in pixels. Larger scenes are cropped, smaller ones padded all around.
        random_place: crop anywhere instead of in the centre.
        horizontal_flip, vertical_flip, quarter_turn: each done to half of the samples; all three make the eight
            symmetries of the square equally likely.
        rotation: most degrees to either side, in a share `rotation_share` of the samples.
        zoom: (least, most) enlargement, in a share `zoom_share` of the samples.
        brightness: (least, most) grey level that mid grey goes to; 0.5 changes nothing.
        contrast: (least, most) factor about the band's mean, log-uniform; 1 changes nothing.
        light_share: share of the samples whose light changes (brightness and contrast each).
        fill: per band, the value of ground beyond the chip.
        low, high: per band, what counts as black and white for `brightness`.
        visible: least share of a box's area that must stay in the crop for the box to stay.
    """

    size: tuple[int, int]
    fill: tuple[float, ...]
    low: tuple[float, ...]
    high: tuple[float, ...]
    random_place: bool = False
    horizontal_flip: bool = False
    vertical_flip: bool = False
    quarter_turn: bool = False
    rotation: float = 0.0
    rotation_share: float = 0.0
    zoom: tuple[float, float] = (1.0, 1.0)
    zoom_share: float = 0.0
    brightness: tuple[float, float] = (0.5, 0.5)
    contrast: tuple[float, float] = (1.0, 1.0)
    light_share: float = 0.0
    visible: float = 0.25


_KINDS: dict[str, dict[str, Any]] = {
    "boxes": {"zoom": (1.0, 1.5), "zoom_share": 0.5},
    "pixels": {"rotation": 45.0, "rotation_share": 0.5, "zoom": (1.0, 1.5), "zoom_share": 0.5},
    "tiles": {"rotation": 30.0, "rotation_share": 0.5},
}
_ORIENTED_ROTATION = 10.0


def training_recipe(kind: str, image_space: str, chip_size: tuple[int, int], statistics: BandStatistics, dtype: str) -> Recipe:
    """Return the default changes of one kind of work.

    Where we follow the reference, and where not:

    - "boxes": its random crop, the eight symmetries, brightness 0.4 to 0.6, contrast 0.75 to 1.5, zoom 1 to 1.5. No
      rotation between the quarter turns: the upright hull of a turned box is larger than the object.
    - "pixels": the reference takes fastai's `get_transforms(flip_vert=True, max_rotate=90, max_zoom=3,
      max_lighting=0.5)`. The eight symmetries with up to 45 degrees give the same angles as 90. Map chips have one cell
      size, so a threefold zoom shows objects that inference never meets: 1.5 at most. A turned chip's corners have no
      ground (the reference mirrors it), so half of the samples stay upright. Light is changed as for boxes: it is
      linear here, where fastai's squeezing curve tames 0.5.
    - "tiles": rotation up to 30 degrees in half of the samples, crop, symmetries, light as for boxes.

    In image space (oriented imagery, anything but "MAP_SPACE") up is up: only the left-right flip stays, and up to 10
    degrees of rotation.

    Args:
        kind: "boxes", "pixels" or "tiles".
        chip_size: (width, height) of the result.
        statistics: of the training chips' bands; the means fill, and mean +- 3 deviations (within minimum and maximum)
            are white and black.
        dtype: numpy name of the chips' pixel type.
    """
    if kind not in _KINDS:
        raise ValueError(f"no augmentation for {kind!r}; known: {', '.join(_KINDS)}")
    upright = image_space != "MAP_SPACE"
    recipe = replace(
        validation_recipe(chip_size, statistics, dtype),
        random_place=True,
        horizontal_flip=True,
        vertical_flip=not upright,
        quarter_turn=not upright and chip_size[0] == chip_size[1],
        brightness=(0.4, 0.6),
        contrast=(0.75, 1.5),
        light_share=0.75,
        **_KINDS[kind],
    )
    return replace(recipe, rotation=min(recipe.rotation, _ORIENTED_ROTATION)) if upright else recipe


def validation_recipe(chip_size: tuple[int, int], statistics: BandStatistics, dtype: str) -> Recipe:
    """Return the centre crop to `chip_size` (width, height); smaller chips are padded, nothing else is changed."""
    mean, std = np.asarray(statistics.mean, np.float64), np.asarray(statistics.std, np.float64)
    low = np.maximum(np.asarray(statistics.minimum, np.float64), mean - 3 * std)
    high = np.minimum(np.asarray(statistics.maximum, np.float64), mean + 3 * std)
    fill = mean if np.dtype(dtype).kind == "f" else np.rint(mean)
    return Recipe(size=chip_size, fill=tuple(fill.tolist()), low=tuple(low.tolist()), high=tuple(high.tolist()))


def apply(scene: Scene, recipe: Recipe, rng: np.random.Generator) -> Scene:
    """Return the scene changed by `recipe`, every array new, of `recipe.size` and of its own dtype.

    Boxes are the upright hulls of their moved corners, clipped to the result; those under a pixel wide or high, or with
    less than `recipe.visible` of their area left, go with their labels. Random only through `rng`.
    """
    moved = _symmetry(_light(scene, recipe, rng), recipe, rng)
    height, width = moved.images[0].shape[1:]
    degrees = rng.uniform(-recipe.rotation, recipe.rotation) if rng.random() < recipe.rotation_share else 0.0
    zoom = rng.uniform(*recipe.zoom) if rng.random() < recipe.zoom_share else 1.0
    view = recipe.size[0] / zoom, recipe.size[1] / zoom
    place = rng.random(2) if recipe.random_place else np.array([0.5, 0.5])
    rooms = width - view[0], height - view[1]
    if degrees == 0 and zoom == 1:
        left, top = (math.floor(at * (room + 1) if room > 0 else room / 2) for at, room in zip(place, rooms, strict=True))
        return _crop(moved, left, top, recipe)
    corner = np.array([at * room if room > 0 else room / 2 for at, room in zip(place, rooms, strict=True)])
    turn = math.radians(degrees)
    # from result pixels (about the result's centre) to scene pixels (about the view's centre)
    matrix = np.array([[math.cos(turn), -math.sin(turn)], [math.sin(turn), math.cos(turn)]]) / zoom
    return _resample(moved, matrix, corner + np.array(view) / 2, recipe)


def fill_invalid(image: Array, valid: NDArray[np.bool_] | None, fill: Sequence[float]) -> Array:
    """Return the image with pixels that hold no data set to `fill` (per band): no false value enters the network.

    Args:
        image: (bands, height, width); unchanged, and returned itself where all pixels are valid.
        valid: (height, width), or None where all pixels hold data.
    """
    if valid is None or valid.all():
        return image
    return np.where(valid, image, _column(fill, image.dtype))


def squish(image: Array, size: tuple[int, int]) -> Array:
    """Return the image (bands, height, width) squeezed to `size` (width, height), smoothed where it shrinks."""
    if image.shape[1:] == (size[1], size[0]):
        return image
    work = _float_type(image.dtype)
    tensor = torch.from_numpy(np.ascontiguousarray(image, dtype=work))[None]
    resized = F.interpolate(tensor, size=(size[1], size[0]), mode="bilinear", antialias=True, align_corners=False)
    return _cast(resized[0].numpy(), image.dtype)


# -- light


def _light(scene: Scene, recipe: Recipe, rng: np.random.Generator) -> Scene:
    """Change brightness and contrast of every image that has the recipe's bands."""
    images = []
    for image in scene.images:
        target = rng.uniform(*recipe.brightness) if rng.random() < recipe.light_share else 0.5
        factor = math.exp(rng.uniform(*np.log(recipe.contrast))) if rng.random() < recipe.light_share else 1.0
        same_bands = len(image) == len(recipe.fill)
        images.append(_relight(image, target, factor, recipe) if same_bands and (target, factor) != (0.5, 1.0) else image)
    return replace(scene, images=images)


def _relight(image: Array, target: float, factor: float, recipe: Recipe) -> Array:
    """Return `(image - fill) * factor + fill`, shifted by `target - 0.5` of the band's range."""
    work = _float_type(image.dtype)
    fill, low, high = (_column(values, work) for values in (recipe.fill, recipe.low, recipe.high))
    shift = fill * (1 - factor) + (high - low) * (target - 0.5)
    light = image.astype(work)
    light *= work.type(factor)
    light += shift
    return _cast(light, image.dtype)


# -- geometry


def _symmetry(scene: Scene, recipe: Recipe, rng: np.random.Generator) -> Scene:
    """Flip and turn by a quarter."""
    draws = rng.random(3) < 0.5
    if recipe.quarter_turn and draws[0]:  # mirrored at the diagonal; with both flips this makes all eight symmetries
        scene = _rearranged(scene, lambda array: array.swapaxes(-1, -2), lambda boxes: boxes[:, [1, 0, 3, 2]])
    height, width = scene.images[0].shape[1:]
    if recipe.horizontal_flip and draws[1]:
        mirror = np.array([width, 0, width, 0], np.float32)
        scene = _rearranged(scene, lambda array: array[..., ::-1], lambda boxes: np.abs(mirror - boxes)[:, [2, 1, 0, 3]])
    if recipe.vertical_flip and draws[2]:
        mirror = np.array([0, height, 0, height], np.float32)
        scene = _rearranged(scene, lambda array: array[..., ::-1, :], lambda boxes: np.abs(mirror - boxes)[:, [0, 3, 2, 1]])
    return scene


def _rearranged(scene: Scene, arrays: Callable[[Array], Array], boxes: Callable[[Array], Array]) -> Scene:
    """Return the scene with `arrays` done to its images and mask and `boxes` to its boxes."""
    return Scene(
        [arrays(image) for image in scene.images],
        None if scene.mask is None else arrays(scene.mask),
        None if scene.boxes is None else boxes(scene.boxes),
        scene.box_labels,
    )


def _crop(scene: Scene, left: int, top: int, recipe: Recipe) -> Scene:
    """Cut the result out at whole pixels; `left` and `top` are negative where the scene is padded."""
    width, height = recipe.size
    images = [_window(image, left, top, width, height, _fill_of(image, recipe)) for image in scene.images]
    mask = None
    if scene.mask is not None:
        mask = _window(scene.mask[None], left, top, width, height, [IGNORE])[0]
    offset = np.array([left, top, left, top], np.float32)
    return _with_boxes(images, mask, None if scene.boxes is None else scene.boxes - offset, scene, recipe)


def _window(array: Array, left: int, top: int, width: int, height: int, fill: Sequence[float]) -> Array:
    """Return a new (bands, height, width) array cut from `array`, filled where it has nothing."""
    below, right = min(top + height, array.shape[1]), min(left + width, array.shape[2])
    inner = array[:, max(top, 0) : below, max(left, 0) : right]
    if inner.shape[1:] == (height, width):
        return np.array(inner, order="C")
    window = np.empty((len(array), height, width), array.dtype)
    window[:] = _column(fill, array.dtype)
    y, x = max(-top, 0), max(-left, 0)
    window[:, y : y + inner.shape[1], x : x + inner.shape[2]] = inner
    return window


def _resample(scene: Scene, matrix: NDArray[np.float64], centre: NDArray[np.float64], recipe: Recipe) -> Scene:
    """Resample once: images bilinearly, the mask by the nearest pixel."""
    height, width = scene.images[0].shape[1:]
    size = np.array(recipe.size)
    theta = np.empty((2, 3))  # in grid_sample's terms: both frames reach from -1 to 1, edge to edge
    theta[:, :2] = matrix * size / np.array([[width], [height]])
    theta[:, 2] = 2 * centre / (width, height) - 1
    grid = F.affine_grid(torch.from_numpy(theta).float()[None], [1, 1, int(size[1]), int(size[0])], align_corners=False)
    images = [_sampled(image, grid, "bilinear", _fill_of(image, recipe)) for image in scene.images]
    mask = None
    if scene.mask is not None:
        mask = _sampled(scene.mask[None], grid, "nearest", [IGNORE])[0]
    boxes = None
    if scene.boxes is not None:
        corners = scene.boxes[:, [[0, 1], [2, 1], [0, 3], [2, 3]]]  # (count, 4, 2)
        moved = (corners - centre) @ np.linalg.inv(matrix).T + size / 2
        boxes = np.concatenate([moved.min(1), moved.max(1)], axis=1)
    return _with_boxes(images, mask, boxes, scene, recipe)


def _sampled(array: Array, grid: Tensor, mode: str, fill: Sequence[float]) -> Array:
    """Return `array` (bands, height, width) at `grid`; beyond its edge stands `fill`."""
    work = _float_type(array.dtype)
    base = _column(fill, work)
    # sampled relative to the fill value, since grid_sample pads with zero
    relative = array.astype(work, order="C") - base
    if array.dtype.kind == "f":  # one NaN would spread to its neighbours
        np.nan_to_num(relative, copy=False, nan=0.0, posinf=0.0, neginf=0.0)
    source = torch.from_numpy(np.ascontiguousarray(relative))[None]
    sampled = F.grid_sample(source, grid.to(source.dtype), mode=mode, padding_mode="zeros", align_corners=False)[0].numpy()
    sampled += base
    return _cast(sampled, array.dtype)


def _with_boxes(
    images: list[Array], mask: NDArray[np.int16] | None, boxes: NDArray[Any] | None, scene: Scene, recipe: Recipe
) -> Scene:
    """Return the new scene with its boxes clipped to the result, and those dropped that hardly show."""
    if boxes is None:
        return Scene(images, mask, None, scene.box_labels)
    width, height = recipe.size
    clipped = np.clip(boxes, 0, np.array([width, height, width, height], np.float32)).astype(np.float32)
    sides = clipped[:, 2:] - clipped[:, :2]
    area = np.maximum((boxes[:, 2:] - boxes[:, :2]).prod(1), 1e-6)
    kept = (sides >= 1).all(1) & (sides.prod(1) >= recipe.visible * area)
    return Scene(images, mask, clipped[kept], None if scene.box_labels is None else scene.box_labels[kept])


# -- numbers


def _fill_of(image: Array, recipe: Recipe) -> Sequence[float]:
    """Return the fill per band: the recipe's, or the image's own means where it has other bands (a second raster)."""
    if len(image) == len(recipe.fill):
        return recipe.fill
    means: list[float] = np.nanmean(image, axis=(1, 2)).tolist()
    return means


def _column(values: Sequence[float], dtype: Any) -> Array:
    return np.asarray(values, np.float64).astype(dtype)[:, None, None]


def _float_type(dtype: Any) -> np.dtype[Any]:
    """Return the floating type that holds `dtype` exactly: float32 for 8 and 16 bits, float64 for wider integers."""
    return np.promote_types(dtype, np.float32)


def _cast(values: Array, dtype: np.dtype[Any]) -> Array:
    """Return floating `values` (overwritten) as `dtype`: rounded and held within its range where it is an integer."""
    if dtype.kind == "f":
        return values.astype(dtype, copy=False)
    limits = np.iinfo(dtype)
    np.rint(values, out=values)
    np.maximum(values, limits.min, out=values)
    np.minimum(values, limits.max, out=values)
    return values.astype(dtype)
