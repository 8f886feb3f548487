"""The numbers a model starts from.

Parts say which of their parameters are matrices and which are tables; an initialisation says how those are
filled. `Xavier` is the paper's (arXiv 1706.03762 leaves it to its code, tensor2tensor: uniform unit scaling,
embeddings normal with standard deviation D^-1/2). `Scaled` is GPT-2's, stable for deep stacks: small normal
numbers, and the last projection of each residual branch divided by √(number of branches).
"""

from __future__ import annotations

import math
from abc import abstractmethod
from dataclasses import dataclass
from typing import Any, Literal

import torch
from torch import Tensor, nn

from regard.model.part import FILES, Alternative, Part, complete
from regard.registry import Registry, register


class Init(Alternative):
    """How parameters are filled, from torch's generator."""

    @abstractmethod
    def matrix(self, weight: Tensor, branches: int | None = None) -> None:
        """What vectors are multiplied by: (out, in). `branches`: for what ends one of so many residual
        branches."""

    @abstractmethod
    def table(self, weight: Tensor) -> None:
        """Vectors that are looked up: (rows, D)."""


INITS: Registry[type[Init]] = Registry("inits", *FILES, base=Init, check=complete)


@register
@dataclass(frozen=True)
class Xavier(Init):
    """Every projection uniform with variance 2 / (in + out), times `gain`; embeddings of length 1."""

    gain: float = 1.0
    kind: Literal["xavier"] = "xavier"

    def matrix(self, weight: Tensor, branches: int | None = None) -> None:
        nn.init.xavier_uniform_(weight, self.gain)

    def table(self, weight: Tensor) -> None:
        nn.init.normal_(weight, std=weight.shape[1] ** -0.5)


@register
@dataclass(frozen=True)
class Scaled(Init):
    """Normal numbers of deviation `std`; what ends a residual branch is divided by √branches."""

    std: float = 0.02
    kind: Literal["scaled"] = "scaled"

    def matrix(self, weight: Tensor, branches: int | None = None) -> None:
        nn.init.normal_(weight, std=self.std / math.sqrt(branches or 1))

    def table(self, weight: Tensor) -> None:
        nn.init.normal_(weight, std=self.std)


_FILLED = ("regard.model.", "torch.nn.")
"""Whose modules are filled when they are made, if they are no parts."""


@torch.no_grad()
def initialise(model: nn.Module, init: Init) -> None:
    """Fill every weight of `model` from torch's generator; biases start at 0 and gains at 1.

    A module from elsewhere that is no part fills its own: by `initialise(init)` if it has such a method, else
    by torch's `reset_parameters()`. Raises ValueError for one that has parameters and neither.
    """
    if all(weight.is_meta for weight in model.parameters()):
        return  # shapes without memory
    branches: dict[int, Any] = {
        id(inner): stack.branches
        for stack in model.modules()
        if hasattr(stack, "branches")
        for inner in stack.modules()
    }
    for module in model.modules():
        if isinstance(module, nn.Linear) and module.bias is not None:
            nn.init.zeros_(module.bias)
        if isinstance(module, Part):
            module.initialise(init, branches.get(id(module)))
        elif not type(module).__module__.startswith(_FILLED):
            _foreign(module, init)


def _foreign(module: nn.Module, init: Init) -> None:
    """What a module from elsewhere has of its own, not what is in its children."""
    names = [name for name, _ in module.named_parameters(recurse=False)]
    for method, given in (("initialise", (init,)), ("reset_parameters", ())):
        if callable(fill := getattr(module, method, None)):
            fill(*given)
            return
    if names:
        kind = type(module).__name__
        raise ValueError(
            f"nobody says what {', '.join(names)} of {kind} start from; give {kind} a method initialise(init)"
        )
