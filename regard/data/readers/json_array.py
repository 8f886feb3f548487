"""`.json` as people have it: an array of objects, the same under `data`, one object a line, or SQuAD's form.

An array is read object by object, in the memory of one. This file does not know what the values mean.
"""

from __future__ import annotations

import json
import re
from codecs import getincrementaldecoder
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import BinaryIO, NoReturn

from regard.data.readers.columns import Wanted
from regard.data.readers.forms import Answers, AsJson, Dialogue, Form
from regard.data.readers.lines import LINE_LIMIT, Problem, open_text, read_lines
from regard.data.readers.reader import READERS, Reader
from regard.data.readers.squad import COLUMNS, SquadFile
from regard.data.readers.tables import JsonlTable, Record, Table, parse_object, suits, values_of
from regard.errors import DataError, damaged, not_json, not_text

__all__ = ["ArrayTable", "Json", "Jsonl", "array_begins"]

_CHUNK = 1 << 16
_HEAD = 1 << 10
_ARRAY = re.compile(r"\ufeff?\s*\[\s*(\{|$)")
_LOOKED_AT = 1000
_BLANK = re.compile(r"\s*")
_DECODER = json.JSONDecoder()
_LIMIT = 4 * LINE_LIMIT
"""Characters of one object, with its line breaks and indents."""


def array_begins(head: str) -> int | None:
    """Where the first value of a text's array stands, which may be the value of `data`; None where there is
    no array."""
    at = _blank(head, int(head.startswith("\ufeff")))
    if head[at : at + 1] == "{":
        at = _data_of(head, at + 1)
    return _blank(head, at + 1) if head[at : at + 1] == "[" else None


def _data_of(head: str, at: int) -> int:
    """Where the value of `data` begins in the object whose first key stands here; the end if it has none."""
    try:
        while True:
            key, at = _DECODER.raw_decode(head, _blank(head, at))
            at = _blank(head, at)
            if not isinstance(key, str) or head[at] != ":":
                break
            at = _blank(head, at + 1)
            if key == "data":
                return at
            _, at = _DECODER.raw_decode(head, at)
            at = _blank(head, at)
            if head[at] != ",":
                break
            at += 1
    except (ValueError, IndexError, RecursionError):
        pass  # a text that is broken is told so by who reads it
    return len(head)


def _blank(text: str, at: int) -> int:
    """Where the white space ends that begins here, if any."""
    found = _BLANK.match(text, at)
    return at if found is None else found.end()


def _document(path: Path, head: str, wanted: Wanted) -> Table:
    """SQuAD's form, where it is that or its columns are wanted. Raises: DataError for any other document."""
    named = {name for name in wanted if name is not None}
    if '"paragraphs"' in head or (named and named <= set(COLUMNS)):
        return SquadFile(path)
    SquadFile(path).document()  # what is broken is told so
    sentence = (
        "{where} is neither an array of objects, nor one object a line, nor SQuAD's form; write it as one of"
        " these (pandas: to_json(orient='records'))"
    )
    raise DataError(sentence, path)


def _is_lines(path: Path) -> bool:
    """Whether the first line is a whole object, and is not a document of its own."""
    line = next((line for line in read_lines(path) if line.content), None)
    first = None if line is None else parse_object(line.content)
    return isinstance(first, dict) and not isinstance(first.get("data"), list | dict) and not _is_table(first)


def _is_table(value: dict[str, object]) -> bool:
    """Whether an object holds the columns, or the rows, of a whole table, as pandas writes one by default."""
    some = [tuple(each) for each in value.values() if isinstance(each, dict)]
    return len(value) > 1 and len(some) == len(value) and len(set(some)) == 1


@dataclass(frozen=True)
class ArrayTable:
    """One array of objects; its columns are the keys of the first."""

    path: Path
    columns: tuple[str, ...]

    @classmethod
    def open(cls, path: Path, wanted: Wanted, *, skip: bool = False) -> ArrayTable:
        """Look for the first object; with `skip`, for the first with the keys `wanted`. Raises DataError when
        there is none."""
        columns: tuple[str, ...] = ()
        for _, item in islice(_items(path), _LOOKED_AT):
            if isinstance(item, dict):
                columns = columns or tuple(item)
                if not skip or suits(tuple(item), wanted):
                    return cls(path, tuple(item))
        if not columns:
            sentence = "{where} holds no JSON object in its array; give an array of objects, one an example"
            raise DataError(sentence, path)
        return cls(path, columns)

    @property
    def label(self) -> str:
        return str(self.path)

    def records(self, picked: tuple[int, ...]) -> Iterator[Record]:
        names = [self.columns[index] for index in picked]
        for index, item in _items(self.path):
            yield f"{self.path}:[{index}]", values_of(item, names)


def _items(path: Path) -> Iterator[tuple[int, dict[str, object] | Problem]]:
    """The objects of the array with their places; what is none is a `Problem`.

    Raises: DataError where the text is not JSON, since nobody can tell where it would go on.
    """
    with open_text(path) as file:
        text = _Window(file, path)
        text.enter()
        if text.next() == "]":
            text.end()
            return
        while True:
            value = text.value()
            kind = type(value).__name__
            found = value if isinstance(value, dict) else Problem("bad JSON", f"a {kind}, not an object")
            yield text.index, found
            text.skip(_BLANK)
            if text.next() == "]":
                text.end()
                return
            text.comma()


