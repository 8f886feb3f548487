"""Figures of merit: the same as sacreBLEU's own, and edit distance as defined."""

from __future__ import annotations

import json
import random
import subprocess
import sys
from functools import cache
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from regard.errors import DependencyError, InputError
from regard.tasks.text_metrics import edit_distance, pair_metrics, suited_tokenizer, token_error_rate
from tests.shared import refused

SMALL = st.lists(st.sampled_from("abc"), max_size=6)


def by_definition(a: list[str], b: list[str]) -> int:
    """The fewest edits, by trying all."""

    @cache
    def rest(i: int, j: int) -> int:
        if i == len(a) or j == len(b):
            return len(a) - i + len(b) - j
        same = rest(i + 1, j + 1) + (a[i] != b[j])
        return min(same, rest(i + 1, j) + 1, rest(i, j + 1) + 1)

    return rest(0, 0)


@settings(max_examples=1000, deadline=None)
@given(SMALL, SMALL)
def test_edit_distance_is_the_fewest_edits(a: list[str], b: list[str]) -> None:
    assert edit_distance(a, b) == by_definition(a, b)


@settings(max_examples=300, deadline=None)
@given(SMALL, SMALL, SMALL)
def test_edit_distance_is_a_distance(a: list[str], b: list[str], c: list[str]) -> None:
    assert edit_distance(a, b) == edit_distance(b, a)
    assert (edit_distance(a, b) == 0) == (a == b)
    assert edit_distance(a, c) <= edit_distance(a, b) + edit_distance(b, c)


@pytest.mark.parametrize(
    ("references", "tokenizer"),
    [
        (["我喜欢猫。", "他在 Berlin 工作"], "zh"),
        (["I like 猫.", "ein Haus"], "13a"),
        (["私は猫が好きです"], "13a"),  # Japanese, which that tokenizer is not for
        (["123", ""], "13a"),
        ([], "13a"),
    ],
)
def test_chinese_is_told_by_its_letters(references: list[str], tokenizer: str) -> None:
    assert suited_tokenizer(references) == tokenizer
    if references:
        signature = pair_metrics(references, references)["bleu_signature"]
        assert f"tok:{tokenizer}" in signature
        assert "tok:char" in pair_metrics(references, references, tokenize="char")["bleu_signature"]


def test_error_rate_divides_once_and_counts_the_asked_unit() -> None:
    assert token_error_rate(["a b", "x"], ["a b c", "x"]) == pytest.approx(100 / 4)
    assert token_error_rate(["ab c"], ["a bc"], "character") == 0
    assert token_error_rate(["ab c"], ["a bc"], "word") == 100
    assert token_error_rate(["a b c"], ["x"]) == 300, "more errors than tokens"
    assert token_error_rate(["", "a"], ["", ""]) == 100, "no reference at all is divided by one"


def texts(seed: int) -> tuple[list[str], list[str]]:
    chance = random.Random(seed)
    words = ["the", "cat", "sat", "on", "a", "mat", ".", ",", "dog's", "naïve", "猫坐", "在垫子上", "3.5"]
    references = [" ".join(chance.choices(words, k=chance.randint(1, 12))) for _ in range(40)]
    said = [" ".join(word for word in text.split() if chance.random() < 0.8) for text in references]
    return said, references


@pytest.mark.parametrize("tokenize", ["13a", "zh", "char", "none", "intl"])
def test_bleu_and_chrf_are_what_sacrebleu_prints(tmp_path: Path, tokenize: str) -> None:
    said, references = texts(1)
    (tmp_path / "said").write_text("\n".join(said) + "\n", "utf-8")
    (tmp_path / "references").write_text("\n".join(references) + "\n", "utf-8")
    command = [sys.executable, "-m", "sacrebleu", "references", "-i", "said", "-m", "bleu", "chrf", "-w", "6"]
    printed = subprocess.run(
        [*command, "-tok", tokenize, "--force"], cwd=tmp_path, check=True, capture_output=True, text=True
    )
    theirs = {figure["name"].lower().rstrip("2"): figure for figure in json.loads(printed.stdout)}
    ours = pair_metrics(said, references, tokenize=tokenize)
    for name in ("bleu", "chrf"):
        assert round(ours[name], 6) == theirs[name]["score"]
        assert ours[f"{name}_signature"] == theirs[name]["signature"]


def test_the_right_answers_get_all_the_points() -> None:
    _, references = texts(2)
    figures = pair_metrics(references, references)
    assert (figures["exact"], figures["token_error_rate"], figures["token_accuracy"]) == (100, 0, 100)
    assert figures["bleu"] == pytest.approx(100)
    assert figures["chrf"] == pytest.approx(100)
    assert figures["count"] == 40


def test_exact_counts_whole_answers() -> None:
    assert pair_metrics(["a", "b", "c "], ["a", "x", "c"])["exact"] == pytest.approx(100 / 3)


def test_nothing_to_judge_is_no_figure() -> None:
    assert pair_metrics([], []) == {"count": 0}


def test_a_tokenizer_that_is_not_there_is_refused() -> None:
    with refused(InputError, key="tokenizer of sacreBLEU", value="13b", remedy="13a"):
        pair_metrics([], [], tokenize="13b")
    with refused(DependencyError, value="ko-mecab", reason="sacrebleu[ko]"):
        pair_metrics([], [], tokenize="ko-mecab")
