"""`MultiheadAttention` where it differs from torch's: rows without keys, mixed masks, and its errors.

Where they agree is `tests/oracles/test_torch_multihead.py`.
"""

from __future__ import annotations

from typing import Any

import pytest
import torch

from regard.model.multihead import MultiheadAttention

B, T, S, D, H = 3, 5, 7, 22, 2


def module(**options: Any) -> MultiheadAttention:
    made = MultiheadAttention(D, H, **options)
    for parameter in made.parameters():
        torch.nn.init.normal_(parameter, std=0.3)
    return made


@pytest.mark.parametrize("need_weights", [True, False])
@pytest.mark.parametrize("boolean", [True, False])
def test_a_query_that_may_see_nothing_gets_the_bias_alone(need_weights: bool, boolean: bool) -> None:
    attention = module()
    q, k = torch.randn(T, B, D, requires_grad=True), torch.randn(S, B, D)
    mask = torch.zeros(T, S, dtype=torch.bool)
    mask[2] = True
    if not boolean:
        mask = torch.zeros(T, S).masked_fill(mask, -torch.inf)
    out, weights = attention(q, k, k, attn_mask=mask, need_weights=need_weights)
    torch.testing.assert_close(out[2], attention.out_proj.bias.expand(B, D))
    assert weights is None or torch.equal(weights[:, 2], torch.zeros(B, S))
    out.square().sum().backward()
    assert q.grad is not None
    assert torch.equal(q.grad[2], torch.zeros(B, D))
    assert all(p.grad is not None and p.grad.isfinite().all() for p in attention.parameters())


@pytest.mark.parametrize("need_weights", [True, False])
def test_a_wholly_padded_row_gets_the_bias_alone(need_weights: bool) -> None:
    attention = module(batch_first=True)
    padding = torch.zeros(B, S, dtype=torch.bool)
    padding[1] = True
    x = torch.randn(B, S, D)
    out, _ = attention(x, x, x, key_padding_mask=padding, need_weights=need_weights)
    torch.testing.assert_close(out[1], attention.out_proj.bias.expand(S, D))


@pytest.mark.parametrize("need_weights", [True, False])
def test_boolean_padding_and_added_mask_may_be_mixed(need_weights: bool) -> None:
    attention = module(batch_first=True)
    x, added = torch.randn(B, S, D), torch.randn(S, S)
    padding = torch.zeros(B, S, dtype=torch.bool)
    padding[:, 4:] = True
    out, _ = attention(x, x, x, padding, need_weights, added)
    short, _ = attention(x[:, :4], x[:, :4], x[:, :4], None, need_weights, added[:4, :4])
    torch.testing.assert_close(out[:, :4], short)


def test_asking_for_weights_does_not_change_the_answer() -> None:
    attention = module()
    x = torch.randn(T, B, D)
    fused, _ = attention(x, x, x, need_weights=False)
    explicit, weights = attention(x, x, x)
    torch.testing.assert_close(explicit, fused)
    assert weights is not None
    torch.testing.assert_close(weights.sum(-1), torch.ones(B, T))


def test_dropout_acts_while_training_only() -> None:
    attention = module(dropout=0.5)
    x = torch.randn(T, B, D)
    trained, weights = attention(x, x, x, average_attn_weights=False)
    plain, whole = attention.eval()(x, x, x, average_attn_weights=False)
    assert weights is not None
    assert whole is not None
    dropped = weights == 0
    assert 0.3 < dropped.float().mean() < 0.7  # 150 weights at 0.5: ten deviations would be 0.41
    torch.testing.assert_close(weights, (2 * whole).masked_fill(dropped, 0.0))
    assert not torch.allclose(trained, plain)


def test_dtype_and_device_are_taken() -> None:
    attention = MultiheadAttention(D, H, device="meta", dtype=torch.float64)
    assert {(p.device.type, p.dtype) for p in attention.parameters()} == {("meta", torch.float64)}


def test_widths_that_heads_do_not_divide_are_refused() -> None:
    with pytest.raises(ValueError, match="23 is not a positive multiple of num_heads 2"):
        MultiheadAttention(23, 2)
    with pytest.raises(ValueError, match="not a positive multiple"):
        MultiheadAttention(22, 0)


@pytest.mark.parametrize(
    ("q", "k", "v", "options", "said"),
    [
        ((T, B, D), (S, B, D), (S, D), {}, "three axes"),
        ((D,), (D,), (D,), {}, "three axes"),
        ((T, B, D), (S, B, 23), (S, B, D), {}, "last axes must be 22, 22 and 22"),
        ((T, B, D), (S, B, D), (T, B, D), {}, "a value for every key"),
        ((T, B, D), (S, 2, D), (S, 2, D), {}, "second axis"),
        ((T, B, D), (T, B, D), (T, B, D), {"attn_mask": torch.zeros(T, S)}, r"shape \(5, 5\) or \(6, 5, 5\)"),
        ((T, B, D), (S, B, D), (S, B, D), {"key_padding_mask": torch.zeros(S, B)}, r"shape \(3, 7\)"),
        ((T, B, D), (S, B, D), (S, B, D), {"attn_mask": torch.zeros(T, S).int()}, "booleans or floating"),
        ((T, B, D), (S, B, D), (S, B, D), {"is_causal": True}, "pass attn_mask"),
    ],
)
def test_what_does_not_fit_is_refused_with_its_shapes(
    q: tuple[int, ...], k: tuple[int, ...], v: tuple[int, ...], options: dict[str, Any], said: str
) -> None:
    with pytest.raises(ValueError, match=said):
        module()(torch.zeros(q), torch.zeros(k), torch.zeros(v), **options)
