"""Images as arrays, from whatever a row or a user names them by.

An image travels as text, like everything in a row: the path of a file, `NAME#17`, the 17th from 0 of an
IDX file or a built-in set, or a whole file as a `data:` URL (RFC 2397). So rows stay small, a broken one can
be named, and predicting takes the very words that training took. `read_image` turns such a name into
pixels.

Files are decoded by Pillow (the extra `images`), and only the formats listed here: some others run
programs. What a header claims is checked before memory is taken: an image takes at most 256 MiB while it is
read. This file does not know folders, labels or tasks."""

from __future__ import annotations

import io
import warnings
from base64 import b64decode, b64encode
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from regard.data.builtin_digits import DIGITS, digit_images
from regard.data.readers.idx import LONGEST_SIDE, MOST_PIXELS, image_at, is_idx
from regard.data.readers.lines import Problem, file_errors
from regard.data.readers.shades import Shades, quiet_decoder
from regard.errors import DataError, missing, too_many_bytes

__all__ = [
    *("LONGEST_SIDE", "MOST_PIXELS", "IMAGE", "SUFFIXES", "Filter", "Image", "as_url", "decode"),
    "in_channels",
    *("read_bytes", "read_image", "resized", "scaled"),
]

Image = NDArray[np.uint8]
"""(H, W, C): C is 1 for grey and 3 for red, green and blue."""

Filter = Literal["nearest", "bilinear", "bicubic", "lanczos"]
"""How the pixels of an image of another size are made of those around them."""

IMAGE = "image"
"""The name of the column that holds images; they are given only to who asks for it."""

SUFFIXES = frozenset(
    f".{end}"
    for end in ("png", "jpg", "jpeg", "bmp", "gif", "webp", "pbm", "pgm", "ppm", "pnm", "tif", "tiff")
)
_FORMATS = ("PNG", "JPEG", "BMP", "GIF", "WEBP", "PPM", "TIFF")
_DATA = "data:"
_MOST_PHOTO = 2**27
"""Pixels of a baseline JPEG, which is decoded at a half, a quarter or an eighth of its size if need be."""
_MOST_SCANS = 50
"""Of a progressive JPEG: each costs time for every pixel, however few its bytes."""
_MOST_BYTES = 1 << 26
_ERRORS = {"UnidentifiedImageError": "not an image", "DecompressionBombError": "image too large"}
"""Of Pillow, and what they mean."""
_MOST_EXIF = 2**20
"""Bytes."""
_MOST_TAGGED = 2**18
"""Numbers in one tag of a TIFF, each of which Pillow makes an object of."""
_BYTES = (1, 2, 7)
"""Types of tags that are kept as bytes."""
_BAND = 2**20
"""Pixels that are converted at one time."""


def read_image(name: str) -> Image:
    """The image of that name. Raises DataError saying what is wrong with it; DependencyError."""
    if name.startswith(_DATA):
        return _imaged(name)
    home, mark, number = name.rpartition("#")
    if mark and number.isdecimal() and len(number) < 12:
        if home in DIGITS:
            return _builtin(home, int(number))
        if is_idx(Path(home)):
            return image_at(Path(home), int(number))
    if not name or "\0" in name:
        raise DataError("{value!r} names no image; give the path of one", name)
    found = decode(read_bytes(Path(name)))
    if isinstance(found, Problem):
        raise DataError("{where}: {value}; give an image as {limit}", name, found, ", ".join(_FORMATS))
    return found


def _imaged(url: str) -> Image:
    """What a `data:` URL holds."""
    head, comma, text = url.partition(",")
    shown = head[:40]
    if not comma or not head.endswith(";base64"):
        raise DataError("'{where}' holds no image; give one as {limit}", shown, "data:image/png;base64,…")
    if len(text) > _MOST_BYTES * 4 // 3 + 4:
        raise too_many_bytes(DataError, shown, _MOST_BYTES, "give a smaller image")
    try:
        content = b64decode(text, validate=True)
    except ValueError as error:
        raise DataError("what follows '{where}' is not base64", shown) from error
    found = decode(content)
    if isinstance(found, Problem):
        raise DataError("'{where}': {value}; give an image as {limit}", shown, found, ", ".join(_FORMATS))
    return found


def as_url(image: Image) -> str:
    """An image as a `data:` URL that `read_image` takes, and browsers show."""
    pillow, file = _pillow(), io.BytesIO()
    pillow.fromarray(image[:, :, 0] if image.shape[2] == 1 else image).save(file, "PNG")
    return f"{_DATA}image/png;base64,{b64encode(file.getvalue()).decode('ascii')}"


def read_bytes(path: Path) -> bytes:
    """A whole file. Raises DataError."""
    with file_errors(path):
        if not path.is_file():
            what = "is not a regular file" if path.exists() else "does not exist"
            raise DataError("{where} {value}; give the path of an image", path, what)
        if path.stat().st_size > _MOST_BYTES:
            raise too_many_bytes(DataError, path, _MOST_BYTES, "give a smaller image")
        return path.read_bytes()


def decode(content: bytes) -> Image | Problem:
    """The first image in a file's bytes, as its camera was held; what shines through stands on white."""
    pillow = _pillow()
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of sizes, which are checked here, and of odd metadata
            if _many_numbers(content):
                return Problem("image too large", "the tags of a TIFF")
            with pillow.open(io.BytesIO(content), formats=_FORMATS) as opened:
                if found := _excess(opened, content):
                    return found
                shades = Shades.of(opened)  # which loading forgets
                with quiet_decoder(opened.format):
                    opened.load()
                    if len(opened.info.get("exif", b"")) > _MOST_EXIF:  # which may stand behind the pixels
                        return Problem("image too large", "its EXIF data")
                    return _pixels(opened, shades)
    except Exception as error:  # a decoder of foreign bytes may raise anything
        what = str(error).split("\n")[0][:80] if isinstance(error, OSError) else type(error).__name__
        known = _ERRORS.get(type(error).__name__)
        return Problem(known) if known else Problem("broken image", what)


