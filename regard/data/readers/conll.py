"""Sentences with a word a line and columns beside it, as the shared tasks of CoNLL wrote them.

Cells stand apart by tabs, where the first line has one, else by blanks; a blank line ends a sentence. A value
is the list of a column's cells in one sentence. CoNLL-U (universaldependencies.org/format.html) and CoNLL-U
Plus say what their columns are; of others a first one that counts 1, 2, 3 is `id`, the next `tokens`, the
last `tags`. Not read are `-DOCSTART-`, lines beginning with `#` that have other columns than the rest, and
where there is an `id`, the ranges (`3-4`) and empty nodes (`5.1`) of CoNLL-U, which are no words of the
sentence. This file does not know what tags mean.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from regard.data.readers.columns import Wanted
from regard.data.readers.lines import LINE_LIMIT, Problem, read_lines, too_long
from regard.data.readers.reader import READERS, Reader
from regard.data.readers.tables import Record
from regard.errors import DataError, no_data

__all__ = ["Conll", "ConllTable"]

_CONLL_U = ("id", "form", "lemma", "upos", "xpos", "feats", "head", "deprel", "deps", "misc")
_PLUS = re.compile(r"#\s*global\.columns\s*=\s*(.+)")
_NO_WORD = re.compile(r"\d+[-.]\d+")
_DOCUMENT = "-DOCSTART-"
_BLANKS = re.compile(r"[ \t]+")


@dataclass(frozen=True)
class ConllTable:
    """See the module's docstring."""

    path: Path
    columns: tuple[str, ...]
    tabs: bool

    @classmethod
    def open(cls, path: Path, *, skip: bool = False) -> ConllTable:
        """Look at the first sentence. `skip`: whether lines that cannot be read are left out. Raises:
        DataError."""
        names: tuple[str, ...] = ()
        first: list[list[str]] = []
        tabs = False
        for number, _, content in read_lines(path):
            if isinstance(content, Problem):
                if not skip:
                    sentence = (
                        "{where}: {value}; mend this line, from which the columns follow, or leave it out"
                        " with --on-error skip"
                    )
                    raise DataError(sentence, f"{path}:{number}", content)
            elif stated := _PLUS.match(content):
                names = tuple(name.lower() for name in stated[1].split())
            elif not content.strip():
                if first:
                    break
            elif not content.startswith((_DOCUMENT, "# ")):
                tabs = tabs or (not first and "\t" in content)
                first.append(_cells(content, tabs))
        if not first:
            raise no_data(path, "holds no sentence")
        return cls(path, names or _names(first), tabs)

    @property
    def label(self) -> str:
        return str(self.path)

    def records(self, picked: tuple[int, ...]) -> Iterator[Record]:
        """A record a sentence, whose place is its first line, or the one that is broken."""
        sentence = _Sentence(tuple(self.columns[index] for index in picked))
        numbered = self.columns[0] == "id"
        for number, _, content in read_lines(self.path):
            if isinstance(content, Problem):
                sentence.refuse(number, content)
                continue
            if not content.strip():
                if sentence:
                    yield sentence.record(self.path)
                sentence.clear()
                continue
            cells = _cells(content, self.tabs)
            fits = len(cells) == len(self.columns)
            if content.startswith(_DOCUMENT) or (content.startswith("#") and not fits):
                continue
            if numbered and _NO_WORD.fullmatch(cells[0]):
                continue
            if fits:
                sentence.add(number, [cells[index] for index in picked])
            else:
                why = f"{len(cells)} where the first sentence has {len(self.columns)}"
                sentence.refuse(number, Problem("wrong number of columns", why))
        if sentence:
            yield sentence.record(self.path)


class _Sentence:
    """What was read of a sentence."""

    def __init__(self, names: tuple[str, ...]) -> None:
        self._names = names
        self.clear()

    def clear(self) -> None:
        self._rows: list[list[str]] = []
        self._first, self._size = 0, 0
        self._problem: Problem | None = None

    def __bool__(self) -> bool:
        return bool(self._rows) or self._problem is not None

    def add(self, line: int, cells: list[str]) -> None:
        if self._problem is not None:
            return
        self._first = self._first or line
        self._size += sum(map(len, cells))
        if "" in cells:
            self.refuse(line, Problem(f"empty {self._names[cells.index('')]}"))
        elif self._size > LINE_LIMIT:  # of a file without blank lines no more is held
            self.refuse(line, too_long("sentence"))
        else:
            self._rows.append(cells)

    def refuse(self, line: int, problem: Problem) -> None:
        if self._problem is None:
            self._first, self._problem, self._rows = line, problem, []

    def record(self, path: Path) -> Record:
        columns = tuple(list[object](cells) for cells in zip(*self._rows, strict=True))
        return f"{path}:{self._first}", self._problem or columns


def _cells(line: str, tabs: bool) -> list[str]:
    return [cell.strip(" ") for cell in line.split("\t")] if tabs else _BLANKS.split(line.strip(" \t"))


def _names(sentence: list[list[str]]) -> tuple[str, ...]:
    """What the columns of these rows are called."""
    width = len(sentence[-1])
    ids = [row[0] for row in sentence if not _NO_WORD.fullmatch(row[0])]
    counted = width > 2 and ids == [str(number) for number in range(1, len(ids) + 1)]
    if counted and width == len(_CONLL_U):
        return _CONLL_U
    names = [f"column{index}" for index in range(1, width + 1)]
    names[-1] = "tags"
    names[: 1 + counted] = ["id", "tokens"][not counted :]
    return tuple(names)


@READERS.register
class Conll(Reader):
    """See the module's docstring."""

    kind = "conll"
    endings = ("conllu", "conllup", "conllx", "iob", "iob1", "iob2", "bio", "bioes", "bilou", "bmes")

    @classmethod
    def open(cls, path: Path, wanted: Wanted, *, skip: bool) -> ConllTable:
        return ConllTable.open(path, skip=skip)
