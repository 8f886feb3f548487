"""What stands for a whole sequence: a mean of its vectors, one of them, or two side by side."""

from __future__ import annotations

from typing import Literal

import torch
from torch import Tensor

from regard.model.account import Made, Numbers, made_of, one
from regard.model.mask import PADDING, Positions, Ragged

Pooling = Literal["mean", "first", "first-and-second", "first-and-mean"]
"""What stands for a sequence: the mean of its vectors or the first of them (BERT's `[CLS]`, a ViT's class
token); or, side by side, the first and the second (DeiT's distillation token), or the first and the mean of
the others (DINOv2)."""


def pooled(x: Tensor, positions: Positions | None, pooling: Pooling, skipped: int = 0) -> Tensor:
    """(B, T, D) → (B, D), or (B, 2D) of two side by side: what `Pooling` says of each row, the mean of the
    others without the first `skipped` of these. Padding is left out; the mean of nothing is 0."""
    if isinstance(positions, Ragged):
        real = (positions.segment != PADDING).expand(x.shape[:2])
        place = real.cumsum(1) - 1
        means = {
            "first": lambda: _mean(x, real & (place == 0)),
            "second": lambda: _mean(x, real & (place == 1)),
            "others": lambda: _mean(x, real & (place > skipped)),
            "all": lambda: _mean(x, real),
        }
    else:
        means = {
            "first": lambda: x[:, 0],
            "second": lambda: x[:, 1:2].sum(1),
            "others": lambda: x[:, 1 + skipped :].sum(1) / max(1, x.shape[1] - 1 - skipped),
            "all": lambda: x.mean(1),
        }
    parts = [means[name]() for name in POOLED[pooling]]
    return parts[0] if len(parts) == 1 else torch.cat(parts, -1)


POOLED: dict[Pooling, tuple[str, ...]] = {
    "mean": ("all",),
    "first": ("first",),
    "first-and-second": ("first", "second"),
    "first-and-mean": ("first", "others"),
}


def _mean(x: Tensor, chosen: Tensor) -> Tensor:
    """The mean of those of (B, T, D) that are (B, T) chosen."""
    summed = x.masked_fill(~chosen[:, :, None], 0.0).sum(1)
    return summed / chosen.sum(1, keepdim=True).clamp_min(1)


def pooled_account(numbers: Numbers, source: str, place: int, pooling: Pooling, skipped: int = 0) -> Made:
    """The sum behind number `place` of what stands for the vectors that were recorded as `source`."""
    tokens, width = numbers.entry(source).value.shape
    second, column = divmod(place, width)
    rows = {
        "all": range(tokens),
        "first": range(1),
        "second": range(1, 2),
        "others": range(1 + skipped, tokens),
    }[POOLED[pooling][second]]
    labels = numbers.entry(source).axes[0].labels
    made = made_of(
        one(numbers.part("x", source, row, column), labels[row] if labels else str(row))
        for row in rows
        if row < tokens
    )
    return made if len(rows) < 2 else made.then(f"÷ {len(rows)}", made.last / len(rows))
