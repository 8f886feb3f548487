"""Plain text: one running text, or parallel files of which the n-th lines belong together.

It does not know which problems are forgiven, nor languages: the extension of a parallel file is simply the
name of its column.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import zip_longest
from pathlib import Path

from regard.data.readers.lines import BLANK, Problem, open_bytes, read_lines
from regard.data.readers.tables import Record

__all__ = ["ParallelTable", "TextFile"]

_CHUNK = 1 << 20


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
    """A running text, line by line. A blank line is a part of it; line ends are not in the values."""

    path: Path

    def size(self) -> int:
        """Bytes of the text, unzipped."""
        with open_bytes(self.path) as file:
            if self.path.suffix != ".gz":
                return file.seek(0, os.SEEK_END)
            return sum(len(chunk) for chunk in iter(lambda: file.read(_CHUNK), b""))

    def records(self, begin: int, end: int) -> Iterator[Record]:
        """The lines whose first byte is one of `begin … end - 1`."""
        for line in read_lines(self.path):
            if line.start >= end:
                return
            if line.start >= begin:
                content = line.content
                yield f"{self.path}:{line.number}", content if isinstance(content, Problem) else (content,)
