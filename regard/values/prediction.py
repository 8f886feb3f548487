"""What a model answers to one input: a value of any kind, how good it is, and what else it could be."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Generic, TypeVar

from regard.strict_json import plain
from regard.values import json_schema as js
from regard.values.display import escaped
from regard.values.json_schema import Schema
from regard.values.value import JSON, Value

O = TypeVar("O", bound=Value)  # noqa: E741


@dataclass(frozen=True)
class Prediction(Generic[O]):
    """The answer to one input."""

    value: O
    score: float | None = None
    """Its log-probability, in nats per token or as the search defines it, or a probability; None if not asked
    for."""
    candidates: tuple[tuple[O, float | None], ...] = ()
    """The n best with their scores, the answer first, when more than one was asked for; samples in the order
    in which they were drawn."""
    unseen: int = 0
    """How many of the input's tokens the model did not see, since there were too many."""

    @property
    def ranked(self) -> tuple[tuple[O, float | None], ...]:
        """All that there is, the answer first."""
        return self.candidates or ((self.value, self.score),)

    def to_json(self) -> JSON:
        """As `prediction_schema` has it."""
        candidates = [_scored(*one) for one in self.candidates]
        return {**_scored(self.value, self.score), "candidates": candidates, "unseen": self.unseen}

    def __str__(self) -> str:
        """The answer; of several candidates one a line, behind its score."""
        if not self.candidates:
            return str(self.value)
        return "\n".join(f"{_digits(score)}\t{value}" for value, score in self.candidates)

    def _repr_html_(self) -> str:
        if not self.candidates:
            return self.value._repr_html_()
        rows = ((escaped(_digits(score)), value._repr_html_()) for value, score in self.candidates)
        return (
            f"<table>{''.join(f'<tr><td>{score}</td><td>{shown}</td></tr>' for score, shown in rows)}</table>"
        )


def prediction_schema(kind: type[Value]) -> Schema:
    """JSON Schema of a prediction whose value is of that kind."""
    schema = kind.schema()
    infinite = {"type": "string", "enum": ["NaN", "Infinity", "-Infinity"]}
    scored = {
        "value": {key: part for key, part in schema.items() if key != "$schema"},
        "score": {
            "description": "A log-probability or a probability; null where none was asked for.",
            "anyOf": [{"type": "number"}, {"type": "null"}, infinite],
        },
    }
    further = {
        "candidates": js.array(js.record(scored), "The n best, the answer first; or none."),
        "unseen": js.integer("Tokens of the input that were not read.", minimum=0),
    }
    return {"$schema": schema["$schema"], **js.record({**scored, **further})}


def _scored(value: Value, score: float | None) -> JSON:
    return {"value": value.to_json(), "score": plain(score)}


def _digits(score: float | None) -> str:
    return "" if score is None else f"{score:.3f}"
