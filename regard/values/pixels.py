"""Image files as arrays of bytes, decoded within bounds.

Files are decoded by Pillow (the extra `images`), and only the formats listed here: some others run programs.
What a header claims is checked before memory is taken: an image takes at most 256 MiB while it is read. This
file does not know where images come from, nor what they are for.
"""

from __future__ import annotations

import io
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from regard.errors import DataError, needs
from regard.values.shades import Shades, quiet_decoder

Pixels = NDArray[np.uint8]
"""(H, W, C): C is 1 for grey and 3 for red, green and blue."""

Filter = Literal["nearest", "bilinear", "bicubic", "lanczos"]
"""How the pixels of an image of another size are made of those around them."""

FORMATS = ("PNG", "JPEG", "BMP", "GIF", "WEBP", "PPM", "TIFF")
LONGEST_SIDE = 16_384
MOST_PIXELS = 2**24
"""Of one image, in every format."""
_MOST_PHOTO = 2**27
"""Pixels of a baseline JPEG, which is decoded at a half, a quarter or an eighth of its size if need be."""
_MOST_SCANS = 50
"""Of a progressive JPEG: each costs time for every pixel, however few its bytes."""
_ERRORS = {"UnidentifiedImageError": "not an image", "DecompressionBombError": "image too large"}
"""Of Pillow, and what they mean."""
_MOST_EXIF = 2**20
"""Bytes."""
_MOST_TAGGED = 2**18
"""Numbers in one tag of a TIFF, each of which Pillow makes an object of."""
_BYTES = (1, 2, 7)
"""Types of tags that are kept as bytes."""
_TILE = (322, 323)
"""Tags of a TIFF: each tile is decoded whole, whatever part of it the image needs."""
_BAND = 2**20
"""Pixels that are converted at one time."""
_SCALES = {"L;2": 85, "L;4": 17}
"""What Pillow multiplies grey of few bits by."""


def decode(content: bytes, where: str) -> Pixels:
    """The first image in a file's bytes, as its camera was held; what shines through stands on white.

    Raises: DataError whose `key` is one of a few reasons; DependencyError.
    """
    with _opened(content, where, FORMATS) as (image, shades):
        return _pixels(image, shades)


