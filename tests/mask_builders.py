"""Toy exports with instance masks, in the manner of `builders`: squares on dark ground, an object each."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import builders
import numpy as np
from builders import Box

SIZE = 32

LOW: Box = (2, 2, 10, 12)
HIGH: Box = (18, 16, 30, 30)


def discs(
    folder: Path,
    count: int = 8,
    size: int = 64,
    bands: int = 3,
    dtype: str = "uint8",
    class_values: Sequence[int] = (1, 2),
    seed: int = 0,
    *,
    objects: int = 2,
    empty: int = 0,
) -> Path:
    """Write RCNN_Masks in the manner of `builders.voc`: bright discs on dark ground, a colour a class, none touching another.

    Args:
        objects: discs a chip, taking turns through the classes; every chip has a mask of each class.
        empty: how many of the chips, the last ones, hold no object.
    """
    rng = np.random.default_rng(seed)
    classes = list(zip(class_values, builders.class_names(class_values), strict=True))
    down, across = np.mgrid[:size, :size] + 0.5
    images, rows = [], []
    for index in range(count):
        image = np.full((bands, size, size), 0.1)
        masks = {name: np.zeros((size, size), "uint8") for _, name in classes}
        found = builders.squares(objects, size, rng) if index < count - empty else []
        for turn, (left, top, right, bottom) in enumerate(found):
            position = (turn + index) % len(classes)
            disc = (across - (left + right) / 2) ** 2 + (down - (top + bottom) / 2) ** 2 <= ((right - left) / 2) ** 2
            image[:, disc] = builders.signature(position, len(classes), bands)[:, None]
            mask = masks[classes[position][1]]
            mask[disc] = mask.max() + 1
        images.append(builders.paint(image, dtype, rng))
        builders.write_raster(folder / "images" / f"{stem_of(index)}.tif", images[-1])
        for name, mask in masks.items():
            builders.write_raster(mask_path(folder, index, name), mask)
        labels = "".join(f" labels\\{name}\\{stem_of(index)}.tif" for name in masks)
        rows.append(f"images\\{stem_of(index)}.tif {labels}")
    builders.write_metadata(folder, "RCNN_Masks", images, classes, rows)
    return folder


def stem_of(index: int) -> str:
    return f"{index:012d}"


def mask_path(folder: Path, index: int, of: str, labels: str = "labels", suffix: str = "tif") -> Path:
    """Return the mask of the index-th chip in the folder of a class or a video."""
    return folder / labels / of / f"{stem_of(index)}.{suffix}"


def rcnn_masks(
    folder: Path,
    chips: Sequence[dict[str, list[Box]]] | int = 4,
    classes: Sequence[tuple[int, str]] = ((1, "Tree"), (4, "Roof")),
    *,
    dtype: str = "uint8",
    suffix: str = "tif",
    image_suffix: str = "tif",
    esri: bool = True,
    metadata: dict[str, Any] | None = None,
) -> Path:
    """Write RCNN_Masks.

    Args:
        chips: for each chip the folders it has a mask in, with the boxes (whole numbers) of the objects; or a count of
            chips with two objects in each class.
        classes: (value, name) pairs, in the metadata.
        dtype, suffix: of masks; `image_suffix` of images.
        esri: write the Esri files.
        metadata: further keys of the .emd.
    """
    if isinstance(chips, int):
        chips = [random_objects(index, [name for _, name in classes]) for index in range(chips)]
    images, rows = [], []
    for index, objects in enumerate(chips):
        boxes = [box for of_class in objects.values() for box in of_class]
        image = picture(boxes, index)
        images.append(image)
        builders.write_raster(folder / "images" / f"{stem_of(index)}.{image_suffix}", image)
        for name, of_class in objects.items():
            builders.write_raster(mask_path(folder, index, name, suffix=suffix), painted(of_class, dtype))
        labels = "".join(f" labels\\{name}\\{stem_of(index)}.{suffix}" for name in objects)
        rows.append(f"images\\{stem_of(index)}.{image_suffix} {labels}")
    (folder / "labels").mkdir(exist_ok=True)
    if esri:
        builders.write_metadata(folder, "RCNN_Masks", images, classes, rows, extra=metadata)
    return folder


def random_objects(index: int, names: Sequence[str]) -> dict[str, list[Box]]:
    """Return two boxes for each name, none touching another."""
    found: list[Box] = list(builders.squares(2 * len(names), SIZE, np.random.default_rng(index)))
    return {name: found[turn :: len(names)] for turn, name in enumerate(names)}


def picture(boxes: Sequence[Box], seed: int) -> np.ndarray:
    image = np.full((3, SIZE, SIZE), 0.1)
    for left, top, right, bottom in boxes:
        image[:, int(top) : int(bottom), int(left) : int(right)] = 0.9
    return builders.paint(image, "uint8", np.random.default_rng(seed))


def painted(boxes: Sequence[Box], dtype: str = "uint8", first: int = 1) -> np.ndarray:
    """Return a mask of boxes that do not overlap, numbered from `first`."""
    mask = np.zeros((SIZE, SIZE), dtype)
    for number, (left, top, right, bottom) in enumerate(boxes, first):
        mask[int(top) : int(bottom), int(left) : int(right)] = number
    return mask


def panoptic(folder: Path, count: int = 4, *, metadata: dict[str, Any] | None = None) -> Path:
    """Write Panoptic_Segmentation: Field and Roof in labels, the roofs counted in labels2, none in the last chip."""
    images, rows = [], []
    for index in range(count):
        roofs = random_objects(index, ["Roof"])["Roof"] if index < count - 1 else []
        label = np.ones((SIZE, SIZE), "uint8")
        label[painted(roofs) > 0] = 3
        images.append(picture(roofs, index))
        builders.write_raster(folder / "images" / f"{stem_of(index)}.tif", images[-1])
        builders.write_raster(folder / "labels" / f"{stem_of(index)}.tif", label)
        if roofs:
            builders.write_raster(mask_path(folder, index, "Roof", "labels2"), painted(roofs))
        rows.append(builders.map_row(stem_of(index), "tif", "tif"))
    things = {"Panoptic_Segmentation_Instance_Classes": [{"Value": 3, "Name": "Roof"}]}
    extra = things | (metadata or {})
    builders.write_metadata(folder, "Panoptic_Segmentation", images, [(1, "Field"), (3, "Roof")], rows, extra=extra)
    return folder


def moving(frame: int) -> list[Box]:
    """Return the boxes of two objects in a frame: both wander to the right."""
    return [(frame, 2, frame + 10, 12), (frame + 1, 20, frame + 9, 28)]


def tracking(
    folder: Path,
    videos: Sequence[str] = ("ferry", "truck"),
    frames: int = 4,
    classes: Sequence[tuple[int, str]] = ((1, "ferry"), (2, "truck")),
    *,
    suffix: str = "png",
    esri: bool = True,
) -> Path:
    """Write videos in the exporter's layout: JPEG frames numbered on, masks in labels/<video>; object 1 leaves at the end."""
    images, rows = [], []
    for turn, video in enumerate(videos):
        for frame in range(frames):
            index = turn * frames + frame
            mask = painted(moving(frame))
            if frame == frames - 1:
                mask[mask == 1] = 0
            images.append(picture(moving(frame), index))
            builders.write_raster(folder / "images" / f"{stem_of(index)}.jpg", images[-1])
            builders.write_raster(mask_path(folder, index, video, suffix=suffix), mask)
            rows.append(f"images\\{stem_of(index)}.jpg  labels\\{video}\\{stem_of(index)}.{suffix}")
    if esri:
        builders.write_metadata(folder, "RCNN_Masks", images, classes, rows)
    return folder


