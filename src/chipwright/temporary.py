"""Temporary folders that a run leaves behind when it is killed go when the next one starts.

A run holds a lock on a file in its folder. The system takes the lock back when the process ends, however it ends: a folder
whose lock can be had is a dead run's. A process number would not tell, since numbers are given again, and are others in
containers that share the folder of temporary files.
"""

from __future__ import annotations

import shutil
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO

_LOCK = "lock"

_YOUNG = 60.0
"""Seconds for which a folder is left alone: between making it and locking it a live run's looks like a dead one's."""


@contextmanager
def temporary_folder(prefix: str) -> Iterator[Path]:
    """Yield a new folder for temporary files, which goes at the end, and so do those of the same prefix that dead runs left.

    Where files in it are still in use at the end, as Windows has it, the folder is left to the next run.
    """
    _clear_away(prefix)
    with tempfile.TemporaryDirectory(prefix=prefix, ignore_cleanup_errors=True) as name:
        folder = Path(name)
        with (folder / _LOCK).open("wb") as file:
            _lock(file)
            yield folder


def _clear_away(prefix: str) -> None:
    for folder in Path(tempfile.gettempdir()).glob(f"{prefix}*"):
        try:
            if folder.is_symlink() or time.time() - folder.stat().st_mtime < _YOUNG:
                continue
            with (folder / _LOCK).open("rb+") as file:
                dead = _lock(file)
        except OSError:  # gone meanwhile, another user's, or made by something else
            continue
        if dead:
            shutil.rmtree(folder, ignore_errors=True)


def _lock(file: BinaryIO) -> bool:
    """Lock an open file until it is closed, and return whether that was possible: no other process has it locked."""
    try:
        if sys.platform == "win32":
            import msvcrt

            msvcrt.locking(file.fileno(), msvcrt.LK_NBLCK, 1)
        else:
            import fcntl

            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        return False
    return True
