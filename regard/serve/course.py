"""The worked examples as pages: what can be changed in each, and each as computed now."""

from __future__ import annotations

import json
from collections.abc import Mapping
from functools import lru_cache
from typing import Any

from regard.errors import InputError, unknown
from regard.insight.objects import as_object, parameter_object
from regard.insight.parameters import Value
from regard.insight.worked import Example, Lang, Worked

_KEPT = 32


class Course:
    """See the module's docstring."""

    def __init__(self, examples: Mapping[str, Example]) -> None:
        self.examples = examples
        self._worked = lru_cache(_KEPT)(self._compute)

    def listed(self) -> list[dict[str, Any]]:
        return [
            {
                "name": name,
                "title": vars(example.title),
                "text": vars(example.text),
                "parameters": [parameter_object(parameter) for parameter in example.parameters],
            }
            for name, example in self.examples.items()
        ]

    def values(self, name: str, changes: Mapping[str, Any]) -> dict[str, Value]:
        """Of all that can be changed in an example. Raises: InputError for an example, or a change, that
        there is not."""
        if name not in self.examples:
            raise unknown(InputError, "example", name[:80], self.examples)
        return self.examples[name].values(changes)

    def worked(self, name: str, lang: Lang, values: dict[str, Value]) -> dict[str, Any]:
        """An example with these values; some take seconds, and are kept. One at a time."""
        worked = self._worked(name, json.dumps(values, sort_keys=True))
        figures = [step.figure and json.loads(step.figure.draw(lang).to_json()) for step in worked.steps]
        return {"example": as_object(worked, origins=True), "figures": figures, "changes": values}

    def _compute(self, name: str, values: str) -> Worked:
        return self.examples[name].worked(json.loads(values))
