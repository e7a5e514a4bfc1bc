"""Toy chips in memory, as an exporter hands them to a writer."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from chipwright.chips.chipset import ClassInfo, GeoReference
from chipwright.chips.writers.new_chip import ExportFacts, NewChip, NewObject
from chipwright.chips.writers.writing import open_writer

CLASSES = (ClassInfo(value=2, name="Palm", color=(10, 200, 30)), ClassInfo(value=7, name="Reed & rush", color=(9, 8, 7)))

SIZE = 16

UNLISTED = ("Export_Tiles", "CycleGAN", "ImageCaptioning")
"""Formats without classes."""


def facts_for(keyword: str, **changes: Any) -> ExportFacts:
    """Return facts that chips of `chip_for` fit."""
    given: dict[str, Any] = {
        "classes": () if keyword in UNLISTED else CLASSES[:1] if keyword == "ChangeDetection" else CLASSES,
        "bands": ("Red", "Green", "Blue"),
        "tile_size": (SIZE, SIZE),
        "second_bands": ("Red", "Green", "Blue") if keyword == "ChangeDetection" else (),
        "metadata": {"DimensionValues": [42000, 42010, 42020]} if keyword == "TimeSeries" else {},
        "instance_classes": (2,) if keyword == "Panoptic_Segmentation" else (),
    }
    return ExportFacts(**(given | changes))


def square(value: int, left: int, top: int, side: int = 5) -> NewObject:
    """Return an object with its mask."""
    mask = np.zeros((SIZE, SIZE), bool)
    mask[top : top + side, left : left + side] = True
    return NewObject(value, (left, top, left + side, top + side), mask)


def picture(seed: int = 0, bands: int = 3, dtype: str = "uint8") -> NDArray[Any]:
    """Return (bands, SIZE, SIZE) of noise."""
    return np.random.default_rng(seed).integers(1, 250, (bands, SIZE, SIZE)).astype(dtype)


def chip_for(keyword: str, seed: int = 0, **changes: Any) -> NewChip:
    """Return a chip that has everything the format asks for: two palms that overlap, and a reed."""
    objects = (square(2, 1, 2), square(2, 4, 4), *([] if keyword == "ChangeDetection" else [square(7, 9, 9)]))
    label = np.zeros((SIZE, SIZE), np.int64)
    for one in objects:
        label[one.mask] = one.value
    plain = keyword in UNLISTED
    given: dict[str, Any] = {
        "images": tuple(picture(seed + at) for at in range(2 if keyword == "ChangeDetection" else 1)),
        "label": None if plain else label,
        "objects": () if plain else objects,
        "values": () if plain or keyword == "ChangeDetection" else (7,),
        "texts": ("a palm by the reeds", "reeds & a palm") if keyword == "ImageCaptioning" else (),
        "sequence": "pond" if keyword == "ObjectTracking" else None,
    }
    return NewChip(**(given | changes))


def place(column: int = 0) -> GeoReference:
    """Return where the chip of a column lies, on cells of two metres."""
    return GeoReference((2.0, 0.0, 500_000.0 + 2 * SIZE * column, 0.0, -2.0, 5_000_000.0), "EPSG:32633", SIZE, SIZE)


def write_some(folder: Path, keyword: str, count: int = 2, facts: ExportFacts | None = None, **changes: Any) -> Path:
    """Write `count` chips of `chip_for` (of CycleGAN in each domain) and return the folder."""
    with open_writer(folder, keyword, facts or facts_for(keyword)) as writer:
        for domain in range(2 if keyword == "CycleGAN" else 1):
            for index in range(count):
                writer.write(chip_for(keyword, index, **({"domain": domain} | changes)))
    return folder
