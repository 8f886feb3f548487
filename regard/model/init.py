"""The numbers a model starts from.

Modules only say what they are; an initialisation goes over them by type. `Xavier` is the paper's
(arXiv 1706.03762 leaves it to its code, tensor2tensor: uniform unit scaling, embeddings normal with
standard deviation D^-1/2). `Scaled` is GPT-2's, stable for deep stacks: small normal numbers, and the
last projection of each residual branch divided by √(number of branches).
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor, nn

from regard.model.attention import Attention
from regard.model.embed import PatchEmbedding, TokenEmbedding
from regard.model.feedforward import FeedForward, GatedFeedForward
from regard.model.head import ClassHead, SpanHead, TransformLayer, VocabularyHead
from regard.model.position import AddedTable, BiasedTable, BucketedBias
from regard.model.stack import Stack


@dataclass(frozen=True)
class Xavier:
    """Every projection uniform with variance 2 / (in + out), times `gain`; embeddings of length 1."""

    gain: float = 1.0
    kind: Literal["xavier"] = "xavier"

    def matrix(self, weight: Tensor, branches: int | None) -> None:
        nn.init.xavier_uniform_(weight, self.gain)

    def table(self, weight: Tensor) -> None:
        nn.init.normal_(weight, std=weight.shape[1] ** -0.5)


@dataclass(frozen=True)
class Scaled:
    """Normal numbers of deviation `std`; what ends a residual branch is divided by √branches."""

    std: float = 0.02
    kind: Literal["scaled"] = "scaled"

    def matrix(self, weight: Tensor, branches: int | None) -> None:
        nn.init.normal_(weight, std=self.std / math.sqrt(branches or 1))

    def table(self, weight: Tensor) -> None:
        nn.init.normal_(weight, std=self.std)


Init = Xavier | Scaled
_FILLED = ("regard.model.", "torch.nn.")
"""Whose modules are filled when they are made, if not here."""


@torch.no_grad()
def initialise(model: nn.Module, init: Init) -> None:
    """Fill every weight of `model` from torch's generator; biases start at 0 and gains at 1.

    A module from elsewhere fills its own: by `initialise(init)` if it has such a method, else by torch's
    `reset_parameters()`. Raises ValueError for one that has parameters and neither.
    """
    if all(weight.is_meta for weight in model.parameters()):
        return  # shapes without memory
    branches = {id(block): _branches(stack) for stack in _of(model, Stack) for block in stack.modules()}
    for module in model.modules():
        if isinstance(module, nn.Linear) and module.bias is not None:
            nn.init.zeros_(module.bias)
        if isinstance(module, Attention):
            _attention(module, init, branches.get(id(module)))
        elif isinstance(module, FeedForward):
            init.matrix(module.up.weight, None)
            init.matrix(module.down.weight, branches.get(id(module)))
        elif isinstance(module, GatedFeedForward):
            for part in module.gate_up.weight.chunk(2):
                init.matrix(part, None)
            init.matrix(module.down.weight, branches.get(id(module)))
        elif isinstance(module, TokenEmbedding):
            init.table(module.weight)
            if module.types is not None:
                init.table(module.types)
        elif isinstance(module, VocabularyHead):
            init.table(module.weight)
        elif isinstance(module, ClassHead | SpanHead):
            init.matrix(module.weight, None)
        elif isinstance(module, PatchEmbedding):
            init.matrix(module.weight.flatten(1), None)  # a view of the same numbers
            if module.first is not None:
                init.table(module.first)
        elif isinstance(module, TransformLayer):
            init.matrix(module.dense.weight, None)
        elif isinstance(module, Stack) and isinstance(module.entry_projection, nn.Linear):
            init.matrix(module.entry_projection.weight, None)
        elif isinstance(module, AddedTable | BucketedBias):
            init.table(module.table.weight)
            if isinstance(module, BiasedTable):
                init.table(module.bias_table.weight)
        if not type(module).__module__.startswith(_FILLED):
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


def _attention(module: Attention, init: Init, branches: int | None) -> None:
    """Queries, keys and values are one matrix but three projections, each scaled by itself."""
    inner, shared = module.heads * module.head_width, module.kv_heads * module.head_width
    if module.cross:
        parts = [module.q.weight, *module.kv.weight.split([shared, shared])]
    else:
        parts = list(module.qkv.weight.split([inner, shared, shared]))
    for part in parts:
        init.matrix(part, None)
    init.matrix(module.out.weight, branches)
    if module.additive is not None:
        init.matrix(module.additive, None)


def _of(model: nn.Module, kind: type[Stack]) -> list[Stack]:
    return [module for module in model.modules() if isinstance(module, kind)]


def _branches(stack: Stack) -> int:
    return len(stack.blocks) * (2 if stack.config.cross is None else 3)
