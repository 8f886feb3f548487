"""Two texts: a question and its context, two sentences to compare."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar, Self

from regard.values import json_schema as js
from regard.values.display import CSS_TEXT, escaped, line
from regard.values.json_schema import Schema
from regard.values.value import VALUES, Value, refused, require_whole


@VALUES.register
@dataclass(frozen=True)
class Pair(Value):
    """Two texts in an order that means something, such as a question and its context."""

    first: str
    second: str
    kind: ClassVar[str] = "pair"
    accepts: ClassVar[str] = "two texts with a tab between them, or a list of the two"
    properties: ClassVar[dict[str, Schema]] = {
        "first": js.string("The first text, such as a question."),
        "second": js.string("The second text, such as its context."),
    }

    def __post_init__(self) -> None:
        require_whole(self.kind, self.first, self.second)

    @classmethod
    def from_word(cls, word: str) -> Self:
        first, tab, second = word.partition("\t")
        if not tab:
            raise refused(cls, word)
        return cls(first, second)

    @classmethod
    def from_object(cls, given: object) -> Self:
        if not isinstance(given, list | tuple) or len(given) != 2:
            raise refused(cls, given)
        return cls(*given)

    def __str__(self) -> str:
        return "\t".join(line(text.replace("\t", " ")) for text in (self.first, self.second))

    def html(self) -> str:
        return "".join(f'<p style="{CSS_TEXT}">{escaped(text)}</p>' for text in (self.first, self.second))
