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


def drawn(like: Tensor, p: float) -> tuple[Tensor | None, float]:
    """Which elements of `like`'s shape stay, as bytes of `random_keep`, and what those are multiplied by;
    None, for all, where `p` is 0."""
    dropped = min(LEVELS - 1, max(1, round(p * LEVELS))) if p else 0
    return random_keep(like, dropped) if p else None, LEVELS / (LEVELS - dropped)


class _DropAdd(torch.autograd.Function):
    """x + dropout(y), keeping one byte an element for the way back; x may be None."""

    @staticmethod
    def forward(ctx, x: Tensor | None, y: Tensor, p: float) -> Tensor:  # type: ignore[no-untyped-def]
        keep, ctx.scale = drawn(y, p)
        assert keep is not None
        ctx.save_for_backward(keep)
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
