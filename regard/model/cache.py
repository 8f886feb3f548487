"""Keys and values of tokens already seen, owned by the caller.

A model never remembers. Whoever decodes makes a `Cache`, passes it in with the new tokens only, and
may reorder its rows (beams), keep some of them (finished sentences), roll it back (speculation) or
throw it away. Room is taken in advance when the capacity is known, and doubles when it runs out.

This file does not know what is decoded, nor when.
"""

from __future__ import annotations

from collections.abc import Iterator

import torch
from torch import Tensor

from regard.model.mask import Contiguous, Positions, Ragged


class LayerCache:
    """One layer's keys and values: (B, G, length, C) used of (B, G, capacity, C)."""

    def __init__(self, capacity: int = 0) -> None:
        self.capacity = capacity
        self.length = 0
        self.keys: Tensor | None = None
        self.values: Tensor | None = None

    def append(self, k: Tensor, v: Tensor) -> tuple[Tensor, Tensor]:
        """Add (B, G, T, C) keys and values; returns all of them so far, as views."""
        stop = self.length + k.shape[2]
        if self.keys is None or self.values is None or self.keys.shape[2] < stop:
            self._grow(k, v, stop)
        assert self.keys is not None
        assert self.values is not None
        self.keys[:, :, self.length : stop] = k
        self.values[:, :, self.length : stop] = v
        self.length = stop
        return self.keys[:, :, :stop], self.values[:, :, :stop]

    def _grow(self, k: Tensor, v: Tensor, needed: int) -> None:
        room = max(self.capacity, needed if self.keys is None else 2 * needed)
        old_keys, old_values = self.keys, self.values
        self.keys = k.new_empty((*k.shape[:2], room, k.shape[3]))
        self.values = v.new_empty((*v.shape[:2], room, v.shape[3]))
        if old_keys is not None and old_values is not None:
            self.keys[:, :, : self.length] = old_keys[:, :, : self.length]
            self.values[:, :, : self.length] = old_values[:, :, : self.length]

    def select(self, rows: Tensor) -> None:
        if self.keys is not None and self.values is not None:
            self.keys, self.values = self._take(self.keys, rows), self._take(self.values, rows)

    def _take(self, old: Tensor, rows: Tensor) -> Tensor:
        """The chosen rows with the same room; only what is used is copied."""
        new = old.new_empty((len(rows), *old.shape[1:]))
        torch.index_select(old[:, :, : self.length], 0, rows, out=new[:, :, : self.length])
        return new


class Cache:
    """What a stack has seen: a `LayerCache` a layer, and where the stored tokens stand.

    `memory` holds the keys and values of cross-attention, one pair of (B, G, S, C) a layer: they are
    computed once, at the first step. They stay as they are when beams are reordered, since all beams
    of a sentence look at the same source.
    """

    def __init__(self, depth: int, capacity: int = 0) -> None:
        self.layers = [LayerCache(capacity) for _ in range(depth)]
        self.memory: list[tuple[Tensor, Tensor] | None] = [None] * depth
        self.memory_positions: Positions | None = None
        self.positions: Positions = Contiguous(0, 0)

    def __iter__(self) -> Iterator[LayerCache]:
        return iter(self.layers)

    @property
    def length(self) -> int:
        """Tokens stored, padding included."""
        return self.positions.length

    def next(self, count: int) -> Contiguous:
        """Where `count` new tokens stand if they follow on in every row.

        Raises: ValueError when rows have different lengths, so that the caller must say.
        """
        if isinstance(self.positions, Ragged):
            raise ValueError("rows of this cache differ in length: pass the positions of the new tokens")
        return Contiguous(self.positions.stop, count)

    def extend(self, new: Positions) -> Positions:
        """Note the places of tokens about to be appended; returns the places of all keys."""
        old = self.positions
        if isinstance(old, Contiguous) and isinstance(new, Contiguous) and old.stop == new.start:
            self.positions = Contiguous(old.start, old.length + new.length)
        elif old.length == 0:
            self.positions = new
        else:
            device = next((at.position.device for at in (new, old) if isinstance(at, Ragged)), None)
            self.positions = _join(old.on(device), new.on(device))
        return self.positions

    def select(self, rows: Tensor) -> None:
        """Keep these rows in this order: reorders beams, repeats or drops rows. (B',) int64."""
        for layer in self.layers:
            layer.select(rows)
        if isinstance(self.positions, Ragged):
            self.positions = self.positions.select(rows)

    def select_memory(self, rows: Tensor) -> None:
        """The same for cross-attention's rows, one a sentence."""
        self.memory = [None if kv is None else (kv[0][rows], kv[1][rows]) for kv in self.memory]
        if isinstance(self.memory_positions, Ragged):
            self.memory_positions = self.memory_positions.select(rows)

    def truncate(self, length: int) -> None:
        """Forget all but the first `length` tokens."""
        assert 0 <= length <= self.length
        for layer in self.layers:
            layer.length = length
        at = self.positions
        if isinstance(at, Contiguous):
            self.positions = Contiguous(at.start, length)
        else:
            segment = at.segment if at.segment.shape[1] == 1 else at.segment[:, :length]
            self.positions = Ragged(at.position[:, :length], segment, at.bound)


def _join(old: Ragged, new: Ragged) -> Ragged:
    rows = max(x.shape[0] for x in (old.position, old.segment, new.position, new.segment))
    old, new = old.expand(rows), new.expand(rows)
    position = torch.cat([old.position, new.position], 1)
    return Ragged(position, torch.cat([old.segment, new.segment], 1), max(old.bound, new.bound))
