"""What a column may hold besides text: lists and objects, and the text that carries them through a `Row`.

Tables that have types (JSON, Parquet) give such values as they are; those that have none may hold the same as
JSON in a cell. A form says which of them a task takes, and is asked of every row, so that a broken one is
refused or left out with its place. It does not know tables, nor tasks.
"""

from __future__ import annotations

import json
import re
from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

from regard.data.readers.answers import answers_as_text, answers_in
from regard.data.readers.lines import LINE_LIMIT, Problem, json_in, too_long
from regard.data.readers.messages import messages_as_text, messages_in

_PYTHONS = re.compile(r"\['.*'\]", re.DOTALL)

Cell = str | list[object] | dict[str, object]
"""A value of a table: text, or what is neither text nor a number."""


class Form(ABC):
    """What the values of a column must be, if not text."""

    takes_empty: ClassVar[bool] = False
    """Whether an empty cell means something; else a row that has one cannot be used."""

    @abstractmethod
    def text(self, value: Cell, others: Sequence[Any]) -> object:
        """What the row holds, a text or any other value, or a `Problem`; `others`: the values of the columns
        before this one."""


@dataclass(frozen=True)
class Dialogue(Form):
    """A list of messages; text, too, unless `always`."""

    always: bool = True

    def text(self, value: Cell, others: Sequence[str]) -> str | Problem:
        if isinstance(value, str) and not self.always:
            return value
        turns = messages_in(_decoded(value, "bad dialogue"))
        return turns if isinstance(turns, Problem) else _sound(messages_as_text(turns))


@dataclass(frozen=True)
class Answers(Form):
    """Spans of the text in the first column."""

    def text(self, value: Cell, others: Sequence[str]) -> str | Problem:
        answers = answers_in(_decoded(value, "bad answers"), others[0])
        return answers if isinstance(answers, Problem) else _sound(answers_as_text(answers))


@dataclass(frozen=True)
class Labels(Form):
    """A label; a list of labels, also as JSON in a cell, which `separator` joins. None: there is only one."""

    separator: str | None

    def text(self, value: Cell, others: Sequence[str]) -> str | Problem:
        value = _list_in(value)
        if isinstance(value, str) and self.separator is not None and _PYTHONS.fullmatch(value):
            return Problem("bad label", "a list as Python writes it; write it as JSON, or with the separator")
        if isinstance(value, str):
            return value
        labels: list[str] = []
        for item in value if isinstance(value, list) else [value]:
            label = as_text(item)
            if isinstance(label, Problem):
                return label
            labels.append(label)
        if self.separator is None:
            if len(labels) > 1:
                return Problem("several labels", "for rows that have several, --set task.separator='|'")
            return "".join(labels)
        if inside := [label for label in labels if self.separator in label]:
            shown = inside[0][:40]
            return Problem("bad label", f"'{shown}' holds the separator '{self.separator}'; set another")
        return self.separator.join(labels)


@dataclass(frozen=True)
class AsJson(Form):
    """Text, or a list or an object that whoever reads the row will look into."""

    def text(self, value: Cell, others: Sequence[str]) -> str | Problem:
        if isinstance(value, str):
            return value
        try:
            return _sound(json.dumps(value, ensure_ascii=False))
        except RecursionError:
            return Problem("not text", "nested too deeply")


def as_text(value: object) -> str | Problem:
    """A value of a typed format that must be text, a number, a truth value or nothing."""
    cell = as_cell(value)
    return cell if isinstance(cell, str | Problem) else Problem("not text", f"a {type(value).__name__}")


def as_cell(value: object) -> Cell | Problem:
    """A value of a typed format: strings as they are, numbers and truth values as JSON writes them, null and
    NaN as empty; lists and objects are not looked into."""
    if isinstance(value, str):
        return _sound(value)
    if value is None or value != value:  # NaN is how a table of numbers says that there is none
        return ""
    if isinstance(value, bool | int | float):
        return json.dumps(value)
    if isinstance(value, list | dict):
        return value
    return Problem("not text", f"a {type(value).__name__}")


def _decoded(value: Cell, reason: str) -> object:
    """What a cell of JSON says."""
    return json_in(value, reason) if isinstance(value, str) else value


def _list_in(value: Cell) -> Cell:
    """The list of texts that a cell holds as JSON, or the cell as it is."""
    found = _decoded(value, "") if isinstance(value, str) and value.startswith("[") else value
    listed = isinstance(found, list) and all(isinstance(item, str) for item in found)
    return found if listed and isinstance(found, list) else value


def _sound(text: str) -> str | Problem:
    if len(text) > LINE_LIMIT:
        return too_long("cell")
    if "\0" in text:
        return Problem("NUL byte")
    try:
        text.encode()
    except UnicodeEncodeError:
        return Problem("bad UTF-8", "half of a surrogate pair")
    return text
