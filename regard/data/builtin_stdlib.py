"""The standard library of the Python that runs, as text: real code, on every machine already.

A file is a document. Tests, tables that programs have written, and what belongs to the machine are left out.
A file's split follows from its path, so it is the same in every version that has the file.
"""

from __future__ import annotations

import sysconfig
import tokenize
from collections.abc import Iterator
from pathlib import Path

from regard.data.rows import Row
from regard.data.splits import held_out

TEST, VALID = 0.05, 0.02
_LEFT_OUT = {
    *("test", "tests", "idle_test", "__pycache__", "site-packages", "dist-packages", "ensurepip"),
    *("encodings", "pydoc_data", "lib2to3", "turtledemo"),
}
_LARGEST = 1 << 20  # bytes of a file; more than any that people wrote


def examples(root: Path | None = None) -> Iterator[tuple[str, Row]]:
    """Each file with its split, named from `root`, by default where the library is. Raises: OSError."""
    root = root or Path(sysconfig.get_path("stdlib"))
    known: set[str] = set()
    for name, path in sorted((path.relative_to(root).as_posix(), path) for path in root.rglob("*.py")):
        written = not path.name.startswith("_sysconfigdata") and _LEFT_OUT.isdisjoint(name.split("/"))
        if not written or not path.is_file() or path.stat().st_size > _LARGEST:
            continue
        try:
            with tokenize.open(path) as file:  # follows what the file says of its encoding
                text = file.read().strip()
        except (SyntaxError, UnicodeDecodeError):
            continue
        if text and text not in known and "\0" not in text:
            known.add(text)
            yield held_out(name, test=TEST, valid=VALID), Row((text,), name)
