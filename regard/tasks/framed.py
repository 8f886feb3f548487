"""Texts, or pairs of them, that a model reads whole: framed, and cut where they are too long."""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor, nn

from regard.data.tokenizer import Tokenizer
from regard.tasks.parts import in_groups
from regard.tasks.text_task import TextTask
from regard.values import Pair

_LOG = logging.getLogger(__name__)
PAIR = "\t"
"""Stands between the two texts of an input."""


class FramedTask(TextTask):
    """A text stands between `<s>` and `</s>`; the second of a pair follows, with a `</s>` of its own. How
    many tokens there may be, `config.max_length` says."""

    prompt = ""
    """What stands before every text."""

    def __init__(self, config: Any, tokenizer: Tokenizer) -> None:
        super().__init__(config, tokenizer)
        self.prompt = getattr(config, "prompt", self.prompt)
        self.cut = 0
        """How many inputs were too long."""
        self._told: set[str] = set()

    def frame(self, inputs: Sequence[Sequence[str]]) -> tuple[list[list[int]], list[int]]:
        """Each input of one or two texts, framed, and by how many tokens the longer text was cut, where it is
        too long. A blank text is an empty one."""
        flat = [self.prompt + ("" if text.isspace() else text) for texts in inputs for text in texts]
        parts = self.tokenizer.encode_batch(flat)
        rows, cuts, start, between = list[list[int]](), list[int](), 0, self.tokenizer.between
        for texts in inputs:
            some = parts[start : start + len(texts)]
            start += len(texts)
            room = self.config.max_length - 2 - len(between) * (len(texts) - 1)
            cuts.append(max(0, sum(map(len, some)) - room))
            while (over := sum(map(len, some)) - room) > 0:
                longest = max(range(len(some)), key=lambda i: len(some[i]))
                rest = max((len(part) for i, part in enumerate(some) if i != longest), default=0)
                keep = max(len(some[longest]) - over, min(rest, len(some[longest]) - 1))
                some[longest] = some[longest][:keep]
            ids = [self.tokenizer.bos, *some[0]]
            for part in some[1:]:
                ids += [*between, *part]
            rows.append([*ids, self.tokenizer.eos])
        self.cut += sum(tokens > 0 for tokens in cuts)
        return rows, cuts

    def notes(self) -> list[str]:
        said = f"{self.cut:,} inputs were cut at task.max_length = {self.config.max_length} tokens"
        return [said] if self.cut else []

    def texts_of(self, given: Any) -> tuple[str, ...]:
        """The one or two texts of an input."""
        given = self.input.parse(given)
        return (given.first, given.second) if isinstance(given, Pair) else (given.plain(),)

    @torch.inference_mode()
    def read(
        self,
        model: nn.Module,
        inputs: Sequence[Sequence[str]],
        tokens: int,
        then: Callable[[Tensor], Tensor] = lambda output: output,
    ) -> tuple[list[Tensor], list[int]]:
        """What the model makes of each input, and `then` of that, on the host; and by how many tokens it was
        cut. `tokens`: how many are read side by side."""
        rows, cuts = self.frame(inputs)
        self._say_cut(cuts)
        found: dict[int, Tensor] = {}
        for some, ids, at in in_groups(rows, self.tokenizer.pad, tokens, model):
            found |= zip(some, then(model(ids, at).float()).cpu(), strict=True)
        return [found[row] for row in range(len(rows))], cuts

    def _say_cut(self, cuts: Sequence[int]) -> None:
        """Log, once of the same inputs, that some were longer than what the model takes."""
        if long := [tokens for tokens in cuts if tokens > 0]:
            most = self.config.max_length
            line = (
                f"an input has {long[0]:,} tokens more than the {most:,} that this model takes, and was cut"
            )
            line += f"; so it is with {len(long):,} of them" if len(long) > 1 else ""
            if line not in self._told:
                self._told.add(line)
                _LOG.warning(line)
