"""Lines of text from a file or standard input, checked as they come."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import nullcontext
from pathlib import Path

from regard.data.readers.lines import Problem, lines_in
from regard.errors import DataError, reading


def lines_of(path: Path | None) -> Iterator[str]:
    """The lines of `path`, or of standard input, without their ends.

    Raises: DataError naming file and line for what is not text.
    """
    name = "standard input" if path is None else str(path)
    with reading(DataError, name), nullcontext(sys.stdin.buffer) if path is None else path.open("rb") as file:
        for number, _, content in lines_in(file, name):
            if isinstance(content, Problem):
                raise DataError("{where}: {value}; give a text file", f"{name}:{number}", content)
            yield content
