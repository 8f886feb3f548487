"""What a search does, step by step, for whoever asks: what taps are to a model.

A search tells of each step with `emit`; with nobody listening that is one look at a context variable. Who
listens gets lists, on the host, and changes nothing. This file does not know how anything is searched.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass


@dataclass(frozen=True)
class Step:
    """One token more at each of the places (beams, samples) of one input, the best first in a beam."""

    input: int
    """Which of the inputs that are searched together."""
    parents: list[int]
    """The place of the step before from which each goes on; 0 for all at the first step."""
    rows: list[int]
    """The row, among those of this input in the model's batch, whose logits made each."""
    tokens: list[int]
    """What was written at each."""
    totals: list[float]
    """Log-probability of all that was written at each, in nats; -inf for a place that holds nothing."""
    scores: list[float]
    """What hypotheses are ranked by, if they ended here."""
    done: list[bool]
    """Which are finished: they ended, or the limit cut them."""
    ranked: bool = True
    """Whether the answer is the one with the best score; of samples it is the first."""


Listener = Callable[[Step], None]

_LISTENER: ContextVar[Listener | None] = ContextVar("regard_search_listener", default=None)


def listening() -> bool:
    """Whether anybody wants to hear of steps."""
    return _LISTENER.get() is not None


def emit(step: Step) -> None:
    """Tell whoever listens."""
    if (listener := _LISTENER.get()) is not None:
        listener(step)


@contextmanager
def listen(listener: Listener) -> Iterator[None]:
    """Hear of the steps of searches in this thread or task."""
    token = _LISTENER.set(listener)
    try:
        yield
    finally:
        _LISTENER.reset(token)
