"""Which weight of ours is which of theirs: one table a family, read in both directions.

A `Rule` says how one tensor of ours is made of one or more of theirs, and how those are made of it again.
Importing takes every rule from right to left, exporting from left to right, so that the one undoes the other.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol, TypeVar

import torch
import torch.nn.functional as F
from torch import Tensor

from regard.errors import CheckpointError, nearest
from regard.interop.checkpoint import is_float
from regard.weights import Entry

T = TypeVar("T")


class Way(Protocol):
    """A change that can be undone."""

    def take(self, theirs: Tensor) -> Tensor: ...

    def give(self, ours: Tensor) -> Tensor: ...


@dataclass(frozen=True)
class Same:
    """No change."""

    def take(self, theirs: Tensor) -> Tensor:
        return theirs

    def give(self, ours: Tensor) -> Tensor:
        return ours


@dataclass(frozen=True)
class Transposed:
    """Inputs and outputs change places (GPT-2 keeps its linears that way)."""

    def take(self, theirs: Tensor) -> Tensor:
        return theirs.t()

    def give(self, ours: Tensor) -> Tensor:
        return ours.t()


@dataclass(frozen=True)
class After:
    """Theirs has `rows` rows before ours which only padding looks up; they are given as zeros."""

    rows: int

    def take(self, theirs: Tensor) -> Tensor:
        return theirs[self.rows :]

    def give(self, ours: Tensor) -> Tensor:
        return torch.cat((ours.new_zeros((self.rows, *ours.shape[1:])), ours))


@dataclass(frozen=True)
class Times:
    """Ours is theirs times a number."""

    factor: float

    def take(self, theirs: Tensor) -> Tensor:
        return theirs * self.factor

    def give(self, ours: Tensor) -> Tensor:
        return ours / self.factor


@dataclass(frozen=True)
class LeadingTimes:
    """Of ours, the first `rows` are theirs times a number; theirs may be transposed."""

    rows: int
    factor: float
    transposed: bool

    def take(self, theirs: Tensor) -> Tensor:
        return self._times(theirs.t() if self.transposed else theirs, self.factor)

    def give(self, ours: Tensor) -> Tensor:
        theirs = self._times(ours, 1 / self.factor)
        return theirs.t() if self.transposed else theirs

    def _times(self, rows: Tensor, factor: float) -> Tensor:
        return torch.cat((rows[: self.rows] * factor, rows[self.rows :]))


@dataclass(frozen=True)
class Row:
    """Theirs is (1, n), ours (n,)."""

    def take(self, theirs: Tensor) -> Tensor:
        return theirs[0] if len(theirs) == 1 else theirs

    def give(self, ours: Tensor) -> Tensor:
        return ours[None]


@dataclass(frozen=True)
class Regridded:
    """Ours is a table of positions (n, D) on another grid than theirs (1, n, D), made from it by bicubic
    interpolation; the first `leading` of its rows stand on no grid. After those, ours has rows of zeros for
    `unplaced` registers, of which theirs knows nothing."""

    theirs: tuple[int, int]
    """Rows and columns of the grid."""
    ours: tuple[int, int]
    leading: int
    unplaced: int = 0
    antialias: bool = False

    def take(self, theirs: Tensor) -> Tensor:
        made, rest = self._made(theirs[0], self.theirs, self.ours).tensor_split([self.leading])
        return torch.cat((made, rest.new_zeros((self.unplaced, *rest.shape[1:])), rest))

    def give(self, ours: Tensor) -> Tensor:
        table = torch.cat((ours[: self.leading], ours[self.leading + self.unplaced :]))
        return self._made(table, self.ours, self.theirs)[None]

    def _made(self, table: Tensor, before: tuple[int, int], after: tuple[int, int]) -> Tensor:
        if before == after:
            return table
        places = table[self.leading :].t().reshape(1, -1, *before)  # (1, D, h, w)
        made = F.interpolate(
            places, size=after, mode="bicubic", align_corners=False, antialias=self.antialias
        )
        return torch.cat((table[: self.leading], made[0].flatten(1).t()))


SAME = Same()


@dataclass(frozen=True)
class Rule:
    """`ours` is `theirs`, one upon the other, each with so many rows; side by side where `axis` is 1."""

    ours: str
    theirs: tuple[str, ...]
    rows: tuple[int, ...] = ()
    """How many rows each of several has."""
    way: Way = SAME
    axis: int = 0
    zeros: tuple[int, ...] = ()
    """The shape of theirs, where it may be missing and is 0 everywhere then."""

    def take(self, theirs: Sequence[Tensor]) -> Tensor:
        parts = [self.way.take(tensor) for tensor in theirs]
        return parts[0] if len(parts) == 1 else torch.cat(parts, self.axis)

    def give(self, ours: Tensor) -> list[Tensor]:
        parts = [ours] if len(self.theirs) == 1 else list(ours.split(list(self.rows), self.axis))
        return [self.way.give(part) for part in parts]


@dataclass(frozen=True)
class Averaged(Rule):
    """`ours` is the mean of `theirs`; each of them is given as that mean."""

    def take(self, theirs: Sequence[Tensor]) -> Tensor:
        return torch.stack(list(theirs)).mean(0)

    def give(self, ours: Tensor) -> list[Tensor]:
        return [ours] * len(self.theirs)


@dataclass(frozen=True)
class Table:
    """All that is to be known of the weights of one model."""

    rules: tuple[Rule, ...]
    copies: Mapping[str, str]
    """Names that may stand for a weight a second time, and the name that it has in `rules`."""
    spare: tuple[tuple[str, str], ...] = ()
    """The beginnings of names that are left out, and why."""
    kept: tuple[str, ...] = ()
    """Those of them that an export gives back."""

    def check(self, ours: Mapping[str, Entry], theirs: Mapping[str, Entry], where: str) -> list[str]:
        """Refuse a weight that is missing, left over or of another shape; what is left out, in words."""
        theirs = self._under_own_names(theirs)
        known = set()
        for rule in self.rules:
            if rule.zeros and rule.theirs[0] not in theirs:
                continue
            wanted = rule.give(torch.empty(ours[rule.ours].shape, device="meta"))
            for name, tensor in zip(rule.theirs, wanted, strict=True):
                self._check_one(name, tuple(tensor.shape), theirs, where)
                known.add(name)
        assert {rule.ours for rule in self.rules} == set(ours), "a family's table forgets a weight"
        notes: dict[str, int] = {}
        for name, entry in theirs.items():
            if name in known:
                continue
            why = next((why for start, why in self.spare if name.startswith(start)), None)
            if name in self.copies:
                if entry.shape != theirs[self.copies[name]].shape:
                    sentence = "{where}: '{key}' must be the same as '{other}'"
                    raise CheckpointError(sentence, where, name, self.copies[name])
            elif why is None:
                sentence = "{where}: the weight '{key}' has no place in this model"
                raise CheckpointError(sentence, where, name, remedy=nearest(name, known))
            else:
                notes[why] = notes.get(why, 0) + 1
        return [f"left out: {why} ({count} tensor{'s' * (count > 1)})" for why, count in notes.items()]

    def _under_own_names(self, theirs: Mapping[str, T]) -> Mapping[str, T]:
        """The same, where a weight may be there under the name of a copy only: who saves tied weights once
        keeps whichever name comes first."""
        alone = {
            first: theirs[name]
            for name, first in self.copies.items()
            if name in theirs and first not in theirs
        }
        return {**theirs, **alone}

    def _check_one(self, name: str, shape: tuple[int, ...], theirs: Mapping[str, Entry], where: str) -> None:
        if name not in theirs:
            sentence = "{where}: the weight '{key}' is missing"
            raise CheckpointError(sentence, where, name, remedy=nearest(name, theirs))
        if theirs[name].shape != shape:
            sentence = "{where}: the weight '{key}' is {value}, the configuration asks for {limit}"
            raise CheckpointError(sentence, where, name, theirs[name], list(shape))
        if not is_float(theirs[name]):
            sentence = "{where}: the weight '{key}' is {value}, which holds no floats"
            raise CheckpointError(sentence, where, name, theirs[name])

    def take(self, theirs: Mapping[str, Tensor], where: str) -> dict[str, Tensor]:
        """Ours of theirs, which have been checked. Raises: CheckpointError for copies that differ."""
        theirs = self._under_own_names(theirs)
        absent = {
            rule.theirs[0]: torch.zeros(rule.zeros)
            for rule in self.rules
            if rule.zeros and rule.theirs[0] not in theirs
        }
        theirs = {**theirs, **absent}
        for name, first in self.copies.items():
            if name in theirs and not torch.equal(theirs[name], theirs[first]):
                sentence = "{where}: '{key}' differs from '{other}', to which it is tied"
                raise CheckpointError(sentence, where, name, first)
        return {
            rule.ours: rule.take([theirs[name] for name in rule.theirs]).contiguous() for rule in self.rules
        }

    def give(self, ours: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """Theirs of ours."""
        return {
            name: tensor.contiguous()
            for rule in self.rules
            for name, tensor in zip(rule.theirs, rule.give(ours[rule.ours]), strict=True)
        }


def both(ours: str, theirs: str, bias: bool = True, way: Way = SAME) -> list[Rule]:
    """A linear's or a norm's `weight` and, with `bias`, its `bias`. `way` is for the weight."""
    found = [Rule(f"{ours}.weight", (f"{theirs}.weight",), way=way)]
    return [*found, Rule(f"{ours}.bias", (f"{theirs}.bias",))] if bias else found


def stacked(ours: str, theirs: Iterable[str], rows: Iterable[int], bias: bool = True) -> list[Rule]:
    """A linear of ours that makes at once what several of theirs make."""
    names, sizes = tuple(theirs), tuple(rows)
    kinds = ("weight", "bias") if bias else ("weight",)
    return [Rule(f"{ours}.{kind}", tuple(f"{name}.{kind}" for name in names), sizes) for kind in kinds]
