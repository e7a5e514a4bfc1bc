"""What people ask of a folder before they train on it: how large objects are, how many a chip has, how far chips overlap."""

from __future__ import annotations

from typing import Any

import numpy as np

from chipwright.chips.chipset import ChipSet
from chipwright.chips.ground import Ground

SMALL = 32
"""Pixels: objects of less than this squared are small, as COCO counts them."""


def object_sizes(chips: ChipSet) -> list[dict[str, Any]]:
    """Return one row a class with boxes: how many, and how large, as the side in pixels of a square of the box's area."""
    boxes = [chip.boxes for chip in chips.chips if chip.boxes is not None]
    values = [chip.box_values for chip in chips.chips if chip.box_values is not None]
    if not boxes:
        return []
    corners, value_of = np.concatenate(boxes), np.concatenate(values)
    sides = np.sqrt((corners[:, 2:] - corners[:, :2]).prod(axis=1))
    rows = []
    for info in chips.classes:
        own = sides[value_of == info.value]
        if len(own):
            low, middle, high = np.percentile(own, (10, 50, 90))
            rows.append(
                {
                    "class": info.name,
                    "objects": len(own),
                    "smallest": round(float(own.min()), 1),
                    "10 %": round(float(low), 1),
                    "median": round(float(middle), 1),
                    "90 %": round(float(high), 1),
                    "largest": round(float(own.max()), 1),
                    f"share under {SMALL} px": round(float((own < SMALL).mean()), 3),
                }
            )
    return rows


def objects_per_chip(chips: ChipSet) -> dict[str, Any] | None:
    """Return how many objects the chips have, None for formats without boxes."""
    counts = np.array([len(chip.boxes) for chip in chips.chips if chip.boxes is not None])
    if not len(counts):
        return None
    return {
        "total": int(counts.sum()),
        "median": float(np.median(counts)),
        "most": int(counts.max()),
        "chips without any": int((counts == 0).sum()),
    }


def ground_overlap(chips: ChipSet) -> dict[str, Any] | None:
    """Return how many chips overlap another on the ground, and how often ground is covered in the mean.

    None where no chip has a georeference.
    """
    located = [chip for chip in chips.chips if chip.georeference is not None]
    if not located:
        return None
    ground = Ground(located)
    return {"chips": int(ground.overlapping().sum()), "times covered": round(ground.layers(), 1)}
