"""Answers that are spans of a context, and the text that carries them through a `Row`, whose values are text.

A row's answers are the JSON list that SQuAD's files hold (Rajpurkar et al. 2016, arXiv 1606.05250): objects
with `text` and `answer_start`, counted in characters; an empty list says that there is no answer. So a row
needs no type of its own, and whatever splits, counts, skips and fingerprints rows knows nothing of answers.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass

from regard.data.readers.lines import Problem, json_in
from regard.errors import DataError

_MOST = 1000
_SHOWN = 40


@dataclass(frozen=True, slots=True)
class Answer:
    """`context[start:end]`."""

    text: str
    start: int

    @property
    def end(self) -> int:
        return self.start + len(self.text)


def answers_in(value: object, context: str) -> tuple[Answer, ...] | Problem:
    """The answers that a decoded JSON value holds, each of which stands in `context` where it says.

    Three forms are known: SQuAD's list of objects, one such object, and one object of two lists, as data-set
    hubs have it.
    """
    if isinstance(value, Problem):
        return value
    if isinstance(value, dict) and isinstance(value.get("text"), str):
        value = [value]
    if isinstance(value, dict):
        texts, starts = value.get("text"), value.get("answer_start")
        if not isinstance(texts, list) or not isinstance(starts, list) or len(texts) != len(starts):
            return Problem("bad answers", "an object without two lists 'text' and 'answer_start' of a length")
        value = [{"text": text, "answer_start": start} for text, start in zip(texts, starts, strict=True)]
    if not isinstance(value, list):
        return Problem("bad answers", f"a {type(value).__name__}, not a list")
    if len(value) > _MOST:
        return Problem("bad answers", f"more than {_MOST:,} to one question")
    found: list[Answer] = []
    for item in value:
        answer = _answer(item, context)
        if isinstance(answer, Problem):
            return answer
        found.append(answer)
    return tuple(found)


def answers_as_text(answers: Sequence[Answer]) -> str:
    """What a row holds."""
    found = [{"text": answer.text, "answer_start": answer.start} for answer in answers]
    return json.dumps(found, ensure_ascii=False)


def read_answers(value: str, context: str, where: str) -> tuple[Answer, ...]:
    """The answers that a row holds. Raises: DataError naming the place, for a table that a user wrote."""
    found = answers_in(json_in(value, "bad answers"), context)
    if isinstance(found, Problem):
        raise DataError("{where}: {value}; mend it", where, found)
    return found


def _answer(item: object, context: str) -> Answer | Problem:
    if not isinstance(item, dict):
        return Problem("bad answers", f"a {type(item).__name__} where an object was expected")
    text, start = item.get("text"), item.get("answer_start")
    if not isinstance(text, str) or type(start) is not int:
        return Problem("bad answers", "an answer needs a text and an integer as answer_start")
    if not text.strip():
        return Problem("empty answer")
    if start < 0 or context[start : start + len(text)] != text:
        elsewhere = context.find(text)
        known = f"it stands at {elsewhere}" if elsewhere >= 0 else "it stands nowhere in it"
        return Problem(
            "answer not in its place",
            f"'{text[:_SHOWN]}' is not at character {start} of the context: {known}",
        )
    return Answer(text, start)
