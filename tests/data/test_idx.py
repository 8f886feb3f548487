"""IDX files, as MNIST comes in them."""

from __future__ import annotations

import gzip
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from regard.data.readers import open_data
from regard.data.readers.idx import partner, split_word
from regard.data.readers.images import read_image
from regard.data.rows import DataSet
from regard.errors import DataError, RegardError
from tests.shared import refused

Write = Callable[[str, str | bytes], Path]


IMAGES = ("image", "label")


ROWS, COLUMNS = 7, 5


def pixels(seed: int, *shape: int) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 256, shape, dtype=np.uint8)


def idx(array: np.ndarray, shape: tuple[int, ...] | None = None) -> bytes:
    sizes = array.shape if shape is None else shape
    head = bytes((0, 0, 8, len(sizes))) + b"".join(size.to_bytes(4, "big") for size in sizes)
    return head + array.tobytes()


def names(data: DataSet, split: str) -> list[str]:
    return [row.values[0] for row in data.split(split)]


def write_idx(
    write: Write, folder: str, count: int, split: str = "train", end: str = "", **shape: int
) -> None:
    pack = gzip.compress if end else bytes
    array = pixels(1, count, ROWS, COLUMNS, *shape.values())
    write(f"{folder}/{split}-images-idx{array.ndim}-ubyte{end}", pack(idx(array)))
    write(f"{folder}/{split}-labels-idx1-ubyte{end}", pack(idx(np.arange(count, dtype=np.uint8) % 3)))


@pytest.mark.parametrize("end", ["", ".gz"])
@pytest.mark.parametrize("shape", [{}, {"channels": 3}])
def test_idx_files_are_read_in_any_order(
    write: Write, tmp_path: Path, end: str, shape: dict[str, int]
) -> None:
    write_idx(write, "set", 200, end=end, **shape)
    write_idx(write, "set", 5, "t10k", end, **shape)
    data = open_data(tmp_path / "set", IMAGES)
    assert list(data.splits) == ["train", "valid", "test"]
    assert len(names(data, "train")) + len(names(data, "valid")) == 200
    assert 0 < len(names(data, "valid")) < 20
    assert [row.values[1] for row in data.split("test")] == ["0", "1", "2", "0", "1"]
    array = pixels(1, 200, ROWS, COLUMNS, *shape.values()).reshape(200, ROWS, COLUMNS, -1)
    path = next((tmp_path / "set").glob("train-images*"))
    for number in (0, 1, 199, 7, 8, 8, 3):
        assert np.array_equal(read_image(f"{path}#{number}"), array[number])
    with refused(DataError, value=200, limit="0 to 199"):
        read_image(f"{path}#200")


def test_names_of_idx_files_are_known() -> None:
    for name, word in {
        "train-images-idx3-ubyte.gz": "train",
        "t10k-images.idx3-ubyte": "t10k",
        "emnist-letters-test-images-idx3-ubyte": "test",
        "train-labels-idx1-ubyte": None,
        "train-images-idx3-ubyte.png": None,
    }.items():
        assert split_word(Path(name)) == word


def test_labels_may_be_zipped_or_not_and_must_be_there(write: Write, tmp_path: Path) -> None:
    path = write("train-images-idx3-ubyte.gz", b"")
    with refused(DataError, limit="train-labels-idx1-ubyte", where="train-images-idx3-ubyte.gz"):
        partner(path)
    labels = write("train-labels-idx1-ubyte", b"")
    assert partner(path) == labels


GOOD = idx(pixels(1, 4, 3, 2))
FAULTY = {
    "is no IDX file": b"\0\0\x09\3" + GOOD[4:],
    "bytes and should have 40": GOOD[:-1],
    "ends in its header": GOOD[:9],
    "which cannot be": idx(pixels(1, 4), (4, 1 << 30, 1 << 30)),
    "which cannot be ": idx(pixels(1, 4), (4, 0, 3)),
    "bytes and should have 38,654,705,671": idx(pixels(1, 4), ((1 << 32) - 1, 3, 3)),
    "× 2 numbers, which cannot be": idx(pixels(1, 24), (4, 3, 1, 2)),
    "images, ": idx(pixels(1, 5, 3, 2)),
}


@pytest.mark.parametrize("said", FAULTY)
@pytest.mark.parametrize("end", ["", ".gz"])
def test_a_faulty_idx_file_is_refused(write: Write, tmp_path: Path, said: str, end: str) -> None:
    pack = gzip.compress if end else bytes
    write(f"set/train-images-idx3-ubyte{end}", pack(FAULTY[said]))
    write("set/train-labels-idx1-ubyte", idx(pixels(1, 4)))
    if end and "should have" in said:  # of what is zipped, the size is only known at its end
        said = "its header promises 4 items" if len(FAULTY[said]) > 30 else "holds 4,294,967,295 images"
    with pytest.raises(DataError, match=said.strip()):
        list(open_data(tmp_path / "set", IMAGES).split("train"))


@settings(max_examples=300, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.binary(max_size=64), st.booleans(), st.booleans())
@example(GOOD, True, True)
def test_any_bytes_are_idx_images_or_an_error(
    tmp_path: Path, content: bytes, zipped: bool, headed: bool
) -> None:
    end = ".gz" if zipped else ""
    content = b"\0\0\x08\3\0\0\0" + content if headed else content
    path = tmp_path / f"train-images-idx3-ubyte{end}"
    path.write_bytes(gzip.compress(content, 1) if zipped else content)
    (tmp_path / "train-labels-idx1-ubyte").write_bytes(idx(np.zeros(4, np.uint8)))
    problem = ""
    try:
        rows = list(open_data(tmp_path, IMAGES).split("train"))
        assert all(read_image(row.values[0]).ndim == 3 for row in rows)
    except RegardError as error:
        problem = str(error)
    assert not problem or path.name in problem
