"""Pretrained vectors: read as written, and refused by file and line."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from regard.data.vectors import read_vectors
from regard.errors import DataError, RegardError
from tests.shared import refused


def written(folder: Path, text: str) -> Path:
    path = folder / "vectors.txt"
    path.write_text(text, encoding="utf-8")
    return path


@pytest.mark.parametrize("header", ["", "3 2\n"])
def test_only_the_words_asked_for_are_read(tmp_path: Path, header: str) -> None:
    path = written(tmp_path, f"{header}cat 1 2\n猫 3.5 -4\ndog 5 6\n")
    found = read_vectors(path, ["猫", "cat", "emu"], 2)
    assert {word: vector.tolist() for word, vector in found.items()} == {"cat": [1, 2], "猫": [3.5, -4]}
    assert all(vector.dtype == np.float32 for vector in found.values())


def test_of_a_repeated_word_the_first_counts_and_words_may_hold_spaces(tmp_path: Path) -> None:
    found = read_vectors(written(tmp_path, "a b 1 2\na b 3 4\n"), ["a b"], 2)
    assert found["a b"].tolist() == [1, 2]


@pytest.mark.parametrize(
    ("text", "parts"),
    [
        ("cat 1\n", {"value": 1, "limit": 2, "where": "vectors.txt:1"}),
        ("cat 1 2\ndog 1 x\n", {"value": "could not convert string to float: 'x'", "where": "vectors.txt:2"}),
        ("cat 1 nan\n", {"where": "vectors.txt:1"}),
        ("9 3\ncat 1 2 3\n", {"value": "3", "limit": 2, "where": "vectors.txt:1"}),
        ("emu 1 2\n", {"limit": 2, "where": "vectors.txt"}),
        ("", {"limit": 2, "where": "vectors.txt"}),
    ],
)
def test_a_broken_file_is_refused_by_line(tmp_path: Path, text: str, parts: dict[str, Any]) -> None:
    with refused(DataError, **parts):
        read_vectors(written(tmp_path, text), ["cat", "dog"], 2)


def test_a_missing_file_is_refused(tmp_path: Path) -> None:
    with refused(DataError, value="No such file or directory", where="none.txt"):
        read_vectors(tmp_path / "none.txt", ["cat"], 2)


@settings(max_examples=1000, deadline=None)
@given(content=st.binary(max_size=200), width=st.integers(1, 4))
def test_any_bytes_give_vectors_or_a_clear_error(
    tmp_path_factory: pytest.TempPathFactory, content: bytes, width: int
) -> None:
    path = tmp_path_factory.getbasetemp() / "fuzz.txt"
    path.write_bytes(content)
    try:
        found = read_vectors(path, ["a", "1", ""], width)
    except RegardError:
        return
    assert found
    assert all(vector.shape == (width,) for vector in found.values())
