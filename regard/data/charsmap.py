"""SentencePiece's compiled normalisation, as SentencePiece does it: at each place the longest rule.

`tokenizers` reads the same table a grapheme at a time, and takes the shortest rule that a grapheme begins
with, which loses the second accent of a decomposed Vietnamese letter and leaves Korean in its parts.

The table is a double array (Darts-clone) whose keys are in UTF-8, and the texts that its values point to
(google/sentencepiece, src/normalizer.cc). This file does not know tokenizers.
"""

from __future__ import annotations

import array
import re
import sys
from collections.abc import Iterable

from regard.data.token_places import Place


class Charsmap:
    """A table of rules, each of which makes one text of another. Raises: ValueError when it is none."""

    def __init__(self, table: bytes, whole: Iterable[str] = ()) -> None:
        """`whole`: texts that are left as they are, wherever they stand."""
        size = int.from_bytes(table[:4], "little")
        if size % 4 or not 0 < size <= len(table) - 4:
            raise ValueError("a table of normalisation is cut short")
        self._units = array.array("I", table[4 : 4 + size])
        if self._units.itemsize != 4:  # as on every system that Python runs on
            raise ValueError("integers here do not have 32 bits")
        if sys.byteorder == "big":
            self._units.byteswap()
        self._texts = table[4 + size :]
        """Each ends with a zero."""
        names = sorted(filter(None, whole), key=len, reverse=True)
        self._whole = re.compile("|".join(map(re.escape, names))) if names else None
        self._plain: set[str] = set()
        """Characters that no rule begins with, of those met so far."""

    def normalise(self, text: str) -> str:
        """What the rules make of a text."""
        if self._plain.issuperset(text):  # most texts, in one step
            return text
        return "".join(made for made, _, _ in self._steps(text))

    def aligned(self, text: str) -> tuple[str, list[Place]]:
        """What the rules make of a text, and for each of its characters where it comes from."""
        made, places = [], []
        for part, start, end in self._steps(text):
            made.append(part)
            places += [(start, end)] * len(part)
        return "".join(made), places

    def _steps(self, text: str) -> Iterable[tuple[str, int, int]]:
        """What is made of which stretch of a text."""
        at = 0
        for found in self._whole.finditer(text) if self._whole else ():
            yield from self._stretch(text, at, found.start())
            for index in range(*found.span()):
                yield text[index], index, index + 1
            at = found.end()
        yield from self._stretch(text, at, len(text))

    def _stretch(self, text: str, at: int, end: int) -> Iterable[tuple[str, int, int]]:
        while at < end:
            taken, made = (1, text[at]) if text[at] in self._plain else self._longest(text, at, end)
            yield made, at, at + taken
            at += taken

    def _longest(self, text: str, at: int, end: int) -> tuple[int, str]:
        """How many characters the longest rule at a place takes, and what it makes of them."""
        units, taken, value = self._units, 0, 0
        node = _offset(units[0])
        for index in range(at, end):
            for byte in text[index].encode():
                unit = units[node ^ byte]
                if unit & 0x800000FF != byte:
                    break
                node ^= byte ^ _offset(unit)
            else:
                if unit >> 8 & 1:
                    taken, value = index + 1 - at, units[node] & 0x7FFFFFFF
                continue
            if index == at:
                self._plain.add(text[at])
            break
        if not taken:
            return 1, text[at]
        return taken, self._texts[value : self._texts.index(b"\0", value)].decode("utf-8", "replace")


def _offset(unit: int) -> int:
    return unit >> 10 << ((unit & 1 << 9) >> 6)
