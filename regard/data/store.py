"""Examples as arrays on disk, read through memory mapping: sets larger than memory, opened at once.

A store is a folder of NumPy's own .npy files, which any program can read. A field of one size has one,

    NAME.npy          (examples, *shape)

a ragged one, with axes whose size differs from example to example, three:

    NAME.npy          the numbers of all examples, one after another
    NAME.starts.npy   int64 (examples + 1,): where each example begins, and where the last one ends
    NAME.sizes.npy    int32 (examples, n): the sizes of those n axes

They are written in one pass in bounded memory and appear under their names only when they are whole. This
file does not know what the numbers mean; what is kept as a reference is decoded by the field's own `decode`.
"""

from __future__ import annotations

import dataclasses
import math
import os
from collections.abc import Collection, Iterable, Sequence
from concurrent.futures import Future
from contextlib import ExitStack
from pathlib import Path

import numpy as np
from numpy.typing import ArrayLike, NDArray

from regard.data.field import Array, Encoded, Field, Reference
from regard.data.npy import GrowingFile, MappedFile
from regard.errors import DataError, damaged
from regard.files import atomic_files, resolve

_BUFFER = 4 << 20  # bytes of a field gathered before they are written
_REMEDY = "delete it, so that it is made again"
_CHUNK = 1 << 18  # examples looked at together when a table is checked


def _kept(fields: tuple[Field, ...], references: bool) -> tuple[Field, ...]:
    """What of the fields is on disk."""
    return tuple(Reference.of(field) if references and field.decode else field for field in fields)


@dataclasses.dataclass(eq=False)
class ExampleStore:
    """`len(store)` examples, of each the arrays of `fields`, in files that `open_store` has checked."""

    path: Path
    fields: tuple[Field, ...]
    seed: int
    _kept: dict[str, Field]
    _mapped: dict[str, MappedFile]
    _count: int
    ready: dict[tuple[str, int, bytes], Future[Array]] = dataclasses.field(default_factory=dict)
    """What is being decoded ahead of its use, by field, epoch and rows."""

    def __len__(self) -> int:
        return self._count

    @property
    def nbytes(self) -> int:
        return sum(each.size for each in self._mapped.values())

    def __getitem__(self, row: int) -> dict[str, Array]:
        """The arrays of one example by the names of their fields."""
        if not 0 <= row < len(self):
            raise IndexError(f"example {row} of {len(self)}")
        return {field.name: self._one(field, row) for field in self.fields}

    @property
    def referring(self) -> list[Field]:
        """The fields that are kept as references."""
        return [field for field in self.fields if isinstance(self._kept[field.name], Reference)]

    def _one(self, field: Field, row: int) -> Array:
        return (self.ragged if field.open_axes else self.take)([row], field.name)[0]

    def lengths(self, name: str) -> NDArray[np.int32]:
        """(examples,): the sizes of a field's first axis that differs; mapped."""
        return self._mapped[f"{name}.sizes.npy"].array[:, 0]

    def take(self, rows: ArrayLike, name: str, epoch: int = 0) -> Array:
        """(rows, *shape): a field of one size of some examples. What is kept as a reference is decoded, with
        random choices that follow from seed, epoch and example.

        Raises:
            DataError: the files were changed after they were opened, or hold what cannot be; or what a
                reference names cannot be decoded.
        """
        self._check_unchanged()
        field, at = self._kept[name], np.asarray(rows, dtype=np.int64)
        if not isinstance(field, Reference):
            found: Array = self._mapped[f"{name}.npy"].array[at].astype(field.native, copy=False)
            self._check(field, found)
            return found
        if (waiting := self.ready.pop((name, epoch, at.tobytes()), None)) is not None:
            return waiting.result()
        decode = next(each for each in self.referring if each.name == name)
        return decode_all(decode, self.references(at, name), self.seed, epoch, at)

    def references(self, rows: ArrayLike, name: str) -> list[str]:
        """What a field of some examples is kept as."""
        kept = self.ragged(rows, name)
        return [one.tobytes().decode("utf-8", "surrogateescape") for one in kept]

    def ragged(self, rows: ArrayLike, name: str) -> list[Array]:
        """A ragged field of some examples, each in its own shape.

        Raises: DataError as `take`.
        """
        self._check_unchanged()
        field = self._kept[name]
        values, starts, sizes = (self._mapped[file].array for file in field.arrays())
        some: list[Array] = []
        for row in np.asarray(rows, dtype=np.int64).tolist():
            here = iter(sizes[row].tolist())
            shape = [next(here) if size is None else size for size in field.shape]
            some.append(values[starts[row] : starts[row + 1]].astype(field.native).reshape(shape))
            self._check(field, some[-1])
        return some

    def padded(self, rows: ArrayLike, name: str, pad: int = 0) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """Sequences of indices side by side: (rows, longest), filled up with `pad` on the right, and their
        lengths (rows,).

        Raises: DataError as `take`.
        """
        self._check_unchanged()
        at = np.asarray(rows, dtype=np.int64)
        sizes = self.lengths(name)[at].astype(np.int64)
        place = np.arange(sizes.max(initial=0))
        real = place < sizes[:, None]
        starts = self._mapped[f"{name}.starts.npy"].array[at]
        found = self._mapped[f"{name}.npy"].array[(starts[:, None] + place)[real]]
        self._check(self._kept[name], found)
        padded = np.full(real.shape, pad, dtype=np.int64)
        padded[real] = found
        return padded, sizes

    def _check(self, field: Field, found: Array) -> None:
        if field.below is not None and found.size and not 0 <= int(found.max()) < field.below:
            where = self._mapped[f"{field.name}.npy"].path
            what = f"it holds {int(found.max())}, not below {field.below}"
            raise damaged(DataError, where, what, _REMEDY)

    def _check_unchanged(self) -> None:
        """Raise DataError where a file is another now: what is mapped and has been cut off would end the
        process."""
        for each in self._mapped.values():
            if each.is_changed():
                raise DataError(
                    "{where} was changed while it was in use; start anew with --overwrite", each.path
                )


