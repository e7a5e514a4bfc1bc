"""File and folder names that every system takes, made from class names and other texts."""

from __future__ import annotations

import re
from collections.abc import Sequence

from chipwright import console
from chipwright.chips.chipset import ClassInfo
from chipwright.chips.formats.classes import DraftClass, Lookup
from chipwright.errors import listed

# https://learn.microsoft.com/windows/win32/fileio/naming-a-file
_RESERVED = re.compile(r'[<>:"/\\|?*\x00-\x1f\x7f]|[. ]$|^[. ]')
_DEVICES = re.compile(r"(con|prn|aux|nul|conin\$|conout\$|com[0-9¹²³]|lpt[0-9¹²³]) *(\.|$)", re.IGNORECASE)
_LONGEST = 100
"""Bytes of a name; the whole path must stay under 260 characters on most Windows systems."""


def safe(name: str) -> bool:
    """Return whether a file or folder may have this name on Windows, Linux and macOS, and is seen by what lists folders."""
    return bool(name) and not _RESERVED.search(name) and not _DEVICES.match(name) and len(name.encode()) <= _LONGEST


def lookup_of(classes: Sequence[ClassInfo]) -> Lookup:
    """Return what a reader of the export will take texts in labels for."""
    return Lookup([DraftClass(info.value, info.name) for info in classes])


def class_folders(classes: Sequence[ClassInfo]) -> dict[int, str]:
    """Return the folder of each class value: the class's name, or its value as text where the name cannot be used.

    A name cannot be used if some system does not take it for a folder (reserved characters and words, a dot or blank at either
    end, over 100 bytes), if another class has it but for the case of letters, or if it spells the value of another class.
    Readers understand values as well as names, so that nothing is lost; the user is told.
    """
    meant = lookup_of(classes)
    found = {
        info.value: info.name if safe(info.name) and meant(info.name) == info.value else str(info.value) for info in classes
    }
    odd = [f"{info.name!r} ({info.value})" for info in classes if found[info.value] != info.name]
    if odd:
        console.warn(
            f"Not every system takes a folder of the name, or the name is not the class's alone: {listed(odd)}. The folders of "
            "these classes are called by their values."
        )
    return found
