"""Laws of the readers of images: what is sound is read, what is broken is named, and all is counted."""

from __future__ import annotations

import io
import os
import struct
import tracemalloc
import zlib
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from regard.data.image_grid import Tile, drawn
from regard.data.readers import open_data
from regard.data.readers.image_folder import files_of
from regard.data.readers.images import decode, in_channels, read_image, resized
from regard.data.readers.lines import Problem
from regard.data.rows import DataSet
from regard.errors import DataError, DependencyError
from tests.shared import refused

Write = Callable[[str, str | bytes], Path]
IMAGES = ("image", "label")
ROWS, COLUMNS = 7, 5


def pixels(seed: int, *shape: int) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 256, shape, dtype=np.uint8)


def encoded(array: np.ndarray, form: str = "PNG", **options: object) -> bytes:
    made = io.BytesIO()
    Image.fromarray(array).save(made, form, **options)
    return made.getvalue()


def names(data: DataSet, split: str) -> list[str]:
    return [row.values[0] for row in data.split(split)]


def write_classes(write: Write, folder: str, count: int, classes: str = "abc") -> None:
    for number in range(count):
        label = classes[number % len(classes)]
        write(f"{folder}/{label}/{number}.png", encoded(pixels(number, ROWS, COLUMNS)))


# ------------------------------------------------------------------------------------------- one image


@pytest.mark.parametrize("form", ["PNG", "BMP", "PPM", "TIFF"])
@pytest.mark.parametrize("channels", [1, 3])
def test_a_image_is_read_as_it_was_written(write: Write, form: str, channels: int) -> None:
    shape = (ROWS, COLUMNS) if channels == 1 else (ROWS, COLUMNS, 3)
    array = pixels(1, *shape)
    got = read_image(str(write("image", encoded(array, form))))
    assert got.dtype == np.uint8
    assert np.array_equal(got, array.reshape(ROWS, COLUMNS, channels))


def test_what_shines_through_stands_on_white() -> None:
    array = pixels(1, ROWS, COLUMNS, 4)
    array[:, :, 3] = np.where(array[:, :, 3] < 128, 0, 255)
    want = np.where(array[:, :, 3:] == 0, 255, array[:, :, :3])
    assert np.array_equal(decode(encoded(array)), want)


def test_a_image_stands_as_its_camera_was_held() -> None:
    array = pixels(1, ROWS, COLUMNS)
    exif = Image.Exif()
    exif[0x0112] = 6  # held so that the image must be turned by a quarter
    got = decode(encoded(array, exif=exif))
    assert np.array_equal(got, np.rot90(array, -1)[:, :, None])


def test_palettes_bits_and_sixteen_bits_become_bytes() -> None:
    array = pixels(1, ROWS, COLUMNS)
    for mode, channels in (("P", 3), ("1", 1)):
        made = io.BytesIO()
        image = Image.fromarray(array).convert(mode)
        image.save(made, "PNG")
        want = np.asarray(image.convert("RGB" if channels == 3 else "L")).reshape(ROWS, COLUMNS, channels)
        assert np.array_equal(decode(made.getvalue()), want)
    deep = np.random.default_rng(1).integers(0, 1 << 16, (ROWS, COLUMNS), dtype=np.uint16)
    assert np.array_equal(decode(encoded(deep)), np.round(deep / 65535 * 255).astype(np.uint8)[:, :, None])


def test_grey_and_colour_become_one_another_as_pillow_does_it() -> None:
    colour = pixels(1, ROWS, COLUMNS, 3)
    want = np.asarray(Image.fromarray(colour).convert("L"))
    assert np.array_equal(in_channels(colour, 1)[:, :, 0], want)
    grey = pixels(2, ROWS, COLUMNS, 1)
    assert np.array_equal(in_channels(grey, 3), np.concatenate([grey] * 3, 2))
    assert in_channels(grey, 1) is grey


@pytest.mark.parametrize("channels", [1, 3])
def test_a_resized_image_is_a_square_of_like_brightness(channels: int) -> None:
    array = np.full((ROWS, COLUMNS, channels), 77, np.uint8)
    for side in (3, 11):
        assert np.array_equal(resized(array, side), np.full((side, side, channels), 77))


def bomb(width: int, height: int) -> bytes:
    """A small PNG that claims a huge image."""

    def chunk(kind: bytes, content: bytes) -> bytes:
        return (
            struct.pack(">I", len(content)) + kind + content + struct.pack(">I", zlib.crc32(kind + content))
        )

    head = chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0))
    return b"\x89PNG\r\n\x1a\n" + head + chunk(b"IDAT", zlib.compress(bytes(1000))) + chunk(b"IEND", b"")


@pytest.mark.parametrize("size", [(50_000, 50_000), (1 << 30, 1), (8000, 8000), (14_000, 7_000)])
def test_a_header_that_claims_too_much_takes_no_memory(size: tuple[int, int]) -> None:
    content = bomb(*size)
    tracemalloc.start()
    try:
        assert isinstance(decode(content), Problem)
        assert tracemalloc.get_traced_memory()[1] < 1 << 22
    finally:
        tracemalloc.stop()


