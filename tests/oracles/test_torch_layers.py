"""The stack against torch's own encoder layer, decoder layer and whole `nn.Transformer`.

The same weights on both sides give the same vectors and the same gradients.

Differs: torch lets padding look around; ours sees nothing. Real tokens alone are compared.
"""

from __future__ import annotations

from collections.abc import Iterator

import pytest
import torch
from torch import Tensor, nn

from regard.model.attention import Attention, AttentionConfig
from regard.model.block import Block, PostNorm, PreNorm
from regard.model.feedforward import MLP, Activation, FeedForward
from regard.model.mask import Causal, Full, MaskRule, Ragged
from regard.model.position import NoPosition
from regard.model.stack import Stack, StackConfig

B, S, T, D, H, HIDDEN, DEPTH = 3, 7, 5, 22, 2, 31, 2
SOURCE_LENGTHS, TARGET_LENGTHS = (7, 4, 1), (5, 2, 3)

Pair = tuple[nn.Parameter, nn.Parameter, slice]
"""Our parameter, torch's, and which of its rows ours is."""


def attention(ours: Attention, theirs: nn.MultiheadAttention) -> Iterator[Pair]:
    if ours.cross:
        rows = ((ours.q, slice(0, D)), (ours.kv, slice(D, 3 * D)))
    else:
        rows = ((ours.qkv, slice(0, 3 * D)),)
    for linear, part in rows:
        yield linear.weight, theirs.in_proj_weight, part
        yield linear.bias, theirs.in_proj_bias, part
    yield from same(ours.out, theirs.out_proj)


def same(ours: nn.Module, theirs: nn.Module) -> Iterator[Pair]:
    for name, parameter in ours.named_parameters():
        yield parameter, theirs.get_parameter(name), slice(None)


def block(ours: Block, theirs: nn.TransformerEncoderLayer | nn.TransformerDecoderLayer) -> Iterator[Pair]:
    norms = [theirs.norm1, theirs.norm2]
    yield from attention(ours.attention, theirs.self_attn)
    yield from same(ours.attention_residual.norm, norms[0])
    if isinstance(theirs, nn.TransformerDecoderLayer):
        norms.append(theirs.norm3)
        assert ours.cross is not None
        assert ours.cross_residual is not None
        yield from attention(ours.cross, theirs.multihead_attn)
        yield from same(ours.cross_residual.norm, norms[1])
    assert isinstance(ours.feedforward, FeedForward)
    yield from same(ours.feedforward.up, theirs.linear1)
    yield from same(ours.feedforward.down, theirs.linear2)
    yield from same(ours.feedforward_residual.norm, norms[-1])


def stack(ours: Stack, theirs: nn.TransformerEncoder | nn.TransformerDecoder) -> Iterator[Pair]:
    for our_block, their_layer in zip(ours.blocks, theirs.layers, strict=True):
        yield from block(our_block, their_layer)
    if theirs.norm is not None:
        yield from same(ours.final_norm, theirs.norm)


def copy(pairs: list[Pair], *modules: nn.Module) -> None:
    """Random numbers on their side, copied to ours; every parameter of ours must get some."""
    with torch.no_grad():
        for _, theirs, _ in pairs:
            nn.init.normal_(theirs, std=0.3)
        for ours, theirs, rows in pairs:
            ours.copy_(theirs[rows])
    everything = {id(parameter) for module in modules for parameter in module.parameters()}
    assert {id(ours) for ours, _, _ in pairs} == everything


def assert_same_gradients(pairs: list[Pair]) -> None:
    for ours, theirs, rows in pairs:
        assert ours.grad is not None
        assert theirs.grad is not None
        torch.testing.assert_close(ours.grad, theirs.grad[rows], atol=1e-4, rtol=1e-4)


def config(first: bool, activation: Activation, mask: MaskRule, cross: bool = False) -> StackConfig:
    heads = AttentionConfig(heads=H)
    return StackConfig(
        D,
        DEPTH,
        heads,
        MLP(HIDDEN, activation),
        mask=mask,
        position=NoPosition(),
        placement=PreNorm() if first else PostNorm(),
        cross=heads if cross else None,
        dropout=0.0,
    )


def layer_options(first: bool, activation: Activation) -> dict[str, object]:
    return {
        "d_model": D,
        "nhead": H,
        "dim_feedforward": HIDDEN,
        "dropout": 0.0,
        "activation": activation,
        "batch_first": True,
        "norm_first": first,
    }


def padding(lengths: tuple[int, ...], length: int) -> tuple[Ragged, Tensor]:
    at = Ragged.from_lengths(torch.tensor(lengths), length)
    return at, at.segment == -1


first = pytest.mark.parametrize("first", [False, True], ids=["post", "pre"])
activations = pytest.mark.parametrize("activation", ["relu", "gelu"])
padded = pytest.mark.parametrize("padded", [False, True], ids=["whole", "padded"])
masks = pytest.mark.parametrize("mask", [Full(), Causal()], ids=["full", "causal"])


