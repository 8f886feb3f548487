"""Parts that checkpoints of other libraries need: token types, layers before heads, biases, tyings."""

from __future__ import annotations

import copy
from dataclasses import replace

import pytest
import torch
from torch import nn

from regard.decode.stepper import PromptStepper
from regard.model.describe import describe
from regard.model.embed import Tokens, TokenTypes
from regard.model.head import Classes, Transform, Vector, Vocabulary
from regard.model.mask import Causal, Full, Ragged
from regard.model.norm import LayerNorm
from regard.model.position import Rotary
from regard.model.quantize import quantize
from regard.model.rotary_scaling import Dynamic, Interpolated, Llama3, LongRope, Scaling, Yarn
from regard.model.transformer import EncoderDecoderConfig, TransformerConfig
from tests.laws.members import BASE, D, V, close, encoder_decoder, lively

FULL = replace(BASE, mask=Full())
SEP = 7
TYPED = Tokens(V, scale=False, types=TokenTypes(2, SEP))
MASKED = Vocabulary(bias=True, transform=Transform("gelu", LayerNorm()))


def test_a_token_type_follows_from_the_separators_before_it() -> None:
    embed = lively(TransformerConfig(TYPED, FULL).build()).embed
    ids = torch.tensor([[1, SEP, 2, 3, SEP, 4], [1, 2, 3, SEP, SEP, SEP]])
    types = torch.tensor([[0, 0, 1, 1, 1, 1], [0, 0, 0, 0, 1, 1]])
    close(embed(ids), embed.weight[ids] + embed.types[types])


def test_padding_on_the_left_does_not_change_a_token_type() -> None:
    model = lively(TransformerConfig(TYPED, FULL).build())
    ids = torch.tensor([[1, SEP, 2, 3]])
    padded = torch.cat((torch.zeros(1, 3, dtype=torch.long), ids), 1)
    close(model(padded, Ragged.from_lengths(torch.tensor([4]), 7, "left"))[:, 3:], model(ids))


def test_token_types_need_the_whole_input_at_once() -> None:
    with pytest.raises(ValueError, match="full mask"):
        TransformerConfig(TYPED, BASE).build()
    decoder = replace(BASE, cross=BASE.attention)
    with pytest.raises(ValueError, match="single stack"):
        EncoderDecoderConfig(TYPED, TYPED, FULL, decoder).build()


def test_the_loss_of_a_head_sees_its_layer_and_its_biases() -> None:
    model = lively(TransformerConfig(Tokens(V), FULL, MASKED).build())
    x, wanted = torch.randn(11, D), torch.randint(0, V, (11,))
    want = nn.functional.cross_entropy(model.head(x), wanted, reduction="sum")
    close(model.head.loss(x, wanted), want)


@pytest.mark.parametrize("head", [MASKED, Classes(3, "first", Transform("relu"))])
def test_a_layer_before_a_head_is_quantized_and_counted_with_it(head: Vocabulary | Classes) -> None:
    model = lively(TransformerConfig(Tokens(V), FULL, head).build())
    ids = torch.randint(0, V, (2, 5))
    want = model(ids)
    got = quantize(copy.deepcopy(model))(ids)
    assert not any(isinstance(part, nn.Linear) for part in quantize(copy.deepcopy(model)).modules())
    assert 0 < (got - want).abs().max() < 0.1 * want.abs().max()
    bare = TransformerConfig(Tokens(V), FULL, replace(head, transform=None)).build()
    tokens = 20 if isinstance(head, Vocabulary) else 1
    assert describe(model).flops - describe(bare).flops == 2 * tokens * D * D


def test_a_vector_does_not_depend_on_padding_and_has_length_one() -> None:
    model = lively(TransformerConfig(Tokens(V), FULL, Vector()).build())
    ids = torch.randint(0, V, (1, 5))
    padded = torch.cat((ids, torch.zeros(1, 3, dtype=torch.long)), 1)
    close(model(padded, Ragged.from_lengths(torch.tensor([5]), 8)), model(ids))
    close(model(ids).norm(dim=-1), torch.ones(1))
    plain = TransformerConfig(Tokens(V), FULL, Vector(normalised=False)).build().eval()
    plain.load_state_dict(model.state_dict())
    close(plain(ids), model.hidden(ids).mean(1))


def test_an_embedding_may_be_shared_by_two_sides_and_not_by_the_head() -> None:
    config = encoder_decoder(BASE).config
    model = replace(config, tying="embeddings", head_bias=True).build()
    assert model.source is model.target
    assert model.head.weight is not model.target.weight
    assert model.head.bias is not None


@pytest.mark.parametrize("scaling", [Interpolated(4.0), Llama3(4.0, 64), Yarn(4.0, 64)])
def test_stretched_rates_lie_between_the_old_ones_and_those_divided(scaling: Scaling) -> None:
    rates = 100.0 ** (-torch.arange(8, dtype=torch.float64) / 8)
    got = scaling.rates(rates, 100.0)
    assert (got <= rates * (1 + 1e-9)).all()
    assert (got >= rates / 4 * (1 - 1e-9)).all()
    assert got[-1] < 0.6 * rates[-1]
    assert (got.diff() <= 0).all()


def test_llama3s_mixture_needs_an_order() -> None:
    with pytest.raises(ValueError, match="less than high"):
        Llama3(4.0, 64, low=4.0, high=1.0)


PAIRS = (BASE.attention.head_width or D // BASE.attention.heads) // 2
STRETCHING = (
    LongRope(4, tuple(1.0 + x / 9 for x in range(PAIRS)), tuple(2.0 + x for x in range(PAIRS)), 1.1),
    *((Dynamic(3.0, 4),) if PAIRS > 1 else ()),
)


@pytest.mark.parametrize("scaling", STRETCHING)
@torch.no_grad()
def test_angles_that_depend_on_the_length_are_the_same_with_a_cache(scaling: LongRope | Dynamic) -> None:
    stack = replace(BASE, mask=Causal(), position=Rotary(100.0, scaling=scaling))
    model = lively(TransformerConfig(Tokens(V), stack).build())
    rows = torch.randint(0, V, (2, 12)).tolist()
    stepper = None
    for length in range(1, 9):
        seen = [rows[0][: length + 3], rows[1][:length], rows[1][:length]]
        if stepper is None or any(model.stack.position.anew(len(ids)) for ids in seen):
            stepper = PromptStepper(model, seen, 12)
        got = stepper.step(torch.tensor([ids[-1] for ids in seen]))
        for row, ids in zip(got, seen, strict=True):
            close(row, model(torch.tensor([ids]))[0, -1])


@pytest.mark.parametrize("scaling", STRETCHING)
def test_a_row_has_the_angles_of_its_own_length(scaling: LongRope | Dynamic) -> None:
    stack = replace(BASE, mask=Causal(), position=Rotary(100.0, scaling=scaling))
    model = lively(TransformerConfig(Tokens(V), stack).build())
    ids = torch.randint(0, V, (2, 9))
    together = model.hidden(ids, Ragged.from_lengths(torch.tensor([9, 3]), 9))
    close(together[1, :3], model.hidden(ids[1:, :3])[0])
    short = replace(stack, position=Rotary(100.0))
    plain = lively(TransformerConfig(Tokens(V), short).build())
    plain.load_state_dict(model.state_dict())
    assert not torch.allclose(plain.hidden(ids[:1]), together[:1], atol=1e-3)