def decode_all(
    field: Field, references: Sequence[str], seed: int, epoch: int, rows: NDArray[np.int64]
) -> Array:
    """(references, *shape): what they name, decoded, whichever process does it."""
    assert field.decode is not None
    found = np.empty((len(references), *[size or 0 for size in field.shape]), dtype=field.dtype)
    for place, (reference, row) in enumerate(zip(references, rows.tolist(), strict=True)):
        found[place] = field.decode(reference, np.random.default_rng([seed, epoch, row]))
    return found


def write_store(
    path: str | os.PathLike[str],
    examples: Iterable[Encoded],
    fields: tuple[Field, ...],
    seed: int = 0,
    *,
    references: bool = False,
) -> ExampleStore:
    """Write examples, tuples of what goes into `fields`, in one pass; then open the folder.

    references: whether those are kept, instead of what they are decoded to.

    Raises:
        StorageError: it cannot be written; what was there before is untouched.
    """
    assert len({field.name for field in fields}) == len(fields) > 0, fields
    assert all(field.name.replace("_", "a").isalnum() for field in fields), fields
    assert all(field.decode is None or not field.open_axes for field in fields), fields
    kept = _kept(fields, references)
    names = [name for field in kept for name in field.arrays()]
    with atomic_files(path, names) as writing, ExitStack() as files:
        writers = [files.enter_context(_Writer(writing, field)) for field in kept]
        for example in examples:
            for writer, value in zip(writers, example, strict=True):
                writer.add(value)
    for file in _others(path, names):  # of the store that was here
        file.unlink(missing_ok=True)
    return open_store(path, fields, seed, references=references)


