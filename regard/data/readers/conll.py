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
from dataclasses import dataclass, field
from itertools import chain
from pathlib import Path

from regard.data.readers.columns import Wanted
from regard.data.readers.lines import LINE_LIMIT, Line, Problem, broken_header, read_lines, too_long
from regard.data.readers.reader import READERS, Reader
from regard.data.readers.tables import FileTable, Record
from regard.errors import no_data

_CONLL_U = ("id", "form", "lemma", "upos", "xpos", "feats", "head", "deprel", "deps", "misc")
_PLUS = re.compile(r"#\s*global\.columns\s*=\s*(.+)")
_NO_WORD = re.compile(r"\d+[-.]\d+")
_DOCUMENT = "-DOCSTART-"
_BLANKS = re.compile(r"[ \t]+")


@dataclass(frozen=True)
class ConllTable(FileTable):
    """See the module's docstring."""

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
                    raise broken_header(f"{path}:{number}", content)
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

    def records(self, picked: tuple[int, ...]) -> Iterator[Record]:
        """A record a sentence, whose place is its first line, or the one that is broken."""
        names = tuple(self.columns[index] for index in picked)
        sentence, numbered = _Sentence(names), self.columns[0] == "id"
        for number, _, content in chain(read_lines(self.path), [Line(0, 0, "")]):  # ends the last one, too
            if isinstance(content, Problem):
                sentence.refuse(number, content)
                continue
            if not content.strip():
                if sentence.first:
                    yield sentence.record(self.path)
                sentence = _Sentence(names)
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


@dataclass
class _Sentence:
    """What was read of a sentence."""

    names: tuple[str, ...]
    rows: list[list[str]] = field(default_factory=list)
    first: int = 0
    """Its first line, or the one that is broken; 0 while there is none."""
    size: int = 0
    problem: Problem | None = None

    def add(self, line: int, cells: list[str]) -> None:
        if self.problem is not None:
            return
        self.first = self.first or line
        self.size += sum(map(len, cells))
        if "" in cells:
            self.refuse(line, Problem(f"empty {self.names[cells.index('')]}"))
        elif self.size > LINE_LIMIT:  # of a file without blank lines no more is held
            self.refuse(line, too_long("sentence"))
        else:
            self.rows.append(cells)

    def refuse(self, line: int, problem: Problem) -> None:
        if self.problem is None:
            self.first, self.problem, self.rows = line, problem, []

    def record(self, path: Path) -> Record:
        columns = tuple(list[object](cells) for cells in zip(*self.rows, strict=True))
        return f"{path}:{self.first}", self.problem or columns


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
