"""Sounds: what is sound is read as it was written, what is broken is named."""

from __future__ import annotations

import io
import struct
import sys
import tracemalloc
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from regard.errors import DataError, DependencyError
from regard.values import Audio, Image, Video
from regard.values.wav import MOST_SAMPLES, written

RNG = np.random.default_rng(1)
SOUND = RNG.uniform(-1, 1, (11, 2)).astype(np.float32)


def wav(samples: np.ndarray, code: int = 1, **claims: Any) -> bytes:
    """A WAV of integers, whose header may claim something else."""
    bits, channels = samples.dtype.itemsize * 8, samples.shape[1]
    raw = samples.tobytes()
    block = channels * bits // 8
    channels, rate, bits = (
        claims.get(*one) for one in (("channels", channels), ("rate", 8000), ("bits", bits))
    )
    form = struct.pack("<HHIIHH", code, channels, rate, 8000 * block, block, bits)
    form += claims.get("more", b"")
    chunks = struct.pack("<4sI", b"fmt ", len(form)) + form + claims.get("between", b"")
    chunks += struct.pack("<4sI", b"data", claims.get("length", len(raw))) + raw
    return b"RIFF" + struct.pack("<I", claims.get("size", 4 + len(chunks))) + b"WAVE" + chunks


@pytest.mark.parametrize(("dtype", "scale"), [(np.uint8, 128), (np.int16, 1 << 15), (np.int32, 1 << 31)])
def test_whole_numbers_are_read_by_their_scale(dtype: type, scale: int) -> None:
    about = np.iinfo(dtype)
    samples = RNG.integers(about.min, about.max, (11, 2), dtype=dtype, endpoint=True)
    want = ((samples.astype(np.float64) - (128 if dtype is np.uint8 else 0)) / scale).astype(np.float32)
    got = Audio.from_bytes(wav(samples))
    assert np.array_equal(got.samples, want)
    assert got.sampling_rate == 8000
    assert np.array_equal(got.mono, want.mean(axis=1, dtype=np.float32))
    guid = struct.pack("<HHIH", 22, 16, 3, 1) + bytes(14)
    extensible = wav(samples, 0xFFFE, more=guid, between=b"LIST\3\0\0\0abc\0")
    assert np.array_equal(Audio.from_bytes(extensible).samples, want)


def test_24_bits_are_the_upper_of_32() -> None:
    deep = RNG.integers(-(1 << 23), 1 << 23, (11, 1), dtype=np.int32)
    raw = deep.astype("<i4").view(np.uint8).reshape(11, 4)[:, :3].copy()
    content = wav(raw, channels=1, bits=24)
    assert np.array_equal(Audio.from_bytes(content).samples, (deep / (1 << 23)).astype(np.float32))


@pytest.mark.parametrize("length", [0xFFFFFFFF, 0x7FFFFFFF, 100_000])
def test_a_header_without_a_true_length_means_to_the_end(length: int) -> None:
    samples = RNG.integers(-99, 99, (11, 1), dtype=np.int16)
    tracemalloc.start()
    try:
        got = Audio.from_bytes(wav(samples, length=length, size=0xFFFFFFFF)).samples
        assert tracemalloc.get_traced_memory()[1] < 1 << 20
    finally:
        tracemalloc.stop()
    assert np.array_equal(got, samples / np.float32(1 << 15))


@pytest.mark.parametrize(
    "claims",
    [{"channels": 0}, {"channels": 65}, {"rate": 0}, {"rate": 1 << 31}, {"bits": 0}, {"length": 0},
     {"between": b"junk\xff\xff\xff\xff"}, {"between": b"\0" * 8 * 2000}],
)  # fmt: skip
def test_a_header_of_no_sound_is_refused(claims: dict[str, Any]) -> None:
    with pytest.raises((DataError, DependencyError)):
        Audio.from_bytes(wav(np.ones((11, 1), np.int16), **claims)).key()


def test_a_sound_that_is_too_long_takes_no_memory(tmp_path: Path) -> None:
    path = tmp_path / "long.wav"
    path.write_bytes(wav(np.ones((1, 1), np.uint8), length=0xFFFFFFFF))
    with path.open("r+b") as file:
        file.truncate(MOST_SAMPLES + 100)
    tracemalloc.start()
    try:
        with pytest.raises(DataError) as caught:
            Audio.parse(path).key()
        assert caught.value.key == "number of samples"
        assert tracemalloc.get_traced_memory()[1] < 1 << 20
    finally:
        tracemalloc.stop()


def test_numbers_that_are_none_are_refused_in_a_file() -> None:
    with pytest.raises(DataError):
        Audio.from_bytes(written(np.array([[0], [np.nan]], np.float32), 8000)).key()


def test_a_missing_decoder_is_named_with_the_command(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("soundfile", "soxr", "av", "PIL"):
        monkeypatch.setitem(sys.modules, name, None)
    asked: dict[str, Callable[[], object]] = {
        "images": lambda: Image.from_bytes(b"x").pixels,
        "audio": lambda: Audio.from_bytes(b"fLaC").samples,
        "video": lambda: Video.from_bytes(b"x").frames,
    }
    for extra, ask in asked.items():
        with pytest.raises(DependencyError) as caught:
            ask()
        assert f"regard[{extra}]" in caught.value.parts["remedy"]
    with pytest.raises(DependencyError):
        Audio(SOUND, 8000).resampled(16_000)


@pytest.mark.parametrize("subtype", ["PCM_U8", "PCM_16", "PCM_24", "PCM_32", "FLOAT", "DOUBLE"])
def test_a_wav_is_read_as_soundfile_reads_it(subtype: str) -> None:
    soundfile = pytest.importorskip("soundfile")
    file = io.BytesIO()
    soundfile.write(file, SOUND, 8000, subtype=subtype, format="WAV")
    want, _ = soundfile.read(io.BytesIO(file.getvalue()), dtype="float32", always_2d=True)
    assert np.array_equal(Audio.from_bytes(file.getvalue()).samples, want)


def test_other_formats_are_read_by_soundfile_and_rates_changed_by_soxr() -> None:
    soundfile = pytest.importorskip("soundfile")
    pytest.importorskip("soxr")
    file = io.BytesIO()
    soundfile.write(file, SOUND, 8000, format="FLAC", subtype="PCM_16")
    got = Audio.from_bytes(file.getvalue())
    assert np.abs(got.samples - SOUND).max() < 1e-4
    assert got.resampled(8000) is got
    assert got.resampled(16_000).samples.shape == (22, 2)
    for content in (b"", b"fLaC" + bytes(99), file.getvalue()[:40], b"OggS" * 99):
        with pytest.raises(DataError):
            Audio.from_bytes(content).key()
