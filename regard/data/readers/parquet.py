"""Tables in Parquet, read in batches through pyarrow.

Memory stays that of a few pages, whatever the file claims: pages are measured before they are unpacked, and
columns of what is neither text nor made of it are not read at all. It does not know which problems are
forgiven. Row numbers count from 1.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO

from regard.data.readers.columns import Wanted
from regard.data.readers.forms import Cell, as_cell
from regard.data.readers.lines import LINE_LIMIT, Problem, open_bytes, too_long
from regard.data.readers.parquet_pages import Column, Page, columns_of, pages_of
from regard.data.readers.reader import READERS, Reader
from regard.data.readers.tables import FileTable, Record
from regard.errors import DataError, damaged, needs, no_data, why
from regard.strict_json import HEADER, loads

_BATCH = 1024
_BUFFER_BYTES = 1 << 20  # without it pyarrow takes a whole column of a row group at once
_MOST_BYTES = _BATCH * LINE_LIMIT + (1 << 20)
"""Of a page: those that writers end after so many cells hold no more when each is as long as it may be."""

_BATCH_BYTES = 1 << 25
"""Of what is held of a column."""
_LIST_BYTES, _MOST_UNPACKED = 1 << 28, 20
"""A list may take all pages of its row group: over so many bytes, they may unpack to so many times theirs."""
_FREE_CHARACTERS = 1 << 26
_MOST_REPEATED = 200
"""How many times a file's size its cells may be, beyond `_FREE_CHARACTERS` characters. A page names a text
again by its number in a dictionary, or says how often it follows, so that its own size does not tell."""
_DEEPEST = 8


@dataclass(frozen=True)
class ParquetTable(FileTable):
    """A Parquet file; strings, numbers and truth values can be read, and lists and objects of them."""

    @classmethod
    def open(cls, path: Path) -> ParquetTable:
        """Read the schema. Raises DataError when it is not a Parquet file."""
        with _open(path) as (file, _):
            return cls(path, tuple(file.schema_arrow.names))

    def records(self, picked: tuple[int, ...]) -> Iterator[Record]:
        names = [self.columns[index] for index in picked]
        number = characters = 0
        with _open(self.path) as (file, raw):
            most = max(_FREE_CHARACTERS, _MOST_REPEATED * raw.seek(0, 2))
            kinds = {name: file.schema_arrow.field(name).type for name in names}
            foreign = {
                name: Problem("not text", f"a {str(kind)[:80]}")
                for name, kind in kinds.items()
                if not _is_text(kind)
            }
            classes = _classes(file.schema_arrow.metadata, names)
            wanted = [name for name in names if name not in foreign]
            if not wanted:  # pyarrow counts no rows of no columns
                yield f"{self.path}:1", foreign[names[0]]
                return
            for group, columns in enumerate(columns_of(raw)):
                rows = _rows_at_once(raw, self.path, columns, wanted, number + 1)
                for batch in file.iter_batches(rows, [group], wanted, use_threads=False):
                    cells = [foreign.get(name) or batch.column(name) for name in names]
                    for index in range(batch.num_rows):
                        number += 1
                        values = _values(cells, index, classes)
                        characters += _characters(values)
                        if characters > most:
                            raise _too_much(self.path, number)
                        yield f"{self.path}:{number}", values


def _values(columns: list[Any], index: int, classes: list[list[str] | None]) -> tuple[Cell, ...] | Problem:
    values: list[Cell] = []
    for column, names in zip(columns, classes, strict=True):
        if isinstance(column, Problem):
            return column
        try:
            found = column[index].as_py()
            value: Cell | Problem = as_cell(found if names is None else _named(found, names))
        except UnicodeDecodeError as error:
            value = Problem("bad UTF-8", f"byte {error.start + 1} of the cell")
        if isinstance(value, Problem):
            return value
        values.append(value)
    return tuple(values)


def _named(value: Any, names: list[str]) -> Any:
    """A class, or a list of such, by its name; -1, which is how the `datasets` library says that there is
    none, is nothing."""
    if isinstance(value, list):
        return [_named(item, names) for item in value]
    if type(value) is not int or value >= len(names):
        return value
    return names[value] if value >= 0 else None


def _classes(metadata: dict[bytes, bytes] | None, columns: list[str]) -> list[list[str] | None]:
    """The names of the classes in columns that hold numbers of classes, as the `datasets` library writes them
    beside a schema; None for other columns."""
    try:
        features = loads((metadata or {}).get(b"huggingface", b"{}"), HEADER)["info"]["features"]
        kinds = [features.get(column) or {} for column in columns]
        kinds = [kind.get("feature") or kind for kind in kinds]
        found = [kind.get("names") if kind.get("_type") == "ClassLabel" else None for kind in kinds]
    except (ValueError, TypeError, KeyError, AttributeError):  # a note of others, without which numbers stay
        return [None] * len(columns)
    return [names if names and all(isinstance(name, str) for name in names) else None for names in found]


def _characters(value: object) -> int:
    """At least how many characters the cells of a row have, and what is in them."""
    if isinstance(value, str):
        return len(value)
    if isinstance(value, dict):
        value = list(value.values())
    if isinstance(value, list | tuple):
        return sum(map(_characters, value))
    return LINE_LIMIT if value == too_long("cell") else 0


def _is_text(kind: Any, depth: int = 0) -> bool:
    """Whether a type is of text, numbers and truth values, or of lists and objects of such."""
    from pyarrow import types

    if depth > _DEEPEST:
        return False
    lists = (types.is_list, types.is_large_list, types.is_fixed_size_list)
    if types.is_dictionary(kind) or any(holds(kind) for holds in lists):
        return _is_text(kind.value_type, depth + 1)
    if types.is_struct(kind):
        return all(_is_text(kind.field(index).type, depth + 1) for index in range(kind.num_fields))
    known = (types.is_string, types.is_large_string, types.is_integer, types.is_floating, types.is_boolean)
    return types.is_null(kind) or any(holds(kind) for holds in known)


def _rows_at_once(raw: BinaryIO, path: Path, group: list[Column], names: list[str], first: int) -> int:
    """How many rows of a row group, whose first is `first`, may be held; its pages are measured for it.

    Raises: DataError when a page of those columns would take too much memory; ValueError for no page.
    """
    found = _BATCH
    for column in group:
        if any(column.name.startswith(f"{name}.") for name in names):
            found = min(found, _lists_at_once(raw, path, column, first))
        if column.name not in names:
            continue
        row = first
        for page in pages_of(raw, column):
            _check_page(page, column, path, row)
            row += page.values
            longest = page.unpacked // max(1, page.values)  # an entry of a dictionary may be all of it
            found = min(found, max(1, _BATCH_BYTES // max(1, longest)))
    return found


def _lists_at_once(raw: BinaryIO, path: Path, column: Column, first: int) -> int:
    """As `_rows_at_once`, of a column inside lists or objects, whose pages do not say of how many rows."""
    unpacked = dictionary = values = 0
    for page in pages_of(raw, column):
        _check_page(page, column, path, first)
        unpacked += page.unpacked
        values += page.values
        if not page.values:
            dictionary = max(dictionary, page.unpacked)
    if unpacked > _LIST_BYTES and unpacked > _MOST_UNPACKED * column.size:
        sentence = (
            "{where}: '{key}' of the row group that begins here unpacks to {value:,} bytes, over {limit}"
            " times its size; write it again in smaller row groups"
        )
        raise DataError(sentence, f"{path}:{first}", column.name, unpacked, _MOST_UNPACKED)
    longest = (unpacked + values * dictionary) // max(1, column.rows)  # each value may be the longest entry
    return max(1, _BATCH_BYTES // max(1, longest))


def _check_page(page: Page, column: Column, path: Path, row: int) -> None:
    if page.unpacked > _MOST_BYTES:
        sentence = (
            "{where}: a page of '{key}' that begins here has {value:,} bytes, more than {limit}; leave out"
            " what is so long"
        )
        raise DataError(
            sentence,
            f"{path}:{row}",
            column.name,
            page.unpacked,
            f"{_BATCH:,} cells of {LINE_LIMIT:,} characters",
        )


def _too_much(path: Path, row: int) -> DataError:
    sentence = (
        "{where}: the cells up to here have over {limit} times the file's size, as no data do; leave out"
        " what is repeated"
    )
    return DataError(sentence, f"{path}:{row}", _MOST_REPEATED)


@contextmanager
def _open(path: Path) -> Iterator[tuple[Any, BinaryIO]]:
    """The file as pyarrow sees it, and its bytes; what it can raise for a broken file becomes a DataError."""
    with needs("Parquet files need the package pyarrow", "parquet"):
        import pyarrow  # heavy, and most users have no Parquet
        from pyarrow import parquet

    with open_bytes(path) as raw:
        if not raw.read(1):
            raise no_data(path, "is empty")
        raw.seek(0)
        try:
            with parquet.ParquetFile(raw, buffer_size=_BUFFER_BYTES, pre_buffer=False) as file:
                yield file, raw
        except (pyarrow.ArrowException, OSError, ValueError, KeyError) as error:
            value = f"it is not a whole Parquet file ({why(error)})"
            raise damaged(DataError, path, value, "write it again") from error


@READERS.register
class Parquet(Reader):
    """Tables in columns, compressed within."""

    kind = "parquet"
    endings = ("pq",)
    zipped = False

    @classmethod
    def open(cls, path: Path, wanted: Wanted, *, skip: bool) -> ParquetTable:
        return ParquetTable.open(path)
