"""What a user reads while a command works: sentences, warnings and progress, all on standard error.

Standard output belongs to results, so that `--json` and pipes stay clean. In a terminal progress is a bar; anywhere else it is
a plain line now and then.
"""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from typing import TypeVar

Item = TypeVar("Item")

_PLAIN_SECONDS = 15.0
_quiet = os.environ.get("RANK", "0") != "0"  # of several processes the first speaks for all


@contextmanager
def quiet() -> Iterator[None]:
    """Print nothing inside the block (tests, and callers who want results only)."""
    global _quiet
    before, _quiet = _quiet, True
    try:
        yield
    finally:
        _quiet = before


def say(text: str) -> None:
    """Print a sentence."""
    if not _quiet:
        print(text, file=sys.stderr, flush=True)


def warn(text: str) -> None:
    """Print a warning."""
    say(f"Warning: {text}")


def track(items: Iterable[Item], label: str, total: int | None = None) -> Iterator[Item]:
    """Yield `items` while showing how far the work has come: a bar in a terminal, else a plain line every 15 seconds."""
    if _quiet:
        yield from items
    elif sys.stderr.isatty():
        from rich.console import Console
        from rich.progress import track as bar

        yield from bar(items, description=label, total=total, console=Console(stderr=True), transient=True)
    else:
        last = time.monotonic()
        for count, item in enumerate(items, 1):
            yield item
            if time.monotonic() - last > _PLAIN_SECONDS:
                last = time.monotonic()
                say(f"{label}: {count}{f' of {total}' if total else ''}")