BROKEN = {
    "empty": b"",
    "text": b"this is no image",
    "cut short": encoded(pixels(1, 31, 37))[:-40],
    "a program": b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n(x) show\n",
}


@pytest.mark.parametrize("what", BROKEN)
def test_a_broken_image_is_refused_by_name(write: Write, what: str) -> None:
    path = write("broken.png", BROKEN[what])
    with refused(DataError, limit="PNG, JPEG, BMP, GIF, WEBP, PPM, TIFF", where="broken.png"):
        read_image(str(path))


@pytest.mark.parametrize(
    "name", ["", "no/such.png", "a\0b", "no.png#3", "digits#", "x#99999999999999999", "."]
)
def test_what_names_no_image_is_refused(name: str) -> None:
    with pytest.raises(DataError):
        read_image(name)


def test_without_pillow_the_remedy_is_told(write: Write, monkeypatch: pytest.MonkeyPatch) -> None:
    path = write("a.png", encoded(pixels(1, 3, 3)))
    monkeypatch.setitem(__import__("sys").modules, "PIL", None)
    with refused(DependencyError, key="images need the package pillow"):
        read_image(str(path))
    with refused(DependencyError, key="a sheet of images needs the package pillow"):
        drawn([])


SOUND = [encoded(pixels(3, 5, 7, 3), form) for form in ("PNG", "JPEG", "GIF", "BMP", "WEBP", "PPM", "TIFF")]


@settings(max_examples=400, deadline=None)
@given(st.sampled_from(SOUND), st.data())
def test_any_bytes_are_a_image_or_a_problem(content: bytes, data: st.DataObject) -> None:
    broken = bytearray(content)
    for _ in range(data.draw(st.integers(1, 4))):
        broken[data.draw(st.integers(0, len(broken) - 1))] = data.draw(st.integers(0, 255))
    found = decode(bytes(broken[: data.draw(st.integers(0, len(broken)))]))
    if not isinstance(found, Problem):
        assert (found.dtype, found.ndim) == (np.uint8, 3)
        assert found.shape[2] in (1, 3)


# ------------------------------------------------------------------------------------ a folder a class


def test_a_folder_for_each_class_is_split_by_what_the_images_hold(write: Write, tmp_path: Path) -> None:
    write_classes(write, "set", 300)
    data = open_data(tmp_path / "set", IMAGES)
    parts = {split: names(data, split) for split in data.splits}
    assert list(parts) == ["train", "valid", "test"]
    assert sum(map(len, parts.values())) == len({name for some in parts.values() for name in some}) == 300
    assert len(parts["train"]) > 250
    assert min(map(len, parts.values())) > 0
    assert data.columns == IMAGES
    assert data.report.notes == ["set was split by a hash of image: train 94%, valid 3%, test 3%"]
    assert {row.values[1] for row in data.split("train")} == set("abc")
    for row in data.split("train"):
        assert Path(row.values[0]).parent.name == row.values[1]


def test_equal_images_stay_together_and_the_first_few_are_of_all_classes(
    write: Write, tmp_path: Path
) -> None:
    for label in "abc":
        for number in range(100):
            write(f"set/{label}/{number}.png", encoded(pixels(number, ROWS, COLUMNS)))
    data = open_data(tmp_path / "set", IMAGES)
    for split in data.splits:
        stems = [Path(name).stem for name in names(data, split)]
        assert all(stems.count(stem) == 3 for stem in stems)
    first = [row.values[1] for row in data.split("train")][:20]
    assert set(first) == set("abc")


def test_the_order_of_images_follows_from_their_names_alone(write: Write, tmp_path: Path) -> None:
    write_classes(write, "one", 40)
    write_classes(write, "two/inside", 40)
    one, two = tmp_path / "one", tmp_path / "two/inside"
    assert [p.relative_to(one) for p in files_of(one)] == [p.relative_to(two) for p in files_of(two)]


def test_splits_in_folders_are_taken_as_they_are(write: Write, tmp_path: Path) -> None:
    write_classes(write, "set/train", 30)
    write_classes(write, "set/val", 9)
    write_classes(write, "set/test", 6, classes="abd")
    data = open_data(tmp_path / "set", IMAGES)
    assert {split: len(names(data, split)) for split in data.splits} == {"train": 30, "valid": 9, "test": 6}
    write_classes(write, "set/valid", 9)
    with refused(DataError, key="the split 'valid'", value="val, valid", where="set"):
        open_data(tmp_path / "set", IMAGES)


