"""Examples as token ids on disk, read through memory mapping: sets larger than memory, opened at once.

One file, all of it little-endian:

    8 bytes    magic
    4088 bytes a JSON header (counts, type of ids, sizes, its own checksum), filled up with spaces
    ids        of example 0 column 0, example 0 column 1, ..., example 1 column 0, ...
    lengths    int32 (examples, columns)
    starts     int64 (examples), where each example begins among the ids

The tables begin at multiples of 64 bytes. The file is written in one pass in bounded memory and appears
under its name only when it is whole. This file does not know what the ids mean, nor the special tokens
but the one that pads.
"""

from __future__ import annotations

import json
import mmap
import os
import tempfile
import zlib
from array import array
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import IO, Any, BinaryIO, Literal

import numpy as np
from numpy.typing import NDArray

from regard.errors import DataError, cannot_read, damaged, wrong_size
from regard.files import atomic_file

__all__ = ["TokenStore", "open_store", "write_store"]

_MAGIC = b"RGRDIDS1"
_HEADER = 4096  # magic included; one page
_ALIGNED = 64
_BUFFER = 4 << 20  # bytes of ids gathered before they are written
_CHUNK = 1 << 18  # examples looked at together when a table is checked
_MOST_COLUMNS = 64
_KINDS: tuple[tuple[int, str, Literal["uint8", "uint16", "uint32"]], ...] = (
    (1 << 8, "B", "uint8"),
    (1 << 16, "H", "uint16"),
    (1 << 32, "I", "uint32"),
)
"""Of ids below the first number: the type in memory, and on disk."""


@dataclass(frozen=True)
class _Header:
    examples: int
    columns: int
    vocab: int
    ids: int
    dtype: Literal["uint8", "uint16", "uint32"]

    @property
    def lengths_at(self) -> int:
        return _aligned(_HEADER + self.ids * np.dtype(self.dtype).itemsize)

    @property
    def starts_at(self) -> int:
        return _aligned(self.lengths_at + 4 * self.examples * self.columns)

    @property
    def size(self) -> int:
        return self.starts_at + 8 * self.examples


class TokenStore:
    """`len(store)` examples of `columns` sequences of ids each, in a file that `open_store` has checked.

    lengths: int32 (examples, columns), mapped. vocab: every id is less.
    """

    def __init__(self, path: Path, header: _Header, mapped: mmap.mmap) -> None:
        self.path = path
        self._mapped, self._written = mapped, path.stat().st_mtime_ns
        raw: NDArray[np.uint8] = np.frombuffer(mapped, dtype=np.uint8)
        self.columns = header.columns
        self.vocab = header.vocab
        self.nbytes = header.size
        self._ids = _table(raw, _HEADER, header.ids, header.dtype)
        lengths = _table(raw, header.lengths_at, header.examples * header.columns, "int32")
        self.lengths: NDArray[np.int32] = lengths.reshape(header.examples, header.columns)
        self._starts: NDArray[np.int64] = _table(raw, header.starts_at, header.examples, "int64")

    def __len__(self) -> int:
        return len(self._starts)

    def __getitem__(self, row: int) -> tuple[list[int], ...]:
        """The columns of one example."""
        if not 0 <= row < len(self):
            raise IndexError(f"example {row} of {len(self)}")
        return tuple(self.column(column, [row])[0].tolist() for column in range(self.columns))

    def column(self, column: int, rows: Sequence[int] | NDArray[np.int64]) -> list[NDArray[np.int64]]:
        """The ids of one column of some examples, each in an array of its own length."""
        ids, lengths = self.batch(rows, column)
        return [row[:length] for row, length in zip(ids, lengths, strict=True)]

    def batch(
        self, rows: Sequence[int] | NDArray[np.int64], column: int, *, pad: int = 0
    ) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """One column of some examples: ids (rows, longest) filled up with `pad` on the right, lengths (rows).

        Raises:
            DataError: the file was changed after it was opened, or an id is beyond the vocabulary.
        """
        self._check_unchanged()
        if not 0 <= column < self.columns:
            raise IndexError(f"column {column} of {self.columns}")
        rows = np.asarray(rows, dtype=np.int64)
        lengths = self.lengths[rows].astype(np.int64)
        starts = self._starts[rows] + lengths[:, :column].sum(axis=1)
        sizes = lengths[:, column]
        place = np.arange(sizes.max(initial=0))
        real = place < sizes[:, None]
        found = self._ids[(starts[:, None] + place)[real]]
        if found.size and int(found.max()) >= self.vocab:
            raise damaged(DataError, self.path, f"it holds an id beyond its {self.vocab}", "delete it")
        ids = np.full(real.shape, pad, dtype=np.int64)
        ids[real] = found
        return ids, sizes

    def _check_unchanged(self) -> None:
        """Raise DataError where the file is another now: what is mapped and has been cut off would end the
        process."""
        try:
            now = self.path.stat().st_mtime_ns
        except FileNotFoundError:
            now = self._written  # only its name has gone
        if self._mapped.size() != self.nbytes or now != self._written:
            raise DataError("{where} was changed while it was in use; start anew with --overwrite", self.path)


