"""Masks: read as they were written, run lengths as COCO has them."""

from __future__ import annotations

import io
import struct
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image as Pillow

from regard.errors import DataError, InputError
from regard.values import Mask, from_json
from regard.values.rle import packed

few = settings(max_examples=25, deadline=None)
RNG = np.random.default_rng(1)
COLOURS = RNG.integers(0, 256, (5, 7, 3), dtype=np.uint8)


def png(array: np.ndarray, **options: Any) -> bytes:
    made = io.BytesIO()
    Pillow.fromarray(array).save(made, "PNG", **options)
    return made.getvalue()


@pytest.mark.parametrize("most", [1, 200, 60_000])
def test_a_mask_is_read_as_it_was_written(most: int) -> None:
    ids = (np.arange(35).reshape(5, 7) % 4 * (most // 3)).astype(np.uint16 if most > 255 else np.uint8)
    got = Mask.from_bytes(png(ids)).ids
    assert got.dtype == ids.dtype
    assert np.array_equal(got, ids)


@pytest.mark.parametrize("bits", [1, 2, 4])
def test_numbers_of_few_bits_are_not_spread(bits: int) -> None:
    ids = (np.arange(35).reshape(5, 7) % (1 << bits)).astype(np.uint8)
    held = Pillow.fromarray(ids, "P")
    held.putpalette([9, 8, 7] * 256)
    file = io.BytesIO()
    held.save(file, "PNG", bits=bits)
    assert np.array_equal(Mask.from_bytes(file.getvalue()).ids, ids)
    grey = file.getvalue().replace(file.getvalue()[12:33], grey_header(7, 5, bits))
    assert np.array_equal(Mask.from_bytes(grey).ids, ids)


def grey_header(width: int, height: int, bits: int) -> bytes:
    import zlib

    head = b"IHDR" + struct.pack(">2I5B", width, height, bits, 0, 0, 0, 0)
    return head + struct.pack(">I", zlib.crc32(head))


def test_colours_are_no_mask() -> None:
    with pytest.raises(DataError) as caught:
        Mask.from_bytes(png(COLOURS)).key()
    assert caught.value.key == "unsupported image"


RUNS = [
    ([[0, 1, 1], [0, 1, 0]], [2, 3, 1], "231"),
    ([[1, 0], [1, 1]], [0, 2, 1, 1], "021O"),
    (np.eye(7), [0, 1, *[7, 1] * 6], "0170" + "0" * 10),
]
"""Masks, the lengths of their runs, and these as pycocotools 2.0.11 packs them."""


@pytest.mark.parametrize(("mask", "counts", "text"), RUNS)
def test_run_lengths_are_cocos(mask: Any, counts: list[int], text: str) -> None:
    array = np.array(mask, np.uint8)
    size = list(array.shape)
    assert Mask(array).runs() == {"size": size, "counts": counts}
    assert Mask(array).runs(pack=True) == {"size": size, "counts": text}
    for held in (counts, text):
        told = {"size": size, "counts": held}
        assert Mask.parse(told) == Mask(array)
        assert from_json({"kind": "mask", "data": told}) == Mask(array)


@few
@given(st.lists(st.integers(0, 1 << 22), min_size=1, max_size=9).map(lambda some: [*some, 1]))
def test_packed_run_lengths_are_unpacked(lengths: list[int]) -> None:
    from regard.values.rle import _unpacked

    assert list(_unpacked(packed(lengths))) == lengths


@pytest.mark.parametrize(
    ("size", "counts"),
    [([2, 2], [1, 2]), ([2, 2], [-1, 5]), ([1 << 20, 1 << 20], [1 << 40]), ([2, 2], "o"), ([2, 2], "é"),
     ([2, 2], "o" * 10**6), ([2, 2], [1 << 70]), ([0, 2], []), ([2, 2], "\ud800"), ([2], [2])],
)  # fmt: skip
def test_run_lengths_that_are_not_the_masks_are_refused(size: list[int], counts: Any) -> None:
    with pytest.raises(InputError):
        Mask.parse({"size": size, "counts": counts}).key()
