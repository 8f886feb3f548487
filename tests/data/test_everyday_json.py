"""JSON and tables as people have them: read as they are meant, or refused with what would be right."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pandas
import pyarrow
import pytest
from pyarrow import parquet

from regard.data.readers import open_data
from regard.data.readers.forms import Answers, Labels
from regard.errors import DataError
from tests.shared import refused

Write = Callable[[str, str | bytes], Path]
ROWS = [{"text": "a good film", "label": "pos"}, {"text": "a bad one", "label": "neg"}]
READ = [("a good film", "pos"), ("a bad one", "neg")]
LINES = "".join(json.dumps(row) + "\n" for row in ROWS)


def read(path: Path, columns: Any = ("text", "label"), **options: Any) -> list[tuple[str, ...]]:
    return [row.values for row in open_data(path, columns, whole=True, **options).split("all")]


@pytest.mark.parametrize("indent", [None, 2])
@pytest.mark.parametrize(
    ("before", "after"),
    [
        ({"version": "0.1.0"}, {}),
        ({}, {"version": 1}),
        ({"info": {"by": ["me", {"data": [1]}]}, "count": 2, "ok": None}, {"splits": []}),
    ],
)
def test_rows_are_read_wherever_data_stands_among_the_keys(
    write: Write, before: dict[str, Any], after: dict[str, Any], indent: int | None
) -> None:
    assert read(write("a.json", json.dumps({**before, "data": ROWS, **after}, indent=indent))) == READ


def test_a_table_of_pandas_is_read_or_refused_with_how_to_write_it(write: Write) -> None:
    frame = pandas.DataFrame(ROWS)
    assert read(write("a.json", frame.to_json(orient="records", indent=1))) == READ
    assert read(write("a.json", frame.to_json(orient="table", index=False))) == READ
    for orient in ("columns", "index", "split"):
        for indent in (0, 2):
            with refused(
                DataError,
                where="a.json",
                remedy="write it as one of these (pandas: to_json(orient='records'))",
            ):
                read(write("a.json", frame.to_json(orient=orient, indent=indent)))


def test_objects_over_several_lines_are_not_taken_for_squads_form(write: Write) -> None:
    text = "\n".join(json.dumps(row, indent=2) for row in ROWS)
    with refused(DataError, value="Extra data", where="a.json:5:1"):
        read(write("a.json", text))


@pytest.mark.parametrize("name", ["a.ndjson", "a.jsonlines", "a.jl"])
def test_lines_of_json_have_other_names(write: Write, name: str) -> None:
    assert read(write(name, LINES)) == READ


def test_an_array_is_read_whatever_its_file_is_called(write: Write) -> None:
    assert read(write("a.jsonl", json.dumps(ROWS))) == READ
    assert read(write("a.jsonl", "\n[\n " + ",\n".join(LINES.splitlines()) + "]\n\n")) == READ


@pytest.mark.parametrize("name", ["a.jsonl", "a.json"])
def test_what_stands_after_an_array_is_not_left_out_silently(write: Write, name: str) -> None:
    for more in (json.dumps(ROWS), "x"):
        with refused(DataError, value="something after the array"):
            read(write(name, json.dumps(ROWS) + "\n" + more))


def test_nothing_is_no_label_however_it_is_written(write: Write, tmp_path: Path) -> None:
    rows = LINES + '{"text": "c", "label": NaN}\n{"text": "d", "label": null}\n'
    with refused(DataError, value="empty label", where="a.jsonl:3"):
        read(write("a.jsonl", rows))
    assert read(write("a.jsonl", rows), on_error="skip") == READ
    table = pyarrow.table({"text": ["a", "b"], "label": [1.0, float("nan")]})
    parquet.write_table(table, tmp_path / "a.parquet")
    assert read(tmp_path / "a.parquet", on_error="skip") == [("a", "1.0")]


def test_names_of_columns_may_have_blanks_around_them(write: Write) -> None:
    assert read(write("a.csv", "text , label\na good film,pos\na bad one,neg\n")) == READ
    assert read(write("a.tsv", " text\tlabel \na good film\tpos\na bad one\tneg\n")) == READ


@pytest.mark.parametrize("form", ["csv", "tsv"])
def test_lists_of_labels_are_lists_in_a_cell_too(write: Write, form: str) -> None:
    frame = pandas.DataFrame({"text": ["a", "b", "c"], "label": ['["x", "y"]', '["y"]', "[z]"]})
    text = frame.to_csv(index=False, sep="," if form == "csv" else "\t")
    assert read(write(f"a.{form}", text), forms=(None, Labels("|"))) == [
        ("a", "x|y"),
        ("b", "y"),
        ("c", "[z]"),
    ]


def test_lists_of_labels_as_python_writes_them_are_no_label(write: Write) -> None:
    frame = pandas.DataFrame({"text": ["a", "b"], "label": [["x", "y"], ["y"]]})
    with refused(DataError, value="bad label (a list as Python writes it; write it", where="a.csv:2"):
        read(write("a.csv", frame.to_csv(index=False)), forms=(None, Labels("|")))


def test_lists_of_one_length_are_lists_in_parquet(tmp_path: Path) -> None:
    labels = pyarrow.array([["x"], ["y"]], pyarrow.list_(pyarrow.string(), 1))
    parquet.write_table(pyarrow.table({"text": ["a", "b"], "label": labels}), tmp_path / "a.parquet")
    assert read(tmp_path / "a.parquet", forms=(None, Labels(None))) == [("a", "x"), ("b", "y")]


@pytest.mark.parametrize("forms", [(), (None, None, Answers())])
@pytest.mark.parametrize(
    "answer", [{"text": "Velt", "answer_start": 15}, {"text": ["Velt"], "answer_start": [15]}]
)
def test_answers_are_checked_against_their_context_whoever_asks(
    write: Write, forms: Any, answer: dict[str, Any]
) -> None:
    row = {"context": "The river near Velt.", "question": "where?", "answers": answer}
    wanted = ("context", "question", "answers")
    ((_, _, answers),) = read(write("a.jsonl", json.dumps(row) + "\n"), wanted, forms=forms)
    assert json.loads(answers) == [{"text": "Velt", "answer_start": 15}]
    with refused(DataError, value="answer not in its place ('Velt' is not at", where="a.jsonl:1"):
        read(write("a.jsonl", json.dumps({**row, "context": "Near Velt."}) + "\n"), wanted, forms=forms)
    assert len(read(write("a.jsonl", json.dumps(row) + "\n"), ("question", "answers"))) == 1
