"""One more layer between a stack's vectors and what a head makes of them, as in BERT (arXiv 1810.04805)."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn

from regard.model.account import Entry, Index, Made, Numbers, Reading, normed, vector
from regard.model.account_linear import applied, linear
from regard.model.feedforward import ACTIVATIONS, Activation, activated
from regard.model.init import Init
from regard.model.norm import Norm
from regard.model.part import Part, linear_flops, precise
from regard.model.tap import tap

_LEAST = 1e-30  # by what an activation multiplies zero, it is asked here


@dataclass(frozen=True)
class Transform:
    """One more layer before the predictions: norm(activation(W x + b)), as in BERT."""

    activation: Activation = "tanh"
    """What makes it more than a matrix product."""
    norm: Norm | None = None
    """Which norm comes last; None for none."""


class TransformLayer(Part):
    """See `Transform`. (…, D) → (…, D), or (…, E) of another width."""

    def __init__(self, width: int, config: Transform, made: int | None = None) -> None:
        super().__init__()
        self.dense = nn.Linear(width, made or width)
        self.activation = ACTIVATIONS[config.activation]
        self.norm = nn.Identity() if config.norm is None else config.norm.build(made or width)

    def forward(self, x: Tensor) -> Tensor:
        return tap(self, "out", self.norm(self.activation(self.dense(x))))

    def initialise(self, init: Init, branches: int | None = None) -> None:
        init.matrix(self.dense.weight)

    def flops(self, T: int, S: int) -> int:
        return linear_flops(self, T)

    def account(self, numbers: Numbers, entry: Entry, index: Index) -> Made:
        (source,), place = entry.sources, entry.name.rpartition(".")[0]
        x = vector(numbers, "x", source, *index[:-1])
        made = activated(linear(numbers, x, f"{place}.dense", "W", index[-1]), self.activation)
        before = self.activation(applied(self.dense, numbers.row(source, *index[:-1])))
        return normed(numbers, made, before, index[-1], f"{place}.norm")

    def pull(self, read: Reading, x: Tensor, g: Tensor) -> Tensor:
        """What it multiplies each number by is held at what it was for `x`."""
        weight, bias = precise(self.dense.weight), precise(self.dense.bias)
        inner = x @ weight.T + bias
        made = self.activation(inner)
        g = read.norm("head.transform.norm", self.norm, lambda: made, g)
        some = torch.where(inner == 0, _LEAST, inner)
        g = g * self.activation(some) / some
        read.add("head.transform.dense.bias", float((g * bias).sum()))
        return g @ weight


def transform_layer(width: int, config: Transform | None, made: int | None = None) -> nn.Module:
    """The layer, if there is one. `made`: the width of its vectors, if it is another than theirs."""
    return nn.Identity() if config is None else TransformLayer(width, config, made)
