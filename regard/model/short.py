"""Attention over short sequences and its gradient, by batched products: for training on a CPU.

torch's fused kernel never forms the weights, which pays where there are many of them. Between a few dozen
tokens there are few, and its threads take one tiny product after another, in which they hinder each other.
Here the weights are formed once and kept, and each product is one for all heads of a batch.

Measured with torch 2.13 on a Zen 4, 512 heads of 12 × 12 weights, forward and backward: that kernel took
2.0 ms on one core and 3.2 ms on two. With 15 × 15 and what splits and joins the heads: 5.0 ms on two cores,
and 2.4 ms here. It knows no bias and no shared heads."""

from __future__ import annotations

import math
from typing import Any

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

from regard.model.dropout import drawn

_LONGEST = 64
"""Places of queries or keys up to which this is faster than torch's kernel, with whatever threads."""
_FEWEST = 64
"""Rows times heads from which it is."""


def suits_short(q: Tensor, k: Tensor, v: Tensor) -> bool:
    """Whether `short_attention` may and should be taken for these (B, H, T, C) tensors."""
    if not torch.is_grad_enabled():  # asked first, since it costs the least
        return False
    B, H, T, _ = q.shape
    return (
        max(T, k.shape[2]) <= _LONGEST
        and B * H >= _FEWEST
        and k.shape[1] == H
        and (q.requires_grad or k.requires_grad or v.requires_grad)
        and q.device.type == "cpu"
        and q.dtype == torch.float32
        and not torch.compiler.is_compiling()
        and not torch._C._are_functorch_transforms_active()  # which take torch's own functions only
    )


def short_attention(
    q: Tensor, k: Tensor, v: Tensor, allowed: Tensor | None, scale: float | None, dropout: float
) -> Tensor:
    """softmax(scale · q kᵀ) v as in `attend`: (B, H, T, C). `allowed`: booleans that broadcast to
    (B, H, T, S), a row without any giving zeros; `dropout`: the rate of the weights, rounded to a 256th."""
    scale = 1 / math.sqrt(q.shape[3]) if scale is None else scale
    return _ShortAttention.apply(q, k, v, allowed, scale, dropout)


class _ShortAttention(torch.autograd.Function):
    """Weights are kept as (B · H, S, T), a softmax over rows being faster than one along short rows."""

    @staticmethod
    def forward(
        ctx: Any, q: Tensor, k: Tensor, v: Tensor, allowed: Tensor | None, scale: float, dropout: float
    ) -> Tensor:
        B, H, T, C = q.shape
        S = k.shape[2]
        scaled = torch.mul(q, scale, out=q.new_empty(q.shape)).view(B * H, T, C)
        k, v = k.reshape(B * H, S, C), v.reshape(B * H, S, -1)
        scores = torch.bmm(k, scaled.transpose(1, 2))
        seen = None if allowed is None else allowed.mT.to(q.dtype)
        if seen is not None:
            scores.view(B, H, S, T).add_((seen - 1) * (torch.finfo(q.dtype).max / 2))
        weights = torch.softmax(scores, 1)
        if seen is not None:
            weights.view(B, H, S, T).mul_(seen)  # a row that may see nothing
        keep, ctx.rate = drawn(weights, dropout)
        ctx.save_for_backward(scaled, k, v, weights, keep)
        ctx.scale = scale
        return torch.bmm(_kept(weights, keep, ctx.rate).mT, v).view(B, H, T, -1)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor | None, ...]:
        scaled, k, v, weights, keep = ctx.saved_tensors
        B, H = grad.shape[:2]
        grad = grad.reshape(B * H, *grad.shape[2:])
        grad_v = torch.bmm(_kept(weights, keep, ctx.rate), grad)
        flow = _kept(torch.bmm(v, grad.mT), keep, ctx.rate)
        flow = torch.ops.aten._softmax_backward_data(flow, weights, 1, weights.dtype)
        grad_k = torch.bmm(flow, scaled)
        grad_q = torch.bmm(flow.mT, k).mul_(ctx.scale)
        return *(g.view(B, H, *g.shape[1:]) for g in (grad_q, grad_k, grad_v)), None, None, None


def _kept(weights: Tensor, keep: Tensor | None, rate: float) -> Tensor:
    """Those that were not dropped, the larger for it."""
    return weights if keep is None else keep.to(weights.dtype).mul_(weights).mul_(rate)
