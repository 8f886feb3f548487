"""Lines of text from a file or standard input, checked as they come."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import nullcontext
from pathlib import Path
from typing import BinaryIO

from regard.errors import DataError

_LONGEST = 100_000  # characters; more than a line holds that anybody wrote


def lines_of(path: Path | None) -> Iterator[str]:
    """The lines of `path`, or of standard input, without their ends.

    Raises: DataError naming file and line for what is not text.
    """
    name = "standard input" if path is None else str(path)
    try:
        with nullcontext(sys.stdin.buffer) if path is None else path.open("rb") as file:
            yield from _lines(file, name)
    except OSError as problem:
        raise DataError("cannot read {key}: {value}", name, problem.strerror or problem) from problem


def _lines(file: BinaryIO, name: str) -> Iterator[str]:
    number = 0
    while raw := file.readline(4 * _LONGEST + 2):
        number += 1
        try:
            line = raw.decode("utf-8-sig" if number == 1 else "utf-8").rstrip("\r\n")
        except UnicodeDecodeError as problem:
            raise DataError(
                "{where}:{value}: is not UTF-8 text; convert the file to UTF-8", name, number
            ) from problem
        if "\0" in line:
            raise DataError(
                "{where}:{value}: holds a NUL byte, which no text does; give a text file", name, number
            )
        if len(line) > _LONGEST:
            raise DataError(
                "{where}:{value}: has over {limit:,} characters; split it", name, number, _LONGEST
            )
        yield line
