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
from collections.abc import Callable
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


@register
@dataclass(frozen=True)
class InverseSqrt(Schedule):
    """After `warmup` steps, in proportion to 1 / √step; needs no plan."""

    warmup: int = 4000
    kind: Literal["inverse-sqrt"] = "inverse-sqrt"

    def __post_init__(self) -> None:
        _check(self.warmup)

    def factor(self, step: float, total: int | None) -> float:
        return min(step / max(self.warmup, 1), math.sqrt(max(self.warmup, 1) / step))


@register
@dataclass(frozen=True)
class Cosine(Schedule):
    """After `warmup` steps, half a cosine down to `floor` at the last step."""

    warmup: int = 100
    floor: float = 0.0
    horizon: int = 0
    """Runs of more steps stay below the peak, by the third root of their length; 0 lets all reach it."""
    kind: Literal["cosine"] = "cosine"

    def __post_init__(self) -> None:
        _check(self.warmup, self.floor, self.horizon)

    def factor(self, step: float, total: int | None) -> float:
        path = _then(step, self.warmup, total, self.floor, lambda t: (1 + math.cos(math.pi * t)) / 2)
        return path * _height(self.horizon, total)


@register
@dataclass(frozen=True)
class Linear(Schedule):
    """After `warmup` steps, straight down to `floor` at the last step."""

    warmup: int = 200
    floor: float = 0.0
    horizon: int = 0
    """Runs of more steps stay below the peak, by the third root of their length; 0 lets all reach it."""
    kind: Literal["linear"] = "linear"

    def __post_init__(self) -> None:
        _check(self.warmup, self.floor, self.horizon)

    def factor(self, step: float, total: int | None) -> float:
        path = _then(step, self.warmup, total, self.floor, lambda t: 1 - t)
        return path * _height(self.horizon, total)


@register
@dataclass(frozen=True)
class Constant(Schedule):
    """After `warmup` steps, the peak."""

    warmup: int = 0
    kind: Literal["constant"] = "constant"

    def __post_init__(self) -> None:
        _check(self.warmup)

    def factor(self, step: float, total: int | None) -> float:
        return min(1.0, step / max(self.warmup, 1))


def _check(warmup: int, floor: float = 0.0, horizon: int = 0) -> None:
    require(warmup >= 0, "warmup", warmup, "0 or more steps")
    require(horizon >= 0, "horizon", horizon, "0 or more steps")
    require(0 <= floor <= 1, "floor", floor, "from 0 to 1")


def _height(horizon: int, total: int | None) -> float:
    """How much of the peak a run of `total` steps reaches."""
    return 1.0 if not horizon or total is None else min(1.0, (horizon / total) ** (1 / 3))


def _then(
    step: float, warmup: int, total: int | None, floor: float, decay: Callable[[float], float]
) -> float:
    """`step` counts from 1, so that the first step already learns. Without a plan there is no decay yet.

    A run too short for its warm-up spends a quarter of its steps on it.
    """
    warmup = max(warmup if total is None else min(warmup, total // 4), 1)
    if step <= warmup:
        return step / warmup
    if total is None:
        return 1.0
    passed = min(1.0, (step - warmup) / max(total - warmup, 1))
    return floor + (1 - floor) * decay(passed)
