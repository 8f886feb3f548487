"""SQuAD-style JSON: questions about contexts, whose answers are spans of them.

    {"data": [{"paragraphs": [{"context": "…", "qas": [{"id": "…", "question": "…",
        "answers": [{"text": "…", "answer_start": 0}], "is_impossible": false}]}]}]}

Versions 1 and 2 (arXiv 1606.05250, 1806.03822). A file is a table of context, question and answers; the
context comes first, so that a file that is split is split by contexts. It is read whole, as JSON must be.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any

from regard.data.readers.answers import answers_as_text, answers_in
from regard.data.readers.forms import as_text
from regard.data.readers.lines import Problem, open_text
from regard.data.readers.tables import FileTable, Record, json_fault
from regard.errors import DataError, not_json, too_many_bytes

COLUMNS = ("context", "question", "answers")
_LIMIT = 1 << 26  # bytes; half more than SQuAD 2's training part
_MOST_MARKS = 3_000_000
"""Of what begins or parts JSON's values, each of which takes memory; a comma in a text is counted, too."""
Item = tuple[str, dict[str, Any] | Problem]
"""A place in the document, and the object that stands there."""
_FORM = "give an array of objects, or SQuAD's form: data, paragraphs, context, qas, question, answers"


@dataclass(frozen=True)
class SquadFile(FileTable):
    """See the module's docstring."""

    columns: tuple[str, ...] = COLUMNS

    def records(self, picked: tuple[int, ...]) -> Iterator[Record]:
        """One record a question; `where` is its place in the document."""
        document = self.document()
        if not isinstance(document, dict) or not isinstance(document.get("data"), list):
            raise DataError("{where} has no list '{key}'; {remedy}", self.path, "data", _FORM)
        known: set[str] = set()
        articles = _items(document["data"], f"{self.path}:data")
        for where, paragraph in _inside(articles, "paragraphs"):
            context = _text(paragraph, "context")
            if isinstance(context, Problem):
                yield where, context
                continue
            for place, question in _inside([(where, paragraph)], "qas"):
                values = _question(question, context, known)
                yield place, values if isinstance(values, Problem) else tuple([values[i] for i in picked])

    def document(self) -> Any:
        """What the file says. Raises: DataError for what is not JSON, or is too large."""
        with open_text(self.path) as file:
            raw = file.read(_LIMIT + 1)
        if len(raw) > _LIMIT:
            raise too_many_bytes(DataError, self.path, _LIMIT, "split it")
        if raw.count(b",") + raw.count(b"[") + 2 * raw.count(b"{") > _MOST_MARKS:
            raise DataError("{where} holds too many values for one JSON text; split it", self.path)
        try:
            return json.loads(raw.decode("utf-8-sig"))
        except UnicodeDecodeError as problem:
            sentence = "{where} is not UTF-8 text (byte {value}); convert it to UTF-8"
            raise DataError(sentence, self.path, problem.start + 1) from problem
        except json.JSONDecodeError as problem:
            where, several = f"{self.path}:{problem.lineno}:{problem.colno}", problem.msg == "Extra data"
            remedy = "write several values as an array, or one a line" if several else "mend it"
            raise not_json(where, problem.msg, remedy) from problem
        except (ValueError, RecursionError) as problem:
            raise not_json(self.path, json_fault(problem)) from problem


def _inside(parents: Iterable[Item], key: str) -> Iterator[Item]:
    """The items of the list `key` of each of `parents`, with their places."""
    for where, parent in parents:
        if isinstance(parent, Problem):
            yield where, parent
        else:
            yield from _items(parent.get(key), f"{where}.{key}")


def _items(value: object, path: str) -> Iterator[Item]:
    """The objects of a list, with their places; what is none is a `Problem`."""
    if not isinstance(value, list):
        yield path, Problem("bad form", f"a {type(value).__name__} where a list was expected")
        return
    for index, item in enumerate(value):
        found = item if isinstance(item, dict) else Problem("bad form", f"a {type(item).__name__}, no object")
        yield f"{path}[{index}]", found


def _text(item: dict[str, Any] | Problem, key: str) -> str | Problem:
    """What an object holds under that key, if it is a text that is not blank."""
    if isinstance(item, Problem):
        return item
    text = as_text(item.get(key))
    return Problem(f"empty {key}") if isinstance(text, str) and not text.strip() else text


def _question(item: dict[str, Any] | Problem, context: str, known: set[str]) -> tuple[str, ...] | Problem:
    """`known`: the ids that were seen."""
    if isinstance(item, Problem):
        return item
    question = _text(item, "question")
    if isinstance(question, Problem):
        return question
    name, impossible = item.get("id"), item.get("is_impossible", False)
    if isinstance(name, str):
        if name in known:
            return Problem("duplicate id", name[:80])
        known.add(name)
    if not isinstance(impossible, bool):
        return Problem("bad form", "is_impossible is neither true nor false")
    answers = answers_in(item.get("answers", []), context)
    if isinstance(answers, Problem):
        return answers
    if impossible and answers:
        return Problem("bad answers", "it is said to be impossible, but has some")
    if not impossible and not answers:
        return Problem("no answers", "a question without one must say is_impossible")
    return context, question, answers_as_text(answers)
