"""Tables as data-set hubs have translations: an object by language in one column, here a column each.

    {"id": "7", "translation": {"en": "two dogs", "de": "zwei Hunde"}}

It does not know the form of the table, nor which languages are wanted.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import islice

from regard.data.readers.columns import Wanted
from regard.data.readers.lines import Problem
from regard.data.readers.tables import Record, Table, values_of

__all__ = ["TranslationTable", "by_language"]

_COLUMN = "translation"
_LOOKED_AT = 1000
"""Rows among which the first sound one is looked for."""


@dataclass(frozen=True)
class TranslationTable:
    """The texts in the column of a table that holds them by language."""

    table: Table
    columns: tuple[str, ...]
    """The languages, as the first sound row has them."""

    @property
    def label(self) -> str:
        return self.table.label

    def records(self, picked: tuple[int, ...]) -> Iterator[Record]:
        names = [self.columns[index] for index in picked]
        for where, texts in _objects(self.table):
            yield where, values_of(texts, names)


def by_language(table: Table, wanted: Wanted) -> Table:
    """The table of its translations, where it has some and two columns are wanted that it has not itself;
    else the table. Raises: DataError where it cannot be read."""
    asked = [name for name in wanted if name is not None]
    if len(wanted) != 2 or _COLUMN not in table.columns or any(name in table.columns for name in asked):
        return table
    first = (texts for _, texts in islice(_objects(table), _LOOKED_AT) if isinstance(texts, dict))
    found = next(first, None)
    return table if found is None else TranslationTable(table, tuple(found))


def _objects(table: Table) -> Iterator[tuple[str, dict[str, object] | Problem]]:
    for where, record in table.records((table.columns.index(_COLUMN),)):
        if isinstance(record, Problem):
            yield where, record
        elif isinstance(record[0], dict):
            yield where, record[0]
        else:
            yield where, Problem("no translation", f"'{_COLUMN}' must be an object by language")
