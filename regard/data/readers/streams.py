"""From records to rows: what is broken is refused or counted, what is left is shared out to the splits.

It does not know file formats.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Literal, TypeVar

from regard.data.readers.lines import Problem
from regard.data.readers.plain import TextFile
from regard.data.readers.tables import Record, Table
from regard.data.rows import Report, Row, Rows
from regard.data.splits import Chooser, choose_by_hash, contiguous_bounds
from regard.errors import DataError

__all__ = ["OnError", "Reading", "split_by", "split_table", "split_text"]

OnError = Literal["refuse", "skip"]
Part = TypeVar("Part")


@dataclass(frozen=True)
class Reading:
    """How the files of one data set are read: what to do with broken rows, and where to count them."""

    on_error: OnError
    report: Report


def split_table(
    table: Table, picked: tuple[int, ...], shares: Mapping[str, float], reading: Reading
) -> dict[str, Rows]:
    """The rows of a table in one or more splits, by a hash of the first picked column."""
    return split_by(
        table, picked, dict.fromkeys(shares) if len(shares) == 1 else choose_by_hash(shares), reading
    )


def split_by(
    table: Table, picked: tuple[int, ...], choosers: Mapping[str, Chooser | None], reading: Reading
) -> dict[str, Rows]:
    """The rows of a table in splits, each with what chooses by the first picked column; None takes all."""
    names = tuple(table.columns[index] for index in picked)

    def rows(chosen: Chooser | None) -> Iterator[Row]:
        records = _without_empty(table.records(picked), names)
        return _sound(records, table.label, reading, chosen=chosen)

    return {split: _rows_of(rows, chosen) for split, chosen in choosers.items()}


def split_text(text: TextFile, shares: Mapping[str, float], reading: Reading) -> dict[str, Rows]:
    """The lines of a running text in one or more splits that follow one another."""

    def rows(split: str) -> Iterator[Row]:
        begin, end = contiguous_bounds(shares, text.size())[split]
        part = len(shares) > 1
        label = f"{text.path} ({split})" if part else str(text.path)
        for row in _sound(text.records(begin, end), label, reading, part=part):
            yield Row(row.values, row.where, running=True)

    return {split: _rows_of(rows, split) for split in shares}


def _rows_of(rows: Callable[[Part], Iterator[Row]], part: Part) -> Rows:
    """`Rows` bound to this very part: a lambda in a comprehension would see only the last one."""
    return Rows(lambda: rows(part))


def _without_empty(records: Iterable[Record], names: tuple[str, ...]) -> Iterator[Record]:
    """The records, with a `Problem` in place of those of which a side is empty."""
    for where, values in records:
        if not isinstance(values, Problem):
            for name, value in zip(names, values, strict=True):
                if not value or value.isspace():
                    values = Problem(f"empty {name}")
                    break
        yield where, values


def _sound(
    records: Iterable[Record],
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
    tally = reading.report.begin(label)
    for where, values in records:
        if not isinstance(values, Problem):
            tally.keep()
            if chosen is None or chosen(values[0]):
                yield Row(values, where)
        elif values.harmless or reading.on_error == "skip":
            tally.skip(values.reason, where)
        else:
            raise DataError(f"{where}: {values}; mend it, or leave out such rows with --on-error skip")
    reading.report.finish(label, tally)
    if tally.kept == 0 and (tally.read > 0 or not part):
        why = "; ".join(f"{reason}: {count}" for reason, count in tally.skipped.items())
        raise DataError(
            f"{label} holds no usable row" + (f" ({why})" if why else "") + "; give a file with data"
        )
