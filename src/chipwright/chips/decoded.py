"""Decoded chips kept for later epochs: in this process's memory, or in one file that all loader processes map.

The file is written before training starts and only read from then on, so that no process ever sees half a chip and nothing
has to be locked; the system's page cache is the memory, once for all processes.
"""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
from numpy.typing import NDArray

from chipwright.chips.chipset import Chip, ChipSet
from chipwright.chips.reading import ChipReader, in_threads
from chipwright.temporary import temporary_folder

MEMORY_BYTES = 2 * 2**30
"""Most memory that decoded chips take in this process."""

_FILE_BYTES = 32 * 2**30
_DISK_SHARE = 0.25
"""Most that the file takes, and its most of the free space where temporary files lie."""

_ALIGNMENT = 64


class DecodedFile:
    """Arrays by key in one file: added by one process, then read by any number. Picklable.

    Args:
        path: of the file, which is made.
        limit: bytes that it may take.
    """

    def __init__(self, path: Path, limit: int) -> None:
        self.path = path
        self.limit = limit
        self._places: dict[Any, tuple[int, tuple[int, ...], str]] = {}
        self._size = 0
        self._file: BinaryIO | None = path.open("wb")
        self._map: np.memmap[Any, Any] | None = None

    def __getstate__(self) -> dict[str, Any]:
        return self.__dict__ | {"_file": None, "_map": None}

    def __len__(self) -> int:
        return len(self._places)

    def add(self, key: Any, array: NDArray[Any]) -> bool:
        """Add an array unless it no longer fits; return whether it is there."""
        if key in self._places:
            return True
        assert self._file is not None, "the file is sealed"
        if self._size + array.nbytes > self.limit:
            return False
        self._file.write(np.ascontiguousarray(array).data if array.size else b"")
        padding = -array.nbytes % _ALIGNMENT
        self._file.write(b"\0" * padding)
        self._places[key] = self._size, array.shape, array.dtype.str
        self._size += array.nbytes + padding
        return True

    def seal(self) -> None:
        """End the writing."""
        if self._file is not None:
            self._file.close()
            self._file = None

    def get(self, key: Any) -> NDArray[Any] | None:
        """Return an array, not to be written to, or None where it is not there."""
        place = self._places.get(key)
        if place is None:
            return None
        if self._map is None:
            self._map = np.memmap(self.path, np.uint8, "r")
        start, shape, dtype = place
        count = int(np.prod(shape)) * np.dtype(dtype).itemsize
        return np.asarray(self._map[start : start + count]).view(dtype).reshape(shape)


@contextmanager
def reader_for(chips: ChipSet, processes: int) -> Iterator[ChipReader]:
    """Yield a reader of the chips that decodes each but once, as far as there is room.

    Args:
        chips: the set.
        processes: loader processes that will read; with none, chips are kept as they are read, in memory.
    """
    if not processes:
        yield ChipReader.of(chips, cache_bytes=MEMORY_BYTES)
        return
    with temporary_folder("chipwright-chips-") as folder:
        limit = min(_FILE_BYTES, int(shutil.disk_usage(folder).free * _DISK_SHARE))
        yield shared_reader(chips, DecodedFile(folder / "decoded", limit))


def shared_reader(chips: ChipSet, file: DecodedFile) -> ChipReader:
    """Decode the chips into the file until it is full, and return a reader that looks there first."""
    reader = ChipReader.of(chips)
    room = True

    def decoded(chip: Chip) -> list[tuple[Any, NDArray[Any]]]:
        return reader.arrays(chip) if room else []

    try:
        for arrays in in_threads(decoded, chips.chips, "Decoding chips"):
            for key, array in arrays:
                room = file.add(key, array) and room
    finally:
        file.seal()
    return ChipReader.of(chips, decoded=file)
