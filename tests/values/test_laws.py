"""Laws of every member of the registry of values."""

from __future__ import annotations

import json
import subprocess
import sys
from dataclasses import dataclass
from html.parser import HTMLParser
from typing import Any, ClassVar

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from jsonschema import Draft202012Validator

from regard.errors import ConfigError, InputError
from regard.values import VALUES, Image, Labels, Prediction, Text, Value, from_json
from regard.values.json_schema import check
from regard.values.prediction import prediction_schema
from regard.values.value import check_value
from regard.visible import visible
from tests.values.members import MEMBERS

each_kind = pytest.mark.parametrize("kind", sorted(VALUES))
few = settings(max_examples=25, deadline=None)
ANY_JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=9),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=9), inner, max_size=4),
    max_leaves=9,
)


def test_every_kind_has_a_strategy() -> None:
    assert set(MEMBERS) == set(VALUES)


@each_kind
@few
@given(data=st.data())
def test_a_value_is_what_its_json_says(kind: str, data: st.DataObject) -> None:
    value = data.draw(MEMBERS[kind])
    told = json.loads(json.dumps(value.to_json(), allow_nan=False))
    again = from_json(told)
    assert again == value
    assert type(value).parse(told) == value
    assert type(value).parse(value) is value
    assert hash(again) == hash(value)
    Draft202012Validator(type(value).schema()).validate(told)


@each_kind
def test_a_schema_is_one_of_the_draft_and_describes_every_key(kind: str) -> None:
    schema = VALUES[kind].schema()
    Draft202012Validator.check_schema(schema)
    assert schema["description"]
    assert schema["properties"]["kind"] == {"const": kind}


@each_kind
@few
@given(data=st.data())
def test_our_check_takes_what_the_oracle_takes(kind: str, data: st.DataObject) -> None:
    """Of JSON that is changed in one place."""
    told: Any = data.draw(MEMBERS[kind]).to_json()
    place = told
    while isinstance(place, dict | list) and place:
        keys = list(place) if isinstance(place, dict) else range(len(place))
        key = data.draw(st.sampled_from(list(keys)))
        if not isinstance(place[key], dict | list) or not place[key] or data.draw(st.booleans()):
            place[key] = data.draw(ANY_JSON)
            break
        place = place[key]
    schema = VALUES[kind].schema()
    refusal = None
    try:
        check(told, schema, kind)
    except InputError as error:
        refusal = str(error)
    stricter = ("finite", "half a character", "integer")
    ours_alone = refusal is not None and any(word in refusal for word in stricter)
    assert ours_alone or Draft202012Validator(schema).is_valid(told) == (refusal is None)


@each_kind
@few
@given(given=ANY_JSON)
def test_any_json_is_a_value_or_is_refused(kind: str, given: Any) -> None:
    for read in (VALUES[kind].from_json, from_json):
        with pytest.raises(InputError):
            read(given)


HUGE = ["1e39", "-1e39", "1e308", "1e999", "NaN"]
"""Beyond what single precision holds, or no number at all."""


@pytest.mark.parametrize("number", HUGE)
@pytest.mark.parametrize(
    "word",
    ['{{"kind": "vector", "numbers": [1, {}]}}', '{{"kind": "boxes", "boxes": [{{"xyxy": [0, 0, {}, 1]}}]}}'],
)
def test_a_number_that_no_value_can_hold_is_refused_by_name(word: str, number: str) -> None:
    kind = json.loads(word.format(0))["kind"]
    with pytest.raises(InputError):
        VALUES[kind].parse(word.format(number))


@each_kind
def test_nothing_in_json_is_opened_as_a_path(kind: str, tmp_path: Any) -> None:
    secret = tmp_path / "secret"
    secret.write_text("x")
    for key in VALUES[kind].properties:
        with pytest.raises(InputError):
            VALUES[kind].from_json({"kind": kind, key: str(secret), "further": 1})
    if kind in ("image", "mask", "audio", "video"):
        with pytest.raises(InputError) as caught:
            VALUES[kind].from_json({"kind": kind, "data": str(secret)})
        assert "base64" in str(caught.value.limit)


class Seen(HTMLParser):
    """The tags and attributes of a page, and whether a text stands in it unescaped."""

    def __init__(self) -> None:
        super().__init__()
        self.tags: set[str] = set()
        self.attributes: set[str] = set()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.add(tag)
        self.attributes |= {name for name, _ in attrs}


TAGS = {
    "p",
    "b",
    "span",
    "mark",
    "sub",
    "table",
    "tr",
    "td",
    "th",
    "meter",
    "img",
    "audio",
    "svg",
    "rect",
    "text",
}


@each_kind
@few
@given(data=st.data())
def test_what_others_wrote_commands_neither_a_terminal_nor_a_page(kind: str, data: st.DataObject) -> None:
    value = data.draw(MEMBERS[kind])
    line, page = str(value), value._repr_html_()
    assert line == visible(line, keep="\t")
    assert "\n" not in line
    assert page == visible(page, keep="\n\t")
    seen = Seen()
    seen.feed(page)
    assert seen.tags <= TAGS
    assert not any(name.startswith("on") for name in seen.attributes)


