"""Counts against what torch itself counts during a run."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch
from torch import nn
from torch.utils.flop_counter import FlopCounterMode

from regard.model.attention import AttentionConfig
from regard.model.block import PreNorm, SandwichNorm
from regard.model.describe import describe
from regard.model.embed import Patches, Tokens
from regard.model.feedforward import GatedMLP
from regard.model.head import Classes, Head, Vocabulary
from regard.model.mask import Causal, Full
from regard.model.multihead import MultiheadAttention
from regard.model.norm import RMSNorm
from regard.model.position import ALiBi, Learned, RelativeBias
from regard.model.score import Additive
from regard.model.stack import StackConfig
from regard.model.transformer import EncoderDecoderConfig, TransformerConfig, Tying

S, T, D, V = 11, 7, 20, 31
# Dropped weights are what takes the explicit path, whose products torch's counter sees.
SEEN = AttentionConfig(heads=5, dropout=0.1)

STACKS = {
    "plain": StackConfig(D, 3, SEEN, mask=Causal()),
    "grouped": StackConfig(D, 2, replace(SEEN, heads=4, kv_heads=2, head_width=3), placement=PreNorm()),
    "additive": StackConfig(D, 2, replace(SEEN, score=Additive(), bias=False), placement=SandwichNorm()),
    "gated": StackConfig(D, 2, SEEN, GatedMLP(13), norm=RMSNorm(), position=RelativeBias(), entry_norm=True),
    "learned": StackConfig(D, 1, SEEN, position=Learned(13)),
    "alibi": StackConfig(D, 1, SEEN, position=ALiBi()),
}


def counted(model: nn.Module, *inputs: torch.Tensor) -> int:
    with torch.no_grad(), FlopCounterMode(display=False) as counter:
        model(*inputs)
    return counter.get_total_flops()


def numbers(model: nn.Module) -> int:
    return sum(weight.numel() for weight in model.parameters())


@pytest.mark.parametrize("head", [Vocabulary(), Vocabulary(tied=False), Classes(3)], ids=repr)
@pytest.mark.parametrize("stack", STACKS.values(), ids=STACKS.keys())
def test_a_transformers_counts_are_torchs(stack: StackConfig, head: Head) -> None:
    model = TransformerConfig(Tokens(V), stack, head).build()
    described = describe(model, target=T)
    assert described.flops == counted(model, torch.zeros(1, T, dtype=torch.long))
    assert described.parameters == numbers(model)
    assert described.uncounted == ()
    assert described.source is None


@pytest.mark.parametrize("class_token", [True, False])
def test_a_image_is_as_many_tokens_as_it_has_patches(class_token: bool) -> None:
    stack = replace(STACKS["plain"], mask=Full())
    model = TransformerConfig(Patches(3, 14, 22, 2, class_token), stack, Classes(3)).build()
    described = describe(model)
    assert described.target == 77 + class_token
    assert described.flops == counted(model, torch.zeros(1, 3, 14, 22))
    assert described.parameters == numbers(model)
    assert described.uncounted == ()


@pytest.mark.parametrize("tying", ["three-way", "two-way", "none"])
@pytest.mark.parametrize("stack", STACKS.values(), ids=STACKS.keys())
def test_an_encoder_decoders_counts_are_torchs(stack: StackConfig, tying: Tying) -> None:
    decoder = replace(stack, depth=2, cross=replace(stack.attention, kv_heads=None))
    model = EncoderDecoderConfig(Tokens(V), Tokens(V), stack, decoder, tying=tying).build()
    described = describe(model, source=S, target=T)
    ids = torch.zeros(1, S, dtype=torch.long)
    assert described.flops == counted(model, ids, ids[:, :T])
    assert described.parameters == numbers(model)
    assert described.uncounted == ()
    assert (described.source, described.target) == (S, T)


def test_a_stack_alone_is_described() -> None:
    stack = STACKS["plain"].build()
    assert describe(stack, target=T).flops == counted(stack, torch.zeros(1, T, D))


@pytest.mark.parametrize(
    "options", [{}, {"kdim": 13, "vdim": 17, "add_bias_kv": True, "add_zero_attn": True}]
)
def test_multihead_attentions_counts_are_torchs(options: dict[str, object]) -> None:
    attention = MultiheadAttention(D, 5, batch_first=True, **options)
    inputs = torch.zeros(1, T, D), torch.zeros(1, S, attention.kdim), torch.zeros(1, S, attention.vdim)
    described = describe(attention, source=S, target=T)
    assert described.flops == counted(attention, *inputs)
    assert described.parameters == numbers(attention)


def test_each_part_has_its_row_and_shared_weights_are_counted_once() -> None:
    stack = StackConfig(D, 3, AttentionConfig(heads=5))
    decoder = replace(stack, depth=2, cross=AttentionConfig(heads=5))
    model = EncoderDecoderConfig(Tokens(V), Tokens(V), stack, decoder).build()
    rows = {row.name: row for row in describe(model).rows}
    assert list(rows) == [
        "target",
        "source",
        "encoder.blocks.*.attention",
        "encoder.blocks.*.*_residual",
        "encoder.blocks.*.feedforward",
        "decoder.blocks.*.attention",
        "decoder.blocks.*.*_residual",
        "decoder.blocks.*.cross",
        "decoder.blocks.*.feedforward",
        "head",
    ]
    assert (rows["target"].parameters, rows["target"].shared) == (V * D, False)
    for name in ("source", "head"):
        assert (rows[name].parameters, rows[name].shared) == (0, True)
    assert rows["head"].flops == 2 * 20 * V * D
    cross = rows["decoder.blocks.*.cross"]
    assert (cross.count, cross.parameters) == (2, 2 * (4 * D * D + 4 * D))


def test_the_table_shows_every_row_and_the_totals() -> None:
    model = TransformerConfig(Tokens(V), STACKS["plain"]).build()
    described = describe(model, target=T)
    lines = str(described).splitlines()
    assert len({len(line) for line in lines[:1] + lines[2:-3]}) == 1, "the columns stand in line"
    assert [line.split()[0] for line in lines[2:-3]] == [row.name for row in described.rows]
    assert lines[-2].split() == ["total", f"{numbers(model):,}", f"{described.flops:,}"]
    assert lines[-4].split() == ["head", "1", "shared", f"{2 * T * V * D:,}"]
    assert "7 tokens" in lines[-1]


def test_what_cannot_be_counted_is_named() -> None:
    model = nn.Sequential(nn.Conv1d(5, 7, 3), nn.Linear(7, 3), nn.BatchNorm1d(3))
    described = describe(model, target=T)
    assert described.uncounted == ("0",)
    assert described.parameters == numbers(model)
    assert described.flops == 2 * T * 7 * 3
    assert "Not in the total: 0." in str(described)


def test_a_model_without_memory_is_described() -> None:
    with torch.device("meta"):
        model = TransformerConfig(Tokens(V), STACKS["gated"]).build()
    assert describe(model).parameters == numbers(model)


@pytest.mark.parametrize(("source", "target"), [(0, 5), (5, -1)])
def test_a_length_without_tokens_is_refused(source: int, target: int) -> None:
    with pytest.raises(ValueError, match="at least 1 token"):
        describe(nn.Linear(3, 5), source, target)
