"""A text."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar, Self

from regard.values import json_schema as js
from regard.values.display import CSS_TEXT, escaped, line
from regard.values.json_schema import Schema
from regard.values.value import VALUES, Value, require_whole


@VALUES.register
@dataclass(frozen=True)
class Text(Value):
    """A text, as it is: no blank is taken off."""

    text: str
    kind: ClassVar[str] = "text"
    accepts: ClassVar[str] = "a text, or a file that holds one in UTF-8"
    properties: ClassVar[dict[str, Schema]] = {"text": js.string("The text.")}

    def __post_init__(self) -> None:
        require_whole(self.kind, self.text)

    @classmethod
    def from_word(cls, word: str) -> Self:
        return cls(word)

    def plain(self) -> str:
        return self.text

    def __str__(self) -> str:
        return line(self.text)

    def html(self) -> str:
        return f'<p style="{CSS_TEXT}">{escaped(self.text)}</p>'
