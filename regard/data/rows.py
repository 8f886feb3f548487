"""What every reader gives: rows of values with the place they came from, and a count of what was left out.

`Rows` is a stream that can be read again and again; it holds a way to open the data, never the data, so a
file of any size costs the memory of one row. This file does not know file formats, tokens or models.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from regard.data.splits import SPLIT_OF
from regard.errors import DataError, nearest

PLACES = 3
"""How many places a report names for each reason."""


@dataclass(frozen=True, slots=True)
class Row:
    """One example: a value a column, and `where` it was read, such as `pairs.tsv:17`."""

    values: tuple[Any, ...]
    """Texts, or what the form of a column makes of its cells (`readers.forms`)."""
    where: str
    running: bool = False
    """Whether it is a line of a running text, with which the next row goes on."""
    ends_line: bool = True
    """Whether a line break follows; of a running text's long line there are several rows."""


class Rows:
    """A stream of `Row` that starts anew with each `iter()`.

    Reading may raise DataError: the files are only read while the rows are.
    """

    __slots__ = ("_open",)

    def __init__(self, opener: Callable[[], Iterator[Row]]) -> None:
        self._open = opener

    @classmethod
    def of(cls, rows: Sequence[Row]) -> Rows:
        """The stream of rows that are in memory already."""
        return cls(lambda: iter(rows))

    def __iter__(self) -> Iterator[Row]:
        return self._open()

    def count(self) -> int:
        """The number of rows, found by reading all of them."""
        return sum(1 for _ in self)


@dataclass(slots=True)
class Tally:
    """One pass over one file: `read == kept + sum of skipped`."""

    read: int = 0
    kept: int = 0
    skipped: Counter[str] = field(default_factory=Counter)
    """How many rows were left out, by reason."""
    places: defaultdict[str, list[str]] = field(default_factory=lambda: defaultdict(list))
    """The first few places of each reason."""
    complete: bool = False
    """Whether the pass reached the end of the file."""

    def keep(self) -> None:
        self.read += 1
        self.kept += 1

    def skip(self, reason: str, where: str) -> None:
        self.read += 1
        self.skipped[reason] += 1
        if self.skipped[reason] <= PLACES:
            self.places[reason].append(where)


@dataclass(slots=True)
class Report:
    """What was read, kept and skipped, so that nothing is dropped silently. `str(report)` is for people.

    The counts are of the last complete pass over each file; while none is complete, of the pass under way.
    A file that is shared by several splits is counted once.
    """

    tallies: dict[str, Tally] = field(default_factory=dict)
    """By file; running text that is cut in parts has one for each part."""
    notes: list[str] = field(default_factory=list)
    """What was decided for the user: how the file was split, which line was taken as header."""

    def begin(self, label: str) -> Tally:
        """A fresh tally for a new pass over the file `label`."""
        tally = Tally()
        shown = self.tallies.get(label)
        if shown is None or not shown.complete:
            self.tallies[label] = tally
        return tally

    def finish(self, label: str, tally: Tally) -> None:
        """The pass came to the end: its counts are now those of the file."""
        tally.complete = True
        self.tallies[label] = tally

    @property
    def read(self) -> int:
        return sum(tally.read for tally in self.tallies.values())

    @property
    def kept(self) -> int:
        return sum(tally.kept for tally in self.tallies.values())

    @property
    def skipped(self) -> dict[str, int]:
        """How many rows were left out of all files, by reason."""
        return sum((tally.skipped for tally in self.tallies.values()), Counter[str]())

    def places(self, reason: str) -> list[str]:
        """The first few places where rows were left out for `reason`."""
        found = [place for tally in self.tallies.values() for place in tally.places.get(reason, ())]
        return found[:PLACES]

    def __str__(self) -> str:
        skipped = self.skipped
        line = f"rows read {self.read:,}, kept {self.kept:,}, skipped {sum(skipped.values()):,}"
        if skipped:
            line += f" ({'; '.join(self._reason(reason, count) for reason, count in skipped.items())})"
        return "\n".join([line, "; ".join(self.notes)] if self.notes else [line])

    def _reason(self, reason: str, count: int) -> str:
        places = self.places(reason)
        more = ", …" if count > len(places) else ""
        return f"{reason} {count:,}: {', '.join(places)}{more}"


@dataclass(frozen=True)
class KnownSet:
    """A data set that has a name: what people are told of it before it is opened."""

    name: str
    title: str
    size: str
    columns: tuple[str, ...]
    """In the order in which its figures were published; none when it is not made of text columns."""
    licence: str
    source: str
    split: str
    """How it is divided."""


@dataclass(frozen=True, slots=True)
class DataSet:
    """Data that was opened: its splits in the order train, valid, test (those that there are)."""

    name: str
    splits: Mapping[str, Rows]
    columns: tuple[str, ...]
    """The names of the values of each row."""
    report: Report
    licence: str | None = None
    source: str | None = None
    fingerprint: str = ""
    """Changes when the files, the columns or the way they are split change: a key for caches."""

    def split(self, name: str) -> Rows:
        """The rows of one split, also by another name of it, such as `dev` for `valid`. Raises DataError when
        there is no such split."""
        name = name if name in self.splits else SPLIT_OF.get(name, name)
        if name not in self.splits:
            known = ", ".join(self.splits)
            sentence = "{where} has no split '{key}', only {limit}"
            raise DataError(sentence, self.name, name, known, remedy=nearest(name, self.splits))
        return self.splits[name]
