"""What ids that are written after a prompt add to its text; and how much of that can no longer change.

Decoding is no sum of pieces: the first of a text loses its space, bytes are a character only together, marks
of WordPiece move to the word before. So what is written is what the whole has more than the prompt.
"""

from __future__ import annotations

from collections.abc import Sequence

from regard.data.sample import REPLACEMENT
from regard.data.tokenizer import Tokenizer

_BEFORE = 16
"""Tokens of the prompt that can make a difference, since characters have four bytes at most; where these
begin inside of a run that is one text only as a whole, the run's, too."""


class Continuation:
    """Texts of ids that go on from `prompt`; an empty one is for texts of their own."""

    def __init__(self, tokenizer: Tokenizer, prompt: Sequence[int] = ()) -> None:
        start = tokenizer.settled(prompt[: max(0, len(prompt) - _BEFORE)])
        self._tokenizer, self._before = tokenizer, list(prompt[start:])
        self._known = tokenizer.decode(self._before)

    def of(self, ids: Sequence[int]) -> str:
        """The text of the ids, with the space before its first word if it has one."""
        whole = self._tokenizer.decode([*self._before, *ids])
        if whole.startswith(self._known):
            return whole[len(self._known) :]
        return self._tokenizer.decode(ids)  # they make another text of the prompt

    def sure(self, ids: Sequence[int]) -> str:
        """The text, but for an end that ids to come may change."""
        return self.of(ids[: self._tokenizer.settled(ids)]).rstrip(REPLACEMENT)
