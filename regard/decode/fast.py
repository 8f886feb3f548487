"""Whether the compiled loops can be had (the extra `fast`, which brings numba), and what compiling took."""

from __future__ import annotations

import functools
import importlib.util
import time
from collections.abc import Iterator
from contextlib import contextmanager

from regard.console import note

_WORTH_TELLING = 1.5
"""Seconds; what was compiled before is read from disk in less."""


@functools.cache
def have_loops() -> bool:
    return importlib.util.find_spec("numba") is not None


@contextmanager
def compiling(what: str) -> Iterator[None]:
    """Tell how long it took to compile, if it had to be."""
    started = time.monotonic()
    yield
    seconds = time.monotonic() - started
    if seconds > _WORTH_TELLING:
        note(f"compiled {what} in {seconds:.0f} s; kept on disk for the next time")
