"""Images of other than eight bits a shade are scaled to eight, whatever format holds them; numpy says how.

The files are made here byte by byte, since Pillow does not write most of them.
"""

from __future__ import annotations

import os
import struct
import zlib
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from regard.data.readers.images import decode
from regard.data.readers.lines import Problem

ROWS, COLUMNS = 3, 7
Deep = NDArray[np.uint16]


def shades(most: int, *, seed: int = 1) -> Deep:
    """(ROWS, COLUMNS) of the whole range, its ends among them."""
    found = np.random.default_rng(seed).integers(0, most + 1, (ROWS, COLUMNS), dtype=np.uint16)
    found[0, :2] = 0, most
    return found


def scaled(deep: Deep, most: int) -> NDArray[np.uint8]:
    """What it should look like in eight bits."""
    return np.round(deep / most * 255).astype(np.uint8)[:, :, None]


def chunk(kind: bytes, content: bytes) -> bytes:
    return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", zlib.crc32(kind + content))


def png(rows: list[bytes], bits: int, kind: int, transparent: tuple[int, ...] = ()) -> bytes:
    """`kind`: 0 grey, 2 colour, 4 grey with an opacity."""
    head = struct.pack(">2I5B", COLUMNS, ROWS, bits, kind, 0, 0, 0)
    hidden = chunk(b"tRNS", struct.pack(f">{len(transparent)}H", *transparent)) if transparent else b""
    body = zlib.compress(b"".join(b"\0" + row for row in rows))
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", head) + hidden + chunk(b"IDAT", body) + chunk(b"IEND", b"")


def tiff(content: bytes, bits: int, *, order: str = "<", white_is_zero: bool = False, **tags: int) -> bytes:
    """One strip of grey, packed by method `packed`."""
    entries = {256: COLUMNS, 257: ROWS, 258: bits, 259: tags.get("packed", 1), 262: 1 - white_is_zero}
    entries |= {273: 8 + 2 + 12 * 9 + 4, 277: 1, 278: ROWS, 279: len(content)}
    fields = b"".join(struct.pack(f"{order}HHII", tag, 4, 1, value) for tag, value in sorted(entries.items()))
    head = (b"II" if order == "<" else b"MM") + struct.pack(f"{order}HIH", 42, 8, len(entries))
    return head + fields + struct.pack(f"{order}I", 0) + content


def twelve_bits(deep: Deep) -> bytes:
    """Two shades in three bytes, a row at a time."""
    rows = []
    for row in deep:
        bits = "".join(f"{shade:012b}" for shade in row)
        bits += "0" * (-len(bits) % 8)
        rows.append(bytes(int(bits[i : i + 8], 2) for i in range(0, len(bits), 8)))
    return b"".join(rows)


def pgm(most: int) -> bytes:
    return b"P5\n%d %d\n%d\n" % (COLUMNS, ROWS, most) + shades(most).astype(">u2").tobytes()


def plain_pgm(most: int) -> bytes:
    numbers = "\n".join(" ".join(map(str, row)) for row in shades(most).tolist())
    return f"P2\n# a comment\n{COLUMNS} {ROWS}\n{most}\n{numbers}\n".encode()


def little(deep: Deep) -> bytes:
    return deep.astype("<u2").tobytes()


def rows_of(deep: Deep) -> list[bytes]:
    return [row.astype(">u2").tobytes() for row in deep]


FORMATS: dict[str, tuple[int, Callable[[], bytes]]] = {
    **{f"PGM {most}": (most, lambda most=most: pgm(most)) for most in (256, 1023, 4095, 40_000, 65_535)},
    **{f"plain PGM {most}": (most, lambda most=most: plain_pgm(most)) for most in (300, 1023, 65_535)},
    "PNG": (65_535, lambda: png(rows_of(shades(65_535)), 16, 0)),
    "TIFF, little end first": (65_535, lambda: tiff(little(shades(65_535)), 16)),
    "TIFF, big end first": (65_535, lambda: tiff(shades(65_535).astype(">u2").tobytes(), 16, order=">")),
    "TIFF of 12 bits": (4095, lambda: tiff(twelve_bits(shades(4095)), 12)),
    "TIFF, packed": (
        65_535,
        lambda: tiff(zlib.compress(shades(65_535).astype("<u2").tobytes()), 16, packed=8),
    ),
}


@pytest.mark.parametrize("form", FORMATS)
def test_deep_grey_is_scaled_in_every_format(form: str) -> None:
    most, made = FORMATS[form]
    got = decode(made())
    assert isinstance(got, np.ndarray), got
    assert np.array_equal(got, scaled(shades(most), most))


def test_a_tiff_whose_zero_is_white_is_not_a_negative() -> None:
    deep = shades(65_535)
    got = decode(tiff(deep.astype("<u2").tobytes(), 16, white_is_zero=True))
    assert np.array_equal(got, 255 - scaled(deep, 65_535))


def test_deep_grey_with_an_opacity_is_grey_on_white() -> None:
    deep = shades(65_535)
    opacity = np.where(shades(1, seed=2) == 0, 0, 65_535).astype(np.uint16)
    got = decode(png(rows_of(np.stack([deep, opacity], axis=2).reshape(ROWS, -1)), 16, 4))
    assert isinstance(got, np.ndarray)
    assert got.shape == (ROWS, COLUMNS, 1)
    want = np.where(opacity[:, :, None] == 0, 255, scaled(deep, 65_535))
    assert np.abs(got.astype(int) - want).max() <= 1  # Pillow takes the upper half of each number


@pytest.mark.parametrize("bits", [1, 2, 4, 8, 16])
def test_the_transparent_shade_of_a_png_is_white_at_any_depth(bits: int) -> None:
    most = (1 << bits) - 1
    deep = shades(most)
    hidden = int(deep[1, 1])
    rows = rows_of(deep)
    if bits < 16:
        lines = ["".join(f"{shade:0{bits}b}" for shade in row) for row in deep]
        lines = [line + "0" * (-len(line) % 8) for line in lines]
        rows = [bytes(int(line[i : i + 8], 2) for i in range(0, len(line), 8)) for line in lines]
    want = np.where(deep[:, :, None] == hidden, 255, scaled(deep, most))
    assert np.array_equal(decode(png(rows, bits, 0, (hidden,))), want)
    assert np.array_equal(decode(png(rows, bits, 0)), scaled(deep, most))


def test_the_transparent_colour_of_a_deep_png_is_white() -> None:
    colours = np.random.default_rng(3).integers(0, 65_536, (ROWS, COLUMNS, 3), dtype=np.uint16)
    hidden = tuple(map(int, colours[1, 1]))
    got = decode(png(rows_of(colours.reshape(ROWS, -1)), 16, 2, hidden))
    want = (colours >> 8).astype(np.uint8)  # as Pillow has deep colours
    want[1, 1] = 255
    assert np.array_equal(got, want)


def test_decoders_write_nothing_of_their_own(capfd: Any) -> None:
    """libtiff prints warnings past Python."""
    deep = shades(65_535).astype("<u2").tobytes()
    odd = [
        tiff(deep, 16, packed=5),  # not LZW
        tiff(zlib.compress(deep)[:-9], 16, packed=8),
        tiff(b"", 16, packed=5),
        tiff(deep, 16, packed=32_773),
        tiff(zlib.compress(deep), 16, packed=8) + b"rest",
    ]
    found = [decode(content) for content in odd]
    assert any(isinstance(one, Problem) for one in found)
    os.write(2, b"still here")
    said = capfd.readouterr()
    assert (said.out, said.err) == ("", "still here")
