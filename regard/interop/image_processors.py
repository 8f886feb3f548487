"""A folder's `preprocessor_config.json`: how images are brought to a size and centred, read and written.

As with a configuration, each key is honoured or refused by name.
"""

from __future__ import annotations

import json
from typing import Any, Literal

from regard.bundle import Bundle
from regard.data.image_processor import IMAGE_PROCESSOR, WHITE, ImageProcessor, Resize, Shorter, Stretch
from regard.data.readers.images import Filter
from regard.errors import CheckpointError, ConfigError
from regard.interop.family import Source, Unsupported
from regard.interop.keys import Keys
from regard.schema import dump, parse
from regard.strict_json import loads

PREPROCESSOR = "preprocessor_config.json"
_SIDE = 4096  # pixels
_FILTERS: dict[int, Filter] = {0: "nearest", 1: "lanczos", 2: "bilinear", 3: "bicubic"}
"""Pillow's numbers."""
_NOTED = """
image_processor_type feature_extractor_type processor_class _processor_class _valid_processor_keys
do_convert_rgb data_format input_data_format return_tensors device disable_grouping default_to_square
image_seq_length size_divisor
"""
"""Keys of how its library handles images, whatever they become."""


_SQUARE = {"height": 224, "width": 224}
_CROPPED = {"resample": 3, "crop_size": _SQUARE, "do_center_crop": True}
_CENTRED = {"image_mean": [0.5, 0.5, 0.5], "image_std": [0.5, 0.5, 0.5]}
_DEFAULTS: dict[str, dict[str, Any]] = {
    "ViT": {"resample": 2, "size": _SQUARE, "do_center_crop": False, **_CENTRED},
    "DeiT": {"size": {"height": 256, "width": 256}, **_CROPPED, **_CENTRED},
    "Bit": {
        "size": {"shortest_edge": 224},
        **_CROPPED,
        "image_mean": [0.48145466, 0.4578275, 0.40821073],
        "image_std": [0.26862954, 0.26130258, 0.27577711],
    },
}
"""What a class of image processors does where its file does not say it (transformers 5)."""


def _completed(settings: dict[str, Any], usual: str) -> dict[str, Any]:
    """With what its class does where the file is silent. `usual`: the class, where it names none."""
    named = settings.get("image_processor_type") or settings.get("feature_extractor_type")
    kind = str(named).removesuffix("Fast").removesuffix("ImageProcessor").removesuffix("FeatureExtractor")
    stated = {key: value for key, value in settings.items() if value is not None}
    found = _DEFAULTS.get(kind if named else usual, {}) | stated
    if settings.get("do_resize") is False and settings.get("size") is None:
        found.pop("size", None)
    return found


def read_image_processor(source: Source, channels: Literal[1, 3]) -> ImageProcessor:
    """What the images of a model with so many channels are like. Raises: CheckpointError."""
    checkpoint = source.checkpoint
    settings, where = checkpoint.json(PREPROCESSOR), checkpoint.folder / PREPROCESSOR
    if settings is None:
        raise CheckpointError("{where} is missing, which says how images are sized and centred", where)
    keys = Keys(_completed(settings, source.family.image_processor), where, _SIDE)
    keys.ignore(*_NOTED.split())
    keys.only("do_pad", None, "images are not padded") if keys.any("do_pad") else None
    keys.only("pad_size", None, "images are not padded")
    resize, crop = _resize(keys), keys.flag("do_center_crop", "crop_size" in keys)
    rows, columns = _final(keys, resize, crop)
    mean, deviation = _centre(keys, channels)
    try:
        processor = ImageProcessor(channels, rows, columns, mean, deviation, resize, crop)
    except ConfigError as error:
        raise CheckpointError.of(error, where=where) from error
    keys.finish()
    return processor


def image_processor_file(processor: ImageProcessor) -> dict[str, str]:
    """The file that a bundle keeps it in."""
    return {IMAGE_PROCESSOR: json.dumps(dump(processor))}


