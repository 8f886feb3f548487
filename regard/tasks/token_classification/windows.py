"""Tokens of a text in windows that overlap, and from which window each word gets its label.

A word's label is read where its first token stands, in the window that shows most on the side where it shows
less (as in arXiv 1810.04805's program for SQuAD, `_check_is_max_context`). It does not know models, nor tags.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import NamedTuple

import numpy as np

from regard.data.token_places import Place
from regard.tasks.parts import window_starts


class Window(NamedTuple):
    """A part of a text's tokens, and the words that are labelled there."""

    begin: int
    end: int
    words: list[int]
    at: list[int]
    """The places of their tokens within the window."""


def first_tokens(words: Sequence[Place], tokens: Sequence[Place]) -> list[int]:
    """For each word the first token that holds some of it: it may hold others, too, where words are smaller
    than tokens. A word of which the tokenizer sees nothing is read where the next token stands, or the last.

    Both are in the order of the text. Raises ValueError where there are words and no tokens.
    """
    if words and not tokens:
        raise ValueError("no token to read a word from")
    found, token = [], 0
    for start, _ in words:
        while token < len(tokens) - 1 and tokens[token][1] <= start:
            token += 1
        found.append(token)
    return found


def windows(first: Sequence[int], count: int, room: int, stride: int = 0) -> Iterator[Window]:
    """`count` tokens, `room` at a time, each window `stride` after the one before, or half of that room if it
    is 0. `first`: the token of each word."""
    begins = window_starts(count, room, stride)
    ends = [min(begin + room, count) for begin in begins]
    tokens = np.asarray(first)[:, None]
    context = np.minimum(tokens - np.array(begins), np.array(ends) - 1 - tokens)
    owners = context.argmax(1) if len(first) else np.array([], int)
    for number, (begin, end) in enumerate(zip(begins, ends, strict=True)):
        words = np.flatnonzero(owners == number).tolist()
        yield Window(begin, end, words, [first[word] - begin for word in words])
