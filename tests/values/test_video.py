"""Clips: read as they were written, in memory that their headers cannot claim."""

from __future__ import annotations

import contextlib
import io
import struct
import tracemalloc
from pathlib import Path

import numpy as np
import pytest

from regard.errors import DataError, InputError
from regard.values import Image, Video, from_json

RNG = np.random.default_rng(1)
COLOURS = RNG.integers(0, 256, (5, 7, 3), dtype=np.uint8)


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
