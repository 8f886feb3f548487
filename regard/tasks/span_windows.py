"""A question and its context as windows of tokens, and what is found in several windows put together.

It does not know text, tokenizers or models.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator
from typing import NamedTuple

import numpy as np

from regard.data.readers.answers import Answer
from regard.tasks.parts import window_starts


class Read(NamedTuple):
    """A context as tokens, and the characters, from and to, that each stands for."""

    ids: list[int]
    places: list[tuple[int, int]]


class Window(NamedTuple):
    """The ids that a model sees at once: a question, and a part of its context."""

    ids: list[int]
    first: int
    """The place among the ids at which the context begins …"""
    begin: int
    """… with this one of its tokens."""


class Found(NamedTuple):
    """What a model says of one question. Scores are sums of logits."""

    spans: dict[tuple[int, int], float]
    """By the characters, from and to."""
    null: float
    """The score of there being no answer: the least of all windows."""
    total: float
    """Log of the sum of e^score over all spans of all windows."""

    @property
    def margin(self) -> float:
        """How far 'no answer' is above the best span."""
        return self.null - max(self.spans.values(), default=-math.inf)


NOTHING_FOUND = Found({}, math.inf, -math.inf)


def windows(asked: list[int], context: list[int], end: int, length: int, stride: int) -> Iterator[Window]:
    """`asked`, a part of `context`, and `end`: at most `length` ids, of which the context has what is left.
    Each window begins `stride` tokens after the one before, or half of that room if it is 0."""
    room = length - len(asked) - 1
    for begin in window_starts(len(context), room, stride):
        yield Window([*asked, *context[begin : begin + room], end], len(asked), begin)


def covering(places: list[tuple[int, int]], answer: Answer) -> tuple[int, int] | None:
    """The first and last of the tokens that hold some of the answer."""
    held = [i for i, (begin, end) in enumerate(places) if begin < answer.end and end > answer.start]
    return (held[0], held[-1]) if held else None


def inside(window: Window, spans: Iterable[tuple[int, int]]) -> list[tuple[int, int]]:
    """Those spans of the context's tokens that a window holds whole, as places among its ids."""
    shift, stop = window.first - window.begin, len(window.ids) - 1
    moved = [(first + shift, last + shift) for first, last in spans]
    return [(first, last) for first, last in moved if first >= window.first and last < stop]


def joined(
    found: Found,
    window: Window,
    places: list[tuple[int, int]],
    scores: list[float],
    starts: list[int],
    ends: list[int],
    null: float,
    total: float,
) -> Found:
    """`found` with what one more window says; of what two windows say of a span the better counts."""
    spans, shift = dict(found.spans), window.begin - window.first
    for score, start, end in zip(scores, starts, ends, strict=True):
        if score > -math.inf:
            span = (places[start + shift][0], places[end + shift][1])
            spans[span] = max(score, spans.get(span, -math.inf))
    return Found(spans, min(found.null, null), log_sum(found.total, total))


def log_sum(one: float, other: float) -> float:
    """log(e^one + e^other); NaN of what is no number."""
    with np.errstate(invalid="ignore"):
        return float(np.logaddexp(one, other))
