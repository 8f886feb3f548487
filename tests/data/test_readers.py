"""Laws of the readers: what is sound is read, what is broken is named, and nothing is dropped silently."""

from __future__ import annotations

import gzip
import os
import tracemalloc
from collections.abc import Callable
from itertools import islice
from pathlib import Path

import pytest

from regard.data.readers import open_data
from regard.data.readers.columns import looks_like_header, pick_columns
from regard.data.readers.lines import LINE_LIMIT
from regard.data.rows import DataSet
from regard.errors import ConfigError, DataError
from tests.data.tables import table_bytes
from tests.shared import refused

Write = Callable[[str, str | bytes], Path]
PAIR = (None, None)
PAIRS = [(f"source {number}", f"target {number}") for number in range(200)]


def values(data: DataSet, split: str) -> list[tuple[str, ...]]:
    return [row.values for row in data.split(split)]


FORMS = ("tsv", "csv", "jsonl", "parquet")

# ------------------------------------------------------------------------------------- what is sound


@pytest.mark.parametrize("form", FORMS)
def test_every_form_gives_the_same_rows(write: Write, form: str) -> None:
    path = write(f"pairs.{form}", table_bytes(form, ("source", "target"), PAIRS))
    data = open_data(path, PAIR, whole=True)
    assert data.columns == ("source", "target")
    assert values(data, "all") == PAIRS
    assert (data.report.read, data.report.kept) == (len(PAIRS), len(PAIRS))


