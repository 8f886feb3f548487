"""A dialogue with a model that goes on turn by turn; what was read and written is not computed again.

It does not know terminals.
"""

from __future__ import annotations

from collections.abc import Iterator
from itertools import chain

from torch import nn

from regard.data.readers.messages import Message
from regard.data.tokenizer import Tokenizer
from regard.decode.stepper import KeptPrompt
from regard.errors import InputError
from regard.tasks.dialogue import heading, turn_ids
from regard.tasks.task import Decoding
from regard.tasks.writing import outputs_of, write


class Conversation:
    """Turns as ids, and the cache of what the model has seen of them."""

    def __init__(
        self, model: nn.Module, tokenizer: Tokenizer, context: int, system: str | None = None
    ) -> None:
        self.model, self.tokenizer, self.context = model, tokenizer, context
        opening = [] if system is None else turn_ids([Message("system", system)], tokenizer)
        self._opening = [tokenizer.bos, *opening]
        self._turns: list[list[int]] = []
        self.kept = KeptPrompt()

    @property
    def ids(self) -> list[int]:
        """All that was said, as far as it is remembered."""
        return [*self._opening, *chain.from_iterable(self._turns)]

    def say(self, text: str, decoding: Decoding = Decoding()) -> Iterator[str]:
        """The model's answer as it grows. When the context is full, the oldest turns are forgotten.

        Raises: InputError for a turn that is empty or alone too long.
        """
        if not text.strip():
            raise InputError("a turn is empty; say something")
        if decoding.beam > 1:  # n is at most the beam
            raise InputError("a dialogue has one answer a turn, with no beam and no n")
        self._turns.append(turn_ids([Message("user", text)], self.tokenizer))
        head = self.tokenizer.encode(heading("assistant"))
        room = min(decoding.max_length or self.context // 4, self.context // 2) + len(head)
        while len(self.ids) + room > self.context and len(self._turns) > 1:
            del self._turns[:2]
        if len(self.ids) + len(head) >= self.context:
            size = len(self._turns.pop())
            raise InputError(f"a turn of {size} tokens is too long for a context of {self.context}")
        (output,) = outputs_of([[*self.ids, *head]], self.tokenizer, decoding)
        try:
            for _ in write(self.model, [output], decoding, self.context, self.kept):
                yield output.sure
            yield output.text
        finally:  # also when nobody wants to read on
            self._turns.append([*head, *output.ids[output.begin :], self.tokenizer.eos])
