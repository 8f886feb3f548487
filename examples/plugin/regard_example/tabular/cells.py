"""How the cells of a table are read, and how its columns become numbers that suit a model.

A number is replaced by the quantile of the normal distribution that has as much below it as the number has in
the training part (arXiv 2106.11959, section 4.2, footnote 4); a category by its place among those of the
training part, from 1, and by 0 where it was not seen. A missing value is NaN. This file knows no model.
"""

from __future__ import annotations

import json
import math
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from itertools import pairwise
from statistics import NormalDist
from typing import Any

import numpy as np

from regard.data.readers.forms import Form
from regard.data.readers.lines import Problem
from regard.errors import ConfigError

MISSING = frozenset({"", "?", "na", "n/a", "nan", "null", "none"})
"""What tables write where there is no value, in any case."""
SAMPLE = 1000
"""Rows that show what a column holds."""
_MOSTLY = 0.9
"""Of the values of a column, so many are numbers if it is one of numbers: the others are broken then."""
_MOST_ROWS, _MOST_POINTS, _ROWS_A_POINT = 100_000, 1000, 30
_MOST_CATEGORIES = 10_000
_SHOWN = 40


@dataclass(frozen=True)
class NumberForm(Form):
    """A column of numbers: a float, or None where the value is missing."""

    name: str
    takes_empty = True

    def text(self, value: Any, others: Sequence[Any]) -> object:
        if is_missing(value):
            return None
        with suppress(ValueError, TypeError, OverflowError):
            if math.isfinite(number := float(value)):
                return number
        return Problem("no number", f"{str(value)[:_SHOWN]!r} in the column '{self.name}'")


@dataclass(frozen=True)
class CategoryForm(Form):
    """A column of categories: a text, or None where the value is missing."""

    name: str
    takes_empty = True

    def text(self, value: Any, others: Sequence[Any]) -> object:
        if is_missing(value):
            return None
        if isinstance(value, str | int | float):
            return value.strip() if isinstance(value, str) else json.dumps(value)
        return Problem("no category", f"a {type(value).__name__} in the column '{self.name}'")


def is_missing(cell: object) -> bool:
    """Whether a cell says that there is no value."""
    return cell is None or (isinstance(cell, str) and cell.strip().casefold() in MISSING)


def are_numbers(cells: Iterable[str | None]) -> bool:
    """Whether a column that holds these is one of numbers."""
    form, there = NumberForm(""), [cell for cell in cells if cell is not None]
    count = sum(isinstance(form.text(cell, ()), float) for cell in there)
    return count > 0 and count >= _MOSTLY * len(there)


@dataclass(frozen=True)
class Quantiles:
    """A column of numbers: `points` of it, growing, and the quantile of the normal distribution for each."""

    points: tuple[float, ...]
    scores: tuple[float, ...]

    def __post_init__(self) -> None:
        grows = all(a < b for a, b in pairwise(self.points))
        if not (self.points and grows and len(self.points) == len(self.scores)):
            raise ConfigError("{key} must be {limit}", "points", "growing numbers, as many as scores")

    @classmethod
    def of(cls, numbers: Sequence[float]) -> Quantiles:
        """Of the numbers of a training part."""
        if not numbers:
            return cls((0.0,), (0.0,))
        count = min(_MOST_POINTS, max(10, len(numbers) // _ROWS_A_POINT))
        levels = np.linspace(0, 1, count)
        points, group = np.unique(np.quantile(numbers, levels), return_inverse=True)
        edge = 0.5 / len(numbers)
        middle = np.clip(np.bincount(group, levels) / np.bincount(group), edge, 1 - edge)
        return cls(tuple(points.tolist()), tuple(map(NormalDist().inv_cdf, middle.tolist())))


@dataclass(frozen=True)
class Columns:
    """What was learned of the columns of a training part, by their names."""

    numbers: dict[str, Quantiles]
    categories: dict[str, tuple[str, ...]]

    @classmethod
    def of(cls, rows: Iterable[Sequence[Any]], numbers: Sequence[str], categories: Sequence[str]) -> Columns:
        """`rows`: the numbers of each first, then its categories."""
        seen: list[list[float]] = [[] for _ in numbers]
        counts = [Counter[str]() for _ in categories]
        for place, cells in enumerate(rows):
            for column, cell in zip(seen if place < _MOST_ROWS else (), cells, strict=False):
                if cell is not None:
                    column.append(cell)
            for counter, cell in zip(counts, cells[len(numbers) :], strict=False):
                if cell is not None:
                    counter[cell] += 1
        names = (tuple(sorted(dict(counter.most_common(_MOST_CATEGORIES)))) for counter in counts)
        return cls(
            dict(zip(numbers, map(Quantiles.of, seen), strict=True)),
            dict(zip(categories, names, strict=True)),
        )

    @property
    def names(self) -> tuple[str, ...]:
        """Those of numbers first."""
        return (*self.numbers, *self.categories)

    def encode(self, rows: Sequence[Sequence[Any]]) -> np.ndarray:
        """(N, columns) float32: scores, places of categories, NaN where a value is missing."""
        made = np.full((len(rows), len(self.names)), np.nan)
        for place, cells in enumerate(zip(*(row[: len(self.names)] for row in rows), strict=True)):
            made[:, place] = list(self._column(self.names[place], cells))
        return made.astype(np.float32)

    def _column(self, name: str, cells: Sequence[Any]) -> Iterator[float]:
        if (known := self.numbers.get(name)) is not None:
            values = np.array([math.nan if cell is None else cell for cell in cells], dtype=np.float64)
            yield from np.interp(values, known.points, known.scores).tolist()
        else:
            places = {category: place for place, category in enumerate(self.categories[name], start=1)}
            yield from (math.nan if cell is None else places.get(cell, 0) for cell in cells)
