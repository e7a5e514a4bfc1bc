"""Reading a small label file beside each chip, in threads; a few may be damaged."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TypeVar
from xml.etree.ElementTree import ParseError

from chipwright.chips.formats.esri import Export
from chipwright.chips.formats.survey import MOST_DAMAGED, Damaged, Surveyed
from chipwright.chips.reading import in_threads
from chipwright.errors import DataError, listed

Label = TypeVar("Label")

LARGEST = 16 * 2**20
"""Bytes of a label file; a thousand boxes take 0.3 MB."""

MOST_OBJECTS = 2**16
"""Objects of a label file; with more it is a table, and no label of a chip."""

TOO_MANY = "too many objects for a label"


class TooManyError(Exception):
    """A label file has more than `MOST_OBJECTS`."""


def read_labels(
    export: Export, chips: Sequence[Surveyed], read: Callable[[Path], Label], what: str, missing: Label | None = None
) -> list[tuple[Surveyed, Label]]:
    """Return each chip with its label file read, in order; labels that cannot be read are counted in the account.

    Args:
        export: the folder.
        chips: its chips.
        read: reads one file; raises ParseError, OSError, ValueError or LookupError where it is damaged, TooManyError where it
            holds more than any label, DataError where the whole folder is to be refused.
        what: what the files are not if they are damaged, for the sentence: "readable XML".
        missing: what a chip without a label file gets.

    Raises:
        DataError: if a label file is hostile, or more than a fifth of them cannot be read.
    """
    found: list[tuple[Surveyed, Label]] = []
    damaged: list[Damaged] = []

    def attempt(chip: Surveyed) -> Label | Damaged:
        path = chip.sample.label
        if path is None:
            assert missing is not None, "formats without a stand-in pair every chip with a label"
            return missing
        try:
            return read(path)
        except TooManyError:
            return Damaged(path.name, f"more than {MOST_OBJECTS} objects", TOO_MANY)
        except (ParseError, OSError, ValueError, LookupError) as error:
            return Damaged(path.name, str(error))

    for chip, result in zip(chips, in_threads(attempt, chips, "Reading labels"), strict=True):
        if isinstance(result, Damaged):
            damaged.append(result)
        else:
            found.append((chip, result))
    if len(damaged) > MOST_DAMAGED * len(chips):
        raise DataError(
            f"{len(damaged)} of {len(chips)} label files in {export.root} are not {what} "
            f"({listed(one.file for one in damaged)}; {damaged[0].reason}). "
            f"Up to {MOST_DAMAGED:.0%} are dropped, more are not; export the folder again or remove them."
        )
    for one in damaged:
        export.account.drop(one.kind, one.file)
    return found


def content_of(path: Path) -> bytes:
    """Return what a label file holds.

    Raises:
        DataError: if it is longer than `LARGEST`.
        OSError: if it cannot be read.
    """
    size = path.stat().st_size
    if size > LARGEST:
        raise DataError(f"{path} has {size / 2**20:.0f} MB; a label file has at most {LARGEST >> 20} MB. Is it one?")
    return path.read_bytes()
