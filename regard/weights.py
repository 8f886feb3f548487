"""A file of tensors (safetensors): written whole, and read only after its header has been believed.

The header's claims are compared with the file's size before anything is allocated for them. Serves the
weights of a bundle and the optimizer state of a run. This file does not know which tensors there should be.
"""

from __future__ import annotations

import hashlib
import math
import os
from collections.abc import Mapping
from dataclasses import dataclass
from io import BufferedReader
from pathlib import Path
from typing import Any

import safetensors.torch
import torch
from safetensors import SafetensorError
from torch import Tensor, nn

from regard.errors import BundleError, InputError, cannot_write, damaged, reading
from regard.files import human_bytes
from regard.machine import memory
from regard.strict_json import HEADER, loads

_MOST_AXES, _MOST_BLOCKS = 16, 2048
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
_FOREIGN: tuple[str, ...] = ("F8_E4M3", "F8_E5M2", "F8_E8M0", "F8_E4M3FNUZ", "F8_E5M2FNUZ", "F6_E2M3")
_FOREIGN += ("F6_E3M2", "F4", "U16", "U32", "U64", "C64")
"""Further types of the format, whose numbers mean nothing without a scale, or which no model here has."""
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
    with reading(BundleError, shown or path), path.open("rb") as file:
        return _header(file, shown or path)[1]


def read_weights(
    path: Path, shown: Path | None = None, sha256: str | None = None, *, finite: bool = True
) -> dict[str, Tensor]:
    """All tensors of the file, on the CPU, in memory of their own: a file that is cut short later does no
    harm. `sha256`: of the whole file, where it is known. `finite`: whether all numbers must be.

    Raises BundleError, which names `shown`: damaged, not that file, or a number that is not finite.
    """
    shown = shown or path
    weights: dict[str, Tensor] = {}
    total = None if sha256 is None else hashlib.sha256()
    with reading(BundleError, shown), path.open("rb") as file:
        header, entries = _header(file, shown)
        _check_memory(sum(entry.bytes for entry in entries.values()), shown)
        if total is not None:
            total.update(header)
        for name, entry in entries.items():
            weights[name] = weight = torch.empty(entry.shape, dtype=_DTYPES[entry.dtype])
            if weight.numel():
                content = weight.reshape(-1).view(torch.uint8).numpy().data
                if file.readinto(content) < len(content):
                    raise damaged(BundleError, shown, "it became shorter while it was read")
                if total is not None:
                    total.update(content)
    if total is not None and total.hexdigest() != sha256:
        raise damaged(BundleError, shown, "it is not what was recorded of it")
    if finite:
        check_finite(weights, f"{shown}")
    return weights


