"""One table in several files. It does not know their form, nor how they are found."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from regard.data.readers.tables import Record, Table


@dataclass(frozen=True)
class ShardedTable:
    """The records of tables one after another, in the columns that all have, in whatever order."""

    tables: tuple[Table, ...]

    @property
    def label(self) -> str:
        first, last = self.tables[0].label, Path(self.tables[-1].label).name
        return f"{first} … {last}"

    @property
    def columns(self) -> tuple[str, ...]:
        first, *others = self.tables
        return tuple(name for name in first.columns if all(name in table.columns for table in others))

    def records(self, picked: tuple[int, ...]) -> Iterator[Record]:
        names = [self.columns[index] for index in picked]
        for table in self.tables:
            here = tuple(table.columns.index(name) for name in names)
            yield from table.records(here)
