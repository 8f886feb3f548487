"""Ctrl-C, as often as it is pressed: one KeyboardInterrupt, an answer at once, and an end.

The first raises KeyboardInterrupt in the main thread, so that what has begun is tidied up; those that follow
do not break that off, but after five seconds of it they end the process. While the main thread is in code
that is not Python's (a tokenizer is trained, a product computed) no KeyboardInterrupt can be raised: a thread
says so, and a second Ctrl-C ends the process then. This file does not know what is interrupted.
"""

from __future__ import annotations

import os
import signal
import sys
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from types import FrameType

__all__ = ["STOPPED", "Interrupts"]

STOPPED = 130
"""The exit status, as a shell has it for a program that Ctrl-C ended."""
_PATIENCE = 5.0
_UNANSWERED = 1.0
"""Seconds from which somebody who pressed Ctrl-C should be told that it was heard."""


class Interrupts:
    """Takes over Ctrl-C until `end`. `say` tells the user something."""

    def __init__(self, say: Callable[[str], None]) -> None:
        self._say = say
        self._raised: float | None = None
        signal.signal(signal.SIGINT, self._hear)
        sys.unraisablehook = self._lost
        if os.name == "posix":  # elsewhere signals wake no pipe
            self._reader, writer = os.pipe()
            os.set_blocking(writer, False)
            signal.set_wakeup_fd(writer, warn_on_full_buffer=False)
            threading.Thread(target=self._watch, daemon=True).start()

    @property
    def pressed(self) -> bool:
        """Whether it was."""
        return self._raised is not None

    def end(self) -> None:
        """Nothing is left that would have to be tidied up: from now on Ctrl-C ends the process."""
        signal.signal(signal.SIGINT, signal.SIG_DFL)
        signal.set_wakeup_fd(-1)

    def _hear(self, number: int, frame: FrameType | None) -> None:
        now = time.monotonic()
        if self._raised is None:
            self._raised = now
            raise KeyboardInterrupt
        if now - self._raised > _PATIENCE:
            self._exit()

    def _lost(self, found: sys.UnraisableHookArgs) -> None:
        """An error in what Python calls between the lines, such as a finaliser; Ctrl-C is raised again."""
        if not issubclass(found.exc_type, KeyboardInterrupt):
            sys.__unraisablehook__(found)
            return
        self._raised = None
        again = threading.Timer(0.02, signal.raise_signal, (signal.SIGINT,))  # when this hook is done
        again.daemon = True
        again.start()

    def _watch(self) -> None:
        """Hears of each Ctrl-C although the main thread may not."""
        told = False
        while heard := os.read(self._reader, 64):
            if signal.SIGINT not in heard:
                continue
            time.sleep(_UNANSWERED)
            if self._raised is not None or signal.getsignal(signal.SIGINT) != self._hear:
                told = False
            elif told:
                self._exit()
            else:
                told = True
                self._say("stopping, when what is being computed is done; Ctrl-C once more ends it at once")

    def _exit(self) -> None:
        self._say("stopped")
        with suppress(OSError, ValueError):
            sys.stdout.flush()
        os._exit(STOPPED)
