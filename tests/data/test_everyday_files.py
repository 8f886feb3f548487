"""Files as people bring them: other encodings, borders and line ends, lists in columns, shards, arrays.

Each is told from what it holds, and never at the cost of a text that merely holds the same characters.
"""

from __future__ import annotations

import codecs
import gzip
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pandas
import pytest

from regard.data.documents import pieces
from regard.data.readers import columns_of, open_data
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


# -------------------------------------------------------------------------------- encodings and line ends

MARKS = {
    "utf-16-le": codecs.BOM_UTF16_LE,
    "utf-16-be": codecs.BOM_UTF16_BE,
    "utf-32-le": codecs.BOM_UTF32_LE,
    "utf-32-be": codecs.BOM_UTF32_BE,
    "utf-8": codecs.BOM_UTF8,
}


@pytest.mark.parametrize("encoding", MARKS)
@pytest.mark.parametrize("ending", ["\n", "\r\n", "\r"])
@pytest.mark.parametrize("name", ["pairs.tsv", "pairs.tsv.gz", "pairs.csv"])
def test_unicode_is_read_in_every_encoding_and_with_every_line_end(
    write: Write, encoding: str, ending: str, name: str
) -> None:
    text = TABLE.replace("\t", "," if ".csv" in name else "\t").replace("\n", ending)
    content = MARKS[encoding] + text.encode(encoding)
    assert read(write(name, gzip.compress(content) if name.endswith(".gz") else content)) == ROWS


@pytest.mark.parametrize("form", ["jsonl", "json", "txt"])
def test_json_and_running_text_may_be_utf_16(write: Write, form: str) -> None:
    objects = [{"text": text} for text, _ in ROWS]
    lines = {
        "jsonl": "".join(json.dumps(item) + "\n" for item in objects),
        "json": json.dumps(objects),
        "txt": "\n".join(text for text, _ in ROWS),
    }
    path = write(f"a.{form}", codecs.BOM_UTF16_LE + lines[form].encode("utf-16-le"))
    assert read(path, (None,)) == [(text,) for text, _ in ROWS]


@pytest.mark.parametrize("encoding", ["utf-16-le", "utf-16-be"])
def test_utf_16_that_does_not_say_so_is_named(write: Write, encoding: str) -> None:
    with refused(DataError, where="pairs.tsv", remedy="save it as UTF-8"):
        read(write("pairs.tsv", TABLE.encode(encoding)))


def test_half_a_file_of_utf_16_is_named(write: Write) -> None:
    content = codecs.BOM_UTF16_LE + TABLE.encode("utf-16-le")
    with refused(DataError, limit="UTF-16", where="pairs.tsv"):
        read(write("pairs.tsv", content[:-1]))
    lone = codecs.BOM_UTF16_LE + TABLE.encode("utf-16-le") + b"\x00\xd8\t\x00a\x00\n\x00"
    with refused(DataError, value="bad UTF-8 (byte 1 of the line)", where="pairs.tsv:6"):
        read(write("pairs.tsv", lone))


def test_a_carriage_return_beside_line_feeds_is_a_character(write: Write) -> None:
    assert read(write("pairs.tsv", "source\ttarget\na\rb\tc\rd\n")) == [("a\rb", "c\rd")]
    assert read(write("a.txt", "10 %\r20 %\ndone\n"), (None,)) == [("10 %\r20 %",), ("done",)]


# ----------------------------------------------------------------------------------------------- borders


@pytest.mark.parametrize("delimiter", [",", ";", "\t"])
@pytest.mark.parametrize("header", [True, False])
@pytest.mark.parametrize("declared", [True, False])
def test_a_csv_is_read_with_the_delimiter_that_it_has(
    write: Write, delimiter: str, header: bool, declared: bool
) -> None:
    rows = [("one, two; three", 'say "x"'), ("1,5", "two\nlines"), ("a b", "c d"), ("e f", "g;h,i")]
    if not header and not declared:  # commas in the texts, as many or not
        rows += [("Yes, sir", "Ja, Herr")]
    frame = pandas.DataFrame(rows, columns=["source", "target"])
    text = frame.to_csv(sep=delimiter, index=False, header=header, lineterminator="\n")
    path = write("pairs.csv", (f"sep={delimiter}\n" if declared else "") + text)
    data = open_data(path, PAIR, whole=True)
    assert [row.values for row in data.split("all")] == rows
    assert ("for commas" in str(data.report)) == (delimiter != ",")


def test_columns_between_semicolons_are_found_by_name_and_listed(write: Write) -> None:
    path = write("reviews.csv", "text;label\nHello, world;good\nno; that is;bad\nWell, well;good\nok;bad\n")
    assert columns_of(path) == ("text", "label")
    assert read(path, ("text", "label"), on_error="skip") == [
        ("Hello, world", "good"),
        ("Well, well", "good"),
        ("ok", "bad"),
    ]
    assert read(path, (None,), on_error="skip")[0] == ("Hello, world",)


