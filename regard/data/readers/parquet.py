"""Tables in Parquet, read in batches through pyarrow.

It does not know which problems are forgiven. Row numbers count from 1.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from regard.data.readers.lines import Problem, open_bytes
from regard.data.readers.tables import Record, as_text
from regard.errors import DataError, needs

__all__ = ["ParquetTable"]

_BATCH = 1024
_BUFFER_BYTES = 1 << 20  # without it pyarrow takes a whole column of a row group at once


@dataclass(frozen=True)
class ParquetTable:
    """A Parquet file; columns of strings, numbers and truth values can be read."""

    path: Path
    columns: tuple[str, ...]

    @classmethod
    def open(cls, path: Path) -> ParquetTable:
        """Read the schema. Raises DataError when it is not a Parquet file."""
        with _open(path) as file:
            return cls(path, tuple(file.schema_arrow.names))

    @property
    def label(self) -> str:
        return str(self.path)

    def records(self, picked: tuple[int, ...]) -> Iterator[Record]:
        names = [self.columns[index] for index in picked]
        number = 0
        with _open(self.path) as file:
            for batch in file.iter_batches(batch_size=_BATCH, columns=names, use_threads=False):
                columns = [batch.column(name) for name in names]
                for index in range(batch.num_rows):
                    number += 1
                    yield f"{self.path}:{number}", _values(columns, index)


def _values(columns: list[Any], index: int) -> tuple[str, ...] | Problem:
    values: list[str] = []
    for column in columns:
        try:
            value = as_text(column[index].as_py())
        except UnicodeDecodeError as error:
            value = Problem("bad UTF-8", f"byte {error.start + 1} of the cell")
        if isinstance(value, Problem):
            return value
        values.append(value)
    return tuple(values)


@contextmanager
def _open(path: Path) -> Iterator[Any]:
    """The file as pyarrow sees it; what it can raise for a broken file becomes a DataError."""
    with needs("Parquet files need the package pyarrow", "parquet"):
        import pyarrow  # heavy, and most users have no Parquet
        from pyarrow import parquet

    with open_bytes(path) as raw:
        if not raw.read(1):
            raise DataError(f"{path} is empty; give a file with data")
        raw.seek(0)
        try:
            with parquet.ParquetFile(raw, buffer_size=_BUFFER_BYTES, pre_buffer=False) as file:
                yield file
        except (pyarrow.ArrowException, OSError, ValueError, KeyError) as error:
            reason = str(error).split("\n")[0]
            raise DataError(f"{path} is not a whole Parquet file ({reason}); write it again") from error
