"""A sheet of images with what was said of each, as a PNG. It does not know who said it."""

from __future__ import annotations

import io
import math
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from regard.errors import needs

_SIDE = 96
"""Pixels of an image's longer side on the sheet; small ones are enlarged by integers."""
_TEXT = 20
_LETTERS = 14
_GAP = 6
_RIGHT, _WRONG = "#1a7f37", "#c4281b"


@dataclass(frozen=True)
class Tile:
    """One image (H, W, C) of bytes, the label that it has, and the one that it was given."""

    pixels: NDArray[np.uint8]
    label: str
    answer: str


def drawn(tiles: list[Tile]) -> bytes:
    """The sheet; under an image stands the answer, and in red, with the true label, where it is wrong.

    Raises: DependencyError without Pillow.
    """
    with needs("a sheet of images needs the package pillow", "images"):
        from PIL import Image, ImageDraw
    columns = max(1, math.ceil(math.sqrt(len(tiles))))
    cell = (_SIDE + _GAP, _SIDE + _TEXT + _GAP)
    rows = math.ceil(len(tiles) / columns)
    sheet = Image.new("RGB", (columns * cell[0] + _GAP, rows * cell[1] + _GAP), "white")
    pen: Any = ImageDraw.Draw(sheet)
    for place, tile in enumerate(tiles):
        x, y = _GAP + place % columns * cell[0], _GAP + place // columns * cell[1]
        image = _sized(Image, tile.pixels)
        sheet.paste(image, (x + (_SIDE - image.width) // 2, y + (_SIDE - image.height) // 2))
        right = tile.answer == tile.label
        colour = _RIGHT if right else _WRONG
        if not right:
            pen.rectangle((x - 2, y - 2, x + _SIDE + 1, y + _SIDE + 1), outline=colour, width=2)
        text = tile.answer if right else f"{tile.answer}, not {tile.label}"
        pen.text((x, y + _SIDE + 1), _shortened(pen, text), fill=colour, font_size=_LETTERS)
    made = io.BytesIO()
    sheet.save(made, "PNG")
    return made.getvalue()


def _sized(pillow: Any, pixels: NDArray[np.uint8]) -> Any:
    image = pillow.fromarray(pixels[:, :, 0] if pixels.shape[2] == 1 else np.ascontiguousarray(pixels))
    times = _SIDE / max(image.size)
    if times >= 1:
        size = tuple(side * int(times) for side in image.size)
        return image.resize(size, pillow.Resampling.NEAREST)
    size = tuple(max(1, round(side * times)) for side in image.size)
    return image.resize(size, pillow.Resampling.LANCZOS)


def _shortened(pen: Any, text: str) -> str:
    """As much of it as fits below an image."""
    while len(text) > 1 and pen.textlength(text, font_size=_LETTERS) > _SIDE:
        text = text[:-2] + "…" if text.endswith("…") else text[:-1] + "…"
    return text
