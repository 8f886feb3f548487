"""From what a model is given to vectors: (B, T) ids, or (B, C, H, W) images, → (B, T, D).

Only content: where a token or a patch stands is added by the stack (`position.py`). Frames and items will
be further members of the union. Every embedding has a `table` of V vectors, or None where there is none to
predict from.

Patches: ViT, arXiv 2010.11929, section 3.1.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor, nn

from regard.model.tap import tap


@dataclass(frozen=True)
class TokenTypes:
    """A vector for each stretch of the input, added to those of its tokens (BERT's segments, arXiv
    1810.04805, section 3.2). Which stretch a token is in follows from the separators before it, so that it
    needs the whole input at once."""

    count: int
    """How many stretches are told apart; what comes later belongs to the last."""
    separator: int | None
    """The id that ends a stretch, as its last token; None where all of an input is the first stretch, and the
    vectors of the others are only kept (RoBERTa)."""


@dataclass(frozen=True)
class Tokens:
    """A row of a table for each id."""

    vocab: int = 0
    """V, the number of ids; 0 in a plan that leaves it to the tokenizer."""
    scale: bool = True
    """Whether vectors are multiplied by √D (arXiv 1706.03762, section 3.4)."""
    types: TokenTypes | None = None
    """What tells the texts of a pair apart; None where nothing does."""
    kind: Literal["tokens"] = "tokens"

    def build(self, width: int) -> TokenEmbedding:
        return TokenEmbedding(width, self)


@dataclass(frozen=True)
class Patches:
    """The patches of an image, row by row, each times one matrix: a convolution whose stride is its size."""

    channels: int = 0
    """Numbers a pixel: 1 for grey, 3 for colour; 0 in a plan that leaves it to the data."""
    pixel_rows: int = 0
    """Height of an image; 0 in a plan that leaves it to the data."""
    pixel_columns: int = 0
    """Width of an image; 0 in a plan that leaves it to the data."""
    patch: int = 0
    """Side of a patch in pixels, which divides both sides of an image; 0 in a plan that leaves it to the
    data."""
    class_token: bool = True
    """Whether a learned vector stands before the patches, to gather what the whole image is."""
    registers: int = 0
    """Further learned vectors between that and the patches (DeiT's distillation token: arXiv 2012.12877,
    section 4; registers: arXiv 2309.16588)."""
    kind: Literal["patches"] = "patches"

    @property
    def columns(self) -> int:
        """Patches side by side; 0 in a plan."""
        return self.pixel_columns // self.patch if self.patch else 0

    @property
    def leading(self) -> int:
        """Vectors before the patches."""
        return self.class_token + self.registers

    @property
    def length(self) -> int:
        """Vectors an image becomes; 0 in a plan."""
        rows = self.pixel_rows // self.patch if self.patch else 0
        return rows * self.columns + self.leading if rows else 0

    def build(self, width: int) -> PatchEmbedding:
        return PatchEmbedding(width, self)


Embed = Tokens | Patches


class TokenEmbedding(nn.Module):
    """See `Tokens`. (B, T) ids → (B, T, D)."""

    def __init__(self, width: int, config: Tokens) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.empty(config.vocab, width))
        self.factor = math.sqrt(width) if config.scale else 1.0
        separator = config.types.separator if config.types else None
        self.separator = -1 if separator is None else separator
        self.types = nn.Parameter(torch.empty(config.types.count, width)) if config.types else None

    @property
    def table(self) -> nn.Parameter:
        return self.weight

    def forward(self, ids: Tensor) -> Tensor:
        vectors = nn.functional.embedding(ids, self.weight)
        vectors = vectors if self.factor == 1.0 else vectors * self.factor
        if self.types is not None:
            vectors = vectors + nn.functional.embedding(self._type(ids), self.types)
        return tap(self, "out", vectors)

    def _type(self, ids: Tensor) -> Tensor:
        """How many separators stand before each of (B, T) ids."""
        assert self.types is not None
        ends = (ids == self.separator).long()
        return (ends.cumsum(-1) - ends).clamp_max(len(self.types) - 1)

    @torch.no_grad()
    def take_vectors(self, rows: Tensor, vectors: Tensor) -> None:
        """Put pretrained (n, D) vectors into the table at (n,) rows, as the model will see them."""
        self.weight[rows.to(self.weight.device)] = vectors.to(self.weight) / self.factor


class PatchEmbedding(nn.Module):
    """See `Patches`. (B, C, H, W) numbers → (B, N, D), or (B, L + N, D) with L vectors before them."""

    table = None

    def __init__(self, width: int, config: Patches) -> None:
        super().__init__()
        sides, patch = (config.pixel_rows, config.pixel_columns), config.patch
        if patch and any(side % patch for side in sides):
            raise ValueError(f"patches of {patch} pixels do not divide an image of {_shown(sides)}")
        self.config = config
        self.weight = nn.Parameter(torch.empty(width, config.channels, patch, patch))
        self.bias = nn.Parameter(torch.zeros(width))
        self.first = nn.Parameter(torch.empty(config.leading, width)) if config.leading else None

    def forward(self, images: Tensor) -> Tensor:
        c, found = self.config, tuple(images.shape[1:])
        if found != (c.channels, c.pixel_rows, c.pixel_columns):
            made = _shown((c.channels, c.pixel_rows, c.pixel_columns))
            raise ValueError(f"images of {_shown(found)} were given to a model of {made}")
        P = c.patch
        cut = images.to(self.weight.dtype).unflatten(3, (-1, P)).unflatten(2, (-1, P))  # (B, C, h, P, w, P)
        flat = cut.permute(0, 2, 4, 1, 3, 5).reshape(len(images), -1, c.channels * P * P)
        vectors = nn.functional.linear(flat, self.weight.flatten(1), self.bias)
        if self.first is not None:
            vectors = torch.cat((self.first.to(vectors.dtype).expand(len(vectors), -1, -1), vectors), 1)
        return tap(self, "out", vectors)


def _shown(sizes: tuple[int, ...]) -> str:
    return " × ".join(map(str, sizes))
