"""Images, masks, sounds and clips: what is sound is read as it was written, what is broken is named."""

from __future__ import annotations

import contextlib
import io
import struct
import sys
import tracemalloc
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image as Pillow

from regard.errors import DataError, DependencyError, InputError
from regard.values import Audio, Image, Mask, Video, from_json
from regard.values.media import Media
from regard.values.rle import packed
from regard.values.wav import MOST_SAMPLES, written

few = settings(max_examples=25, deadline=None)
RNG = np.random.default_rng(1)
COLOURS = RNG.integers(0, 256, (5, 7, 3), dtype=np.uint8)
SOUND = RNG.uniform(-1, 1, (11, 2)).astype(np.float32)


def png(array: np.ndarray, **options: Any) -> bytes:
    made = io.BytesIO()
    Pillow.fromarray(array).save(made, "PNG", **options)
    return made.getvalue()


# ------------------------------------------------------------------------------------------- what people have


def test_an_image_is_the_same_from_whatever_holds_it(tmp_path: Path) -> None:
    path = tmp_path / "an image.png"
    path.write_bytes(png(COLOURS))
    url = Image(COLOURS).to_json()["data"]
    for held in (path, str(path), png(COLOURS), url, Pillow.fromarray(COLOURS), COLOURS, COLOURS.tolist()):
        if isinstance(held, list):
            with pytest.raises(InputError):  # of which type the numbers are is not said
                Image.parse(held)
        else:
            assert Image.parse(held) == Image(COLOURS)


@pytest.mark.parametrize("mode", ["1", "L", "LA", "P", "RGB", "RGBA", "CMYK"])
def test_an_image_of_pillows_is_what_its_file_would_be(mode: str) -> None:
    held = Pillow.fromarray(np.dstack([COLOURS, COLOURS[:, :, :1]]), "RGBA").convert(mode)
    form = "TIFF" if mode == "CMYK" else "PNG"
    file = io.BytesIO()
    held.save(file, form)
    want = Image(file.getvalue()).pixels
    assert np.array_equal(Image.parse(held).pixels, want)
    assert np.array_equal(Image.parse(Pillow.open(file)).pixels, want)


def test_an_opacity_of_an_array_is_that_of_its_file() -> None:
    array = np.dstack([COLOURS, COLOURS[:, :, :1]])
    ours, files = Image(array).pixels.astype(int), Image(png(array)).pixels.astype(int)
    assert np.abs(ours - files).max() <= 1


def test_nothing_is_opened_before_it_is_looked_into(tmp_path: Path) -> None:
    path = tmp_path / "late"
    values: list[Media] = [Image(path), Mask(path), Audio(path), Video(path)]
    for value in values:
        assert str(path) in str(value)
        with pytest.raises((DataError, DependencyError)):
            value.key()
        assert value._repr_html_().startswith("<em>")
    path.write_bytes(png(COLOURS))
    assert values[0] == Image(COLOURS)


@pytest.mark.parametrize("name", ["no such file", "a\0b", "", "."])
@pytest.mark.parametrize("kind", [Image, Mask, Audio, Video])
def test_a_word_that_names_no_file_is_refused(kind: type[Media], name: str) -> None:
    with pytest.raises(DataError):
        kind.parse(name)


ARRAYS: list[tuple[Callable[..., Media], Any]] = [
    (Image, np.zeros((3, 5, 7), np.uint8)),
    (Image, np.zeros((0, 5), np.uint8)),
    (Image, np.zeros((3, 5), np.float32)),
    (Image, np.zeros((1, 20_000), np.uint8)),
    (Image, object()),
    (Image, None),
    (Mask, np.zeros((3, 5, 1), np.uint8)),
    (Mask, np.zeros((3, 5), np.int64)),
    (lambda array: Audio(array, 8000), np.full(3, np.nan, np.float32)),
    (lambda array: Audio(array, 8000), np.full(3, np.inf)),
    (lambda array: Audio(array, 8000), np.zeros((65, 100), np.float32).T),
    (lambda array: Audio(array, 8000), np.zeros(0, np.float32)),
    (lambda array: Audio(array, 8000), np.zeros(3, np.int64)),
    (Audio, SOUND),
    (lambda array: Audio(array, 0), SOUND),
    (lambda array: Audio(array, 8000), b"RIFF"),
    (Video, np.zeros((2, 3, 5, 3), np.uint8)),
    (lambda array: Video(array, float("nan")), np.zeros((2, 3, 5, 3), np.uint8)),
    (lambda array: Video(array, 5.0), np.zeros((0, 3, 5, 3), np.uint8)),
    (lambda array: Video(array, 5.0), np.zeros((2, 3, 5, 1), np.uint8)),
    (lambda array: Video(array, 5.0), np.broadcast_to(np.uint8(0), (10**6, 64, 64, 3))),
]