def in_channels(image: Image, channels: int) -> Image:
    """The same in grey or in colour: luma of ITU-R 601, as Pillow has it, or three times the grey."""
    if image.shape[2] == channels:
        return image
    if channels == 3:
        return image.repeat(3, axis=2)
    weights = np.array([19595, 38470, 7471], dtype=np.uint32)
    return ((image @ weights + 0x8000) >> 16).astype(np.uint8)[:, :, None]


def resized(image: Image, side: int) -> Image:
    """Stretched to a square of `side` pixels, smoothly."""
    return scaled(image, side, side, "bicubic")


def scaled(image: Image, rows: int, columns: int, how: Filter) -> Image:
    """Stretched to that size."""
    if image.shape[:2] == (rows, columns):
        return image
    pillow = _pillow()
    flat = pillow.fromarray(image[:, :, 0] if image.shape[2] == 1 else image)
    found = np.asarray(flat.resize((columns, rows), pillow.Resampling[how.upper()]), dtype=np.uint8)
    return found if found.ndim == 3 else found[:, :, None]


def too_large(width: int, height: int) -> Problem | None:
    """What is wrong with such a size, if anything is."""
    if min(width, height) > 0 and max(width, height) <= LONGEST_SIDE and width * height <= MOST_PIXELS:
        return None
    limits = f"at most {MOST_PIXELS:,} and {LONGEST_SIDE:,} to a side are read"
    return Problem("image too large", f"{width:,} × {height:,} pixels; {limits}")


def _excess(opened: Any, content: bytes) -> Problem | None:
    """What a file, of which only the header was read, would take too much memory or time for."""
    width, height = opened.size
    if opened.format in ("JPEG", "MPO"):
        if content.count(b"\xff\xda") > _MOST_SCANS:
            return Problem("image too large", f"a JPEG of over {_MOST_SCANS} scans")
        if not opened.info.get("progressive") and width * height <= _MOST_PHOTO:
            for scale in (1, 2, 4, 8):
                if too_large(width // scale, height // scale) is None:
                    opened.draft(None, (width // scale, height // scale))
                    break
    if opened.format == "TIFF":
        tile = [opened.tag_v2.get(tag, 1) for tag in _TILE]
        if not all(isinstance(side, int) for side in tile) or too_large(*tile):
            return Problem("image too large", "tiles of a TIFF")
    return too_large(*opened.size)


def _many_numbers(content: bytes) -> bool:
    """Whether a tag in the first directory of a TIFF (or BigTIFF) has more numbers than any image needs."""
    order = {b"II": "<", b"MM": ">"}.get(content[:2])
    if order is None or content[2:4].strip(b"\0") not in (b"*", b"+"):
        return False
    big = b"+" in content[2:4]
    size, where, many = ("u8", 8, "u8") if big else ("u4", 4, "u2")
    start = int(np.frombuffer(content, order + size, 1, where)[0])
    count = int(np.frombuffer(content, order + many, 1, start)[0])
    entry = [("tag", f"{order}u2"), ("type", f"{order}u2"), ("count", order + size), ("value", order + size)]
    entries = np.frombuffer(content, entry, count, start + np.dtype(many).itemsize)
    return bool((entries["count"][~np.isin(entries["type"], _BYTES)] > _MOST_TAGGED).any())


_TILE = (322, 323)
"""Tags of a TIFF: each tile is decoded whole, whatever part of it the image needs."""


def _pixels(opened: Any, shades: Shades) -> Image:
    from PIL import ImageOps

    ImageOps.exif_transpose(opened, in_place=True)  # or else all of it would be copied
    if (deep := shades.deep(opened)) is not None:
        return deep
    shades.mend_transparency(opened)
    if opened.mode in ("I", "F"):
        return Problem("unsupported image", "pixels of 32 bits")  # type: ignore[return-value]
    is_grey = shades.grey if opened.has_transparency_data else opened.mode in ("1", "L")
    return _array(opened, "L" if is_grey else "RGB")


def _array(image: Any, mode: str) -> Image:
    """In grey (L) or colour (RGB), band by band, so that it takes no memory but its own and the pixels'."""
    width, height = image.size
    pixels = np.empty((height, width, len(mode)), dtype=np.uint8)
    rows = max(1, _BAND // width)
    for top in range(0, height, rows):
        band = image.crop((0, top, width, min(height, top + rows)))
        pixels[top : top + rows] = np.asarray(_opaque(band).convert(mode)).reshape(-1, width, len(mode))
    return pixels


def _opaque(image: Any) -> Any:
    """What shines through, on white."""
    if not image.has_transparency_data:
        return image
    image = image.convert("RGBA")
    return _pillow().alpha_composite(_pillow().new("RGBA", image.size, "white"), image)


def _builtin(name: str, number: int) -> Image:
    try:
        images, _ = digit_images(name)
    except ModuleNotFoundError as error:
        package = DIGITS[name].package
        raise missing(f"'{name}' needs the package {package}", f"pip install {package}") from error
    if number >= len(images):
        sentence = "{where} has no image {value}, only {limit}"
        raise DataError(sentence, name, number, f"0 to {len(images) - 1}")
    return images[number, :, :, None]


def _pillow() -> Any:
    try:
        from PIL import Image
    except ModuleNotFoundError as error:
        raise missing("images need the package pillow", "pip install 'regard[images]'") from error
    return Image
