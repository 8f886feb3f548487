"""What can be changed in a worked example: a number, a text or a choice, each with what it may be.

An example declares them, a page draws a control for each; the values come back here and are checked.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from regard.errors import InputError, outside, unknown
from regard.insight.words import Words

Value = int | float | str


@dataclass(frozen=True)
class Whole:
    """An integer."""

    name: str
    label: Words
    default: int
    least: int
    most: int
    kind: Literal["whole"] = "whole"

    def checked(self, value: object) -> Value:
        if not isinstance(value, int) or isinstance(value, bool) or not self.least <= value <= self.most:
            limit = f"an integer from {self.least} to {self.most}"
            raise outside(InputError, self.name, value, limit)
        return value


@dataclass(frozen=True)
class Real:
    """A number."""

    name: str
    label: Words
    default: float
    least: float
    most: float
    kind: Literal["real"] = "real"

    def checked(self, value: object) -> Value:
        number = isinstance(value, int | float) and not isinstance(value, bool)
        if not number or not self.least <= value <= self.most:  # type: ignore[operator]
            raise outside(InputError, self.name, value, f"a number from {self.least:g} to {self.most:g}")
        return float(value)  # type: ignore[arg-type]


@dataclass(frozen=True)
class Line:
    """A text."""

    name: str
    label: Words
    default: str
    longest: int = 200
    kind: Literal["text"] = "text"

    def checked(self, value: object) -> Value:
        if not isinstance(value, str) or not value.strip() or len(value) > self.longest:
            raise outside(InputError, self.name, value, f"a text of 1 to {self.longest} characters")
        return value


@dataclass(frozen=True)
class Choice:
    """One of some values."""

    name: str
    label: Words
    default: str
    options: tuple[tuple[str, Words], ...]
    kind: Literal["choice"] = "choice"

    def checked(self, value: object) -> Value:
        known = [option for option, _ in self.options]
        if value not in known:
            raise outside(InputError, self.name, value, f"one of {', '.join(known)}")
        assert isinstance(value, str)
        return value


Parameter = Whole | Real | Line | Choice


def checked(parameters: Sequence[Parameter], changes: Mapping[str, Any]) -> dict[str, Value]:
    """All values: those that were changed, and the others as they are by themselves.

    Raises: InputError for a name that there is not, or a value that it cannot have.
    """
    names = [parameter.name for parameter in parameters]
    for name in changes:
        if name not in names:
            raise unknown(InputError, "quantity to change", name, names)
    return {
        parameter.name: parameter.checked(changes.get(parameter.name, parameter.default))
        for parameter in parameters
    }
