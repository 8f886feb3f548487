"""Cross-entropy over a vocabulary, which is the costliest step of a small model: its logits outweigh every
other tensor. They are therefore never all held: positions are gone through in chunks, and the gradient is
computed in the same pass.
"""

from __future__ import annotations

import math
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

CHUNK_ELEMENTS = 2**21
"""Logits held at a time: few enough to stay in a processor's last cache, many enough for quick products …"""
DEVICE_CHUNK_ELEMENTS = 2**26
"""… and on other devices enough to keep all of their units busy: 256 MiB."""

_LOG2_E = 1 / math.log(2)


def vocabulary_loss(
    x: Tensor, weight: Tensor, target: Tensor, *, smoothing: float = 0.0, bias: Tensor | None = None
) -> Tensor:
    """Cross-entropy of `target` under softmax(x weightᵀ + bias), summed over positions, in nats.

    `x`: (n, D) vectors; `weight`: (V, D); `target`: (n,) ids, all of them real (leave padding out
    before). `smoothing` spreads that much of the target evenly over the vocabulary (arXiv
    1512.00567, section 7). Returns a scalar; divide by the number of tokens for a mean. Products are
    computed in what an open `torch.autocast` says, all else in float32.
    """
    kind = x.device.type
    if not (torch.amp.is_autocast_available(kind) and torch.is_autocast_enabled(kind)):
        return _VocabularyLoss.apply(x, weight, bias, target, smoothing, x.dtype)
    dtype = torch.get_autocast_dtype(kind)
    with torch.autocast(kind, enabled=False):
        return _VocabularyLoss.apply(x, weight, bias, target, smoothing, dtype)


def _binary_logits(x: Tensor, weight: Tensor, bias: Tensor | None, memory: Tensor) -> Tensor:
    """log₂ e · (x weightᵀ + bias), (n, V) in float32, in `memory`."""
    if x.dtype != torch.float32:
        return memory.copy_(F.linear(x, weight, bias)).mul_(_LOG2_E)
    if bias is None:
        return memory.addmm_(x, weight.t(), beta=0, alpha=_LOG2_E)
    return memory.copy_(bias).addmm_(x, weight.t(), beta=_LOG2_E, alpha=_LOG2_E)


def _over_chunks(
    x: Tensor, weight: Tensor, bias: Tensor | None, target: Tensor, smoothing: float
) -> tuple[Tensor, Tensor, Tensor, Tensor | None]:
    """What depends on the logits of each position: the loss but for its smoothed chunk, in nats, and the
    gradients of Σ log Σ e^logits by x, weight and bias."""
    grad_x = torch.empty_like(x)
    grad_weight = torch.zeros_like(weight, dtype=torch.float32)
    grad_bias = None if bias is None else torch.zeros_like(bias, dtype=torch.float32)
    total = x.new_zeros((), dtype=torch.float32)
    elements = CHUNK_ELEMENTS if x.device.type == "cpu" else DEVICE_CHUNK_ELEMENTS
    rows = max(1, min(len(x), elements // len(weight)))
    memory = x.new_empty((rows, len(weight)), dtype=torch.float32)
    for start in range(0, len(x), rows):
        chunk, correct = x[start : start + rows], target[start : start + rows, None]
        logits = _binary_logits(chunk, weight, bias, memory[: len(chunk)])
        largest = logits.amax(1, keepdim=True)
        total -= (1 - smoothing) * logits.gather(1, correct).sum()
        powers = logits.sub_(largest).exp2_()
        sums = powers.sum(1, keepdim=True)
        total += (largest + sums.log2()).sum()
        if x.dtype != torch.float32:  # halves: e^logits may add up to more than they can hold
            powers, sums = (powers / sums).to(x.dtype), torch.ones_like(sums)
        torch.mm(powers, weight, out=grad_x[start : start + rows]).div_(sums)
        scaled = (chunk / sums).to(x.dtype)
        if x.dtype == torch.float32:
            grad_weight.addmm_(powers.t(), scaled)
        else:
            grad_weight += powers.t() @ scaled
        if grad_bias is not None:
            grad_bias += (powers.float().t() @ sums.reciprocal())[:, 0]
    return total.div_(_LOG2_E), grad_x, grad_weight, grad_bias


class _VocabularyLoss(torch.autograd.Function):
    """Loss and gradient in one pass over chunks of positions.

    The gradient of the logits is softmax - target. Of softmax only e^logits is formed, in the memory of the
    logits: what it is divided by is one number a position and goes into the small factor of each product. The
    target is linear in the logits, so that its gradient needs none of them: a row a position, and of the
    smoothed part one number for the whole vocabulary. The memory is the same for every chunk, since the
    system takes as long to hand out new pages as a product takes to fill them; and logits are to the base of
    2, whose powers torch forms in half the time on some processors.
    """

    @staticmethod
    def forward(
        ctx: Any,
        x: Tensor,
        weight: Tensor,
        bias: Tensor | None,
        target: Tensor,
        smoothing: float,
        dtype: torch.dtype,
    ) -> Tensor:
        ctx.dtypes = x.dtype, weight.dtype
        x, weight, bias = x.to(dtype), weight.to(dtype), None if bias is None else bias.to(dtype)
        total, grad_x, grad_weight, grad_bias = _over_chunks(x, weight, bias, target, smoothing)
        spread = smoothing / len(weight)
        grad_x -= (1 - smoothing) * weight[target]
        grad_weight.index_add_(0, target, x.float(), alpha=smoothing - 1)
        if grad_bias is not None:
            grad_bias.index_add_(0, target, torch.ones_like(target, dtype=torch.float32), alpha=smoothing - 1)
        if smoothing:
            whole, along = weight.float().sum(0), x.float().sum(0)
            total -= spread * (whole @ along)
            grad_x -= spread * whole.to(x.dtype)
            grad_weight -= spread * along
            if bias is not None and grad_bias is not None:
                total -= spread * len(x) * bias.float().sum()
                grad_bias -= spread * len(x)
        ctx.save_for_backward(grad_x, grad_weight, grad_bias)
        return total

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor | None, ...]:
        grad_x, grad_weight, grad_bias = ctx.saved_tensors
        of_x, of_weight = ctx.dtypes
        return (
            grad_x.to(of_x) * grad.to(of_x),
            (grad_weight * grad).to(of_weight),
            None if grad_bias is None else (grad_bias * grad).to(of_weight),
            None,
            None,
            None,
        )