@first
@activations
@padded
@masks
def test_encoder_layers_are_torchs(first: bool, activation: Activation, padded: bool, mask: MaskRule) -> None:
    theirs = nn.TransformerEncoder(
        nn.TransformerEncoderLayer(**layer_options(first, activation)),
        DEPTH,
        norm=nn.LayerNorm(D) if first else None,
        enable_nested_tensor=False,
    )
    ours = config(first, activation, mask).build()
    pairs = list(stack(ours, theirs))
    copy(pairs, ours)
    x = torch.randn(B, S, D)
    at, hidden = padding(SOURCE_LENGTHS, S) if padded else (None, None)
    causal = torch.ones(S, S, dtype=torch.bool).triu(1) if isinstance(mask, Causal) else None
    want, got = theirs(x, causal, hidden), ours(x, at)
    real = torch.ones(B, S, dtype=torch.bool) if hidden is None else ~hidden
    torch.testing.assert_close(got[real], want[real], atol=1e-5, rtol=1e-5)
    want[real].square().sum().backward()
    got[real].square().sum().backward()
    assert_same_gradients(pairs)


@first
@activations
@padded
def test_decoder_layers_are_torchs(first: bool, activation: Activation, padded: bool) -> None:
    theirs = nn.TransformerDecoder(
        nn.TransformerDecoderLayer(**layer_options(first, activation)),
        DEPTH,
        norm=nn.LayerNorm(D) if first else None,
    )
    ours = config(first, activation, Causal(), cross=True).build()
    pairs = list(stack(ours, theirs))
    copy(pairs, ours)
    x, memory = torch.randn(B, T, D), torch.randn(B, S, D)
    at, hidden = padding(TARGET_LENGTHS, T) if padded else (None, None)
    memory_at, memory_hidden = padding(SOURCE_LENGTHS, S) if padded else (None, None)
    causal = torch.ones(T, T, dtype=torch.bool).triu(1)
    want = theirs(x, memory, causal, tgt_key_padding_mask=hidden, memory_key_padding_mask=memory_hidden)
    got = ours(x, at, memory=memory, memory_positions=memory_at)
    real = torch.ones(B, T, dtype=torch.bool) if hidden is None else ~hidden
    torch.testing.assert_close(got[real], want[real], atol=1e-5, rtol=1e-5)
    want[real].square().sum().backward()
    got[real].square().sum().backward()
    assert_same_gradients(pairs)


@first
@activations
@padded
def test_the_whole_transformer_is_torchs(first: bool, activation: Activation, padded: bool) -> None:
    options = layer_options(first, activation)
    encoder = nn.TransformerEncoder(
        nn.TransformerEncoderLayer(**options),
        DEPTH,
        # The paper's has no norm after its last; torch's own `nn.Transformer` adds one.
        norm=nn.LayerNorm(D) if first else None,
        enable_nested_tensor=False,
    )
    decoder = nn.TransformerDecoder(
        nn.TransformerDecoderLayer(**options), DEPTH, norm=nn.LayerNorm(D) if first else None
    )
    theirs = nn.Transformer(D, H, custom_encoder=encoder, custom_decoder=decoder, batch_first=True)
    ours_encoder = config(first, activation, Full()).build()
    ours_decoder = config(first, activation, Causal(), cross=True).build()
    pairs = [*stack(ours_encoder, encoder), *stack(ours_decoder, decoder)]
    copy(pairs, ours_encoder, ours_decoder)
    source, target = torch.randn(B, S, D, requires_grad=True), torch.randn(B, T, D, requires_grad=True)
    source_at, source_hidden = padding(SOURCE_LENGTHS, S) if padded else (None, None)
    at, hidden = padding(TARGET_LENGTHS, T) if padded else (None, None)
    want = theirs(
        source,
        target,
        tgt_mask=torch.ones(T, T, dtype=torch.bool).triu(1),
        src_key_padding_mask=source_hidden,
        tgt_key_padding_mask=hidden,
        memory_key_padding_mask=source_hidden,
    )
    memory = ours_encoder(source, source_at)
    got = ours_decoder(target, at, memory=memory, memory_positions=source_at)
    real = torch.ones(B, T, dtype=torch.bool) if hidden is None else ~hidden
    torch.testing.assert_close(got[real], want[real], atol=1e-5, rtol=1e-5)
    theirs_to = torch.autograd.grad(want[real].square().sum(), [source, target], retain_graph=True)
    ours_to = torch.autograd.grad(got[real].square().sum(), [source, target], retain_graph=True)
    torch.testing.assert_close(ours_to, theirs_to, atol=1e-4, rtol=1e-4)
    want[real].square().sum().backward()
    got[real].square().sum().backward()
    assert_same_gradients(pairs)
