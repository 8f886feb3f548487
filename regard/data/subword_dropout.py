"""BPE-dropout: the same words cut in other ways at each sampling (Provilkov et al. 2020, arXiv 1910.13267).

At every step of a word each possible merge is left out with probability `dropout`, and the best of the
others is done; the word is finished when none is left. All words take their steps together, as rows of one
array, because the library's own dropout cannot be seeded and training must be repeatable to the bit.

This file knows symbols as ids and merges as triples of them; nothing of texts, normalising or specials.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from regard.errors import TokenizerError, outside

__all__ = ["MergeSampler"]

_NEVER = np.iinfo(np.int32).max
_ROWS = 1 << 15  # words cut together: few enough for the processor's cache,
_CELLS = 1 << 22  # and letters of them, at the length of the longest


class MergeSampler:
    """Texts, given as words, to be cut again and again.

    words: for each text its words. ids: the id of each symbol. merges: (left, right, joined) by rank.
    """

    def __init__(
        self,
        texts: Iterable[Sequence[str]],
        ids: Mapping[str, int],
        merges: Sequence[tuple[int, int, int]],
        *,
        unknown: int,
    ) -> None:
        index: dict[str, int] = {}
        places: list[int] = []
        counts: list[int] = []
        for words in texts:
            places.extend(index.setdefault(word, len(index)) for word in words)
            counts.append(len(words))
        self._places = np.array(places, dtype=np.int32)  # of each word of the texts among the distinct words
        self._counts = np.array(counts, dtype=np.int64)  # words in each text
        self._sizes = np.array([len(word) for word in index], dtype=np.int32)
        self._starts = np.cumsum(self._sizes, dtype=np.int64) - self._sizes
        self._symbols = np.fromiter(
            (ids.get(symbol, unknown) for word in index for symbol in word), dtype=np.int32
        )
        self._base = 1 + max(ids.values(), default=0)
        keys = np.array([left * self._base + right for left, right, _ in merges], dtype=np.int64)
        order = np.argsort(keys)
        self._keys = keys[order]
        self._ranks = order.astype(np.int32)
        self._joined = np.array([joined for _, _, joined in merges], dtype=np.int32)

    def __len__(self) -> int:
        return len(self._counts)

    def sample(self, dropout: float, seed: int | Sequence[int]) -> list[list[int]]:
        """The ids of each text, cut anew: a function of the texts, `dropout` and `seed` alone.

        Raises:
            TokenizerError: dropout is not a probability.
        """
        ids, lengths = self.sample_flat(dropout, seed)
        flat = ids.tolist()
        ends = np.cumsum(lengths).tolist()
        return [flat[end - length : end] for end, length in zip(ends, lengths.tolist(), strict=True)]

    def sample_flat(
        self, dropout: float, seed: int | Sequence[int]
    ) -> tuple[NDArray[np.int32], NDArray[np.int64]]:
        """As `sample`, in one array: all ids one after the other, and the number of ids of each text."""
        if not 0 <= dropout <= 1:
            raise outside(TokenizerError, "dropout", dropout, "from 0 to 1")
        rng = np.random.default_rng(seed)
        cuts = np.zeros(len(self._places), dtype=np.int32)  # ids that each word became
        # Words of like length together, so that rows need little padding; back in place afterwards.
        order = np.argsort(self._sizes[self._places], kind="stable")
        parts = []
        begin = 0
        while begin < len(order):
            rows = order[begin : begin + _ROWS]
            longest = int(self._sizes[self._places[rows[-1]]])
            rows = rows[: max(1, _CELLS // max(1, longest))]
            begin += len(rows)
            ids, sizes = self._cut(self._places[rows], dropout, rng)
            cuts[rows] = sizes
            parts.append(ids[np.arange(ids.shape[1]) < sizes[:, None]])
        flat = np.concatenate(parts) if parts else np.empty(0, dtype=np.int32)
        out = np.empty_like(flat)
        out[_scatter(order, cuts)] = flat
        texts = np.repeat(np.arange(len(self._counts)), self._counts)
        lengths = np.bincount(texts, weights=cuts, minlength=len(self._counts)).astype(np.int64)
        return out, lengths

    def _cut(
        self, words: NDArray[np.int32], dropout: float, rng: np.random.Generator
    ) -> tuple[NDArray[np.int32], NDArray[np.int32]]:
        """Cut each of `words` on its own: ids (rows, longest), and how many of each row count."""
        sizes = self._sizes[words].copy()
        width = int(sizes.max())
        column = np.arange(width, dtype=np.int32)
        inside = column < sizes[:, None]
        symbols = np.full((len(words), width), -1, dtype=np.int32)
        symbols[inside] = self._symbols[(self._starts[words][:, None] + column)[inside]]
        ranks = self._rank(symbols[:, :-1], symbols[:, 1:])

        done = symbols
        live = np.arange(len(words))
        final = sizes
        sizes = sizes.copy()
        while len(live) and ranks.shape[1]:
            allowed = ranks
            if dropout:
                dropped = rng.random(ranks.shape, dtype=np.float32) < dropout
                allowed = np.where(dropped, _NEVER, ranks)
            at = allowed.argmin(axis=1)
            row = np.arange(len(live))
            rank = allowed[row, at]
            stopped = rank == _NEVER
            if stopped.any():
                rows = live[stopped]
                done[rows, : symbols.shape[1]] = symbols[stopped]
                final[rows] = sizes[stopped]
                going = ~stopped
                live, symbols, ranks, sizes = live[going], symbols[going], ranks[going], sizes[going]
                at, rank, row = at[going], rank[going], np.arange(len(live))
                if not len(live):
                    break
            symbols, ranks = self._merge(symbols, ranks, at, rank, row)
            sizes -= 1
        if len(live):
            done[live, : symbols.shape[1]] = symbols
            final[live] = sizes
        return done, final

    def _merge(
        self,
        symbols: NDArray[np.int32],
        ranks: NDArray[np.int32],
        at: NDArray[np.int64],
        rank: NDArray[np.int32],
        row: NDArray[np.int64],
    ) -> tuple[NDArray[np.int32], NDArray[np.int32]]:
        """Join the symbols at `at` and `at` + 1 of every row: one column fewer."""
        width = symbols.shape[1]
        column = np.arange(width - 1)
        symbols = np.take_along_axis(symbols, column + (column > at[:, None]), axis=1)
        symbols[row, at] = self._joined[rank]
        column = column[:-1]
        ranks = np.take_along_axis(ranks, column + (column >= at[:, None]), axis=1)
        if width > 2:
            before = np.maximum(at - 1, 0)
            ranks[row, before] = self._rank(symbols[row, before], symbols[row, before + 1])
            after = np.minimum(at, width - 3)
            ranks[row, after] = self._rank(symbols[row, after], symbols[row, after + 1])
        return symbols, ranks

    def _rank(self, left: NDArray[np.int32], right: NDArray[np.int32]) -> NDArray[np.int32]:
        """The rank of the merge of each pair, or never."""
        ranks = np.full(left.shape, _NEVER, dtype=np.int32)
        if not len(self._keys):
            return ranks
        real = (left >= 0) & (right >= 0)
        keys = left[real] * np.int64(self._base) + right[real]
        place = np.minimum(np.searchsorted(self._keys, keys), len(self._keys) - 1)
        ranks[real] = np.where(self._keys[place] == keys, self._ranks[place], _NEVER)
        return ranks


def _scatter(order: NDArray[np.int64], cuts: NDArray[np.int32]) -> NDArray[np.int64]:
    """Where the ids of the words, listed in `order`, go when the words stand in their own order."""
    begins = np.cumsum(cuts, dtype=np.int64) - cuts
    sizes = cuts[order]
    firsts = np.cumsum(sizes, dtype=np.int64) - sizes
    return np.repeat(begins[order] - firsts, sizes) + np.arange(int(sizes.sum()))