def write_store(
    path: str | os.PathLike[str],
    examples: Iterable[tuple[Sequence[int], ...]],
    columns: int,
    vocab_size: int,
) -> TokenStore:
    """Write examples of `columns` sequences of ids below `vocab_size` in one pass; then open the file.

    Raises:
        StorageError: it cannot be written; what was there before is untouched.
    """
    assert 0 < columns <= _MOST_COLUMNS, columns
    assert 0 < vocab_size <= 1 << 31, vocab_size
    path = Path(path)
    with atomic_file(path) as file, tempfile.TemporaryFile(dir=path.resolve().parent) as spool:
        file.write(bytes(_HEADER))
        header = _write_ids(file, spool, examples, columns, vocab_size)
        _write_tables(file, spool, header)
        file.seek(0)
        file.write(_encode(header))
    return open_store(path)


def open_store(path: str | os.PathLike[str]) -> TokenStore:
    """Map a file that `write_store` wrote, after its sizes and tables have been checked.

    Raises:
        DataError: there is no such file, or it is no store, too new, cut short or damaged.
    """
    path = Path(path)
    try:
        with path.open("rb") as file:
            size = os.fstat(file.fileno()).st_size
            header = _decode(path, file.read(_HEADER))
            if size != header.size:
                raise wrong_size(DataError, path, size, header.size, "delete it, so that it is made again")
            mapped = mmap.mmap(file.fileno(), size, access=mmap.ACCESS_READ)
        store = TokenStore(path, header, mapped)
    except OSError as error:
        raise cannot_read(DataError, path, error) from error
    _check_tables(store, header)
    return store


def _write_ids(
    file: BinaryIO, spool: IO[bytes], examples: Iterable[tuple[Sequence[int], ...]], columns: int, vocab: int
) -> _Header:
    """The ids to `file` and the lengths to `spool`; the counts come back."""
    code, dtype = next(kind for kind in _KINDS if vocab <= kind[0])[1:]
    ids, lengths = array(code), array("i")
    assert array("I").itemsize == array("i").itemsize == 4
    count = total = 0
    for example in examples:
        assert len(example) == columns, f"example {count} has {len(example)} columns, not {columns}"
        for sequence in example:
            ids.extend(sequence)
            lengths.append(len(sequence))
        count += 1
        if len(ids) * ids.itemsize >= _BUFFER or len(lengths) * 4 >= _BUFFER:
            total += _flush(file, spool, ids, lengths, vocab)
    total += _flush(file, spool, ids, lengths, vocab)
    return _Header(count, columns, vocab, total, dtype)


def _flush(file: BinaryIO, spool: IO[bytes], ids: array[int], lengths: array[int], vocab: int) -> int:
    assert not ids or max(ids) < vocab, f"an id is beyond the vocabulary of {vocab}"
    for place, values in ((file, ids), (spool, lengths)):
        if np.little_endian:
            place.write(memoryview(values))
        else:
            place.write(np.frombuffer(values, dtype=values.typecode).byteswap().tobytes())
    written = len(ids)
    del ids[:], lengths[:]
    return written


def _write_tables(file: BinaryIO, spool: IO[bytes], header: _Header) -> None:
    """The lengths, as they were gathered, and the starts, which follow from them; twice over the spool."""
    file.write(bytes(header.lengths_at - file.tell()))
    row = 4 * header.columns
    spool.seek(0)
    while part := spool.read(row * _CHUNK):
        file.write(part)
    file.write(bytes(header.starts_at - file.tell()))
    start = 0
    spool.seek(0)
    while part := spool.read(row * _CHUNK):
        sizes = np.frombuffer(part, dtype="<i4").reshape(-1, header.columns).sum(axis=1, dtype=np.int64)
        ends = start + np.cumsum(sizes)
        file.write((ends - sizes).astype("<i8").tobytes())
        start = int(ends[-1])


def _check_tables(store: TokenStore, header: _Header) -> None:
    """Every example begins where the one before it ends, and the last ends with the ids."""
    start = 0
    good = True
    for begin in range(0, len(store), _CHUNK):
        lengths = store.lengths[begin : begin + _CHUNK]
        ends = start + np.cumsum(lengths.sum(axis=1, dtype=np.int64))
        expected = np.concatenate(([start], ends[:-1]))
        good &= bool((lengths >= 0).all() and (store._starts[begin : begin + _CHUNK] == expected).all())
        start = int(ends[-1])
    if not good or start != header.ids:
        raise damaged(DataError, store.path, "its table of lengths contradicts itself", "delete it")


def _aligned(position: int) -> int:
    return -(-position // _ALIGNED) * _ALIGNED


def _table(raw: NDArray[np.uint8], start: int, count: int, dtype: str) -> NDArray[Any]:
    kind = np.dtype(dtype).newbyteorder("<")
    return np.asarray(raw[start : start + count * kind.itemsize]).view(kind)


def _encode(header: _Header) -> bytes:
    content = asdict(header)
    text = json.dumps({**content, "crc32": _checksum(content)}).encode()
    return _MAGIC + text.ljust(_HEADER - len(_MAGIC))


def _checksum(content: dict[str, Any]) -> int:
    return zlib.crc32(json.dumps(content, sort_keys=True).encode())


def _decode(path: Path, head: bytes) -> _Header:
    if not head.startswith(_MAGIC):
        sentence = "{where} holds no tokens written by this version of regard; delete it or give another"
        raise DataError(sentence, path)
    try:
        content = json.loads(head[len(_MAGIC) :])
        checksum = content.pop("crc32")
        sound = content.keys() == {field.name for field in fields(_Header)} and checksum == _checksum(content)
    except (ValueError, RecursionError, AttributeError, KeyError, TypeError):
        sound = False
    if not sound:
        raise damaged(DataError, path, "its header cannot be read", "delete it, so that it is made again")
    return _Header(**content)
