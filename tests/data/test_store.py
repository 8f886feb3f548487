"""Laws of the store of examples."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from regard.data.field import Encoded, Field
from regard.data.store import open_store, write_store
from regard.errors import DataError, RegardError, StorageError

PAIR = (Field.indices("source", 997), Field.indices("target", 997))
TYPES = ("bool", "uint8", "int8", "uint16", "int32", "uint32", "int64", "float16", "float32", "float64")


def some_examples(count: int = 101, vocab: int = 997) -> list[Encoded]:
    chance = np.random.default_rng(5)
    return [
        tuple(chance.integers(0, vocab, chance.integers(0, 13)).tolist() for _ in PAIR) for _ in range(count)
    ]


@st.composite
def fields(draw: st.DrawFn) -> tuple[Field, ...]:
    sizes = st.none() | st.integers(1, 3)
    shapes = draw(st.lists(st.lists(sizes, max_size=3), min_size=1, max_size=3))
    return tuple(Field(f"f{i}", draw(st.sampled_from(TYPES)), tuple(each)) for i, each in enumerate(shapes))


def example_of(draw: st.DrawFn, some: tuple[Field, ...]) -> Encoded:
    def value(field: Field) -> np.ndarray:
        shape = tuple(draw(st.integers(0, 3)) if size is None else size for size in field.shape)
        return draw(arrays.arrays(field.dtype, shape))

    return tuple(value(field) for field in some)


@settings(max_examples=60, deadline=None)
@given(st.data())
def test_arrays_of_any_type_and_shape_are_read_as_they_were_written(tmp_path_factory, data):
    some = data.draw(fields())
    examples = [example_of(data.draw, some) for _ in range(data.draw(st.integers(0, 5)))]
    path = tmp_path_factory.mktemp("store")
    store = write_store(path, iter(examples), some)
    assert len(store) == len(examples)
    assert store.nbytes == sum(file.stat().st_size for file in path.iterdir())
    for row, example in enumerate(examples):
        for value, found in zip(example, store[row].values(), strict=True):
            assert found.dtype == value.dtype  # type: ignore[union-attr]
            np.testing.assert_array_equal(found, value)


def test_a_store_is_read_by_numpy_alone(tmp_path: Path):
    """Its format is the one that any program knows."""
    boxes = [np.full((n, 4), n, dtype=np.float32) for n in (2, 0, 3)]
    images = np.arange(3 * 5 * 7, dtype=np.uint8).reshape(3, 5, 7)
    some = (Field("boxes", "float32", (None, 4)), Field("image", "uint8", (5, 7)))
    write_store(tmp_path, zip(boxes, images, strict=True), some)
    read = {file.stem: np.load(file, mmap_mode="r", allow_pickle=False) for file in tmp_path.iterdir()}
    np.testing.assert_array_equal(read["image"], images)
    for row, box in enumerate(boxes):
        part = read["boxes"][read["boxes.starts"][row] : read["boxes.starts"][row + 1]]
        np.testing.assert_array_equal(part.reshape(-1, 4), box)
    assert read["boxes.sizes"].tolist() == [[2], [0], [3]]


@pytest.mark.parametrize(("count", "bytes_each"), [(1, 1), (256, 1), (257, 2), (65_536, 2), (65_537, 4)])
def test_indices_take_the_smallest_type_that_holds_them(tmp_path: Path, count: int, bytes_each: int):
    store = write_store(tmp_path, [([count - 1],)], (Field.indices("tokens", count),))
    assert np.load(tmp_path / "tokens.npy").itemsize == bytes_each
    ids, _ = store.padded([0], "tokens")
    assert (ids.tolist(), ids.dtype) == ([[count - 1]], np.int64)
    assert store.ragged([0], "tokens")[0].dtype == np.int64, "as torch looks things up with"


def test_a_batch_is_padded_on_the_right_in_the_order_asked(tmp_path: Path):
    store = write_store(tmp_path / "ids", [([5, 6], [7]), ([], [8, 9, 10]), ([11], [])], PAIR)
    ids, lengths = store.padded([2, 0, 1], "source", pad=3)
    assert ids.tolist() == [[11, 3], [5, 6], [3, 3]]
    assert lengths.tolist() == [1, 2, 0]
    ids, lengths = store.padded(np.array([1, 0]), "target")
    assert ids.tolist() == [[8, 9, 10], [7, 0, 0]]
    assert store.padded([], "source")[0].shape == (0, 0)
    assert [row.tolist() for row in store.ragged([0, 2], "target")] == [[7], []]
    assert store.lengths("target").tolist() == [1, 3, 0]
    with pytest.raises(IndexError):
        store[3]


def test_a_batch_equals_its_examples_taken_one_by_one(tmp_path: Path):
    examples: list[Any] = some_examples()
    store = write_store(tmp_path / "ids", examples, PAIR)
    rows = np.random.default_rng(1).permutation(101)[:53]
    for column, field in enumerate(PAIR):
        ids, lengths = store.padded(rows, field.name)
        assert [ids[i, : lengths[i]].tolist() for i in range(53)] == [examples[row][column] for row in rows]
        assert all(not ids[i, lengths[i] :].any() for i in range(53))


def test_many_flushes_write_the_same_files_as_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    write_store(tmp_path / "one", some_examples(), PAIR)
    monkeypatch.setattr("regard.data.store._BUFFER", 64)
    monkeypatch.setattr("regard.data.store._CHUNK", 7)
    store = write_store(tmp_path / "many", some_examples(), PAIR)
    for file in (tmp_path / "one").iterdir():
        assert file.read_bytes() == (tmp_path / "many" / file.name).read_bytes()
    assert len(store) == 101


MIXED = (Field.indices("tokens", 7), Field("pixels", "uint8", (2, 3)))


@pytest.fixture
def mixed(tmp_path: Path) -> Path:
    write_store(tmp_path, [([1, 2], np.ones((2, 3), np.uint8)), ([3], np.zeros((2, 3), np.uint8))], MIXED)
    return tmp_path


def refused(path: Path, some: tuple[Field, ...] = MIXED) -> DataError:
    with pytest.raises(DataError) as caught:
        open_store(path, some)
    return caught.value


def test_a_file_cut_short_at_any_byte_or_grown_is_refused_by_name(mixed: Path):
    for file in sorted(mixed.iterdir()):
        whole = file.read_bytes()
        for size in range(len(whole)):
            file.write_bytes(whole[:size])
            assert refused(mixed).where == file
        for more in (b"\0", whole[128:], b"\0" * 4096):
            file.write_bytes(whole + more)
            assert refused(mixed).where == file
        file.unlink()
        assert refused(mixed).where == file
        file.write_bytes(whole)
    assert len(open_store(mixed, MIXED)) == 2


def test_a_changed_header_is_refused_by_name(mixed: Path):
    for file in sorted(mixed.iterdir()):
        whole = file.read_bytes()
        for place in range(128):
            for value in {0, 32, whole[place] ^ 1, whole[place] ^ 0x80} - {whole[place]}:
                file.write_bytes(whole[:place] + bytes([value]) + whole[place + 1 :])
                assert refused(mixed).where == file
        file.write_bytes(whole)


@pytest.mark.parametrize(
    "other",
    [
        Field.indices("tokens", 70_000),
        Field("tokens", "int8", (None,)),
        Field("tokens", "uint8"),
        Field("pixels", "uint8", (3, 2)),
        Field("labels", "uint8"),
    ],
)
def test_the_files_of_other_fields_are_refused(mixed: Path, other: Field):
    assert mixed in Path(refused(mixed, (other,)).where).parents  # type: ignore[arg-type]


def test_foreign_files_are_refused_and_never_unpickled(mixed: Path):
    class Trap:
        def __reduce__(self) -> Any:
            return (pytest.fail, ("it was unpickled",))

    np.save(mixed / "pixels.npy", np.array([Trap()], dtype=object), allow_pickle=True)
    assert refused(mixed).where == mixed / "pixels.npy"
    np.save(mixed / "pixels.npy", np.asfortranarray(np.zeros((2, 2, 3), np.uint8)))
    assert refused(mixed).where == mixed / "pixels.npy"


def test_files_that_contradict_one_another_are_refused(mixed: Path):
    for name, value in {
        "tokens.starts.npy": [[0, 1, 3], [1, 2, 3], [0, 2, 2], [0, -1, 3], [0, 1 << 62, 3], [0, 2]],
        "tokens.sizes.npy": [[[1], [2]], [[-2], [1]], [[2]], [[1 << 30], [1]]],
        "tokens.npy": [[1, 2]],
        "pixels.npy": [[[[1, 1, 1], [1, 1, 1]]]],
    }.items():
        whole = (mixed / name).read_bytes()
        for wrong in value:
            np.save(mixed / name, np.array(wrong, dtype=np.load(mixed / name).dtype))
            refused(mixed)
            (mixed / name).write_bytes(whole)


def test_what_does_not_exist_is_refused_by_name(tmp_path: Path):
    for path in (tmp_path / "nothing", tmp_path):
        assert refused(path).where == path / "tokens.npy"


@settings(max_examples=200, deadline=None)
@given(
    st.lists(st.tuples(st.integers(0, 5), st.integers(0, 3000), st.integers(0, 255)), min_size=1, max_size=5)
)
def test_a_store_with_changed_bytes_gives_an_answer_or_one_clear_error(written: Path, changes):
    raw = {file: bytearray(file.read_bytes()) for file in sorted(written.iterdir()) if file.is_file()}
    for number, place, value in changes:
        content = raw[list(raw)[number]]
        content[place % len(content)] = value
    changed = written / "changed"
    changed.mkdir(exist_ok=True)
    for file, content in raw.items():
        (changed / file.name).write_bytes(content)
    message = str(changed)
    try:
        store = open_store(changed, PAIR)
        for field in PAIR:
            ids, _ = store.padded(np.arange(len(store)), field.name)
            assert ids.max() < 997
            assert all(one.max(initial=0) < 997 for one in store.ragged(np.arange(len(store)), field.name))
    except RegardError as error:
        message = str(error)
    assert str(changed) in message


@pytest.fixture(scope="module")
def written(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("written")
    write_store(path, some_examples(), PAIR)
    return path


def test_a_failed_writing_leaves_the_old_store_and_nothing_else(tmp_path: Path):
    write_store(tmp_path, [([1], [2])], PAIR)
    before = sorted(tmp_path.iterdir())

    def broken():
        yield ([1], [2])
        raise DataError("data.tsv:2: broken")

    with pytest.raises(DataError, match=r"data\.tsv:2"):
        write_store(tmp_path, broken(), PAIR)
    assert sorted(tmp_path.iterdir()) == before
    assert len(open_store(tmp_path, PAIR)) == 1


def test_a_place_that_cannot_be_written_is_a_storage_error(tmp_path: Path):
    (tmp_path / "file").write_text("x")
    with pytest.raises(StorageError):
        write_store(tmp_path / "file" / "ids", [([1], [2])], PAIR)


MEMORY = """
import re, sys
import numpy as np
from regard.data.store import Field, write_store

