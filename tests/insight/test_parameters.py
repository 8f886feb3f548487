"""What can be changed in the worked examples: every value that is allowed gives an example that holds."""

from __future__ import annotations

from typing import Any

import pytest

from regard.course import EXAMPLES
from regard.errors import InputError
from regard.insight.objects import as_object, parameter_object
from regard.insight.parameters import Choice, Line, Parameter, Real, Whole, checked
from regard.insight.words import Words
from tests.shared import refused

W = Words("a", "b")
ALL: tuple[Parameter, ...] = (
    Whole("n", W, 3, 1, 5),
    Real("x", W, 0.5, 0.0, 1.0),
    Line("text", W, "cat", 8),
    Choice("one", W, "a", (("a", W), ("b", W))),
)


def ends(parameter: Parameter) -> list[Any]:
    """The values at the edge of what is allowed."""
    match parameter:
        case Whole() | Real():
            return [parameter.least, parameter.most]
        case Choice():
            return [value for value, _ in parameter.options]
        case Line():
            return ["2 0 1 3; -1 0.5 0 1"]
    raise NotImplementedError(f"say here which values of {parameter} are to be tried")


CHANGES = [
    (name, parameter.name, value)
    for name, example in EXAMPLES.items()
    for parameter in example.parameters
    for value in ends(parameter)
]


@pytest.mark.parametrize("name", EXAMPLES)
def test_every_example_has_something_to_change(name: str) -> None:
    assert EXAMPLES[name].parameters
    names = [parameter.name for parameter in EXAMPLES[name].parameters]
    assert len(set(names)) == len(names)
    assert EXAMPLES[name].values() == {p.name: p.default for p in EXAMPLES[name].parameters}


@pytest.mark.parametrize(("name", "parameter", "value"), CHANGES)
def test_a_changed_example_still_holds_and_is_another(name: str, parameter: str, value: Any) -> None:
    example = EXAMPLES[name]
    made = example.worked({parameter: value})
    assert made.holds, made.proofs
    same = value == example.values()[parameter]
    assert (as_object(made) == as_object(example.worked())) == same
    for step in made.steps:
        if step.figure is not None:
            assert step.figure.draw("zh").data


def test_values_are_checked_by_their_kind() -> None:
    assert checked(ALL, {}) == {"n": 3, "x": 0.5, "text": "cat", "one": "a"}
    assert checked(ALL, {"x": 1, "n": 5})["x"] == 1.0
    for name, bad in {
        "n": [0, 6, 2.5, True, "3", None],
        "x": [-0.1, 1.1, float("nan"), float("inf"), True, "x"],
        "text": ["", "  ", "123456789", 4],
        "one": ["c", 0, None, []],
    }.items():
        for value in bad:
            with refused(InputError, key=name):
                checked(ALL, {name: value})
    with refused(InputError, value="nothing"):
        checked(ALL, {"nothing": 1})


def test_a_parameter_says_what_a_page_needs_to_draw_it() -> None:
    made = [parameter_object(parameter) for parameter in ALL]
    assert [one["kind"] for one in made] == ["whole", "real", "text", "choice"]
    assert all(one["label"] == {"en": "a", "zh": "b"} for one in made)
    assert (made[0]["least"], made[0]["most"], made[0]["default"]) == (1, 5, 3)
    assert [option["value"] for option in made[3]["options"]] == ["a", "b"]


def test_inputs_by_hand_must_be_rows_of_numbers() -> None:
    for text in ("x", "1 2; 3", "1 2 3", "1e9 0 0 0", ";", "nan 0 0 0"):
        with pytest.raises(InputError):
            EXAMPLES["attention-by-hand"].worked({"inputs": text})