def most_blocks(entries: Mapping[str, Entry]) -> int:
    """How many blocks a model with these weights can have: none has fewer than four of its own, and each
    takes time to be made, whatever its size."""
    return min(len(entries) // 4, _MOST_BLOCKS)


def check_finite(weights: Mapping[str, Tensor], where: str) -> None:
    """Refuse a weight with NaN or infinity by name: what is computed with it means nothing.

    Raises BundleError, which names `where`.
    """
    for name, weight in weights.items():
        if (bad := not_finite(weight)) is not None:
            sentence = "{where}: the weight '{key}' holds {value}, which is no finite number"
            raise BundleError(sentence, where, name, bad)


def not_finite(tensor: Tensor) -> float | None:
    """NaN or an infinity that `tensor` holds; None where all is finite. One pass, no memory."""
    if not tensor.is_floating_point() or not tensor.numel() or tensor.is_meta:
        return None
    least, most = (x.item() for x in torch.aminmax(tensor.detach()))  # NaN is both of whatever holds it
    return next((x for x in (least, most) if not math.isfinite(x)), None)


def check_fits(model: nn.Module, dtype: str) -> None:
    """Raise InputError, which names the weight, where a sound model's weights do not fit into `dtype`."""
    for name, weight in model.named_parameters():
        if (value := not_finite(weight)) is not None:
            raise InputError("in {dtype} the weight '{key}' becomes {value}; use float32", dtype, name, value)


def digest(tensors: Mapping[str, Tensor], begin: str = "") -> str:
    """A SHA-256 of names, types, shapes and numbers, after that of the text `begin`."""
    total = hashlib.sha256(begin.encode())
    for name in sorted(tensors):
        value = tensors[name].contiguous()
        total.update(f"{name} {value.dtype} {tuple(value.shape)}".encode())
        total.update(value.reshape(-1).view(torch.uint8).numpy().data if value.numel() else b"")
    return total.hexdigest()


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
        raise cannot_write(shown or path, error, "free some space there") from error


def _header(file: BufferedReader, shown: Path) -> tuple[bytes, dict[str, Entry]]:
    """The file up to its first tensor, where it stands then, and the tensors in the order of the file."""
    size = os.fstat(file.fileno()).st_size
    head = file.read(8)
    length = int.from_bytes(head, "little")
    _check_start(head, length, size, shown)
    raw = file.read(length)
    try:
        claims = loads(raw, HEADER)
    except ValueError as error:
        raise damaged(BundleError, shown, f"its header is not JSON that can be used ({error})") from error
    if not isinstance(claims, dict):
        raise damaged(BundleError, shown, "its header is not a JSON object")
    claims.pop("__metadata__", None)
    room = size - 8 - length
    places = [(name, *_place(shown, name, claim, room)) for name, claim in claims.items()]
    places.sort(key=lambda place: place[2:])
    at = 0
    for name, _, start, end in places:
        if start != at:
            what = "overlaps the tensor" if start < at else "does not follow the one"
            raise BundleError("{where} is damaged: '{key}' {value}", shown, name, f"{what} before it")
        at = end
    if at != room:
        raise damaged(BundleError, shown, f"its tensors take {human_bytes(at)} of {human_bytes(room)}")
    return head + raw, {name: entry for name, entry, *_ in places}


def _check_memory(size: int, shown: Path) -> None:
    """Raise BundleError where the tensors are larger than all memory of this machine, if that is known."""
    whole = memory() or size
    if size > whole > 0:
        sentence = "{where} holds {value} of tensors, but this machine has {limit} of memory"
        raise BundleError(sentence, shown, human_bytes(size), human_bytes(whole))


def _check_start(start: bytes, length: int, size: int, shown: Path) -> None:
    if size < 8:
        raise damaged(BundleError, shown, f"it ends after {size} bytes")
    if length > min(size - 8, HEADER.bytes):  # a good file may well begin with a pickle's first byte
        if start[:1] == b"\x80" or start[:4] == b"PK\x03\x04":
            sentence = "{where} is a pickle, which can run code when read; it must be safetensors"
            raise BundleError(sentence, shown)
        claim = f"a header of {human_bytes(length)} in a file of {human_bytes(size)}"
        sentence = "{where} is damaged: it claims {value}; at most {limit} MiB are read"
        raise BundleError(sentence, shown, claim, HEADER.bytes >> 20)


def _place(shown: Path, name: str, claim: Any, room: int) -> tuple[Entry, int, int]:
    """A tensor that is as long as its type and shape say, and where it begins and ends inside the file, among
    the bytes after the header."""
    claim = claim if isinstance(claim, dict) else {}
    dtype, shape, offsets = claim.get("dtype"), claim.get("shape"), claim.get("data_offsets")
    if isinstance(dtype, str) and dtype in _FOREIGN:
        sentence = "{where} holds '{key}' as {value}, which is not supported; save it as F32, F16 or BF16"
        raise BundleError(sentence, shown, name, dtype)
    known = isinstance(dtype, str) and dtype in _DTYPES and _are_naturals(shape) and len(shape) <= _MOST_AXES
    if not known or not _are_naturals(offsets) or len(offsets) != 2:
        raise BundleError("{where} is damaged: its header does not say what '{key}' is", shown, name)
    start, end = offsets
    if not start <= end <= room or end - start != math.prod(shape) * _DTYPES[dtype].itemsize:
        raise BundleError("{where} is damaged: '{key}' does not fit into the file", shown, name)
    return Entry(dtype, tuple(shape)), start, end


def _are_naturals(values: Any) -> bool:
    return isinstance(values, list) and all(type(value) is int and 0 <= value < 1 << 62 for value in values)
