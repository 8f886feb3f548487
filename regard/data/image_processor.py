"""What all images of a model are like: how they are brought to one size, and how their numbers are centred.

A bundle keeps it as `image_processor.json`. This file does not know models.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np

from regard.data.readers.images import Filter, Image, in_channels, read_image, scaled
from regard.errors import DataError, require

IMAGE_PROCESSOR = "image_processor.json"
WHITE = 255
"""The brightest that a pixel can be."""
_MOST = 1 << 25
"""Pixels of an image."""


@dataclass(frozen=True)
class Stretch:
    """To a size of its own, whatever the shape was."""

    rows: int
    columns: int
    filter: Filter = "bicubic"
    """How pixels are made of pixels."""
    kind: Literal["stretch"] = "stretch"

    def __post_init__(self) -> None:
        require(0 < self.rows * self.columns <= _MOST, "rows * columns", self.rows * self.columns, "sound")

    def size(self, rows: int, columns: int) -> tuple[int, int]:
        """Of an image of that size."""
        return self.rows, self.columns


@dataclass(frozen=True)
class Shorter:
    """Its shorter side to so many pixels, its shape kept."""

    side: int
    filter: Filter = "bicubic"
    """How pixels are made of pixels."""
    kind: Literal["shorter"] = "shorter"

    def __post_init__(self) -> None:
        require(0 < self.side <= 4096, "side", self.side, "from 1 to 4,096 pixels")

    def size(self, rows: int, columns: int) -> tuple[int, int]:
        """Of an image of that size."""
        longer = int(self.side * max(rows, columns) / min(rows, columns))
        return (self.side, longer) if rows <= columns else (longer, self.side)


Resize = Stretch | Shorter


@dataclass(frozen=True)
class ImageProcessor:
    """What all images of a model are like, and how their numbers are centred."""

    channels: Literal[1, 3]
    rows: int
    columns: int
    mean: tuple[float, ...]
    """By channel, of pixels from 0 to 1."""
    deviation: tuple[float, ...]
    resize: Resize | None = None
    """How every image is brought to a size; null where they have it."""
    crop: bool = False
    """Whether the middle of it is taken afterwards, of the rows and columns above."""

    def __post_init__(self) -> None:
        require(0 < self.rows * self.columns <= _MOST, "rows * columns", self.rows * self.columns, "sound")
        for name, least in (("mean", 0.0), ("deviation", 1e-6)):
            some = getattr(self, name)
            good = len(some) == self.channels and all(least <= x <= 1 for x in some)
            require(good, name, some, f"a number from {least:g} to 1 for each channel")

    @property
    def shape(self) -> tuple[int, int, int]:
        return (self.channels, self.rows, self.columns)

    def pixels(self, image: Image, name: str) -> Image:
        """(C, H, W): the image of that name as the model takes it. Raises: DataError when it is of another
        size and nothing brings it to this one."""
        image = self.brought(image)
        channels, rows, columns = self.shape
        if image.shape[:2] != (rows, columns):
            sentence = (
                "{where} has {value} pixels, not {limit}; train with task.size to bring all to one size"
            )
            raise DataError(sentence, name, f"{image.shape[1]} × {image.shape[0]}", f"{columns} × {rows}")
        return np.ascontiguousarray(in_channels(image, channels).transpose(2, 0, 1))

    def brought(self, image: Image) -> Image:
        """The image in the size that the model takes, as far as `resize` and `crop` see to that."""
        if self.resize is not None:
            rows, columns = self.resize.size(*image.shape[:2])
            if rows * columns > _MOST:  # a line of pixels, made thick
                return image
            image = scaled(image, rows, columns, self.resize.filter)
        top, left = image.shape[0] - self.rows, image.shape[1] - self.columns
        if self.crop and top >= 0 and left >= 0:
            image = image[top // 2 :, left // 2 :][: self.rows, : self.columns]
        return image


@dataclass
class ImageDecoder:
    """From the names that rows have of images to what a model with this processor takes."""

    processor: ImageProcessor
    greyed: int = 0
    """How many were in colour and made grey."""

    def __call__(self, reference: str, rng: np.random.Generator | None = None) -> Image:
        """Raises: DataError naming the image, and the place that names it where that is another."""
        where, _, name = reference.rpartition("\0")
        image = read(name, where)
        found = self.processor.pixels(image, name)
        self.greyed += image.shape[2] > self.processor.channels
        return found


def reference(name: str, where: str) -> str:
    """To the image of that name, which stood at `where`: no name holds a NUL."""
    return name if where == name else f"{where}\0{name}"


def read(name: str, where: str = "") -> Image:
    """The image of that name, which stood at `where`. Raises: DataError."""
    try:
        return read_image(name)
    except DataError as error:
        if where in ("", name):
            raise
        raise DataError.of(error, where=where) from error
