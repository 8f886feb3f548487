"""Tables in text form: tab-separated, comma-separated, and one JSON object a line.

Each is a `Table`: names of columns, and a stream of records in which a broken one is a `Problem` with its
place. This file does not know which problems are forgiven, nor how rows are split.

- `.tsv` has no quoting: a tab is always a border, a line always a record.
- `.csv` is what spreadsheets write (RFC 4180): cells may be quoted and may then hold commas and line ends.
- `.jsonl`: strings are taken as they are, numbers and truth values as JSON writes them, null as empty; lists
  and objects only in the columns that are made of them (`STRUCTURED`), again as JSON writes them.
"""

from __future__ import annotations

import csv
import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from regard.data.readers.columns import Wanted, default_names, looks_like_header
from regard.data.readers.lines import BLANK, LINE_LIMIT, Line, Problem, read_lines, too_long
from regard.data.readers.messages import messages_in
from regard.errors import DataError

__all__ = ["CsvTable", "JsonlTable", "Record", "Table", "TsvTable", "as_text"]

STRUCTURED = ("answers", "messages")
"""Columns whose values are lists or objects: spans of a context, turns of a dialogue."""

Record = tuple[str, tuple[str, ...] | Problem]
"""Where it stands (`pairs.tsv:17`), and the values of the columns that were picked, or why there are none."""


class Table(Protocol):
    """One file (or one set of parallel files) with named columns."""

    @property
    def label(self) -> str:
        """The file, as the user wrote it."""

    @property
    def columns(self) -> tuple[str, ...]:
        """The names of all columns."""

    def records(self, picked: tuple[int, ...]) -> Iterator[Record]:
        """All records, with the values of the `picked` columns in that order. Raises DataError."""


@dataclass(frozen=True)
class TsvTable:
    """Tab-separated values; `header` says whether the first line holds the names."""

    path: Path
    columns: tuple[str, ...]
    header: bool

    @classmethod
    def open(cls, path: Path, wanted: Wanted) -> TsvTable:
        """Look at the first line. Raises DataError when it cannot be read."""
        line = next(read_lines(path), None)
        cells = _first(path, None if line is None else line.content).split("\t")
        header = looks_like_header(cells, wanted)
        return cls(path, tuple(cells) if header else default_names(len(cells)), header)

    @property
    def label(self) -> str:
        return str(self.path)

    def records(self, picked: tuple[int, ...]) -> Iterator[Record]:
        label, width = self.label, len(self.columns)
        for number, _, content in read_lines(self.path):
            if self.header and number == 1:
                continue
            where = f"{label}:{number}"
            if isinstance(content, Problem):
                yield where, content
            elif not content:
                yield where, BLANK
            else:
                yield where, _pick(content.split("\t"), picked, width)


@dataclass(frozen=True)
class CsvTable:
    """Comma-separated values; `header` says whether the first record holds the names."""

    path: Path
    columns: tuple[str, ...]
    header: bool

    @classmethod
    def open(cls, path: Path, wanted: Wanted) -> CsvTable:
        """Look at the first record. Raises DataError when it cannot be read."""
        _, cells = next(_csv_records(path), (0, None))
        if cells is None or isinstance(cells, Problem):
            _first(path, cells)
        assert isinstance(cells, list)
        header = looks_like_header(cells, wanted)
        return cls(path, tuple(cells) if header else default_names(len(cells)), header)

    @property
    def label(self) -> str:
        return str(self.path)

    def records(self, picked: tuple[int, ...]) -> Iterator[Record]:
        records = _csv_records(self.path)
        if self.header:
            next(records, None)
        label, width = self.label, len(self.columns)
        for number, cells in records:
            where = f"{label}:{number}"
            if isinstance(cells, Problem):
                yield where, cells
            else:
                yield where, _pick(cells, picked, width)


@dataclass(frozen=True)
class JsonlTable:
    """One JSON object a line; its columns are the keys of the first sound one."""

    path: Path
    columns: tuple[str, ...]

    @classmethod
    def open(cls, path: Path) -> JsonlTable:
        """Look for the first object. Raises DataError when there is none."""
        problem: Problem | None = None
        for line in read_lines(path):
            found = _json_object(line.content)
            if isinstance(found, dict):
                return cls(path, tuple(found))
            problem = problem or (None if found.harmless else found)
        if problem is None:
            raise DataError(f"{path} is empty; give a file with data")
        raise DataError(f"{path} holds no JSON object, one a line; its first problem: {problem}")

    @property
    def label(self) -> str:
        return str(self.path)

    def records(self, picked: tuple[int, ...]) -> Iterator[Record]:
        label, names = self.label, [self.columns[index] for index in picked]
        for number, _, content in read_lines(self.path):
            yield f"{label}:{number}", _json_values(_json_object(content), names)