BAD = "\x1b[2J<script>alert(1)</script>\u202e\" onload='x'&"


def test_tags_and_controls_in_texts_are_escaped_in_every_kind_that_has_texts() -> None:
    array = np.ones((2, 3), np.uint8)
    told: list[Any] = [
        {"kind": "text", "text": BAD},
        {"kind": "pair", "first": BAD, "second": BAD},
        {"kind": "chat", "messages": [{"role": "user", "content": BAD}]},
        {"kind": "labels", "labels": [BAD], "probabilities": [0.5]},
        {"kind": "spans", "text": BAD, "spans": [{"start": 1, "end": 9, "label": BAD}]},
        {"kind": "boxes", "boxes": [{"xyxy": [0, 0, 1, 1], "label": BAD}]},
        {"kind": "items", "ids": [BAD], "user": BAD},
        {**VALUES["mask"].parse(array).to_json(), "labels": [BAD, BAD]},
    ]
    for value in map(from_json, told):
        assert "\x1b" not in str(value) + value._repr_html_()
        assert "\u202e" not in str(value) + value._repr_html_()
        assert "<script" not in value._repr_html_()
        assert "onload='" not in value._repr_html_()


def test_importing_values_loads_nothing_heavy() -> None:
    heavy = ["torch", "PIL", "soundfile", "soxr", "av", "pydantic"]
    code = f"import sys, regard.values; print([name for name in {heavy} if name in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


# ------------------------------------------------------------------------------------------- registration


@dataclass(frozen=True)
class Colour(Value):
    """A colour."""

    name: str
    kind: ClassVar[str] = "colour"
    accepts: ClassVar[str] = "its name"
    properties: ClassVar[dict[str, Any]] = {"name": {"type": "string", "description": "Its name."}}

    def __str__(self) -> str:
        return self.name


def test_a_kind_of_somebody_elses_is_read_by_its_schema() -> None:
    check_value(Colour)
    assert Colour.from_json({"kind": "colour", "name": "red"}) == Colour("red")
    assert Colour("red").to_json() == {"kind": "colour", "name": "red"}
    assert Colour("<b>").html() == "<span>&lt;b&gt;</span>"


@pytest.mark.parametrize(
    ("change", "key"),
    [
        ({"accepts": ""}, "accepts"),
        ({"properties": {}}, "properties"),
        ({"__doc__": None}, "__doc__"),
        ({"__str__": object.__str__}, "__str__"),
        ({"properties": {"name": {"type": "string"}}}, "description"),
        ({"properties": {"name": {"type": "colour", "description": "x"}}}, "type"),
        ({"properties": {"name": {"pattern": "x", "type": "string", "description": "x"}}}, None),
    ],
)
def test_a_kind_that_lacks_something_is_refused(change: dict[str, Any], key: str | None) -> None:
    made = dataclass(frozen=True)(type("Colour", (Value,), {**vars_of(Colour), **change}))
    with pytest.raises(ConfigError) as caught:
        check_value(made)
    assert key is None or caught.value.key == key


def vars_of(kind: type[Value]) -> dict[str, Any]:
    names = ("__annotations__", "__doc__", "__module__", "__str__", "accepts", "kind", "properties")
    return {name: vars(kind)[name] for name in names}


def test_what_is_no_frozen_dataclass_is_refused() -> None:
    for kind in (int, type("Bare", (Colour,), {"__doc__": "x"}), dataclass(type("Open", (), {"a": 1}))):
        with pytest.raises(ConfigError):
            check_value(kind)  # type: ignore[type-var]


# ------------------------------------------------------------------------------------------- predictions


@few
@given(kind=st.sampled_from(sorted(VALUES)), data=st.data())
def test_a_prediction_is_told_by_its_kind_alone(kind: str, data: st.DataObject) -> None:
    some = data.draw(st.lists(MEMBERS[kind], min_size=1, max_size=2))
    scores = data.draw(st.lists(st.none() | st.floats(), min_size=2, max_size=2))
    scored = tuple(zip(some, scores, strict=False))
    prediction = Prediction(*scored[0], scored if len(some) > 1 else (), unseen=3)
    told = json.loads(json.dumps(prediction.to_json(), allow_nan=False))
    Draft202012Validator(prediction_schema(VALUES[kind])).validate(told)
    assert from_json(told["value"]) == some[0]
    assert prediction.ranked[0][0] == some[0]
    assert len(str(prediction).split("\n")) == len(some)
    assert prediction._repr_html_()


def test_of_one_answer_only_the_answer_is_a_line() -> None:
    assert str(Prediction(Text("a\nb"), 0.5)) == "a b"
    two = Prediction(Labels(("a",)), 0.75, ((Labels(("a",)), 0.75), (Labels(("b",)), 0.25)))
    assert str(two) == "0.750\ta\n0.250\tb"
    assert "<img" in Prediction(Image(np.zeros((2, 2), np.uint8)))._repr_html_()
