"""From a stack's vectors to predictions; the vocabulary head with its loss.

The loss over a vocabulary is the costliest step of a small model: its logits outweigh every other
tensor. `vocabulary_loss` therefore never holds them all: it goes through the positions in chunks and
computes the gradient in the same pass.
"""

from __future__ import annotations

from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from regard.model.tap import tap

CHUNK_ELEMENTS = 2**20
"""Logits held at a time: few enough to stay in a processor's cache."""


class VocabularyHead(nn.Module):
    """(B, T, D) → (B, T, V) logits; `weight` (V, D) may be an embedding's own table (tied)."""

    def __init__(
        self, width: int, vocab: int, *, tied: nn.Parameter | None = None, bias: bool = False
    ) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.empty(vocab, width)) if tied is None else tied
        self.bias = nn.Parameter(torch.zeros(vocab)) if bias else None

    def forward(self, x: Tensor) -> Tensor:
        return tap(self, "logits", F.linear(x, self.weight, self.bias))

    def loss(self, x: Tensor, target: Tensor, smoothing: float = 0.0) -> Tensor:
        """`vocabulary_loss` of these vectors."""
        return vocabulary_loss(x, self.weight, target, smoothing=smoothing, bias=self.bias)


def vocabulary_loss(
    x: Tensor, weight: Tensor, target: Tensor, *, smoothing: float = 0.0, bias: Tensor | None = None
) -> Tensor:
    """Cross-entropy of `target` under softmax(x weightᵀ + bias), summed over positions, in nats.

    `x`: (n, D) vectors; `weight`: (V, D); `target`: (n,) ids, all of them real (leave padding out
    before). `smoothing` spreads that much of the target evenly over the vocabulary (arXiv
    1512.00567, section 7). Returns a scalar; divide by the number of tokens for a mean.
    """
    return _VocabularyLoss.apply(x, weight, bias, target, smoothing)


class _VocabularyLoss(torch.autograd.Function):
    """Loss and gradient in one pass over chunks of positions.

    The gradient of the logits is softmax - target. Its smoothing part is one number for the whole
    vocabulary, so its share of each product is taken from sums instead of from every logit.
    """

    @staticmethod
    def forward(
        ctx: Any, x: Tensor, weight: Tensor, bias: Tensor | None, target: Tensor, smoothing: float
    ) -> Tensor:
        grad_x = torch.empty_like(x)
        grad_weight = torch.zeros_like(weight, dtype=torch.float32)
        grad_bias = None if bias is None else torch.zeros_like(bias, dtype=torch.float32)
        vocab = weight.shape[0]
        total = x.new_zeros((), dtype=torch.float32)
        rows = max(1, CHUNK_ELEMENTS // vocab)
        for start in range(0, len(x), rows):
            part, wanted = x[start : start + rows], target[start : start + rows, None]
            log_probability = F.log_softmax(F.linear(part, weight, bias), dim=-1, dtype=torch.float32)
            total -= (1 - smoothing) * log_probability.gather(1, wanted).sum()
            if smoothing:
                total -= smoothing / vocab * log_probability.sum()
            grad = log_probability.exp_()
            grad.scatter_add_(1, wanted, grad.new_full((), smoothing - 1.0).expand(wanted.shape))
            if grad_bias is not None:
                grad_bias += grad.sum(0)
            grad = grad.to(x.dtype)
            torch.mm(grad, weight, out=grad_x[start : start + rows])
            grad_weight.addmm_(grad.t(), part) if x.dtype == torch.float32 else grad_weight.add_(
                grad.t() @ part
            )
        if smoothing:
            share = smoothing / vocab
            grad_x -= share * weight.sum(0)
            grad_weight -= share * x.sum(0, dtype=torch.float32)
            if grad_bias is not None:
                grad_bias -= share * len(x)
        ctx.save_for_backward(grad_x, grad_weight, grad_bias)
        ctx.dtype = weight.dtype
        return total

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor | None, ...]:
        grad_x, grad_weight, grad_bias = ctx.saved_tensors
        return (
            grad_x * grad.to(grad_x.dtype),
            (grad_weight * grad).to(ctx.dtype),
            None if grad_bias is None else (grad_bias * grad).to(ctx.dtype),
            None,
            None,
        )
