"""Normalisation of vectors of width D.

LayerNorm: arXiv 1607.06450. RMSNorm: arXiv 1910.07467. Where a norm stands is a block's business
(`block.py`).
"""

from __future__ import annotations

import math
from abc import abstractmethod
from dataclasses import dataclass
from typing import Any, ClassVar, Literal

import torch
from torch import Tensor, nn

from regard.model.account import Factor, Made, Numbers
from regard.model.init import Init
from regard.model.part import FILES, Alternative, Part, Productless, complete, precise
from regard.registry import Registry, register


class NormPart(Part):
    """A norm of the last axis: (…, D) → (…, D). What it adds, if anything, is its `bias`."""

    bias: Any

    @abstractmethod
    def account(self, numbers: Numbers, made: Made, before: Tensor, place: int, name: str) -> Made:
        """What becomes of `made`, number `place` of the vector `before`, (D,), in float64."""

    @abstractmethod
    def pull(self, x: Tensor, g: Tensor) -> Tensor:
        """The direction before it that stands for `g` after it, its scale held at what it was for `x`: both
        (n, D), in float64 and on the host."""


class _RootNorm(Productless, NormPart):
    """Divided by the root of a mean square, then a gain for each number."""

    weight: Any
    eps: Any
    centred: ClassVar[bool]

    def initialise(self, init: Init, branches: int | None = None) -> None:
        """Gains are 1 and shifts 0 already."""

    def account(self, numbers: Numbers, made: Made, before: Tensor, place: int, name: str) -> Made:
        eps = torch.finfo(torch.float32).eps if self.eps is None else self.eps
        if self.centred:
            mean = float(before.mean())
            made = made.then("- mean", made.last - mean, Factor("mean", mean))
            root, how = math.sqrt(float(before.var(correction=0)) + eps), "÷ √(variance + ε)"
        else:
            root, how = math.sqrt(float(before.pow(2).mean()) + eps), "÷ √(mean of squares + ε)"
        made = made.then(how, made.last / root, Factor(how[2:], root))
        made = made.times("× gain", numbers.weight("gain", f"{name}.weight", place))
        shifted = self.bias is not None
        return made.plus("+ shift", numbers.weight("shift", f"{name}.bias", place)) if shifted else made

    def pull(self, x: Tensor, g: Tensor) -> Tensor:
        assert self.eps is not None
        x = x - x.mean(-1, keepdim=True) if self.centred else x
        g = g * precise(self.weight) * (x.square().mean(-1, keepdim=True) + self.eps).rsqrt()
        return g - g.mean(-1, keepdim=True) if self.centred else g


class _LayerNorm(nn.LayerNorm, _RootNorm):
    centred = True


class _RMSNorm(nn.RMSNorm, _RootNorm):
    centred, bias = False, None


class Norm(Alternative):
    """Which norm, as a part of a configuration."""

    built = NormPart
    module: ClassVar[type[NormPart]]

    @abstractmethod
    def build(self, width: int) -> NormPart:
        """The norm of vectors of that width."""


NORMS: Registry[type[Norm]] = Registry("norms", *FILES, base=Norm, check=complete)


@register
@dataclass(frozen=True)
class LayerNorm(Norm):
    """Mean 0 and variance 1 over the width, then a learned gain and, if `bias`, a shift."""

    eps: float = 1e-5
    """Added to the variance, so that nothing is divided by zero."""
    bias: bool = True
    kind: Literal["layer"] = "layer"

    module = _LayerNorm

    def build(self, width: int) -> NormPart:
        return _LayerNorm(width, eps=self.eps, bias=self.bias)


@register
@dataclass(frozen=True)
class RMSNorm(Norm):
    """Root mean square 1 over the width, then a learned gain; the mean is left alone."""

    eps: float = 1e-6
    kind: Literal["rms"] = "rms"

    module = _RMSNorm

    def build(self, width: int) -> NormPart:
        return _RMSNorm(width, eps=self.eps)
