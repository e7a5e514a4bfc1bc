"""What tells videos from objects by class, where both lie in the layout of RCNN_Masks."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import pairwise
from pathlib import Path

import numpy as np
from rasterio.errors import RasterioError

from chipwright.chips.formats.classes import Lookup, declared
from chipwright.chips.formats.esri import Export
from chipwright.chips.formats.mask_folders import inner_folders
from chipwright.chips.formats.mask_survey import MOST_OBJECTS, MaskFacts, look_at_mask
from chipwright.chips.formats.pairing import IMAGE_SUFFIXES, stems
from chipwright.errors import listed

_PICTURES = (".png", ".jpg", ".jpeg")
"""Suffixes of masks that the exporter does not write for RCNN_Masks."""

_VIDEOS, _PAIRS = 8, 4
"""Videos, and pairs of neighbouring frames in each, that are looked at."""

_STILL = 0.3
"""Overlap (intersection over union of boxes) from which on an object counts as having stayed from one frame to the next."""


def tracking_evidence(export: Export) -> str | None:
    """Return what tells that a folder in the layout of RCNN_Masks holds videos, or None where it holds objects by class.

    In both there are folders with a mask for each image. In videos each image is in one folder only. Beyond that, either

    - the folders are called like none of the classes declared, and the masks are PNG or JPEG, which the exporter does not write
      for RCNN_Masks; or
    - there are two folders or more, images are numbered on from folder to folder, and in images next to each other objects of
      the same number are in the same place. Chips of a map may happen to be sorted by class, but show different ground.
    """
    labels = export.directory("labels")
    if labels is None:
        return None
    videos = {folder.name: stems(folder, IMAGE_SUFFIXES)[0] for folder in inner_folders(labels)[0]}
    videos = {name: frames for name, frames in videos.items() if frames}
    order = sorted((int(stem), name) for name, frames in videos.items() for stem in frames if stem.isdecimal())
    count = sum(map(len, videos.values()))
    if not videos or len(order) < count or len({number for number, _ in order}) < count:
        return None
    alone = f"each image has a mask in one of the folders {listed(videos)} in {labels.name} only"
    classes = declared(export)
    value_of = Lookup(classes)
    pictures = all(path.suffix.lower() in _PICTURES for frames in videos.values() for path in frames.values())
    if classes and pictures and all(value_of(name) is None for name in videos):
        return f"{alone}, which are called like no class"
    changes = sum(name != before for (_, before), (_, name) in pairwise(order))
    if len(videos) < 2 or changes != len(videos) - 1:
        return None
    overlaps = [overlap for frames in list(videos.values())[:_VIDEOS] for overlap in _overlaps(list(frames.values()))]
    still = float(np.median(overlaps)) if overlaps else 0.0
    if still < _STILL:
        return None
    return f"{alone}, one folder after the other, and their objects stay in place from image to image ({still:.0%} overlap)"


def _overlaps(paths: Sequence[Path]) -> Iterator[float]:
    """Yield how much each object in a few frames overlaps itself in the next, 0 to 1."""
    if len(paths) < 2:
        return
    for start in np.unique(np.linspace(0, len(paths) - 2, _PAIRS).astype(int)).tolist():
        first, second = _mask(paths[start]), _mask(paths[start + 1])
        if first is not None and second is not None:
            yield from _shared_overlaps(first, second)


def _mask(path: Path) -> MaskFacts | None:
    """Return what a mask holds; None where it cannot be read, or holds so many values that it is none."""
    try:
        found = look_at_mask(path)
    except (RasterioError, OSError, ValueError):
        return None
    return found if isinstance(found, MaskFacts) and len(found.ids) <= MOST_OBJECTS else None


def _shared_overlaps(first: MaskFacts, second: MaskFacts) -> Iterator[float]:
    _, ours, theirs = np.intersect1d(first.ids, second.ids, return_indices=True)
    if len(first.ids) and len(second.ids) and not len(ours):
        yield 0.0
    for one, other in zip(first.boxes[ours], second.boxes[theirs], strict=True):
        width, height = np.minimum(one[2:], other[2:]) - np.maximum(one[:2], other[:2])
        common = max(float(width), 0.0) * max(float(height), 0.0)
        yield common / (float(np.prod(one[2:] - one[:2]) + np.prod(other[2:] - other[:2])) - common)
