"""An account of one number: the terms of the sum behind it, and what was done to that sum.

Terms are products of recorded numbers and of the model's own weights, so that a total that differs from the
recorded value by more than rounding shows a mistake in one of the two. How a part adds up it says itself
(`account`); how a matrix product does is in `account_linear.py`. Who recorded the numbers is not known here.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Protocol

from torch import Tensor, nn

from regard.errors import InputError, nearest

MOST_TERMS = 1024
"""Terms that are listed; of more, the largest, and the others as one."""
Index = tuple[int, ...]


@dataclass(frozen=True)
class Axis:
    """What an axis counts, and how people call each of its places."""

    name: str
    labels: tuple[str, ...] = ()
    """Empty where places have no names, as along a vector."""


@dataclass(frozen=True, eq=False)  # tensors have no single answer to ==
class Entry:
    """One value of a computation."""

    name: str
    value: Tensor
    """On the host, an axis for each of `axes`."""
    axes: tuple[Axis, ...]
    formula: str = ""
    """How it was made, in the words of the papers."""
    sources: tuple[str, ...] = ()
    """The names of what it was made from; not all of them need have been recorded."""

    def __repr__(self) -> str:
        axes = ", ".join(
            f"{axis.name} {size}" for axis, size in zip(self.axes, self.value.shape, strict=True)
        )
        return f"Entry({self.name}: {axes})"


def not_recorded(name: str, known: Iterable[str]) -> InputError:
    """What to raise when there is no value of that name."""
    return InputError("nothing of the name '{key}' was recorded", name, remedy=nearest(name, known))


@dataclass(frozen=True)
class Factor:
    """A number that goes into another: of another entry, or of a weight."""

    name: str
    value: float
    index: tuple[int, ...] = ()
    part: str | None = None
    weight: str | None = None
    rounded: bool = False
    """Whether `value` is not the number at that place but the integer, from -127 to 127, that stands for
    it in an int8 product."""


@dataclass(frozen=True)
class Term:
    """One summand."""

    label: str
    value: float
    factors: tuple[Factor, ...] = ()


@dataclass(frozen=True)
class Stage:
    """What is done to the sum, or to the stage before."""

    op: str
    value: float
    by: Factor | None = None


@dataclass(frozen=True)
class Account:
    """How a number came to be."""

    part: str
    index: tuple[int, ...]
    value: float
    formula: str
    terms: tuple[Term, ...]
    stages: tuple[Stage, ...]
    sum: float

    @property
    def total(self) -> float:
        """What all of it comes to: the value, but for rounding."""
        return self.stages[-1].value if self.stages else self.sum


class Numbers:
    """Numbers of recorded entries and of a model's weights, as factors."""

    def __init__(
        self,
        model: nn.Module,
        entries: Mapping[str, Entry],
        temperature: float = 1.0,
        heads_off: Collection[tuple[str, int]] = (),
    ) -> None:
        """`heads_off`: names of attentions and their heads that were silenced."""
        self.model, self.entries = model, entries
        self.temperature, self.heads_off = temperature, heads_off
        self.device = next(model.parameters()).device

    def entry(self, name: str) -> Entry:
        """Raises: InputError when it was not recorded."""
        if name not in self.entries:
            raise not_recorded(name, self.entries)
        return self.entries[name]

    def row(self, name: str, *index: int) -> Tensor:
        """What stands at the first axes of an entry, in float64."""
        return self.entry(name).value[index].double()

    def part(self, symbol: str, name: str, *index: int) -> Factor:
        return Factor(symbol, float(self.entry(name).value[index]), index, part=name)

    def weight(self, symbol: str, name: str, *index: int) -> Factor:
        return Factor(symbol, float(self.tensor(name)[index]), index, weight=name)

    def tensor(self, name: str) -> Tensor:
        """A weight of the model: a parameter, or a buffer of an int8 layer."""
        place, _, attribute = name.rpartition(".")
        value = getattr(self.module(place), attribute)
        assert isinstance(value, Tensor), name
        return value.detach()

    def module(self, name: str) -> Any:
        return self.model.get_submodule(name)


