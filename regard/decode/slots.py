"""Keys and values of what was decoded, which never move: it is the rows that remember where theirs stand.

A row (a beam of an input) knows its *path*: which row it stood in at each earlier step. Keys and values stay
where they were written; when beams change places or inputs leave, only paths are reordered.
"""

from __future__ import annotations

import numpy as np
from torch import Tensor

from regard.model.cache import Cache


class Slots:
    """Of L layers of H heads; for so many rows and, if that is known, so many steps."""

    def __init__(self, layers: int, heads: int, head_width: int, rows: int, capacity: int) -> None:
        self.length = 0
        """Steps that are there."""
        self.path = np.empty((rows, max(1, capacity)), np.int32)
        """(R, capacity)."""
        self.first = np.zeros(rows, np.int64)
        """(R,): from which step on a row has something."""
        self.keys = self.values = np.empty((layers, 0, heads, 0, head_width), np.float32)
        """(L, rows, H, capacity, C): what a head looks at stands in one piece."""

    def read(self, cache: Cache, lengths: np.ndarray) -> None:
        """Take what an ordinary cache holds, of rows whose last tokens stand in its last places."""
        self.first = cache.length - lengths
        for _ in range(cache.length):
            self.grow()
        for index, layer in enumerate(cache):
            for mine, theirs in ((self.keys[index], layer.keys), (self.values[index], layer.values)):
                if theirs is not None:
                    mine[:, :, : layer.length] = theirs[:, :, : layer.length].numpy()

    def grow(self) -> None:
        """Room for one more step of all rows, which go on from themselves."""
        rows, used = len(self.path), self.length
        if used == self.path.shape[1]:
            self.path = np.concatenate((self.path, np.empty_like(self.path)), 1)
        self.path[:, used] = np.arange(rows)
        self.length = used + 1
        layers, wide, heads, steps, width = self.keys.shape
        if steps > used and wide >= rows:
            return
        shape = layers, max(rows, wide), heads, self.path.shape[1], width
        old = self.keys, self.values
        self.keys, self.values = (np.empty(shape, np.float32) for _ in old)
        for kept, before in zip((self.keys, self.values), old, strict=True):
            kept[:, :wide, :, :used] = before[:, :, :, :used]

    def reorder(self, rows: Tensor) -> np.ndarray:
        """Row i becomes what row `rows[i]` was; returns the same rows as an array."""
        chosen: np.ndarray = rows.numpy()
        self.path, self.first = self.path[chosen], self.first[chosen]
        return chosen
