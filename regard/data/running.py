"""A text of any length, cut into tokens as if it were cut at once.

It is cut in windows that overlap. Where two windows have the same tokens on both sides of a place, no token
of the whole spans it, and what stands before it does not change what comes after: the first window's tokens
are taken up to there, the second's from there on. Windows without such a place are cut together. This file
does not know how a tokenizer works.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass

_WINDOW = 1 << 15
"""Characters of a window."""
_OVERLAP = 1 << 10
_LARGEST = 1 << 20
"""Characters that are cut together at most: what has no place to be cut at by then is cut anywhere."""
_BESIDE = 3
"""Tokens on each side of a place that must be the same."""

Cut = Callable[[str], tuple[list[int], list[tuple[int, int]]]]
"""A text → its ids, and where each stands in it, in characters from and to."""


@dataclass(frozen=True)
class _Window:
    """A part of the text with its tokens; `begin` is the first of them that is still to be given."""

    text: str
    ids: list[int]
    spans: list[tuple[int, int]]
    begin: int = 0


def cut_running(texts: Iterable[str], cut: Cut) -> Iterator[list[int]]:
    """The ids of all texts as one, some at a time."""
    window: _Window | None = None
    for text in _stretches(texts):
        if window is None:
            window = _Window(text, *cut(text))
            continue
        overlap = min(_OVERLAP, len(window.text))
        both = window.text[-overlap:] + text
        after = _Window(both, *cut(both))
        place = _place(window, after, overlap)
        if place is None and len(window.text) < _LARGEST:
            # What was given already keeps its tokens: the joint window has them, too, since it begins there.
            both = window.text + text
            window = _Window(both, *cut(both), window.begin)
            continue
        end, begin = place or (len(window.ids), _first_from(after, overlap))
        yield window.ids[window.begin : end]
        window = _Window(after.text, after.ids, after.spans, begin)
    if window is not None:
        yield window.ids[window.begin :]


def _stretches(texts: Iterable[str]) -> Iterator[str]:
    """The same text in stretches of about a window."""
    kept: list[str] = []
    size = 0
    for text in texts:
        kept.append(text)
        size += len(text)
        if size >= _WINDOW:
            yield "".join(kept)
            kept, size = [], 0
    if size:
        yield "".join(kept)


def _place(window: _Window, after: _Window, overlap: int) -> tuple[int, int] | None:
    """Up to which token of `window`, and from which of `after`, the same place is reached: the one nearest to
    the middle of what both have."""
    shift = len(window.text) - overlap
    starts: dict[int, int] = {}
    for number, (start, _) in enumerate(after.spans):
        if start >= overlap:
            break
        starts.setdefault(start + shift, number)
    best: tuple[int, int, int] | None = None
    for mine in range(_first_from(window, shift), len(window.ids)):
        theirs = starts.get(window.spans[mine][0])
        if theirs is None or not _alike(window, mine, after, theirs, shift):
            continue
        away = abs(2 * (window.spans[mine][0] - shift) - overlap)
        if best is None or away < best[0]:
            best = away, mine, theirs
    return None if best is None or best[1] < window.begin else best[1:]


def _alike(window: _Window, mine: int, after: _Window, theirs: int, shift: int) -> bool:
    """Whether the tokens beside these two are the same, and the place before them is between characters."""
    if not (_BESIDE <= theirs <= len(after.ids) - _BESIDE and _BESIDE <= mine <= len(window.ids) - _BESIDE):
        return False
    if window.spans[mine - 1][1] > window.spans[mine][0]:
        return False
    some = range(-_BESIDE, _BESIDE)
    return all(
        window.ids[mine + n] == after.ids[theirs + n]
        and window.spans[mine + n] == tuple(place + shift for place in after.spans[theirs + n])
        for n in some
    )


def _first_from(window: _Window, place: int) -> int:
    """The first token that does not begin before a place."""
    return next((n for n, (start, _) in enumerate(window.spans) if start >= place), len(window.ids))
