"""Tables as data-set hubs have translations: an object by language in one column, here a column each.

    {"id": "7", "translation": {"en": "two dogs", "de": "zwei Hunde"}}

It does not know the form of the table, nor which languages are wanted.
"""

from __future__ import annotations

from collections.abc import Iterator
from itertools import islice
from pathlib import Path

from regard.data.readers.columns import Wanted
from regard.data.readers.lines import Problem
from regard.data.readers.tables import LOOKED_AT, ObjectTable, Table

_COLUMN = "translation"


def by_language(table: Table, wanted: Wanted) -> Table:
    """The table of its translations, where it has some and two columns are wanted that it has not itself;
    else the table. Raises: DataError where it cannot be read."""
    asked = [name for name in wanted if name is not None]
    if len(wanted) != 2 or _COLUMN not in table.columns or any(name in table.columns for name in asked):
        return table
    first = (texts for _, texts in islice(_objects(table), LOOKED_AT) if isinstance(texts, dict))
    found = next(first, None)
    if found is None:
        return table
    return ObjectTable(Path(table.label), tuple(found), lambda _: _objects(table))


def _objects(table: Table) -> Iterator[tuple[str, dict[str, object] | Problem]]:
    for where, record in table.records((table.columns.index(_COLUMN),)):
        if isinstance(record, Problem):
            yield where, record
        elif isinstance(record[0], dict):
            yield where, record[0]
        else:
            yield where, Problem("no translation", f"'{_COLUMN}' must be an object by language")
