"""A mask and a score: each is a frozen dataclass with a literal `kind`.

Dilated attention: Child et al. 2019, arXiv 1904.10509, section 4.2. Soft-capped scores: Gemma 2, arXiv
2408.00118, section 2.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor

from regard.model.account import Factor, Made, made_of, product
from regard.model.mask import MaskRule
from regard.model.score import Softmax


@dataclass(frozen=True)
class Dilated(MaskRule):
    """Every `step`-th token before, and itself."""

    step: int = 2
    """Positions from one key to the next."""
    kind: Literal["dilated"] = "dilated"

    def sees(self, query: Tensor, key: Tensor) -> Tensor:
        return (key <= query) & ((query - key) % self.step == 0)


@dataclass(frozen=True)
class SoftCap(Softmax):
    """Scaled dot products, kept between -`cap` and `cap` by a tanh."""

    cap: float = 50.0
    """Largest score."""
    kind: Literal["soft-cap"] = "soft-cap"

    def compare(self, q: Tensor, k: Tensor, scale: float | None, learned: Tensor | None) -> Tensor:
        """(B, H, T, C) and (B, H, S, C) → (B, H, T, S)."""
        scores = q @ k.transpose(-2, -1) * (q.shape[-1] ** -0.5 if scale is None else scale)
        return self.cap * torch.tanh(scores / self.cap)

    def formulas(self, scale: float) -> tuple[str, str]:
        return f"{self.cap:g} · tanh(q kᵀ · {scale / self.cap:.4g})", "softmax(scores) where the mask allows"

    def account_score(self, q: Sequence[Factor], k: Sequence[Factor], learned: Sequence[Factor]) -> Made:
        made = made_of(product(str(at), a, b) for at, (a, b) in enumerate(zip(q, k, strict=True)))
        made = made.then("× 1/√C", made.last * len(q) ** -0.5)
        return made.then(f"{self.cap:g} · tanh", self.cap * math.tanh(made.last / self.cap))
