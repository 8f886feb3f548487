"""A hostile image takes little time and memory before it is refused or read, in every format."""

from __future__ import annotations

import io
import json
import struct
import subprocess
import sys
import zlib
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from regard.data.readers.idx import image_at
from regard.data.readers.images import LONGEST_SIDE, MOST_PIXELS, decode
from regard.data.readers.lines import Problem
from regard.errors import DataError
from tests.shared import refused

SIDE = 4096
MOST_SECONDS = 4 * 5  # of a processor: another machine may be slower
MOST_BYTES = 256 << 20
MEASURED = """
import json, os, sys
from pathlib import Path
import numpy as np
import PIL.Image
from regard.data.readers.images import as_url, decode, in_channels, scaled
PIL.Image.init()
decode(Path(sys.argv[1]).read_bytes())
for path in map(Path, sys.argv[1:]):
    base = int(open("/proc/self/statm").read().split()[1]) * 4096
    if not (child := os.fork()):
        found = decode(path.read_bytes())
        if isinstance(found, np.ndarray):
            as_url(np.ascontiguousarray(in_channels(scaled(found, 28, 28, "bicubic"), 3)))
        os._exit(0)
    _, status, used = os.wait4(child, 0)
    print(json.dumps([path.name, status, used.ru_utime + used.ru_stime, used.ru_maxrss * 1024 - base]))
"""


def saved(image: Image.Image, form: str, **options: object) -> bytes:
    made = io.BytesIO()
    image.save(made, form, **options)
    return made.getvalue()


def zeros(count: int) -> bytes:
    """So many, compressed as by zlib, at once: each block is compressed without what stood before it."""
    block = bytes(1 << 20)
    whole, rest = divmod(count, len(block))
    squeezer = zlib.compressobj(9, wbits=-zlib.MAX_WBITS)
    made = (squeezer.compress(block) + squeezer.flush(zlib.Z_FULL_FLUSH)) * whole
    made += squeezer.compress(block[:rest]) + squeezer.flush()
    check = 1
    for _ in range(whole):
        check = zlib.adler32(block, check)
    return b"\x78\xda" + made + zlib.adler32(block[:rest], check).to_bytes(4, "big")


def chunk(kind: bytes, content: bytes) -> bytes:
    return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", zlib.crc32(kind + content))


def png(*chunks: bytes, size: tuple[int, int] = (3, 3), colour: int = 2, behind: bytes = b"") -> bytes:
    """A small PNG with chunks of one's own before its pixels, and behind them."""
    head = chunk(b"IHDR", struct.pack(">2I5B", *size, 8, colour, 0, 0, 0))
    rows = zeros((1 + size[0] * {0: 1, 2: 3, 6: 4}[colour]) * size[1])
    return (
        b"\x89PNG\r\n\x1a\n" + head + b"".join(chunks) + chunk(b"IDAT", rows) + behind + chunk(b"IEND", b"")
    )


def exif(count: int) -> bytes:
    """How the camera was held, said again and again."""
    return tiff((0x112, 3, count, struct.pack("<H", 6) * count))


def big_tiff(count: int) -> bytes:
    """A BigTIFF of one pixel and so many strips."""
    head = b"II+\0" + struct.pack("<HHQ", 8, 0, 16)
    entries = [(256, 4, 1, 1), (257, 4, 1, 1), (258, 4, 1, 8), (259, 4, 1, 1), (262, 4, 1, 1)]
    entries += [(273, 4, count, 500), (277, 4, 1, 1), (278, 4, 1, 1), (279, 4, count, 500)]
    directory = struct.pack("<Q", len(entries)) + b"".join(struct.pack("<HHQQ", *entry) for entry in entries)
    return (head + directory + bytes(8)).ljust(500, b"\0") + struct.pack("<I", 100_000) * count


def tiff(*entries: tuple[int, int, int, bytes], pixels: bytes = b"") -> bytes:
    """A little-endian TIFF: (tag, type, count, value) in the order of their tags; a value of over four bytes
    stands behind them. The value `@` is where `pixels` stand."""
    where = 8 + 2 + 12 * len(entries) + 4
    directory, behind = struct.pack("<H", len(entries)), pixels
    for tag, kind, count, value in entries:
        if value == b"@":
            value = struct.pack("<I", where)
        if len(value) > 4:
            behind, value = behind + value, struct.pack("<I", where + len(behind))
        directory += struct.pack("<HHI", tag, kind, count) + value.ljust(4, b"\0")
    return b"II*\0" + struct.pack("<I", 8) + directory + struct.pack("<I", 0) + behind


