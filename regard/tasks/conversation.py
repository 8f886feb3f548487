"""A dialogue with a model that goes on turn by turn; what was read and written is not computed again.

It does not know terminals.
"""

from __future__ import annotations

import logging
from abc import ABC, abstractmethod
from collections.abc import Iterator
from itertools import chain
from typing import Generic, TypeVar

from torch import nn

from regard.data.readers.messages import Message
from regard.data.tokenizer import Tokenizer
from regard.decode.constraints import NO_RULES, Rules
from regard.decode.sampling import Draws
from regard.decode.stepper import KeptPrompt
from regard.errors import InputError
from regard.tasks.chat_template import ChatTemplate
from regard.tasks.decoding import Decoding
from regard.tasks.dialogue import heading, turn_ids
from regard.tasks.writing import Output, say_unseen, write

_LOG = logging.getLogger(__name__)
Turn = TypeVar("Turn")


class Conversation(ABC, Generic[Turn]):
    """Turns, and the cache of what the model has seen of them. What a turn is, a subclass says."""

    def __init__(
        self,
        model: nn.Module,
        tokenizer: Tokenizer,
        context: int,
        system: str | None,
        rules: Rules = NO_RULES,
    ) -> None:
        self.model, self.tokenizer, self.context, self.rules = model, tokenizer, context, rules
        self.kept = KeptPrompt()
        self._opening = [] if system is None else [self._turn("system", system)]
        self._turns: list[Turn] = []
        self._forgotten = 0  # how many answers

    @abstractmethod
    def _turn(self, role: str, text: str) -> Turn:
        """What somebody says."""

    @abstractmethod
    def _answered(self, output: Output) -> Turn:
        """The model's, as far as it was written."""

    @abstractmethod
    def _prompt(self, turns: list[Turn]) -> list[int]:
        """The ids after which the model's turn comes."""

    def say(self, text: str, decoding: Decoding = Decoding()) -> Iterator[str]:
        """The model's answer as it grows. When the context is full, the oldest turns are forgotten.

        Raises: InputError for a turn that is empty or alone too long, and leaves the dialogue as it was.
        """
        if not text.strip():
            raise InputError("a {key} is empty; say something", "turn")
        if decoding.beam > 1 or decoding.n > 1:
            raise InputError("a dialogue has one answer a turn, with no {key} and no n", "beam")
        room = min(decoding.max_length or self.context // 4, self.context // 2)
        turns, forgotten = [*self._turns, self._turn("user", text)], self._forgotten
        number = decoding.number + forgotten + len(self._turns) // 2  # of one seed, each turn draws anew
        while len(prompt := self._prompt(turns)) + room > self.context and len(turns) > 1:
            turns, forgotten = turns[2:], forgotten + 1
        if len(prompt) >= self.context:
            sentence = "a turn of {value} tokens is too long for a context of {limit}"
            raise InputError(sentence, len(prompt), self.context)
        if forgotten > self._forgotten:
            _LOG.warning(
                f"the dialogue is longer than the {self.context:,} tokens that the model sees at once; its"
                " oldest turns are forgotten"
            )
        output = Output(prompt, self.tokenizer, decoding.stop, draws=Draws(number))
        try:
            for _ in write(self.model, [output], decoding, self.context, self.kept, rules=self.rules):
                yield output.sure
            say_unseen([output], self.context)
            yield output.text
        finally:  # also when nobody wants to read on
            self._turns, self._forgotten = [*turns, self._answered(output)], forgotten


class TurnsConversation(Conversation[list[int]]):
    """With a model that has learned dialogues here (`dialogue.py`)."""

    @property
    def ids(self) -> list[int]:
        """All that was said, as far as it is remembered."""
        return [self.tokenizer.bos, *chain(*self._opening, *self._turns)]

    def _turn(self, role: str, text: str) -> list[int]:
        return turn_ids([Message(role, text)], self.tokenizer)

    def _answered(self, output: Output) -> list[int]:
        return [*self._head, *output.ids[output.begin :], self.tokenizer.eos]

    def _prompt(self, turns: list[list[int]]) -> list[int]:
        return [self.tokenizer.bos, *chain(*self._opening, *turns), *self._head]

    @property
    def _head(self) -> list[int]:
        return self.tokenizer.encode(heading("assistant"))


class TemplateConversation(Conversation[Message]):
    """With a model that was trained elsewhere, by its own template."""

    def __init__(
        self, model: nn.Module, template: ChatTemplate, context: int, system: str | None, rules: Rules
    ) -> None:
        super().__init__(model, template.tokenizer, context, system, rules)
        self._template = template

    @property
    def messages(self) -> list[Message]:
        """All that was said, as far as it is remembered."""
        return [*self._opening, *self._turns]

    def _turn(self, role: str, text: str) -> Message:
        return Message(role, text)

    def _answered(self, output: Output) -> Message:
        return self._turn("assistant", output.text)

    def _prompt(self, turns: list[Message]) -> list[int]:
        return self._template.ids([*self._opening, *turns])
