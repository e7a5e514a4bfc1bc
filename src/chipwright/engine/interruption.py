"""Ctrl-C, answered between two steps, so that what was trained can be written down whole."""

from __future__ import annotations

import signal
import threading
from types import FrameType, TracebackType

from chipwright import console


class StopRequest:
    """While active, the first Ctrl-C only sets `requested`; a second one interrupts at once."""

    def __init__(self) -> None:
        self.requested = False
        self._before: object = None

    def __enter__(self) -> StopRequest:
        if threading.current_thread() is threading.main_thread():
            self._before = signal.signal(signal.SIGINT, self._note)
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        if self._before is not None:
            signal.signal(signal.SIGINT, self._before)  # type: ignore[arg-type]

    def _note(self, number: int, frame: FrameType | None) -> None:
        if self.requested:
            raise KeyboardInterrupt
        self.requested = True
        console.say("Stopping after this step; what was trained is kept. Press Ctrl-C again to stop at once.")
