"""Looking at every instance mask once, when a folder is opened: whether it can be read, and the objects it holds."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from rasterio.errors import RasterioError

from chipwright.chips.chipset import Chip
from chipwright.chips.formats.esri import Export, counted
from chipwright.chips.formats.mask_folders import Masks
from chipwright.chips.formats.survey import Damaged, Surveyed, check_content, check_memory, drop_damaged, real_type
from chipwright.chips.instances import boxes_of, numbered
from chipwright.chips.reading import in_threads, instance_ids, opened_for_pixels
from chipwright.errors import DataError, listed

MOST_OBJECTS = 2**16
"""Objects that a mask may hold. One with more is a picture, or elevations, and no mask."""

TOO_MANY = "too many objects for a mask"


@dataclass(frozen=True, slots=True, eq=False)
class MaskFacts:
    """What a mask holds.

    Attributes:
        boxes: float32 (count, 4) around its objects, in the order of `chipwright.chips.instances`.
        ids: int64 (count,) of the objects, as in the file.
        pixels: how many belong to any object.
    """

    boxes: NDArray[np.float32]
    ids: NDArray[np.int64]
    pixels: int


@dataclass(frozen=True, slots=True, eq=False)
class Masked:
    """A chip whose masks can all be read, and the facts of each."""

    found: Surveyed
    masks: Masks
    facts: tuple[MaskFacts, ...]

    def outlined(self, chip: Chip) -> Chip:
        """Return the chip with the masks, and the boxes around their objects."""
        boxes = [facts.boxes for facts in self.facts]
        values = [np.full(len(facts.boxes), value, np.int64) for (value, _), facts in zip(self.masks, self.facts, strict=True)]
        return replace(
            chip,
            masks=self.masks,
            boxes=np.concatenate(boxes or [np.empty((0, 4), np.float32)]),
            box_values=np.concatenate(values or [np.empty(0, np.int64)]),
        )


@dataclass(frozen=True, slots=True)
class _Resized:
    name: str
    mask: tuple[int, int]
    image: tuple[int, int]


def survey_masks(export: Export, chips: Sequence[Surveyed], masks: Mapping[str, Masks]) -> list[Masked]:
    """Return the chips whose masks can be read, in order; those with a damaged one are counted in the export's account.

    Args:
        export: the folder.
        chips: what `survey` found.
        masks: those of each chip, by its name; chips without any are kept.

    Raises:
        DataError: if a mask has another size than its image, or too many are damaged.
    """
    found: list[Masked] = []
    damaged: list[Damaged] = []
    resized: list[_Resized] = []
    for result in in_threads(partial(_look, masks=masks), chips, "Reading masks"):
        match result:
            case Masked():
                found.append(result)
            case Damaged():
                damaged.append(result)
            case _Resized():
                resized.append(result)
    if resized:
        first = resized[0]
        raise DataError(
            f"{export.root} has {counted(len(resized), 'chip')} with a mask of another size than the image "
            f"({listed(one.name for one in resized)}; {first.name} has a mask of {first.mask[0]} x {first.mask[1]} pixels "
            f"under an image of {first.image[0]} x {first.image[1]}). Export these chips again, or remove them."
        )
    drop_damaged(export, damaged, len(chips))
    lossy = [path.name for one in found for _, path in one.masks if path.suffix.lower() in (".jpg", ".jpeg")]
    if lossy:
        export.account.warnings.append(
            f"Found {counted(len(lossy), 'mask')} stored as JPEG ({listed(lossy)}), which changes numbers of objects: what was "
            "one object may be several now. Store masks as TIFF or PNG."
        )
    return found


def _look(chip: Surveyed, masks: Mapping[str, Masks]) -> Masked | Damaged | _Resized:
    mine = masks.get(chip.sample.name, ())
    size = chip.images[0].size
    facts = []
    for _, path in mine:
        try:
            result = look_at_mask(path, size)
        except (RasterioError, OSError, ValueError) as error:
            return Damaged(path.name, str(error.__cause__ or error).strip())
        if not isinstance(result, MaskFacts):
            return _Resized(chip.sample.name, result, size)
        if len(result.ids) > MOST_OBJECTS:
            reason = f"it holds {len(result.ids)} different values, a mask numbers at most {MOST_OBJECTS} objects"
            return Damaged(path.name, reason, TOO_MANY)
        facts.append(result)
    return Masked(chip, mine, tuple(facts))


def look_at_mask(path: Path, size: tuple[int, int] | None = None) -> MaskFacts | tuple[int, int]:
    """Return what a mask holds, or its size as (width, height) where that is not the one given.

    Raises:
        RasterioError, OSError, ValueError: if it cannot be read.
    """
    check_content(path)
    with opened_for_pixels(path) as file:
        if size is not None and (file.width, file.height) != size:
            return file.width, file.height
        dtype = real_type(file)
        if dtype is None:
            raise ValueError(f"it has {file.dtypes[0]} pixels, which number no objects")
        check_memory(file, dtype, path)
        instances, ids = numbered(instance_ids(file.read(), file.nodata))
    boxes = boxes_of(instances, len(ids)) if len(ids) <= MOST_OBJECTS else np.empty((0, 4), np.float32)
    return MaskFacts(boxes, ids, int((instances > 0).any(axis=0).sum()))
