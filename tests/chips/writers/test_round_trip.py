"""Readers and writers are pairs: random training data, written and read, come back equal."""

from __future__ import annotations

import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from chipwright import console
from chipwright.chips.chipset import Chip, ChipSet, ClassInfo, GeoReference
from chipwright.chips.folders import read_chips
from chipwright.chips.formats.table import FORMATS
from chipwright.chips.reading import ChipReader, read_image, valid_pixels
from chipwright.chips.writers.convert import convert
from chipwright.chips.writers.new_chip import ChipFormat, ExportFacts, NewChip, NewObject
from chipwright.chips.writers.table import WRITERS
from chipwright.chips.writers.writing import open_writer

UNLISTED = ("Export_Tiles", "CycleGAN", "ImageCaptioning")
RECTANGLES = ("PASCAL_VOC_rectangles", "KITTI_rectangles", "COCO_rectangles", "YOLO_rectangles")
MASKS = ("RCNN_Masks", "TimeSeries", "ObjectTracking", "Panoptic_Segmentation")
LABELS = ("Classified_Tiles", "ChangeDetection", "Panoptic_Segmentation")
READABLE = [keyword for keyword in WRITERS if FORMATS[keyword].read is not None]

PIXELS: dict[ChipFormat, tuple[str, ...]] = {
    "TIFF": ("uint8", "int8", "uint16", "int16", "uint32", "int32", "float32", "float64"),
    "MRF": ("uint8", "uint16", "int16", "int32", "float32"),
    "PNG": ("uint8", "uint16"),
    "JPEG": ("uint8",),
}
NAMES = st.text(st.sampled_from("abZ éüßñ&<>\"'.,;:/|?%#-_9水Ω"), min_size=1, max_size=8).filter(
    lambda name: name == name.strip()
)


@dataclass
class Written:
    facts: ExportFacts
    dtype: str
    chips: list[NewChip]


@st.composite
def exports(draw: st.DrawFn, keyword: str) -> Written:
    rng = np.random.default_rng(draw(st.integers(0, 2**32)))
    chip_format: ChipFormat = draw(st.sampled_from(list(PIXELS)))
    dtype = draw(st.sampled_from(PIXELS[chip_format]))
    bands = draw(st.sampled_from((1, 3) if chip_format == "JPEG" else (1, 2, 3, 4) if chip_format == "PNG" else (1, 3, 4, 6)))
    width, height = draw(st.integers(8, 16)), draw(st.integers(8, 16))
    values = draw(st.lists(st.integers(1, 300), min_size=1, max_size=1 if keyword == "ChangeDetection" else 4, unique=True))
    names = draw(st.lists(NAMES, min_size=len(values), max_size=len(values)))
    classes = tuple(
        ClassInfo(value=value, name=name, color=tuple(rng.integers(0, 256, 3).tolist()))
        for value, name in zip(sorted(values), names, strict=True)
    )
    nodata = draw(st.sampled_from((None, 0.0, 100.0)))
    dates = 2 if keyword == "TimeSeries" else 1
    variables = tuple(f"Band {band} <é>" for band in range(bands))
    if (bands * dates > 4 and chip_format == "PNG") or (bands * dates != 3 and chip_format == "JPEG" and dates > 1):
        chip_format = "TIFF"
    if dates > 1 and chip_format == "JPEG":
        chip_format = "TIFF"
    pairs = keyword == "ChangeDetection" or (keyword == "Export_Tiles" and draw(st.booleans()))
    facts = ExportFacts(
        classes=() if keyword in UNLISTED else classes,
        bands=variables * dates,
        tile_size=(width, height),
        second_bands=tuple(f"Second {band}" for band in range(bands)) if pairs or keyword == "CycleGAN" else (),
        chip_format=chip_format,
        start_index=draw(st.sampled_from((0, 7))),
        nodata=nodata,
        cell_size=(0.5, 0.25),
        wkid=32633,
        image_space=draw(st.sampled_from(("MAP_SPACE", "PIXEL_SPACE"))),
        instance_classes=tuple(value for value in sorted(values) if draw(st.booleans()))
        if keyword == "Panoptic_Segmentation"
        else (),
        metadata={"BlackenAroundFeature": draw(st.booleans())} | ({"DimensionValues": [42_000, 42_010]} if dates > 1 else {}),
    )
    shape = (bands * dates, height, width)
    georeferenced = draw(st.sampled_from(("", "north up", "turned")))
    count = draw(st.integers(1, 3))
    chips = []
    for index in range(count * (2 if keyword == "CycleGAN" else 1)):
        objects = tuple(_object(rng, classes, width, height) for _ in range(rng.integers(0, 5)))
        several = tuple(sorted({rng.choice(values).item() for _ in range(rng.integers(index > 0, 4))} or {values[0]}))
        transform = {
            "north up": (0.5, 0.0, 1000.0 + index, 0.0, -0.25, 2000.5),
            "turned": (0.4, 0.3, 1 / 3 + index, 0.3, -0.4, 2e6 / 7),
        }.get(georeferenced)
        label = rng.choice([0, *values], size=(height, width))
        chips.append(
            NewChip(
                images=tuple(_pixels(rng, shape, dtype, nodata) for _ in range(2 if pairs else 1)),
                label=label if keyword in LABELS else None,
                objects=() if keyword in UNLISTED else objects,
                values=() if keyword in UNLISTED else several if keyword == "MultiLabeled_Tiles" else several[:1],
                texts=("a < b & c", "dé") if keyword == "ImageCaptioning" else (),
                sequence=f"video {index % 2}" if keyword == "ObjectTracking" else None,
                georeference=GeoReference(transform, "EPSG:32633", width, height) if transform else None,
                domain=index % 2 if keyword == "CycleGAN" else 0,
            )
        )
    return Written(facts, dtype, chips)


