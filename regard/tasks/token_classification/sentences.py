"""Sentences with what is known of their words, and the text that carries them through a `Row`.

A row's first value is a text, or the JSON list of its words; the second a JSON list: a tag for each word, or
spans of the text, objects with `start`, `end` (in characters) and `label`. So whatever splits, counts, skips
and fingerprints rows knows nothing of tags. This file does not know tag schemes, nor tokens.
"""

from __future__ import annotations

import functools
import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from tokenizers import Regex
from tokenizers.pre_tokenizers import PreTokenizer, Split

from regard.data.readers.forms import Cell, Form
from regard.data.readers.lines import LINE_LIMIT, Problem, too_long
from regard.data.rows import Row
from regard.data.sample import valid_text
from regard.data.token_places import Place
from regard.errors import DataError
from regard.tasks.token_classification.schemes import Entity
from regard.values import Span, Text, Value
from regard.values.json_schema import is_whole
from regard.values.words import Words

_WORD = r"(?<=\p{L})['’]\p{L}{1,2}(?!\p{L})|[\p{Han}\p{Hiragana}\p{Katakana}]|[\p{L}\p{M}\p{N}_]+|[^\s]"
"""A word of a text that nobody has cut: what is left of `it's` after `it`, a character of a script without
spaces, letters and digits, or any other character."""
_SHOWN = 40


@dataclass(frozen=True)
class Sentence:
    """A text, where its words stand in it, and what is known of them."""

    text: str
    words: tuple[Place, ...]
    tags: tuple[str, ...] | None = None
    """A tag for each word …"""
    spans: tuple[Span, ...] = ()
    """… or where there are none, what is marked."""

    def at(self, found: Iterable[Entity]) -> tuple[Span, ...]:
        """Entities of words as spans of the text."""
        return tuple(Span(self.words[e.start][0], self.words[e.end - 1][1], e.label) for e in found)


@dataclass(frozen=True)
class Tokens(Form):
    """A column of texts, or of lists of words."""

    def text(self, value: Cell, others: Sequence[str]) -> str | Problem:
        found: object = value
        if isinstance(value, str):
            if (words := _words_in(value)) is None:
                return value
            found = words
        if not isinstance(found, list) or not found:
            return Problem("bad words", "an empty list" if found == [] else f"a {type(found).__name__}")
        for place, word in enumerate(found):
            if not isinstance(word, str) or not word.strip():
                return Problem("bad words", f"number {place + 1} of the list is no text, or an empty one")
        return _as_json(found)


@dataclass(frozen=True)
class Tags(Form):
    """A column of lists, of tags or of spans. `names`: those of tags that are numbers."""

    names: tuple[str, ...] = ()

    def text(self, value: Cell, others: Sequence[str]) -> str | Problem:
        try:
            found: object = json.loads(value) if isinstance(value, str) else value
        except (ValueError, RecursionError):
            return Problem("bad tags", f"'{str(value)[:_SHOWN]}' is no JSON list")
        if not isinstance(found, list):
            return Problem("bad tags", f"a {type(found).__name__}, not a list")
        words = _words_in(others[0])
        if words is not None and len(found) != len(words):
            return Problem("bad tags", f"{len(found)} for {len(words)} words")
        length = len(others[0])
        known = [self._span(item, length) if words is None else self._name(item) for item in found]
        problem = next((item for item in known if isinstance(item, Problem)), None)
        return problem or _as_json(known)

    def _name(self, tag: object) -> str | Problem:
        if type(tag) is int and self.names:
            if 0 <= tag < len(self.names):
                return self.names[tag]
            return Problem("bad tags", f"the number {tag}, of which task.names has no name")
        if isinstance(tag, str) and tag.strip():
            return tag.strip()
        known = type(tag) is int
        return str(tag) if known else Problem("bad tags", f"{str(tag)[:_SHOWN]!r} is no name and no number")

    def _span(self, item: object, length: int) -> dict[str, object] | Problem:
        if isinstance(item, list) and len(item) == 3:
            item = dict(zip(("start", "end", "label"), item, strict=True))
        if not isinstance(item, dict) or not {"start", "end", "label"} <= item.keys():
            return Problem("bad spans", "each is an object with start, end and label, or a list of the three")
        start, end, label = item["start"], item["end"], self._name(item["label"])
        if type(start) is not int or type(end) is not int or not 0 <= start < end <= length:
            shown = f"{str(start)[:_SHOWN]} to {str(end)[:_SHOWN]}"
            return Problem("bad spans", f"{shown} is no part of a text of {length:,} characters")
        return label if isinstance(label, Problem) else {"start": start, "end": end, "label": label}


def is_words(text: str) -> bool:
    """Whether a text that somebody gave is a JSON list of words."""
    return _words_in(text) is not None


def value_of(row: Row) -> Value:
    """What the model is asked about a row."""
    words = _words_in(row.values[0])
    return Text(valid_text(row.values[0])) if words is None else Words(tuple(map(valid_text, words)))


def sentence_of(given: Value | Row) -> Sentence:
    """A value without, or a row with what is known of its words. Raises: DataError for a broken row."""
    value = value_of(given) if isinstance(given, Row) else given
    if isinstance(value, Words):
        text, starts = value.plain(), [0]
        for word in value.words:
            starts.append(starts[-1] + len(word) + 1)
        words = tuple((start, start + len(word)) for start, word in zip(starts, value.words, strict=False))
    else:
        assert isinstance(value, Text)
        text = valid_text(value.plain())
        words = tuple(place for _, place in _splitter().pre_tokenize_str(text))
    if not isinstance(given, Row):
        return Sentence(text, words)
    checked = Tags().text(given.values[1], given.values[:1])
    if isinstance(checked, Problem):
        raise DataError("{where}: {value}; mend it", given.where, checked)
    known = json.loads(checked)
    if isinstance(value, Words):
        return Sentence(text, words, tuple(known))
    return Sentence(text, words, spans=tuple(Span(**span) for span in known))


def covered(sentence: Sentence) -> list[Entity]:
    """The spans that are marked, as entities of all words of which they hold a part; of spans that overlap
    the longer."""
    found: list[Entity] = []
    taken: set[int] = set()
    for span in sorted(sentence.spans, key=lambda span: (span.start - span.end, span.start)):
        held = [i for i, (start, end) in enumerate(sentence.words) if start < span.end and end > span.start]
        if held and taken.isdisjoint(held):
            taken.update(held)
            found.append(Entity(held[0], held[-1] + 1, span.label))
    return sorted(found)


@functools.cache
def _splitter() -> PreTokenizer:
    return Split(Regex(_WORD), "removed", invert=True)


def _words_in(text: str) -> list[str] | None:
    """The words of a JSON list; None for any other text."""
    if not text.startswith("["):
        return None
    try:
        found = json.loads(text)
    except (ValueError, RecursionError):
        return None
    return found if isinstance(found, list) and found and all(isinstance(x, str) for x in found) else None


def _as_json(found: object) -> str | Problem:
    text = json.dumps(found, ensure_ascii=False)
    if len(text) > LINE_LIMIT:
        return too_long("cell")
    return text if is_whole(text) else Problem("bad UTF-8", "half of a surrogate pair")
