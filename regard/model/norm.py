"""Normalisation of vectors of width D.

LayerNorm: arXiv 1607.06450. RMSNorm: arXiv 1910.07467. Where a norm stands is a block's business
(`block.py`).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from torch import nn


@dataclass(frozen=True)
class LayerNorm:
    """Mean 0 and variance 1 over the width, then a learned gain and, if `bias`, a shift."""

    eps: float = 1e-5
    """Added to the variance, so that nothing is divided by zero."""
    bias: bool = True
    kind: Literal["layer"] = "layer"

    def build(self, width: int) -> nn.Module:
        return nn.LayerNorm(width, eps=self.eps, bias=self.bias)


@dataclass(frozen=True)
class RMSNorm:
    """Root mean square 1 over the width, then a learned gain; the mean is left alone."""

    eps: float = 1e-6
    kind: Literal["rms"] = "rms"

    def build(self, width: int) -> nn.Module:
        return nn.RMSNorm(width, eps=self.eps)


Norm = LayerNorm | RMSNorm