def preprocessor_file(bundle: Bundle) -> dict[str, str]:
    """The file that says what a bundle's images are like. Raises: Unsupported."""
    if IMAGE_PROCESSOR not in bundle.tokenizers:
        raise Unsupported("it does not say what its images are like")
    processor: ImageProcessor = parse(
        ImageProcessor, loads(bundle.tokenizers[IMAGE_PROCESSOR]), IMAGE_PROCESSOR
    )
    resize, crop = processor.resize, processor.crop
    settings: dict[str, Any] = {
        "image_processor_type": "ViTImageProcessor",
        "do_resize": resize is not None,
        "do_center_crop": crop,
        "do_rescale": True,
        "rescale_factor": 1 / WHITE,
        "do_normalize": True,
        "image_mean": list(processor.mean),
        "image_std": list(processor.deviation),
    }
    own = {"height": processor.rows, "width": processor.columns}
    if isinstance(resize, Shorter):
        settings |= {"image_processor_type": "BitImageProcessor", "size": {"shortest_edge": resize.side}}
    else:
        settings["size"] = own if resize is None else {"height": resize.rows, "width": resize.columns}
    if resize is not None:
        settings["resample"] = next(number for number, name in _FILTERS.items() if name == resize.filter)
    if crop:
        settings["crop_size"] = own
        if isinstance(resize, Stretch):
            settings["image_processor_type"] = "DeiTImageProcessor"
    return {PREPROCESSOR: json.dumps(settings, indent=2) + "\n"}


def _resize(keys: Keys) -> Resize | None:
    how = keys.any("resample")
    if not keys.flag("do_resize", True):
        return None
    if type(how) is not int or how not in _FILTERS:
        known = ", ".join(f"{n} ({name})" for n, name in _FILTERS.items())
        raise keys.refuse("resample", "known are {limit}", known)
    size = keys.any("size")
    if isinstance(size, dict) and set(size) == {"shortest_edge"}:
        return Shorter(_pixels(keys, "size", size["shortest_edge"]), _FILTERS[how])
    return Stretch(*_both(keys, "size"), _FILTERS[how])


def _final(keys: Keys, resize: Resize | None, crop: bool) -> tuple[int, int]:
    """The size that all images have in the end."""
    if not crop:
        keys.any("crop_size")
        if isinstance(resize, Shorter):
            raise keys.refuse("size", "images of one shorter side need 'do_center_crop' to be of one size")
        return _both(keys, "size")
    rows, columns = _both(keys, "crop_size")
    if isinstance(resize, Stretch) and (rows > resize.rows or columns > resize.columns):
        raise keys.refuse("crop_size", "it must fit into {limit} pixels", f"{resize.columns} × {resize.rows}")
    if isinstance(resize, Shorter) and max(rows, columns) > resize.side:
        raise keys.refuse("crop_size", "it must fit into {limit} pixels", resize.side)
    keys.any("size")
    return rows, columns


def _centre(keys: Keys, channels: int) -> tuple[tuple[float, ...], tuple[float, ...]]:
    """Mean and deviation of pixels from 0 to 1: (p · factor - mean) / deviation in other words."""
    scale = keys.number("rescale_factor", 1 / WHITE, 1e-6, 1.0) if keys.flag("do_rescale", True) else 1.0
    keys.any("rescale_factor")
    times = WHITE * scale
    times = 1.0 if abs(times - 1) < 1e-6 else times  # a factor that was written with few digits
    if not keys.flag("do_normalize", True):
        keys.ignore("image_mean", "image_std")
        return (0.0,) * channels, (1 / times,) * channels
    mean, deviation = (_numbers(keys, name, channels) for name in ("image_mean", "image_std"))
    return tuple(x / times for x in mean), tuple(x / times for x in deviation)


def _numbers(keys: Keys, name: str, channels: int) -> tuple[float, ...]:
    value = keys.any(name)
    good = isinstance(value, list) and len(value) == channels
    if not good or not all(type(x) in (int, float) and 0 <= x <= WHITE for x in value):
        raise keys.refuse(name, "it must be a list of {limit} numbers, one for each channel", channels)
    return tuple(float(x) for x in value)


def _both(keys: Keys, name: str) -> tuple[int, int]:
    """Height and width."""
    value = keys.any(name)
    if isinstance(value, dict):
        if set(value) != {"height", "width"}:
            raise keys.refuse(name, "only 'height' with 'width', or 'shortest_edge', can be imported")
        return _pixels(keys, name, value["height"]), _pixels(keys, name, value["width"])
    return (_pixels(keys, name, value),) * 2


def _pixels(keys: Keys, name: str, value: Any) -> int:
    if type(value) is not int or not 1 <= value <= _SIDE:
        raise keys.refuse(name, "it must be from 1 to {limit:,} pixels", _SIDE)
    return value