def product(label: str, *factors: Factor) -> Term:
    """A term that is the product of its factors."""
    return Term(label, math.prod(factor.value for factor in factors), factors)


def one(factor: Factor, label: str = "") -> Term:
    """A term of a single factor."""
    return Term(label or factor.name, factor.value, (factor,))


@dataclass(frozen=True)
class Made:
    """A sum, its terms as they are listed, and what is done to it; what an account is made of."""

    sum: float
    terms: tuple[Term, ...]
    stages: tuple[Stage, ...] = ()

    @property
    def last(self) -> float:
        return self.stages[-1].value if self.stages else self.sum

    def then(self, op: str, value: float, by: Factor | None = None) -> Made:
        return replace(self, stages=(*self.stages, Stage(op, value, by)))

    def plus(self, op: str, by: Factor) -> Made:
        return self.then(op, self.last + by.value, by)

    def times(self, op: str, by: Factor) -> Made:
        return self.then(op, self.last * by.value, by)


def made_of(terms: Iterable[Term]) -> Made:
    """The sum of terms that are few."""
    terms = tuple(terms)
    return summed([term.value for term in terms], terms.__getitem__)


def summed(values: Sequence[float], term: Callable[[int], Term]) -> Made:
    """The sum of `values`. Terms are made only of those that are listed: all, or where there are many the
    largest, in their order, and the others as one."""
    total, places = math.fsum(values), range(len(values))
    if len(values) <= MOST_TERMS:
        return Made(total, tuple(map(term, places)))
    order = sorted(places, key=lambda place: -abs(values[place]))
    kept, others = sorted(order[: MOST_TERMS - 1]), order[MOST_TERMS - 1 :]
    rest = Term(f"… {len(others):,}", math.fsum(values[place] for place in others))
    return Made(total, (*map(term, kept), rest))


def vector(numbers: Numbers, symbol: str, name: str, *index: int) -> list[Factor]:
    """The numbers of the last axis at some place."""
    values = numbers.entry(name).value[index].tolist()
    return [Factor(symbol, value, (*index, place), part=name) for place, value in enumerate(values)]


def softmax(
    powers: Sequence[float], own: int, term: Callable[[int], Term], symbol: str = "e^(score - max)"
) -> Made:
    """The share that one of some powers has of all."""
    made = summed(powers, term)
    share = powers[own] / made.sum if made.sum else 0.0
    return made.then(f"{symbol} ÷ sum", share, Factor(symbol, powers[own]))


def normed(numbers: Numbers, made: Made, before: Tensor, place: int, name: str) -> Made:
    """`made` is number `place` of `before`, (D,), which goes through the norm of that name, if any."""
    norm = numbers.module(name)
    return (
        made if isinstance(norm, nn.Identity) else norm.account(numbers, made, before.double(), place, name)
    )


class Reading(Protocol):
    """Who goes back through a computation along directions, from a logit to what it is the sum of;
    `insight/logit_sum.py` has it in full. A direction is (n, D), in float64 and on the host."""

    def value(self, name: str) -> Tensor:
        """What was recorded at the vectors that the logit is read from."""

    def add(self, name: str, value: float) -> None:
        """Note what one thing adds to the logit."""

    def norm(self, name: str, norm: nn.Module, seen: Callable[[], Tensor], g: Tensor) -> Tensor:
        """From the direction after a norm to that before it, into which `seen` went."""


def added(numbers: Numbers, entry: Entry, index: Index, label: str) -> Made:
    """x and what is added to it, so far as both were recorded; either may be one row for all tokens."""
    names = [name for name in entry.sources if name in numbers.entries]
    places = ((0, *index[1:]) if len(numbers.entry(name).value) == 1 else index for name in names)
    return made_of(
        one(numbers.part(symbol, name, *place))
        for symbol, name, place in zip(("x", label), names, places, strict=False)
    )