def _pixels(rng: np.random.Generator, shape: tuple[int, ...], dtype: str, nodata: float | None) -> NDArray[Any]:
    pixels = rng.integers(1, 99, shape).astype(dtype)  # never 0 or 100
    if np.dtype(dtype).kind == "f":
        pixels += rng.random(shape).astype(dtype) / 2
        pixels[0, 0, 0] = np.nan
    if nodata is not None:
        pixels[:, -3:, -2:] = nodata
    return pixels


def _object(rng: np.random.Generator, classes: Sequence[ClassInfo], width: int, height: int) -> NewObject:
    left, top = rng.random() * (width - 3), rng.random() * (height - 3)
    right, bottom = left + 2 + rng.random() * (width - left - 2), top + 2 + rng.random() * (height - top - 2)
    mask = np.zeros((height, width), bool)
    mask[int(top) : int(bottom), int(left) : int(right)] = True
    value = classes[rng.integers(len(classes))].value
    return NewObject(value, (left, top, min(right, width), min(bottom, height)), mask)


@pytest.mark.parametrize("keyword", READABLE)
@settings(max_examples=6, deadline=None, derandomize=True, suppress_health_check=list(HealthCheck))
@given(data=st.data())
def test_what_is_written_reads_back_equal(keyword: str, data: st.DataObject) -> None:
    written = data.draw(exports(keyword))
    with tempfile.TemporaryDirectory() as folder, console.quiet():
        first, second = Path(folder) / "first", Path(folder) / "second"
        with open_writer(first, keyword, written.facts) as writer:
            names = [writer.write(chip) for chip in written.chips]
        read = read_chips(first)
        assert_equal(keyword, written, names, read)
        convert(first, second, keyword)  # and what is read writes back equal
        assert_equal(keyword, written, names, read_chips(second))


