"""Images, masks, sounds and clips: what is sound is read as it was written, what is broken is named."""

from __future__ import annotations

import io
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image as Pillow

from regard.errors import DataError, DependencyError, InputError
from regard.values import Audio, Image, Mask, Video
from regard.values.media import Media
from regard.values.wav import written

few = settings(max_examples=25, deadline=None)
RNG = np.random.default_rng(1)
COLOURS = RNG.integers(0, 256, (5, 7, 3), dtype=np.uint8)
SOUND = RNG.uniform(-1, 1, (11, 2)).astype(np.float32)


def png(array: np.ndarray, **options: Any) -> bytes:
    made = io.BytesIO()
    Pillow.fromarray(array).save(made, "PNG", **options)
    return made.getvalue()


def test_an_image_is_the_same_from_whatever_holds_it(tmp_path: Path) -> None:
    path = tmp_path / "an image.png"
    path.write_bytes(png(COLOURS))
    url = Image(COLOURS).to_json()["data"]
    for held in (path, str(path), png(COLOURS), url, Pillow.fromarray(COLOURS), COLOURS, COLOURS.tolist()):
        if isinstance(held, list):
            with pytest.raises(InputError):  # of which type the numbers are is not said
                Image.parse(held)
        else:
            assert Image.parse(held) == Image(COLOURS)


@pytest.mark.parametrize("mode", ["1", "L", "LA", "P", "RGB", "RGBA", "CMYK"])
def test_an_image_of_pillows_is_what_its_file_would_be(mode: str) -> None:
    held = Pillow.fromarray(np.dstack([COLOURS, COLOURS[:, :, :1]]), "RGBA").convert(mode)
    form = "TIFF" if mode == "CMYK" else "PNG"
    file = io.BytesIO()
    held.save(file, form)
    want = Image(file.getvalue()).pixels
    assert np.array_equal(Image.parse(held).pixels, want)
    assert np.array_equal(Image.parse(Pillow.open(file)).pixels, want)


def test_an_opacity_of_an_array_is_that_of_its_file() -> None:
    array = np.dstack([COLOURS, COLOURS[:, :, :1]])
    ours, files = Image(array).pixels.astype(int), Image(png(array)).pixels.astype(int)
    assert np.abs(ours - files).max() <= 1


def test_nothing_is_opened_before_it_is_looked_into(tmp_path: Path) -> None:
    path = tmp_path / "late"
    values: list[Media] = [Image(path), Mask(path), Audio(path), Video(path)]
    for value in values:
        assert str(path) in str(value)
        with pytest.raises((DataError, DependencyError)):
            value.key()
        assert value._repr_html_().startswith("<em>")
    path.write_bytes(png(COLOURS))
    assert values[0] == Image(COLOURS)


@pytest.mark.parametrize("name", ["no such file", "a\0b", "", "."])
@pytest.mark.parametrize("kind", [Image, Mask, Audio, Video])
def test_a_word_that_names_no_file_is_refused(kind: type[Media], name: str) -> None:
    with pytest.raises(DataError):
        kind.parse(name)


ARRAYS: list[tuple[Callable[..., Media], Any]] = [
    (Image, np.zeros((3, 5, 7), np.uint8)),
    (Image, np.zeros((0, 5), np.uint8)),
    (Image, np.zeros((3, 5), np.float32)),
    (Image, np.zeros((1, 20_000), np.uint8)),
    (Image, object()),
    (Image, None),
    (Mask, np.zeros((3, 5, 1), np.uint8)),
    (Mask, np.zeros((3, 5), np.int64)),
    (lambda array: Audio(array, 8000), np.full(3, np.nan, np.float32)),
    (lambda array: Audio(array, 8000), np.full(3, np.inf)),
    (lambda array: Audio(array, 8000), np.zeros((65, 100), np.float32).T),
    (lambda array: Audio(array, 8000), np.zeros(0, np.float32)),
    (lambda array: Audio(array, 8000), np.zeros(3, np.int64)),
    (Audio, SOUND),
    (lambda array: Audio(array, 0), SOUND),
    (lambda array: Audio(array, 8000), b"RIFF"),
    (Video, np.zeros((2, 3, 5, 3), np.uint8)),
    (lambda array: Video(array, float("nan")), np.zeros((2, 3, 5, 3), np.uint8)),
    (lambda array: Video(array, 5.0), np.zeros((0, 3, 5, 3), np.uint8)),
    (lambda array: Video(array, 5.0), np.zeros((2, 3, 5, 1), np.uint8)),
    (lambda array: Video(array, 5.0), np.broadcast_to(np.uint8(0), (10**6, 64, 64, 3))),
]


@pytest.mark.parametrize(("make", "array"), ARRAYS)
def test_an_array_that_cannot_be_one_is_refused(make: Callable[..., Media], array: Any) -> None:
    with pytest.raises(InputError):
        make(array)


@few
@given(
    cut=st.integers(0, 400), flips=st.lists(st.tuples(st.integers(0, 400), st.integers(1, 255)), max_size=3)
)
@pytest.mark.parametrize("kind", [Image, Mask, Audio])
def test_a_broken_file_is_read_or_refused(kind: type[Media], cut: int, flips: list[tuple[int, int]]) -> None:
    content = bytearray(written(SOUND, 8000) if kind is Audio else png(COLOURS[:, :, 0]))
    for place, change in flips:
        content[place % len(content)] ^= change
    try:
        kind.from_bytes(bytes(content[:cut])).key()
    except (DataError, DependencyError) as error:
        read = error
    else:
        read = None
    assert read is None or isinstance(read, DependencyError) or read.where
