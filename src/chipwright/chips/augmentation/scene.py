"""Everything that belongs to one place moves together: all images of a scene, its mask, its objects and their boxes.

Flips and quarter turns are exact and keep the file's dtype; rotation, zoom and crop are one affine resampling, so that
nothing is interpolated twice. Light is changed before the geometry, so that ground from beyond the chip is the band's mean
exactly (0 once normalised), `IGNORE` in the mask, and no object.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from chipwright.chips.augmentation.geometry import Symmetry, draw_frame
from chipwright.chips.augmentation.pixels import Array, relit
from chipwright.chips.augmentation.recipe import Recipe
from chipwright.chips.chipset import IGNORE
from chipwright.chips.instances import boxes_of


@dataclass
class Scene:
    """What is changed together. All images, the mask and the instances cover the same pixels.

    Attributes:
        images: each (bands, height, width) in the file's dtype; bands and dtypes may differ.
        mask: int16 (height, width) class indices, `IGNORE` where unknown.
        instances: int32 (layers, height, width): pixels of the i-th object hold i + 1, others 0. Objects that overlap stand
            on different layers. `chipwright.chips.instances.joined` makes it of what a reader gives.
        boxes: float32 (count, 4) as xmin, ymin, xmax, ymax in pixels. Of a changed scene with instances: around these.
        box_labels: int64 (count,) of the objects.
    """

    images: list[Array]
    mask: NDArray[np.int16] | None = None
    boxes: NDArray[np.float32] | None = None
    box_labels: NDArray[np.int64] | None = None
    instances: NDArray[np.int32] | None = None


def apply(scene: Scene, recipe: Recipe, rng: np.random.Generator) -> Scene:
    """Return the scene changed by `recipe`, every array new, of `recipe.size` and of its own dtype. Random only through `rng`.

    Objects with less than the recipe's visible share of their area left go with their labels; the others are numbered anew.
    Without instances, boxes are the upright hulls of their moved corners, clipped to the result; those under a pixel wide
    or high go as well.
    """
    augmentation = recipe.augmentation
    lit = [relit(image, recipe.tones[index], augmentation, rng) for index, image in enumerate(scene.images)]
    height, width = lit[0].shape[1:]
    symmetry = Symmetry.drawn((width, height), augmentation, rng)
    frame = draw_frame(symmetry.size, recipe.size, augmentation, rng)
    images = [
        (frame.nearest if tones.thematic else frame.smooth)(symmetry.pixels(image), tones.fill)
        for image, tones in zip(lit, recipe.tones, strict=False)
    ]
    result = Scene(images, box_labels=scene.box_labels)
    if scene.mask is not None:
        result.mask = frame.nearest(symmetry.pixels(scene.mask)[None], [IGNORE])[0]
    if scene.instances is not None:
        moved = frame.nearest(symmetry.pixels(scene.instances), [0] * len(scene.instances))
        least = augmentation.visible * frame.scale
        result.instances, result.boxes, kept = _visible_instances(scene.instances, scene.box_labels, moved, least)
    elif scene.boxes is not None:
        result.boxes, kept = _visible_boxes(frame.boxes(symmetry.boxes(scene.boxes)), recipe.size, augmentation.visible)
    else:
        return result
    if scene.box_labels is not None:
        result.box_labels = scene.box_labels[kept]
    return result


def _visible_instances(
    instances: NDArray[np.int32],
    labels: NDArray[np.int64] | None,
    moved: NDArray[np.int32],
    least: float,
) -> tuple[NDArray[np.int32], NDArray[np.float32], NDArray[np.bool_]]:
    """Return the moved objects of which at least a share shows, numbered anew, their boxes, and which of the old they are."""
    count = int(instances.max(initial=0)) if labels is None else len(labels)
    before, after = (np.bincount(array.ravel(), minlength=count + 1)[1:] for array in (instances, moved))
    kept = after >= np.maximum(1, least * before)
    numbers = np.concatenate([[0], np.cumsum(kept) * kept]).astype(np.int32)
    shown = numbers[moved]
    return shown, boxes_of(shown, int(kept.sum())), kept


def _visible_boxes(boxes: Array, size: tuple[int, int], visible: float) -> tuple[NDArray[np.float32], NDArray[np.bool_]]:
    """Return the boxes clipped to the result without those that hardly show, and which of them stayed."""
    clipped = np.clip(boxes, 0, np.array([*size, *size], np.float32)).astype(np.float32)
    sides = clipped[:, 2:] - clipped[:, :2]
    area = np.maximum((boxes[:, 2:] - boxes[:, :2]).prod(1), 1e-6)
    kept = (sides >= 1).all(1) & (sides.prod(1) >= visible * area)
    return clipped[kept], kept
