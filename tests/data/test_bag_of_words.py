"""The baseline of classification: it learns from words, in scripts with and without blanks."""

from __future__ import annotations

import pytest

from regard.data.bag_of_words import guesses_from_words

pytest.importorskip("sklearn")


@pytest.mark.parametrize(
    ("good", "bad", "asked"),
    [
        ("a fine film", "a poor play", ["a fine play by a fine hand", "poor!", "Film 2"]),
        ("很好的电影", "太差的戏", ["好电", "差戏", "影"]),
    ],
    ids=["blanks", "none"],
)
def test_it_tells_texts_apart_by_their_words(good: str, bad: str, asked: list[str]) -> None:
    assert guesses_from_words([good, bad] * 4, ["yes", "no"] * 4, asked) == ["yes", "no", "yes"]


def test_texts_without_a_word_are_left_to_others() -> None:
    assert guesses_from_words(["…", "!"], ["a", "b"], ["?"]) is None
