"""What all images of a model are like, taken from the data or out of a bundle.

A model is made for images of one processor; here its embedding and its positions are given their sizes.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import replace
from itertools import islice
from pathlib import Path
from typing import Literal

import numpy as np

from regard.data.image_processor import IMAGE_PROCESSOR, WHITE, ImageProcessor, Stretch, read
from regard.data.readers.images import in_channels, resized
from regard.data.rows import Rows
from regard.errors import BundleError, ConfigError
from regard.model.embed import Patches
from regard.model.position import Learned, Position, Rotary2D, Sinusoidal2D
from regard.schema import parse
from regard.tasks.parts import kept_json, with_sizes
from regard.tasks.task import InputSpec
from regard.values import Image, Value

_SAMPLE = 1000
"""Images of which the mean and the deviation are taken."""
_LEAST_DEVIATION = 0.01
"""Of images that are all blank, too."""


def fit_image_processor(rows: Rows, size: int | None, wanted: Literal[1, 3] | None) -> ImageProcessor:
    """Size and channels of the first image; mean and deviation of the first thousand."""
    channels, shape = wanted, (0, 0)
    count, total, squares = 0, np.zeros(1), np.zeros(1)
    for row in islice(rows, _SAMPLE):
        image = read(row.values[0], row.where)
        image = image if size is None else resized(image, size)
        if not count:
            shape, channels = image.shape[:2], channels or (3 if image.shape[2] == 3 else 1)
        numbers = in_channels(image, channels or 1).reshape(-1, channels or 1) / np.float64(WHITE)
        count, total, squares = count + len(numbers), total + numbers.sum(0), squares + (numbers**2).sum(0)
    assert channels is not None, "labels were counted, so there are rows"
    mean = total / count
    deviation = np.sqrt(np.maximum(squares / count - mean**2, _LEAST_DEVIATION**2))
    resize = None if size is None else Stretch(size, size)
    return ImageProcessor(channels, *shape, tuple(mean.tolist()), tuple(deviation.tolist()), resize)


def given_image_processor(
    files: Mapping[str, str], size: int | None, wanted: Literal[1, 3] | None
) -> ImageProcessor:
    """The image processor of a bundle whose body is fine-tuned.

    Raises: BundleError; ConfigError for other wishes.
    """
    processor = restored_image_processor(files)
    if size is not None and (processor.rows, processor.columns) != (size, size):
        raise _of_bundle("task.size", size, f"images of {processor.columns} × {processor.rows} pixels")
    if wanted not in (None, processor.channels):
        raise _of_bundle("task.channels", wanted, processor.channels)
    return processor if size is None else replace(processor, resize=Stretch(size, size), crop=False)


def _of_bundle(key: str, value: int | None, limit: object) -> ConfigError:
    sentence = "{key}: is {value}, but the bundle that training starts from takes {limit}; leave it out"
    return ConfigError(sentence, key, value, limit)


def restored_image_processor(files: Mapping[str, str]) -> ImageProcessor:
    """The processor that a bundle keeps. Raises: BundleError when it is missing or damaged."""
    found = kept_json(files, IMAGE_PROCESSOR, lambda found: True, "it is no JSON")
    try:
        processor: ImageProcessor = parse(ImageProcessor, found, IMAGE_PROCESSOR)
    except ConfigError as error:
        raise BundleError.of(error) from error
    return processor


def fitted(embed: Patches, processor: ImageProcessor) -> Patches:
    """The embedding for images of this processor. Raises: ConfigError when it was made for others."""
    channels, rows, columns = processor.shape
    sizes = {"channels": channels, "pixel_rows": rows, "pixel_columns": columns}
    embed = with_sizes(embed, "model.embed", "the images have", **sizes)
    patch = embed.patch or _patch(processor.rows, processor.columns)
    if processor.rows % patch or processor.columns % patch:
        sentence = (
            "{key}: {value} does not divide images of {limit} pixels; set another, or a task.size that it"
            " divides"
        )
        raise ConfigError(sentence, "model.embed.patch", patch, f"{processor.columns} × {processor.rows}")
    return replace(embed, patch=patch)


def _patch(rows: int, columns: int) -> int:
    """The largest that divides both sides, up to the root of the shorter: about as many patches along a side
    as pixels along a patch."""
    most = math.isqrt(min(rows, columns))
    return next(side for side in range(most, 0, -1) if rows % side == columns % side == 0)


def placed(position: Position, embed: Patches) -> Position:
    """The position part for such a grid. Raises: ConfigError when it was made for another."""
    if isinstance(position, Learned):
        wanted = {"length": embed.length}
    elif isinstance(position, Sinusoidal2D | Rotary2D):
        wanted = {"columns": embed.columns, "leading": embed.leading}
    else:
        return position
    return with_sizes(position, "model.stack.position", "the images need", **wanted)


class ImageSpec(InputSpec):
    """An image; a text names one in a file, too, as rows do: `NAME#17`."""

    def parse(self, given: object) -> Value:
        named = isinstance(given, str) and not given.startswith("data:")
        return Image(Path(str(given))) if named else super().parse(given)
