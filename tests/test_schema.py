"""Every configuration survives the way to JSON and back; every wrong one is refused by name."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from regard.errors import ConfigError
from regard.model.transformer import EncoderDecoderConfig, ModelConfig, TransformerConfig
from regard.schema import Key, describe, dump, override, parse
from tests.shared import refused


@dataclass(frozen=True)
class Round:
    """A disc of one `radius`. It has no corners."""

    radius: float = 1.0
    kind: Literal["round"] = "round"


@dataclass(frozen=True)
class Square:
    side: float
    """How long a side is,
    in metres."""
    kind: Literal["square"] = "square"

    def __post_init__(self) -> None:
        if self.side <= 0:
            raise ValueError(f"a side must be longer than 0, not {self.side}")


Shape = Round | Square


@dataclass(frozen=True)
class Drawing:
    title: str
    shape: Shape = Round()
    frame: Shape | None = None
    more: tuple[Shape, ...] = ()
    named: Mapping[str, Shape] = field(default_factory=dict)
    sizes: tuple[int, ...] = (1, 2)
    colour: Literal["red", "blue"] = "red"
    place: Path | None = None
    filled: bool = False
    free: dict[str, Any] = field(default_factory=dict)
    label: str | Round = "none"


shapes = st.builds(Round, st.floats(0.5, 9)) | st.builds(Square, st.floats(0.5, 9))
drawings = st.builds(
    Drawing,
    title=st.text(),
    shape=shapes,
    frame=st.none() | shapes,
    more=st.lists(shapes, max_size=2).map(tuple),
    named=st.dictionaries(st.text(max_size=3), shapes, max_size=2),
    sizes=st.lists(st.integers()).map(tuple),
    colour=st.sampled_from(["red", "blue"]),
    place=st.none() | st.just(Path("a/b")),
    filled=st.booleans(),
    free=st.dictionaries(st.text(max_size=3), st.none() | st.integers() | st.text()),
    label=st.just("words") | st.builds(Round),
)


@given(drawings)
def test_a_configuration_survives_json(drawing):
    assert parse(Drawing, json.loads(json.dumps(dump(drawing)))) == drawing


def test_a_bare_kind_is_that_kind_with_its_defaults():
    drawing = parse(
        Drawing, {"title": "x", "shape": "round", "more": ["round", {"kind": "square", "side": 2}]}
    )
    assert drawing == Drawing("x", Round(), more=(Round(), Square(2.0)))
    assert parse(Drawing, {"title": "x", "label": "round"}).label == Round()
    assert parse(Drawing, {"title": "x", "label": "else"}).label == "else"


@pytest.mark.parametrize(
    ("data", "parts"),
    [
        ({}, {"key": "image.title", "limit": "text"}),
        ([], {"key": "image", "value": "[]", "limit": "a dictionary of Drawing"}),
        ({"titel": 1}, {"key": "image.titel", "remedy": "did you mean 'title'?"}),
        ({"title": 1}, {"key": "image.title", "value": "1", "limit": "text"}),
        ({"title": "x", "filled": 1}, {"key": "image.filled", "value": "1", "limit": "true or false"}),
        (
            {"title": "x", "sizes": [1, "2"]},
            {"key": "image.sizes", "value": '[1, "2"]', "limit": "a list of integer values"},
        ),
        (
            {"title": "x", "sizes": [True]},
            {"key": "image.sizes", "value": "[true]", "limit": "a list of integer values"},
        ),
        (
            {"title": "x", "colour": "rad"},
            {"key": "image.colour", "value": '"rad"', "limit": '"red" or "blue"'},
        ),
        (
            {"title": "x", "shape": "squair"},
            {"key": "image.shape.kind", "value": '"squair"', "limit": "one of 'round', 'square'"},
        ),
        (
            {"title": "x", "shape": "squair"},
            {
                "key": "image.shape.kind",
                "value": '"squair"',
                "limit": "one of 'round', 'square'",
                "remedy": "did you mean 'square'?",
            },
        ),
        ({"title": "x", "shape": None}, {"key": "image.shape", "limit": "'round', 'square'"}),
        ({"title": "x", "shape": {"radius": 1}}, {"key": "image.shape", "limit": "'round', 'square'"}),
        ({"title": "x", "shape": "square"}, {"key": "image.shape.side", "limit": "a finite number"}),
        (
            {"title": "x", "shape": {"kind": "square", "side": -1}},
            {"key": "image.shape", "value": "a side must be longer than 0, not -1.0"},
        ),
        ({"title": "x", "shape": {"kind": "round", "radios": 1}}, {"key": "image.shape.radios"}),
        (
            {"title": "x", "shape": {"kind": "round", "radius": float("nan")}},
            {"key": "image.shape.radius", "value": "nan", "limit": "a finite number"},
        ),
        ({"title": "x", "more": "round"}, {"key": "image.more", "value": '"round"', "limit": "a list"}),
        (
            {"title": "x", "more": [3]},
            {"key": "image.more[0].kind", "value": "3", "limit": "one of 'round', 'square'"},
        ),
        (
            {"title": "x", "named": {"a": {"kind": []}}},
            {"key": "image.named.a.kind", "value": "[]", "limit": "one of 'round', 'square'"},
        ),
        ({"title": "x", "named": []}, {"key": "image.named", "value": "[]", "limit": "a dictionary"}),
    ],
)
def test_a_wrong_configuration_is_refused_by_its_dotted_path(data, parts):
    with refused(ConfigError, where="file.json", **parts) as caught:
        parse(Drawing, data, where="file.json", prefix="image")
    assert str(caught.value).startswith("file.json: image")
    assert "\n" not in str(caught.value)


json_values = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats()
    | st.text()
    | st.sampled_from(["round", "square"]),
    lambda inner: (
        st.lists(inner) | st.dictionaries(st.text() | st.sampled_from(["kind", "side", "title"]), inner)
    ),
)


@given(st.dictionaries(st.sampled_from(["title", "shape", "more", "named", "sizes", "free"]), json_values))
def test_anything_else_than_a_configuration_is_a_config_error(data):
    try:
        drawing = parse(Drawing, data)
    except ConfigError:
        return
    assert isinstance(drawing, Drawing)


@pytest.mark.parametrize(
    ("assignment", "expected"),
    [
        ("train.lr=1e-3", {"train": {"lr": 1e-3, "steps": 5}, "shape": "round"}),
        ("train.new.deep=[1,2]", {"train": {"lr": 1, "steps": 5, "new": {"deep": [1, 2]}}, "shape": "round"}),
        ("shape.radius=2", {"train": {"lr": 1, "steps": 5}, "shape": {"kind": "round", "radius": 2}}),
        ("name=a=b", {"train": {"lr": 1, "steps": 5}, "shape": "round", "name": "a=b"}),
        ("shape=null", {"train": {"lr": 1, "steps": 5}, "shape": None}),
        ("shape=", {"train": {"lr": 1, "steps": 5}, "shape": ""}),
    ],
)
def test_set_changes_one_key_of_a_copy(assignment, expected):
    data = {"train": {"lr": 1, "steps": 5}, "shape": "round"}
    assert override(data, assignment) == expected
    assert data == {"train": {"lr": 1, "steps": 5}, "shape": "round"}


@pytest.mark.parametrize("assignment", ["", "lr", "=1", "a..b=1", "train.lr.x=1"])
def test_set_without_a_key_that_can_be_set_is_refused(assignment):
    with pytest.raises(ConfigError, match="--set"):
        override({"train": {"lr": 1}}, assignment)


def test_every_key_is_described_with_its_choices():
    keys = {(key.path, key.when): key for key in describe(Drawing)}
    assert keys["title", ""] == Key("title", "text", "", "")
    assert keys["shape", ""] == Key("shape", "'round' or 'square'", '"round"', "")
    assert keys["shape.radius", "shape.kind=round"].doc == "A disc of one `radius`."
    assert keys["frame.side", "frame.kind=square"].doc == "How long a side is, in metres."
    assert keys["sizes", ""].default == "[1, 2]"
    assert keys["place", ""].type == "a path or null"


STACK = {"width": 12, "depth": 1}
TOKENS = {"kind": "tokens"}


@pytest.mark.parametrize(
    ("kind", "least"),
    [
        (TransformerConfig, {"embed": TOKENS, "stack": STACK}),
        (EncoderDecoderConfig, {"source": TOKENS, "target": TOKENS, "encoder": STACK, "decoder": STACK}),
    ],
)
def test_every_key_of_a_model_takes_its_own_default_from_set(kind, least):
    keys = describe(kind)
    for key in keys:
        data: dict[str, Any] = least
        for choice in filter(None, key.when.split(", ")):
            data = override(data, choice)
        for other in keys:
            if not other.default and other.when and other.when == key.when:
                data = override(data, f"{other.path}=11")
        if key.default:
            data = override(data, f"{key.path}={key.default}")
        assert dump(parse(kind, data)), key


def test_the_models_of_the_family_are_told_apart_by_kind():
    with refused(
        ConfigError, key="kind", value='"transformers"', limit="one of 'transformer', 'encoder-decoder'"
    ):
        parse(ModelConfig, {"kind": "transformers"})
