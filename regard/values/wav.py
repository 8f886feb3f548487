"""WAV files of whole or floating numbers, read within bounds and written.

Read here, so that they are the same whatever is installed; the standard library's `wave` knows neither
floating numbers nor, in older Pythons, the extensible header. A length that no file has, as programs write it
into a pipe, means: to the end of the file. Source: Multimedia Programming Interface 1.0, chapter 3; mmreg.h.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass
from typing import Any, BinaryIO

import numpy as np
from numpy.typing import NDArray

from regard.errors import DataError

MOST_SAMPLES = 1 << 26
"""Of all channels: 256 MiB as they are held, 70 minutes of speech at 16 kHz."""
MOST_CHANNELS = 64
MOST_RATE = 768_000
_MOST_CHUNKS = 1000
_TYPES = {(1, 8): "<u1", (1, 16): "<i2", (1, 24): "<u1", (1, 32): "<i4", (3, 32): "<f4", (3, 64): "<f8"}
"""By code and bits of a sample."""
_FLOATING, _EXTENSIBLE = 3, 0xFFFE


@dataclass(frozen=True)
class Wav:
    """What the header says, and where the samples are."""

    code: int
    bits: int
    channels: int
    rate: int
    start: int
    frames: int

    @property
    def known(self) -> bool:
        """Whether samples of this form are read here."""
        return (self.code, self.bits) in _TYPES

    @classmethod
    def of(cls, file: BinaryIO, where: str) -> Wav | None:
        """Read the header of a file; None where it is no WAV. Raises: DataError."""
        end = file.seek(0, 2)
        file.seek(0)
        head, form = file.read(12), b""
        if head[:4] != b"RIFF" or head[8:] != b"WAVE":
            return None
        for _ in range(_MOST_CHUNKS):
            name, size = struct.unpack("<4sI", file.read(8).ljust(8, b"\0"))
            here = file.tell()
            if name == b"data" and len(form) >= 16:
                return cls._sized(form, here, min(size, end - here), where)
            if name == b"fmt ":
                form = file.read(min(size, 40))
            if here >= end:
                break
            file.seek(here + size + size % 2)
        raise DataError("{where} is {value}; give a whole file", where, "a WAV without samples")

    @classmethod
    def _sized(cls, form: bytes, start: int, size: int, where: str) -> Wav:
        code, channels, rate, _, _, bits = struct.unpack("<HHIIHH", form[:16])
        if code == _EXTENSIBLE and len(form) >= 26:
            code = int.from_bytes(form[24:26], "little")
        frames = size // max(1, channels * bits // 8)
        check_sizes(where, rate, channels, frames)
        return cls(code, bits, channels, rate, start, frames)

    def samples(self, file: BinaryIO) -> NDArray[np.float32]:
        """(T, C) from -1 to 1."""
        file.seek(self.start)
        raw = file.read(self.frames * self.channels * self.bits // 8)
        numbers = np.frombuffer(raw, _TYPES[self.code, self.bits])
        if self.bits == 24:  # as the upper three bytes of 32 bits
            wide = np.zeros((len(raw) // 3, 4), np.uint8)
            wide[:, 1:] = numbers.reshape(-1, 3)
            numbers = wide.reshape(-1).view("<i4")
        return normalised(numbers).reshape(-1, self.channels)


def check_sizes(where: str, rate: int, channels: int, frames: int) -> None:
    """Raise DataError for a sound that cannot be one, before memory is taken."""
    for key, value, least, most in (
        ("sampling rate", rate, 1, MOST_RATE),
        ("number of channels", channels, 1, MOST_CHANNELS),
        ("number of samples", frames * channels, 1, MOST_SAMPLES),
    ):
        if not least <= value <= most:
            limit = f"from {least} to {most:,}"
            raise DataError("{where}: the {key} is {value:,}; it must be {limit}", where, key, value, limit)


def normalised(numbers: Any) -> NDArray[np.float32]:
    """Samples from -1 to 1 of integers of 8 (without sign), 16 or 32 bits; others as they are."""
    kind, size = numbers.dtype.kind, numbers.dtype.itemsize
    if kind == "f":
        return numbers.astype(np.float32)
    middle, least = (128.0, -128.0) if kind == "u" else (0.0, float(np.iinfo(numbers.dtype).min))
    wide = numbers.astype(np.float32 if size < 4 else np.float64)
    return ((wide - middle) / -least).astype(np.float32)


def written(samples: NDArray[np.float32], rate: int, *, whole: bool = False) -> bytes:
    """A WAV of (T, C), exactly; `whole`: in 16 bits, which is half as long, and known to all players."""
    if whole:
        samples = np.clip(np.round(samples * 32768), -32768, 32767).astype("<i2")
    size, channels = samples.dtype.itemsize, samples.shape[1]
    raw = samples.astype(samples.dtype.newbyteorder("<")).tobytes()
    code = 1 if whole else _FLOATING
    form = struct.pack("<HHIIHH", code, channels, rate, rate * channels * size, channels * size, 8 * size)
    form += b"" if whole else b"\0\0"
    facts = b"" if whole else struct.pack("<4sII", b"fact", 4, len(samples))
    chunks = (
        struct.pack("<4sI", b"fmt ", len(form)) + form + facts + struct.pack("<4sI", b"data", len(raw)) + raw
    )
    return struct.pack("<4sI4s", b"RIFF", 4 + len(chunks), b"WAVE") + chunks
