"""How the learning rate changes: a factor of the peak rate, from 0 to 1, for each step of a plan.

Every schedule warms up linearly and then goes its way. Inverse square root: arXiv 1706.03762, section
5.3. Cosine: arXiv 1608.03983. The longer a run, the lower the peak that suits it, by about the third root of
its length: arXiv 2409.19913. A schedule knows the step and the number of steps planned, None while a
budget is not yet turned into steps; it does not know optimizers or clocks. Steps need not be whole: where a
plan has been made anew they are counted on the scale of the first.
"""

from __future__ import annotations

import math
from abc import abstractmethod
from dataclasses import dataclass
from typing import Literal

from regard.errors import require
from regard.model.part import Alternative, complete
from regard.registry import Registry, register


class Schedule(Alternative):
    """How the learning rate changes."""

    @abstractmethod
    def factor(self, step: float, total: int | None) -> float:
        """Of the peak rate, from 0 to 1, at a step that counts from 1, of so many in all (None: not known
        yet)."""


SCHEDULES: Registry[type[Schedule]] = Registry("schedules", __name__, base=Schedule, check=complete)


class WarmUp(Schedule):
    """What all here have alike: `warmup` steps, and numbers within their limits."""

    warmup: int

    def __post_init__(self) -> None:
        require(self.warmup >= 0, "warmup", self.warmup, "0 or more steps")


class Decay(WarmUp):
    """After the warm-up, down to `floor` at the last step; a run of more than `horizon` steps stays below the
    peak."""

    floor: float
    horizon: int

    def __post_init__(self) -> None:
        super().__post_init__()
        require(self.horizon >= 0, "horizon", self.horizon, "0 or more steps")
        require(0 <= self.floor <= 1, "floor", self.floor, "from 0 to 1")

    @abstractmethod
    def _curve(self, passed: float) -> float:
        """From 1 to 0, where so much of the decay has passed, from 0 to 1."""

    def factor(self, step: float, total: int | None) -> float:
        """`step` counts from 1, so that the first step already learns. Without a plan there is no decay yet.

        A run too short for its warm-up spends a quarter of its steps on it.
        """
        warmup = max(self.warmup if total is None else min(self.warmup, total // 4), 1)
        height = 1.0 if not self.horizon or total is None else min(1.0, (self.horizon / total) ** (1 / 3))
        if step <= warmup:
            return step / warmup * height
        if total is None:
            return height
        passed = min(1.0, (step - warmup) / max(total - warmup, 1))
        return (self.floor + (1 - self.floor) * self._curve(passed)) * height


@register
@dataclass(frozen=True)
class InverseSqrt(WarmUp):
    """After `warmup` steps, in proportion to 1 / √step; needs no plan."""

    warmup: int = 4000
    kind: Literal["inverse-sqrt"] = "inverse-sqrt"

    def factor(self, step: float, total: int | None) -> float:
        return min(step / max(self.warmup, 1), math.sqrt(max(self.warmup, 1) / step))


@register
@dataclass(frozen=True)
class Cosine(Decay):
    """After `warmup` steps, half a cosine down to `floor` at the last step."""

    warmup: int = 100
    floor: float = 0.0
    horizon: int = 0
    """Runs of more steps stay below the peak, by the third root of their length; 0 lets all reach it."""
    kind: Literal["cosine"] = "cosine"

    def _curve(self, passed: float) -> float:
        return (1 + math.cos(math.pi * passed)) / 2


@register
@dataclass(frozen=True)
class Linear(Decay):
    """After `warmup` steps, straight down to `floor` at the last step."""

    warmup: int = 200
    floor: float = 0.0
    horizon: int = 0
    """Runs of more steps stay below the peak, by the third root of their length; 0 lets all reach it."""
    kind: Literal["linear"] = "linear"

    def _curve(self, passed: float) -> float:
        return 1 - passed


@register
@dataclass(frozen=True)
class Constant(WarmUp):
    """After `warmup` steps, the peak."""

    warmup: int = 0
    kind: Literal["constant"] = "constant"

    def factor(self, step: float, total: int | None) -> float:
        return min(1.0, step / max(self.warmup, 1))
