"""A file format joins by one class, from this package or from anybody's: nothing else is edited."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from regard.data.readers import columns_of, open_data
from regard.data.readers.columns import Wanted
from regard.data.readers.lines import read_lines
from regard.data.readers.reader import READERS, Reader
from regard.data.readers.tables import Record, Table
from regard.errors import ConfigError, DataError
from tests.shared import refused

ROWS = [(f"source {number}", f"target {number}") for number in range(100)]


@dataclass(frozen=True)
class BarTable:
    path: Path
    columns: tuple[str, ...] = ("left", "right")

    @property
    def label(self) -> str:
        return str(self.path)

    def records(self, picked: tuple[int, ...]) -> Iterator[Record]:
        for number, _, content in read_lines(self.path):
            assert isinstance(content, str)
            cells = content.split("|")
            yield f"{self.path}:{number}", tuple(cells[index] for index in picked)


class Bars(Reader):
    kind = "bars"
    endings = ("pipes",)

    @classmethod
    def open(cls, path: Path, wanted: Wanted, *, skip: bool) -> Table:
        return BarTable(path)


@pytest.fixture(autouse=True)
def joined() -> Iterator[None]:
    READERS.register(Bars)
    yield
    del READERS._members[Bars.kind]


def write(path: Path) -> Path:
    path.parent.mkdir(exist_ok=True)
    path.write_text("".join("|".join(row) + "\n" for row in ROWS), "utf-8")
    return path


@pytest.mark.parametrize("ending", ["bars", "pipes"])
def test_its_files_are_read_and_split(tmp_path: Path, ending: str) -> None:
    path = write(tmp_path / f"pairs.{ending}")
    data = open_data(path, ("left", "right"))
    read = [row for rows in data.splits.values() for row in rows]
    assert sorted(row.values for row in read) == sorted(ROWS)
    assert {row.where for row in read} == {f"{path}:{number}" for number in range(1, 101)}
    assert columns_of(path) == ("left", "right")


def test_a_folder_holds_its_splits_and_shards(tmp_path: Path) -> None:
    for name in ("train-00000-of-00002", "train-00001-of-00002", "valid"):
        write(tmp_path / f"{name}.bars")
    data = open_data(tmp_path, ("right", "left"))
    assert {name: rows.count() for name, rows in data.splits.items()} == {"train": 200, "valid": 100}
    assert next(iter(data.split("valid"))).values == ROWS[0][::-1]


def test_who_gives_another_file_is_told_of_it(tmp_path: Path) -> None:
    (tmp_path / "x.other").write_text("x", "utf-8")
    with refused(DataError, limit=".bars"):
        open_data(tmp_path / "x.other", (None,))


def test_what_cannot_be_opened_or_has_a_name_that_is_taken_does_not_join() -> None:
    class Closed(Reader):
        kind = "closed"

    class Another(Bars):
        kind = "csv"

    other: Any
    for other in (Closed, Another):
        with pytest.raises(ConfigError):
            READERS.register(other)
    assert "closed" not in READERS


def test_the_formats_of_this_package_join_by_themselves() -> None:
    assert READERS.keys() >= {"tsv", "csv", "jsonl", "json", "parquet", "txt"}
