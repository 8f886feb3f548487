"""One layer of a stack: attention, cross-attention if there is a memory, feed-forward.

Around each part goes a residual connection with a norm, 'Add & Norm' in the paper's figure 1. Where
the norm stands is a type: after the sum as in the paper (arXiv 1706.03762, section 3.1), before the
part (arXiv 2002.04745), or on both sides of it (arXiv 2105.13290); before it with what it adds scaled (arXiv
2103.17239).

A block is told everything through its arguments; it holds no mask, no position and no cache.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Literal

import torch
from torch import Tensor, nn

from regard.model.attention import AttentionConfig
from regard.model.cache import LayerCache
from regard.model.dropout import drop_add
from regard.model.feedforward import FeedForwardPart
from regard.model.mask import Lowered
from regard.model.norm import Norm
from regard.model.position import Rotation
from regard.model.tap import tap

Branch = Callable[[Tensor], Tensor]


@dataclass(frozen=True)
class PostNorm:
    """norm(x + part(x)), as in the paper."""

    kind: Literal["post"] = "post"

    def build(self, width: int, norm: Norm, dropout: float) -> Residual:
        return PostResidual(width, norm, dropout)


@dataclass(frozen=True)
class PreNorm:
    """x + part(norm(x)): trains without warm-up and at any depth; the stack ends with a norm."""

    kind: Literal["pre"] = "pre"

    def build(self, width: int, norm: Norm, dropout: float) -> Residual:
        return PreResidual(width, norm, dropout)


@dataclass(frozen=True)
class SandwichNorm:
    """x + norm(part(norm(x))): also bounds what each part adds."""

    kind: Literal["sandwich"] = "sandwich"

    def build(self, width: int, norm: Norm, dropout: float) -> Residual:
        return SandwichResidual(width, norm, dropout)


@dataclass(frozen=True)
class LayerScale:
    """x + gains · part(norm(x)), with a learned gain for each number of a vector (arXiv 2103.17239, section
    2.1): what each part adds begins small. The stack ends with a norm."""

    start: float = 1e-4
    """The gains to begin with."""
    kind: Literal["layer-scale"] = "layer-scale"

    def build(self, width: int, norm: Norm, dropout: float) -> Residual:
        return ScaledResidual(width, norm, dropout, self.start)


Placement = PostNorm | PreNorm | SandwichNorm | LayerScale


class Residual(nn.Module):
    """x and what a part makes of it, added up: `forward(x, branch)`, (B, T, D) → (B, T, D)."""

    def __init__(self, width: int, norm: Norm, dropout: float) -> None:
        super().__init__()
        self.norm = norm.build(width)
        self.dropout = dropout

    def forward(self, x: Tensor, branch: Branch) -> Tensor:
        raise NotImplementedError

    def add(self, x: Tensor, y: Tensor) -> Tensor:
        return drop_add(x, y, self.dropout, self.training)


class PostResidual(Residual):
    def forward(self, x: Tensor, branch: Branch) -> Tensor:
        return tap(self, "normed", self.norm(tap(self, "sum", self.add(x, branch(x)))))


class PreResidual(Residual):
    def forward(self, x: Tensor, branch: Branch) -> Tensor:
        return tap(self, "sum", self.add(x, branch(tap(self, "normed", self.norm(x)))))


class SandwichResidual(Residual):
    def __init__(self, width: int, norm: Norm, dropout: float) -> None:
        super().__init__(width, norm, dropout)
        self.norm_out = norm.build(width)

    def forward(self, x: Tensor, branch: Branch) -> Tensor:
        made = self.norm_out(branch(tap(self, "normed", self.norm(x))))
        return tap(self, "sum", self.add(x, tap(self, "normed_out", made)))


class ScaledResidual(Residual):
    def __init__(self, width: int, norm: Norm, dropout: float, start: float) -> None:
        super().__init__(width, norm, dropout)
        self.gain = nn.Parameter(torch.full((width,), start))

    def forward(self, x: Tensor, branch: Branch) -> Tensor:
        made = self.gain * branch(tap(self, "normed", self.norm(x)))
        return tap(self, "sum", self.add(x, tap(self, "scaled", made)))


@dataclass
class BlockContext:
    """What the layers of one forward share besides x. The stack makes it; parts read it."""

    mask: Lowered
    rotation: Rotation | None = None
    late: tuple[Rotation, Rotation] | None = None
    """By how much more queries, and all keys, are rotated in an input that is so long."""
    bias: Tensor | None = None
    memory_mask: Lowered = None
    memory_rotation: Rotation | None = None
    """How queries are rotated before they look at the memory, whose keys `project_memory` rotated."""
    memory_bias: Tensor | None = None
    condition: Tensor | None = None
    """(B, D) or (B, T, D): for parts that modulate x; no part of this library's own reads it yet."""


class Block(nn.Module):
    """See the module's docstring. (B, T, D) → (B, T, D)."""

    def __init__(
        self,
        width: int,
        attention: AttentionConfig,
        feedforward: FeedForwardPart,
        norm: Norm,
        placement: Placement,
        dropout: float,
        cross: AttentionConfig | None = None,
    ) -> None:
        super().__init__()
        self.attention = attention.build(width)
        self.attention_residual = placement.build(width, norm, dropout)
        self.cross = None if cross is None else cross.build(width, cross=True)
        self.cross_residual = None if cross is None else placement.build(width, norm, dropout)
        self.feedforward = feedforward.build(width)
        self.feedforward_residual = placement.build(width, norm, dropout)

    def forward(
        self,
        x: Tensor,
        around: BlockContext,
        cache: LayerCache | None = None,
        memory: tuple[Tensor, Tensor] | None = None,
    ) -> Tensor:
        """`memory`: the keys and values that `project_memory` made, if the block attends to another stack."""
        attention, cross = self.attention, self.cross
        turns: dict[str, Any] = {} if around.late is None else {"late": around.late}
        x = self.attention_residual(
            x,
            lambda h: attention(
                h, around.mask, rotation=around.rotation, bias=around.bias, cache=cache, **turns
            ),
        )
        if cross is not None and self.cross_residual is not None and memory is not None:
            mask, turn, bias = around.memory_mask, around.memory_rotation, around.memory_bias
            x = self.cross_residual(
                x, lambda h: cross.cross_attend(h, memory, mask, rotation=turn, bias=bias)
            )
        x = self.feedforward_residual(x, self.feedforward)
        return tap(self, "residual", x)

    def project_memory(self, memory: Tensor, rotation: Rotation | None = None) -> tuple[Tensor, Tensor]:
        """Cross-attention's keys and values of (B, S, D) memory, the keys rotated."""
        assert self.cross is not None
        return self.cross.project_memory(memory, rotation)