def youtube_vos(folder: Path, videos: Sequence[str] = ("0043f083b5", "00f88c4f0a"), frames: int = 3) -> Path:
    """Write videos as YouTube-VOS has them: palette masks of every fifth frame, and each second frame without one."""
    colors = {0: (0, 0, 0), 1: (236, 95, 103), 2: (249, 145, 87)}
    meta: dict[str, Any] = {}
    for video in videos:
        for frame in range(frames):
            shown, hidden = f"{frame * 10:05d}", f"{frame * 10 + 5:05d}"
            for stem in (shown, hidden):
                builders.write_raster(folder / "JPEGImages" / video / f"{stem}.jpg", picture(moving(frame), frame))
            builders.write_raster(folder / "Annotations" / video / f"{shown}.png", painted(moving(frame)), colormap=colors)
        listed = [f"{frame * 10:05d}" for frame in range(frames)]
        meta[video] = {"objects": {str(number): {"category": "boat", "frames": listed} for number in (1, 2)}}
    (folder / "meta.json").write_text(json.dumps({"videos": meta}), encoding="utf-8")
    return folder


def time_series(
    folder: Path,
    count: int = 3,
    dates: Sequence[Any] = (42_196, 42_246, 42_256),
    variables: Sequence[str] = ("NDVI", "CLP"),
    classes: Sequence[tuple[int, str]] = ((2, "forest"), (3, "grass")),
    *,
    bands: int | None = None,
    metadata: dict[str, Any] | None = None,
) -> Path:
    """Write a time series: float32 chips of all dates, a quarter the samples of each class, NaN in the first date's corner."""
    rng = np.random.default_rng(0)
    images, rows = [], []
    depth = bands or len(dates) * len(variables)
    for index in range(count):
        image = rng.random((depth, 8, 8)).astype("float32")
        images.append(image)
        holed = image.copy()
        holed[:, :2, :2][: len(variables)] = np.nan
        builders.write_raster(folder / "images" / f"{stem_of(index)}.tif", holed)
        for turn, (value, _) in enumerate(classes):
            mask = np.zeros((8, 8), "uint8")
            mask[4 * turn : 4 * turn + 4, :4] = 1
            builders.write_raster(mask_path(folder, index, str(value)), mask)
        rows.append(f"images\\{stem_of(index)}.tif  labels\\2\\{stem_of(index)}.tif")
    extra = {
        "IsMultidimensional": True,
        "DimensionValues": list(dates),
        "InputRastersProps": {"RasterCount": 1, "SensorName": "Undefined", "BandNames": list(variables)},
    }
    builders.write_metadata(folder, "RCNN_Masks", images, classes, rows, statistics=False, extra=extra | (metadata or {}))
    return folder


