"""Labels: one of several, or any number of them, with how likely each is."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from itertools import pairwise
from typing import ClassVar, Self

from regard.errors import InputError
from regard.strict_json import loads
from regard.values import json_schema as js
from regard.values.display import escaped, line
from regard.values.json_schema import Schema, wrong
from regard.values.value import VALUES, Value, refused, require_whole


@VALUES.register
@dataclass(frozen=True)
class Labels(Value):
    """A ranking of labels, of which the first `chosen` are the answer: one where an input has one, any number
    where it may have several."""

    labels: tuple[str, ...]
    probabilities: tuple[float, ...] = ()
    chosen: int = 1
    separator: str = "|"
    """What stands between several where they are shown; it is no part of the value."""
    kind: ClassVar[str] = "labels"
    accepts: ClassVar[str] = "a label, or a list of those that hold"
    properties: ClassVar[dict[str, Schema]] = {
        "labels": js.array(
            js.string(), "The labels: those that hold, then others, most likely first.", maxItems=100_000
        ),
        "probabilities": js.array(
            js.number(minimum=0, maximum=1),
            "How likely each label is; empty where that is not known.",
            default=[],
        ),
        "chosen": js.integer("How many of the labels, from the first, are the answer.", minimum=0, default=1),
    }

    def __post_init__(self) -> None:
        for name in ("labels", "probabilities"):
            object.__setattr__(self, name, tuple(getattr(self, name)))
        require_whole("labels", *self.labels)
        ranked, n = self.probabilities, len(self.labels)
        if ranked and len(ranked) != n:
            raise wrong("labels.probabilities", ranked, f"{n:,} numbers, one for each label")
        if not all(0 <= p <= 1 for p in ranked) or any(a < b for a, b in pairwise(ranked)):
            raise wrong("labels.probabilities", ranked, "from 0 to 1, and none larger than the one before")
        if not 0 <= self.chosen <= n:
            raise wrong("labels.chosen", self.chosen, f"from 0 to {n:,}, the number of labels")

    @property
    def answer(self) -> tuple[str, ...]:
        """The labels that hold."""
        return self.labels[: self.chosen]

    @classmethod
    def from_word(cls, word: str) -> Self:
        if word.startswith("[") and word.rstrip().endswith("]"):
            try:
                return cls.from_object(loads(word))
            except (ValueError, InputError):
                pass  # a label that begins with a bracket
        return cls((word,))

    @classmethod
    def from_object(cls, given: object) -> Self:
        if not isinstance(given, Iterable) or not all(isinstance(label, str) for label in given):
            raise refused(cls, given)
        labels = tuple(given)
        return cls(labels, chosen=len(labels))

    def plain(self) -> str:
        return self.separator.join(self.answer)

    def key(self) -> tuple[object, ...]:
        return self.labels, self.probabilities, self.chosen

    def __str__(self) -> str:
        return line(self.plain())

    def html(self) -> str:
        rows = []
        for place, label in enumerate(self.labels[:_MOST_SHOWN]):
            name = f"<b>{escaped(label)}</b>" if place < self.chosen else escaped(label)
            p = self.probabilities[place] if self.probabilities else None
            bar = "" if p is None else f'{p:.4f} <meter value="{p:.4f}"></meter>'
            rows.append(f"<tr><td>{name}</td><td>{bar}</td></tr>")
        return f"<table>{''.join(rows)}</table>"


_MOST_SHOWN = 20