def long(value: int) -> bytes:
    return struct.pack("<I", value)


def tiled(side: int) -> bytes:
    """One pixel, in a tile of many."""
    pixels = zeros(side * side)
    numbers = [(256, 1), (257, 1), (258, 8), (259, 8), (262, 1), (277, 1), (322, side), (323, side)]
    entries = [(tag, 4, 1, long(value)) for tag, value in numbers]
    return tiff(*entries, (324, 4, 1, b"@"), (325, 4, 1, long(len(pixels))), pixels=pixels)


def stripped(count: int) -> bytes:
    """One pixel, in so many strips."""
    numbers = [(256, 1), (257, 1), (258, 8), (259, 1), (262, 1)]
    entries = [(tag, 4, 1, long(value)) for tag, value in numbers]
    many = struct.pack("<I", 100_000) * count
    return tiff(
        *entries, (273, 4, count, many), (277, 4, 1, long(1)), (278, 4, 1, long(1)), (279, 4, count, many)
    )


def scans(count: int) -> bytes:
    """A progressive JPEG whose last scan comes again and again."""
    whole = saved(Image.new("L", (2048, 2048), 128), "JPEG", progressive=True)
    last = whole.rindex(b"\xff\xda")
    return whole[:last] + whole[last:-2] * count + whole[-2:]


def animated(form: str) -> bytes:
    frames = [Image.new("RGB", (SIDE, SIDE), (n, 0, 0)) for n in range(8)]
    return saved(frames[0], form, save_all=True, append_images=frames[1:])


def unfitting_gif() -> bytes:
    """A screen of one pixel, and a first frame that is far larger."""
    whole = bytearray(saved(Image.new("P", (16, 16)), "GIF"))
    whole[6:10] = struct.pack("<HH", 1, 1)
    at = whole.index(b"\x2c", 13)
    whole[at + 5 : at + 9] = struct.pack("<HH", 65_535, 65_535)
    return bytes(whole)


