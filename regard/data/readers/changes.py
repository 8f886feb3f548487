"""Data that are changed while they are read: what was read then is neither the old nor the new.

Noticed by the sizes and times of the files, before and after each pass, and by a hash of the rows that a pass
gave. This file does not know file formats.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from pathlib import Path

from regard.data.readers.lines import file_errors
from regard.data.rows import Row, Rows
from regard.errors import DataError

State = dict[str, tuple[int, int]]
"""Of each file its size, and its time in nanoseconds."""


def state_of(paths: Iterable[Path]) -> State:
    """What the files are at this moment. Raises: DataError when one cannot be looked at."""
    found: State = {}
    for path in paths:
        with file_errors(path):
            status = path.stat()
        found[str(path)] = (status.st_size, status.st_mtime_ns)
    return found


def unchanged(rows: Rows, now: Callable[[], State]) -> Rows:
    """`rows`, refused where their files have been changed since this was called; `now`: what those are.

    Raises: DataError, while they are read.
    """
    before = now()
    passes: list[int] = []

    def check(digest: int | None = None) -> None:
        state = now()
        changed = [name for name in before.keys() | state.keys() if before.get(name) != state.get(name)]
        if not changed and digest is not None:
            passes.append(digest)
            changed = list(before)[:1] if digest != passes[0] else []
        if changed:
            sentence = "{where} was changed while it was read; start anew with data that stay"
            raise DataError(sentence, min(changed))

    def opened() -> Iterator[Row]:
        check()
        digest = 0
        try:
            for row in rows:
                digest = hash((digest, row.values))
                yield row
        except DataError:
            check()  # what looks broken may have been half written
            raise
        check(digest)

    return Rows(opened)
