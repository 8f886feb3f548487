"""Who may see whom, computed from positions.

A token stands at a place: a *segment* (which document or sentence it belongs to; padding has none)
and a *position* in it. A rule compares the place of a query with the place of a key and says whether
the one may see the other. Causality, windows, prefixes, padding, packed documents and caches all
follow from that comparison, so that they cannot disagree with one another.

Two kinds of `Positions` exist. `Contiguous` is known without looking at a tensor: it lowers
statically to the fused kernel's own causal flag, with no mask in memory and no synchronisation with
a device. `Ragged` carries tensors and lowers to a boolean mask.

This file does not know what attention does with a mask, nor how order enters the vectors
(`position.py`).
"""

from __future__ import annotations

from abc import abstractmethod
from dataclasses import dataclass
from typing import ClassVar, Literal, Protocol

import torch
from torch import Tensor

from regard.model.device import moved
from regard.model.part import FILES, Alternative, complete
from regard.registry import Registry, register

PADDING = -1
"""The segment of a token that stands nowhere: it sees nothing and nothing sees it."""


@dataclass(frozen=True)
class Contiguous:
    """Every row holds real tokens at positions `start … start + length - 1` of one segment."""

    start: int
    length: int

    @property
    def stop(self) -> int:
        return self.start + self.length

    @property
    def bound(self) -> int:
        """As of `Ragged`: above every position."""
        return self.stop

    def on(self, device: torch.device | None = None) -> Ragged:
        """The same places as tensors of shape (1, T) and (1, 1)."""
        position = torch.arange(self.start, self.stop, device=device)
        return Ragged(position[None], position.new_zeros((1, 1)), self.stop)


@dataclass(frozen=True, eq=False)  # tensors have no single answer to ==
class Ragged:
    """Places that differ from row to row.

    `position`: (B | 1, T) integers from 0. `segment`: (B | 1, T | 1), -1 for padding. `bound`: a
    number above every position, so that nobody needs to look at the tensor (and wait for a device).
    """

    position: Tensor
    segment: Tensor
    bound: int

    @property
    def length(self) -> int:
        return self.position.shape[1]

    @property
    def rows(self) -> int:
        """B, or 1 if the places are the same for every row."""
        return max(self.position.shape[0], self.segment.shape[0])

    def on(self, device: torch.device | None = None) -> Ragged:
        if device is None:
            return self
        return Ragged(moved(self.position, device), moved(self.segment, device), self.bound)

    def expand(self, rows: int) -> Ragged:
        shape = (rows, self.length)
        return Ragged(self.position.expand(shape), self.segment.expand(shape), self.bound)

    def select(self, rows: Tensor) -> Ragged:
        """The places of the chosen rows, in that order; `rows`: (B',) int64."""
        if self.rows == 1:
            return self
        wide = self.expand(self.rows)
        return Ragged(wide.position[rows], wide.segment[rows], self.bound)

    @staticmethod
    def from_lengths(lengths: Tensor, length: int, side: Literal["left", "right"] = "right") -> Ragged:
        """Rows of `lengths` (B,) real tokens, padded on one side to `length`."""
        column = torch.arange(length, device=lengths.device)[None]
        first = (length - lengths)[:, None] if side == "left" else torch.zeros_like(lengths)[:, None]
        real = (column >= first) & (column < first + lengths[:, None])
        position = torch.where(real, column - first, 0)
        return Ragged(position, torch.where(real, 0, PADDING), length)

    @staticmethod
    def packed(lengths: list[list[int]], length: int, device: torch.device | None = None) -> Ragged:
        """Several documents in one row, one after the other; each starts again at position 0."""
        position = torch.zeros((len(lengths), length), dtype=torch.long)
        segment = torch.full((len(lengths), length), PADDING)
        for row, documents in enumerate(lengths):
            start = 0
            for index, size in enumerate(documents):
                position[row, start : start + size] = torch.arange(size)
                segment[row, start : start + size] = index
                start += size
        bound = max((size for documents in lengths for size in documents), default=0)
        return Ragged(position.to(device), segment.to(device), bound)


Positions = Contiguous | Ragged

Lowered = Literal["causal"] | Tensor | None
"""A rule applied to places: None when every key may be seen, "causal" when query i sees keys 0 … i
(as many keys as queries), else booleans (B | 1, 1, T | 1, S), True where the key may be seen."""

_TRIED = 512  # places
_UNDECIDED: Literal["undecided"] = "undecided"
_Static = Literal["causal", "undecided"] | None


