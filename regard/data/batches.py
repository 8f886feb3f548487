"""Which examples go together: batches of like lengths under a token budget, shuffled, repeatable.

A batch costs its rows times the longest sequence in it, of any column: what the model will compute on after
padding. Examples are gathered in windows, sorted by length with ties in random order, cut into batches, and
the batches shuffled. A small set is one window. Of a large one a window is many short stretches from all
over it, so memory is bounded and reading stays mostly sequential.

Everything is a function of (seed, epoch), so that training can resume at any batch. This file knows
lengths and row numbers; it never sees an id.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterator, Sequence
from itertools import islice
from typing import Any

import numpy as np
from numpy.typing import NDArray

from regard.errors import ConfigError, outside

_STRETCH = 4096  # neighbours in a file that stay in one window
_WINDOW = 1 << 20  # examples sorted together, at most

Rows = NDArray[np.int64]


class Batches:
    """A plan of batches over examples of the given costs.

    costs: an array (examples,) for each sequence that a batch consists of, of its lengths; may be mapped from
        a file, it is read in parts.
    tokens: the most that a batch may cost; one longer example gets a batch of its own.
    max_rows: the most examples in a batch.
    multiple: the number of batches in an epoch is a multiple of this. Give the batches that make one step
        (processes x accumulated batches); the plan then does not depend on how many processes share it.

    Raises:
        ConfigError: a limit below 1, no examples, or fewer examples than `multiple`.
    """

    def __init__(
        self,
        costs: Sequence[NDArray[np.integer[Any]]],
        tokens: int,
        seed: int,
        *,
        max_rows: int | None = None,
        multiple: int = 1,
    ) -> None:
        self._costs, self._count = tuple(costs), len(costs[0])
        for name, value in (("tokens", tokens), ("max_rows", max_rows), ("multiple", multiple)):
            if value is not None and value < 1:
                raise outside(ConfigError, f"{name} of a batch", value, "1 or more")
        if not self._count:
            raise ConfigError("there are no examples to make batches of; give at least one")
        if self._count < multiple:
            sentence = (
                "{value} examples cannot fill the {limit} batches of one step; use fewer processes or"
                " accumulate fewer batches"
            )
            raise ConfigError(sentence, self._count, multiple)
        self._tokens = tokens
        self._seed = seed
        self._max_rows = self._count if max_rows is None else max_rows
        self._multiple = multiple
        self._ends: list[int] = []  # batches up to the end of each epoch counted so far

    def epoch(self, number: int, rank: int = 0, world: int = 1, *, start: int = 0) -> Iterator[Rows]:
        """The batches of an epoch from the `start`-th on, each an array of rows.

        Of `world` processes, which divide `multiple`, each gets every world-th batch, beginning with its
        `rank`: equally many, every example in exactly one. `start` counts this process's own batches.
        """
        assert self._multiple % world == 0 and 0 <= rank < world, (self._multiple, rank, world)  # noqa: PT018
        return islice(self._plan(number), rank + start * world, None, world)

    def count(self, number: int, world: int = 1) -> int:
        """How many batches each of `world` processes gets in an epoch."""
        assert self._multiple % world == 0, (self._multiple, world)
        while len(self._ends) <= number:
            before = self._ends[-1] if self._ends else 0
            self._ends.append(before + sum(1 for _ in self._plan(len(self._ends))))
        return (self._ends[number] - (self._ends[number - 1] if number else 0)) // world

    def locate(self, batches: int, world: int = 1) -> tuple[int, int]:
        """Where a process stands that has used so many batches: (epoch, start), as `epoch` takes them.

        Costs one sort of the lengths for each epoch up to there, once.
        """
        used = batches * world
        while not self._ends or self._ends[-1] <= used:
            self.count(len(self._ends), world)
        number = bisect_right(self._ends, used)
        return number, (used - (self._ends[number - 1] if number else 0)) // world

    def _plan(self, number: int) -> Iterator[Rows]:
        """The batches of an epoch, window by window."""
        rng = np.random.default_rng([self._seed, number])
        stretches = rng.permutation(-(-self._count // _STRETCH))
        windows = -(-self._count // _WINDOW)
        for part in np.array_split(stretches, windows):
            rows = (np.sort(part)[:, None] * _STRETCH + np.arange(_STRETCH)).reshape(-1)
            yield from self._window(rows[rows < self._count], rng)

    def _window(self, rows: Rows, rng: np.random.Generator) -> Iterator[Rows]:
        lengths = np.stack([some[rows] for some in self._costs], axis=1).astype(np.int64)
        longest = np.maximum(lengths.max(axis=1), 1)
        order = _by_length(lengths, longest, rng)
        batches = self._cut(rows[order], longest[order])
        self._make_multiple(batches, rng)
        for i in rng.permutation(len(batches)).tolist():
            yield batches[i]

    def _cut(self, rows: Rows, longest: NDArray[np.int64]) -> list[Rows]:
        """Consecutive rows, as many as the budget holds, again and again."""
        batches = []
        begin = 0
        while begin < len(rows):
            # The rest of a batch only adds to the longest, so the first row alone bounds the number.
            most = max(1, min(self._max_rows, self._tokens // int(longest[begin])))
            longest_so_far = np.maximum.accumulate(longest[begin : begin + most])
            costs = longest_so_far * np.arange(1, len(longest_so_far) + 1)
            size = max(1, int(np.searchsorted(costs, self._tokens, side="right")))
            batches.append(rows[begin : begin + size])
            begin += size
        return batches

    def _make_multiple(self, batches: list[Rows], rng: np.random.Generator) -> None:
        """Halve batches, the fullest first, until their number is a multiple.

        Where nothing is left to halve (every example fills a batch) the surplus sits out this epoch.
        """
        while len(batches) % self._multiple:
            fullest = max(range(len(batches)), key=lambda i: len(batches[i]))
            batch = batches[fullest]
            if len(batch) == 1:
                del batches[int(rng.integers(len(batches)))]
                continue
            half = len(batch) // 2
            batches[fullest : fullest + 1] = [batch[:half], batch[half:]]


def _by_length(
    lengths: NDArray[np.int64], longest: NDArray[np.int64], rng: np.random.Generator
) -> NDArray[np.int64]:
    """An order in which neighbours are alike in every column, equals at random.

    By the longest column, which decides the cost, then by how far the last column exceeds the first, to and
    fro: so the other column takes no leap where the longest grows by one. On Multi30k this pads half as
    much as sorting by target, then source.
    """
    excess = lengths[:, -1] - lengths[:, 0]
    to_and_fro = np.where(longest % 2 == 0, excess, -excess)
    return np.lexsort((rng.random(len(lengths)), to_and_fro, longest))
