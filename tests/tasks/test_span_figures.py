"""Exact match and F1 of answers, as SQuAD counts them."""

from __future__ import annotations

import re
import string
from collections import Counter

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from regard.data.rows import Rows
from regard.tasks.span_baselines import beside, usual_length
from regard.tasks.span_metrics import exact, overlap, span_metrics, words_of
from tests.tasks.tiny_questions import ROWS, made


def squads(text: str) -> str:
    """SQuAD's normalisation once more, step by step as its authors describe it."""
    kept = "".join(letter for letter in text.lower() if letter not in set(string.punctuation))
    return " ".join(re.sub(r"\b(a|an|the)\b", " ", kept).split())


@given(
    st.lists(st.sampled_from(["a", "the", "an", "Cat", "cat.", "dog's", "x-y", "–", " ", "U.S.", "\u2019s"])),
    st.lists(st.sampled_from(["the", "Cat", "cat", "dogs", "xy", "–", "us", "u.s."]), max_size=4),
)
@settings(max_examples=400, deadline=None)
def test_latin_text_is_counted_as_squad_counts(left: list[str], right: list[str]) -> None:
    answer, wanted = " ".join(left), " ".join(right)
    assert " ".join(words_of(answer)) == squads(answer)
    a, b = squads(answer).split(), squads(wanted).split()
    same = sum((Counter(a) & Counter(b)).values())
    f1 = 2 * same / (len(a) + len(b)) if a and b else float(a == b)
    assert overlap(answer, [wanted]) == pytest.approx(f1)
    assert exact(answer, [wanted]) == (squads(answer) == squads(wanted))


def test_chinese_is_counted_by_characters_without_its_punctuation() -> None:
    assert words_of("《红楼梦》，1791年。") == ["红", "楼", "梦", "1791", "年"]
    assert overlap("红楼", ["红楼梦"]) == pytest.approx(0.8)
    assert exact("红楼梦。", ["西游记", "「红楼梦」"])


def test_the_best_of_the_references_counts_and_silence_is_right_where_there_is_none() -> None:
    figures = span_metrics(["the cat", "", "dog", ""], [["cat", "a dog"], [], [], ["fish"]])
    assert figures["exact"] == 50
    assert figures["token_f1"] == 50
    assert figures["answerable_f1"] == figures["unanswerable_f1"] == 50
    assert "answerable_f1" not in span_metrics(["cat"], [["cat"]])
    assert span_metrics([], []) == {"count": 0}


def test_what_needs_no_model_answers_too() -> None:
    assert usual_length(["one", "two words", "now three words"]) == 2
    assert beside("who ate the fish?", "Anna ate the fish; Bert slept in his bed.", 1) in ("Anna", "Bert")
    assert beside("谁吃鱼？", "安吃鱼", 1) == "安"
    assert beside("q", "x", 3) == "x"
    task, _ = made(ROWS)
    found = task.baselines(ROWS, Rows.of(ROWS))
    assert found["no answer, ever"]["unanswerable_f1"] == 100
    assert found["the whole context"]["token_f1"] > 0
