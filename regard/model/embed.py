"""From what a model is given to vectors: (B, T) ids → (B, T, D).

Only content: where a token stands is added by the stack (`position.py`). Patches, frames and items
will be further members of the union.
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
    separator: int
    """The id that ends a stretch, as its last token."""


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


Embed = Tokens


class TokenEmbedding(nn.Module):
    """See `Tokens`."""

    def __init__(self, width: int, config: Tokens) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.empty(config.vocab, width))
        self.factor = math.sqrt(width) if config.scale else 1.0
        self.separator = config.types.separator if config.types else 0
        self.types = nn.Parameter(torch.empty(config.types.count, width)) if config.types else None

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
        self.weight[rows] = vectors.to(self.weight) / self.factor
