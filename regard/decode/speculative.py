"""Guessing what will be written, and checking all of it in one pass.

A pass over twenty tokens costs little more than a step of one: both read every weight once. So where an
answer is likely to be one that was given before, it is checked as a whole, and steps are made from where the
guess was wrong (Leviathan et al. 2023, "Fast Inference from Transformers via Speculative Decoding", with an
older answer as the draft).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch
from torch import Tensor

from regard.decode.stepper import KeptPrompt, Stepper
from regard.model.mask import Contiguous
from regard.model.transformer import Transformer


class SpeculativeStepper(Stepper):
    """Goes on from one prompt, after which `guess` may be written.

    `otherwise` makes a stepper that goes on from ids, whose beginning was read, once a token is another. The
    logits are those of a pass over several tokens: a step's within rounding.
    """

    @torch.inference_mode()
    def __init__(
        self,
        model: Transformer,
        prompt: Sequence[int],
        guess: Sequence[int],
        capacity: int,
        otherwise: Callable[[list[int], KeptPrompt], Stepper],
    ) -> None:
        self._ids, self._guess, self._otherwise = list(prompt), list(guess), otherwise
        self._stepper: Stepper | None = None
        self._kept, self._done = KeptPrompt(), 0
        known = [*prompt, *guess]
        self._kept.cache = model.cache(max(capacity, len(known)))
        given = torch.tensor([known], device=model.device)
        hidden = model.hidden(given, Contiguous(0, len(known)), self._kept.cache)
        self._kept.ids = known
        self._logits = model.head(hidden[0, len(prompt) - 1 :])  # (guessed tokens + 1, V)

    def step(self, tokens: Tensor) -> Tensor:
        if self._stepper is None and self._done:
            (token,) = tokens.tolist()
            self._ids.append(token)
            if self._guess[self._done - 1 : self._done] != [token]:
                self._stepper = self._otherwise(self._ids, self._kept)
        if self._stepper is not None:
            return self._stepper.step(tokens)
        self._done += 1
        return self._logits[self._done - 1, None]

    def reorder(self, rows: Tensor) -> None:
        """There is one row."""
