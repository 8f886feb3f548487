"""Laws of the token store."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from regard.data.store import open_store, write_store
from regard.errors import DataError, RegardError, StorageError
from tests.shared import refused

Examples = list[tuple[list[int], ...]]


def some_examples(count: int = 101, columns: int = 2, vocab: int = 997) -> Examples:
    chance = np.random.default_rng(5)
    return [
        tuple(chance.integers(0, vocab, chance.integers(0, 13)).tolist() for _ in range(columns))
        for _ in range(count)
    ]


@settings(max_examples=200, deadline=None)
@given(st.data())
def test_what_was_written_is_read(tmp_path_factory, data):
    columns = data.draw(st.integers(1, 3))
    vocab = data.draw(st.sampled_from([1, 97, 65_535, 65_536, 65_537, 1 << 31]))
    row = st.tuples(*[st.lists(st.integers(0, vocab - 1), max_size=7)] * columns)
    examples = data.draw(st.lists(row, max_size=9))
    path = tmp_path_factory.mktemp("store") / "ids"
    store = write_store(path, iter(examples), columns, vocab)
    assert [store[i] for i in range(len(store))] == examples
    assert store.lengths.tolist() == [[len(ids) for ids in example] for example in examples]
    assert store.nbytes == path.stat().st_size
    assert (store.vocab, store.columns) == (vocab, columns)


def test_a_batch_is_padded_on_the_right_in_the_order_asked(tmp_path: Path):
    store = write_store(tmp_path / "ids", [([5, 6], [7]), ([], [8, 9, 10]), ([11], [])], 2, 97)
    ids, lengths = store.batch([2, 0, 1], 0, pad=3)
    assert ids.tolist() == [[11, 3], [5, 6], [3, 3]]
    assert ids.dtype == np.int64
    assert lengths.tolist() == [1, 2, 0]
    ids, lengths = store.batch(np.array([1, 0]), 1)
    assert ids.tolist() == [[8, 9, 10], [7, 0, 0]]
    assert store.batch([], 0)[0].shape == (0, 0)
    assert [row.tolist() for row in store.column(1, [0, 2])] == [[7], []]
    with pytest.raises(IndexError):
        store.batch([0], 2)
    with pytest.raises(IndexError):
        store[3]


def test_a_batch_equals_its_examples_taken_one_by_one(tmp_path: Path):
    examples = some_examples()
    store = write_store(tmp_path / "ids", examples, 2, 997)
    rows = np.random.default_rng(1).permutation(101)[:53]
    for column in range(2):
        ids, lengths = store.batch(rows, column)
        assert [ids[i, : lengths[i]].tolist() for i in range(53)] == [examples[row][column] for row in rows]
        assert all(not ids[i, lengths[i] :].any() for i in range(53))


def test_many_flushes_write_the_same_file_as_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    write_store(tmp_path / "one", some_examples(), 2, 997)
    monkeypatch.setattr("regard.data.store._BUFFER", 64)
    monkeypatch.setattr("regard.data.store._CHUNK", 7)
    store = write_store(tmp_path / "many", some_examples(), 2, 997)
    assert (tmp_path / "one").read_bytes() == (tmp_path / "many").read_bytes()
    assert len(store) == 101


def test_a_store_cut_short_or_longer_is_refused(tmp_path: Path):
    path = tmp_path / "ids"
    write_store(path, some_examples(), 2, 997)
    whole = path.read_bytes()
    for size in (0, 7, 100, 4096, 5000, len(whole) - 1):
        path.write_bytes(whole[:size])
        with refused(DataError, where="ids"):
            open_store(path)
    path.write_bytes(whole + b"\0")
    with refused(DataError, value=8169, limit=8168, where="ids"):
        open_store(path)
    with refused(DataError, value="No such file or directory", where="nothing"):
        open_store(tmp_path / "nothing")
    with refused(DataError, value="Is a directory"):
        open_store(tmp_path)


@pytest.fixture(scope="module")
def written(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("written") / "ids"
    write_store(path, some_examples(), 2, 997)
    return path


@settings(max_examples=1000, deadline=None)
@given(
    st.lists(
        st.tuples(st.integers(0, 7000), st.integers(0, 255))
        | st.tuples(st.integers(0, 200), st.integers(0, 255)),
        min_size=1,
        max_size=5,
    )
)
def test_a_store_with_changed_bytes_gives_an_answer_or_one_clear_error(written: Path, changes):
    raw = bytearray(written.read_bytes())
    for place, value in changes:
        raw[place % len(raw)] = value
    path = written.with_name("changed")
    path.write_bytes(raw)
    message = str(path)
    try:
        store = open_store(path)
        for column in range(store.columns):
            ids, _ = store.batch(np.arange(len(store)), column)
            assert ids.max() < store.vocab
    except RegardError as error:
        message = str(error)
    assert str(path) in message


def test_a_failed_writing_leaves_the_old_store_and_nothing_else(tmp_path: Path):
    path = tmp_path / "ids"
    write_store(path, [([1], [2])], 2, 97)

    def broken():
        yield ([1], [2])
        raise DataError("data.tsv:2: broken")

    with pytest.raises(DataError, match=r"data\.tsv:2"):
        write_store(path, broken(), 2, 97)
    assert [file.name for file in tmp_path.iterdir()] == ["ids"]
    assert len(open_store(path)) == 1


def test_a_place_that_cannot_be_written_is_a_storage_error(tmp_path: Path):
    (tmp_path / "file").write_text("x")
    with pytest.raises(StorageError):
        write_store(tmp_path / "file" / "ids", [([1],)], 1, 97)


MEMORY = """
import random, re, sys
import numpy as np
from regard.data.store import write_store

def anonymous():
    return int(re.search(r"RssAnon:\\s+(\\d+)", open("/proc/self/status").read())[1]) / 1000

row = list(range(500))
store = write_store(sys.argv[1], ((row, row) for _ in range(4)), 2, 1000)
store.batch([0], 0)
before = peak = anonymous()
def examples():
    global peak
    for i in range(25_000):
        if i % 1000 == 0:
            peak = max(peak, anonymous())
        yield row, row
store = write_store(sys.argv[1], examples(), 2, 1000)
for begin in range(0, 25_000, 100):
    for column in range(2):
        store.batch(np.arange(begin, begin + 100), column)
    peak = max(peak, anonymous())
print(store.nbytes / 1e6, peak - before)
"""


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="RssAnon is Linux's")
def test_writing_and_reading_fifty_megabytes_takes_little_memory(tmp_path: Path):
    out = subprocess.run(
        [sys.executable, "-c", MEMORY, str(tmp_path / "ids")],
        capture_output=True,
        text=True,
        check=True,
        cwd=Path(__file__).parents[2],
    )
    size, grown = map(float, out.stdout.split())
    assert size > 50
    assert grown < 25