class Rule(Protocol):
    """What a mask must say; one that can tell without looking at positions has a `static`, too."""

    def sees(self, query: Tensor, key: Tensor) -> Tensor | None:
        """Which of the positions `query` see which of `key`, broadcast against each other; None for all."""


class MaskRule(Alternative):
    """Who may see whom, as a part of a configuration: the base of all rules that have a name."""

    sees_all: ClassVar[bool] = False
    """Whether every token sees every other."""

    @property
    def causal(self) -> bool:
        """Whether no token sees a later one: tried on the first places."""
        at = torch.arange(_TRIED)
        seen = self.sees(at[:, None], at)
        return seen is not None and not bool(seen.triu(1).any())

    def static(self, query: Contiguous, key: Contiguous) -> _Static:
        """What is known of contiguous places without looking at them: None for everything seen, "causal" for
        query i seeing keys 0 … i of as many, else "undecided"."""
        return _UNDECIDED

    @abstractmethod
    def sees(self, query: Tensor, key: Tensor) -> Tensor | None:
        """Which of the positions `query` see which of `key`, broadcast against each other; None for all.
        Plain numbers do, too."""


MASKS: Registry[type[MaskRule]] = Registry("masks", *FILES, base=MaskRule, check=complete)


@register
@dataclass(frozen=True)
class Full(MaskRule):
    """Every token of the segment."""

    kind: Literal["full"] = "full"

    sees_all = True

    def static(self, query: Contiguous, key: Contiguous) -> _Static:
        return None

    def sees(self, query: Tensor, key: Tensor) -> Tensor | None:
        return None


@register
@dataclass(frozen=True)
class Causal(MaskRule):
    """The token itself and all before it."""

    kind: Literal["causal"] = "causal"

    def static(self, query: Contiguous, key: Contiguous) -> _Static:
        if key.stop - 1 <= query.start:
            return None
        return "causal" if query == key else _UNDECIDED

    def sees(self, query: Tensor, key: Tensor) -> Tensor | None:
        return key <= query


@register
@dataclass(frozen=True)
class Window(MaskRule):
    """The token itself, `before` tokens on its left and `after` on its right.

    `after=0` is the causal sliding window of Mistral (arXiv 2310.06825, section 2), whose window of
    W tokens counts the token itself: `before = W - 1`. Equal sides give Longformer's local attention
    (arXiv 2004.05150, section 3.1).
    """

    before: int
    after: int = 0
    kind: Literal["window"] = "window"

    def static(self, query: Contiguous, key: Contiguous) -> _Static:
        inside_left = query.stop - 1 - self.before <= key.start
        if inside_left and key.stop - 1 <= query.start + self.after:
            return None
        return "causal" if inside_left and self.after == 0 and query == key else _UNDECIDED

    def sees(self, query: Tensor, key: Tensor) -> Tensor | None:
        return (key >= query - self.before) & (key <= query + self.after)


@register
@dataclass(frozen=True)
class Prefix(MaskRule):
    """The first `length` tokens by all, the rest causally (prefix language model, arXiv 1910.10683,
    section 3.2.1)."""

    length: int
    kind: Literal["prefix"] = "prefix"

    def static(self, query: Contiguous, key: Contiguous) -> _Static:
        if key.stop <= max(self.length, query.start + 1):
            return None
        return "causal" if query == key and self.length <= query.start + 1 else _UNDECIDED

    def sees(self, query: Tensor, key: Tensor) -> Tensor | None:
        return (key <= query) | (key < self.length)


def lower(rule: Rule, query: Positions, key: Positions, device: torch.device | None = None) -> Lowered:
    """Apply `rule` to the places of queries and keys; nothing is computed where it can be avoided.

    A token sees only keys of its own segment, and padding neither sees nor is seen.
    """
    static = getattr(rule, "static", None)
    if static is not None and isinstance(query, Contiguous) and isinstance(key, Contiguous):
        known = static(query, key)
        if known != _UNDECIDED:
            return known
    q, k = query.on(device), key.on(device)
    q_segment, k_segment = q.segment[:, :, None], k.segment[:, None, :]
    allowed = (q_segment == k_segment) & (k_segment != PADDING)
    seen = rule.sees(q.position[:, :, None], k.position[:, None, :])
    if seen is not None:
        allowed = allowed & seen
    if allowed.shape[-1] != k.length:
        allowed = allowed.expand(-1, -1, k.length)
    return allowed[:, None]


def dense(mask: Lowered, queries: int, keys: int, device: torch.device | None = None) -> Tensor | None:
    """A lowered mask as booleans, for the arithmetic that has no causal flag."""
    if isinstance(mask, str):
        return torch.ones((queries, keys), dtype=torch.bool, device=device).tril()[None, None]
    return mask
