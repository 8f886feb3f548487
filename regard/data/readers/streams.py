"""From records to rows: what is broken is refused or counted, what is left is shared out to the splits.

It does not know file formats.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from functools import partial
from operator import itemgetter
from typing import Any, Literal

from regard.data.readers.forms import Cell, Form
from regard.data.readers.lines import Problem
from regard.data.readers.plain import TextFile
from regard.data.readers.reader import usual_forms
from regard.data.readers.tables import Table
from regard.data.rows import Report, Row, Rows
from regard.data.splits import Chooser, choose_by_hash, contiguous_bounds
from regard.errors import DataError, no_data

OnError = Literal["refuse", "skip"]
Forms = tuple[Form | None, ...]
"""What columns hold, in the order in which they were asked for; None for text."""


@dataclass(frozen=True)
class Reading:
    """How the files of one data set are read: what to do with broken rows, where to count them, and what the
    picked columns hold."""

    on_error: OnError
    report: Report
    forms: Forms = ()
    key: tuple[int, ...] = (0,)
    """Which of the picked columns say in which split a row is: rows that are alike in them are in one."""


def split_table(
    table: Table, picked: tuple[int, ...], shares: Mapping[str, float], reading: Reading
) -> dict[str, Rows]:
    """The rows of a table in one or more splits, by a hash of the key."""
    choosers = dict.fromkeys(shares) if len(shares) == 1 else choose_by_hash(shares)
    return split_by(table, picked, choosers, reading)


def split_by(
    table: Table, picked: tuple[int, ...], choosers: Mapping[str, Chooser | None], reading: Reading
) -> dict[str, Rows]:
    """The rows of a table in splits, each with what chooses by the key; None takes all."""
    names = tuple(table.columns[index] for index in picked)
    given = (*reading.forms, *[None] * (len(picked) - len(reading.forms)))
    forms = tuple(form or usual for form, usual in zip(given, usual_forms(names), strict=True))

    def rows(chosen: Chooser | None) -> Iterator[Row]:
        records = ((where, _row_of(where, values, names, forms)) for where, values in table.records(picked))
        return _sound(records, table.label, reading, chosen=chosen)

    return {split: Rows(partial(rows, chosen)) for split, chosen in choosers.items()}


def split_text(text: TextFile, shares: Mapping[str, float], reading: Reading) -> dict[str, Rows]:
    """The lines of a running text in one or more splits that follow one another. Raises: DataError when all
    are blank."""
    if text.is_blank():
        raise no_data(text.path, "holds no text, only blank lines")

    def rows(split: str) -> Iterator[Row]:
        begin, end = contiguous_bounds(shares, text.size())[split]
        part = len(shares) > 1
        label = f"{text.path} ({split})" if part else str(text.path)
        return _sound(text.records(begin, end), label, reading, part=part)

    return {split: Rows(partial(rows, split)) for split in shares}


def _row_of(
    where: str, values: tuple[Cell, ...] | Problem, names: tuple[str, ...], forms: Forms
) -> Row | Problem:
    """A record as values, or the `Problem` that it has: a value that is empty, or not of its form."""
    if isinstance(values, Problem):
        return values
    row: list[Any] = []
    for name, cell, form in zip(names, values, forms, strict=True):
        value: object = cell
        if form is not None and (cell != "" or form.takes_empty):
            value = form.text(cell, row)
        elif not isinstance(cell, str):
            value = Problem("not text", f"a {type(cell).__name__}")
        if isinstance(value, Problem):
            return value
        if isinstance(value, str) and (not value or value.isspace()):
            return Problem(f"empty {name}")
        row.append(value)
    return Row(tuple(row), where)


def _sound(
    records: Iterable[tuple[str, Row | Problem]],
    label: str,
    reading: Reading,
    *,
    chosen: Chooser | None = None,
    part: bool = False,
) -> Iterator[Row]:
    """The rows that can be used and are `chosen`; all that can be used are counted.

    A `part` of a short text may hold no line.

    Raises:
        DataError: at the first row that is refused, or at the end when there was none to use.
    """
    tally, key = reading.report.begin(label), itemgetter(*reading.key)
    for where, row in records:
        if not isinstance(row, Problem):
            tally.keep()
            if chosen is None or chosen(str(key(row.values))):
                yield row
        elif row.harmless or reading.on_error == "skip":
            tally.skip(row.reason, where)
        else:
            sentence = "{where}: {value}; mend it, or leave out such rows with --on-error skip"
            raise DataError(sentence, where, row)
    reading.report.finish(label, tally)
    if tally.kept == 0 and (tally.read > 0 or not part):
        why = "; ".join(f"{reason}: {count}" for reason, count in tally.skipped.items())
        raise no_data(label, "holds no usable row" + (f" ({why})" if why else ""))
