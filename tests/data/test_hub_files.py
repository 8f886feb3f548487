"""Files and folders as data-set hubs have them: translations by language, names of classes, split folders."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pyarrow
import pytest
from pyarrow import parquet

from regard.data.readers import open_data
from regard.data.readers.forms import Labels
from regard.errors import DataError
from tests.shared import refused

PAIR = (None, None)
ROWS = [("a man rides", "ein Mann fährt"), ("two dogs", "zwei Hunde"), ("字 here", "字 hier"), ("x", "y")]


def read(path: Path, columns: Any = PAIR, **options: Any) -> list[tuple[str, ...]]:
    data = open_data(path, columns, whole=True, **options)
    return [row.values for row in data.split("all")]


@pytest.mark.parametrize(
    "name", ["t.jsonl", "t.json", "t.parquet", "t-00000-of-00001.parquet", "array.jsonl"]
)
def test_translations_by_language_are_columns(tmp_path: Path, name: str) -> None:
    rows = [{"id": str(i), "translation": {"en": a, "de": b}} for i, (a, b) in enumerate(ROWS)]
    path = tmp_path / name
    if name.endswith("parquet"):
        parquet.write_table(pyarrow.Table.from_pylist(rows), path)
    elif name == "t.jsonl":
        path.write_text("".join(json.dumps(row) + "\n" for row in rows), "utf-8")
    else:
        path.write_text(json.dumps(rows), "utf-8")
    assert read(path) == ROWS
    assert read(path, ("de", "en")) == [(b, a) for a, b in ROWS]
    assert read(path, (None, "en")) == [(b, a) for a, b in ROWS]
    with refused(DataError, key="fr", limit="'en', 'de'"):
        read(path, ("en", "fr"))
    assert read(path, ("id",)) == [(row["id"],) for row in rows]  # the table's own columns stay


def test_a_row_without_its_translation_is_a_problem_with_its_place(tmp_path: Path) -> None:
    rows = [{"translation": {"en": "a", "de": "b"}}, {"translation": {"en": "c"}}, {"translation": "d"}]
    path = tmp_path / "t.jsonl"
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), "utf-8")
    with refused(DataError, value="wrong number of columns (no 'de')", where="t.jsonl:2"):
        read(path)
    assert read(path, on_error="skip") == [("a", "b")]


@pytest.mark.parametrize("several", [False, True])
def test_classes_have_the_names_that_are_written_beside_them(several: bool, tmp_path: Path) -> None:
    numbers = [1, 0, -1, 2]
    labels: list[Any] = [[0, number] for number in numbers] if several else numbers
    kind: dict[str, Any] = {"names": ["low", "high"], "_type": "ClassLabel"}
    kind = {"feature": kind, "_type": "List"} if several else kind
    said = {"info": {"features": {"text": {"dtype": "string", "_type": "Value"}, "label": kind}}}
    table = pyarrow.table({"text": ["a", "b", "c", "d"], "label": labels})
    whole = table.replace_schema_metadata({"huggingface": json.dumps(said)})
    path, forms = tmp_path / "t.parquet", (None, Labels("|") if several else None)
    parquet.write_table(whole.slice(0, 2), path)
    found = [label for _, label in read(path, ("text", "label"), forms=forms)]
    assert found == (["low|high", "low|low"] if several else ["high", "low"])
    if not several:
        parquet.write_table(whole, path)  # no class, and one without a name
        with refused(DataError, value="empty label", where="t.parquet:3"):
            read(path, ("text", "label"))
        found = read(path, ("text", "label"), on_error="skip")
        assert [label for _, label in found] == ["high", "low", "2"]
    for broken in (b"", b"{", b"[]", b'{"info": 3}', b'{"info": {"features": {"label": 7}}}'):
        parquet.write_table(table.replace_schema_metadata({"huggingface": broken}), path)
        assert read(path, ("text",)) == [("a",), ("b",), ("c",), ("d",)]


@pytest.mark.parametrize("form", ["csv", "tsv", "jsonl", "parquet"])
def test_a_split_may_have_a_folder_of_its_own(form: str, tmp_path: Path) -> None:
    def put(name: str, rows: list[tuple[str, str]]) -> None:
        (tmp_path / name).parent.mkdir(exist_ok=True)
        table = [{"en": a, "de": b} for a, b in rows]
        if form == "parquet":
            parquet.write_table(pyarrow.Table.from_pylist(table), tmp_path / name)
        elif form == "jsonl":
            (tmp_path / name).write_text("".join(json.dumps(row) + "\n" for row in table), "utf-8")
        else:
            comma = {"csv": ",", "tsv": "\t"}[form]
            lines = [comma.join(row.values()) for row in table]
            (tmp_path / name).write_text("\n".join([f"en{comma}de", *lines, ""]), "utf-8")

    put(f"train/pairs.{form}", ROWS)
    put(f"test/part-0.{form}", ROWS[:2])
    put(f"validation/test.{form}", ROWS[2:])  # whatever the file's own name says
    (tmp_path / "images").mkdir()
    data = open_data(tmp_path, ("en", "de"))
    found = {name: [row.values for row in rows] for name, rows in data.splits.items()}
    assert found == {"train": ROWS, "valid": ROWS[2:], "test": ROWS[:2]}
    before = data.fingerprint
    put(f"test/part-0.{form}", ROWS[:3])
    assert open_data(tmp_path, ("en", "de")).fingerprint != before
    put(f"test/part-1.{form}", ROWS[:1])
    with refused(DataError, key="the examples", where="test"):
        open_data(tmp_path, ("en", "de"))