def assert_equal(keyword: str, written: Written, names: Sequence[str], read: ChipSet) -> None:
    facts = written.facts
    assert (read.format, read.dtype, read.tile_size) == (keyword, written.dtype, facts.tile_size)
    assert read.classes == facts.classes
    assert read.bands == facts.bands or keyword == "TimeSeries"
    assert read.nodata == facts.nodata
    assert read.image_space == facts.image_space
    assert read.metadata["BlackenAroundFeature"] == facts.metadata["BlackenAroundFeature"]
    assert read.metadata["MinCellSize"]["spatialReference"]["wkid"] == 32633
    assert (read.account.dropped, read.account.kept) == ({}, len(written.chips))
    assert_statistics(read, [chip.images[0] for chip in written.chips if chip.domain == 0], facts.nodata)
    found = {(chip.domain, chip.name.rpartition("/")[2]): chip for chip in read.chips}
    assert len(found) == len(written.chips)
    if keyword == "ObjectTracking":  # converting numbers frames anew
        frames = sorted(read.chips, key=lambda chip: (chip.sequence, chip.frame))
        ordered = sorted(zip(written.chips, names, strict=True), key=lambda pair: (pair[0].sequence, pair[1]))
        found = {(0, name): chip for (_, name), chip in zip(ordered, frames, strict=True)}
    for new, name in zip(written.chips, names, strict=True):
        assert_chip_equal(keyword, facts, new, found[new.domain, name])


def assert_statistics(read: ChipSet, images: Sequence[NDArray[Any]], nodata: float | None) -> None:
    parts = []
    for image in images:
        valid = valid_pixels(image, nodata)
        parts.append(image.reshape(len(image), -1) if valid is None else image[:, valid])
    pixels = np.concatenate(parts, axis=1).astype(float)
    expected = {"minimum": pixels.min(1), "maximum": pixels.max(1), "mean": pixels.mean(1), "std": pixels.std(1, ddof=1)}
    for key, values in expected.items():
        # JPEG is not exact, and its statistics may be those of the chips before or after
        assert getattr(read.statistics, key) == pytest.approx(values, rel=1e-9, abs=60 if is_jpeg(read) else 1e-9)


def is_jpeg(read: ChipSet) -> bool:
    return read.chips[0].image.suffix == ".jpg"


def assert_chip_equal(keyword: str, facts: ExportFacts, new: NewChip, chip: Chip) -> None:
    reader = ChipReader(None)
    for index, image in enumerate(new.images):
        if facts.chip_format != "JPEG":
            np.testing.assert_array_equal(reader.image(chip, index), image)
    assert len(chip.images) == len(new.images)
    assert (chip.width, chip.height) == facts.tile_size
    if new.georeference is None:
        assert chip.georeference is None
    else:
        assert chip.georeference is not None
        assert chip.georeference.transform == pytest.approx(new.georeference.transform, rel=1e-12)
        assert chip.georeference.crs == new.georeference.crs
    if keyword in RECTANGLES:
        assert chip.boxes is not None and chip.box_values is not None
        assert chip.box_values.tolist() == [one.value for one in new.objects]
        expected = np.array([one.box for one in new.objects]).reshape(-1, 4)
        np.testing.assert_allclose(chip.boxes, expected, atol=0.011)
    if keyword in LABELS and new.label is not None:
        np.testing.assert_array_equal(reader.label(chip), new.label)
    if keyword in ("Labeled_Tiles", "MultiLabeled_Tiles", "Imagenet"):
        assert chip.values == new.values
    assert chip.texts == new.texts
    assert chip.sequence == new.sequence
    if keyword in MASKS:
        counted = facts.instance_classes if keyword == "Panoptic_Segmentation" else [info.value for info in facts.classes]
        whole = [(0 if keyword == "ObjectTracking" else one.value, one.mask) for one in new.objects if one.value in counted]
        expected_masks = sorted((value, mask.tobytes()) for value, mask in whole if mask is not None)
        assert sorted(instances(chip, keyword)) == expected_masks


def instances(chip: Chip, keyword: str) -> list[tuple[int, bytes]]:
    found = []
    for value, path in chip.masks:
        for band in read_image(path)[0]:
            numbers = np.unique(band[band > 0])
            found += [(0 if keyword == "ObjectTracking" else value, (band == number).tobytes()) for number in numbers]
    return found
