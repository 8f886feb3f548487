"""Whether the compiled loops can be had (the extra `fast`, which brings numba), and what compiling took."""

from __future__ import annotations

import functools
import importlib.util
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager

_WORTH_TELLING = 1.5
"""Seconds; what was compiled before is read from disk in less."""


@functools.cache
def have_loops() -> bool:
    return importlib.util.find_spec("numba") is not None


class _Stopwatch:
    """Time during which somebody compiles; several threads may at once, and wait for one another."""

    def __init__(self) -> None:
        self.lock = threading.Lock()
        self.working, self.since, self.seconds = 0, 0.0, 0.0

    def change(self, by: int) -> None:
        """One more, or one less."""
        with self.lock:
            now = time.monotonic()
            self.seconds += now - self.since if self.working else 0.0
            self.working, self.since = self.working + by, now


_stopwatch = _Stopwatch()


def compiled_seconds() -> float:
    """How long this process has compiled, or read what was compiled before, since it began."""
    _stopwatch.change(0)
    return _stopwatch.seconds


@contextmanager
def compiling(what: str) -> Iterator[None]:
    """Tell how long it took to compile, if it had to be; see `compiled_seconds`."""
    started = time.monotonic()
    _stopwatch.change(1)
    try:
        yield
    finally:
        _stopwatch.change(-1)
    seconds = time.monotonic() - started
    if seconds > _WORTH_TELLING:
        print(f"compiled {what} in {seconds:.0f} s; kept on disk for the next time", file=sys.stderr)
