"""Whatever a model computes has a name, in both languages, wherever it is read."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import get_args

import pytest
import torch
from members import BASE, EMBEDS, OUTPUTS, PARTS, V, embedded, encoder_decoder, ids, lively, transformer
from torch import Tensor

from regard.insight import names
from regard.insight.derived import with_derived
from regard.insight.recorded import Naming, passes_of
from regard.insight.recorder import Choice, Recorder
from regard.insight.trace import Entry
from regard.model.embed import Tokens
from regard.model.feedforward import Activation
from regard.model.transformer import Model, TransformerConfig

NAMING = Naming(lambda some: [f"s{i}" for i in some], lambda some: [f"t{i}" for i in some])
WORD = re.compile(r"(?<![A-Za-z_])[A-Za-z]{4,}")
SYMBOLS = {word for point in names.names_object()["points"] for word in WORD.findall(point)} | {
    "softmax",
    "tanh",
    "norm",
}
SYMBOLS |= {word for activation in get_args(Activation) for word in WORD.findall(activation)}
"""Which a formula may have in any language: names of other values, and functions."""


def models() -> Iterator[tuple[Model, list[Tensor]]]:
    for stack in PARTS.values():
        yield transformer(stack), [ids(1, 5)]
        yield encoder_decoder(stack), [ids(1, 7), ids(1, 5)]
    for head in OUTPUTS:
        yield lively(TransformerConfig(Tokens(V), BASE, head).build()), [ids(1, 5)]
    for embed in EMBEDS:
        model, given = embedded(embed)
        yield model, [given[:1]]


@pytest.fixture(scope="module")
def entries() -> dict[str, Entry]:
    """Of all models, by name."""
    found: dict[str, Entry] = {}
    for model, given in models():
        recorder = Recorder(model, Choice())
        with torch.no_grad(), recorder.watching():
            model(*given)
        passes, _ = passes_of(recorder, NAMING)
        for one in passes:
            found |= with_derived(model, one).entries
    return found


def test_every_value_has_a_place_and_a_name_in_both_languages(entries: dict[str, Entry]) -> None:
    assert len(entries) > 100
    given = names.names_object()
    for name in entries:
        place = names.place_of(name)
        assert place.section in names.SECTIONS, name
        assert place.point in given["points"], f"{name}: {place.point} has no words"
        english, chinese = given["points"][place.point]
        assert english.strip(), name
        assert chinese.strip(), name


def test_every_formula_and_axis_is_also_told_in_chinese(entries: dict[str, Entry]) -> None:
    given = names.names_object()
    axes = {axis.name for entry in entries.values() for axis in entry.axes}
    assert axes - given["axes"].keys() == set()
    formulas = {entry.formula for entry in entries.values() if set(WORD.findall(entry.formula)) - SYMBOLS}
    assert formulas - given["formulas"].keys() == set()
    for english, chinese in given["formulas"].values():
        assert re.search("[\u4e00-\u9fff]", chinese), english


def test_what_the_tables_say_is_said_of_some_value(entries: dict[str, Entry]) -> None:
    """A name that nothing has is a mistyped one."""
    places = [names.place_of(name) for name in entries]
    known = {place.point for place in places} | {f"{place.section}.{place.point}" for place in places}
    known |= {
        point.replace("_pre_rotary", "_rotated") for point in known
    }  # what the explorer calls the other
    assert set(names.names_object()["points"]) - known == set()
