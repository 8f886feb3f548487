"""How large the pages of a Parquet file are, before any is unpacked.

A reader takes a page whole: it unpacks it, then copies it into an array. A page of a few hundred bytes may
hold a cell of gigabytes, and nothing but its header says so. Headers, and the footer that says where the
pages are, are Thrift's compact protocol; of each only sizes and places are wanted. (pyarrow would tell those,
too, but ends the process where a footer is damaged.) This file does not know what the pages hold.

Source: the Parquet format, parquet.thrift, `FileMetaData` and `PageHeader`; Apache Thrift,
thrift-compact-protocol.md.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, BinaryIO, NamedTuple

_CHUNK = 1 << 10
_LONGEST_HEADER = 1 << 24  # as Arrow's own limit; of a footer, too
_TAIL, _MAGIC = 8, b"PAR1"
_DEEPEST = 8


class Page(NamedTuple):
    """Sizes of one page."""

    unpacked: int
    packed: int
    """Bytes."""
    values: int
    """Cells; 0 for a dictionary, whose entries stand for many."""


class Column(NamedTuple):
    """Where the pages of one column of one row group are."""

    name: str
    """Names of nested columns are joined by dots."""
    start: int
    size: int
    """Bytes."""
    rows: int
    """Of the row group; a list has more values than rows."""


def columns_of(file: BinaryIO) -> list[list[Column]]:
    """The columns of each row group, as the footer says. Raises: ValueError when it is damaged."""
    end = file.seek(-_TAIL, 2)
    tail = file.read(_TAIL)
    length = int.from_bytes(tail[:4], "little")
    if tail[4:] != _MAGIC or not 0 < length <= min(end, _LONGEST_HEADER):
        raise ValueError("the file has no footer, or too long a one")
    file.seek(end - length)
    try:
        footer = _Thrift(file.read(length)).struct()
        return [[_column(chunk[3], group[3]) for chunk in group[1]] for group in footer.get(4, ())]
    except (IndexError, KeyError, TypeError, AttributeError) as problem:
        raise ValueError("the footer is damaged") from problem


def _column(about: dict[int, Any], rows: int) -> Column:
    start, dictionary, size = about[9], about.get(11), about[7]
    if dictionary and 0 < dictionary < start:
        start = dictionary
    if min(start, size, rows) < 0:
        raise ValueError("the footer is damaged")
    return Column(b".".join(about[3]).decode("utf-8", "replace"), start, size, rows)


def pages_of(file: BinaryIO, column: Column) -> Iterator[Page]:
    """The pages of one column of one row group. Raises: ValueError when what is there is no page."""
    place, end = column.start, column.start + column.size
    while place < end:
        size, page = _header(file, place, min(end - place, _LONGEST_HEADER))
        place += size + page.packed
        yield page


def _header(file: BinaryIO, place: int, most: int) -> tuple[int, Page]:
    """Bytes of the header at `place`, and what it says."""
    length = _CHUNK
    while True:
        file.seek(place)
        content = file.read(min(length, most))
        reader = _Thrift(content)
        try:
            found = reader.struct()
        except IndexError as problem:
            if len(content) < length:
                raise ValueError("a page has no whole header") from problem
            length *= 8  # statistics may hold long texts
            continue
        unpacked, packed = found.get(2), found.get(3)
        if not isinstance(unpacked, int) or not isinstance(packed, int) or min(unpacked, packed) < 0:
            raise ValueError("a page does not say its size")
        data = found.get(5) or found.get(8) or {}
        values = data.get(1, 0) if isinstance(data, dict) else 0
        return reader.place, Page(unpacked, packed, values if isinstance(values, int) else 0)


class _Thrift:
    """Reads structures of numbers, bytes and lists. IndexError where the content ends."""

    def __init__(self, content: bytes) -> None:
        self._content, self.place = content, 0

    def struct(self, depth: int = 0) -> dict[int, Any]:
        """By field number."""
        if depth > _DEEPEST:
            raise ValueError("a page's header is nested too deeply")
        found: dict[int, Any] = {}
        number = 0
        while head := self._byte():
            number = number + (head >> 4) if head >> 4 else self._zigzag()
            found[number] = self._value(head & 15, depth)
        return found

    def _byte(self) -> int:
        value = self._content[self.place]
        self.place += 1
        return value

    def _varint(self) -> int:
        value = shift = 0
        while True:
            byte = self._byte()
            value |= (byte & 127) << shift
            shift += 7
            if byte < 128:
                return value
            if shift > 63:
                raise ValueError("a page's header holds a number that is too long")

    def _zigzag(self) -> int:
        value = self._varint()
        return (value >> 1) ^ -(value & 1)

    def _value(self, kind: int, depth: int) -> Any:
        match kind:
            case 1 | 2:  # true, false
                return None
            case 3:
                self._byte()
            case 4 | 5 | 6:  # of 16, 32 and 64 bits
                return self._zigzag()
            case 7:
                self.place += 8
            case 8:  # bytes
                length = self._varint()
                self.place += length
                return self._content[self.place - length : self.place]
            case 9 | 10:
                return self._list(depth)
            case 12:
                return self.struct(depth + 1)
            case _:  # neither headers nor footers have others
                raise ValueError("a page's header is none")
        return None

    def _list(self, depth: int) -> list[Any]:
        head = self._byte()
        count, kind = head >> 4, head & 15
        if count == 15:
            count = self._varint()
        if count > len(self._content) - self.place:
            raise ValueError("a list is longer than what holds it")
        if kind in (1, 2):  # a truth value has a byte of its own here
            return [self._byte() for _ in range(count)]
        return [self._value(kind, depth) for _ in range(count)]
