"""Boxes as labels give them made fit for training: inside the chip, right way round, at least a pixel wide; and the folder of
chips that they make."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from chipwright.chips.chipset import Chip
from chipwright.chips.formats.classes import DraftClass, Lookup, declared, named
from chipwright.chips.formats.esri import Export, counted
from chipwright.chips.formats.part import Part, assemble
from chipwright.chips.formats.survey import Surveyed, check_type
from chipwright.errors import DataError, listed

SMALLEST = 1.0
"""Pixels that a box must be wide and high after clipping."""

_TOLERANCE = 0.01
"""Pixels over the edge that are rounding and not worth a word: exporters write two decimals."""


Corners = tuple[float, float, float, float]
"""xmin, ymin, xmax, ymax in pixels; NaN for what is no number."""

Marked = tuple[str, Corners]
"""One object as its label gives it: what it says for the class, and where it is."""


@dataclass
class BoxAccount:
    """What was odd about the boxes of a folder: for each kind, the names of the chips (one entry a box)."""

    clipped: list[str] = field(default_factory=list)
    dropped: dict[str, list[str]] = field(default_factory=dict)
    unknown: dict[str, list[str]] = field(default_factory=dict)

    def drop(self, reason: str, chip: str) -> None:
        """Count one box dropped."""
        self.dropped.setdefault(reason, []).append(chip)

    def close(self, export: Export) -> None:
        """Write what was counted into the export's account as sentences."""
        warnings = export.account.warnings
        if self.clipped:
            boxes = counted(len(self.clipped), "box")
            warnings.append(f"Clipped {boxes} that reached over the edge of the chip ({_chips(self.clipped)}).")
        for reason, chips in self.dropped.items():
            warnings.append(f"Dropped {counted(len(chips), 'box')} {reason} ({_chips(chips)}).")
        if self.unknown:
            total = [chip for chips in self.unknown.values() for chip in chips]
            names = (
                f"{name!r:.60} ({len(chips)})" for name, chips in sorted(self.unknown.items(), key=lambda kind: -len(kind[1]))
            )
            warnings.append(
                f"Skipped {counted(len(total), 'object')} of classes that the export does not list: {listed(names)}; "
                f"{_chips(total)}."
            )


def _chips(entries: Sequence[str]) -> str:
    names = list(dict.fromkeys(entries))
    return f"chip{'' if len(names) == 1 else 's'} {listed(names)}"


def fit_boxes(
    marked: Sequence[Marked],
    size: tuple[int, int],
    chip: str,
    value_of: Callable[[str], int | None],
    account: BoxAccount,
) -> tuple[NDArray[np.float32], NDArray[np.int64]]:
    """Return (boxes, class values): float32 (count, 4) as xmin, ymin, xmax, ymax in pixels and int64 (count,).

    Args:
        marked: the objects of its label.
        size: (width, height) of the chip.
        chip: its name, for the account.
        value_of: what a class text means, None for no class.
        account: where odd boxes are counted.
    """
    boxes: list[tuple[float, float, float, float]] = []
    values: list[int] = []
    for text, corners in marked:
        value = value_of(text)
        if value is None:
            account.unknown.setdefault(text, []).append(chip)
            continue
        if not np.isfinite(corners).all():
            account.drop("without numbers for corners", chip)
            continue
        left, top, right, bottom = corners
        if right <= left or bottom <= top:
            account.drop("empty or inverted", chip)
            continue
        clipped = (max(left, 0.0), max(top, 0.0), min(right, float(size[0])), min(bottom, float(size[1])))
        if clipped[2] <= clipped[0] or clipped[3] <= clipped[1]:
            account.drop("wholly outside the chip", chip)
        elif clipped[2] - clipped[0] < SMALLEST or clipped[3] - clipped[1] < SMALLEST:
            account.drop("under a pixel wide or high", chip)
        else:
            if max(abs(new - old) for new, old in zip(clipped, corners, strict=True)) > _TOLERANCE:
                account.clipped.append(chip)
            boxes.append(clipped)
            values.append(value)
    return np.array(boxes, np.float32).reshape(-1, 4), np.array(values, np.int64)


def boxed_part(
    export: Export,
    keyword: str,
    found: Sequence[Surveyed],
    labels: Sequence[tuple[Surveyed, Sequence[Marked]]],
    classes: Sequence[DraftClass] = (),
) -> Part:
    """Return a folder of chips with boxes; chips without an object are kept, they teach what is none.

    Args:
        export: the folder.
        keyword: its format.
        found: all readable chips.
        labels: those of them that have a label, with its objects.
        classes: what the format itself says of the classes where the metadata name none; without either the labels' texts are
            taken.

    Raises:
        DataError: if chips differ in bands or pixel type, or objects are there and none is of a known class.
    """
    check_type(export, found)
    drafts = declared(export)
    own_values = not drafts
    if own_values:
        drafts = tuple(classes) or named(text for _, marked in labels for text, _ in marked)
        if drafts and export.esri:
            names = listed((draft.name for draft in drafts), 20)
            export.account.warnings.append(f"The metadata of {export.root} name no classes; the labels name {names}.")
    value_of = Lookup(drafts)
    account = BoxAccount()
    chips = []
    for one, marked in labels:
        facts = one.images[0]
        boxes, values = fit_boxes(marked, facts.size, one.sample.name, value_of, account)
        chips.append(
            Chip(
                name=one.sample.name,
                folder=0,
                images=one.sample.images,
                width=facts.width,
                height=facts.height,
                boxes=boxes,
                box_values=values,
                georeference=facts.georeference,
            )
        )
    account.close(export)
    if account.unknown and not any(len(chip.boxes) for chip in chips if chip.boxes is not None):
        raise DataError(
            f"No object in the labels of {export.root} is of a class that its metadata list: the labels say "
            f"{listed(f'{name!r:.60}' for name in sorted(account.unknown))}, the metadata "
            f"{listed(draft.name for draft in drafts)}. Correct the Classes of the .emd, or the labels."
        )
    return assemble(export, keyword, found, chips, drafts, own_values)
