"""Lines of words and numbers, as KITTI and YOLO label files hold them."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from chipwright.chips.formats.boxes import Corners, Marked
from chipwright.chips.formats.esri import Export, counted
from chipwright.chips.formats.label_files import MOST_OBJECTS, TooManyError, content_of
from chipwright.chips.formats.survey import Surveyed
from chipwright.errors import DataError, listed

LABEL_SUFFIXES = (".txt",)


@dataclass(slots=True)
class TextLabel:
    """Objects of one label file, and how many of its lines are none."""

    objects: list[Marked] = field(default_factory=list)
    unread: int = 0

    def add(self, text: str, corners: Corners) -> None:
        """Add one object.

        Raises:
            TooManyError: if there are `MOST_OBJECTS` already.
        """
        if len(self.objects) >= MOST_OBJECTS:
            raise TooManyError
        self.objects.append((text, corners))


def lines_of(path: Path) -> Iterator[list[str]]:
    """Yield the words of each line of a label file that is not blank.

    Raises:
        DataError: if the file is too long.
        OSError, ValueError: if it cannot be read, or is no text.
    """
    content = content_of(path)
    if b"\0" in content:
        raise ValueError("binary data")
    try:
        text = content.decode("utf-8-sig")
    except UnicodeDecodeError:
        text = content.decode("latin-1")
    return (words for line in text.splitlines() if (words := line.split()))


def numbers(words: Sequence[str]) -> list[float] | None:
    """Return words as numbers, or None if one of them is none."""
    try:
        return [float(word) for word in words]
    except ValueError:
        return None


def note_unread(export: Export, labels: Sequence[tuple[Surveyed, TextLabel]], expected: str) -> None:
    """Warn of lines that are no object.

    Raises:
        DataError: if there are lines, and none is an object.
    """
    odd = [chip.sample.name for chip, label in labels if label.unread]
    if not odd:
        return
    lines = sum(label.unread for _, label in labels)
    if not any(label.objects for _, label in labels):
        raise DataError(
            f"No line in the labels of {export.root} is an object ({counted(lines, 'line')}, such as in {odd[0]}); expected "
            f"{expected}."
        )
    export.account.warnings.append(
        f"Skipped {counted(lines, 'line')} of label files that are no object ({listed(odd)}); expected {expected}."
    )
