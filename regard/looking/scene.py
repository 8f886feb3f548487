"""One prediction, ready to be analysed: the model with its changes, what went in, which logit is at stake."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from functools import cached_property

import torch
from torch import Tensor

from regard.errors import InputError
from regard.insight.trace import Pass, Trace
from regard.insight.words import Words
from regard.looking.explorer import Explorer, Question
from regard.model.stack import Stack
from regard.model.transformer import EncoderDecoder, Model

_HOLES = ("[MASK]", "<mask>")
"""What vocabularies call a token that is to be guessed: BERT's, RoBERTa's."""


class UnansweredError(InputError):
    """This prediction has nothing of the kind to show; said in both languages, for people who try things."""

    def __init__(self, en: str, zh: str) -> None:
        super().__init__(en)
        self.words = Words(en, zh)


@dataclass(frozen=True)
class Scene:
    """See the module's docstring. Raises: InputError, by its properties, for what this prediction has not."""

    explorer: Explorer
    question: Question
    other: str | None = None
    """A second input, to compare with."""
    number: int = 0
    """Which of the tokens that were written is at stake, from 0."""

    @cached_property
    def model(self) -> Model:
        """With all changes in its weights; no taps are needed."""
        return self.explorer.changed(self.question)

    @cached_property
    def inputs(self) -> tuple[Tensor, ...]:
        """What the model is given, a batch of one: ids or an image; of an encoder–decoder, both sides."""
        device = next(self.model.parameters()).device
        names = ("source_given", "target_given") if self.two_sided else ("given",)
        return tuple(self.found[name].value[None].to(device) for name in names)

    @cached_property
    def found(self) -> Trace:
        """The prediction, with what was given and the logits."""
        return self.trace(())

    def trace(self, names: Collection[str]) -> Trace:
        """The prediction with these entries. Raises: InputError where there was nothing to read."""
        found = self.explorer.trace(self.question, names=names)
        if not found.sequences:
            raise UnansweredError(
                "there is nothing to look at: the input is empty", "输入为空，没有可看的内容"
            )
        return found

    @cached_property
    def two_sided(self) -> bool:
        return isinstance(self.explorer.model, EncoderDecoder)

    def depth(self, stack: str) -> int:
        """Layers of a stack."""
        part = getattr(self.model, stack)
        assert isinstance(part, Stack)
        return len(part.blocks)

    @cached_property
    def reading(self) -> Pass:
        """The pass that has what is read."""
        return self.found.sequences[0]

    @cached_property
    def writing(self) -> Pass:
        """The pass that has what is written, or, where nothing is, that which reads."""
        return self.found.sequences[1 if self.two_sided else 0]

    @cached_property
    def following(self) -> list[str]:
        """What comes after each token of `writing`, of a task that writes."""
        opening = self.explorer.opening(self.question.text)
        assert opening is not None
        written, names = self.explorer.answer(self.question).written, self.explorer.naming.outputs
        return [*self.writing.tokens[1 : len(opening[1])], *(names[token] for token in written)]

    @cached_property
    def place(self) -> int | None:
        """After which token of `writing` the logits are taken; None where they are of the whole sequence.

        Of what writes, before the token that is at stake; of what fills masks, at the first; of what labels
        tokens, at the one that is asked for, of those after the beginning."""
        if self.model.head.pools:
            return None
        opening = self.explorer.opening(self.question.text)
        tokens = self.writing.tokens
        if opening is not None:
            last = len(tokens) - len(opening[1])
            if not 0 <= self.number <= last:
                raise UnansweredError(
                    f"token {self.number} was not written; there are {last + 1}, from 0",
                    f"没有写出第 {self.number} 个词元；共有 {last + 1} 个，从 0 数起",
                )
            return len(opening[1]) - 1 + self.number
        if self.model.head.outputs:
            return int(self.logits[:, 0].argmax())
        holes = (at for at, token in enumerate(tokens) if token in _HOLES)
        return next(holes, min(1 + self.number, len(tokens) - 1))

    @cached_property
    def logits(self) -> Tensor:
        """As the head makes them, of this one input."""
        if not self.model.head.logits:
            raise InputError("this model makes vectors, not logits")
        with torch.inference_mode():
            return self.model(*self.inputs)[0].float().cpu()

    @cached_property
    def target(self) -> int:
        """Which logit is at stake: of the most likely output there."""
        if self.model.head.outputs:
            return 0  # a start
        return int((self.logits if self.place is None else self.logits[self.place]).argmax())

    def at_stake(self, logits: Tensor) -> Tensor:
        """(n, …) logits of n inputs → (n,) those of the target."""
        return logits[:, self.target] if self.place is None else logits[:, self.place, self.target]

    @property
    def named(self) -> str:
        """How people call the target."""
        names = self.explorer.naming.outputs
        if self.model.head.outputs:
            return self.writing.tokens[self.place or 0]
        return names[self.target] if self.target < len(names) else str(self.target)
