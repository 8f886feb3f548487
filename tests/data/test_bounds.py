"""Whatever a file claims or unpacks to, reading it takes little time and memory, and its fault is placed."""

from __future__ import annotations

import gzip
import json
import os
import struct
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pyarrow
import pytest
from pyarrow import parquet

from regard.data.readers.lines import LINE_LIMIT

SECONDS, MEMORY = 5.0, 256 << 20
SLOWER = 4
"""By how much another machine may be slower than one that keeps the limit above."""

MIB = 1 << 20
MEMBER = 16 * MIB
TABLE = "text,label"


def zipped(content: bytes, times: int, before: bytes = b"", after: bytes = b"") -> bytes:
    """A gzip file of `content` again and again: its members follow one another."""
    return gzip.compress(before) + gzip.compress(content, 1) * times + gzip.compress(after)


def long_line(path: Path) -> None:
    """Of 4 GiB, without taking a place on the disk."""
    with path.open("wb") as file:
        file.write({".tsv": b"text\tlabel\n", ".csv": b"text,label\n"}.get(path.suffix, b""))
        file.truncate(1 << 32)


def long_cell(path: Path) -> None:
    cell = pyarrow.array(["a" * (110 * MIB)], pyarrow.large_string())
    some = pyarrow.table(
        {"text": pyarrow.concat_arrays([pyarrow.array(["b"] * 9, pyarrow.large_string()), cell])}
    )
    parquet.write_table(some.append_column("label", [["x"] * 10]), path, compression="zstd")


def shared_cells(path: Path, length: int) -> None:
    cells = pyarrow.DictionaryArray.from_arrays([0] * 20_000, ["b" * length])
    parquet.write_table(
        pyarrow.table({"text": cells, "label": ["x", "y"] * 10_000}), path, compression="zstd"
    )


def long_lists(path: Path) -> None:
    numbers = pyarrow.array(range(2 * MIB))
    lists = pyarrow.ListArray.from_arrays([0, 1, len(numbers)], numbers)
    parquet.write_table(pyarrow.table({"text": ["a", "b"], "label": lists}), path)


def listed(path: Path, rows: int, times: int) -> None:
    """Lists in which one long text stands so often."""
    texts = pyarrow.DictionaryArray.from_arrays([0] * (rows * times), ["b" * 90_000])
    lists = pyarrow.ListArray.from_arrays(range(0, rows * times + 1, times), texts)
    parquet.write_table(pyarrow.table({"text": ["a"] * rows, "label": lists}), path, compression="zstd")


def images(path: Path) -> None:
    """MNIST's files, that claim two billion images."""
    path.mkdir()
    head = struct.pack(">4B3I", 0, 0, 8, 3, 2**31, 1000, 1000)
    (path / "train-images-idx3-ubyte.gz").write_bytes(zipped(bytes(MEMBER), 32, head))
    (path / "train-labels-idx1-ubyte.gz").write_bytes(
        zipped(bytes(MEMBER), 32, struct.pack(">4BI", 0, 0, 8, 1, 2**31))
    )


def parallel(path: Path) -> None:
    path.mkdir()
    for end in ("text", "label"):
        (path / f"train.{end}.gz").write_bytes(zipped(bytes(MEMBER), 32))


Make = Callable[[Path], object]
HOSTILE: dict[str, tuple[str, str, Make, str]] = {
    **{
        f"a line of 4 GiB in {form}": (f"x.{form}", columns, long_line, f"x.{form}:")
        for form, columns in (("tsv", TABLE), ("csv", TABLE), ("jsonl", TABLE), ("txt", "text"))
    },
    **{
        f"half a GiB of {what} in {form}": (
            f"{what.replace(' ', '')}.{form}",
            columns,
            lambda path, filler=filler: path.write_bytes(zipped(filler * MEMBER, 32)),
            "",
        )
        for what, filler in (("zeros", b"\0"), ("blank lines", b"\n"), ("spaces", b" "))
        for form, columns in (
            ("tsv.gz", TABLE),
            ("csv.gz", TABLE),
            ("jsonl.gz", TABLE),
            ("txt.gz", "text"),
            ("json.gz", "context,question,answers"),
        )
    },
    "parallel files": ("parallel", TABLE, parallel, "train."),
    "a cell of 110 MiB": ("cell.parquet", TABLE, long_cell, "cell.parquet:1: a page of 'text'"),
    "2 GB of one text": (
        "shared.parquet",
        TABLE,
        lambda path: shared_cells(path, 99_000),
        "the cells up to here have over 200 times",
    ),
    "a text 100 times in each of 1,000 lists": (
        "lists100.parquet",
        TABLE,
        lambda path: listed(path, 1000, 100),
        "lists100.parquet:1: not text",
    ),
    "20 GB of one text": (
        "longer.parquet",
        TABLE,
        lambda path: shared_cells(path, MIB),
        "longer.parquet:1: cell over",
    ),
    "lists": ("lists.parquet", TABLE, long_lists, "lists.parquet:1: not text"),
    "values": (
        "values.json",
        "context,question,answers",
        lambda path: path.write_bytes(b'{"data":[' + b"[]," * 20_000_000 + b"[]]}"),
        "holds too many values",
    ),
    "deep JSON": (
        "deep.jsonl",
        TABLE,
        lambda path: path.write_text('{"text": "a", "label": "b"}\n' + "[" * (LINE_LIMIT - 1) + "\n"),
        "deep.jsonl:2: bad JSON",
    ),
    "an open quote": (
        "quote.csv",
        TABLE,
        lambda path: path.write_text('text,label\na,"b\n' + "c,d\n" * 500_000),
        "quote.csv:2: unclosed quote",
    ),
    "a long field": (
        "field.csv",
        TABLE,
        lambda path: path.write_text('text,label\na,"' + "b" * (LINE_LIMIT - 10) + '"\n'),
        "",
    ),
    "images": ("images", "image,label", images, "images-idx3-ubyte.gz"),
}


@pytest.fixture(scope="module")
def took(tmp_path_factory: pytest.TempPathFactory) -> dict[str, dict[str, object]]:
    """What reading each of them took, and a sound one."""
    folder = tmp_path_factory.mktemp("hostile")
    sound = folder / "sound.tsv"
    sound.write_text("text\tlabel\n" + "a\tb\n" * 1000, "utf-8")
    asked = [f"{sound}:{TABLE}"]
    for name, columns, make, _ in HOSTILE.values():
        if not (folder / name).exists():
            make(folder / name)
        asked.append(f"{folder / name}:{columns}")
    program = [sys.executable, str(Path(__file__).with_name("drain.py")), *asked]
    done = subprocess.run(program, stdout=subprocess.PIPE, text=True, check=True, timeout=500)
    return dict(zip(["sound", *HOSTILE], map(json.loads, done.stdout.splitlines()), strict=True))


@pytest.mark.skipif(not hasattr(os, "wait4"), reason="memory is measured by wait4")
@pytest.mark.parametrize("name", HOSTILE)
def test_a_hostile_file_is_bounded_and_refused_by_name(took: dict[str, dict[str, float]], name: str) -> None:
    found, sound = took[name], took["sound"]
    assert found["seconds"] < SLOWER * SECONDS, found
    assert found["memory"] - sound["memory"] < MEMORY, (found, sound)
    file, _, _, said = HOSTILE[name]
    assert found["said"] or not said
    assert said in str(found["said"])
    if found["said"]:
        assert file.split(".")[0] in str(found["said"])
