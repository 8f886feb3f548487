"""`regard.MultiheadAttention` against `torch.nn.MultiheadAttention`: outputs, weights and gradients."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor, nn

from regard.model.multihead import MultiheadAttention

B, T, S, D, H = 3, 5, 7, 22, 2
KDIM, VDIM = 13, 17

SHAPES: dict[str, dict[str, Any]] = {
    "plain": {},
    "no bias": {"bias": False},
    "batch first": {"batch_first": True},
    "bias kv": {"add_bias_kv": True},
    "zero attn": {"add_zero_attn": True},
    "both, batch first": {"add_bias_kv": True, "add_zero_attn": True, "batch_first": True},
    "own widths": {"kdim": KDIM, "vdim": VDIM},
    "own widths, bias kv": {"kdim": KDIM, "vdim": VDIM, "add_bias_kv": True, "bias": False},
}


def attn_masks() -> dict[str, Tensor | None]:
    forbidden = torch.rand(T, S) < 0.4
    forbidden[:, 0] = False  # a row that sees nothing is torch's NaN
    per_head = torch.rand(B * H, T, S) < 0.4
    per_head[..., 0] = False
    return {
        "none": None,
        "boolean": forbidden,
        "added": torch.randn(T, S),
        "forbidding numbers": torch.zeros(T, S).masked_fill(forbidden, -torch.inf),
        "per head": per_head,
        "added per head": torch.randn(B * H, T, S),
    }


def paddings() -> dict[str, Tensor | None]:
    padded = torch.zeros(B, S, dtype=torch.bool)
    padded[1, 4:] = True
    padded[2, 1:] = True
    return {"none": None, "boolean": padded, "added": torch.zeros(B, S).masked_fill(padded, -torch.inf)}


def pair(**options: Any) -> tuple[nn.MultiheadAttention, MultiheadAttention]:
    torch.manual_seed(1)
    theirs = nn.MultiheadAttention(D, H, **options)
    for parameter in theirs.parameters():  # biases of zero would hide a mistake
        nn.init.normal_(parameter, std=0.3)
    ours = MultiheadAttention(D, H, **options)
    ours.load_state_dict(theirs.state_dict())
    return theirs, ours


def inputs(options: dict[str, Any]) -> tuple[Tensor, Tensor, Tensor]:
    torch.manual_seed(2)
    q = torch.randn(T, B, D)
    k, v = torch.randn(S, B, options.get("kdim", D)), torch.randn(S, B, options.get("vdim", D))
    return (
        (q.transpose(0, 1), k.transpose(0, 1), v.transpose(0, 1)) if options.get("batch_first") else (q, k, v)
    )


def same_type(padding: Tensor | None, mask: Tensor | None) -> bool:
    """Torch warns when its two masks are of different types; ours takes any mixture."""
    return padding is None or mask is None or padding.dtype == mask.dtype


@pytest.mark.parametrize("need_weights", [True, False])
@pytest.mark.parametrize("options", SHAPES.values(), ids=SHAPES.keys())
def test_outputs_weights_and_gradients_are_torchs(options: dict[str, Any], need_weights: bool) -> None:
    theirs, ours = pair(**options)
    compared = 0
    for mask in attn_masks().values():
        for padding in paddings().values():
            if not same_type(padding, mask):
                continue
            if padding is not None and mask is not None:  # keep a key for every query
                mask = mask.clone()
                mask[..., 0] = False if mask.dtype == torch.bool else 0.0
            results = []
            for module in (theirs, ours):
                module.zero_grad()
                q, k, v = (x.detach().requires_grad_() for x in inputs(options))
                out, weights = module(q, k, v, padding, need_weights, mask)
                out.square().sum().backward()
                gradients = [q.grad, k.grad, v.grad, *(p.grad for _, p in sorted(module.named_parameters()))]
                results.append((out, weights, gradients))
            (out, weights, gradients), (our_out, our_weights, our_gradients) = results
            torch.testing.assert_close(our_out, out, atol=1e-5, rtol=1e-5)
            torch.testing.assert_close(our_gradients, gradients, atol=1e-4, rtol=1e-5)
            assert (our_weights is None) == (not need_weights)
            if need_weights:
                torch.testing.assert_close(our_weights, weights, atol=1e-6, rtol=1e-5)
            compared += 1
    assert compared == 13


@pytest.mark.parametrize("average", [True, False])
@pytest.mark.parametrize("batched", [True, False])
def test_weights_have_torchs_shape(batched: bool, average: bool) -> None:
    theirs, ours = pair()
    q, k, v = inputs({})
    mask = torch.rand(B * H if batched else H, T, S) < 0.3
    padding = torch.zeros(B, S, dtype=torch.bool)
    padding[:, -1] = True
    mask[..., 0] = False
    if not batched:
        q, k, v, padding = q[:, 0], k[:, 0], v[:, 0], padding[0]
    want = theirs(q, k, v, padding, True, mask, average)
    got = ours(q, k, v, padding, True, mask, average)
    torch.testing.assert_close(got, want, atol=1e-5, rtol=1e-5)


def test_one_input_for_all_three_is_torchs() -> None:
    theirs, ours = pair()
    x = torch.randn(T, B, D)
    torch.testing.assert_close(ours(x, x, x), theirs(x, x, x), atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize("need_weights", [True, False])
def test_is_causal_with_its_mask_is_torchs(need_weights: bool) -> None:
    theirs, ours = pair()
    x = torch.randn(T, B, D)
    mask = nn.Transformer.generate_square_subsequent_mask(T)
    want = theirs(x, x, x, attn_mask=mask, is_causal=True, need_weights=need_weights)
    got = ours(x, x, x, attn_mask=mask, is_causal=True, need_weights=need_weights)
    torch.testing.assert_close(got, want, atol=1e-5, rtol=1e-5)
    alone = ours(x, x, x, is_causal=True, need_weights=need_weights)
    torch.testing.assert_close(alone, want, atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize("options", SHAPES.values(), ids=SHAPES.keys())
def test_the_same_seed_gives_torchs_weights(options: dict[str, Any]) -> None:
    torch.manual_seed(3)
    theirs = nn.MultiheadAttention(D, H, **options).state_dict()
    torch.manual_seed(3)
    ours = MultiheadAttention(D, H, **options).state_dict()
    assert list(ours) == list(theirs)
    assert all(torch.equal(ours[name], theirs[name]) for name in theirs)


@pytest.mark.parametrize("training", [True, False])
def test_torchs_encoder_layer_runs_with_ours_inside(training: bool) -> None:
    layer = nn.TransformerEncoderLayer(D, H, 31, dropout=0.0, batch_first=True).train(training)
    x = torch.randn(B, T, D)
    with torch.no_grad():
        want = layer(x)
        ours = MultiheadAttention(D, H, batch_first=True)
        ours.load_state_dict(layer.self_attn.state_dict())
        layer.self_attn = ours
        got = layer.train(training)(x)
    torch.testing.assert_close(got, want, atol=1e-5, rtol=1e-5)
