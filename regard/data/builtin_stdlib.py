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


def files(root: Path | None = None) -> Iterator[Path]:
    """The files in order, relative to `root`, by default where the library is."""
    root = root or Path(sysconfig.get_path("stdlib"))
    for path in sorted(root.rglob("*.py"), key=lambda path: path.relative_to(root).as_posix()):
        inside = path.relative_to(root)
        written = not path.name.startswith("_sysconfigdata") and _LEFT_OUT.isdisjoint(inside.parts)
        if written and path.is_file() and path.stat().st_size <= _LARGEST:
            yield inside


def examples(root: Path | None = None) -> Iterator[tuple[str, Row]]:
    """Each file with its split. Raises: OSError."""
    root = root or Path(sysconfig.get_path("stdlib"))
    known: set[str] = set()
    for path in files(root):
        try:
            with tokenize.open(root / path) as file:  # heeds what the file says of its encoding
                text = file.read().strip()
        except (SyntaxError, UnicodeDecodeError):
            continue
        if text and text not in known and "\0" not in text:
            known.add(text)
            name = path.as_posix()
            yield held_out(name, test=TEST, valid=VALID), Row((text,), name)
