"""A history of items: what somebody bought, watched or clicked, in order."""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass
from itertools import pairwise
from typing import ClassVar, Self

from regard.values import json_schema as js
from regard.values.display import line
from regard.values.json_schema import Schema, wrong
from regard.values.value import VALUES, Value, refused, require_whole


@VALUES.register
@dataclass(frozen=True)
class Items(Value):
    """Items by their ids, oldest first, with when they were and whose they are where that is known."""

    ids: tuple[str, ...]
    times: tuple[float, ...] = ()
    user: str | None = None
    kind: ClassVar[str] = "items"
    accepts: ClassVar[str] = "ids with blanks between them, or a list of them"
    properties: ClassVar[dict[str, Schema]] = {
        "ids": js.array(js.string(minLength=1), "The items, oldest first.", maxItems=1_000_000),
        "times": js.array(
            js.number(), "When each was, in seconds since 1970; empty if not known.", default=[]
        ),
        "user": js.nullable(js.string("Whose history it is, or null.")),
    }

    def __post_init__(self) -> None:
        for name in ("ids", "times"):
            object.__setattr__(self, name, tuple(getattr(self, name)))
        require_whole("items", *self.ids, self.user or "")
        if "" in self.ids:
            raise wrong(f"items.ids[{self.ids.index('')}]", "", "an id, which is not empty")
        if self.times and len(self.times) != len(self.ids):
            raise wrong("items.times", self.times, f"{len(self.ids):,} numbers, one for each item")
        if not all(map(math.isfinite, self.times)) or any(a > b for a, b in pairwise(self.times)):
            raise wrong("items.times", self.times, "finite, and none earlier than the one before")

    @classmethod
    def from_word(cls, word: str) -> Self:
        return super().from_word(word) if word.lstrip().startswith(("[", "{")) else cls(tuple(word.split()))

    @classmethod
    def from_object(cls, given: object) -> Self:
        if not isinstance(given, Iterable):
            raise refused(cls, given)
        ids = list(given)
        if not all(isinstance(item, str | int) and not isinstance(item, bool) for item in ids):
            raise refused(cls, given)
        return cls(tuple(map(str, ids)))

    def __str__(self) -> str:
        return " ".join(map(line, self.ids))
