"""How large the pages of a Parquet file are, before any is unpacked.

A reader takes a page whole: it unpacks it, then copies it into an array. A page of a few hundred bytes may
hold a cell of gigabytes, and nothing but its header says so. The headers are Thrift's compact protocol; of
each only the sizes are wanted. This file does not know what the pages hold.

Source: the Parquet format, parquet.thrift, `PageHeader`; Apache Thrift, thrift-compact-protocol.md.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, BinaryIO, NamedTuple

__all__ = ["Page", "pages_of"]

_CHUNK = 1 << 10
_LONGEST_HEADER = 1 << 24  # as Arrow's own limit
_DEEPEST = 8


class Page(NamedTuple):
    """Sizes of one page."""

    unpacked: int
    packed: int
    """Bytes."""
    values: int
    """Cells; 0 for a dictionary, whose entries stand for many."""


def pages_of(file: BinaryIO, column: Any) -> Iterator[Page]:
    """The pages of one column of one row group; `column`: pyarrow's metadata of it.

    Raises: ValueError when what is there is no page.
    """
    start = column.data_page_offset
    dictionary = column.dictionary_page_offset
    if column.has_dictionary_page and dictionary and 0 < dictionary < start:
        start = dictionary
    place, end = start, start + column.total_compressed_size
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
    """Reads structures of numbers; what else they hold is passed over. IndexError where the bytes end."""

    def __init__(self, content: bytes) -> None:
        self._content, self.place = content, 0

    def struct(self, depth: int = 0) -> dict[int, Any]:
        """By field number: whole numbers, and structures of them."""
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
            case 12:
                return self.struct(depth + 1)
            case _:  # a page's header has no lists
                raise ValueError("a page's header is none")
        return None
