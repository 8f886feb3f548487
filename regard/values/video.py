"""Clips: frames, or a file that is decoded when they are asked for.

Files are decoded by PyAV (the extra `video`), and only the containers listed here: others, such as playlists,
make FFmpeg open what they name. What a file claims is checked before memory is taken, and what comes while it
comes.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property
from itertools import islice
from typing import Any, ClassVar, Self

import numpy as np
from numpy.typing import NDArray

from regard.errors import DataError, needs
from regard.values import json_schema as js
from regard.values.display import line
from regard.values.files import data_url, url_content
from regard.values.image import Image
from regard.values.json_schema import Schema, wrong
from regard.values.media import Media
from regard.values.pixels import as_png, in_channels, scaled, too_large
from regard.values.value import JSON, VALUES

CONTAINERS = "mov,mp4,m4a,3gp,3g2,mj2,matroska,webm,avi,gif,mpegts,mpeg,ogg,flv"
"""As FFmpeg names them."""
MOST_PIXELS = 1 << 26
"""Of all frames that are held at a time: 192 MiB."""
MOST_FRAMES = 1 << 17
"""That are decoded on the way: over an hour."""
_MOST_RATE = 1000
_SHOWN = 6


@VALUES.register
@dataclass(frozen=True, eq=False, repr=False)
class Video(Media):
    """Frames in colour, all of a size, as the camera was held."""

    rate: float | None = None
    """Frames a second, of an array; a file says its own."""
    most_bytes: ClassVar[int] = 1 << 30
    kind: ClassVar[str] = "video"
    accepts: ClassVar[str] = (
        "the path of a video file (MP4, WebM, MKV, AVI, GIF), its bytes or a data: URL; in Python also"
        " Video(frames, rate): (T, H, W, 3) of bytes"
    )
    properties: ClassVar[dict[str, Schema]] = {
        "data": {
            "description": "A video file as a data: URL, or each frame as an image.",
            "anyOf": [js.file("video/mp4"), js.array(js.file("image/png"), minItems=1, maxItems=MOST_FRAMES)],
        },
        "rate": js.nullable(js.number("Frames a second, beside frames.", minimum=0, maximum=_MOST_RATE)),
    }

    def __post_init__(self) -> None:
        super().__post_init__()
        if isinstance(self.source, np.ndarray):
            if self.rate is None or not 0 < self.rate <= _MOST_RATE:
                raise wrong("the rate of a video", self.rate, f"over 0 to {_MOST_RATE}, beside frames")
        elif self.rate is not None:
            raise wrong("the rate of a video file", self.rate, "left out, since the file says it")

    @property
    def frames(self) -> NDArray[np.uint8]:
        """(T, H, W, 3): all of them. Raises: DataError where they are too many to hold; DependencyError."""
        return self.decoded

    @cached_property
    def frame_rate(self) -> float:
        """Frames a second."""
        if self.rate is not None:
            return self.rate
        with self._stream() as (_, stream):
            return float(stream.average_rate or stream.base_rate or 1)

    def sampled(self, count: int, size: tuple[int, int] | None = None) -> NDArray[np.uint8]:
        """(count, H, W, 3): frames at even distances, from the middle of each of `count` parts, brought to a
        size (H, W) if one is given; of a video that has fewer some are repeated. Only they are held."""
        total = len(self.source) if isinstance(self.source, np.ndarray) else self._count()
        numbers = [int((part + 0.5) * total / count) for part in range(count)]
        frames: dict[int, NDArray[np.uint8]] = {}
        for number, frame in enumerate(self._decoded_frames()):
            if number in numbers:
                frames[number] = frame if size is None else scaled(frame, *size, "bilinear")
                _check_held(self.name, len(frames), frames[number].shape)
            if number >= numbers[-1]:
                break
        last = max(frames) if frames else None
        if last is None:
            raise DataError("{where} holds no {key}; give a whole file", self.name, "frames")
        return np.stack([frames.get(number, frames[last]) for number in numbers])

    def checked(self, array: NDArray[Any]) -> NDArray[Any]:
        if array.dtype != np.uint8 or array.ndim != 4 or array.shape[3] != 3 or not len(array):
            raise wrong("a video", (array.dtype.name, array.shape), "of uint8 and (T, H, W, 3)")
        _check_held("a video's array", len(array), array.shape[1:])
        return array

    def decode(self) -> NDArray[np.uint8]:
        frames: list[NDArray[np.uint8]] = []
        for frame in self._decoded_frames():
            _check_held(self.name, len(frames) + 1, frame.shape)
            if frames and frame.shape != frames[0].shape:
                raise DataError("{where} has frames of several sizes; give {limit}", self.name, "one size")
            frames.append(frame)
        if not frames:
            raise DataError("{where} holds no {key}; give a whole file", self.name, "frames")
        return np.stack(frames)

    def _decoded_frames(self) -> Iterator[NDArray[np.uint8]]:
        """Each frame (H, W, 3), turned as the camera was held."""
        if isinstance(self.source, np.ndarray):
            yield from self.source
            return
        with self._stream() as (container, stream):
            for number, frame in enumerate(container.decode(stream)):
                if number >= MOST_FRAMES:
                    raise _too_many(self.name, number + 1)
                if size := too_large(frame.width, frame.height):
                    raise DataError("{where} has a frame of {value}", self.name, size)
                pixels = frame.to_ndarray(format="rgb24")
                yield np.ascontiguousarray(np.rot90(pixels, round(frame.rotation / 90)))

    def _count(self) -> int:
        """About how many frames there are, by what the file says, or else by its packets."""
        with self._stream() as (container, stream):
            claimed = stream.frames or sum(1 for _ in islice(container.demux(stream), MOST_FRAMES + 1)) - 1
        if claimed > MOST_FRAMES:
            raise _too_many(self.name, claimed)
        return max(1, claimed)

    @contextmanager
    def _stream(self) -> Iterator[tuple[Any, Any]]:
        with needs("video files need the package av", "video"):
            import av
        options = {"format_whitelist": CONTAINERS, "protocol_whitelist": "pipe"}
        with self.opened() as file, av.open(file, options=options) as container:
            if not container.streams.video or container.streams.video[0].codec_context is None:
                raise DataError("{where} holds no {key}; give a whole file", self.name, "video")
            stream = container.streams.video[0]
            if size := too_large(stream.codec_context.width, stream.codec_context.height):
                raise DataError("{where} claims frames of {value}", self.name, size)
            yield container, stream

    @classmethod
    def from_properties(cls, data: JSON) -> Self:
        inside, rate = data["data"], data.get("rate")
        if isinstance(inside, str):
            return cls(url_content(inside, cls.kind, cls.most_bytes), rate)
        frames: list[NDArray[np.uint8]] = []
        for url in inside:
            frames.append(in_channels(Image.from_url(url).pixels, 3))
            _check_held("the video that was given", len(frames), frames[-1].shape)
            if frames[-1].shape != frames[0].shape:
                raise wrong("a frame of a video", frames[-1].shape, f"of the shape {frames[0].shape}")
        return cls(np.stack(frames), rate)

    def to_properties(self) -> JSON:
        if isinstance(self.source, np.ndarray):
            return {
                "data": [data_url("image/png", as_png(frame)) for frame in self.frames],
                "rate": self.rate,
            }
        return {"data": data_url("video/mp4", self.content()), "rate": None}

    def key(self) -> tuple[Any, ...]:
        return self.frames, self.frame_rate

    def __str__(self) -> str:
        if not isinstance(self.source, np.ndarray):
            return self.shown("file")
        count, height, width, _ = self.source.shape
        return line(f"video of {count} frames of {width} × {height} pixels, {self.rate:g} a second")

    def html(self) -> str:
        """Some of the frames."""
        return "".join(Image(frame).html() for frame in self.sampled(_SHOWN))


def _check_held(where: str, count: int, shape: tuple[int, ...]) -> None:
    if count * math.prod(shape[:2]) > MOST_PIXELS:
        value = f"{count:,} frames of {shape[1]:,} × {shape[0]:,} pixels"
        sentence = "{where} has {value}, more than {limit}; take fewer of them, or smaller ones"
        raise DataError(sentence, where, value, f"{MOST_PIXELS:,} pixels in all")


def _too_many(where: str, count: int) -> DataError:
    return DataError("{where} has {value:,} frames; at most {limit:,} are read", where, count, MOST_FRAMES)