def seasons(folder: Path, count: int = 8, size: int = 16, bands: int = 2, dtype: str = "float32", dates: int = 4) -> Path:
    """Write a time series of `bands` variables: the values of one class rise through the year, those of the other fall."""
    rng = np.random.default_rng(0)
    images, rows = [], []
    rising = np.linspace(0.2, 0.8, dates)[:, None, None, None]
    for index in range(count):
        first = np.zeros((size, size), bool)
        first[: size // 2, :] = True
        if index % 2:
            first = first.T
        course = np.where(first, rising, rising[::-1]) * np.ones((dates, bands, size, size))
        noisy = (course + rng.normal(0, 0.05, course.shape)).reshape(dates * bands, size, size).clip(0, 1)
        scale = 1 if np.dtype(dtype).kind == "f" else np.iinfo(dtype).max
        images.append((noisy * scale).astype(dtype))
        builders.write_raster(folder / "images" / f"{stem_of(index)}.tif", images[-1])
        for value, pixels in ((2, first), (3, ~first)):
            builders.write_raster(mask_path(folder, index, str(value)), pixels.astype("uint8"))
        rows.append(f"images\\{stem_of(index)}.tif  labels\\2\\{stem_of(index)}.tif")
    extra = {
        "IsMultidimensional": True,
        "DimensionValues": [42_196 + 30 * at for at in range(dates)],
        "InputRastersProps": {
            "RasterCount": 1,
            "SensorName": "Undefined",
            "BandNames": [f"Variable {at}" for at in range(bands)],
        },
    }
    classes = ((2, "forest"), (3, "grass"))
    builders.write_metadata(folder, "RCNN_Masks", images, classes, rows, statistics=False, extra=extra)
    return folder