@pytest.mark.parametrize("form", FORMS)
def test_a_file_is_never_listed_as_a_folder(write: Write, form: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Newer Pythons look when they are asked for what is in a folder, older ones at the first entry."""
    lists = Path.iterdir
    monkeypatch.setattr(Path, "iterdir", lambda self: iter(list(lists(self))))
    path = write(f"pairs.{form}", table_bytes(form, ("source", "target"), PAIRS))
    assert values(open_data(path, PAIR, whole=True), "all") == PAIRS


@pytest.mark.parametrize("form", ["tsv", "csv", "jsonl"])
def test_a_zipped_file_is_the_same_as_the_plain_one(write: Write, form: str) -> None:
    content = table_bytes(form, ("source", "target"), PAIRS)
    plain = open_data(write(f"pairs.{form}", content), PAIR)
    zipped = open_data(write(f"pairs.{form}.gz", gzip.compress(content)), PAIR)
    for split in plain.splits:
        assert values(plain, split) == values(zipped, split)


@pytest.mark.parametrize("form", FORMS)
def test_columns_are_taken_by_name_in_the_order_asked(write: Write, form: str) -> None:
    rows = [(str(number), f"de {number}", f"en {number}") for number in range(9)]
    path = write(f"pairs.{form}", table_bytes(form, ("id", "de", "en"), rows))
    data = open_data(path, ("en", "de"), whole=True)
    assert data.columns == ("en", "de")
    assert values(data, "all") == [(en, de) for _, de, en in rows]


def test_the_usual_names_win_over_the_order(write: Write) -> None:
    path = write("pairs.tsv", "target\tid\tsource\nt\t1\ts\n")
    assert values(open_data(path, PAIR, whole=True), "all") == [("s", "t")]


def test_where_names_the_file_and_the_line(write: Write) -> None:
    path = write("pairs.tsv", "en\tzh\na b\tc d\n\ne f\tg h\n")
    assert [row.where for row in open_data(path, PAIR, whole=True).split("all")] == [f"{path}:2", f"{path}:4"]


def test_parallel_files_are_columns_named_by_their_extensions(write: Write, tmp_path: Path) -> None:
    for split in ("train", "dev", "test"):
        write(f"{split}.en", "a\nb\n")
        write(f"{split}.de.gz", gzip.compress(b"A\nB\n"))
    data = open_data(tmp_path, ("en", "de"))
    assert list(data.splits) == ["train", "valid", "test"]
    assert values(data, "valid") == [("a", "A"), ("b", "B")]


def test_a_folder_with_one_parallel_pair_is_split_as_one_file(write: Write, tmp_path: Path) -> None:
    write("corpus.en", "".join(f"{a}\n" for a, _ in PAIRS))
    write("corpus.de", "".join(f"{b}\n" for _, b in PAIRS))
    data = open_data(tmp_path, ("en", None))
    assert list(data.splits) == ["train", "valid", "test"]
    assert sorted(pair for split in data.splits for pair in values(data, split)) == sorted(PAIRS)


def test_the_direction_of_parallel_files_is_never_guessed(write: Write, tmp_path: Path) -> None:
    write("train.en", "a\n")
    write("train.de", "b\n")
    with refused(DataError, value="'de', 'en'", where="train.de+train.en"):
        open_data(tmp_path, PAIR)


def test_a_csv_cell_may_hold_commas_quotes_and_line_ends(write: Write) -> None:
    rows = [('say "a", then b', "two\nlines"), ("x", "y")]
    path = write("pairs.csv", table_bytes("csv", ("source", "target"), rows))
    data = open_data(path, PAIR, whole=True)
    assert values(data, "all") == rows
    assert [row.where for row in data.split("all")] == [f"{path}:2", f"{path}:4"]


def test_a_byte_order_mark_and_windows_line_ends_are_no_part_of_the_text(write: Write) -> None:
    path = write("pairs.tsv", "\ufeffsource\ttarget\r\na b\tc d\r\n".encode())
    assert values(open_data(path, PAIR, whole=True), "all") == [("a b", "c d")]


def test_unicode_line_separators_do_not_end_a_line(write: Write) -> None:
    path = write("pairs.tsv", "source\ttarget\na\u2028b\x85c\tx\x0by\n")
    assert values(open_data(path, PAIR, whole=True), "all") == [("a\u2028b\x85c", "x\x0by")]


# -------------------------------------------------------------------------------------- header or not


@pytest.mark.parametrize(
    ("cells", "header"),
    [
        (("en", "zh"), True),
        (("source", "target"), True),
        (("English", "zh_Hans"), True),
        (("A man sleeps.", "Ein Mann schläft."), False),
        (("thorough", "θˈʌɹO"), False),
        (("same", "same"), False),
        (("a" * 33, "b"), False),
        (("", "b"), False),
    ],
)
def test_the_header_rule(cells: tuple[str, str], header: bool) -> None:
    assert looks_like_header(cells, PAIR) is header
    assert looks_like_header(cells, ("en", None)), "asking for a name asks for a header"


def test_a_file_without_header_loses_no_line(write: Write) -> None:
    path = write("pairs.tsv", "a man\tein Mann\na dog\tein Hund\n")
    data = open_data(path, PAIR, whole=True)
    assert data.columns == ("source", "target")
    assert data.split("all").count() == 2
    assert "no header" in str(data.report)


def test_a_wrong_column_name_is_refused_with_the_nearest(write: Write) -> None:
    path = write("pairs.tsv", "english\tchinese\na\tb\n")
    with refused(DataError, key="englsh", limit="'english', 'chinese'", where="pairs.tsv"):
        open_data(path, ("englsh", "chinese"))


def test_unclear_columns_are_listed_with_the_remedy() -> None:
    with refused(DataError, value="'id', 'en', 'de'", where="x.tsv"):
        pick_columns(("id", "en", "de"), PAIR, "x.tsv")
    with refused(DataError, value="'en'", limit=2, where="x.tsv"):
        pick_columns(("en",), PAIR, "x.tsv")
    with refused(DataError, value="en, en", where="x.tsv"):
        pick_columns(("en", "de"), ("en", "en"), "x.tsv")


# ------------------------------------------------------------------------------------------- broken rows

BROKEN_LINES = {
    "wrong number of columns": b"a\tb\tc",
    "empty target": b"a\t ",
    "empty source": b"\tb",
    "bad UTF-8": b"a\xff\tb",
    "NUL byte": b"a\0\tb",
    f"line over {LINE_LIMIT:,} characters": b"a" * 100_000 + b"\tb",
}


@pytest.mark.parametrize("reason", BROKEN_LINES)
def test_a_broken_row_is_refused_with_its_place_and_the_remedy(write: Write, reason: str) -> None:
    path = write("pairs.tsv", b"source\ttarget\ngood\tgood\n" + BROKEN_LINES[reason] + b"\nmore\tmore\n")
    with pytest.raises(DataError) as caught:
        open_data(path, PAIR, whole=True).split("all").count()
    assert str(caught.value).startswith(f"{path}:3: {reason}")
    assert "--on-error skip" in str(caught.value)


def test_broken_rows_are_skipped_and_counted_if_the_user_says_so(write: Write) -> None:
    path = write(
        "pairs.tsv", b"source\ttarget\n" + b"".join(line + b"\nx\ty\n" for line in BROKEN_LINES.values())
    )
    data = open_data(path, PAIR, on_error="skip", whole=True)
    assert values(data, "all") == [("x", "y")] * len(BROKEN_LINES)
    assert data.report.skipped == dict.fromkeys(BROKEN_LINES, 1)
    assert data.report.places("empty source") == [f"{path}:6"]


def test_a_line_of_exactly_the_limit_is_read(write: Write) -> None:
    longest = "字" * (LINE_LIMIT - 2) + "\tb"
    path = write("pairs.tsv", f"source\ttarget\n{longest}\n")
    assert open_data(path, PAIR, whole=True).split("all").count() == 1


def test_a_blank_line_is_counted_but_refuses_nothing(write: Write) -> None:
    data = open_data(write("pairs.tsv", "source\ttarget\na\tb\n\n"), PAIR, whole=True)
    assert data.split("all").count() == 1
    assert data.report.skipped == {"blank line": 1}


@pytest.mark.parametrize("text", ["\n", "\n\n  \n", "\ufeff\r\n", "\u3000\n\t\n" * 9])
@pytest.mark.parametrize("name", ["blank.txt", "blank.txt.gz"])
def test_a_text_of_blank_lines_alone_is_none(write: Write, name: str, text: str) -> None:
    def path(content: str) -> Path:
        return write(name, gzip.compress(content.encode()) if name.endswith("gz") else content)

    with refused(DataError, value="holds no text, only blank lines"):
        open_data(path(text), (None,))
    data = open_data(path(text + "字\n"), (None,), whole=True)
    assert values(data, "all")[-1] == ("字",)


def test_an_unclosed_quote_costs_one_line_and_not_the_rest_of_the_file(write: Write) -> None:
    text = 'source,target\n"open,x\n' + "good,row\n" * 30_000
    data = open_data(write("pairs.csv", text), PAIR, on_error="skip", whole=True)
    assert data.split("all").count() == 30_000
    assert data.report.skipped == {"unclosed quote": 1}


@pytest.mark.parametrize(
    ("line", "reason"),
    [
        ('{"source": "a"', "bad JSON"),
        ("[" * 90_000, "bad JSON"),
        ("[1, 2]", "bad JSON"),
        ('{"source": ' + "1" * 5000 + ', "target": "b"}', "bad JSON"),
        ('{"source": "a"}', "wrong number of columns"),
        ('{"source": "\\ud800", "target": "b"}', "bad UTF-8"),
        ('{"source": "\\u0000", "target": "b"}', "NUL byte"),
        ('{"source": ["a"], "target": "b"}', "not text"),
        ('{"source": null, "target": "b"}', "empty source"),
    ],
)
def test_a_broken_json_line_is_named(write: Write, line: str, reason: str) -> None:
    path = write("pairs.jsonl", '{"source": 1, "target": true}\n' + line + "\n")
    data = open_data(path, PAIR, on_error="skip", whole=True)
    assert values(data, "all") == [("1", "true")]
    assert data.report.skipped == {reason: 1}


def test_parallel_files_of_unequal_length_are_refused(write: Write, tmp_path: Path) -> None:
    write("train.en", "a\nb\nc\n")
    write("train.de", "A\nB\n")
    with refused(DataError, value="train.de ends before)", where="train.en:3"):
        open_data(tmp_path, ("en", "de")).split("train").count()


@pytest.mark.parametrize("content", [b"", b"\n\n", b"source\ttarget\n"])
def test_a_file_without_rows_is_refused(write: Write, content: bytes) -> None:
    path = write("pairs.tsv", content)
    with refused(DataError, where="pairs.tsv", remedy="give the name of a file with data"):
        open_data(path, PAIR).split("train").count()


# ---------------------------------------------------------------------------------- files that are not there


def test_a_cut_gzip_file_is_refused_by_name(write: Write) -> None:
    whole = gzip.compress(os.urandom(20_000).hex().encode() + b"\n")
    with refused(DataError, value="it is not a whole gzip file (Compressed file", where="a.txt.gz"):
        open_data(write("a.txt.gz", whole[:5000]), (None,)).split("train").count()
    with refused(
        DataError, value="it is not a whole gzip file (Not a gzipped file (b'a\\t'))", where="b.tsv.gz"
    ):
        open_data(write("b.tsv.gz", b"a\tb\n"), PAIR)


def test_what_cannot_be_read_is_one_sentence(write: Write, tmp_path: Path) -> None:
    write("empty/notes.md", "nothing")
    write("twice/train.tsv", "a\tb\n")
    write("twice/train.csv", "a,b\n")
    (tmp_path / "folder.tsv").mkdir()
    os.mkfifo(tmp_path / "pipe.tsv")
    cases = {
        "missing.tsv": {"value": str(tmp_path / "missing.tsv")},
        "image.png": {"value": str(tmp_path / "image.png")},
        "empty": {"limit": ".tsv, .csv, .jsonl, .json, .parquet or parallel"},
        "twice": {"key": "the split 'train'", "value": "train.csv, train.tsv", "where": "twice"},
        "folder.tsv": {"limit": ".tsv, .csv, .jsonl, .json, .parquet or parallel"},
        "pipe.tsv": {"value": "is not a regular file", "where": "pipe.tsv"},
        "x" * 5000: {"value": str(tmp_path / ("x" * 5000))},
        "pairs/train.tsv/x": {"value": str(tmp_path / "pairs/train.tsv/x")},
    }
    for name, parts in cases.items():
        with refused(DataError, **parts) as caught:
            open_data(str(tmp_path / name), PAIR)
        assert "\n" not in str(caught.value)
    for name in ("", "a\0b", "~nobody-of-this-name/pairs.tsv"):
        with pytest.raises(DataError):
            open_data(name, PAIR)


def test_a_mistyped_option_is_not_taken_for_its_default(write: Write) -> None:
    with refused(ConfigError, key="on_error", value="ignore", limit="refuse or skip"):
        open_data(write("a.tsv", "a\tb\n"), PAIR, on_error="ignore")  # type: ignore[arg-type]


def test_an_unknown_name_is_refused_with_the_nearest() -> None:
    with refused(DataError, value="speling"):
        open_data("speling", PAIR)


def test_a_path_that_exists_wins_over_a_name_only_if_it_looks_like_a_path(
    write: Write, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write("dates/train.tsv", "source\ttarget\na\tb\n")
    monkeypatch.chdir(tmp_path)
    assert open_data("./dates", PAIR).columns == ("source", "target")
    named = open_data("dates", PAIR)
    assert named.columns == ("english", "chinese")
    assert "./dates" in str(named.report)


# ------------------------------------------------------------------------------------------------- memory


@pytest.mark.parametrize(
    ("name", "line"), [("pairs.tsv", b"x" * 50 + b"\t" + b"y" * 50 + b"\n"), ("one.jsonl", b"x" * (1 << 20))]
)
def test_a_large_file_is_read_in_bounded_memory(write: Write, name: str, line: bytes) -> None:
    path = write(name, b'{"source": "a", "target": "b"}\n' if name.endswith("jsonl") else b"")
    with path.open("ab") as file:
        for _ in range(30_000_000 // len(line)):
            file.write(line)
    tracemalloc.start()
    try:
        for row in islice(open_data(path, PAIR, on_error="skip", whole=True).split("all"), 20_000):
            assert row.values
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert peak < 8_000_000


# --------------------------------------------------------------------------------------------- real data


def test_real_sets_have_the_published_sizes(real_data: Path) -> None:
    sizes = {"train": 29_000, "valid": 1_014, "test": 1_000}
    for name in ("multi30k", "multi30k-tok"):
        data = open_data(name, PAIR)
        assert data.columns == ("en", "de")
        assert {split: rows.count() for split, rows in data.splits.items()} == sizes
    tatoeba = open_data("tatoeba-en-zh", PAIR)
    assert {split: rows.count() for split, rows in tatoeba.splits.items()} == {
        "train": 25_989,
        "valid": 1_000,
        "test": 1_000,
    }
    reviews = open_data("sst2", ("text", "label"))
    assert {row.values[1] for row in reviews.split("train")} == {"positive", "negative"}


def test_shakespeare_comes_back_to_the_character(real_data: Path) -> None:
    data = open_data("tinyshakespeare", (None,))
    assert list(data.splits) == ["train", "valid"]
    text = "".join(row.values[0] + "\n" for rows in data.splits.values() for row in rows)
    assert len(text) == 1_115_394
    assert text.encode() == (real_data / "tinyshakespeare" / "input.txt").read_bytes()
