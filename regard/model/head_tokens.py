"""A head for which every vector has a class of its own: a part of speech, the tag of a word."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Literal

from torch import nn

from regard.model.head import Head, LinearHead
from regard.registry import register


class TokenClassHead(LinearHead):
    """See `TokenClasses`. (B, T, D) → (B, T, K) logits."""


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
