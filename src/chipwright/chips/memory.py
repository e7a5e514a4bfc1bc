"""Arrays held in memory by key, up to a number of bytes."""

from __future__ import annotations

from pathlib import Path
from threading import Lock
from typing import Any

from numpy.typing import NDArray

Key = tuple[str, Path]
"""What was decoded ("image", "label", "mask"), and from which file."""

Arrays = tuple[NDArray[Any] | None, ...]


class Memory:
    """Holds what came first and takes nothing more once it is full; used by any number of threads.

    Args:
        limit: bytes that all arrays together may take.
    """

    def __init__(self, limit: int) -> None:
        self.limit = limit
        self._arrays: dict[Key, Arrays] = {}
        self._bytes = 0
        self._lock = Lock()

    def __contains__(self, key: Key) -> bool:
        return key in self._arrays

    @property
    def full(self) -> bool:
        """Whether no byte more has room."""
        return self._bytes >= self.limit

    def get(self, key: Key) -> Arrays | None:
        """Return the arrays of a key, or None."""
        return self._arrays.get(key)

    def add(self, key: Key, arrays: Arrays) -> bool:
        """Hold arrays unless they no longer fit; return whether they are held."""
        size = _bytes(arrays)
        with self._lock:
            if key in self._arrays:
                return True
            if self._bytes + size > self.limit:
                return False
            self._bytes += size
            self._arrays[key] = arrays
            return True

    def take(self, key: Key) -> Arrays | None:
        """Return the arrays of a key and let go of them, or None."""
        with self._lock:
            found = self._arrays.pop(key, None)
            if found is not None:
                self._bytes -= _bytes(found)
            return found


def _bytes(arrays: Arrays) -> int:
    return sum(array.nbytes for array in arrays if array is not None)
