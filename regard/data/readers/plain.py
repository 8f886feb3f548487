"""Plain text: one running text, or parallel files of which the n-th lines belong together.

It does not know which problems are forgiven, nor languages: the extension of a parallel file is simply the
name of its column.
"""

from __future__ import annotations

import os
from codecs import getincrementaldecoder
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import zip_longest
from pathlib import Path

from regard.data.readers.columns import Wanted
from regard.data.readers.lines import BLANK, Line, Problem, decode_line, open_text, read_lines
from regard.data.readers.reader import READERS, Reader
from regard.data.readers.tables import Record
from regard.data.rows import Row

_CHUNK = 1 << 20
_LONG, _PART = 1 << 13, 1 << 10
"""Bytes: a text may stand on one line, and is then read, and shared out to splits, in parts."""


@dataclass(frozen=True)
class ParallelTable:
    """Files of equal length, one a column: `train.en` and `train.de`."""

    paths: tuple[Path, ...]
    columns: tuple[str, ...]

    @property
    def label(self) -> str:
        return str(self.paths[0].with_name("+".join(path.name for path in self.paths)))

    def records(self, picked: tuple[int, ...]) -> Iterator[Record]:
        """Lines side by side. All files are read, so that one that is too short is noticed."""
        for lines in zip_longest(*(read_lines(path) for path in self.paths)):
            number = next(line.number for line in lines if line is not None)
            where = f"{self.paths[picked[0]]}:{number}"
            values: list[str] = []
            problem: Problem | None = None
            for index in picked:
                line = lines[index]
                if line is None:
                    problem = Problem("no partner line", f"{self.paths[index]} ends before")
                elif isinstance(line.content, Problem):
                    problem, where = line.content, f"{self.paths[index]}:{number}"
                else:
                    values.append(line.content)
            if problem is None and not any(values):
                problem = BLANK
            yield where, problem or tuple(values)


@dataclass(frozen=True)
class TextFile:
    """A running text, line by line, and long lines in parts. A blank line is a part of it, line ends are not
    in the values."""

    path: Path

    def size(self) -> int:
        """Bytes of the text, unzipped and in UTF-8."""
        with open_text(self.path) as file:
            if file.seekable():
                return file.seek(0, os.SEEK_END)
            return sum(len(chunk) for chunk in iter(lambda: file.read(_CHUNK), b""))

    def is_blank(self) -> bool:
        """Whether it holds no text, but blank lines at most."""
        decode = getincrementaldecoder("utf-8")("replace").decode
        with open_text(self.path) as file:
            chunks = iter(lambda: file.read(_CHUNK), b"")
            return not any(text.strip().strip("\ufeff") for text in map(decode, chunks))

    def records(self, begin: int, end: int) -> Iterator[tuple[str, Row | Problem]]:
        """The lines, or parts of them, whose first byte is one of `begin … end - 1`, with their places."""
        for line, ends in _parts_of_lines(self.path):
            if line.start >= end:
                return
            if line.start >= begin:
                where, content = f"{self.path}:{line.number}", line.content
                if isinstance(content, Problem):
                    yield where, content
                else:
                    yield where, Row((content,), where, running=True, ends_line=ends)


def _parts_of_lines(path: Path) -> Iterator[tuple[Line, bool]]:
    """Lines, and of those over `_LONG` bytes parts of at most `_PART`; and whether the line ends with it."""
    with open_text(path) as file:
        number, start = 1, 0
        while raw := file.readline(_LONG):
            long = len(raw) == _LONG
            while long:
                if len(raw) <= _PART and not raw.endswith(b"\n"):
                    raw += file.readline(_LONG)
                if len(raw) <= _PART:
                    break
                size = _end_of_part(raw)
                yield Line(number, start, decode_line(raw[:size], first=start == 0)), False
                start, raw = start + size, raw[size:]
            yield Line(number, start, decode_line(raw, first=start == 0)), True
            number, start = number + 1, start + len(raw)


def _end_of_part(raw: bytes) -> int:
    """Where the first part of a line ends: before a blank, else before a character."""
    if (blank := raw.rfind(b" ", 1, _PART)) > 0:
        return blank
    return next((size for size in range(_PART, _PART - 4, -1) if raw[size] & 0xC0 != 0x80), _PART)


@READERS.register
class Text(Reader):
    """A running text."""

    kind = "txt"
    columns = 1
    running = True

    @classmethod
    def open(cls, path: Path, wanted: Wanted, *, skip: bool) -> TextFile:
        return TextFile(path)
