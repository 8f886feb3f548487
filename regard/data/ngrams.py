"""A language model without learning: how often each token followed the few before it.

What a trained model of text is printed beside. Contexts of every length up to a few tokens are counted, and
a longer one is trusted the more, the fewer kinds of tokens followed it (Witten and Bell 1991, method C, as
interpolated in Chen and Goodman 1998, section 2.6):

    p(w | h) = (c(h w) + t(h) p(w | h')) / (c(h) + t(h))

with c a count, t(h) how many kinds of tokens followed h, h' the context without its first token, and below
the empty context 1 / V. This file knows ids, not text.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence

LONGEST = 4
"""Tokens of the longest context …"""
LONGEST_OF_MANY = 2
"""… and where there are many kinds of tokens, whose contexts would fill the memory."""
MANY = 1000
MOST = 2_000_000
"""Tokens that are counted, at most."""


class NGrams:
    """See the module's docstring."""

    def __init__(self, vocabulary: int) -> None:
        self.vocabulary = vocabulary
        self.longest = LONGEST if vocabulary < MANY else LONGEST_OF_MANY
        self._followers: dict[tuple[int, ...], dict[int, int]] = {}
        self._totals: dict[tuple[int, ...], int] = {}
        self.counted = 0

    def count(self, stream: Iterable[Sequence[int]]) -> NGrams:
        """Count what follows what in a stream of ids, up to `MOST` of them."""
        before: tuple[int, ...] = ()
        for ids in stream:
            for token in ids:
                for length in range(len(before) + 1):
                    context = before[len(before) - length :]
                    followers = self._followers.setdefault(context, {})
                    followers[token] = followers.get(token, 0) + 1
                    self._totals[context] = self._totals.get(context, 0) + 1
                before = (*before, token)[-self.longest :]
                self.counted += 1
                if self.counted == MOST:
                    return self
        return self

    def probability(self, token: int, before: Sequence[int]) -> float:
        """p(token | before), of which the last few count."""
        found = 1 / self.vocabulary
        last = tuple(before[max(0, len(before) - self.longest) :])
        for length in range(len(last) + 1):
            context = last[len(last) - length :]
            followers = self._followers.get(context)
            if followers is None:
                break
            kinds = len(followers)
            found = (followers.get(token, 0) + kinds * found) / (self._totals[context] + kinds)
        return found

    def nats(self, ids: Sequence[int], asked: Sequence[bool]) -> float:
        """-ln p of those ids that are asked for, each from those before it."""
        return -sum(
            math.log(self.probability(token, ids[max(0, place - self.longest) : place]))
            for place, token in enumerate(ids)
            if asked[place]
        )
