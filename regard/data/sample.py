"""An even sample of a stream of texts, in bounded memory, the same one every time.

It knows texts and their sizes, nothing of what is learned from them.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import TypeVar

_LEAST = 32
REPLACEMENT = "\ufffd"  # what Unicode has for a character that is not known


@dataclass(frozen=True)
class Sample:
    """What a tokenizer was trained on: `texts` of the `seen` texts of the data, `size` bytes in UTF-8."""

    texts: int
    seen: int
    size: int


_Texts = TypeVar("_Texts", bound=tuple[str, ...])


def take_sample(examples: Iterable[_Texts], limit: int) -> tuple[list[_Texts], Sample]:
    """An even sample in bounded memory: each example has a fixed random rank, and the lowest ranks stay.

    limit: bytes of text in UTF-8; very short texts count as _LEAST, since each has its cost in memory.
    Not every n-th one: data often alternate (source, target, source, ...) and a step would see one side.
    """
    kept: list[tuple[int, int, _Texts]] = []
    held = seen = 0
    below = 1 << 64
    for texts in examples:
        rank = _rank(seen)
        seen += 1
        if rank >= below:
            continue
        size = sum(len(valid_text(text).encode()) for text in texts)
        kept.append((rank, size, texts))
        held += max(size, _LEAST)
        while held > limit and len(kept) > 1:
            below //= 2
            kept = [item for item in kept if item[0] < below] or kept[:1]
            held = sum(max(size, _LEAST) for _, size, _ in kept)
    return [texts for _, _, texts in kept], Sample(len(kept), seen, sum(size for _, size, _ in kept))


def _rank(index: int) -> int:
    """64 well-mixed bits of a number (splitmix64)."""
    mixed = (index + 1) * 0x9E3779B97F4A7C15 & 0xFFFFFFFFFFFFFFFF
    mixed = (mixed ^ mixed >> 30) * 0xBF58476D1CE4E5B9 & 0xFFFFFFFFFFFFFFFF
    mixed = (mixed ^ mixed >> 27) * 0x94D049BB133111EB & 0xFFFFFFFFFFFFFFFF
    return mixed ^ mixed >> 31


def valid_text(text: str) -> str:
    """Lone surrogates (half a character, from broken UTF-16 or file names) have no UTF-8: U+FFFD instead."""
    if text.isascii():
        return text
    try:
        text.encode()
    except UnicodeEncodeError:
        return "".join(REPLACEMENT if "\ud800" <= letter <= "\udfff" else letter for letter in text)
    return text
