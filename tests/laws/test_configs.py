"""A configuration is written as JSON and read back as itself; and what it says is what is built."""

from __future__ import annotations

import json
import math
from dataclasses import dataclass, fields, is_dataclass, replace
from typing import get_args, get_type_hints

import pytest
import torch
from members import BASE, EMBEDS, INITS, MASKED, PARTS, D, V, ids, name
from torch import nn

from regard.model.attention import Attention
from regard.model.block import PreNorm
from regard.model.embed import Embed, Patches, Tokens
from regard.model.head import Classes, Vocabulary
from regard.model.init import Init, Scaled, Xavier
from regard.model.mask import Full, MaskRule
from regard.model.position import Learned, NoPosition, Position, RelativeBias
from regard.model.stack import LayerPattern, StackConfig
from regard.model.transformer import EncoderDecoderConfig, ModelConfig, TransformerConfig
from regard.registry import members_of
from regard.schema import dump, parse


@pytest.mark.parametrize("stack", MASKED.values(), ids=MASKED.keys())
def test_a_configuration_survives_json(stack: StackConfig) -> None:
    decoder = replace(stack, cross=stack.attention)
    for config in (
        TransformerConfig(Tokens(V, scale=False), stack, Vocabulary(tied=False)),
        TransformerConfig(Tokens(V), stack, Classes(3, "first")),
        TransformerConfig(Patches(3, 14, 22, 2), stack, Classes(3)),
        EncoderDecoderConfig(Tokens(V), Tokens(V), stack, decoder, tying="two-way", init=Scaled(0.01)),
    ):
        written = json.dumps(dump(config))
        assert parse(ModelConfig, json.loads(written)) == config
        assert '"kind"' in written


def test_every_member_of_every_union_is_tried() -> None:
    """The laws run over `MASKED`; nothing that a stack can hold may be missing from it."""
    tried = {type(part) for stack in MASKED.values() for part in _parts(stack)}
    for owner in (StackConfig, type(BASE.attention)):
        for member in _members(owner):
            assert member in tried, f"{member.__name__} has no sample in tests/laws/members.py"
    assert {type(init) for init in INITS} == set(members_of(Init))
    assert {type(stack.mask) for stack in MASKED.values()} == set(members_of(MaskRule))


def _parts(config: object) -> list[object]:
    inside = [getattr(config, field.name) for field in fields(config)]  # type: ignore[arg-type]
    return [config, *(part for value in inside if is_dataclass(value) for part in _parts(value))]


def _members(owner: type) -> list[type]:
    hints = get_type_hints(owner).values()
    return [
        member
        for hint in hints
        for kind in (get_args(hint) or (hint,))
        for member in members_of(kind) or (kind,)
        if is_dataclass(member) and member is not LayerPattern
    ]


def test_every_embedding_is_tried() -> None:
    assert {type(embed) for embed in EMBEDS} == set(members_of(Embed))


@pytest.mark.parametrize("init", INITS, ids=name)
@pytest.mark.parametrize("embed", EMBEDS, ids=name)
def test_every_weight_of_an_embedding_is_initialised(
    embed: Embed, init: Init, monkeypatch: pytest.MonkeyPatch
) -> None:
    made = torch.empty
    monkeypatch.setattr(torch, "empty", lambda *a, **k: made(*a, **k).fill_(math.nan))
    model = TransformerConfig(embed, replace(BASE, mask=Full()), Classes(3), init).build()
    assert all(value.isfinite().all() for value in model.state_dict().values())
    assert model.embed.weight.std() > 0.01


@pytest.mark.parametrize("init", INITS, ids=name)
@pytest.mark.parametrize("stack", PARTS.values(), ids=PARTS.keys())
def test_every_weight_is_initialised_and_by_the_seed_alone(stack: StackConfig, init: Init) -> None:
    config = EncoderDecoderConfig(
        Tokens(V), Tokens(V), stack, replace(stack, cross=stack.attention), tying="none", init=init
    )
    states = []
    for garbage in (math.nan, 7.0):
        made = torch.empty
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(
                torch, "empty", lambda *a, made=made, garbage=garbage, **k: made(*a, **k).fill_(garbage)
            )
            torch.manual_seed(5)
            states.append(config.build().state_dict())
    assert all(torch.equal(states[0][key], states[1][key]) for key in states[0])
    assert all(value.isfinite().all() for value in states[0].values())


