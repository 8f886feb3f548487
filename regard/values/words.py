"""A text whose words are known: what a corpus holds that somebody has cut into words."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import ClassVar, Self

from regard.values import json_schema as js
from regard.values.display import line
from regard.values.json_schema import Schema, wrong
from regard.values.value import VALUES, Value, refused, require_whole


@VALUES.register
@dataclass(frozen=True)
class Words(Value):
    """The words of a text in their order, punctuation marks among them."""

    words: tuple[str, ...]
    kind: ClassVar[str] = "words"
    accepts: ClassVar[str] = "a list of words, as JSON on a command line"
    properties: ClassVar[dict[str, Schema]] = {
        "words": js.array(js.string(minLength=1), "The words in their order.", maxItems=1_000_000),
    }

    def __post_init__(self) -> None:
        object.__setattr__(self, "words", tuple(self.words))
        require_whole("words", *self.words)
        if "" in self.words:
            raise wrong(f"words.words[{self.words.index('')}]", "", "a word, which is not empty")

    @classmethod
    def from_object(cls, given: object) -> Self:
        if not isinstance(given, Iterable):
            raise refused(cls, given)
        words = list(given)
        if not all(isinstance(word, str) for word in words):
            raise refused(cls, given)
        return cls(tuple(words))

    def plain(self) -> str:
        """The words with a space between each two."""
        return " ".join(self.words)

    def __str__(self) -> str:
        return line(self.plain())
