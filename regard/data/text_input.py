"""Lines of text from a file or standard input, checked as they come."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import nullcontext
from pathlib import Path
from typing import BinaryIO

from regard.errors import DataError, cannot_read, not_text

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
        raise cannot_read(DataError, name, problem) from problem


def _lines(file: BinaryIO, name: str) -> Iterator[str]:
    number = 0
    while raw := file.readline(4 * _LONGEST + 2):
        number += 1
        try:
            line = raw.decode("utf-8-sig" if number == 1 else "utf-8").rstrip("\r\n")
        except UnicodeDecodeError as problem:
            raise not_text(DataError, f"{name}:{number}") from problem
        if "\0" in line:
            sentence = "{where} holds a NUL byte, which no text does; give a text file"
            raise DataError(sentence, f"{name}:{number}")
        if len(line) > _LONGEST:
            raise DataError("{where} has over {limit:,} characters; split it", f"{name}:{number}", _LONGEST)
        yield line
