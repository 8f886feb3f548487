"""Tables of cells: `.tsv`, and `.csv` as spreadsheets and libraries write it.

A `.tsv` has no quoting, unless it shows: a tab is always a border, a line a record. Quoting is RFC 4180's: a
quoted cell may hold borders and line ends, and quotes that are doubled. What parts the cells of a `.csv` (a
comma, where that is possible; semicolons where the comma is the decimal sign; tabs), and whether a `.tsv` is
quoted at all, is told from the first rows: a text that merely holds a semicolon or a quote must stay as it
is, so the plain reading is left only where it does not fit and the other does.
"""

from __future__ import annotations

import csv
import re
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import islice
from pathlib import Path

from regard.data.readers.columns import Wanted, default_names, looks_like_header
from regard.data.readers.lines import BLANK, LINE_LIMIT, Line, Problem, broken_header, open_text, read_lines
from regard.data.readers.reader import READERS, Reader
from regard.data.readers.tables import LOOKED_AT, FileTable, Record, suits
from regard.errors import no_data

Cells = list[str] | Problem
_DELIMITERS = {",": "commas", ";": "semicolons", "\t": "tabs"}
_SAMPLE = 32
"""Rows that show which delimiter it is."""
_MOST_ALIKE = 0.75
"""Share of them that must have the same number of cells: some may be broken."""
_LOOKED_THROUGH = 1 << 24
"""Bytes in which quotes are looked for."""
_MOST_QUOTED = 1000
"""Rows with quotes that are looked at."""
_CHUNK = 1 << 20
_QUOTED = r'"(?:[^"]|"")*"'
_NO_TEXT = r"[-+.\deE]*|NA|NaN|TRUE|FALSE|True|False"
_ALL_QUOTED, _TEXTS_QUOTED, _SOME_QUOTED = (
    re.compile(rf"(?:{cell})(?:\t(?:{cell}))*")
    for cell in (_QUOTED, rf"{_QUOTED}|{_NO_TEXT}", rf'{_QUOTED}|[^"\t\n]*')
)


@dataclass(frozen=True)
class CellTable(FileTable):
    """Cells with a delimiter between them."""

    first: int
    """The line of the row from which the columns follow."""
    header: bool
    """Whether it names them, and is no example."""
    delimiter: str
    quoted: bool
    """Whether cells may be."""

    @classmethod
    def open(cls, path: Path, wanted: Wanted, delimiter: str, quoted: bool, *, skip: bool) -> CellTable:
        """Look at the first rows: the columns follow from the first that is not blank, with `skip` from the
        first that has the columns `wanted`, if one has them.

        Raises: DataError when there is none, or it is broken and not to be skipped.
        """
        found: CellTable | None = None
        problem = ""
        for line, cells in islice(_rows(path, delimiter, quoted), LOOKED_AT):
            if isinstance(cells, Problem):
                if not (cells.harmless or skip):
                    raise broken_header(f"{path}:{line}", cells)
                problem = problem or f"; its first problem: {cells}"
                continue
            header = looks_like_header(cells, wanted)
            names = tuple(cell.strip() for cell in cells) if header else default_names(len(cells))
            table = cls(path, names, line, header, delimiter, quoted)
            if not skip or suits(names, wanted):
                return table
            found = found or table
        if found is None:
            raise no_data(path, f"holds no usable row{problem}")
        return found

    def notes(self, wanted: Wanted) -> Iterator[str]:
        """What was decided for the user about its form, and its columns."""
        name, line = self.path.name, "the first line" if self.first == 1 else f"line {self.first}"
        if self.quoted and name.removesuffix(".gz").endswith(".tsv"):
            yield f"the cells of {name} are quoted, as those of a .csv"
        elif self.quoted and self.delimiter != ",":
            yield f"{name} has {_DELIMITERS[self.delimiter]} for commas"
        if not self.header:
            yield f"{name} has no header: {line} was taken as an example"
        elif all(column is None for column in wanted):
            yield f"{line} of {name} names its columns: {', '.join(self.columns)}"

    def records(self, picked: tuple[int, ...]) -> Iterator[Record]:
        width = len(self.columns)
        for line, cells in _rows(self.path, self.delimiter, self.quoted):
            record: tuple[str, ...] | Problem
            if isinstance(cells, Problem):
                record = cells
            elif self.header and line == self.first:
                continue
            elif line < self.first:
                record = Problem("before the first row", f"that has the columns of line {self.first}")
            elif len(cells) != width:
                why = f"{len(cells)} where line {self.first} has {width}"
                record = Problem("wrong number of columns", why)
            else:
                record = tuple([cells[index] for index in picked])  # a list is quicker than a generator
            yield f"{self.path}:{line}", record


def _rows(path: Path, delimiter: str, quoted: bool) -> Iterator[tuple[int, Cells]]:
    """The number of the first line of each row, and its cells or what is wrong with it."""
    if quoted:
        return _csv_records(path, delimiter)
    return ((line.number, _split(line.content, delimiter)) for line in read_lines(path))