def test_the_papers_init_scales_each_projection_by_itself() -> None:
    heads = replace(BASE.attention, heads=6, kv_heads=2, head_width=31)
    model = TransformerConfig(
        Tokens(997), replace(BASE, width=101, attention=heads, position=NoPosition())
    ).build()
    attention = model.stack.blocks[0].attention
    assert isinstance(attention, Attention)
    for part, rows in zip(attention.qkv.weight.split([186, 62, 62]), (186, 62, 62), strict=True):
        limit = (6 / (101 + rows)) ** 0.5
        assert 0.98 * limit < part.abs().max() <= limit
    assert attention.qkv.bias.abs().max() == 0
    assert model.embed.weight.std().item() == pytest.approx(101**-0.5, rel=0.02)
    vectors = model.embed(ids(997))
    assert vectors.norm(dim=-1).mean().item() == pytest.approx(101**0.5, rel=0.1)  # as long as √D


def test_the_stable_init_shrinks_what_ends_a_branch() -> None:
    stack = replace(BASE, width=100, depth=3, placement=PreNorm())
    decoder = replace(stack, cross=stack.attention)
    model = EncoderDecoderConfig(Tokens(V), Tokens(V), stack, decoder, init=Scaled(0.05)).build()
    for blocks, branches in ((model.encoder.blocks, 6), (model.decoder.blocks, 9)):
        ends = [blocks[1].attention.out, blocks[1].feedforward.down]
        for linear in ends:
            assert linear.weight.std().item() == pytest.approx(0.05 / branches**0.5, rel=0.05)
        for linear in (blocks[1].attention.qkv, blocks[1].feedforward.up):
            assert linear.weight.std().item() == pytest.approx(0.05, rel=0.05)


@pytest.mark.parametrize("position", [Learned(997), RelativeBias(998, 998)], ids=name)
def test_tables_of_positions_are_initialised_too(position: Position) -> None:
    stack = TransformerConfig(Tokens(V), replace(BASE, position=position), init=Scaled(0.05)).build().stack
    assert stack.position.table.weight.std().item() == pytest.approx(0.05, rel=0.05)


def test_a_gain_multiplies_the_papers_init() -> None:
    for gain in (1.0, 0.5):
        torch.manual_seed(3)
        up = TransformerConfig(Tokens(V), BASE, init=Xavier(gain)).build().stack.blocks[0].feedforward.up
        assert up.weight.abs().max().item() == pytest.approx(gain * (6 / (5 * D)) ** 0.5, rel=0.02)


@pytest.mark.parametrize(("tying", "tables"), [("three-way", 1), ("two-way", 2), ("none", 3)])
def test_tying_says_how_many_tables_there_are(tying: str, tables: int) -> None:
    config = EncoderDecoderConfig(
        Tokens(V), Tokens(V), BASE, replace(BASE, cross=BASE.attention), tying=tying
    )
    model = config.build()
    assert (
        len({id(table) for table in (model.source.weight, model.target.weight, model.head.weight)}) == tables
    )


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"decoder": BASE}, "must look at the encoder"),
        ({"encoder": replace(BASE, width=40)}, "differ in width: 40, 20"),
        ({"source": Tokens(17)}, "needs one vocabulary"),
    ],
)
def test_contradictions_are_refused(change: dict[str, object], said: str) -> None:
    config = EncoderDecoderConfig(Tokens(V), Tokens(V), BASE, replace(BASE, cross=BASE.attention))
    with pytest.raises(ValueError, match=said):
        replace(config, **change).build()


class Garbage(nn.Module):
    """A head of a user, whose parameter nobody fills."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.full((3, width), math.nan))
        self.inner = nn.Linear(width, 5)

    def forward(self, x: torch.Tensor, positions: object = None) -> torch.Tensor:
        return x @ self.weight.T


class Initialised(Garbage):
    def initialise(self, init: Init) -> None:
        init.matrix(self.weight, None)


class Reset(Garbage):
    def reset_parameters(self) -> None:
        nn.init.ones_(self.weight)


@dataclass(frozen=True)
class NewHead:
    module: type[nn.Module]

    def build(self, width: int, table: object) -> nn.Module:
        return self.module(width)


@pytest.mark.parametrize("init", INITS, ids=name)
@pytest.mark.parametrize("module", [Initialised, Reset])
def test_a_new_head_fills_its_own_parameters(module: type[nn.Module], init: Init) -> None:
    model = TransformerConfig(Tokens(V), BASE, NewHead(module), init).build()  # type: ignore[arg-type]
    assert all(value.isfinite().all() for value in model.state_dict().values())


def test_a_new_head_whose_parameters_nobody_fills_is_refused() -> None:
    with pytest.raises(ValueError, match=r"weight of Garbage.*method initialise\(init\)"):
        TransformerConfig(Tokens(V), BASE, NewHead(Garbage)).build()  # type: ignore[arg-type]