def decode_ids(content: bytes, where: str) -> NDArray[Any]:
    """(H, W) of 8 or 16 bits: the very numbers of a PNG in grey or of a palette. Raises as `decode`."""
    with _opened(content, where, ("PNG",)) as (image, shades):
        if image.mode not in ("1", "L", "P") and not image.mode.startswith("I;16"):
            raise _RefusedError("unsupported image", f"{image.mode}; a mask is in grey or of a palette")
        ids = np.asarray(image)
        return (ids // _SCALES.get(shades.raw, 1)).astype(np.uint16 if ids.dtype.itemsize == 2 else np.uint8)


def pixels_of(image: Any) -> Pixels:
    """Those of an object of Pillow. Raises: DataError."""
    with _errors("an image of Pillow's", FORMATS):
        _check_size(image.size)
        shades = Shades.of(image) if getattr(image, "tile", None) else Shades("", image.mode, 0xFFFF, False)
        return _pixels(image.copy(), shades)


def as_png(pixels: NDArray[Any]) -> bytes:
    """A PNG of (H, W, C) bytes, or of (H, W) numbers of 8 or 16 bits."""
    file = io.BytesIO()
    flat = pixels[:, :, 0] if pixels.ndim == 3 and pixels.shape[2] == 1 else pixels
    pillow().fromarray(np.ascontiguousarray(flat)).save(file, "PNG")
    return file.getvalue()


def in_channels(pixels: Pixels, channels: int) -> Pixels:
    """The same in grey or in colour: luma of ITU-R 601, as Pillow has it, or three times the grey."""
    if pixels.shape[2] == channels:
        return pixels
    if channels == 3:
        return pixels.repeat(3, axis=2)
    weights = np.array([19595, 38470, 7471], dtype=np.uint32)
    return ((pixels @ weights + 0x8000) >> 16).astype(np.uint8)[:, :, None]


def scaled(pixels: Pixels, rows: int, columns: int, how: Filter) -> Pixels:
    """Stretched to that size."""
    if pixels.shape[:2] == (rows, columns):
        return pixels
    image = pillow()
    flat = image.fromarray(pixels[:, :, 0] if pixels.shape[2] == 1 else pixels)
    pixels = np.asarray(flat.resize((columns, rows), image.Resampling[how.upper()]), dtype=np.uint8)
    return pixels if pixels.ndim == 3 else pixels[:, :, None]


def on_white(pixels: NDArray[np.uint8]) -> Pixels:
    """(H, W, 4) of red, green, blue and opacity → (H, W, 3)."""
    colour, opacity = pixels[:, :, :3].astype(np.uint16), pixels[:, :, 3:].astype(np.uint16)
    return ((colour * opacity + 255 * (255 - opacity) + 127) // 255).astype(np.uint8)


def too_large(width: int, height: int) -> str | None:
    """What is wrong with such a size, if anything is."""
    if min(width, height) > 0 and max(width, height) <= LONGEST_SIDE and width * height <= MOST_PIXELS:
        return None
    limits = f"at most {MOST_PIXELS:,} and {LONGEST_SIDE:,} to a side are read"
    return f"{width:,} × {height:,} pixels; {limits}"


def pillow() -> Any:
    with needs("images need the package pillow", "images"):
        from PIL import Image
    return Image


class _RefusedError(Exception):
    """Of a file: the reason, and more about it."""


@contextmanager
def _errors(where: str, formats: tuple[str, ...]) -> Iterator[None]:
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of sizes, which are checked here, and of odd metadata
            yield
    except Exception as error:  # a decoder of foreign bytes may raise anything
        what = str(error).split("\n")[0][:80] if isinstance(error, OSError) else type(error).__name__
        known = _ERRORS.get(type(error).__name__)
        reason, more = (known, "") if known else ("broken image", what)
        if isinstance(error, _RefusedError):
            reason, more = error.args
        some = ", ".join(formats)
        if not more:
            raise DataError("{where}: {key}; give an image as {limit}", where, reason, some) from error
        sentence = "{where}: {key} ({value}); give an image as {limit}"
        raise DataError(sentence, where, reason, more, some) from error


@contextmanager
def _opened(content: bytes, where: str, formats: tuple[str, ...]) -> Iterator[tuple[Any, Shades]]:
    """An image whose pixels have been decoded, and what its file says of shades, which loading forgets."""
    image = pillow()
    with _errors(where, formats):
        if _many_numbers(content):
            raise _RefusedError("image too large", "the tags of a TIFF")
        with image.open(io.BytesIO(content), formats=formats) as opened:
            _check_file(opened, content)
            shades = Shades.of(opened)
            with quiet_decoder(opened.format):
                opened.load()
                if len(opened.info.get("exif", b"")) > _MOST_EXIF:  # which may stand behind the pixels
                    raise _RefusedError("image too large", "its EXIF data")
                yield opened, shades


def _check_size(size: tuple[int, int]) -> None:
    if limit := too_large(*size):
        raise _RefusedError("image too large", limit)


def _check_file(opened: Any, content: bytes) -> None:
    """Refuse what a file, of which only the header was read, would take too much memory or time for."""
    width, height = opened.size
    if opened.format in ("JPEG", "MPO"):
        if content.count(b"\xff\xda") > _MOST_SCANS:
            raise _RefusedError("image too large", f"a JPEG of over {_MOST_SCANS} scans")
        if not opened.info.get("progressive") and width * height <= _MOST_PHOTO:
            for scale in (1, 2, 4, 8):
                if too_large(width // scale, height // scale) is None:
                    opened.draft(None, (width // scale, height // scale))
                    break
    if opened.format == "TIFF":
        tile = [opened.tag_v2.get(tag, 1) for tag in _TILE]
        if not all(isinstance(side, int) for side in tile) or too_large(*tile):
            raise _RefusedError("image too large", "tiles of a TIFF")
    _check_size(opened.size)


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


def _pixels(image: Any, shades: Shades) -> Pixels:
    from PIL import ImageOps

    ImageOps.exif_transpose(image, in_place=True)  # or else all of it would be copied
    if (deep := shades.deep(image)) is not None:
        return deep
    shades.mend_transparency(image)
    if image.mode in ("I", "F"):
        raise _RefusedError("unsupported image", "pixels of 32 bits")
    is_grey = shades.grey if image.has_transparency_data else image.mode in ("1", "L")
    return _array(image, "L" if is_grey else "RGB")


def _array(image: Any, mode: str) -> Pixels:
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
    return pillow().alpha_composite(pillow().new("RGBA", image.size, "white"), image)
