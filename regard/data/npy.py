"""NumPy's own .npy files (NEP 1), written from front to back and mapped.

A file is mapped if it is, to the byte of its header and of its length, what is written here for such a type
and shape: so none is parsed, none can hold a pickle, and none that was cut short or changed is taken.
"""

from __future__ import annotations

import io
import math
import mmap
import os
from pathlib import Path
from typing import Any

import numpy as np
from numpy.lib import format as npy
from numpy.typing import NDArray

from regard.errors import DataError, damaged, reading


def _header(kind: np.dtype[Any], shape: tuple[int, ...]) -> bytes:
    """What a .npy file begins with: of a size that is the same however long the first axis is."""
    made = io.BytesIO()
    about = {"descr": npy.dtype_to_descr(kind), "fortran_order": False, "shape": shape}
    npy.write_array_header_1_0(made, about)
    return made.getvalue()


class GrowingFile:
    """A .npy file that is written from front to back."""

    def __init__(self, path: Path, kind: np.dtype[Any], tail: tuple[int, ...]) -> None:
        self._file, self._kind, self._tail = path.open("wb"), kind, tail
        self._count = 0
        self._file.write(_header(kind, (0, *tail)))

    def add(self, some: NDArray[Any]) -> None:
        """Items along the first axis."""
        self._count += len(some)
        self._file.write(np.ascontiguousarray(some, dtype=self._kind).data.cast("B") if some.size else b"")

    def close(self) -> None:
        self._file.seek(0)
        self._file.write(_header(self._kind, (self._count, *self._tail)))
        self._file.close()


class MappedFile:
    """A .npy file of a known type and shape, but for the length of its first axis.

    Raises: DataError when it is none.
    """

    def __init__(self, path: Path, kind: np.dtype[Any], tail: tuple[int, ...]) -> None:
        self.path = path
        start = len(_header(kind, (0, *tail)))
        with reading(DataError, path), path.open("rb") as file:
            status = os.fstat(file.fileno())
            item = kind.itemsize * math.prod(tail)
            count = max(0, status.st_size - start) // item
            expected = _header(kind, (count, *tail))
            if status.st_size != start + count * item or file.read(start) != expected:
                shape = ", ".join(("N", *map(str, tail)))
                what = f"it is no whole .npy file of {kind.name} ({shape})"
                raise damaged(DataError, path, what, "delete it, so that it is made again")
            self._map = mmap.mmap(file.fileno(), status.st_size, access=mmap.ACCESS_READ)
        self.size, self._written = status.st_size, status.st_mtime_ns
        self.array: NDArray[Any] = np.frombuffer(self._map, kind, count * math.prod(tail), start)
        self.array = self.array.reshape(count, *tail)

    def is_changed(self) -> bool:
        try:
            now = self.path.stat().st_mtime_ns
        except FileNotFoundError:
            now = self._written  # only its name has gone
        return self._map.size() != self.size or now != self._written
