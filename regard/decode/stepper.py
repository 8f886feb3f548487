"""One more token for every row: the only thing that a search needs from a model.

A stepper holds a model and the caches of the rows being decoded. Searches (`search.py`) feed it
tokens, read logits, and reorder or drop rows; they never see the model.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

import torch
from torch import Tensor

from regard.model.cache import Cache
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
        """Go on with these inputs only, whose rows are `rows`: here, where rows are all that there is."""
        self.reorder(rows)


class EncoderDecoderStepper(Stepper):
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


class Around(Stepper):
    """Another stepper, whose logits are changed."""

    def __init__(self, stepper: Stepper) -> None:
        self._stepper = stepper

    def reorder(self, rows: Tensor) -> None:
        self._stepper.reorder(rows)

    def keep(self, inputs: Tensor, rows: Tensor) -> None:
        self._stepper.keep(inputs, rows)


class Without(Around):
    """Another stepper, to which some tokens are impossible."""

    def __init__(self, stepper: Stepper, tokens: Sequence[int]) -> None:
        super().__init__(stepper)
        self._tokens = list(tokens)

    def step(self, tokens: Tensor) -> Tensor:
        logits = self._stepper.step(tokens)
        logits[:, self._tokens] = float("-inf")
        return logits


class Forced(Around):
    """Another stepper, to whose first steps nothing but some given tokens is possible."""

    def __init__(self, stepper: Stepper, tokens: Sequence[int]) -> None:
        super().__init__(stepper)
        self._tokens, self._done = list(tokens), 0

    def step(self, tokens: Tensor) -> Tensor:
        logits = self._stepper.step(tokens)
        if self._done < len(self._tokens):
            token = self._tokens[self._done]
            kept = logits[:, token].clone()
            logits.fill_(float("-inf"))
            logits[:, token] = kept
        self._done += 1
        return logits


class KeptPrompt:
    """What was read of a text that goes on, so that only what is new is read next time. The caller's to keep.

    `ids` are the tokens whose keys and values `cache` holds.
    """

    def __init__(self) -> None:
        self.ids: list[int] = []
        self.cache: Cache | None = None

    def shared(self, ids: list[int]) -> int:
        """With how many of the tokens that are kept `ids` begins."""
        pairs = zip(self.ids, ids, strict=False)
        return next((n for n, (old, new) in enumerate(pairs) if old != new), min(len(self.ids), len(ids)))

    def take(self, ids: list[int], model: Transformer, capacity: int) -> Cache:
        """A cache of what `ids` begins with; what follows there is forgotten."""
        if self.cache is None:
            self.cache = model.cache(capacity)
        self.cache.truncate(min(self.shared(ids), self.cache.length))
        self.ids = ids[: self.cache.length]
        return self.cache


class PromptStepper(Stepper):
    """Goes on from prompts of different lengths; all but their last tokens are read when this is made.

    `step` is first given those last tokens. A prompt that is there several times is read once. `kept`: of a
    single prompt, what was read of it before.
    """

    @torch.inference_mode()
    def __init__(
        self, model: Transformer, prompts: list[list[int]], capacity: int, kept: KeptPrompt | None = None
    ) -> None:
        assert kept is None or len(prompts) == 1
        self._model = model
        self._ready: Tensor | None = None
        device = model.device
        # Where angles depend on how long an input is, its last token is read with it, and nothing is reused.
        self._whole = int(model.stack.position.stretches)
        kept = None if self._whole else kept
        places = {tuple(prompt): place for place, prompt in enumerate(dict.fromkeys(map(tuple, prompts)))}
        read = [len(prompt) - 1 + self._whole for prompt in places]
        self._bound, self._even = max(read), min(read) == max(read)
        self.cache = model.cache(capacity) if kept is None else kept.take(prompts[0][:-1], model, capacity)
        known = self.cache.length
        if self._bound > known:
            ids = torch.zeros((len(places), self._bound - known), dtype=torch.long)
            for row, prompt in enumerate(places):
                tokens = prompt[known : read[row]]
                ids[row, self._bound - read[row] :] = torch.tensor(tokens, dtype=torch.long)
            at: Positions = Contiguous(known, self._bound - known)
            if not self._even:
                at = Ragged.from_lengths(torch.tensor(read, device=device), self._bound, "left")
            hidden = model.hidden(ids.to(device), at, self.cache)
            self._ready = model.head(hidden[:, -1]) if self._whole else None
        rows = torch.tensor([places[tuple(prompt)] for prompt in prompts], device=device)
        self.next = torch.tensor(read, device=device)[rows, None]  # (rows, 1): where the next tokens stand
        if len(places) < len(prompts):
            self.cache.select(rows)
            self._ready = None if self._ready is None else self._ready[rows]

    @torch.inference_mode()
    def step(self, tokens: Tensor) -> Tensor:
        if self._ready is not None:
            ready, self._ready = self._ready, None
            return ready
        at: Positions = Contiguous(self._bound, 1)
        if not self._even:
            at = Ragged(self.next, self.next.new_zeros((1, 1)), self._bound + 1)
        hidden = self._model.hidden(tokens[:, None], at, self.cache)
        self.next, self._bound = self.next + 1, self._bound + 1
        return self._model.head(hidden[:, 0])

    def reorder(self, rows: Tensor) -> None:
        self.cache.select(rows)
        self.next = self.next[rows]
