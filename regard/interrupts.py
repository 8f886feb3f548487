"""Ctrl-C, as often as it is pressed: one KeyboardInterrupt, an answer at once, and an end.

It raises KeyboardInterrupt in the main thread, so that what has begun is tidied up; pressed again it does not
break that off, but after five seconds of it ends the process. A thread watches that the interrupt was not
lost (libraries that catch everything while they are imported lose it), and whether the main thread can be
reached at all. While that is in code that is not Python's (a tokenizer is trained, a product computed) it
cannot; so it is said, and a second Ctrl-C ends the process then. This file does not know what is interrupted.
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
        if not _stops(sys.exception()):
            self._raised = self._raised or now
            raise KeyboardInterrupt
        if self._raised is not None and now - self._raised > _PATIENCE:
            self._exit()

    def _lost(self, found: sys.UnraisableHookArgs) -> None:
        """An error in what Python calls between the lines, such as a finaliser; Ctrl-C is raised again."""
        if not issubclass(found.exc_type, KeyboardInterrupt):
            sys.__unraisablehook__(found)
            return
        again = threading.Timer(0.02, _press)  # when this hook is done
        again.daemon = True
        with suppress(KeyboardInterrupt):  # of one while the thread starts, which it does all the same
            again.start()

    def _watch(self) -> None:
        """Hears of each Ctrl-C although the main thread may not."""
        told = False
        while heard := os.read(self._reader, 64):
            if signal.SIGINT not in heard:
                continue
            time.sleep(_UNANSWERED)
            if signal.getsignal(signal.SIGINT) != self._hear:  # who trains, or serves, answers it otherwise
                told = False
            elif self._raised is not None:
                if not _stops(_in_main_thread()):
                    _press()
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


def _press() -> None:
    """Ctrl-C once more, for the main thread: one that sleeps is not woken by a signal to another."""
    if hasattr(signal, "pthread_kill"):
        signal.pthread_kill(threading.main_thread().ident or 0, signal.SIGINT)
    else:
        signal.raise_signal(signal.SIGINT)


def _stops(error: BaseException | None) -> bool:
    """Whether somebody who handles `error` is about to end because of Ctrl-C."""
    while error is not None:
        if isinstance(error, KeyboardInterrupt):
            return True
        error = error.__cause__ or error.__context__
    return False


def _in_main_thread() -> BaseException | None:
    """What the main thread handles at this moment."""
    found: object = sys._current_exceptions().get(threading.main_thread().ident or 0)
    if isinstance(found, tuple):  # Python 3.11
        found = found[1]
    return found if isinstance(found, BaseException) else None