def as_text(value: object) -> str | Problem:
    """A value of a typed format as text."""
    if isinstance(value, str):
        if len(value) > LINE_LIMIT:
            return too_long("cell")
        if "\0" in value:
            return Problem("NUL byte")
        try:
            value.encode()
        except UnicodeEncodeError:
            return Problem("bad UTF-8", "half of a surrogate pair")
        return value
    if value is None:
        return ""
    if isinstance(value, bool | int | float):
        return json.dumps(value)
    return Problem("not text", f"a {type(value).__name__}")


# --------------------------------------------------------------------------------------------- inside


def _first(path: Path, content: str | Problem | None) -> str:
    """The first line of a table, which must be sound: without it nothing else has a meaning."""
    if content is None or content == "" or content == BLANK:
        what = "is empty" if content is None else "starts with a blank line"
        raise DataError(f"{path} {what}; give a file whose first line names the columns or is an example")
    if isinstance(content, Problem):
        raise DataError(f"{path}:1: {content}; mend this line, from which the columns follow")
    return content


def _pick(cells: list[str], picked: tuple[int, ...], width: int) -> tuple[str, ...] | Problem:
    if len(cells) != width:
        return Problem("wrong number of columns", f"{len(cells)} where the first line has {width}")
    return tuple([cells[index] for index in picked])  # a list is quicker than a generator


def _json_object(content: str | Problem) -> dict[str, object] | Problem:
    if isinstance(content, Problem):
        return content
    if not content.strip():
        return BLANK
    try:
        value = json.loads(content)
    except RecursionError:
        return Problem("bad JSON", "nested too deeply")
    except json.JSONDecodeError as error:
        return Problem("bad JSON", f"{error.msg} at character {error.pos + 1}")
    except ValueError:
        return Problem("bad JSON", "a number with thousands of digits")
    return (
        value if isinstance(value, dict) else Problem("bad JSON", f"a {type(value).__name__}, not an object")
    )


def _json_values(row: dict[str, object] | Problem, names: list[str]) -> tuple[str, ...] | Problem:
    if isinstance(row, Problem):
        return row
    values: list[str] = []
    for name in names:
        if name not in row:
            return Problem("wrong number of columns", f"no '{name}'")
        value = _flat(name, row[name])
        if isinstance(value, Problem):
            return value
        values.append(value)
    return tuple(values)


def _flat(name: str, value: object) -> str | Problem:
    """A value as text; a dialogue must be one."""
    if name not in STRUCTURED or not isinstance(value, list | dict):
        return as_text(value)
    if name == "messages" and isinstance(turns := messages_in(value), Problem):
        return turns
    return as_text(json.dumps(value, ensure_ascii=False))


class _BrokenRecordError(Exception):
    """Carries a problem out of the csv module, which is in the middle of a record."""

    def __init__(self, problem: Problem) -> None:
        self.problem = problem


class _Feed:
    """The lines that csv asks for, with a limit to what one record may take, and a way back.

    An opening quote that is never closed would swallow the rest of the file. When that shows, only the first
    line of the record is given up and reading goes on with the second.
    """

    def __init__(self, lines: Iterator[Line]) -> None:
        self._lines = lines
        self._again: list[Line] = []
        self._record: list[Line] = []
        self._size = 0

    def start(self) -> None:
        """A new record begins."""
        self._record.clear()
        self._size = 0

    def retreat(self) -> None:
        """Give back all lines of this record but the first."""
        self._again.extend(reversed(self._record[1:]))

    @property
    def number(self) -> int:
        """The line at which this record began."""
        return self._record[0].number

    def __iter__(self) -> _Feed:
        return self

    def __next__(self) -> str:
        line = self._again.pop() if self._again else next(self._lines)
        self._record.append(line)
        if isinstance(line.content, Problem):
            inside = len(self._record) > 1
            raise _BrokenRecordError(
                Problem("unclosed quote", f"line {line.number} has a {line.content}")
                if inside
                else line.content
            )
        self._size += len(line.content) + 1
        if self._size > LINE_LIMIT + 1:
            raise _BrokenRecordError(Problem("unclosed quote", f"more than {LINE_LIMIT:,} characters follow"))
        return line.content + "\n"


def _csv_records(path: Path) -> Iterator[tuple[int, list[str] | Problem]]:
    """The number of the first line of each record, and its cells or what is wrong with it."""
    feed = _Feed(read_lines(path))
    reader = csv.reader(feed, strict=True)
    while True:
        feed.start()
        cells: list[str] | Problem
        try:
            cells = next(reader) or BLANK
        except StopIteration:
            return
        except _BrokenRecordError as error:
            cells = error.problem
            feed.retreat()
        except csv.Error as error:
            cells = Problem("bad CSV", str(error))
            feed.retreat()
        yield feed.number, cells
