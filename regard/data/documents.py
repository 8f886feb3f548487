"""Rows as documents: a row each, or lines that follow one another.

It does not know tokens.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from regard.data.rows import Row


def pieces(rows: Iterable[Row]) -> Iterator[tuple[str, bool]]:
    """The text in order, in pieces, and whether a document ends with each. A running text is one document,
    with its line breaks."""
    running = False
    for row in rows:
        running = row.running
        yield row.values[0] + "\n" * (running and row.ends_line), not running
    if running:
        yield "", True
