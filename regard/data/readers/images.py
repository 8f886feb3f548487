"""Images as arrays, from whatever a row or a user names them by.

An image travels as text, like everything in a row: the path of a file, `NAME#17`, the 17th from 0 of an
IDX file or a built-in set, or a whole file as a `data:` URL (RFC 2397). So rows stay small, a broken one can
be named, and predicting takes the very words that training took. `read_image` turns such a name into
pixels.

Files are decoded by `regard.values.pixels`. This file does not know folders, labels or tasks.
"""

from __future__ import annotations

from pathlib import Path

from regard.data.builtin_digits import DIGITS, digit_images
from regard.data.readers.idx import image_at, is_idx, no_image
from regard.data.readers.lines import Problem
from regard.errors import DataError, missing
from regard.values import pixels
from regard.values.files import data_url, read_file, url_content
from regard.values.pixels import LONGEST_SIDE, MOST_PIXELS, Filter, in_channels, scaled
from regard.values.pixels import Pixels as Image

__all__ = ["IMAGE", "LONGEST_SIDE", "MOST_PIXELS", "SUFFIXES", "Filter", "Image", "as_url", "decode"]
__all__ += ["in_channels", "read_bytes", "read_image", "resized", "scaled"]

IMAGE = "image"
"""The name of the column that holds images; they are given only to who asks for it."""

SUFFIXES = frozenset(
    f".{end}"
    for end in ("png", "jpg", "jpeg", "bmp", "gif", "webp", "pbm", "pgm", "ppm", "pnm", "tif", "tiff")
)
_DATA = "data:"
_MOST_BYTES = 1 << 26


def read_image(name: str) -> Image:
    """The image of that name. Raises DataError saying what is wrong with it; DependencyError."""
    if name.startswith(_DATA):
        return pixels.decode(url_content(name, IMAGE, _MOST_BYTES), f"'{name[:40]}'")
    home, mark, number = name.rpartition("#")
    if mark and number.isdecimal() and len(number) < 12:
        if home in DIGITS:
            return _builtin(home, int(number))
        if is_idx(Path(home)):
            return image_at(Path(home), int(number))
    if not name or "\0" in name:
        raise DataError("{value!r} names no image; give the path of one", name)
    return pixels.decode(read_bytes(Path(name)), name)


def as_url(image: Image) -> str:
    """An image as a `data:` URL that `read_image` takes, and browsers show."""
    return data_url("image/png", pixels.as_png(image))


def read_bytes(path: Path) -> bytes:
    """A whole file. Raises DataError."""
    return read_file(path, _MOST_BYTES)


def decode(content: bytes) -> Image | Problem:
    """As `regard.values.pixels.decode`, with what is wrong as a reason that can be counted."""
    try:
        return pixels.decode(content, "an image")
    except DataError as error:
        return Problem(error.key or "", error.value or "")


def resized(image: Image, side: int) -> Image:
    """Stretched to a square of `side` pixels, smoothly."""
    return scaled(image, side, side, "bicubic")


def _builtin(name: str, number: int) -> Image:
    try:
        images, _ = digit_images(name)
    except ModuleNotFoundError as error:
        package = DIGITS[name].package
        raise missing(f"'{name}' needs the package {package}", f"pip install {package}") from error
    if number >= len(images):
        raise no_image(name, number, len(images))
    return images[number, :, :, None]
