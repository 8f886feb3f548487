"""The baselines come out near what was measured when the bars were set: every claim is told beside them."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from regard.data import baselines
from regard.data.baselines import trivial_baselines
from regard.data.builtin import BUILTIN
from regard.data.rows import Row
from regard.errors import DataError
from tests.shared import refused


def exact(name: str, predict: Callable[[str], str]) -> float:
    """Percent of the test rows that are exactly right."""
    rows = list(BUILTIN[name].load().split("test"))
    return 100 * sum(predict(row.values[0]) == row.values[1] for row in rows) / len(rows)


def pairs(*values: tuple[str, str]) -> list[Row]:
    return [Row(pair, "") for pair in values]


def test_pinyin_baselines_are_near_those_of_the_issue() -> None:
    found = {title: exact("pinyin", predict) for title, predict in trivial_baselines("pinyin").items()}
    assert found["default reading"] == pytest.approx(81.7, abs=1.5)
    assert found["most frequent reading"] == pytest.approx(85.4, abs=1.5)
    assert found["table of neighbours"] == pytest.approx(89.9, abs=1.5)


def test_most_frequent_reading_gets_about_five_percent_of_syllables_wrong() -> None:
    predict = trivial_baselines("pinyin")["most frequent reading"]
    wrong = total = 0
    for row in BUILTIN["pinyin"].load().split("test"):
        told, right = predict(row.values[0]).split(" "), row.values[1].split(" ")
        wrong += sum(left != other for left, other in zip(told, right, strict=True))
        total += len(right)
    assert 100 * wrong / total == pytest.approx(5.1, abs=0.6)


def test_spelling_baselines_are_far_below_a_model() -> None:
    found = {title: exact("spelling", predict) for title, predict in trivial_baselines("spelling").items()}
    assert found["a sound for each letter"] < 2
    assert 10 < found["the longest known ending"] < 30


def test_no_answer_can_be_copied_or_guessed_for_dates() -> None:
    assert all(exact("dates", predict) < 1 for predict in trivial_baselines("dates").values())


@pytest.mark.parametrize("name", BUILTIN)
def test_a_baseline_answers_any_text(name: str) -> None:
    for predict in trivial_baselines(name).values():
        assert all(isinstance(predict(text), str) for text in ("", "x", "ß字 \t", "unheard-of"))


def test_baselines_do_not_hang_on_the_order_of_rows() -> None:
    rows = list(BUILTIN["pinyin"].load().split("train"))
    forth, back = baselines.most_frequent_reading(rows), baselines.most_frequent_reading(rows[::-1])
    sources = [row.values[0] for row in BUILTIN["pinyin"].load().split("test")]
    assert all(forth(source) == back(source) for source in sources)


def test_a_neighbour_decides_between_readings() -> None:
    rows = pairs(
        ("行", "xíng"),
        ("银行", "yín háng"),
        ("行走", "xíng zǒu"),
        ("行人", "xíng rén"),
        ("商行", "shāng háng"),
    )
    predict = baselines.neighbour_table(rows)
    assert predict("银行") == "yín háng"
    assert predict("行走") == "xíng zǒu"


def test_longest_suffix_takes_the_ending_of_a_known_word() -> None:
    predict = baselines.longest_suffix(pairs(("nation", "nASᵊn"), ("pat", "pæt")))
    assert predict("nation") == "nASᵊn"
    assert predict("ration").endswith("ASᵊn")


def test_an_unknown_set_is_refused_with_the_nearest_name() -> None:
    with refused(
        DataError, key="built-in set", value="pinyn", limit="spelling, pinyin, dates, stdlib, digits, mnist5k"
    ):
        trivial_baselines("pinyn")
