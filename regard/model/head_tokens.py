"""A head for which every vector has a class of its own: a part of speech, the tag of a word."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Literal

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from regard.model.account import Reading
from regard.model.head import Head, ProductHead
from regard.model.init import Init
from regard.model.tap import tap
from regard.registry import register

__all__ = ["TokenClassHead", "TokenClasses"]


class TokenClassHead(ProductHead):
    """See `TokenClasses`. (B, T, D) → (B, T, K) logits."""

    def __init__(self, width: int, count: int) -> None:
        super().__init__()
        self.transform = nn.Identity()
        self.weight = nn.Parameter(torch.empty(count, width))
        self.bias = nn.Parameter(torch.zeros(count))

    def forward(self, x: Tensor) -> Tensor:
        return tap(self, "logits", F.linear(x, self.weight, self.bias))

    def initialise(self, init: Init, branches: int | None = None) -> None:
        init.matrix(self.weight)

    def pull(self, read: Reading, x: Tensor, g: Tensor) -> Tensor:
        return g


@register
@dataclass(frozen=True)
class TokenClasses(Head):
    """One of some classes for each vector (arXiv 1810.04805, section 5.3)."""

    count: int = 0
    """K, the number of classes; 0 in a plan that leaves it to the data."""
    kind: Literal["token-classes"] = "token-classes"

    module = TokenClassHead

    def for_new_data(self, before: Head) -> Head:
        return replace(self, count=0)

    def build(self, width: int, table: nn.Parameter | None) -> TokenClassHead:
        return TokenClassHead(width, self.count)
