"""What each head is worth: a head is silenced, and the model is measured again.

Michel et al., arXiv 1905.10650, section 3: what a head gives is replaced by zeros, before W_O. It knows a
model and a measure, not data.
"""

from __future__ import annotations

from collections.abc import Callable, Collection
from dataclasses import dataclass
from functools import partial

import torch
from torch import Tensor, nn

from regard.model.attention import Attention
from regard.model.tap import See, open_taps


@dataclass(frozen=True)
class Head:
    """One head of one attention."""

    attention: str
    """Its name in the model: `decoder.blocks.1.cross`."""
    head: int

    def __str__(self) -> str:
        return f"{self.attention}.{self.head}"


def heads_of(model: nn.Module) -> list[Head]:
    """All query heads, in the order in which the model has them."""
    parts = [(name, part) for name, part in model.named_modules() if isinstance(part, Attention)]
    return [Head(name, head) for name, part in parts for head in range(part.heads)]


def silencing(heads: Collection[Head]) -> dict[str, See]:
    """Taps to be opened, where what these heads give becomes 0."""
    places: dict[str, list[int]] = {}
    for head in heads:
        places.setdefault(f"{head.attention}.heads", []).append(head.head)
    return {name: partial(_without, which) for name, which in places.items()}


def _without(heads: list[int], name: str, value: Tensor) -> Tensor:
    return value.index_fill(1, torch.tensor(heads, device=value.device), 0.0)


@dataclass(frozen=True)
class Ablation:
    """A measure of the whole model, and of it without each head."""

    metric: str
    whole: float
    without: dict[Head, float]
    lower: bool = False
    """Whether lower is better."""

    def worth(self) -> list[tuple[Head, float]]:
        """By how much the measure is worse without each head; what is missed most comes first."""
        sign = -1 if self.lower else 1
        falls = [(head, sign * (self.whole - figure)) for head, figure in self.without.items()]
        return sorted(falls, key=lambda fall: -fall[1])


def ablate(
    model: nn.Module,
    measure: Callable[[], float],
    metric: str = "figure",
    *,
    lower: bool = False,
    on_progress: Callable[[int, int], None] = lambda done, all_: None,
) -> Ablation:
    """Measure the model whole, and without each head. `on_progress`: how many
    are done, of all."""
    heads = heads_of(model)
    whole, without = measure(), dict[Head, float]()
    for done, head in enumerate(heads, 1):
        with open_taps(model, silencing([head])):
            without[head] = measure()
        on_progress(done, len(heads))
    return Ablation(metric, whole, without, lower)
