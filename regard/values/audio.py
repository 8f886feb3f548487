"""Sounds: samples, or a file that is decoded when they are asked for."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from regard.errors import DataError, needs
from regard.values import json_schema as js
from regard.values.display import escaped
from regard.values.files import data_url
from regard.values.json_schema import Schema, wrong
from regard.values.media import Media
from regard.values.value import JSON, VALUES
from regard.values.wav import MOST_RATE, Wav, check_sizes, normalised, written

_SECONDS_SHOWN = 60


@VALUES.register
@dataclass(frozen=True, eq=False, repr=False)
class Audio(Media):
    """A sound of one channel or several."""

    rate: int | None = None
    """Samples a second, of an array; a file says its own."""
    most_bytes: ClassVar[int] = 1 << 29
    kind: ClassVar[str] = "audio"
    accepts: ClassVar[str] = (
        "the path of a sound file (WAV; FLAC, Ogg, MP3 and others by soundfile), its bytes or a data: URL; in"
        " Python also Audio(samples, rate): (T,) or (T, C) of floats from -1 to 1, int16 or int32"
    )
    properties: ClassVar[dict[str, Schema]] = {
        "data": js.file("audio/wav", "A sound file as a data: URL; written as a WAV of floats of 32 bits.")
    }

    def __post_init__(self) -> None:
        super().__post_init__()
        rate = self.rate
        if isinstance(self.source, np.ndarray):
            if type(rate) is not int or not 0 < rate <= MOST_RATE:
                raise wrong("the rate of a sound", rate, f"whole, from 1 to {MOST_RATE:,}, beside samples")
        elif rate is not None:
            raise wrong("the rate of a sound file", rate, "left out, since the file says it")

    @property
    def samples(self) -> NDArray[np.float32]:
        """(T, C), from -1 to 1. Raises: DataError; DependencyError."""
        return self._sound[0]

    @property
    def mono(self) -> NDArray[np.float32]:
        """(T,): the mean of the channels."""
        samples = self.samples
        return samples[:, 0] if samples.shape[1] == 1 else samples.mean(axis=1, dtype=np.float32)

    @property
    def sampling_rate(self) -> int:
        """Samples a second."""
        return self._sound[1]

    @property
    def seconds(self) -> float:
        return len(self.samples) / self.sampling_rate

    @cached_property
    def _sound(self) -> tuple[NDArray[np.float32], int]:
        if isinstance(self.source, np.ndarray):
            assert self.rate is not None
            return self.source, self.rate
        samples, rate = self.decoded
        return samples, rate

    def resampled(self, rate: int) -> Audio:
        """The same at another rate, as soxr has it in its high quality. Raises: DependencyError."""
        if rate == self.sampling_rate:
            return self
        check_sizes(self.name, rate, self.samples.shape[1], int(self.seconds * rate) + 1)
        with needs("another sampling rate needs the package soxr", "audio"):
            import soxr
        return Audio(soxr.resample(self.samples, self.sampling_rate, rate), rate)

    def checked(self, array: NDArray[Any]) -> NDArray[Any]:
        array = array[:, None] if array.ndim == 1 else array
        if array.ndim != 2 or array.dtype not in (np.int16, np.int32, np.float16, np.float32, np.float64):
            limit = "of floats, int16 or int32 and (T,) or (T, C)"
            raise wrong("a sound", (array.dtype.name, array.shape), limit)
        check_sizes("a sound's array", 1, array.shape[1], len(array))
        with np.errstate(over="ignore"):
            samples = normalised(array)
        if not np.isfinite(samples).all():
            raise wrong("a sound", "NaN or infinite in places", "finite everywhere")
        return samples

    def decode(self) -> tuple[NDArray[np.float32], int]:
        with self.opened() as file:
            wav = Wav.of(file, self.name)
            samples, rate = (wav.samples(file), wav.rate) if wav and wav.known else _foreign(file, self.name)
        if not np.isfinite(samples).all():
            raise DataError("{where} holds {value}; give finite samples", self.name, "NaN or infinity")
        return samples, rate

    def to_properties(self) -> JSON:
        return {"data": data_url("audio/wav", written(self.samples, self.sampling_rate))}

    def key(self) -> tuple[Any, ...]:
        return self.samples, self.sampling_rate

    def __str__(self) -> str:
        if not isinstance(self.source, np.ndarray):
            return self.shown("file")
        return self.shown(f"of {self.seconds:.2f} s at {self.rate:,} Hz")

    def html(self) -> str:
        """A player, of a sound that is short enough."""
        text = escaped(f"{self}, {self.seconds:.2f} s")
        if self.seconds > _SECONDS_SHOWN:
            return f"<span>{text}</span>"
        url = data_url("audio/wav", written(self.samples, self.sampling_rate, whole=True))
        return f'<audio controls src="{url}" title="{text}"></audio>'


def _foreign(file: Any, where: str) -> tuple[NDArray[np.float32], int]:
    """What libsndfile knows. Raises: DataError; DependencyError."""
    with needs("sound files other than WAV need the package soundfile", "audio"):
        import soundfile
    file.seek(0)
    try:
        with soundfile.SoundFile(file) as sound:
            check_sizes(where, sound.samplerate, sound.channels, sound.frames)
            samples = sound.read(dtype="float32", always_2d=True)
            check_sizes(where, sound.samplerate, sound.channels, len(samples))
            return samples, sound.samplerate
    except (RuntimeError, TypeError) as error:  # of libsndfile, and of a file that it takes for raw samples
        raise DataError("{where} is no sound that can be read ({value}); give {limit}", where, error,
                        "WAV, FLAC, Ogg or MP3") from error  # fmt: skip
