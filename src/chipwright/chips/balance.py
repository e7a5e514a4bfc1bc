"""How often each class occurs: boxes, pixels or chips, whichever the chips are labelled with."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

from chipwright.chips.chipset import BACKGROUND, Chip, ChipSet
from chipwright.chips.statistics import class_pixels


def class_balance(chips: ChipSet, groups: Mapping[str, Sequence[int]]) -> tuple[list[dict[str, Any]], str]:
    """Return one row a class with its count in every group of chip indices, and the unit counted.

    Background is listed where it occurs, under that name unless the export gives it one.
    """
    unit = unit_of(chips.chips)
    counts = {name: count_classes([chips.chips[index] for index in indices], unit) for name, indices in groups.items()}
    names = {info.value: info.name for info in chips.classes}
    if any(count.get(BACKGROUND) for count in counts.values()):
        names = {BACKGROUND: "Background"} | names
    rows = [
        {"class": name, "value": value} | {group: count.get(value, 0) for group, count in counts.items()}
        for value, name in sorted(names.items())
    ]
    return rows, unit


def unit_of(chips: Sequence[Chip]) -> str:
    """Return what is counted: "boxes", "pixels" or "chips"."""
    if any(chip.label is not None or chip.pixels for chip in chips):
        return "pixels"
    return "boxes" if any(chip.boxes is not None for chip in chips) else "chips"


def count_classes(chips: Sequence[Chip], unit: str) -> dict[int, int]:
    """Return the count of each class value in `unit`."""
    if unit == "pixels":
        return class_pixels(chips)
    if unit == "boxes":
        return Counter(value for chip in chips if chip.box_values is not None for value in chip.box_values.tolist())
    return Counter(value for chip in chips for value in chip.values)
