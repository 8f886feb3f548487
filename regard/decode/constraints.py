"""What a search must not write, or must, whatever the model makes of it: rules that published models bring.

The order and the arithmetic are those of `transformers`' logits processors, so that an imported model writes
what it writes there. Every search takes them, since they are a stepper around another one. Nothing here knows
models or text; the tokens that a row was given count as written.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from regard.decode.stepper import Around, Stepper, Without
from regard.errors import require

_NEVER = float("-inf")


@dataclass(frozen=True)
class Constraints:
    """Rules for what is written, besides what the model says."""

    begin_suppress: tuple[int, ...] = ()
    """Ids that an output does not begin with."""
    bad_words: tuple[tuple[int, ...], ...] = ()
    """Sequences of ids that are never written as a whole."""
    opening: tuple[int, ...] = ()
    """Ids that every output begins with."""
    forced_end: bool = False
    """Whether the last of the most tokens that may be written is the end token."""
    repetition_penalty: float = 1.0
    """By how much the logit of a token that was written already is divided, or multiplied if negative."""
    no_repeat_ngram_size: int = 0
    """Of how many tokens a sequence must not occur twice; 0 for none."""
    min_length: int = 0
    """Before so many tokens, those given included, an output does not end."""
    min_new_tokens: int = 0
    """Before so many tokens, those given left out, an output does not end."""

    def __post_init__(self) -> None:
        penalty, ngram = self.repetition_penalty, self.no_repeat_ngram_size
        require(0 < penalty < float("inf"), "repetition_penalty", penalty, "more than 0")
        require(ngram >= 0, "no_repeat_ngram_size", ngram, "0 or more")


@dataclass(frozen=True)
class Rules:
    """All that a model's outputs must be like."""

    never: tuple[int, ...] = ()
    """Ids that are never written."""
    constraints: Constraints | None = None

    def most(self, limit: int) -> int:
        """How many tokens may be written where the end token may be the last of so many."""
        return max(1, limit - 1) if self.constraints and self.constraints.forced_end else limit

    def begin(self, begin: tuple[int, ...]) -> tuple[int, ...]:
        """What an output begins with, where `begin` was asked for."""
        own = () if self.constraints is None else self.constraints.opening
        return begin if begin[: len(own)] == own else (*own, *begin)

    def around(
        self, stepper: Stepper, rows: list[list[int]], ends: Iterable[int], begun: Sequence[int] | None = None
    ) -> Stepper:
        """A stepper that keeps the rules; the other arguments as of `Constrained`."""
        stepper = Without(stepper, self.never) if self.never else stepper
        if self.constraints is None:
            return stepper
        return Constrained(stepper, self.constraints, rows, sorted(ends), begun)


NO_RULES = Rules()


class Constrained(Around):
    """Another stepper, whose logits obey the constraints."""

    def __init__(
        self,
        stepper: Stepper,
        constraints: Constraints,
        rows: list[list[int]],
        ends: Sequence[int],
        begun: Sequence[int] | None = None,
    ) -> None:
        """`rows`: what each row holds before the first token that `step` is given. `ends`: the ids that end
        an output. `begun`: how many tokens of each row were given before anything was written, the first of
        `step` included; by default all of them."""
        super().__init__(stepper)
        self._rules, self._ends = constraints, list(ends)
        self._rows = [list(row) for row in rows]
        self._begun = [len(row) + 1 for row in rows] if begun is None else list(begun)

    def step(self, tokens: Tensor) -> Tensor:
        for row, token in zip(self._rows, tokens.tolist(), strict=True):
            row.append(token)
        logits = self._stepper.step(tokens)
        rules = self._rules
        if rules.repetition_penalty != 1.0:
            for place, row in enumerate(self._rows):
                seen = torch.tensor(sorted(set(row)), device=logits.device)
                old = logits[place, seen]
                lowered = torch.where(old < 0, old * rules.repetition_penalty, old / rules.repetition_penalty)
                logits[place, seen] = lowered
        for place, (row, begun) in enumerate(zip(self._rows, self._begun, strict=True)):
            if never := self._impossible(row, len(row) - begun):
                logits[place, never] = _NEVER
        return logits

    def _impossible(self, row: list[int], written: int) -> list[int]:
        """What must not come next."""
        rules, found = self._rules, list[int]()
        if (size := rules.no_repeat_ngram_size) and len(row) >= size:
            last = row[len(row) - size + 1 :]
            found += [
                row[at + size - 1] for at in range(len(row) - size + 1) if row[at : at + size - 1] == last
            ]
        for word in rules.bad_words:
            before = list(word[:-1])
            if not before or row[-len(before) :] == before:
                found.append(word[-1])
        if len(row) < rules.min_length or written < rules.min_new_tokens:
            found += self._ends
        return [*found, *rules.begin_suppress] if written == 0 else found

    def reorder(self, rows: Tensor) -> None:
        self._select(rows)
        super().reorder(rows)

    def keep(self, inputs: Tensor, rows: Tensor) -> None:
        self._select(rows)
        super().keep(inputs, rows)

    def _select(self, rows: Tensor) -> None:
        chosen = rows.tolist()
        self._rows = [list(self._rows[row]) for row in chosen]
        self._begun = [self._begun[row] for row in chosen]
