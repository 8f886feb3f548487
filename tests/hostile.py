"""Files that take far more than they are worth from whoever believes them, and how to write them."""

from __future__ import annotations

import json
import struct
from collections.abc import Callable
from pathlib import Path

Write = Callable[[Path], None]


def _sparse(size: int) -> Write:
    def write(path: Path) -> None:
        with path.open("r+b" if path.exists() else "wb") as file:
            file.truncate(size)

    return write


def _text(text: str) -> Write:
    return lambda path: path.write_text(text, "utf-8") and None


def _inside(name: str, text: str) -> Write:
    """An object that is what it was, and has one key more."""

    def write(path: Path) -> None:
        known = path.read_text("utf-8").rstrip().removesuffix("}") if path.exists() else "{"
        comma = "," if known.strip() != "{" else ""
        path.write_text(f'{known}{comma}"{name}":{text}}}', "utf-8")

    return write


JSON_TEXTS: dict[str, Write] = {
    "integers of 4,299 digits": _inside("bomb", "[" + ",".join(["9" * 4299] * 8000) + "]"),
    "a few integers of 4,299 digits": _inside("bomb", "[" + ",".join(["9" * 4299] * 300) + "]"),
    "180 MB": _sparse(180_000_000),
    "50 GiB": _sparse(50 << 30),
    "7 MB of spaces": _text(" " * 7_000_000),
    "deep": _text("[" * 100_000 + "]" * 100_000),
    "deep inside": _inside("bomb", '{"a":' * 500 + "1" + "}" * 500),
    "a million dictionaries": _inside("bomb", "[" + ",".join(["{}"] * 1_000_000) + "]"),
    "three million lists": _inside("bomb", "[" + ",".join(["[]"] * 3_000_000) + "]"),
    "30 MB of one text": _inside("bomb", '"' + "x" * 30_000_000 + '"'),
    "an infinite number": _inside("bomb", "1e400"),
    "NaN": _inside("bomb", "[NaN]"),
    "a long key": _inside("k" * 1_000_000, "1"),
    "no UTF-8": lambda path: path.write_bytes(b'{"a":"\xff"}') and None,
}


def tensors(header: object, *, data: int = 0, size: int | None = None) -> Write:
    """A file of tensors with this header and so many bytes of zeros after it."""
    raw = header if isinstance(header, bytes) else json.dumps(header).encode()

    def write(path: Path) -> None:
        with path.open("wb") as file:
            file.write(struct.pack("<Q", len(raw)) + raw)
            file.truncate(8 + len(raw) + data if size is None else size)

    return write


def _many(count: int) -> dict[str, object]:
    return {f"w{i}": {"dtype": "F32", "shape": [1], "data_offsets": [4 * i, 4 * i + 4]} for i in range(count)}


TENSORS: dict[str, Write] = {
    "300,000 tensors": tensors(_many(300_000), data=1_200_000),
    "60,000 tensors": tensors(_many(60_000), data=240_000),
    "50 GiB behind a small header": tensors(_many(3), size=50 << 30),
    "integers of 4,299 digits": tensors(b'{"a":[' + b",".join([b"9" * 4299] * 3000) + b"]}"),
    "a header of 90 MB": tensors(b" " * 90_000_000),
    "a deep header": tensors(b'{"a":' * 100_000 + b"1" + b"}" * 100_000),
    "100,000 axes": tensors({"a": {"dtype": "F32", "shape": [1] * 100_000, "data_offsets": [0, 4]}}, data=4),
    "a tensor of 2^60": tensors({"a": {"dtype": "F32", "shape": [2**58, 4], "data_offsets": [0, 4]}}, data=4),
    "long names": tensors({"n" * 200_000 + str(i): 0 for i in range(50)}),
    "metadata": tensors({"__metadata__": {str(i): "" for i in range(400_000)}, **_many(1)}, data=4),
}
