"""Where tokens stand in a text: places that leave out no character but white space.

What normalises a text (NFC, lower case, a table of SentencePiece's) can lose characters: a composed letter
is said to stand where its first part stood, a control character nowhere. This file does not know tokenizers.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence

Place = tuple[int, int]
"""A token is `text[start:end]`."""


def cover(text: str, places: Sequence[Place]) -> list[Place]:
    """The same places, some of them widened, so that each character that is not white space lies in one.

    What nobody claims belongs to the token before it, as an accent does to its letter; after white space, and
    at the beginning of the text, to the token after it. Without tokens there are no places to widen.
    """
    found = list(places)
    ending, starting = defaultdict(list), defaultdict(list)
    for index, (start, end) in enumerate(places):
        ending[end].append(index)
        starting[start].append(index)
    for start, end in _gaps(len(text), places):
        lost = text[start:end]
        if lost.isspace():
            continue
        before, after = ending[start], starting[end]
        near = 0 if lost[0].isspace() else len(lost.split(maxsplit=1)[0])
        cut = start + (near if before and after else len(lost) if before else 0)
        if kept := text[start:cut].rstrip():
            for index in before:
                found[index] = (found[index][0], start + len(kept))
        if kept := text[cut:end].lstrip():
            for index in after:
                found[index] = (end - len(kept), found[index][1])
    return found


def _gaps(size: int, places: Sequence[Place]) -> list[Place]:
    """The stretches of a text of so many characters that are in no place."""
    gaps, at = [], 0
    for start, end in sorted(places):
        if start > at:
            gaps.append((at, start))
        at = max(at, end)
    return [*gaps, (at, size)] if at < size else gaps


def trimmed(text: str, start: int, end: int) -> Place:
    """The span without white space at its beginning, unless it is nothing else."""
    while start < end - 1 and text[start].isspace():
        start += 1
    return start, end
