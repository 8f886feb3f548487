"""A row of a table as a value: what the task predicts from."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar, Self

from regard.values import Value
from regard.values import json_schema as js
from regard.values.display import line, table
from regard.values.json_schema import Schema, wrong
from regard.values.value import require_whole

Content = float | str | None
"""A number, a text, or nothing where the value is missing."""


@dataclass(frozen=True)
class Record(Value):
    """A row of a table: a number, a text or nothing under each name."""

    names: tuple[str, ...]
    cells: tuple[Content, ...]
    kind: ClassVar[str] = "record"
    accepts: ClassVar[str] = "an object with a number, a text or null under the name of each column"
    properties: ClassVar[dict[str, Schema]] = {
        "names": js.array(js.string(minLength=1), "The names of the columns.", maxItems=10_000),
        "cells": js.array(
            {"anyOf": [js.number(), js.string(), {"type": "null"}]},
            "What stands in each: a number, a text, or null where it is missing.",
            maxItems=10_000,
        ),
    }

    def __post_init__(self) -> None:
        for name in ("names", "cells"):
            object.__setattr__(self, name, tuple(getattr(self, name)))
        require_whole("record", *self.names, *(cell for cell in self.cells if isinstance(cell, str)))
        if len(set(self.names)) < len(self.names):
            raise wrong("record.names", self.names, "a different name for each column")
        if len(self.cells) != len(self.names):
            raise wrong("record.cells", self.cells, f"{len(self.names):,} values, one for each name")
        for name, cell in zip(self.names, self.cells, strict=True):
            number = isinstance(cell, int | float) and not isinstance(cell, bool) and math.isfinite(cell)
            if not (cell is None or isinstance(cell, str) or number):
                raise wrong(f"record.{name}", cell, "a finite number, a text or null")

    @classmethod
    def parse(cls, given: object) -> Self:
        """Also an object whose keys are the names."""
        if isinstance(given, Mapping) and given.keys() != {"kind", *cls.properties}:
            return cls(tuple(map(str, given)), tuple(given.values()))
        return super().parse(given)

    def __str__(self) -> str:
        return line(json.dumps(dict(zip(self.names, self.cells, strict=True)), ensure_ascii=False))

    def html(self) -> str:
        return table(self.names, [["" if cell is None else str(cell) for cell in self.cells]])
