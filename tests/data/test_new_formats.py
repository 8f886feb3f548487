"""A file format joins by one class, from this package or from anybody's: nothing else is edited."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from regard.data.readers import columns_of, open_data
from regard.data.readers.columns import Wanted
from regard.data.readers.forms import Cell, Dialogue, Form
from regard.data.readers.lines import Problem, read_lines
from regard.data.readers.reader import READERS, Reader, usual_forms
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


@dataclass(frozen=True)
class Length(Form):
    """How long a text is, 0 where there is none: a number."""

    takes_empty = True

    def text(self, value: Cell, others: Sequence[Any]) -> object:
        return Problem("too long") if len(value) > 5 else len(value)


class Bars(Reader):
    kind = "bars"
    endings = ("pipes",)

    @classmethod
    def forms(cls, names: Sequence[str]) -> Mapping[str, Form]:
        return {"length": Length(), "messages": Length()}

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


def test_its_form_is_offered_to_all_tables_and_gives_values_that_are_no_texts(tmp_path: Path) -> None:
    (tmp_path / "x.tsv").write_text("text\tlength\na\txxx\nb\t\nc\txxxxxx\n", "utf-8")
    rows = open_data(tmp_path / "x.tsv", ("text", "length"), whole=True, on_error="skip").split("all")
    assert [row.values for row in rows] == [("a", 3), ("b", 0)]
    with refused(DataError, where="x.tsv:4", value="too long"):
        list(open_data(tmp_path / "x.tsv", ("text", "length"), whole=True).split("all"))
    assert usual_forms(("messages",)) == (Dialogue(always=False),), "a name that is taken stays what it is"


def test_rows_that_are_alike_in_the_key_are_in_one_split(tmp_path: Path) -> None:
    lines = "".join(f"one\t{number % 300}\n" for number in range(900))
    (tmp_path / "x.tsv").write_text(f"a\tb\n{lines}", "utf-8")
    for key, count in (((0,), 1), ((1,), 300), ((0, 1), 300)):
        splits = open_data(tmp_path / "x.tsv", ("a", "b"), key=key).splits.values()
        sides = [{tuple(row.values[place] for place in key) for row in rows} for rows in splits]
        assert sum(map(len, sides)) == count


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