def anonymous():
    return int(re.search(r"RssAnon:\\s+(\\d+)", open("/proc/self/status").read())[1]) / 1000

def some(count, make, fields, read):
    global peak
    store = write_store(sys.argv[1], (make(i) for i in range(count)), fields)
    for begin in range(0, count, 100):
        read(store, np.arange(begin, min(begin + 100, count)))
        peak = max(peak, anonymous())
    return store.nbytes / 1e6

def ids(i):
    global peak
    peak = max(peak, anonymous()) if i % 1000 == 0 else peak
    return row, row

def image(i):
    global peak
    peak = max(peak, anonymous()) if i % 1000 == 0 else peak
    return (pixels.copy(),)

row, pixels = list(range(500)), np.zeros((3, 32, 32), np.uint8)
kinds = {
    "ids": (25_000, ids, (Field.indices("a", 1000), Field.indices("b", 1000)),
            lambda store, rows: [store.padded(rows, name) for name in "ab"]),
    "images": (17_000, image, (Field("pixels", "uint8", (3, 32, 32)),),
               lambda store, rows: store.take(rows, "pixels")),
}
count, *how = kinds[sys.argv[2]]
peak = 0
some(4, *how)
peak = before = anonymous()
print(some(count, *how), peak - before)
"""


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="RssAnon is Linux's")
@pytest.mark.parametrize("kind", ["ids", "images"])
def test_writing_and_reading_fifty_megabytes_takes_little_memory(tmp_path: Path, kind: str):
    out = subprocess.run(
        [sys.executable, "-c", MEMORY, str(tmp_path / "store"), kind],
        capture_output=True,
        text=True,
        check=True,
        cwd=Path(__file__).parents[2],
    )
    size, grown = map(float, out.stdout.split())
    assert size > 50
    assert grown < 25
