"""Which weight of ours is which of theirs: one table a family, read in both directions.

A `Rule` says how one tensor of ours is made of one or more of theirs, and how those are made of it again.
Importing takes every rule from right to left, exporting from left to right, so that the one undoes the other.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TypeVar

import torch
import torch.nn.functional as F
from torch import Tensor

from regard.errors import CheckpointError, nearest
from regard.interop.checkpoint import is_float
from regard.weights import Entry

T = TypeVar("T")


@dataclass(frozen=True)
class Conversion:
    """A change of a tensor that can be undone."""

    to_ours: Callable[[Tensor], Tensor]
    to_theirs: Callable[[Tensor], Tensor]


SAME = Conversion(lambda theirs: theirs, lambda ours: ours)
TRANSPOSED = Conversion(torch.t, torch.t)
"""Inputs and outputs change places (GPT-2 keeps its linears that way)."""
ROW = Conversion(lambda theirs: theirs[0] if len(theirs) == 1 else theirs, lambda ours: ours[None])
"""Theirs is (1, n), ours (n,)."""


def scaled(factor: float) -> Conversion:
    """Ours is theirs times a number."""
    return Conversion(lambda theirs: theirs * factor, lambda ours: ours / factor)


def skipped(rows: int) -> Conversion:
    """Theirs has `rows` rows before ours which only padding looks up; they are given as zeros."""
    return Conversion(
        lambda theirs: theirs[rows:],
        lambda ours: torch.cat((ours.new_zeros((rows, *ours.shape[1:])), ours)),
    )


def scaled_queries(rows: int, factor: float, *, transposed: bool) -> Conversion:
    """Of ours, the first `rows` are theirs times a number; theirs may be transposed."""

    def oriented(x: Tensor) -> Tensor:
        return x.t() if transposed else x

    def times(x: Tensor, factor: float) -> Tensor:
        return torch.cat((x[:rows] * factor, x[rows:]))

    return Conversion(
        lambda theirs: times(oriented(theirs), factor), lambda ours: oriented(times(ours, 1 / factor))
    )


def resized(
    theirs: tuple[int, int], ours: tuple[int, int], leading: int, registers: int = 0, *, antialias: bool
) -> Conversion:
    """Ours is a table of positions (n, D) on another grid than theirs (1, n, D), made from it by bicubic
    interpolation. `theirs`, `ours`: rows and columns of the grids. The first `leading` rows stand on no grid;
    after those, ours has rows of zeros for `registers`, of which theirs knows nothing."""

    def interpolated(table: Tensor, before: tuple[int, int], after: tuple[int, int]) -> Tensor:
        if before == after:
            return table
        grid = table[leading:].t().reshape(1, -1, *before)  # (1, D, h, w)
        grid = F.interpolate(grid, size=after, mode="bicubic", align_corners=False, antialias=antialias)
        return torch.cat((table[:leading], grid[0].flatten(1).t()))

    def to_ours(table: Tensor) -> Tensor:
        first, rest = interpolated(table[0], theirs, ours).tensor_split([leading])
        return torch.cat((first, rest.new_zeros((registers, *rest.shape[1:])), rest))

    def to_theirs(table: Tensor) -> Tensor:
        table = torch.cat((table[:leading], table[leading + registers :]))
        return interpolated(table, ours, theirs)[None]

    return Conversion(to_ours, to_theirs)


@dataclass(frozen=True)
class Rule:
    """`ours` is `theirs`, one upon the other, each with so many rows; side by side where `axis` is 1."""

    ours: str
    theirs: tuple[str, ...]
    rows: tuple[int, ...] = ()
    """How many rows each of several has."""
    conversion: Conversion = SAME
    axis: int = 0
    zeros: tuple[int, ...] = ()
    """The shape of theirs, where it may be missing and is 0 everywhere then."""

    def to_ours(self, theirs: Sequence[Tensor]) -> Tensor:
        parts = [self.conversion.to_ours(tensor) for tensor in theirs]
        return parts[0] if len(parts) == 1 else torch.cat(parts, self.axis)

    def to_theirs(self, ours: Tensor) -> list[Tensor]:
        parts = [ours] if len(self.theirs) == 1 else list(ours.split(list(self.rows), self.axis))
        return [self.conversion.to_theirs(part) for part in parts]


@dataclass(frozen=True)
class Averaged(Rule):
    """`ours` is the mean of `theirs`; each of them is given as that mean."""

    def to_ours(self, theirs: Sequence[Tensor]) -> Tensor:
        return torch.stack(list(theirs)).mean(0)

    def to_theirs(self, ours: Tensor) -> list[Tensor]:
        return [ours] * len(self.theirs)


@dataclass(frozen=True)
class Table:
    """All that is to be known of the weights of one model."""

    shapes: Mapping[str, Entry]
    """Ours."""
    rules: tuple[Rule, ...]
    copies: Mapping[str, str]
    """Names that may stand for a weight a second time, and the name that it has in `rules`."""
    spare: tuple[tuple[str, str], ...] = ()
    """The beginnings of names that are left out, and why."""
    kept: tuple[str, ...] = ()
    """Those of them that an export gives back."""

    def with_conversions(self, conversions: Mapping[str, Conversion]) -> Table:
        """The same with other conversions of some of our weights, by their names."""
        rules = (replace(r, conversion=conversions.get(r.ours, r.conversion)) for r in self.rules)
        return replace(self, rules=tuple(rules))

    def check(self, theirs: Mapping[str, Entry], where: str) -> list[str]:
        """Refuse a weight that is missing, left over or of another shape; what is left out, in words."""
        theirs = self._under_own_names(theirs)
        known = set()
        for rule in self.rules:
            if rule.zeros and rule.theirs[0] not in theirs:
                continue
            wanted = rule.to_theirs(torch.empty(self.shapes[rule.ours].shape, device="meta"))
            for name, tensor in zip(rule.theirs, wanted, strict=True):
                self._check_one(name, tuple(tensor.shape), theirs, where)
                known.add(name)
        assert {rule.ours for rule in self.rules} == set(self.shapes), "a family's table forgets a weight"
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

    def to_ours(self, theirs: Mapping[str, Tensor], where: str) -> dict[str, Tensor]:
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
        ours = ((rule.ours, rule.to_ours([theirs[name] for name in rule.theirs])) for rule in self.rules)
        return {name: tensor.contiguous() for name, tensor in ours}

    def to_theirs(self, ours: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """Theirs of ours."""
        return {
            name: tensor.contiguous()
            for rule in self.rules
            for name, tensor in zip(rule.theirs, rule.to_theirs(ours[rule.ours]), strict=True)
        }


def rules_of(
    shapes: Mapping[str, Entry],
    names: Mapping[str, str],
    conversions: Mapping[str, Conversion] | None = None,
    rows: Mapping[str, tuple[int, ...]] | None = None,
) -> list[Rule]:
    """The rules of those of our weights that `names` knows: theirs by ours.

    Both are names of a weight, or of the part that has one or several. `#` is the number of a block; `{a,b}`
    in theirs stands for several that lie one upon the other in ours, of the same size unless `rows` says
    otherwise. `conversions` and `rows` are by the names of ours, as in `names`.
    """
    rules, conversions, rows = [], conversions or {}, rows or {}
    for ours, entry in shapes.items():
        number = re.search(r"\.(\d+)\.", ours)
        pattern = ours if number is None else ours.replace(number[0], ".#.", 1)
        part, _, kind = pattern.rpartition(".")
        theirs = names.get(pattern, f"{names[part]}.{kind}" if part in names else None)
        if theirs is None:
            continue
        before, _, rest = theirs.replace("#", number[1] if number else "#").partition("{")
        several, _, after = rest.rpartition("}")
        made = tuple(f"{before}{name}{after}" for name in several.split(","))
        size = entry.shape[0] // len(made)
        equal = entry.shape[0] - size * (len(made) - 1), *[size] * (len(made) - 1)
        sizes = rows.get(pattern, rows.get(part, equal))
        rules.append(Rule(ours, made, sizes, conversions.get(pattern, SAME)))
    return rules


def in_blocks(ours: str, theirs: str, names: Mapping[str, str]) -> dict[str, str]:
    """Names within each block as names within the model, for `rules_of`."""
    return {f"{ours}.#.{name}": f"{theirs}.#.{name_}" for name, name_ in names.items()}
