"""Low-rank adapters: a frozen linear whose product gets a small learned part added (LoRA, arXiv 2106.09685).

W x becomes W x + (α / r) · up(down(x)), where down is (r, D) and up (F, r): few numbers to learn, and once
learned they can be added to W. `up` begins at zero, so that a model with new adapters is the model that it
was. This file does not know which linears should have one, nor how adapters are saved.
"""

from __future__ import annotations

import math
from collections.abc import Iterator

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from regard.model.dropout import dropout as drop


class LowRank(nn.Module):
    """A linear and its adapter. (…, D) → (…, F)."""

    def __init__(self, base: nn.Linear, rank: int, alpha: float, dropout: float = 0.0) -> None:
        """`base` stays as it is and is not trained. `dropout`: of what the adapter sees, while training."""
        super().__init__()
        self.base = base.requires_grad_(False)
        self.in_features, self.out_features = base.in_features, base.out_features
        self.down = nn.Parameter(base.weight.new_empty((rank, base.in_features)))
        self.up = nn.Parameter(base.weight.new_zeros((base.out_features, rank)))
        nn.init.kaiming_uniform_(self.down, a=math.sqrt(5))  # what nn.Linear begins with
        self.scale, self.dropout = alpha / rank, dropout

    def forward(self, x: Tensor) -> Tensor:
        low = F.linear(drop(x, self.dropout, self.training), self.down)
        return self.base(x) + F.linear(low, self.up) * self.scale

    @property
    def weight(self) -> Tensor:
        """(F, D): the base's with the adapter added."""
        return self.base.weight + self.scale * (self.up @ self.down)

    @property
    def bias(self) -> Tensor | None:
        return self.base.bias


def adapters(model: nn.Module) -> Iterator[tuple[str, LowRank]]:
    """Those in the model, by the names of the linears that they stand for."""
    for name, module in model.named_modules():
        if isinstance(module, LowRank):
            yield name, module


def adapt(model: nn.Module, names: list[str], rank: int, alpha: float, dropout: float = 0.0) -> None:
    """Give each of the linears with these names an adapter."""
    for name in names:
        parent, _, own = name.rpartition(".")
        linear = model.get_submodule(name)
        assert isinstance(linear, nn.Linear), name
        setattr(model.get_submodule(parent), own, LowRank(linear, rank, alpha, dropout))


@torch.no_grad()
def merge(model: nn.Module) -> None:
    """Add every adapter to its linear, which takes its place again."""
    for name, adapter in list(adapters(model)):
        parent, _, own = name.rpartition(".")
        adapter.base.weight.copy_(adapter.weight)
        setattr(model.get_submodule(parent), own, adapter.base)
