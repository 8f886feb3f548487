"""Cells that hold lists and objects: dialogues, answers, labels; arrays of objects."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pyarrow
import pytest

from regard.data.readers import columns_of, open_data
from regard.data.readers.forms import Answers, Dialogue, Labels
from regard.errors import DataError
from tests.data.tables import stored
from tests.shared import refused

Write = Callable[[str, str | bytes], Path]


PAIR = (None, None)
ROWS = [("a man rides", "ein Mann fährt"), ("two dogs", "zwei Hunde"), ("字 here", "字 hier"), ("x", "y")]
TABLE = "source\ttarget\n" + "".join(f"{a}\t{b}\n" for a, b in ROWS)


def read(path: Path, columns: Any = PAIR, **options: Any) -> list[tuple[str, ...]]:
    data = open_data(path, columns, whole=True, **options)
    return [row.values for row in data.split("all")]


TURNS = [{"role": "user", "content": "say 1"}, {"role": "assistant", "content": "1 it is"}]
CONTEXT = "The river Ona rises near Velt."
GOLD = {"text": ["Velt"], "answer_start": [25]}
SPAN = [{"text": "Velt", "answer_start": 25}]
FORMS = ("jsonl", "json", "data", "parquet", "csv", "tsv")


def kept(write: Write, form: str, rows: list[dict[str, Any]]) -> Path:
    return write(f"rows.{'json' if form == 'data' else form}", stored(form, rows))


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("name", ["messages", "chat"])
def test_dialogues_are_read_from_every_form_by_any_name(write: Write, form: str, name: str) -> None:
    path = kept(write, form, [{"id": 1, name: TURNS}, {"id": 2, name: TURNS[:1]}])
    found = read(path, (name,), forms=(Dialogue(),))
    assert [json.loads(value) for (value,) in found] == [TURNS, TURNS[:1]]


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("name", ["answers", "golds"])
@pytest.mark.parametrize("answer", [GOLD, SPAN])
def test_answers_are_read_from_every_form_by_any_name(
    write: Write, form: str, name: str, answer: Any
) -> None:
    path = kept(write, form, [{"question": "where?", "context": CONTEXT, name: answer}])
    found = read(path, ("context", "question", name), forms=(None, None, Answers()))
    assert [(c, q, json.loads(a)) for c, q, a in found] == [(CONTEXT, "where?", SPAN)]


@pytest.mark.parametrize("form", ["jsonl", "json", "parquet"])
def test_labels_may_be_lists(write: Write, form: str) -> None:
    path = kept(write, form, [{"text": "a", "tags": ["x", "y"]}, {"text": "b", "tags": ["y"]}])
    assert read(path, ("text", "tags"), forms=(None, Labels("|"))) == [("a", "x|y"), ("b", "y")]
    with refused(DataError, value="several labels (for rows that have several,"):
        read(path, ("text", "tags"), forms=(None, Labels(None)))
    with refused(DataError, value="bad label ('x' holds the separator 'x'; set another)"):
        read(path, ("text", "tags"), forms=(None, Labels("x")))
    one = kept(write, form, [{"text": "a", "tags": [3]}, {"text": "b", "tags": [4]}])
    assert read(one, ("text", "tags"), forms=(None, Labels(None))) == [("a", "3"), ("b", "4")]


@pytest.mark.parametrize("form", ["jsonl", "json", "parquet"])
def test_a_list_where_text_is_wanted_is_named_in_its_row(write: Write, form: str) -> None:
    path = kept(write, form, [{"source": ["a"], "target": "b"}] * 2)
    with refused(DataError, value="not text (a list)"):
        read(path)


@pytest.mark.parametrize("form", FORMS)
def test_a_broken_dialogue_or_answer_is_left_out_if_the_user_says_so(write: Write, form: str) -> None:
    bad = [{**TURNS[0], "role": "nobody"}]
    path = kept(write, form, [{"chat": bad}, {"chat": TURNS}])
    assert len(read(path, ("chat",), forms=(Dialogue(),), on_error="skip")) == 1
    rows = [{"c": CONTEXT, "q": "?", "a": {"text": ["Velt"], "answer_start": [at]}} for at in (3, 25)]
    path = kept(write, form, rows)
    forms = (None, None, Answers())
    assert len(read(path, ("c", "q", "a"), forms=forms, on_error="skip")) == 1
    with refused(DataError, value="answer not in its place ('Velt' is not at"):
        read(path, ("c", "q", "a"), forms=forms)


def test_lists_of_parquet_are_read_in_bounded_batches(write: Write) -> None:
    turns = [{"role": "user", "content": "x" * 50_000}]
    path = write("chat.parquet", stored("parquet", [{"chat": turns}] * 1300))
    data = open_data(path, ("chat",), whole=True, forms=(Dialogue(),))
    assert data.split("all").count() == 1300
    pyarrow.default_memory_pool().release_unused()


# ------------------------------------------------------------------------------------------ .json arrays


@pytest.mark.parametrize("count", [1, 3, 5000])
@pytest.mark.parametrize("indent", [None, 2])
def test_an_array_of_objects_is_a_table(write: Write, count: int, indent: int | None) -> None:
    rows = [{"id": n, "source": f"a {n} 字", "target": f"b {n}"} for n in range(count)]
    path = write("pairs.json", json.dumps(rows, indent=indent, ensure_ascii=False))
    assert read(path) == [(row["source"], row["target"]) for row in rows]
    assert columns_of(path) == ("id", "source", "target")
    lines = write("lines.json", "".join(json.dumps(row) + "\n" for row in rows))
    assert read(lines) == read(path)


@pytest.mark.parametrize(
    ("text", "parts"),
    [
        ('[{"source": "a", "target": "b"}', {"value": "it ends within its array", "where": "pairs.json"}),
        (
            '[{"source": "a", "target": "b"} {"source": 1}]',
            {"value": "no comma", "where": "pairs.json:1:33"},
        ),
        ('[{"source": "a", "target": "b"}, {"source": ]', {"remedy": "mend it"}),
        ('[{"source": "a", "target": "b"},]', {"remedy": "mend it"}),
        (
            '[{"source": "a", "target": "b"}, 7]',
            {"value": "bad JSON (a int, not an object)", "where": "pairs.json:[1]"},
        ),
        (
            '[{"source": "a", "target": "b"}, {"source": "a"}]',
            {"value": "wrong number of columns (no 'target')", "where": "pairs.json:[1]"},
        ),
        (
            '[\n {"source": "a", "target": "b"},\n {"source": }\n]',
            {"value": "Expecting value", "where": "pairs.json:3:13"},
        ),
        (
            "[" + '{"source": "a", "target": "b"},\n' * 9000 + "x]",
            {"value": "Expecting value", "where": "pairs.json:9001:1"},
        ),
        ("[]", {"where": "pairs.json", "remedy": "give an array of objects, one an example"}),
        (
            '[{"source": "' + "x" * 500_000 + '", "target": "b"}]',
            {"value": "Unterminated string starting at", "where": "pairs.json:1:13"},
        ),
    ],
)
def test_a_broken_array_is_named(write: Write, text: str, parts: dict[str, Any]) -> None:
    with refused(DataError, **parts):
        read(write("pairs.json", text))


@pytest.mark.parametrize(
    ("text", "parts"),
    [
        ('{"source": "a"', {"remedy": "mend it"}),
        (
            '{\n"source": "a",\n"target" "b"}',
            {"value": "Expecting ':' delimiter", "where": "pairs.json:3:10"},
        ),
        (
            "3",
            {"where": "pairs.json", "remedy": "write it as one of these (pandas: to_json(orient='records'))"},
        ),
        (
            '"text"',
            {"where": "pairs.json", "remedy": "write it as one of these (pandas: to_json(orient='records'))"},
        ),
        (
            '{\n"source": "a",\n"target": "b"\n}',
            {"where": "pairs.json", "remedy": "write it as one of these (pandas: to_json(orient='records'))"},
        ),
        ("<html>", {"remedy": "mend it"}),
    ],
)
def test_json_that_is_no_table_is_not_taken_for_one_of_squads(
    write: Write, text: str, parts: dict[str, Any]
) -> None:
    with refused(DataError, **parts):
        read(write("pairs.json", text))


def test_documents_beside_tables_are_no_examples(write: Write, tmp_path: Path) -> None:
    write("here/pairs.tsv", TABLE)
    write("here/about.json", '{"name": "pairs"}')
    assert len(read(tmp_path / "here")) == len(ROWS)
    write("there/train.json", json.dumps([{"source": "a", "target": "b"}]))
    assert open_data(tmp_path / "there", PAIR).columns == ("source", "target")
