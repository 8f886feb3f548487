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
class Tokens:
    """A row of a table for each id."""

    vocab: int = 0
    """V, the number of ids; 0 in a plan that leaves it to the tokenizer."""
    scale: bool = True
    """Whether vectors are multiplied by √D (arXiv 1706.03762, section 3.4)."""
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

    def forward(self, ids: Tensor) -> Tensor:
        vectors = nn.functional.embedding(ids, self.weight)
        return tap(self, "out", vectors if self.factor == 1.0 else vectors * self.factor)

    @torch.no_grad()
    def take_vectors(self, rows: Tensor, vectors: Tensor) -> None:
        """Put pretrained (n, D) vectors into the table at (n,) rows, as the model will see them."""
        self.weight[rows] = vectors.to(self.weight) / self.factor