def largest(mode: str) -> Image.Image:
    """So large as may be, and not all alike."""
    layers = len(Image.new(mode, (1, 1)).getbands())
    tile = np.random.default_rng(1).integers(0, 256, (64, 64, layers), dtype=np.uint8)
    array = np.tile(tile, (SIDE // 64, SIDE // 64, 1))
    return Image.frombytes(mode, (SIDE, SIDE), array.tobytes())


BOMBS: dict[str, Callable[[], bytes]] = {
    "largest-png": lambda: saved(largest("RGBA"), "PNG", compress_level=1),
    "largest-interlaced-png": lambda: png(size=(SIDE, SIDE), colour=6),
    "largest-jpeg": lambda: saved(largest("CMYK"), "JPEG", progressive=True, subsampling=0),
    "largest-photo": lambda: saved(Image.new("RGB", (11_000, 11_000)), "JPEG"),
    "largest-webp": lambda: saved(Image.new("RGBA", (SIDE, SIDE), (1, 2, 3, 4)), "WEBP", lossless=True),
    "largest-gif": lambda: saved(largest("L"), "GIF"),
    "largest-tiff": lambda: saved(largest("RGB"), "TIFF", compression="tiff_deflate"),
    "longest": lambda: png(size=(1, LONGEST_SIDE)),
    "animated-png": lambda: animated("PNG"),
    "animated-gif": lambda: animated("GIF"),
    "too-tall": lambda: png(size=(1, 5_000_000), colour=0),
    "too-wide": lambda: png(size=(5_000_000, 1), colour=0),
    "text": lambda: png(*[chunk(b"zTXt", b"k\0\0" + zeros(100 << 20))] * 20),
    "much-text": lambda: png(*[chunk(b"zTXt", b"k\0\0" + zlib.compress(bytes(1 << 19)))] * 2000),
    "international-text": lambda: png(*[chunk(b"iTXt", b"k\0\1\0\0\0" + zeros(100 << 20))] * 20),
    "profile": lambda: png(chunk(b"iCCP", b"k\0\0" + zeros(1000 << 20))),
    "two-headers": lambda: png(chunk(b"IHDR", struct.pack(">2I5B", 60_000, 60_000, 8, 2, 0, 0, 0))),
    "chunks": lambda: png(*[chunk(b"prVt", b"")] * 300_000),
    "scans": lambda: scans(20_000),
    "tile": lambda: tiled(LONGEST_SIDE),
    "huge-tile": lambda: tiled(30_000),
    "strips": lambda: stripped(1_000_000),
    "most-strips": lambda: stripped(7_500_000),
    "big-tiff": lambda: big_tiff(7_500_000),
    "exif": lambda: png(chunk(b"eXIf", exif(20_000_000))),
    "exif-behind": lambda: png(behind=chunk(b"eXIf", exif(20_000_000))),
    "unfitting": unfitting_gif,
    "ppm": lambda: b"P6 16000 16000 255\n",
    "ppm-digits": lambda: b"P6 " + b"9" * 1_000_000,
    "plain-ppm": lambda: b"P3 4096 4096 255\n" + b"1 " * 2_000_000,
    "bmp": lambda: b"BM" + struct.pack("<IIIIiiHH", 60, 0, 54, 40, 30_000, -30_000, 1, 24) + bytes(24),
}


TOO_LARGE = ["too-tall", "too-wide", "two-headers", "huge-tile", "scans", "bmp", "ppm"]
TOO_LARGE += ["most-strips", "big-tiff", "exif", "exif-behind"]


def measured(folder: Path) -> Iterator[tuple[str, int, float, int]]:
    """Name, exit status, seconds and bytes of each, decoded in a process of its own."""
    sound = folder / "sound"
    sound.write_bytes(saved(Image.new("RGB", (31, 37)), "PNG"))
    for name, make in BOMBS.items():
        (folder / name).write_bytes(make())
    files = [str(sound), *(str(folder / name) for name in BOMBS)]
    done = subprocess.run(
        [sys.executable, "-c", MEASURED, *files], capture_output=True, text=True, check=True
    )
    for line in done.stdout.splitlines():
        yield tuple(json.loads(line))


@pytest.mark.skipif(not Path("/proc/self/statm").exists(), reason="memory is measured as Linux tells it")
def test_a_hostile_image_takes_little_time_and_memory(tmp_path: Path) -> None:
    found = list(measured(tmp_path))
    assert len(found) == len(BOMBS) + 1
    excess = {
        name: f"status {status}, {seconds:.1f} s, {size >> 20} MiB"
        for name, status, seconds, size in found
        if status or seconds > MOST_SECONDS or size > MOST_BYTES
    }
    assert not excess


@pytest.mark.parametrize("name", TOO_LARGE)
def test_what_is_too_large_is_said(name: str) -> None:
    found = decode(BOMBS[name]())
    assert isinstance(found, Problem)
    assert "too large" in str(found)


@pytest.mark.parametrize("size", [(1, 1), (LONGEST_SIDE, 1), (1, LONGEST_SIDE), (3, 5)])
def test_what_is_not_too_large_is_read(size: tuple[int, int]) -> None:
    assert decode(png(size=size)).shape == (*size[::-1], 3)  # type: ignore[union-attr]


def test_a_large_photograph_is_read_smaller() -> None:
    found = decode(saved(Image.new("RGB", (6000, 4000), (200, 100, 50)), "JPEG"))
    assert found.shape == (2000, 3000, 3)  # type: ignore[union-attr]
    assert np.abs(found[::500, ::500].astype(int) - [200, 100, 50]).max() < 3  # type: ignore[index]


@pytest.mark.parametrize("shape", [(5_000_000, 1), (1, 5_000_000), (SIDE, SIDE + 1)])
def test_images_of_an_idx_file_have_the_same_limits(shape: tuple[int, int], tmp_path: Path) -> None:
    assert shape[0] * shape[1] > MOST_PIXELS or max(shape) > LONGEST_SIDE
    path = tmp_path / "train-images-idx3-ubyte"
    path.write_bytes(bytes((0, 0, 8, 3)) + struct.pack(">3I", 0, *shape))
    with refused(DataError, where="train-images-idx3-ubyte"):
        image_at(path, 0)
