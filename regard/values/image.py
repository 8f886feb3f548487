"""Images: pixels, or a file that is decoded when they are asked for."""

from __future__ import annotations

import sys
from dataclasses import dataclass
from typing import Any, ClassVar, Self

import numpy as np
from numpy.typing import NDArray

from regard.values import json_schema as js
from regard.values.display import image_tag
from regard.values.files import data_url
from regard.values.json_schema import Schema, wrong
from regard.values.media import Media
from regard.values.pixels import Pixels, as_png, decode, on_white, pixels_of, scaled, too_large
from regard.values.value import JSON, VALUES

_LONGEST_SHOWN = 320


@VALUES.register
@dataclass(frozen=True, eq=False, repr=False)
class Image(Media):
    """An image in grey or in colour, as its camera was held; what shines through stands on white."""

    kind: ClassVar[str] = "image"
    accepts: ClassVar[str] = (
        "the path of an image file, its bytes, a data: URL, an image of Pillow's, or an array of bytes of the"
        " shape (H, W), (H, W, 1), (H, W, 3) or, with an opacity, (H, W, 4)"
    )
    properties: ClassVar[dict[str, Schema]] = {
        "data": js.file("image/png", "An image file as a data: URL; written as a PNG without metadata.")
    }

    @property
    def pixels(self) -> Pixels:
        """(H, W, C) from 0 to 255; C is 1 for grey and 3 for red, green and blue. Raises: DataError."""
        return self.decoded

    def checked(self, array: NDArray[Any]) -> NDArray[Any]:
        array = array[:, :, None] if array.ndim == 2 else array
        if array.dtype != np.uint8 or array.ndim != 3 or array.shape[2] not in (1, 3, 4):
            limit = "of uint8 and (H, W), (H, W, 3) or (H, W, 4)"
            raise wrong("an image", (array.dtype.name, array.shape), limit)
        if size := too_large(array.shape[1], array.shape[0]):
            raise wrong("an image's array", array.shape, size)
        return on_white(array) if array.shape[2] == 4 else array

    def decode(self) -> Pixels:
        return decode(self.content(), self.name)

    @classmethod
    def from_object(cls, given: Any) -> Self:
        pillow = sys.modules.get("PIL.Image")  # nobody holds an image of Pillow's who has not loaded it
        return cls(pixels_of(given) if pillow and isinstance(given, pillow.Image) else given)

    def to_properties(self) -> JSON:
        return {"data": data_url("image/png", as_png(self.pixels))}

    def key(self) -> tuple[Any, ...]:
        return (self.pixels,)

    def __str__(self) -> str:
        return self.shown(described(self.source))

    def html(self) -> str:
        pixels = self.pixels
        times = min(1.0, _LONGEST_SHOWN / max(pixels.shape[:2]))
        size = [max(1, round(side * times)) for side in pixels.shape[:2]]
        small = scaled(pixels, size[0], size[1], "bilinear")
        return image_tag(data_url("image/png", as_png(small)), str(self))


def described(source: object) -> str:
    """The size of an array."""
    return f"of {source.shape[1]} × {source.shape[0]} pixels" if isinstance(source, np.ndarray) else "file"
