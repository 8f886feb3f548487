"""What every table is: names of columns, and a stream of records in which a broken one is a `Problem` with
its place; and tables of JSON objects, one a line or however else they stand in a file.

Strings of JSON are taken as they are, numbers and truth values as JSON writes them, null and NaN as empty.
This file does not know which problems are forgiven, nor how rows are split, nor what lists and objects may
mean (`forms`).
"""

from __future__ import annotations

import json
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Protocol

from regard.data.readers.columns import Wanted, pick_columns
from regard.data.readers.forms import Cell, as_cell
from regard.data.readers.lines import BLANK, Problem, read_lines
from regard.errors import DataError

LOOKED_AT = 1000
"""Rows among which the first sound one is looked for."""

Record = tuple[str, tuple[Cell, ...] | Problem]
"""Where it stands (`pairs.tsv:17`), and the values of the columns that were picked, or why there are none."""


class Table(Protocol):
    """One file (or one set of files) with named columns."""

    @property
    def label(self) -> str:
        """The file, as the user wrote it."""

    @property
    def columns(self) -> tuple[str, ...]:
        """The names of all columns."""

    def records(self, picked: tuple[int, ...]) -> Iterator[Record]:
        """All records, with the values of the `picked` columns in that order. Raises DataError."""


@dataclass(frozen=True)
class FileTable(ABC):
    """One file, or one folder."""

    path: Path
    columns: tuple[str, ...]

    @property
    def label(self) -> str:
        return str(self.path)

    @abstractmethod
    def records(self, picked: tuple[int, ...]) -> Iterator[Record]:
        """As `Table.records`."""


def suits(columns: Sequence[str], wanted: Wanted) -> bool:
    """Whether it is clear which of them are wanted."""
    try:
        pick_columns(columns, wanted, "")
    except DataError:
        return False
    return True


Objects = Callable[[Path], Iterator[tuple[str, dict[str, object] | Problem]]]
"""A file → its JSON objects with their places; what is none is a `Problem`. Raises: DataError."""


@dataclass(frozen=True)
class ObjectTable(FileTable):
    """JSON objects; its columns are the keys of the first sound one."""

    objects: Objects

    @classmethod
    def open(cls, path: Path, wanted: Wanted, objects: Objects, *, skip: bool) -> ObjectTable:
        """Look for the first object; with `skip`, for the first with the keys `wanted`. Raises DataError when
        there is none."""
        problem: Problem | None = None
        columns: tuple[str, ...] = ()
        for _, found in islice(objects(path), LOOKED_AT if skip else None):
            if isinstance(found, Problem):
                problem = problem or (None if found.harmless else found)
                continue
            columns = columns or tuple(found)
            if not skip or suits(tuple(found), wanted):
                return cls(path, tuple(found), objects)
        if not columns:
            sentence = "{where} holds {value}; give an array of objects, one an example, or one a line"
            value = "no JSON object" + (f", and first {problem}" if problem else "")
            raise DataError(sentence, path, value)
        return cls(path, columns, objects)

    def records(self, picked: tuple[int, ...]) -> Iterator[Record]:
        names = [self.columns[index] for index in picked]
        for where, found in self.objects(self.path):
            yield where, values_of(found, names)


def lines_of_json(path: Path) -> Iterator[tuple[str, dict[str, object] | Problem]]:
    """One object a line."""
    for number, _, content in read_lines(path):
        yield f"{path}:{number}", parse_object(content)


def parse_object(content: str | Problem) -> dict[str, object] | Problem:
    """What a line of JSON says, if that is an object."""
    if isinstance(content, Problem):
        return content
    if not content.strip():
        return BLANK
    try:
        value = json.loads(content)
    except (ValueError, RecursionError) as error:
        at = f" at character {error.pos + 1}" if isinstance(error, json.JSONDecodeError) else ""
        return Problem("bad JSON", json_fault(error) + at)
    return as_object(value)


def as_object(value: object) -> dict[str, object] | Problem:
    """A value of JSON, if it is an object."""
    if isinstance(value, dict):
        return value
    return Problem("bad JSON", f"a {type(value).__name__}, not an object")


def json_fault(error: ValueError | RecursionError) -> str:
    """What Python's reader found wrong with a JSON text."""
    if isinstance(error, json.JSONDecodeError):
        return error.msg
    return "nested too deeply" if isinstance(error, RecursionError) else "a number with thousands of digits"


def values_of(row: dict[str, object] | Problem, names: Sequence[str]) -> tuple[Cell, ...] | Problem:
    """The values of an object under these keys."""
    if isinstance(row, Problem):
        return row
    values: list[Cell] = []
    for name in names:
        if name not in row:
            return Problem("wrong number of columns", f"no '{name}'")
        value = as_cell(row[name])
        if isinstance(value, Problem):
            return value
        values.append(value)
    return tuple(values)
