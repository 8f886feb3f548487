"""A file of tensors (safetensors): written whole, and read only after its header has been believed.

The header's claims are compared with the file's size before anything is allocated for them. Serves the
weights of a bundle and the optimizer state of a run. This file does not know which tensors there should be.
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import safetensors.torch
import torch
from safetensors import SafetensorError
from torch import Tensor

from regard.errors import BundleError, StorageError
from regard.files import human_bytes

__all__ = ["Entry", "read_header", "read_weights", "write_weights"]

_MAX_HEADER = 100_000_000  # bytes; safetensors' own limit
_DTYPES = {
    "F64": torch.float64,
    "F32": torch.float32,
    "F16": torch.float16,
    "BF16": torch.bfloat16,
    "I64": torch.int64,
    "I32": torch.int32,
    "I16": torch.int16,
    "I8": torch.int8,
    "U8": torch.uint8,
    "BOOL": torch.bool,
}
_NAMES = {dtype: name for name, dtype in _DTYPES.items()}


@dataclass(frozen=True)
class Entry:
    """Type and shape of a tensor, as the header of a file names them."""

    dtype: str
    shape: tuple[int, ...]

    @classmethod
    def of(cls, tensor: Tensor) -> Entry:
        return cls(_NAMES.get(tensor.dtype, str(tensor.dtype)), tuple(tensor.shape))

    @property
    def bytes(self) -> int:
        return math.prod(self.shape) * _DTYPES[self.dtype].itemsize

    def __str__(self) -> str:
        return f"{self.dtype} {list(self.shape)}"


def read_header(path: Path, shown: Path | None = None) -> dict[str, Entry]:
    """What the file holds, its numbers checked against its size. Raises BundleError, which names `shown`."""
    shown = shown or path
    try:
        with path.open("rb") as file:
            size = path.stat().st_size
            start = file.read(8)
            length = int.from_bytes(start, "little")
            _check_start(start, length, size, shown)
            header = json.loads(file.read(length))
    except OSError as error:
        raise BundleError(f"{shown} cannot be read: {error.strerror}") from error
    except (ValueError, RecursionError) as error:
        raise BundleError(f"{shown} is damaged: its header is not JSON") from error
    if not isinstance(header, dict):
        raise BundleError(f"{shown} is damaged: its header is not a JSON object")
    header.pop("__metadata__", None)
    room = size - 8 - length
    entries = {name: _entry(shown, name, claim, room) for name, claim in header.items()}
    if sum(entry.bytes for entry in entries.values()) > room:
        raise BundleError(f"{shown} is damaged: its tensors overlap")
    return entries


def read_weights(path: Path, shown: Path | None = None) -> dict[str, Tensor]:
    """All tensors of the file, on the CPU. Raises BundleError, which names `shown`."""
    read_header(path, shown)
    try:
        if str(path).isascii():
            return safetensors.torch.load_file(path)
        return safetensors.torch.load(path.read_bytes())  # it opens no name that is not UTF-8
    except SafetensorError as error:
        raise BundleError(f"{shown or path} is damaged: {error}") from error
    except OSError as error:
        raise BundleError(f"{shown or path} cannot be read: {error.strerror}") from error


def write_weights(path: Path, weights: Mapping[str, Tensor], shown: Path | None = None) -> None:
    """Write a new file; not by itself atomic. Raises StorageError, which names `shown`."""
    try:
        # safetensors refuses tensors that share memory, so each gets its own.
        own = {name: weight.detach().cpu().contiguous().clone() for name, weight in weights.items()}
        path.touch()
        mode = path.stat().st_mode  # what the user's files have; safetensors would make it private
        safetensors.torch.save_file(own, path, metadata={"format": "pt"})
        path.chmod(mode)
    except SafetensorError as error:  # its failures to write are not OSErrors
        raise StorageError(f"cannot write {shown or path}: {error}; free some space there") from error


def _check_start(start: bytes, length: int, size: int, shown: Path) -> None:
    if size < 8:
        raise BundleError(f"{shown} is damaged: it ends after {size} bytes")
    if length > min(size - 8, _MAX_HEADER):  # a good file may well begin with a pickle's first byte
        if start[:1] == b"\x80" or start[:4] == b"PK\x03\x04":
            raise BundleError(f"{shown} is a pickle, which can run code when read; it must be safetensors")
        claim = f"a header of {human_bytes(length)} in a file of {human_bytes(size)}"
        raise BundleError(f"{shown} is damaged: it claims {claim}")


def _entry(shown: Path, name: str, claim: Any, room: int) -> Entry:
    """A tensor that lies inside the file and is as long as its type and shape say."""
    claim = claim if isinstance(claim, dict) else {}
    dtype, shape, offsets = claim.get("dtype"), claim.get("shape"), claim.get("data_offsets")
    known = isinstance(dtype, str) and dtype in _DTYPES
    if not known or not _are_naturals(shape) or not _are_naturals(offsets) or len(offsets) != 2:
        raise BundleError(f"{shown} is damaged: its header does not say what '{name}' is")
    start, end = offsets
    if not start <= end <= room or end - start != math.prod(shape) * _DTYPES[dtype].itemsize:
        raise BundleError(f"{shown} is damaged: '{name}' does not fit into the file")
    return Entry(dtype, tuple(shape))


def _are_naturals(values: Any) -> bool:
    return isinstance(values, list) and all(type(value) is int and value >= 0 for value in values)
