"""Ctrl-C and SIGTERM while training: remembered, and answered between two steps."""

from __future__ import annotations

import signal
import threading
from types import FrameType


class StopRequest:
    """`asked` turns True at the first signal; a second Ctrl-C interrupts at once."""

    def __init__(self) -> None:
        self.asked = False
        self._before: dict[int, object] = {}

    def __enter__(self) -> StopRequest:
        if threading.current_thread() is threading.main_thread():  # only there can signals be handled
            for number in (signal.SIGINT, signal.SIGTERM):
                self._before[number] = signal.signal(number, self._hear)
        return self

    def _hear(self, number: int, frame: FrameType | None) -> None:
        before = self._before[number]
        if not self.asked:
            self.asked = True
        elif callable(before):  # it knows whether this is the third, the tenth
            before(number, frame)
        else:
            raise KeyboardInterrupt

    def __exit__(self, *error: object) -> None:
        for number, handler in self._before.items():
            signal.signal(number, handler)  # type: ignore[arg-type]
