"""How files become training, validation and test parts."""

from __future__ import annotations

import gzip
from collections.abc import Callable
from pathlib import Path

from regard.data.readers import open_data
from regard.data.rows import DataSet
from tests.data.tables import table_bytes

Write = Callable[[str, str | bytes], Path]
PAIR = (None, None)
PAIRS = [(f"source {number}", f"target {number}") for number in range(200)]


def values(data: DataSet, split: str) -> list[tuple[str, ...]]:
    return [row.values for row in data.split(split)]


def test_a_repeated_source_never_stands_on_both_sides(write: Write) -> None:
    rows = [(f"source {number % 97}", f"target {number}") for number in range(2000)]
    data = open_data(write("pairs.tsv", table_bytes("tsv", ("source", "target"), rows)), PAIR)
    sides = [{row.values[0] for row in data.split(split)} for split in ("train", "valid", "test")]
    assert sum(map(len, sides)) == len(set.union(*sides)) == 97
    assert sum(data.split(split).count() for split in data.splits) == len(rows)
    assert data.report.read == len(rows), "three splits of one file are one file"


def test_a_folder_without_valid_has_it_cut_from_train(write: Write, tmp_path: Path) -> None:
    write("train.tsv", table_bytes("tsv", ("source", "target"), PAIRS))
    write("test.tsv", "source\ttarget\na\tb\n")
    data = open_data(tmp_path, PAIR)
    assert list(data.splits) == ["train", "valid", "test"]
    assert values(data, "test") == [("a", "b")]
    assert sorted(values(data, "train") + values(data, "valid")) == sorted(PAIRS)


def test_no_test_split_is_made_up_beside_a_valid_one(write: Write, tmp_path: Path) -> None:
    write("train.tsv", "source\ttarget\na\tb\n")
    write("validation.jsonl", '{"target": "d", "source": "c"}\n')
    data = open_data(tmp_path, PAIR)
    assert list(data.splits) == ["train", "valid"]
    assert values(data, "valid") == [("c", "d")]
    assert "no test split" in str(data.report)


def test_running_text_is_split_in_parts_that_follow_one_another(write: Write) -> None:
    lines = [f"line {number}" if number % 5 else "" for number in range(2000)]
    content = ("\n".join(lines) + "\n").encode()
    for name, stored in (("a.txt", content), ("b.txt.gz", gzip.compress(content))):
        data = open_data(write(name, stored), (None,))
        parts = {split: [value for (value,) in values(data, split)] for split in data.splits}
        assert parts["train"] + parts["valid"] + parts["test"] == lines
        assert abs(len(parts["train"]) / len(lines) - 0.9) < 0.01
        assert data.report.read == len(lines)


def test_a_text_of_one_line_is_all_train(write: Write) -> None:
    data = open_data(write("a.txt", "only this"), ("text",))
    assert [data.split(split).count() for split in ("train", "valid", "test")] == [1, 0, 0]


def test_the_fingerprint_changes_with_the_file_and_the_columns(write: Write) -> None:
    path = write("pairs.tsv", "en\tde\na\tb\n")
    first = open_data(path, ("en", "de")).fingerprint
    assert first == open_data(path, ("en", "de")).fingerprint
    assert first != open_data(path, ("de", "en")).fingerprint
    write("pairs.tsv", "en\tde\na\tb\nc\td\n")
    assert first != open_data(path, ("en", "de")).fingerprint
