"""`.json` as people have it: an array of objects, the same under `data`, one object a line, or SQuAD's form.

An array is read object by object, in the memory of one. This file does not know what the values mean.
"""

from __future__ import annotations

import json
import re
from codecs import getincrementaldecoder
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import BinaryIO, NoReturn

from regard.data.readers.columns import Wanted
from regard.data.readers.forms import Answers, AsJson, Dialogue, Form
from regard.data.readers.lines import LINE_LIMIT, Problem, open_text, read_lines
from regard.data.readers.reader import READERS, Reader
from regard.data.readers.squad import COLUMNS, SquadFile
from regard.data.readers.tables import ObjectTable, Table, as_object, json_fault, lines_of_json, parse_object
from regard.errors import DataError, damaged, not_json, not_text

_CHUNK = 1 << 16
_BLANK = re.compile(r"\s*")
_DECODER = json.JSONDecoder()
_LIMIT = 4 * LINE_LIMIT
"""Characters of one object, with its line breaks and indents."""


def _array_in(head: str) -> tuple[int, bool] | None:
    """Where the first value of a text's array stands, and whether the array is that of the key `data`; None
    where there is no array."""
    at = _blank(head, int(head.startswith("\ufeff")))
    inside = head[at : at + 1] == "{"
    if inside:
        at = _data_of(head, at + 1)
    return (_blank(head, at + 1), inside) if head[at : at + 1] == "[" else None


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


def _items(path: Path) -> Iterator[tuple[str, dict[str, object] | Problem]]:
    """The objects of the array with their places; what is none is a `Problem`.

    Raises: DataError where the text is not JSON, since nobody can tell where it would go on.
    """
    with open_text(path) as file:
        text = _Window(file, path)
        more = text.enter()
        while more:
            value = text.value()
            yield f"{path}:[{text.index}]", as_object(value)
            more = text.go_on()


class _Window:
    """The part of a text that is looked at, at a value of an array."""

    def __init__(self, file: BinaryIO, path: Path) -> None:
        self._file, self._path = file, path
        self._decode = getincrementaldecoder("utf-8")().decode
        self._text, self._place, self._ended = "", 0, False
        self._nested = False
        self._lines = self._column = 0  # that were passed: lines, and characters of the last one
        self.index = 0

    def enter(self) -> bool:
        """Pass what stands before the first value of the array; whether there is one."""
        self._more()
        self._place, self._nested = _array_in(self._text) or (0, False)
        return self._next() != "]" or self._end()

    def go_on(self) -> bool:
        """Pass what stands between the value before and the next one; whether there is one. Raises:
        DataError."""
        mark = self._next()
        if mark == "]":
            return self._end()
        if mark != ",":
            self._refuse("no comma", self._place)
        self._place += 1
        self.index += 1
        self._skip()
        return True

    def value(self) -> object:
        """Pass the value here. Raises: DataError."""
        while True:
            try:
                value, self._place = _DECODER.raw_decode(self._text, self._place)
                return value
            except (ValueError, RecursionError) as error:
                if not isinstance(error, json.JSONDecodeError):
                    self._refuse(json_fault(error), self._place)
                if len(self._text) - self._place >= _LIMIT or not self._more():
                    self._refuse(json_fault(error), error.pos)

    def _end(self) -> bool:
        """Pass the end of the array, after which there is nothing, unless it is a value of an object.

        Raises: DataError."""
        self._place += 1
        if self._skip() and not self._nested:
            self._refuse("something after the array", self._place)
        return False

    def _skip(self) -> bool:
        """Pass white space; whether anything follows."""
        while True:
            self._place = _blank(self._text, self._place)
            if self._place < len(self._text):
                return True
            if not self._more():
                return False

    def _next(self) -> str:
        """The character after white space. Raises: DataError where the text ends."""
        if not self._skip():
            raise damaged(DataError, self._path, "it ends within its array")
        return self._text[self._place]

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
            head = file.read(_CHUNK).decode("utf-8", "replace")
        begin, nested = _array_in(head) or (0, True)
        array = not nested and head[begin : begin + 1] in ("{", "")
        return ObjectTable.open(path, wanted, _items if array else lines_of_json, skip=skip)


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
        array = _array_in(head)
        if array is None and not _is_lines(path):
            return _document(path, head, wanted)
        begin, nested = array or (0, False)
        if nested and ('"paragraphs"' in head or head[begin : begin + 1] != "{"):
            return _document(path, head, wanted)
        return ObjectTable.open(path, wanted, _items if array else lines_of_json, skip=skip)
