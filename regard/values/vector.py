"""A vector: what a model made of a text or an image, for comparing and searching."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any, ClassVar, Self

import numpy as np
from numpy.typing import NDArray

from regard.values import json_schema as js
from regard.values.display import line
from regard.values.json_schema import Schema, wrong
from regard.values.value import VALUES, Value, array_of, refused


@VALUES.register
@dataclass(frozen=True, eq=False, repr=False)
class Vector(Value):
    """Finite numbers in single precision."""

    numbers: NDArray[np.float32]
    """(D,)"""
    kind: ClassVar[str] = "vector"
    accepts: ClassVar[str] = "numbers: a list, an array of one axis, or a text with blanks or commas between"
    properties: ClassVar[dict[str, Schema]] = {
        "numbers": js.array(js.number(), "They are kept in single precision.", minItems=1, maxItems=1_000_000)
    }

    def __post_init__(self) -> None:
        array = array_of(type(self), self.numbers)
        if array.ndim != 1 or not array.size:
            raise wrong("vector.numbers", array.shape, "of one axis, with a number at least")
        with np.errstate(over="ignore"):
            numbers = array.astype(np.float32)
        if not np.isfinite(numbers).all():
            place = int(np.flatnonzero(~np.isfinite(numbers))[0])
            raise wrong(
                f"vector.numbers[{place}]", array[place].item(), "a finite number in single precision"
            )
        object.__setattr__(self, "numbers", numbers)

    @classmethod
    def from_word(cls, word: str) -> Self:
        inside = word.strip().removeprefix("[").removesuffix("]").replace(",", " ").split()
        try:
            return cls(np.array([float(number) for number in inside]))
        except ValueError as error:
            raise refused(cls, word) from error

    @classmethod
    def from_object(cls, given: Any) -> Self:
        return cls(array_of(cls, given))

    def __str__(self) -> str:
        return line(json.dumps([round(number, 6) for number in self.numbers.tolist()]))
