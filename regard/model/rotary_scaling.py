"""How rotary positions are stretched, so that a model takes longer inputs than it was first trained on.

Each way changes the rates at which pairs of numbers turn, the fast ones less than the slow ones, and
some also the length of what is rotated. Two of them depend on how long an input is: what they add for a
longer one, (rows, 1) numbers of tokens → (rows, pairs) of further rates, is `longer`. They do not know
queries or keys (`position.py`).
"""

from __future__ import annotations

import math
from abc import abstractmethod
from dataclasses import dataclass
from typing import ClassVar, Literal

import torch
from torch import Tensor

from regard.model.part import FILES, Alternative, complete
from regard.registry import Registry, register


class Scaling(Alternative):
    """A way to stretch rotary positions."""

    stretches: ClassVar[bool] = False
    """Whether it depends on how long an input of more than `original` tokens is: then it has `longer`."""
    original: int

    @property
    def length(self) -> float:
        """What rotated queries and keys are multiplied by."""
        return 1.0

    @abstractmethod
    def rates(self, rates: Tensor, base: float) -> Tensor:
        """The rates of (pairs,) pairs, of what they would be."""

    def anew(self, tokens: int) -> bool:
        """Whether an input that has just become so long must be read anew."""
        return False

    def longer(self, rates: Tensor, base: float, tokens: Tensor) -> Tensor:
        """(rows, pairs) further rates for rows of (rows, 1) tokens."""
        raise NotImplementedError


SCALINGS: Registry[type[Scaling]] = Registry("scalings", *FILES, base=Scaling, check=complete)


@register
@dataclass(frozen=True)
class Interpolated(Scaling):
    """Positions divided by `factor` (arXiv 2306.15595)."""

    factor: float
    """How much longer inputs may be."""
    kind: Literal["interpolated"] = "interpolated"

    def rates(self, rates: Tensor, base: float) -> Tensor:
        return rates / self.factor


@register
@dataclass(frozen=True)
class Llama3(Scaling):
    """Slow pairs interpolated, fast ones left alone, a mixture between them (arXiv 2407.21783 and its code).

    A pair is slow if it turns fewer than `low` times within `original` positions, fast if more than `high`.
    """

    factor: float
    original: int
    """Tokens of the inputs of the first training."""
    low: float = 1.0
    high: float = 4.0
    kind: Literal["llama3"] = "llama3"

    def __post_init__(self) -> None:
        if not self.low < self.high:
            raise ValueError(f"low must be less than high, not {self.low} and {self.high}")

    def rates(self, rates: Tensor, base: float) -> Tensor:
        turns = self.original * rates / (2 * math.pi)
        share = ((turns - self.low) / (self.high - self.low)).clamp(0, 1)
        return rates * share + rates / self.factor * (1 - share)


@register
@dataclass(frozen=True)
class Yarn(Scaling):
    """A mixture as Llama 3's, linear in the number of the pair, and queries and keys lengthened (arXiv
    2309.00071, section 3)."""

    factor: float
    original: int
    fast: float = 32.0
    """A pair that turns so many times within `original` positions is left alone …"""
    slow: float = 1.0
    """… and one that turns so many times is interpolated."""
    amplitude: float | None = None
    """What rotated queries and keys are multiplied by; None is 0.1 · ln(factor) + 1."""
    whole: bool = True
    """Whether the mixture begins and ends at whole pairs."""
    kind: Literal["yarn"] = "yarn"

    @property
    def length(self) -> float:
        if self.amplitude is not None:
            return self.amplitude
        return 0.1 * math.log(self.factor) + 1.0 if self.factor > 1 else 1.0

    def rates(self, rates: Tensor, base: float) -> Tensor:
        first, last = self._pair(self.fast, len(rates), base), self._pair(self.slow, len(rates), base)
        if self.whole:
            first, last = math.floor(first), math.ceil(last)
        first, last = max(first, 0), min(last, 2 * len(rates) - 1)
        last = first + 0.001 if first == last else last
        pairs = torch.arange(len(rates), dtype=rates.dtype, device=rates.device)
        share = 1 - ((pairs - first) / (last - first)).clamp(0, 1)
        return rates * share + rates / self.factor * (1 - share)

    def _pair(self, turns: float, pairs: int, base: float) -> float:
        """The number of the pair that turns so many times within `original` positions."""
        return pairs * math.log(self.original / (turns * 2 * math.pi)) / math.log(base)


@register
@dataclass(frozen=True)
class LongRope(Scaling):
    """Each pair interpolated by a factor of its own, and by others in inputs of more than `original` tokens
    (arXiv 2402.13753)."""

    original: int
    """Tokens of the inputs of the first training."""
    short: tuple[float, ...] = ()
    """By how much each pair is slowed …"""
    long: tuple[float, ...] = ()
    """… and by how much in longer inputs."""
    amplitude: float = 1.0
    """What rotated queries and keys are multiplied by."""
    kind: Literal["longrope"] = "longrope"

    stretches = True

    def __post_init__(self) -> None:
        if len(self.short) != len(self.long) or not all(x > 0 for x in (*self.short, *self.long)):
            raise ValueError("short and long must be as many numbers above 0")

    @property
    def length(self) -> float:
        return self.amplitude

    def rates(self, rates: Tensor, base: float) -> Tensor:
        return rates / self._factors(self.short, rates)

    def anew(self, tokens: int) -> bool:
        return tokens == self.original + 1

    def longer(self, rates: Tensor, base: float, tokens: Tensor) -> Tensor:
        long, short = (rates / self._factors(factors, rates) for factors in (self.long, self.short))
        return (tokens > self.original) * (long - short)

    def _factors(self, factors: tuple[float, ...], rates: Tensor) -> Tensor:
        if len(factors) != len(rates):
            raise ValueError(f"{len(factors)} factors were given for {len(rates)} pairs")
        return torch.tensor(factors, dtype=rates.dtype, device=rates.device)


@register
@dataclass(frozen=True)
class Dynamic(Scaling):
    """Nothing changed in inputs of up to `original` tokens; in longer ones the base grows with their length,
    so that slow pairs are interpolated and fast ones are not (arXiv 2309.00071, section 3.3)."""

    factor: float
    original: int
    kind: Literal["dynamic"] = "dynamic"

    stretches = True

    def rates(self, rates: Tensor, base: float) -> Tensor:
        return rates

    def anew(self, tokens: int) -> bool:
        return tokens > self.original

    def longer(self, rates: Tensor, base: float, tokens: Tensor) -> Tensor:
        pairs = len(rates)
        if pairs < 2:
            raise ValueError("a base that grows needs two pairs or more")
        grown = (self.factor * tokens / self.original - (self.factor - 1)).clamp_min(1.0)
        return rates * (grown ** (-torch.arange(pairs, device=rates.device) / (pairs - 1)) - 1.0)
