"""MNIST's own files: images and labels in the IDX format, plain or gzipped.

    two bytes 0, one byte 8 (integers of a byte), one byte: how many axes
    the length of each axis, 4 bytes each, the largest first
    the numbers

Images have three axes (N, H, W), or four (N, H, W, C) in colour; labels have one. Files are read image by
image, so a file of any size takes the memory of one, and a header that claims too much takes none.
The format: yann.lecun.com/exdb/mnist. This file does not know splits.
"""

from __future__ import annotations

import math
import os
import re
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass, field
from functools import lru_cache
from hashlib import blake2b
from pathlib import Path
from typing import BinaryIO

import numpy as np
from numpy.typing import NDArray

from regard.data.readers.lines import Problem, file_errors, open_bytes
from regard.data.readers.tables import FileTable, Record
from regard.errors import DataError, damaged, wrong_size
from regard.values.pixels import LONGEST_SIDE, MOST_PIXELS

COLUMNS = ("image", "label")
_NAME = re.compile(r"(?:.*[-_.])?([a-z0-9]+)[-_]images[-.]idx[34][-.]ubyte(?:\.gz)?", re.ASCII)
_BYTES = 8
"""The code of the type that is read."""


def split_word(path: Path) -> str | None:
    """`train` of `train-images-idx3-ubyte.gz`; None where it is no file of images."""
    found = _NAME.fullmatch(path.name)
    return found[1] if found else None


def is_idx(path: Path) -> bool:
    return split_word(path) is not None


def partner(path: Path) -> Path:
    """The file of labels that belongs to one of images, zipped or not. Raises DataError."""
    plain = re.sub(r"images([-.])idx[34]", r"labels\1idx1", path.name).removesuffix(".gz")
    for name in (plain, f"{plain}.gz"):
        if path.with_name(name).exists():
            return path.with_name(name)
    raise DataError("{where} has no labels beside it; put {limit} into the same folder", path, plain)


@dataclass(frozen=True)
class _Header:
    path: Path
    count: int
    shape: tuple[int, ...]
    """Of one item: (H, W), (H, W, C), or nothing for labels."""

    @property
    def start(self) -> int:
        return 8 + 4 * len(self.shape)

    @property
    def size(self) -> int:
        """Bytes of one item."""
        return math.prod(self.shape)

    def item(self, file: BinaryIO, number: int) -> bytes:
        """The next item. Raises DataError when the file ends in it."""
        content = file.read(self.size)
        if len(content) < self.size:
            sentence = (
                "{where} is damaged: its header promises {limit:,} items, and it ends in item {value:,};"
                " fetch it again"
            )
            raise DataError(sentence, self.path, self.count, number)
        return content


def _header(file: BinaryIO, path: Path, labels: bool) -> _Header:
    """Read and check the header of an open file. Raises DataError."""
    magic = file.read(4)
    axes = magic[3] if len(magic) == 4 else 0
    if magic[:3] != bytes((0, 0, _BYTES)) or axes not in ((1,) if labels else (3, 4)):
        what = "labels" if labels else "images"
        sentence = "{where} is no IDX file of {limit} of a byte a number; its first bytes are {value!r}"
        raise DataError(sentence, path, what, magic)
    raw = file.read(4 * axes)
    if len(raw) < 4 * axes:
        raise damaged(DataError, path, "it ends in its header", "fetch it again")
    count, *shape = (int.from_bytes(raw[i : i + 4], "big") for i in range(0, len(raw), 4))
    header = _Header(path, count, tuple(shape))
    if not labels and (not _fits(shape[:2]) or (axes == 4 and shape[2] not in (1, 3))):
        sentence = "{where} claims images of {value} numbers, which cannot be"
        raise DataError(sentence, path, " × ".join(map(str, shape)))
    if path.suffix != ".gz":
        size, wanted = os.fstat(file.fileno()).st_size, header.start + count * header.size
        if size != wanted:
            raise wrong_size(DataError, path, size, wanted, "fetch it again")
    return header


def _fits(sides: list[int]) -> bool:
    return min(sides) > 0 and max(sides) <= LONGEST_SIDE and math.prod(sides) <= MOST_PIXELS


@dataclass(frozen=True)
class ImageTable(FileTable):
    """Images and their labels."""

    columns: tuple[str, ...] = COLUMNS
    keys: dict[str, str | Problem] = field(default_factory=dict, compare=False)
    """Of each image that was read once, by its name, a hash of what it holds, which decides its split; or
    what is wrong with it."""


@dataclass(frozen=True)
class IdxImages(ImageTable):
    """A file of images and its file of labels: a table of two columns."""

    def records(self, picked: tuple[int, ...]) -> Iterator[Record]:
        """Each image's name and label. Raises DataError: what is wrong with a whole file."""
        labels = partner(self.path)
        with open_bytes(self.path) as image_file, open_bytes(labels) as label_file:
            images = _header(image_file, self.path, False)
            marks = _header(label_file, labels, True)
            if images.count != marks.count:
                sentence = "{where} holds {value:,} images, and {key} {limit:,} labels; fetch them again"
                raise DataError(sentence, self.path, images.count, labels, marks.count)
            for number in range(images.count):
                name = f"{self.path}#{number}"
                self.keys[name] = blake2b(images.item(image_file, number), digest_size=16).hexdigest()
                values = (name, str(marks.item(label_file, number)[0]))
                yield name, tuple([values[index] for index in picked])


class _Reader:
    """An open file of images; those that are asked for in order are read in one go."""

    def __init__(self, path: Path) -> None:
        self.path, self.next, self.held = path, 0, ExitStack()
        self._open()

    def _open(self) -> None:
        self.held.close()
        self.file = self.held.enter_context(open_bytes(self.path))
        self.header, self.next = _header(self.file, self.path, False), 0

    def image(self, number: int) -> NDArray[np.uint8]:
        header = self.header
        if number >= header.count:
            raise no_image(self.path, number, header.count)
        if number < self.next:
            self._open()
        with file_errors(self.path):
            if self.path.suffix != ".gz":
                self.file.seek(header.start + number * header.size)
                self.next = number
            while self.next < number:
                header.item(self.file, self.next)
                self.next += 1
            content = header.item(self.file, number)
        self.next = number + 1
        pixels = np.frombuffer(content, dtype=np.uint8).reshape(header.shape)
        return pixels if pixels.ndim == 3 else pixels[:, :, None]


def no_image(where: object, number: int, count: int) -> DataError:
    """An error to raise: of so many images there is none of that number."""
    return DataError("{where} has no image {value}, only {limit}", where, number, f"0 to {count - 1}")


@lru_cache(maxsize=4)
def _reader(path: Path, stamp: tuple[int, int]) -> _Reader:
    return _Reader(path)


def image_at(path: Path, number: int) -> NDArray[np.uint8]:
    """One image (H, W, C) of a file. Raises DataError."""
    with file_errors(path):
        status = path.stat()
    return _reader(path, (status.st_size, status.st_mtime_ns)).image(number)
