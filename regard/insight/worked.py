"""A worked computation as data: steps with shapes, formulas and every number, in English and Chinese.

What computes one fills these types in; `terminal.py`, `markup.py` and `objects.py` show them as text, as a
page and as JSON. Nothing here knows how anything is computed or drawn.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any

import torch
from torch import Tensor

from regard.insight.parameters import Parameter, Value, checked
from regard.insight.words import Label, Lang, Words

TOLERANCE = 1e-6
"""How far a step-by-step result may be from the fused one."""


@dataclass(frozen=True, eq=False)
class Product:
    """Where the numbers of a matrix product come from: each is scale · Σ left[i, k] · right[k, j].

    `left`: (T, K) or (H, T, K); `right`: (K, S) or (H, K, S).
    """

    left: Tensor
    right: Tensor
    scale: float = 1.0

    def __post_init__(self) -> None:
        object.__setattr__(self, "left", plain(self.left))
        object.__setattr__(self, "right", plain(self.right))

    def made(self) -> Tensor:
        return self.left @ self.right * self.scale


@dataclass(frozen=True, eq=False)
class Values:
    """A named array of up to three axes with labels; the first of three is shown as sheets, as heads are."""

    name: Label
    array: Tensor
    rows: tuple[Label, ...] = ()
    """Of the last axis but one; none leaves them without names."""
    columns: tuple[Label, ...] = ()
    """Of the last axis."""
    sheets: tuple[Label, ...] = ()
    """Of the first of three."""
    digits: int = 3
    """Behind the point, where it is shown to people; as JSON and on asking it is whole."""
    origin: Product | None = None
    """The product that it is, so that each number can be shown as its sum."""

    def __post_init__(self) -> None:
        object.__setattr__(self, "array", plain(self.array))
        shape = tuple(self.array.shape)
        assert len(shape) <= 3, shape
        for labels, axis in ((self.columns, -1), (self.rows, -2), (self.sheets, -3)):
            fits = not labels or (len(shape) >= -axis and len(labels) == shape[axis])
            assert fits, (self.name, axis, shape)
        if self.origin is not None:
            made = self.origin.made().to(self.array)
            assert torch.allclose(made, self.array, rtol=1e-4, atol=1e-5), self.name

    @property
    def pages(self) -> list[tuple[Label, Tensor, Product | None]]:
        """Its sheets as (rows, columns) arrays, each with its name; one without a name if it has no third
        axis."""
        if self.array.dim() < 3:
            return [("", torch.atleast_2d(self.array), self.origin)]
        names = self.sheets or tuple(str(index + 1) for index in range(len(self.array)))
        return [(name, self.array[i], _sheet(self.origin, i)) for i, name in enumerate(names)]


def _sheet(origin: Product | None, index: int) -> Product | None:
    if origin is None:
        return None
    left, right = (x[index] if x.dim() == 3 else x for x in (origin.left, origin.right))
    return Product(left, right, origin.scale)


Cell = Label | int | float


@dataclass(frozen=True)
class Table:
    """Words and numbers side by side; the first cell of a row names it."""

    name: Label
    columns: tuple[Label, ...]
    rows: tuple[tuple[Cell, ...], ...]
    digits: int = 3

    def __post_init__(self) -> None:
        assert all(len(row) == len(self.columns) for row in self.rows), self.name


@dataclass(frozen=True)
class Drawing:
    """A Plotly figure, drawn when it is shown. Its numbers are in the step's tables too, or can be named."""

    name: Words
    draw: Callable[[Lang], Any]


Content = Values | Table


@dataclass(frozen=True)
class Step:
    """One step: what is done and why, the formula, the numbers."""

    title: Words
    text: Words
    formula: str = ""
    values: tuple[Content, ...] = ()
    figure: Drawing | None = None


@dataclass(frozen=True)
class Proof:
    """That two ways of computing one thing agree: the largest difference between them."""

    claim: Words
    difference: float
    tolerance: float = TOLERANCE

    @property
    def holds(self) -> bool:
        return self.difference <= self.tolerance  # and not so for NaN

    @classmethod
    def of(cls, claim: Words, one: Tensor, other: Tensor, tolerance: float = TOLERANCE) -> Proof:
        assert one.shape == other.shape, (one.shape, other.shape)
        return cls(claim, float((plain(one) - plain(other)).abs().max()), tolerance)


Computed = tuple[tuple[Step, ...], tuple[Proof, ...]]
"""What an example computes."""


@dataclass(frozen=True)
class Worked:
    """A whole example: what it shows, its steps, and what proves them."""

    name: str
    title: Words
    text: Words
    steps: tuple[Step, ...]
    proofs: tuple[Proof, ...]

    @property
    def holds(self) -> bool:
        return all(proof.holds for proof in self.proofs)


@dataclass(frozen=True)
class Example:
    """What a worked computation is asked for by."""

    name: str
    title: Words
    text: Words
    """What it shows, in a sentence."""
    make: Callable[..., Computed]
    """Computes the steps and what proves them, of the values of its parameters, by name."""
    parameters: tuple[Parameter, ...] = ()
    """What can be changed in it."""

    def values(self, changes: Mapping[str, Any] = MappingProxyType({})) -> dict[str, Value]:
        """Of all parameters. Raises: InputError for a change that cannot be."""
        return checked(self.parameters, changes)

    def worked(self, changes: Mapping[str, Any] = MappingProxyType({})) -> Worked:
        """Compute it, now. Raises: InputError for a change that cannot be."""
        return Worked(self.name, self.title, self.text, *self.make(**self.values(changes)))


def plain(array: Tensor) -> Tensor:
    """Numbers that belong to no graph and no device."""
    return array.detach().cpu()


def number(value: float, digits: int = 3) -> str:
    """As people write it: integers without a point, tiny and huge ones with a power of ten."""
    if value != value or value in (float("inf"), float("-inf")):
        return "NaN" if value != value else ("∞" if value > 0 else "-∞")
    if value == int(value) and abs(value) < 1e6:
        return str(int(value))
    if abs(value) >= 1e6 or abs(value) < 0.5 * 10**-digits:
        return f"{value:.{max(digits - 2, 1)}e}"
    return f"{value:.{digits}f}"


def numbers(array: Tensor, digits: int = 3) -> list[list[str]]:
    """(rows, columns) as texts: all whole, or all with a point, so that they stand in line."""
    cells = array.tolist()
    if array.dtype == torch.bool:
        return [["✓" if x else "·" for x in row] for row in cells]
    whole = all(x != x or abs(x) == float("inf") or x == int(x) for row in cells for x in row)
    return [[number(x, digits) if whole or x == 0 else _pointed(x, digits) for x in row] for row in cells]


def _pointed(value: float, digits: int) -> str:
    text = number(value, digits)
    return f"{value:.{digits}f}" if text.lstrip("-").isdigit() else text
