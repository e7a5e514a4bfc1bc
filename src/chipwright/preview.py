"""A sheet of labelled samples, drawn from chips of any format."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from chipwright.chips.chipset import BACKGROUND, IGNORE, Chip, ChipSet
from chipwright.chips.display import Panel, to_rgb
from chipwright.chips.formats.colors import color_at
from chipwright.chips.formats.esri import counted
from chipwright.chips.reading import ChipReader

SAMPLES = 12
"""Chips on a sheet."""

_TITLES = {"ChangeDetection": ("Before", "After"), "Export_Tiles": ("Image", "Second image")}


def preview(chips: ChipSet, count: int = SAMPLES) -> bytes:
    """Return a PNG that shows `count` chips with their labels, chosen so that every class is seen if that many suffice."""
    from chipwright.report.samples import samples_picture

    reader = ChipReader.of(chips)
    samples = [_panels(chips, chips.chips[index], reader) for index in chosen(chips, count)]
    drawn = samples_picture(samples, chips.classes, dense=True)
    assert drawn is not None, "a chip set has a chip"
    return drawn[0]


def chosen(chips: ChipSet, count: int) -> list[int]:
    """Return indices of `count` chips, ascending: the ones that add a class not shown yet, then ones spread over the set."""
    picked: list[int] = []
    shown: set[int] = set()
    for value in sorted(info.value for info in chips.classes):
        if value in shown or len(picked) >= count:
            continue
        holding = [index for index, chip in enumerate(chips.chips) if value in _values(chip)]
        if holding:  # from the middle: exports begin and end at edges
            picked.append(holding[len(holding) // 2])
            shown |= _values(chips.chips[picked[-1]])
    spread = np.linspace(0, len(chips) - 1, min(count, len(chips))).round().astype(int).tolist()
    others = (index for index in [*spread, *range(len(chips))] if index not in picked)
    while len(picked) < min(count, len(chips)):
        picked.append(next(others))
    return sorted(picked)


def _values(chip: Chip) -> set[int]:
    """Return the class values that a chip shows, background left out."""
    found = {*chip.values, *(value for value, _ in chip.pixels)} - {BACKGROUND, IGNORE}
    return found | set(chip.box_values.tolist() if chip.box_values is not None else ())


def _panels(chips: ChipSet, chip: Chip, reader: ChipReader) -> list[Panel]:
    """Return the pictures of one chip: its images, then its labels over the first of them."""
    titles = _TITLES.get(chips.format, ("Image", "Second image"))
    pictures = [
        Panel(title=title, image=_picture(chips, chip, index, reader))
        for index, title in zip(range(len(chip.images)), titles, strict=False)
    ]
    names = {info.value: info.name for info in chips.classes}
    words = ", ".join([*(names.get(value, str(value)) for value in chip.values), *chip.texts[:1]])
    first = replace(pictures[0], text=f"{chip.name}: {words}" if words else chip.name)
    if chip.boxes is not None and not chip.masks:
        first = _boxed(first, chip, names, {info.value: info.color for info in chips.classes})
    labels = []
    if chip.label is not None:
        classes, palette = _indexed(reader.label(chip), chips)
        labels.append(Panel(title="Labels", image=pictures[0].image, classes=classes, palette=palette))
    if chip.masks:
        labels.append(_outlined(chips, chip, reader, pictures[0].image))
    return [first, *pictures[1:], *labels]


def _picture(chips: ChipSet, chip: Chip, index: int, reader: ChipReader) -> NDArray[np.uint8]:
    of = chips.second if chips.second and (index or chip.domain) else chips
    return to_rgb(reader.image(chip, index), of.statistics, of.bands, reader.valid(chip, index))


def _outlined(chips: ChipSet, chip: Chip, reader: ChipReader, picture: NDArray[np.uint8]) -> Panel:
    """Return the picture with its masks: each object in a colour of its own, or the pixels of each class in the class's."""
    counted_apart = chip.boxes is not None
    colors = {info.value: info.color for info in chips.classes}
    drawn = np.full(picture.shape[:2], IGNORE, np.int64)
    palette: list[tuple[int, int, int]] = []
    for value, ids in reader.instances(chip).items():
        for band in ids:
            drawn[band > 0] = band[band > 0] - 1 + len(palette) if counted_apart else len(palette)
        count = int(ids.max(initial=0)) if counted_apart else 1
        palette += [color_at(len(palette) + at) for at in range(count)] if counted_apart else [colors[value]]
    text = counted(len(palette), "object") if counted_apart else ""
    return Panel(title="Objects" if counted_apart else "Labels", image=picture, classes=drawn, palette=palette, text=text)


def _boxed(panel: Panel, chip: Chip, names: dict[int, str], colors: dict[int, tuple[int, int, int]]) -> Panel:
    assert chip.box_values is not None, "boxes come with their values"
    values: list[int] = chip.box_values.tolist()
    return replace(
        panel,
        boxes=chip.boxes,
        box_texts=[names.get(value, str(value)) for value in values] if len(names) > 1 else (),
        box_colors=[colors.get(value, (255, 255, 255)) for value in values],
        text=f"{panel.text}: {counted(len(values), 'object')}",
    )


def _indexed(label: NDArray[Any], chips: ChipSet) -> tuple[NDArray[np.int64], list[tuple[int, int, int]]]:
    """Return a label raster as positions in a palette of the classes, IGNORE where no class is drawn."""
    values = np.array([info.value for info in chips.classes])
    at = np.searchsorted(values, label).clip(0, len(values) - 1)
    known = (values[at] == label) & (label != BACKGROUND)
    return np.where(known, at, IGNORE), [info.color for info in chips.classes]