def open_store(
    path: str | os.PathLike[str], fields: tuple[Field, ...], seed: int = 0, *, references: bool = False
) -> ExampleStore:
    """Map the files that `write_store` wrote for these fields, after they have been checked.

    seed: of the random choices that decoding may make.

    Raises:
        DataError: there are no such files, or they are of other fields, cut short or damaged.
    """
    folder = Path(path)
    mapped: dict[str, MappedFile] = {}
    kept = _kept(fields, references)
    for field in kept:
        for name, (kind, tail) in field.arrays().items():
            mapped[name] = MappedFile(resolve(folder, name), kind, tail)
    counts = {_check_starts(field, mapped) for field in kept}
    for other in _others(folder, mapped):
        raise damaged(DataError, other, "it is not of the examples beside it", _REMEDY)
    if len(counts) > 1:
        raise damaged(DataError, folder, "its files hold different numbers of examples", _REMEDY)
    return ExampleStore(folder, fields, seed, {one.name: one for one in kept}, mapped, counts.pop())


def _others(folder: str | os.PathLike[str], names: Collection[str]) -> list[Path]:
    """The files of a store but those of `names`."""
    return sorted(path for path in Path(folder).glob("*.npy") if path.name not in names)


class _Writer:
    """The files of one field, filled example by example."""

    def __init__(self, folder: Path, field: Field) -> None:
        self._field, self._total = field, 0
        self._files = [GrowingFile(folder / name, *form) for name, form in field.arrays().items()]
        self._waiting: list[Array] = []
        self._bytes = 0
        if field.open_axes:
            self._files[1].add(np.zeros(1, dtype=np.int64))

    def __enter__(self) -> _Writer:
        return self

    def __exit__(self, *error: object) -> None:
        if error[0] is None:
            self._flush()
        for file in self._files:
            file.close()

    def add(self, value: ArrayLike) -> None:
        found = self._field.array(value)
        self._waiting.append(found)
        self._bytes += found.nbytes + 200  # what an array takes besides
        if self._bytes >= _BUFFER:
            self._flush()

    def _flush(self) -> None:
        some, field = self._waiting, self._field
        if not some:
            return
        flat = np.concatenate([one.reshape(-1) for one in some])
        assert field.below is None or not flat.size or int(flat.max()) < field.below, f"{field}: {flat.max()}"
        if field.open_axes:
            open_axes = [axis for axis, size in enumerate(field.shape) if size is None]
            ends = self._total + np.cumsum([one.size for one in some])
            self._files[0].add(flat)
            self._files[1].add(ends)
            self._files[2].add(np.array([[one.shape[axis] for axis in open_axes] for one in some]))
            self._total = int(ends[-1])
        else:
            self._files[0].add(flat.reshape(len(some), *field.shape))
        self._waiting, self._bytes = [], 0


def _check_starts(field: Field, mapped: dict[str, MappedFile]) -> int:
    """Every example begins where the one before it ends, and the last ends with the numbers; how many there
    are. Raises: DataError."""
    values = mapped[f"{field.name}.npy"].array
    if not field.open_axes:
        return len(values)
    starts, sizes = (mapped[f"{field.name}.{part}.npy"] for part in ("starts", "sizes"))
    fixed = math.prod(size for size in field.shape if size is not None)
    good = len(starts.array) == len(sizes.array) + 1
    good = good and starts.array[0] == 0 and starts.array[-1] == len(values)
    for begin in range(0, len(sizes.array) if good else 0, _CHUNK):
        some = sizes.array[begin : begin + _CHUNK].astype(np.float64)  # whose product cannot overflow
        ends = starts.array[begin : begin + _CHUNK + 1]
        good = good and bool((ends >= 0).all() and (ends <= len(values)).all() and (some >= 0).all())
        good = good and bool((some.prod(axis=1) * fixed == np.diff(ends)).all())
    if not good:
        raise damaged(DataError, starts.path, "it contradicts the files beside it", _REMEDY)
    return len(sizes.array)
