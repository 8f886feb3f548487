"""A second set of weights that lags behind the trained one, and usually predicts better.

EMA: Polyak averaging with exponential forgetting. Tail: the mean over the last part of training, which
is what averaging the last checkpoints approximates (arXiv 1706.03762, section 6.1; SWA, arXiv 1803.05407).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor, nn

from regard.errors import require


@dataclass(frozen=True)
class NoAverage:
    """The trained weights themselves."""

    kind: Literal["none"] = "none"


@dataclass(frozen=True)
class EMA:
    """After each step the average moves by (1 - decay) towards the weights, faster at first."""

    decay: float = 0.999
    """How much of the average a step keeps, once there have been many."""
    kind: Literal["ema"] = "ema"

    def __post_init__(self) -> None:
        require(0 <= self.decay < 1, "decay", self.decay, "at least 0 and less than 1")

    def share(self, step: float, total: int | None) -> float:
        return 1 - min(self.decay, step / (step + 10))


@dataclass(frozen=True)
class Tail:
    """The plain mean over the last `fraction` of the planned steps."""

    fraction: float = 0.1
    kind: Literal["tail"] = "tail"

    def __post_init__(self) -> None:
        require(0 < self.fraction <= 1, "fraction", self.fraction, "more than 0 and at most 1")

    def share(self, step: float, total: int | None) -> float:
        return 1.0 if total is None else 1 / max(1, step - int(total * (1 - self.fraction)))


Averaging = NoAverage | EMA | Tail


class Average:
    """The averaged weights, by parameter name, of those that are trained."""

    def __init__(self, model: nn.Module, config: Averaging) -> None:
        self.config = config
        self.live = {name: value for name, value in model.named_parameters() if value.requires_grad}
        averaged = {} if isinstance(config, NoAverage) else self.live
        self.weights: dict[str, Tensor] = {name: p.detach().clone() for name, p in averaged.items()}

    @torch.no_grad()
    def update(self, step: float, total: int | None) -> None:
        """Take in the weights as they are after `step` of `total` steps (None: not known yet)."""
        if isinstance(self.config, NoAverage) or not self.weights:
            return
        share = self.config.share(step, total)
        live: list[Tensor] = [self.live[name] for name in self.weights]
        torch._foreach_lerp_(list(self.weights.values()), live, share)

    @torch.no_grad()
    def swap(self) -> None:
        """Exchange the averaged and the trained weights, e.g. to evaluate; do it twice."""
        for name, average in self.weights.items():
            live = self.live[name]
            before = live.detach().clone()
            live.copy_(average)
            average.copy_(before)