@pytest.mark.parametrize(
    ("text", "rows"),
    [
        ("text\nfirst; second\nno\nthird; fourth; fifth\n", ["first; second", "no", "third; fourth; fifth"]),
        ("text\na; b\nc; d\ne; f\n", ["a; b", "c; d", "e; f"]),
        ("One thing; another.\nSecond thing; more.\n", ["One thing; another.", "Second thing; more."]),
        ("Yes;no\nfor;ever\n", ["Yes;no", "for;ever"]),
        ("a; b\n", ["a; b"]),
    ],
)
def test_a_text_that_holds_semicolons_stays_one_column(write: Write, text: str, rows: list[str]) -> None:
    assert read(write("a.csv", text), (None,)) == [(row,) for row in rows]


def test_commas_win_where_both_fit(write: Write) -> None:
    path = write("pairs.csv", "source,target\na; b,c; d\ne; f,g; h\n")
    assert read(path) == [("a; b", "c; d"), ("e; f", "g; h")]
    assert read(write("p.csv", "en;x,de;y\na; b,c; d\n")) == [("en;x", "de;y"), ("a; b", "c; d")]


# ------------------------------------------------------------------------------------------ quoted .tsv

QUOTED = {
    "quotes": [("plain", "text"), ('say "x"', 'er sagt "y"'), ("more", "mehr")],
    "tabs": [("plain", "text"), ("a\tb", "c"), ("more", "mehr")],
    "lines": [("plain", "text"), ("two\nlines", "zwei\nZeilen"), ("more", "mehr")],
    "late": [("plain", "text")] * 500 + [('the "end"', "das Ende")],
    "first": [('"Hello," he said.', "x"), ("plain", "text")],
}


@pytest.mark.parametrize("kind", QUOTED)
@pytest.mark.parametrize("index", [True, False])
@pytest.mark.parametrize("quoting", [0, 1, 2])
def test_a_tsv_of_pandas_is_read_as_pandas_wrote_it(
    write: Write, kind: str, index: bool, quoting: int
) -> None:
    frame = pandas.DataFrame(QUOTED[kind], columns=["source", "target"])
    text = frame.to_csv(sep="\t", index=index, quoting=quoting, lineterminator="\n")
    assert read(write("pairs.tsv", text)) == QUOTED[kind]


@pytest.mark.parametrize(
    "rows",
    [
        [('"Hello," he said.', '"Hallo", sagte er.')],
        [('"Hello."', '"Hallo."')],
        [('"Hello."', "Hallo.")] * 3,
        [('a 6" nail', "ein Nagel"), ('"', "Anführungszeichen")],
        [('"Hello', "Hallo"), ('you"', "du"), ("plain", "x")],
        [('"Hello', 'Hallo"'), ("plain", "x")],
        [('""', "leer"), ("x", '""')],
        [('""Hello""', '"x"'), ('he said ""x""', "y")],
        [('"a" and "b"', '"c"'), ('"d"', "e")],
    ],
)
@pytest.mark.parametrize("header", [True, False])
def test_a_tsv_that_merely_holds_quotes_keeps_them(
    write: Write, rows: list[tuple[str, str]], header: bool
) -> None:
    lines = [("source", "target"), *rows] if header else [("some text", "ein Text"), *rows]
    text = "".join(f"{a}\t{b}\n" for a, b in lines)
    assert read(write("pairs.tsv", text)) == (rows if header else lines)


# --------------------------------------------------------------------------------- shards and split names


@pytest.mark.parametrize("form", ["parquet", "jsonl", "csv", "tsv"])
@pytest.mark.parametrize("inside", ["", "data/"])
def test_shards_are_one_split(write: Write, tmp_path: Path, form: str, inside: str) -> None:
    for split, count in (("train", 2), ("validation", 1), ("test", 1)):
        for number in range(count):
            rows = [{"source": f"{split} {number} {n}", "target": "t"} for n in range(3)]
            write(f"hub/{inside}{split}-{number:05}-of-{count:05}.{form}", stored(form, rows))
    write("hub/README.md", "about")
    if inside:
        write("hub/dataset_infos.json", '{"default": {}}')
    data = open_data(tmp_path / "hub", PAIR)
    assert list(data.splits) == ["train", "valid", "test"]
    assert [row.values[0] for row in data.split("train")] == [
        f"train {number} {n}" for number in range(2) for n in range(3)
    ]


