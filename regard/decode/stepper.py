"""One more token for every row: the only thing that a search needs from a model.

A stepper holds a model and the caches of the rows being decoded. Searches (`search.py`) feed it
tokens, read logits, and reorder or drop rows; they never see the model.
"""

from __future__ import annotations

from typing import Protocol

from torch import Tensor

from regard.model.mask import Positions
from regard.model.transformer import EncoderDecoder


class Stepper(Protocol):
    """What a search needs. Rows are grouped: `width` neighbours (beams) belong to one input."""

    def step(self, tokens: Tensor) -> Tensor:
        """Append (rows,) tokens; returns (rows, V) logits of what follows, good until the next step."""
        ...

    def reorder(self, rows: Tensor) -> None:
        """Row i becomes what row `rows[i]` was; the inputs stay the same."""
        ...

    def keep(self, inputs: Tensor, rows: Tensor) -> None:
        """Go on with these inputs only, whose rows are `rows`."""
        ...


class EncoderDecoderStepper:
    """Decodes from (B, S) source ids; the encoder runs once, when this is made."""

    def __init__(
        self, model: EncoderDecoder, source: Tensor, positions: Positions | None, capacity: int
    ) -> None:
        self._model = model
        self._cache = model.cache(capacity)
        self._memory: Tensor | None = model.encode(source, positions)
        self._positions = positions

    def step(self, tokens: Tensor) -> Tensor:
        hidden = self._model.decode(tokens[:, None], self._memory, self._positions, cache=self._cache)
        self._memory = None  # its keys and values are in the cache now
        return self._model.head(hidden[:, 0])

    def reorder(self, rows: Tensor) -> None:
        self._cache.select(rows)

    def keep(self, inputs: Tensor, rows: Tensor) -> None:
        self._cache.select(rows)
        self._cache.select_memory(inputs)
