"""Lines of a text file, plain or gzipped, in bounded memory.

A line that cannot be used becomes a `Problem` in its place, so that the caller can refuse or count it. This
file does not know columns.
"""

from __future__ import annotations

import gzip
import io
import json
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO, NamedTuple, cast

from regard.data.readers.unicode import HEAD, as_utf8
from regard.errors import DataError, cannot_read, damaged, no_data, too_many_bytes

LINE_LIMIT = 100_000
"""Characters in one line (or one quoted record, or one cell): what is longer is no sentence."""

_BYTE_LIMIT = 4 * LINE_LIMIT + len("\r\n")  # no character takes more than four bytes in UTF-8
_CHUNK = 1 << 16
_MOST_PASSED = 1 << 28
"""Bytes of a line that is left out: one that is longer is no line among others."""
_UNPACKED_FREELY = 1 << 20
_MOST_UNPACKED = 200
"""How many times its size a gzip file may unpack to, beyond `_UNPACKED_FREELY` bytes; text: 3 or 10."""


@dataclass(frozen=True, slots=True)
class Problem:
    """Why a row cannot be used. `reason` is one of a few, so that it can be counted."""

    reason: str
    detail: str = ""
    harmless: bool = False
    """Counted, but never a cause to refuse the file."""

    def __str__(self) -> str:
        return f"{self.reason} ({self.detail})" if self.detail else self.reason


BLANK = Problem("blank line", harmless=True)


class Line(NamedTuple):
    """A line without its end, its number from 1, and the byte (of the unzipped file) at which it starts."""

    # A tuple, since there is one for each line of files that have tens of millions.

    number: int
    start: int
    content: str | Problem


def read_lines(path: Path) -> Iterator[Line]:
    """The lines of `path`, with `\\n` or `\\r\\n` and a byte order mark taken off.

    Raises:
        DataError: the file is missing, unreadable, or not the gzip file that its name promises.
    """
    with open_text(path) as file:
        yield from lines_in(file, str(path))


def lines_in(file: BinaryIO, name: str) -> Iterator[Line]:
    """The lines of an open file of that name, as `read_lines` gives them."""
    number, start = 0, 0
    while raw := file.readline(_BYTE_LIMIT):
        number += 1
        size = len(raw)
        if size == _BYTE_LIMIT and not raw.endswith(b"\n"):
            # One byte more than the longest allowed line was taken, so at least the end is missing.
            yield Line(number, start, too_long())  # who refuses it need not wait for its end
            size += _skip_line(file, f"{name}:{number}")
        else:
            yield Line(number, start, decode_line(raw, first=number == 1))
        start += size


@contextmanager
def open_text(path: Path) -> Iterator[BinaryIO]:
    """As `open_bytes`, in UTF-8 (after a byte order mark, if there is one) and with line feeds."""
    with open_bytes(path) as file:
        yield as_utf8(cast(io.BufferedReader, file), path)


@contextmanager
def open_bytes(path: Path) -> Iterator[BinaryIO]:
    """The bytes of a regular file, unzipped if its name ends in `.gz`.

    Raises DataError, also for what goes wrong while they are read in the block.
    """
    with file_errors(path):
        if not path.is_file():
            what = "is not a regular file" if path.exists() else "does not exist"
            raise no_data(path, what)
        with path.open("rb", HEAD) as file:
            packed = path.suffix == ".gz"
            yield cast(BinaryIO, io.BufferedReader(_Unpacked(file, path), _CHUNK)) if packed else file


@contextmanager
def file_errors(path: Path) -> Iterator[None]:
    """What reading a file can raise, as a DataError that names the file."""
    try:
        yield
    except (EOFError, zlib.error, gzip.BadGzipFile) as error:
        raise damaged(
            DataError, path, f"it is not a whole gzip file ({error})", "fetch or pack it again"
        ) from error
    except OSError as error:
        raise cannot_read(DataError, path, error) from error


def broken_header(where: str, problem: Problem) -> DataError:
    """An error to raise: a line cannot be read from which the columns follow."""
    sentence = (
        "{where}: {value}; mend this line, from which the columns follow, or leave it out with"
        " --on-error skip"
    )
    return DataError(sentence, where, problem)


def json_in(text: str, reason: str) -> object:
    """What a text of JSON says, or a `Problem` of that reason."""
    try:
        return json.loads(text)
    except (ValueError, RecursionError):
        return Problem(reason, f"'{text[:40]}' is no JSON")


def too_long(what: str = "line") -> Problem:
    return Problem(f"{what} over {LINE_LIMIT:,} characters")


def decode_line(raw: bytes, *, first: bool) -> str | Problem:
    """A line, or a part of one, from which its end is taken; of the `first`, the byte order mark, too."""
    if raw.endswith(b"\n"):
        raw = raw[:-1].removesuffix(b"\r")
    if b"\0" in raw:
        return Problem("NUL byte", f"byte {raw.index(0) + 1} of the line")
    try:
        text = raw.decode("utf-8")
    except UnicodeDecodeError as error:
        return Problem("bad UTF-8", f"byte {error.start + 1} of the line")
    if first:
        text = text.removeprefix("\ufeff")
    return too_long() if len(text) > LINE_LIMIT else text


class _Unpacked(io.RawIOBase):
    """What a gzip file holds, as long as that is no wonder."""

    def __init__(self, file: BinaryIO, path: Path) -> None:
        self._packed, self._path = file, path
        self._file = gzip.GzipFile(fileobj=file)

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any, /) -> int:
        count = self._file.readinto(buffer)
        place = self._file.tell()
        if place > _UNPACKED_FREELY and place > _MOST_UNPACKED * self._packed.tell():
            sentence = (
                "{where} unpacks to over {limit} times its size, as no data do; if these are, give them"
                " unpacked"
            )
            raise DataError(sentence, self._path, _MOST_UNPACKED)
        return count


def _skip_line(file: BinaryIO, where: str) -> int:
    """Read on to the end of the line, a chunk at a time; the number of bytes passed. Raises: DataError."""
    passed = 0
    while chunk := file.readline(_CHUNK):
        passed += len(chunk)
        if passed > _MOST_PASSED:
            raise too_many_bytes(DataError, where, _MOST_PASSED, "mend it")
        if chunk.endswith(b"\n"):
            break
    return passed