def test_the_fingerprint_is_of_the_files_inside_too(write: Write, tmp_path: Path) -> None:
    write("hub/data/train-00000-of-00001.tsv", TABLE)
    first = open_data(tmp_path / "hub", PAIR).fingerprint
    write("hub/data/train-00000-of-00001.tsv", TABLE + "more\tmehr\n")
    assert open_data(tmp_path / "hub", PAIR).fingerprint != first


def test_a_missing_shard_is_named(write: Write, tmp_path: Path) -> None:
    write("hub/train-00000-of-00003.jsonl", '{"source": "a", "target": "b"}\n')
    write("hub/train-00002-of-00003.jsonl", '{"source": "a", "target": "b"}\n')
    with refused(DataError, value=1, limit=3, where="train-00000-of-00003.jsonl"):
        open_data(tmp_path / "hub", PAIR)


@pytest.mark.parametrize("name", ["eval", "validation", "dev", "valid", "val", "Dev"])
def test_the_part_that_chooses_has_many_names(write: Write, tmp_path: Path, name: str) -> None:
    write("set/train.tsv", TABLE)
    write(f"set/{name}.tsv", "source\ttarget\na\tb\n")
    data = open_data(tmp_path / "set", PAIR)
    assert list(data.splits) == ["train", "valid"]
    for asked in ("eval", "validation", "dev", "val", "valid"):
        assert data.split(asked).count() == 1


def test_eval_beside_dev_is_the_test(write: Write, tmp_path: Path) -> None:
    for name in ("train", "dev", "eval"):
        write(f"set/{name}.tsv", f"source\ttarget\n{name}\tb\n")
    data = open_data(tmp_path / "set", PAIR)
    assert {split: [row.values[0] for row in rows] for split, rows in data.splits.items()} == {
        "train": ["train"],
        "valid": ["dev"],
        "test": ["eval"],
    }


# ------------------------------------------------------------------------------------- running text


@pytest.mark.parametrize("blanks", [True, False])
@pytest.mark.parametrize("size", [5_000, 20_000, 300_000])
def test_a_running_text_may_stand_on_one_line(write: Write, blanks: bool, size: int) -> None:
    unit = "the cat 字 sat " if blanks else "猫坐在这里"
    text = (unit * size)[:size]
    data = open_data(write("a.txt", text), (None,))
    parts = {split: "".join(text for text, _ in pieces(rows)) for split, rows in data.splits.items()}
    assert "".join(parts.values()).removesuffix("\n") == text
    if size >= 20_000:
        assert abs(len(parts["train"]) / len(text) - 0.9) < 0.06
        assert parts["valid"]
        assert parts["test"]


def test_long_lines_among_others_keep_their_breaks(write: Write) -> None:
    text = "short\n" + "long " * 30_000 + "\n\nlast\n" + "字" * 9_000 + "\r\nend\n"
    rows = open_data(write("a.txt", text), (None,), whole=True).split("all")
    assert "".join(text for text, _ in pieces(rows)) == text.replace("\r\n", "\n")


# -------------------------------------------------------------------------------------- the first row

FIRST = {
    "tsv": ["a\xff", "", "x", "a\tb\tc", "\0\tb"],
    "csv": ['"open', "a\xff", "", "x", "a,b,c", "\0,b"],
    "jsonl": ["{", "", "[1]", '{"source": "a"}', '{"source": "\\ud800", "target": "b"}', '{"other": 1}'],
}


@pytest.mark.parametrize(("form", "line"), [(form, line) for form, lines in FIRST.items() for line in lines])
@pytest.mark.parametrize("header", [True, False])
def test_a_broken_first_row_is_left_out_like_any_other(
    write: Write, form: str, line: str, header: bool
) -> None:
    sound = {
        "tsv": ["a b\tc d", "e f\tg h"],
        "csv": ["a b,c d", "e f,g h"],
        "jsonl": ['{"source": "a b", "target": "c d"}', '{"source": "e f", "target": "g h"}'],
    }[form]
    names = {"tsv": "source\ttarget", "csv": "source,target"}.get(form) if header else None
    lines = [line, *([names] if names else []), *sound]
    path = write(f"pairs.{form}", "\n".join(lines).encode("latin-1") + b"\n")
    data = open_data(path, PAIR, on_error="skip", whole=True)
    assert [row.values for row in data.split("all")] == [("a b", "c d"), ("e f", "g h")]
    assert data.report.read == len(lines) - (names is not None)
    if line:
        with pytest.raises(DataError):
            read(path)


def test_the_first_row_may_be_broken_before_columns_asked_for_by_name(write: Write) -> None:
    path = write("pairs.tsv", "# made by hand\nen\tde\na\tb\n")
    assert read(path, ("en", "de"), on_error="skip") == [("a", "b")]
    path = write("pairs.json", '[{"en": "x"}, {"en": "a", "de": "b"}]')
    assert read(path, ("en", "de"), on_error="skip") == [("a", "b")]
