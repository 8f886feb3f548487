"""A number as the answer: a rating, a similarity, a relevance."""

from __future__ import annotations

import math
from dataclasses import dataclass
from numbers import Real
from typing import ClassVar, Self

from regard.values import json_schema as js
from regard.values.json_schema import Schema, wrong
from regard.values.value import VALUES, Value, refused


@VALUES.register
@dataclass(frozen=True)
class Score(Value):
    """A finite number."""

    number: float
    kind: ClassVar[str] = "score"
    accepts: ClassVar[str] = "a finite number"
    properties: ClassVar[dict[str, Schema]] = {"number": js.number("The number.")}

    def __post_init__(self) -> None:
        if not math.isfinite(self.number):
            raise wrong(self.kind, self.number, "a finite number")

    @classmethod
    def from_word(cls, word: str) -> Self:
        try:
            return cls(float(word))
        except ValueError as error:
            raise refused(cls, word) from error

    @classmethod
    def from_object(cls, given: object) -> Self:
        if not isinstance(given, Real) or isinstance(given, bool):
            raise refused(cls, given)
        return cls(float(given))

    def __str__(self) -> str:
        return f"{self.number:.6g}"