def test_a_class_may_have_folders_inside_and_other_files_are_counted(write: Write, tmp_path: Path) -> None:
    write("set/a/x/1.PNG", encoded(pixels(1, 3, 3)))
    write("set/b/2.jpeg", encoded(pixels(2, 3, 3), "JPEG"))
    write("set/b/Thumbs.db", b"x")
    write("set/b/.hidden.png", b"x")
    write("set/readme.txt", "what this is")
    data = open_data(tmp_path / "set", IMAGES, whole=True)
    assert sorted(row.values[1] for row in data.split("all")) == ["a", "b"]
    assert data.report.skipped == {"not an image by its name": 1}


def test_broken_images_are_refused_or_counted_by_name(write: Write, tmp_path: Path) -> None:
    write_classes(write, "set", 12)
    for number, content in enumerate(BROKEN.values()):
        write(f"set/a/broken{number}.png", content)
    with refused(DataError, value="not an image", where="broken0.png"):
        names(open_data(tmp_path / "set", IMAGES, whole=True), "all")
    data = open_data(tmp_path / "set", IMAGES, whole=True, on_error="skip")
    for _ in range(2):  # what was found broken once is known
        assert len(names(data, "all")) == 12
    assert (data.report.read, data.report.kept) == (16, 12)
    assert data.report.skipped == {"not an image": 3, "broken image": 1}


def test_changed_images_change_the_fingerprint(write: Write, tmp_path: Path) -> None:
    write_classes(write, "set", 9)
    before = open_data(tmp_path / "set", IMAGES).fingerprint
    assert open_data(tmp_path / "set", IMAGES).fingerprint == before
    os.utime(write("set/a/0.png", encoded(pixels(5, 9, 9))), ns=(1, 1))
    assert open_data(tmp_path / "set", IMAGES).fingerprint != before


def test_images_are_for_who_asks_for_them(write: Write, tmp_path: Path) -> None:
    write_classes(write, "set", 9)
    with refused(DataError, limit=".tsv, .csv, .jsonl, .json, .parquet or parallel", where="set"):
        open_data(tmp_path / "set", (None, None))
    with refused(
        DataError, where="digits (handwritten digits, 8×8 pixels)", remedy="give it to image-classification"
    ):
        open_data("digits", (None, None))
    with refused(DataError, key="image", where="set"):
        open_data(tmp_path / "set", ("label", "image"))
    (tmp_path / "empty").mkdir()
    with refused(
        DataError, where="empty", remedy="put a folder for each class into it, or MNIST's IDX files"
    ):
        open_data(tmp_path / "empty", IMAGES)


def test_a_table_may_name_images(write: Write) -> None:
    path = write("images.csv", "image,label\na.png,x\nb.png,y\n")
    assert names(open_data(path, IMAGES, whole=True), "all") == ["a.png", "b.png"]


# -------------------------------------------------------------------------------------------- named sets


def test_mnist_opens_with_every_twelfth_digit_held_out(real_data: Path) -> None:
    data = open_data("mnist", IMAGES)
    assert {split: data.split(split).count() for split in data.splits} == {
        "train": 55_000,
        "valid": 5_000,
        "test": 10_000,
    }
    numbers = [int(name.rpartition("#")[2]) for name in names(data, "valid")]
    assert numbers == list(range(0, 60_000, 12))
    assert [row.values[1] for row in data.split("test")][:5] == ["7", "2", "1", "0", "4"]
    assert read_image(names(data, "test")[0]).shape == (28, 28, 1)


# ------------------------------------------------------------------------------------------------- sheets


@pytest.mark.parametrize("count", [0, 1, 7])
@pytest.mark.parametrize("size", [(8, 8, 1), (200, 300, 3), (1, 40, 1)])
def test_a_sheet_shows_every_image_and_marks_mistakes(count: int, size: tuple[int, int, int]) -> None:
    tiles = [Tile(pixels(n, *size), "cat", "dog" if n == 0 else "cat") for n in range(count)]
    with Image.open(io.BytesIO(drawn(tiles))) as sheet:
        wide = max(1, int(np.ceil(np.sqrt(count))))
        corners = [sheet.getpixel((6 + n % wide * 102 - 1, 6 + n // wide * 122 - 1)) for n in range(count)]
    assert [corner == (196, 40, 27) for corner in corners] == [n == 0 for n in range(count)]


def test_a_image_may_be_named_by_all_of_its_bytes():
    from regard.data.readers.images import as_url

    for shape in ((3, 5, 1), (3, 5, 3)):
        image = np.random.default_rng(1).integers(0, 256, shape, dtype=np.uint8)
        assert np.array_equal(read_image(as_url(image)), image)


@pytest.mark.parametrize(
    "url",
    [
        "data:",
        "data:image/png",
        "data:image/png;base64",
        "data:image/png,abc",
        "data:image/png;base64,*",
        "data:image/png;base64,",
        "data:image/png;base64,aGVsbG8=",
    ],
)
def test_a_url_that_holds_no_image_is_refused_without_being_repeated(url):
    with pytest.raises(DataError, match="data:") as problem:
        read_image(url + " " * 3000 if url.endswith("*") else url)
    assert len(str(problem.value)) < 300
