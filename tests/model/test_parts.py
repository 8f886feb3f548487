"""Feed-forward parts, norms and their places against their formulas; embeddings."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from regard.model.attention import AttentionConfig
from regard.model.block import PostNorm, PreNorm, SandwichNorm
from regard.model.embed import Tokens
from regard.model.feedforward import ACTIVATIONS, MLP, Activation, GatedMLP
from regard.model.norm import LayerNorm, RMSNorm
from regard.model.position import NoPosition, sinusoids
from regard.model.stack import StackConfig

D, HIDDEN = 7, 11
x = torch.randn(3, 5, D)


@pytest.mark.parametrize("activation", ACTIVATIONS)
def test_a_plain_feed_forward_is_its_formula(activation: Activation) -> None:
    part = MLP(HIDDEN, activation).build(D)
    hidden = ACTIVATIONS[activation](x @ part.up.weight.T + part.up.bias)
    torch.testing.assert_close(part(x), hidden @ part.down.weight.T + part.down.bias)


@pytest.mark.parametrize("activation", ["silu", "gelu"])
def test_a_gated_feed_forward_is_its_formula(activation: Activation) -> None:
    part = GatedMLP(HIDDEN, activation).build(D)
    gate, up = part.gate_up.weight.split([HIDDEN, HIDDEN])
    torch.testing.assert_close(
        part(x), (ACTIVATIONS[activation](x @ gate.T) * (x @ up.T)) @ part.down.weight.T
    )
    assert part.gate_up.bias is None


def test_hidden_widths_follow_from_the_width() -> None:
    assert MLP().build(24).up.out_features == 96
    gated, plain = GatedMLP(bias=False).build(24), MLP(bias=False).build(24)
    count = [sum(p.numel() for p in part.parameters()) for part in (gated, plain)]
    assert count[0] == count[1]


@pytest.mark.parametrize("part", [MLP(HIDDEN, dropout=0.5), GatedMLP(HIDDEN, dropout=0.5)])
def test_hidden_dropout_acts_while_training_only(part: MLP | GatedMLP) -> None:
    built = part.build(D)
    assert not torch.allclose(built(x), built(x))
    assert torch.equal(built.eval()(x), built(x))


def test_rms_norm_leaves_the_mean_alone() -> None:
    norm = RMSNorm(eps=1e-6).build(D)
    nn.init.normal_(norm.weight)
    want = x / (x.square().mean(-1, keepdim=True) + 1e-6).sqrt() * norm.weight
    torch.testing.assert_close(norm(x), want)


def test_layer_norm_is_its_formula() -> None:
    norm = LayerNorm(eps=0.01).build(D)
    nn.init.normal_(norm.weight)
    nn.init.normal_(norm.bias)
    variance = x.var(-1, unbiased=False, keepdim=True)
    want = (x - x.mean(-1, keepdim=True)) / (variance + 0.01).sqrt() * norm.weight + norm.bias
    torch.testing.assert_close(norm(x), want)
    assert LayerNorm(bias=False).build(D).bias is None


def test_norms_stand_where_their_place_says() -> None:
    def part(h: Tensor) -> Tensor:
        return h.cos()

    for placement in (PostNorm(), PreNorm(), SandwichNorm()):
        residual = placement.build(D, LayerNorm(), 0.0)
        for weight in residual.parameters():
            nn.init.normal_(weight)
        norm = residual.norm
        match placement:
            case PostNorm():
                want = norm(x + part(x))
            case PreNorm():
                want = x + part(norm(x))
            case SandwichNorm():
                want = x + residual.norm_out(part(norm(x)))
        torch.testing.assert_close(residual(x, part), want)


@pytest.mark.parametrize("scale", [True, False])
def test_pretrained_vectors_are_what_the_model_then_sees(scale: bool) -> None:
    table = Tokens(13, scale).build(D)
    nn.init.normal_(table.weight)
    before = table.weight.detach().clone()
    vectors, rows = torch.randn(2, D), torch.tensor([11, 5])
    table.take_vectors(rows, vectors)
    torch.testing.assert_close(table(torch.tensor([[5, 11]]))[0], vectors.flip(0))
    kept = [row for row in range(13) if row not in (5, 11)]
    assert torch.equal(table.weight[kept], before[kept])
    want = F.embedding(torch.tensor([2]), before) * (D**0.5 if scale else 1.0)
    torch.testing.assert_close(table(torch.tensor([2])), want)


def test_an_entry_norm_stands_after_the_positions_and_before_the_first_block() -> None:
    config = StackConfig(D, 1, AttentionConfig(heads=1), MLP(HIDDEN), dropout=0.0, entry_norm=True)
    stack = config.build()
    nn.init.normal_(stack.entry_norm.weight)
    plain = replace(config, position=NoPosition(), entry_norm=False).build()
    plain.load_state_dict({key: value for key, value in stack.state_dict().items() if "entry" not in key})
    added = x + sinusoids(torch.arange(5), D)
    torch.testing.assert_close(stack(x), plain(stack.entry_norm(added)))
    assert not torch.allclose(stack(x), plain(added))
