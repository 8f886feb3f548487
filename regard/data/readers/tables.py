"""Tables in text form: tab-separated values, and one JSON object a line.

Each is a `Table`: names of columns, and a stream of records in which a broken one is a `Problem` with its
place. This file does not know which problems are forgiven, nor how rows are split, nor what lists and objects
may mean (`forms`). `.csv`, and `.tsv` whose cells are quoted, are in `delimited.py`.

- `.tsv` has no quoting, unless it shows (`delimited.is_quoted`): a tab is always a border, a line a record.
- `.jsonl`: strings are taken as they are, numbers and truth values as JSON writes them, null and NaN as
  empty.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Protocol

from regard.data.readers.columns import Wanted, default_names, looks_like_header, pick_columns
from regard.data.readers.forms import Cell, as_cell
from regard.data.readers.lines import BLANK, Problem, read_lines
from regard.errors import DataError, no_data

__all__ = ["First", "JsonlTable", "Record", "Table", "TsvTable", "cells_of", "first_row", "parse_object"]
__all__ += ["suits", "values_of"]

_LOOKED_AT = 1000
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
class First:
    """The row from which the columns follow."""

    line: int
    columns: tuple[str, ...]
    header: bool
    """Whether it names them, and is no example."""


def first_row(
    rows: Iterable[tuple[int, list[str] | Problem]], path: Path, wanted: Wanted, *, skip: bool
) -> First:
    """The first row that is not blank; with `skip` the first that has the columns `wanted`, if one has them.

    Raises: DataError when there is none, or it is broken and not to be skipped.
    """
    found: First | None = None
    problem = ""
    for line, cells in islice(rows, _LOOKED_AT):
        if isinstance(cells, Problem):
            if not (cells.harmless or skip):
                sentence = (
                    "{where}: {value}; mend this line, from which the columns follow, or leave it out with"
                    " --on-error skip"
                )
                raise DataError(sentence, f"{path}:{line}", cells)
            problem = problem or f"; its first problem: {cells}"
            continue
        header = looks_like_header(cells, wanted)
        first = First(
            line, tuple(cell.strip() for cell in cells) if header else default_names(len(cells)), header
        )
        if not skip or suits(first.columns, wanted):
            return first
        found = found or first
    if found is None:
        raise no_data(path, f"holds no usable row{problem}")
    return found


def suits(columns: Sequence[str], wanted: Wanted) -> bool:
    """Whether it is clear which of them are wanted."""
    try:
        pick_columns(columns, wanted, "")
    except DataError:
        return False
    return True


@dataclass(frozen=True)
class TsvTable:
    """Tab-separated values."""

    path: Path
    first: First

    @classmethod
    def open(cls, path: Path, wanted: Wanted, *, skip: bool = False) -> TsvTable:
        """Look at the first line. Raises DataError when it cannot be read."""
        rows = ((line.number, _split(line.content)) for line in read_lines(path))
        return cls(path, first_row(rows, path, wanted, skip=skip))

    @property
    def label(self) -> str:
        return str(self.path)

    @property
    def columns(self) -> tuple[str, ...]:
        return self.first.columns

    def records(self, picked: tuple[int, ...]) -> Iterator[Record]:
        for number, _, content in read_lines(self.path):
            record = cells_of(number, _split(content), self.first, picked)
            if record is not None:
                yield f"{self.path}:{number}", record


def cells_of(
    line: int, cells: list[str] | Problem, first: First, picked: tuple[int, ...]
) -> tuple[str, ...] | Problem | None:
    """The picked values of a row of text; None for the header."""
    if line <= first.line and not isinstance(cells, Problem):
        if line == first.line and first.header:
            return None
        if line < first.line:
            return Problem("before the first row", f"that has the columns of line {first.line}")
    if isinstance(cells, Problem):
        return cells
    if len(cells) != len(first.columns):
        return Problem(
            "wrong number of columns", f"{len(cells)} where line {first.line} has {len(first.columns)}"
        )
    return tuple([cells[index] for index in picked])  # a list is quicker than a generator


@dataclass(frozen=True)
class JsonlTable:
    """One JSON object a line; its columns are the keys of the first sound one."""

    path: Path
    columns: tuple[str, ...]

    @classmethod
    def open(cls, path: Path, wanted: Wanted = (), *, skip: bool = False) -> JsonlTable:
        """Look for the first object; with `skip`, for the first with the keys `wanted`. Raises DataError when
        there is none."""
        problem: Problem | None = None
        columns: tuple[str, ...] = ()
        for line in islice(read_lines(path), _LOOKED_AT if skip else None):
            found = parse_object(line.content)
            if isinstance(found, Problem):
                problem = problem or (None if found.harmless else found)
                continue
            columns = columns or tuple(found)
            if not skip or suits(tuple(found), wanted):
                return cls(path, tuple(found))
        if columns:
            return cls(path, columns)
        if problem is None:
            raise no_data(path, "is empty")
        raise no_data(path, "is empty")

    @property
    def label(self) -> str:
        return str(self.path)

    def records(self, picked: tuple[int, ...]) -> Iterator[Record]:
        names = [self.columns[index] for index in picked]
        for number, _, content in read_lines(self.path):
            yield f"{self.path}:{number}", values_of(parse_object(content), names)


# --------------------------------------------------------------------------------------------- inside


def _split(content: str | Problem) -> list[str] | Problem:
    if isinstance(content, Problem):
        return content
    return content.split("\t") if content else BLANK


def parse_object(content: str | Problem) -> dict[str, object] | Problem:
    """What a line of JSON says, if that is an object."""
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