@pytest.mark.parametrize(("make", "array"), ARRAYS)
def test_an_array_that_cannot_be_one_is_refused(make: Callable[..., Media], array: Any) -> None:
    with pytest.raises(InputError):
        make(array)


@few
@given(
    cut=st.integers(0, 400), flips=st.lists(st.tuples(st.integers(0, 400), st.integers(1, 255)), max_size=3)
)
@pytest.mark.parametrize("kind", [Image, Mask, Audio])
def test_a_broken_file_is_read_or_refused(kind: type[Media], cut: int, flips: list[tuple[int, int]]) -> None:
    content = bytearray(written(SOUND, 8000) if kind is Audio else png(COLOURS[:, :, 0]))
    for place, change in flips:
        content[place % len(content)] ^= change
    try:
        kind.from_bytes(bytes(content[:cut])).key()
    except (DataError, DependencyError) as error:
        read = error
    else:
        read = None
    assert read is None or isinstance(read, DependencyError) or read.where


# ------------------------------------------------------------------------------------------- masks


@pytest.mark.parametrize("most", [1, 200, 60_000])
def test_a_mask_is_read_as_it_was_written(most: int) -> None:
    ids = (np.arange(35).reshape(5, 7) % 4 * (most // 3)).astype(np.uint16 if most > 255 else np.uint8)
    got = Mask.from_bytes(png(ids)).ids
    assert got.dtype == ids.dtype
    assert np.array_equal(got, ids)


@pytest.mark.parametrize("bits", [1, 2, 4])
def test_numbers_of_few_bits_are_not_spread(bits: int) -> None:
    ids = (np.arange(35).reshape(5, 7) % (1 << bits)).astype(np.uint8)
    held = Pillow.fromarray(ids, "P")
    held.putpalette([9, 8, 7] * 256)
    file = io.BytesIO()
    held.save(file, "PNG", bits=bits)
    assert np.array_equal(Mask.from_bytes(file.getvalue()).ids, ids)
    grey = file.getvalue().replace(file.getvalue()[12:33], grey_header(7, 5, bits))
    assert np.array_equal(Mask.from_bytes(grey).ids, ids)


def grey_header(width: int, height: int, bits: int) -> bytes:
    import zlib

    head = b"IHDR" + struct.pack(">2I5B", width, height, bits, 0, 0, 0, 0)
    return head + struct.pack(">I", zlib.crc32(head))


def test_colours_are_no_mask() -> None:
    with pytest.raises(DataError) as caught:
        Mask.from_bytes(png(COLOURS)).key()
    assert caught.value.key == "unsupported image"


RUNS = [
    ([[0, 1, 1], [0, 1, 0]], [2, 3, 1], "231"),
    ([[1, 0], [1, 1]], [0, 2, 1, 1], "021O"),
    (np.eye(7), [0, 1, *[7, 1] * 6], "0170" + "0" * 10),
]
"""Masks, the lengths of their runs, and these as pycocotools 2.0.11 packs them."""


@pytest.mark.parametrize(("mask", "counts", "text"), RUNS)
def test_run_lengths_are_cocos(mask: Any, counts: list[int], text: str) -> None:
    array = np.array(mask, np.uint8)
    size = list(array.shape)
    assert Mask(array).runs() == {"size": size, "counts": counts}
    assert Mask(array).runs(pack=True) == {"size": size, "counts": text}
    for held in (counts, text):
        told = {"size": size, "counts": held}
        assert Mask.parse(told) == Mask(array)
        assert from_json({"kind": "mask", "data": told}) == Mask(array)


@few
@given(st.lists(st.integers(0, 1 << 22), min_size=1, max_size=9).map(lambda some: [*some, 1]))
def test_packed_run_lengths_are_unpacked(lengths: list[int]) -> None:
    from regard.values.rle import _unpacked

    assert list(_unpacked(packed(lengths))) == lengths


@pytest.mark.parametrize(
    ("size", "counts"),
    [([2, 2], [1, 2]), ([2, 2], [-1, 5]), ([1 << 20, 1 << 20], [1 << 40]), ([2, 2], "o"), ([2, 2], "é"),
     ([2, 2], "o" * 10**6), ([2, 2], [1 << 70]), ([0, 2], []), ([2, 2], "\ud800"), ([2], [2])],
)  # fmt: skip
def test_run_lengths_that_are_not_the_masks_are_refused(size: list[int], counts: Any) -> None:
    with pytest.raises(InputError):
        Mask.parse({"size": size, "counts": counts}).key()


# ------------------------------------------------------------------------------------------- sounds


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


# ------------------------------------------------------------------------------------------- clips


def mp4(frames: np.ndarray, rate: int = 5) -> bytes:
    av = pytest.importorskip("av")
    file = io.BytesIO()
    with av.open(file, "w", format="mp4") as container:
        stream = container.add_stream("mpeg4", rate=rate)
        stream.width, stream.height, stream.pix_fmt = frames.shape[2], frames.shape[1], "yuv420p"
        for frame in frames:
            container.mux(stream.encode(av.VideoFrame.from_ndarray(frame, format="rgb24")))
        container.mux(stream.encode())
    return file.getvalue()


def shades(count: int) -> np.ndarray:
    return np.stack([np.full((32, 48, 3), 20 * number, np.uint8) for number in range(count)])


def test_a_clip_is_read_as_it_was_written(tmp_path: Path) -> None:
    path = tmp_path / "clip.mp4"
    path.write_bytes(mp4(shades(11)))
    clip = Video.parse(path)
    assert clip.frame_rate == 5
    assert clip.frames.shape == (11, 32, 48, 3)
    assert np.abs(clip.frames.astype(int) - shades(11)).max() < 8
    assert np.array_equal(clip.sampled(3), clip.frames[[1, 5, 9]])
    assert clip.sampled(13, (7, 5)).shape == (13, 7, 5, 3)
    assert from_json(clip.to_json()) == clip


@pytest.mark.parametrize("count", [1, 2, 3, 7, 20])
def test_frames_of_an_array_are_taken_at_even_distances(count: int) -> None:
    got = Video(shades(7), 5.0).sampled(count)[:, 0, 0, 0] // 20
    assert list(got) == [int((part + 0.5) * 7 / count) for part in range(count)]


def test_a_list_of_files_is_not_opened(tmp_path: Path) -> None:
    """FFmpeg knows formats that name other files, and addresses."""
    path = tmp_path / "secret.mp4"
    path.write_bytes(mp4(shades(2)))
    lists = [f"#EXTM3U\n#EXTINF:1,\nfile://{path}\n#EXT-X-ENDLIST\n", f"ffconcat version 1.0\nfile {path}\n"]
    for text in lists:
        with pytest.raises(DataError):
            Video.from_bytes(text.encode()).key()


def test_a_broken_clip_is_read_or_refused() -> None:
    content = mp4(shades(5))
    for cut in range(0, len(content), len(content) // 9):
        for broken in (content[:cut], content[:cut] + b"\xff" * 8 + content[cut + 8 :]):
            with contextlib.suppress(DataError):
                assert Video.from_bytes(broken).frames.ndim == 4


def patched(content: bytes, tag: bytes, offset: int, new: bytes) -> bytes:
    place = content.index(tag) + len(tag) + offset
    return content[:place] + new + content[place + len(new) :]


def test_a_clip_that_claims_a_million_frames_takes_no_memory_for_them() -> None:
    million = struct.pack(">I", 10**6)
    clip = Video.from_bytes(patched(patched(mp4(shades(5)), b"stsz", 8, million), b"stts", 8, million))
    with pytest.raises(DataError) as caught:
        clip.sampled(3)
    assert caught.value.limit is not None
    tracemalloc.start()
    try:
        assert len(clip.frames) <= 5  # those that there are
        assert tracemalloc.get_traced_memory()[1] < 1 << 23
    finally:
        tracemalloc.stop()


def test_frames_are_counted_and_measured_while_they_come(monkeypatch: pytest.MonkeyPatch) -> None:
    clip = Video.from_bytes(mp4(shades(11)))
    monkeypatch.setattr("regard.values.video.MOST_PIXELS", 3 * 32 * 48)
    assert len(clip.sampled(3)) == 3
    for ask in (lambda: clip.frames, lambda: clip.sampled(4)):
        with pytest.raises(DataError):
            ask()
    assert len(clip.sampled(11, (8, 8))) == 11
    monkeypatch.setattr("regard.values.video.MOST_FRAMES", 10)
    with pytest.raises(DataError):
        clip.sampled(1)


def test_a_clip_stands_as_its_camera_was_held() -> None:
    frames = shades(3)
    frames[:, :, 24:] = 200
    by_a_quarter = struct.pack(">9i", 0, 1 << 16, 0, -(1 << 16), 0, 0, 0, 0, 1 << 30)
    got = Video.from_bytes(patched(mp4(frames), b"tkhd", 40, by_a_quarter)).frames
    assert got.shape == (3, 48, 32, 3)
    assert np.abs(got.astype(int) - np.rot90(frames, -1, (1, 2))).max() < 12


def test_frames_of_several_sizes_are_refused() -> None:
    told = Video(np.zeros((2, 3, 5, 3), np.uint8), 5.0).to_json()
    told["data"][1] = Image(COLOURS).to_json()["data"]
    with pytest.raises(InputError):
        from_json(told)
