"""Data that are changed while they are read are noticed, whatever their form and however they are changed."""

from __future__ import annotations

import gzip
import json
import os
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from regard.data.field import Field
from regard.data.readers import open_data
from regard.data.rows import DataSet
from regard.data.store import write_store
from regard.errors import DataError
from tests.shared import refused

ROWS = [(f"the man rides {i}", "ab"[i % 2]) for i in range(5000)]


def tsv() -> bytes:
    return ("text\tlabel\n" + "".join(f"{x}\t{y}\n" for x, y in ROWS)).encode()


def jsonl() -> bytes:
    return "".join(json.dumps({"text": x, "label": y}) + "\n" for x, y in ROWS).encode()


def parquet() -> bytes:
    arrow = pytest.importorskip("pyarrow")
    pq = pytest.importorskip("pyarrow.parquet")
    sink = arrow.BufferOutputStream()
    pq.write_table(arrow.table({"text": [x for x, _ in ROWS], "label": [y for _, y in ROWS]}), sink)
    return bytes(sink.getvalue())


FORMS: dict[str, Callable[[], bytes]] = {
    "x.tsv": tsv,
    "x.csv": lambda: tsv().replace(b"\t", b","),
    "x.jsonl": jsonl,
    "x.tsv.gz": lambda: gzip.compress(tsv()),
    "x.txt": lambda: "".join(x + "\n" for x, _ in ROWS).encode(),
    "x.parquet": parquet,
}


FIELDS = (Field.indices("tokens", 7),)


def cut(path: Path) -> None:
    os.truncate(path, path.stat().st_size // 2)


def grown(path: Path) -> None:
    with path.open("ab") as file:
        file.write(b"more\tb\n")


def replaced(path: Path) -> None:
    other = path.with_name("other")
    other.write_bytes(path.read_bytes())
    other.replace(path)


def edited(path: Path) -> None:
    """As long as before."""
    path.write_bytes(path.read_bytes().replace(b"rides", b"walks"))
    status = path.stat()
    os.utime(path, ns=(status.st_atime_ns, status.st_mtime_ns + 1))


def deleted(path: Path) -> None:
    path.unlink()


CHANGES = (cut, grown, replaced, edited, deleted)


def opened(path: Path) -> DataSet:
    return open_data(path, (None,) if path.name == "x.txt" else ("text", "label"), on_error="skip")


@pytest.mark.parametrize("change", CHANGES)
@pytest.mark.parametrize("name", FORMS)
def test_a_change_in_a_pass_or_between_two_is_noticed(
    name: str, change: Callable[[Path], None], tmp_path: Path
) -> None:
    path = tmp_path / name
    for midway in (True, False):
        path.write_bytes(FORMS[name]())
        rows = opened(path).split("train")
        if midway:
            reading = iter(rows)
            next(reading)
            change(path)
        else:
            assert rows.count()
            change(path)
            reading = iter(rows)
        with pytest.raises(DataError, match=r"was changed while it was read|cannot read"):
            list(reading)


@pytest.mark.parametrize("name", FORMS)
def test_data_that_stay_are_read_again_and_again(name: str, tmp_path: Path) -> None:
    path = tmp_path / name
    path.write_bytes(FORMS[name]())
    rows = opened(path).split("train")
    (tmp_path / "another file").write_text("of the same folder", "utf-8")
    assert rows.count() == rows.count() > 4000


def test_a_change_that_neither_size_nor_time_tells_of_is_noticed(tmp_path: Path) -> None:
    path = tmp_path / "x.tsv"
    path.write_bytes(tsv())
    rows = opened(path).split("train")
    assert rows.count()
    status = path.stat()
    with path.open("r+b") as file:
        file.write(tsv().replace(b"rides", b"walks"))
    os.utime(path, ns=(status.st_atime_ns, status.st_mtime_ns))
    with refused(DataError, where="x.tsv", remedy="start anew with data that stay"):
        rows.count()


def test_a_image_that_is_changed_or_added_is_noticed(tmp_path: Path) -> None:
    image = pytest.importorskip("PIL.Image")
    for label in "ab":
        (tmp_path / label).mkdir()
        for i in range(20):
            image.new("L", (4, 4), 9 * i + ord(label)).save(tmp_path / label / f"{i}.png")
    for change in (
        lambda: image.new("L", (4, 4), 255).save(tmp_path / "a" / "3.png"),
        lambda: image.new("L", (4, 4), 255).save(tmp_path / "a" / "new.png"),
    ):
        rows = open_data(tmp_path, ("image", "label")).split("train")
        reading = iter(rows)
        next(reading)
        change()
        with refused(DataError, remedy="start anew with data that stay"):
            list(reading)


@pytest.mark.parametrize("change", [cut, grown, edited])
def test_a_store_that_is_changed_in_use_stops_with_a_sentence(
    change: Callable[[Path], None], tmp_path: Path
) -> None:
    """What is mapped and has been cut off would end the process with SIGBUS."""
    store = write_store(tmp_path, (([i % 7] * 5000,) for i in range(50)), FIELDS)
    store.padded([49], "tokens")
    change(tmp_path / "tokens.npy")
    with refused(DataError, where="tokens.npy", remedy="start anew with --overwrite"):
        store.padded(np.arange(50), "tokens")


def test_a_store_whose_name_has_gone_is_whole(tmp_path: Path) -> None:
    store = write_store(tmp_path, (([1, 2],) for _ in range(3)), FIELDS)
    for path in tmp_path.iterdir():
        path.unlink()
    assert store[2]["tokens"].tolist() == [1, 2]
