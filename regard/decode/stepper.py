"""One more token for every row: the only thing that a search needs from a model.

A stepper holds a model and the caches of the rows being decoded. Searches (`search.py`) feed it
tokens, read logits, and reorder or drop rows; they never see the model.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

import torch
from torch import Tensor

from regard.model.mask import Contiguous, Positions, Ragged
from regard.model.transformer import EncoderDecoder, Transformer


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


class Without:
    """Another stepper, to which some tokens are impossible."""

    def __init__(self, stepper: Stepper, tokens: Sequence[int]) -> None:
        self._stepper, self._tokens = stepper, list(tokens)

    def step(self, tokens: Tensor) -> Tensor:
        logits = self._stepper.step(tokens)
        logits[:, self._tokens] = float("-inf")
        return logits

    def reorder(self, rows: Tensor) -> None:
        self._stepper.reorder(rows)

    def keep(self, inputs: Tensor, rows: Tensor) -> None:
        self._stepper.keep(inputs, rows)


class PromptStepper:
    """Goes on from prompts of different lengths; all but their last tokens are read when this is made.

    `step` is first given those last tokens.
    """

    @torch.inference_mode()
    def __init__(self, model: Transformer, prompts: list[list[int]], capacity: int) -> None:
        self._model = model
        self._cache = model.cache(capacity)
        device = model.embed.weight.device
        read = [len(prompt) - 1 for prompt in prompts]
        self._next = torch.tensor(read, device=device)[:, None]  # where each row's next token stands
        self._bound, self._even = max(read), min(read) == max(read)
        if self._bound:
            ids = torch.zeros((len(prompts), self._bound), dtype=torch.long)
            for row, prompt in enumerate(prompts):
                ids[row, self._bound - read[row] :] = torch.tensor(prompt[:-1], dtype=torch.long)
            at: Positions = Contiguous(0, self._bound)
            if not self._even:
                at = Ragged.from_lengths(self._next[:, 0], self._bound, "left")
            model.hidden(ids.to(device), at, self._cache)

    @torch.inference_mode()
    def step(self, tokens: Tensor) -> Tensor:
        at: Positions = Contiguous(self._bound, 1)
        if not self._even:
            at = Ragged(self._next, self._next.new_zeros((1, 1)), self._bound + 1)
        hidden = self._model.hidden(tokens[:, None], at, self._cache)
        self._next, self._bound = self._next + 1, self._bound + 1
        return self._model.head(hidden[:, 0])

    def reorder(self, rows: Tensor) -> None:
        self._cache.select(rows)
        self._next = self._next[rows]

    def keep(self, inputs: Tensor, rows: Tensor) -> None:
        self.reorder(rows)
