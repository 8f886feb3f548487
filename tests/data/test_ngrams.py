"""Counting what follows what: against the formula, and as a distribution."""

from __future__ import annotations

import math
import random

import pytest

from regard.data import ngrams
from regard.data.ngrams import NGrams


def plainly(text: list[int], token: int, before: list[int], vocabulary: int) -> float:
    """The formula of the module's docstring, read off the text."""

    def probability(context: list[int]) -> float:
        lower = probability(context[1:]) if context else 1 / vocabulary
        size = len(context)
        places = [i for i in range(size, len(text)) if text[i - size : i] == context]
        if not places:
            return lower
        followers = [text[i] for i in places]
        kinds = len(set(followers))
        return (followers.count(token) + kinds * lower) / (len(followers) + kinds)

    return probability(before[-ngrams.LONGEST :])


def test_it_is_the_formula() -> None:
    chance = random.Random(1)
    text = chance.choices(range(4), k=80)
    counts = NGrams(5).count([text[:33], text[33:33], text[33:]])
    for _ in range(200):
        before = chance.choices(range(5), k=chance.randint(0, 6))
        token = chance.randrange(5)
        assert counts.probability(token, before) == pytest.approx(plainly(text, token, before, 5))


def test_it_is_a_distribution_and_knows_a_text_with_a_period() -> None:
    text = [0, 1, 1, 2] * 100
    counts = NGrams(4).count([text])
    for before in ([], [0], [1, 1], [2, 0, 1, 1], [3, 3]):
        assert sum(counts.probability(token, before) for token in range(4)) == pytest.approx(1)
    asked = [False, *[True] * (len(text) - 1)]
    assert counts.nats(text, asked) / (len(text) - 1) < 0.05
    assert NGrams(4).nats(text, asked) == pytest.approx((len(text) - 1) * math.log(4))


def test_it_counts_no_more_than_it_has_room_for(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ngrams, "MOST", 10)
    assert NGrams(3).count([[0, 1, 2] * 2] * 5).counted == 10
    assert NGrams(ngrams.MANY).longest == ngrams.LONGEST_OF_MANY
