"""The bytes of a text file as UTF-8 with line feeds, whichever of Unicode's encodings and line ends it has.

UTF-16 and UTF-32 are known by their byte order mark. A carriage return alone ends a line where the first
lines (`HEAD` bytes of them) have no line feed at all; elsewhere it is a character like any other. This file
does not know lines, columns or zipped files.
"""

from __future__ import annotations

import codecs
import io
from collections.abc import Callable
from pathlib import Path
from typing import Any, BinaryIO

from regard.errors import DataError

HEAD = 1 << 16
"""Bytes that decide; what is given to `as_utf8` should hold as many in its buffer."""

_MARKS = (  # the longer ones first: UTF-32's begins as UTF-16's does
    (codecs.BOM_UTF32_LE, "utf-32"),
    (codecs.BOM_UTF32_BE, "utf-32"),
    (codecs.BOM_UTF16_LE, "utf-16"),
    (codecs.BOM_UTF16_BE, "utf-16"),
)


def as_utf8(file: io.BufferedReader, path: Path) -> BinaryIO:
    """`file`, or what turns it into UTF-8 with line feeds. What is no text in it stays none.

    Raises: DataError for UTF-16 that does not say that it is, and while it is read for what is not whole.
    """
    head = file.peek(HEAD)[:HEAD]
    for mark, encoding in _MARKS:
        if head.startswith(mark):
            file = io.BufferedReader(_Changed(file, _decoded(encoding, path)), HEAD)
            head = file.peek(HEAD)[:HEAD]
            break
    else:
        if _half_zeros(head):
            raise DataError("{where} looks like UTF-16 without a byte order mark; save it as UTF-8", path)
    if b"\r" in head.rstrip(b"\r") and b"\n" not in head:
        return io.BufferedReader(_Changed(file, lambda chunk: chunk.replace(b"\r", b"\n")), HEAD)
    return file


def _half_zeros(head: bytes) -> bool:
    """Whether most bytes at even places are 0 and hardly any others, or the other way round."""
    even, odd = head[::2], head[1::2]
    few, many = sorted((even.count(0) / max(1, len(even)), odd.count(0) / max(1, len(odd))))
    return len(head) >= 4 and many > 0.5 and few < 0.05


class _Changed(io.RawIOBase):
    """Bytes that are made of those of another file, chunk by chunk; of an empty one, what is left."""

    def __init__(self, file: BinaryIO, change: Callable[[bytes], bytes]) -> None:
        self._file, self._change, self._ready = file, change, b""

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any, /) -> int:
        while not self._ready:
            chunk = self._file.read(HEAD)
            self._ready = self._change(chunk)
            if not chunk:
                break
        count = min(len(buffer), len(self._ready))
        buffer[:count], self._ready = self._ready[:count], self._ready[count:]
        return count


def _decoded(encoding: str, path: Path) -> Callable[[bytes], bytes]:
    """Half of a surrogate pair becomes bytes that are no UTF-8, so that its line is refused and no other."""
    decoder = codecs.getincrementaldecoder(encoding)("surrogatepass")

    def change(chunk: bytes) -> bytes:
        try:
            text = decoder.decode(chunk, final=not chunk)
        except UnicodeDecodeError as error:
            sentence = "{where} is not whole {limit} text; save it as UTF-8"
            raise DataError(sentence, path, encoding.upper()) from error
        return text.encode("utf-8", "surrogatepass")

    return change