def _split(content: str | Problem, delimiter: str) -> Cells:
    if isinstance(content, Problem):
        return content
    return content.split(delimiter) if content else BLANK


def _declared(path: Path) -> str | None:
    line = next(read_lines(path), None)
    return None if line is None or isinstance(line.content, Problem) else _declared_by(line.content)


def _declared_by(line: str) -> str | None:
    """What a first line such as `sep=;`, as Excel writes it, says."""
    name, _, delimiter = line.partition("=")
    return delimiter if name == "sep" and delimiter in _DELIMITERS else None


def _delimiter_of(path: Path, wanted: Wanted) -> str:
    """What parts the cells: a comma, unless only another gives the columns `wanted`, or names of columns."""
    columns: dict[str, tuple[tuple[str, ...], bool]] = {}
    for delimiter in _DELIMITERS:
        rows = [row for _, row in islice(_csv_records(path, delimiter), _SAMPLE) if isinstance(row, list)]
        width, count = Counter(map(len, rows)).most_common(1)[0] if rows else (0, 0)
        first = next((row for row in rows if len(row) == width), [])
        header = looks_like_header(first, wanted)
        names = tuple(first) if header else default_names(len(first))
        if count >= _MOST_ALIKE * len(rows) and suits(names, wanted):
            columns[delimiter] = names, looks_like_header(first, ())
    comma, _ = columns.pop(",", ((), False))
    for delimiter, (names, header) in columns.items():
        if len(names) > 1 and (not comma or (len(comma) == 1 and header)):
            return delimiter
    return ","


def is_quoted(path: Path, wanted: Wanted) -> bool:
    """Whether the cells of a tab-separated file are quoted where they have to be, as pandas writes them.

    They are if every cell with a quote is a quoted cell from end to end, and it shows in one that the quotes
    are not a part of the text: by doubled quotes inside, or since the row has the right number of columns
    only so. They are, too, if all texts are quoted, the names of the columns included.
    """
    if not _holds_a_quote(path):
        return False
    lines: list[str] = []
    rows: list[tuple[list[str], list[str]]] = []
    width, size, seen, all_quoted = 0, 0, 0, True
    for _, cells in _csv_records(path, "\t", lines):
        if cells is BLANK:
            continue
        if isinstance(cells, Problem):
            return False
        record = "\n".join(lines)
        if seen == 0:
            all_quoted = looks_like_header(cells, ()) and _ALL_QUOTED.fullmatch(record) is not None
        all_quoted = all_quoted and _TEXTS_QUOTED.fullmatch(record) is not None
        seen, size = seen + 1, size + len(record)
        if '"' not in record:
            width = width or len(cells)
        elif _SOME_QUOTED.fullmatch(record):
            rows.append((cells, list(lines)))
        else:
            return False
        if size > _LOOKED_THROUGH or len(rows) == _MOST_QUOTED:
            break
    if all_quoted and seen > 1:
        return True
    fits = (len(cells) == width if width else len(cells) >= len(wanted) for cells, _ in rows)
    return all(fits) and any(_shows(cells, lines, width) for cells, lines in rows)


def _shows(cells: list[str], lines: list[str], width: int) -> bool:
    """Whether a row is right only if its quotes are not a part of the text."""
    doubled = any('"' in cell for cell in cells)
    return doubled or (width > 0 and any(line.count("\t") + 1 != width for line in lines))


def _holds_a_quote(path: Path) -> bool:
    with open_text(path) as file:
        chunks = (file.read(_CHUNK) for _ in range(_LOOKED_THROUGH // _CHUNK))
        return any(b'"' in chunk for chunk in chunks)


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

    @property
    def lines(self) -> list[str]:
        """The lines of this record, if they can be read."""
        return [line.content for line in self._record if isinstance(line.content, str)]

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


def _csv_records(
    path: Path, delimiter: str, lines: list[str] | None = None
) -> Iterator[tuple[int, list[str] | Problem]]:
    """The number of the first line of each record, and its cells or what is wrong with it; `lines`: where the
    lines of the record go."""
    feed = _Feed(read_lines(path))
    reader = csv.reader(feed, strict=True, delimiter=delimiter)
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
        if feed.number == 1 and isinstance(cells, list) and _declared_by(feed.lines[0]):
            cells = BLANK
        if lines is not None:
            lines[:] = feed.lines
        yield feed.number, cells


@READERS.register
class Tsv(Reader):
    """Tab-separated values, quoted where that shows."""

    kind = "tsv"

    @classmethod
    def open(cls, path: Path, wanted: Wanted, *, skip: bool) -> CellTable:
        return CellTable.open(path, wanted, "\t", is_quoted(path, wanted), skip=skip)


@READERS.register
class Csv(Reader):
    """Values with a delimiter, as spreadsheets write them."""

    kind = "csv"

    @classmethod
    def open(cls, path: Path, wanted: Wanted, *, skip: bool) -> CellTable:
        delimiter = _declared(path) or _delimiter_of(path, wanted)
        return CellTable.open(path, wanted, delimiter, True, skip=skip)
