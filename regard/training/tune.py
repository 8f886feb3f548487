"""What of a model moves when training starts from another's body: all of it, its upper part, or adapters.

Each kind is applied once, to a model that has its weights already. It does not know where they came from.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from torch import nn

from regard.errors import ConfigError, outside, require
from regard.model.lora import adapt
from regard.model.stack import Stack


@dataclass(frozen=True)
class Whole:
    """Everything is trained."""

    kind: Literal["whole"] = "whole"

    def apply(self, model: nn.Module) -> None:
        """Nothing to be done."""


@dataclass(frozen=True)
class Frozen:
    """The embeddings and the lower blocks stay as they were."""

    blocks: int | None = None
    """How many blocks of each stack, from below; None for all of them, so that only the head is trained."""
    kind: Literal["frozen"] = "frozen"

    def __post_init__(self) -> None:
        require(self.blocks is None or self.blocks >= 0, "blocks", self.blocks, "0 or more, or null")

    def apply(self, model: nn.Module) -> None:
        """Raises: ConfigError when there are not so many blocks, or nothing is left to train."""
        head = _head(model)
        for child in model.children():
            if isinstance(child, Stack):
                self._freeze(child)
            elif child is not head:
                child.requires_grad_(False)
        if not any(parameter.requires_grad for parameter in model.parameters()):
            sentence = (
                "{key} leaves nothing to train: the head's weights are the embedding's; give it a number"
            )
            raise ConfigError(sentence, "train.tune.blocks")

    def _freeze(self, stack: Stack) -> None:
        depth = len(stack.blocks)
        if self.blocks is not None and self.blocks > depth:
            raise outside(ConfigError, "train.tune.blocks", self.blocks, f"at most {depth}, as in the model")
        if self.blocks is None:
            stack.requires_grad_(False)
            return
        entry = (stack.position, stack.entry_norm, stack.entry_projection)
        for part in (*entry, *stack.blocks[: self.blocks]):
            part.requires_grad_(False)


@dataclass(frozen=True)
class LoRA:
    """Everything but the head stays as it was; the blocks' linears get low-rank adapters (arXiv 2106.09685),
    which are added to them in the bundle, and saved beside it in the format of the library peft."""

    rank: int = 8
    """r: the width of an adapter."""
    alpha: float = 16.0
    """What an adapter says is multiplied by alpha / rank."""
    dropout: float = 0.0
    """The rate on what adapters see."""
    parts: Literal["attention", "all"] = "all"
    """Whether only the projections of attention get adapters, or the feed-forward part too."""
    kind: Literal["lora"] = "lora"

    def __post_init__(self) -> None:
        require(self.rank >= 1, "rank", self.rank, "1 or more")
        require(0 < self.alpha < float("inf"), "alpha", self.alpha, "more than 0")
        require(0 <= self.dropout < 1, "dropout", self.dropout, "at least 0 and less than 1")

    def apply(self, model: nn.Module) -> None:
        head = _head(model)
        for child in model.children():
            if child is not head or _tied(model):
                child.requires_grad_(False)
        adapt(model, self._names(model), self.rank, self.alpha, self.dropout)

    def _names(self, model: nn.Module) -> list[str]:
        return [
            f"{stack}.{name}"
            for stack, child in model.named_children()
            if isinstance(child, Stack)
            for name, module in child.named_modules()
            if isinstance(module, nn.Linear) and (self.parts == "all" or ".feedforward." not in name)
        ]


Tune = Whole | Frozen | LoRA


def tuned(model: nn.Module, tune: Tune) -> list[str]:
    """Apply it, and say what it left to be trained. Raises: ConfigError."""
    tune.apply(model)
    if isinstance(tune, Whole):
        return []
    numbers = [(p.numel(), p.requires_grad) for p in model.parameters()]
    moving, whole = sum(n for n, moves in numbers if moves), sum(n for n, _ in numbers)
    return [f"{tune.kind}: {moving:,} of {whole:,} parameters are trained"]


def _head(model: nn.Module) -> nn.Module:
    head = model.head
    assert isinstance(head, nn.Module)
    return head


def _tied(model: nn.Module) -> bool:
    """Whether a weight of the head is also one of the body."""
    head = {id(parameter) for parameter in _head(model).parameters()}
    return any(
        id(parameter) in head
        for child in model.children()
        if child is not model.head
        for parameter in child.parameters()
    )
