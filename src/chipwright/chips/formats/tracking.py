"""Object tracking: frames of videos with the numbers of their objects, the same object having the same number in all frames.

Two layouts are read:

- the exporter's, which is that of RCNN_Masks: all frames in `images`, numbered on from video to video, and their masks in
  `labels/<video>`. What tells it from RCNN_Masks is in `chipwright.chips.formats.tracking_evidence`.
- that of YouTube-VOS (https://youtube-vos.org): `JPEGImages/<video>/<frame>.jpg`, `Annotations/<video>/<frame>.png` and,
  optional, `meta.json`. The masks say which objects there are; meta.json only which videos there should be.

A tracker learns from pairs of frames with masks: frames without one are dropped, and counted.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np

from chipwright.chips.chipset import Chip
from chipwright.chips.formats.classes import DraftClass, Lookup, declared
from chipwright.chips.formats.esri import Export, counted
from chipwright.chips.formats.mask_folders import (
    Masks,
    countable,
    folders_in,
    inner_folders,
    labelled,
    labels_folder,
    with_masks,
)
from chipwright.chips.formats.mask_survey import Masked, survey_masks
from chipwright.chips.formats.pairing import IMAGE_SUFFIXES, Sample, stems
from chipwright.chips.formats.part import Part, assemble
from chipwright.chips.formats.survey import check_type, survey
from chipwright.chips.formats.texts import read_object
from chipwright.errors import DataError, listed

KEYWORD = "ObjectTracking"

OBJECT = DraftClass(1, "Object")
"""The class of all objects where the export declares none."""

META = "meta.json"


@dataclass
class _Frames:
    """The annotated frames of all videos, by the names of their chips: masks, and (video, number of the frame)."""

    classes: tuple[DraftClass, ...]
    masks: dict[str, Masks] = field(default_factory=dict)
    places: dict[str, tuple[str, int]] = field(default_factory=dict)

    def add(self, video: str, paths: Mapping[str, Path]) -> None:
        """Add the masks of one video, by the names of their chips and in the order of names."""
        value = Lookup(self.classes)(video) or self.classes[0].value
        whole = all(path.stem.isdecimal() for path in paths.values())
        for place, (name, path) in enumerate(paths.items()):
            self.masks[name] = ((value, path),)
            self.places[name] = (video, int(path.stem) if whole else place)


def read_tracking(export: Export) -> Part:
    """Return the annotated frames, with the video of each, its number, its mask, and the boxes and numbers of its objects.

    A mask is of the class that its video is called by; where that is none, of the lowest class declared, or of "Object": what
    is tracked does not depend on the class. Frames are numbered by their file stems where these are whole numbers in all of a
    video, else by their order.

    Raises:
        DataError: if no frame has a mask, frames differ in bands or pixel type, masks do not fit their frames, or too many
            files are damaged.
    """
    frames = _Frames(countable(export, declared(export)) or (OBJECT,))
    samples = _from_videos(export, *videos, frames) if (videos := video_folders(export)) else _from_labels(export, frames)
    found = survey(export, samples)
    check_type(export, found)
    masked = survey_masks(export, found, frames.masks)
    chips = [_chip(one, *frames.places[one.found.sample.name]) for one in masked]
    return assemble(export, KEYWORD, [one.found for one in masked], chips, frames.classes)


def _chip(one: Masked, video: str, number: int) -> Chip:
    ids = np.concatenate([facts.ids for facts in one.facts])
    return replace(one.outlined(one.found.chip()), sequence=video, frame=number, identities=ids)


def video_folders(export: Export) -> tuple[Path, Path] | None:
    """Return the folders (JPEGImages, Annotations) of a folder in YouTube-VOS's layout, or None."""
    images, labels = export.directory("JPEGImages"), export.directory("Annotations")
    if images is None or labels is None or not (inner_folders(images)[0] and inner_folders(labels)[0]):
        return None
    return images, labels


def _from_videos(export: Export, images: Path, labels: Path, frames: _Frames) -> list[Sample]:
    annotated = {folder.name: folder for folder in folders_in(export, labels, "one for each video")}
    samples = []
    there = set()
    for video in folders_in(export, images, "one for each video"):
        for stem, path in stems(video, IMAGE_SUFFIXES)[0].items():
            samples.append(Sample(f"{video.name}/{stem}", (path,)))
        if video.name in annotated:
            masks = stems(annotated[video.name], IMAGE_SUFFIXES)[0]
            frames.add(video.name, {f"{video.name}/{stem}": path for stem, path in masks.items()})
            there |= {video.name} if masks else set()
    if not samples:
        raise DataError(f"{images} holds folders and no frames in them; expected files such as 00000.jpg.")
    _check_meta(export, there)
    return with_masks(export, samples, frames.masks)


def _check_meta(export: Export, there: set[str]) -> None:
    name = export.entries.get(META)
    if name is None:
        return
    videos = read_object(export.root / name)[0].get("videos")
    missing = sorted(set(videos) - there) if isinstance(videos, dict) else []
    if missing:
        export.account.warnings.append(
            f"{name} lists {counted(len(missing), 'video')} without masks in {export.root} ({listed(missing)}); the "
            "rest is used."
        )


def _from_labels(export: Export, frames: _Frames) -> list[Sample]:
    repeated = []
    for folder in folders_in(export, labels_folder(export), "one for each video"):
        masks = stems(folder, IMAGE_SUFFIXES)[0]
        repeated += [f"{folder.name}/{stem}" for stem in masks if stem in frames.masks]
        frames.add(folder.name, {stem: path for stem, path in masks.items() if stem not in frames.masks})
    if repeated:
        export.account.warnings.append(
            f"Found {counted(len(repeated), 'mask')} of frames that belong to another video already ({listed(repeated)}); a "
            "frame belongs to one, and these were left out."
        )
    return labelled(export, frames.masks)
