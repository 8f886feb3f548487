"""How far a long computation has come, for whoever waits for it; what taps are to a model.

A computation reports with `progressed`; with nobody listening that is one look at a context variable. A
listener that raises ends the computation there: so is work given up that nobody waits for any more. This file
does not know who listens, nor what is computed.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar

Listener = Callable[[float | None], None]
"""Called with how much is done, from 0 to 1, or None by who cannot know."""

_LISTENER: ContextVar[Listener | None] = ContextVar("regard_progress_listener", default=None)


def progressed(fraction: float | None = None) -> None:
    """Tell whoever listens. Raises: whatever the listener raises."""
    listener = _LISTENER.get()
    if listener is not None:
        listener(fraction)


@contextmanager
def on_progress(listener: Listener) -> Iterator[None]:
    """Be called with progress in this thread or task."""
    token = _LISTENER.set(listener)
    try:
        yield
    finally:
        _LISTENER.reset(token)


@contextmanager
def part_of(start: float, end: float) -> Iterator[None]:
    """What is reported inside is that much of the whole: 0 is reported as `start`, 1 as `end`."""
    outer = _LISTENER.get()
    if outer is None:
        yield
        return
    with on_progress(lambda fraction: outer(None if fraction is None else start + (end - start) * fraction)):
        yield
