"""Work done ahead in a thread of its own: reading goes on while what was read is written."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from queue import Empty, Full, Queue
from threading import Event, Thread
from typing import TypeVar

Item = TypeVar("Item")

_PAUSE = 0.1
"""Seconds between looks at whether the reader still wants anything."""


@contextmanager
def ahead(items: Callable[[], Iterator[Item]], most: int) -> Iterator[Iterator[Item]]:
    """Yield an iterator over `items()`, which a thread runs up to `most` items ahead; its error is raised here in its turn.

    The thread has ended when the block is left, for whatever reason.
    """
    queue: Queue[tuple[bool, Item | BaseException | None]] = Queue(most)
    stop = Event()

    def put(entry: tuple[bool, Item | BaseException | None]) -> None:
        while not stop.is_set():
            with suppress(Full):
                queue.put(entry, timeout=_PAUSE)
                break

    def work() -> None:
        try:
            for item in items():
                put((True, item))
                if stop.is_set():
                    return
            put((False, None))
        except BaseException as error:
            put((False, error))

    def taken() -> Iterator[Item]:
        while True:
            try:
                more, entry = queue.get(timeout=_PAUSE)
            except Empty:
                continue
            if isinstance(entry, BaseException):
                raise entry
            if not more:
                return
            yield entry  # type: ignore[misc]

    thread = Thread(target=work, daemon=True)
    thread.start()
    try:
        yield taken()
    finally:
        stop.set()
        thread.join()