class _Window:
    """The part of a text that is looked at, at a value of an array."""

    def __init__(self, file: BinaryIO, path: Path) -> None:
        self._file, self._path = file, path
        self._decode = getincrementaldecoder("utf-8")().decode
        self._text, self._place, self._ended = "", 0, False
        self._nested = False
        self._lines = self._column = 0  # that were passed: lines, and characters of the last one
        self.index = 0

    def enter(self) -> None:
        """Pass what stands before the first value of the array."""
        self._more()
        self._place = array_begins(self._text) or 0
        self._nested = self._text[: self._place].lstrip("\ufeff \t\r\n").startswith("{")

    def end(self) -> None:
        """Pass the end of the array, after which there is nothing, unless it is a value of an object.

        Raises: DataError."""
        self._place += 1
        self.skip(_BLANK)
        if not self._nested and self._place < len(self._text):
            self._refuse("something after the array", self._place)

    def skip(self, pattern: re.Pattern[str]) -> None:
        """Pass what the pattern matches here."""
        while True:
            found = pattern.match(self._text, self._place)
            if (found is not None and found.end() < len(self._text)) or not self._more():
                self._place = self._place if found is None else found.end()
                return

    def next(self) -> str:
        """The character here. Raises: DataError where the text ends."""
        while self._place == len(self._text):
            if self._more():
                continue
            raise damaged(DataError, self._path, "it ends within its array")
        return self._text[self._place]

    def comma(self) -> None:
        """Pass the comma that must be here. Raises: DataError."""
        if self.next() != ",":
            self._refuse("no comma", self._place)
        self._place += 1
        self.index += 1
        self.skip(_BLANK)

    def value(self) -> object:
        """Pass the value here. Raises: DataError."""
        while True:
            try:
                value, self._place = _DECODER.raw_decode(self._text, self._place)
                return value
            except RecursionError:
                self._refuse("nested too deeply", self._place)
            except json.JSONDecodeError as error:
                if len(self._text) - self._place >= _LIMIT or not self._more():
                    self._refuse(error.msg, error.pos)
            except ValueError:
                self._refuse("a number with thousands of digits", self._place)

    def _refuse(self, why: str, place: int) -> NoReturn:
        before = self._text[:place]
        column = place - before.rfind("\n") + (0 if "\n" in before else self._column)
        where = f"{self._path}:{self._lines + before.count(chr(10)) + 1}"
        raise not_json(f"{where}:{column}", why)

    def _more(self) -> bool:
        """Read on, and forget what was passed; whether there was anything."""
        if self._ended:
            return False
        chunk = self._file.read(_CHUNK)
        self._ended = not chunk
        passed = self._text[: self._place]
        self._lines += passed.count("\n")
        self._column = len(passed) - passed.rfind("\n") - 1 + (0 if "\n" in passed else self._column)
        try:
            self._text = self._text[self._place :] + self._decode(chunk, self._ended)
        except UnicodeDecodeError as error:
            raise not_text(DataError, f"{self._path}:[{self.index}]") from error
        self._place = 0
        return True


@READERS.register
class Jsonl(Reader):
    """One JSON object a line, or one array of objects in spite of the name."""

    kind = "jsonl"
    endings = ("ndjson", "jsonlines", "jl")

    @classmethod
    def forms(cls, names: Sequence[str]) -> Mapping[str, Form]:
        return {"messages": Dialogue(always=False)}

    @classmethod
    def open(cls, path: Path, wanted: Wanted, *, skip: bool) -> Table:
        with open_text(path) as file:
            array = _ARRAY.match(file.read(_HEAD).decode("utf-8", "replace")) is not None
        return (ArrayTable if array else JsonlTable).open(path, wanted, skip=skip)


@READERS.register
class Json(Reader):
    """See the module's docstring."""

    kind = "json"
    columns = 3  # of SQuAD's form
    whole = True

    @classmethod
    def forms(cls, names: Sequence[str]) -> Mapping[str, Form]:
        """Answers are spans of the context before them, or whatever they are where there is none."""
        return {"answers": Answers() if names[0] == "context" else AsJson()}

    @classmethod
    def open(cls, path: Path, wanted: Wanted, *, skip: bool) -> Table:
        """The table that a `.json` file holds. Raises: DataError for one that holds none, or another form."""
        with open_text(path) as file:
            head = file.read(_CHUNK).decode("utf-8", "replace")
        begin = array_begins(head)
        if begin is None:
            lines = _is_lines(path)
            return JsonlTable.open(path, wanted, skip=skip) if lines else _document(path, head, wanted)
        nested = head[:begin].lstrip("\ufeff \t\r\n").startswith("{")
        if nested and ('"paragraphs"' in head or head[begin : begin + 1] != "{"):
            return _document(path, head, wanted)
        return ArrayTable.open(path, wanted, skip=skip)
