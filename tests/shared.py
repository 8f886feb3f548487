"""What tests of several folders need: things that are made once for all processes, and what is refused."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from filelock import FileLock

from regard.errors import RegardError


def made_once(factory: pytest.TempPathFactory, name: str, make: Callable[[Path], object]) -> Path:
    """This process's own copy of the folder that `make` fills."""
    root = factory.getbasetemp()
    if "PYTEST_XDIST_WORKER" in os.environ:
        root = root.parent  # that of all processes of this session
    folder, done = root / name, root / f"{name}.done"
    with FileLock(root / f"{name}.lock"):
        if not done.exists():
            shutil.rmtree(folder, ignore_errors=True)  # of one that failed
            folder.mkdir()
            make(folder)
            done.touch()
    return shutil.copytree(folder, factory.mktemp(name) / name)


@contextmanager
def refused(kind: type[RegardError], **parts: object) -> Iterator[pytest.ExceptionInfo[RegardError]]:
    """The block raises `kind` with these parts: where, key, value, limit, remedy or what else it names.

    A text is to be found in the text of the part; anything else is equal to the part; None: it is not there.
    """
    with pytest.raises(kind) as caught:
        yield caught
    found = {**caught.value.parts, "remedy": caught.value.remedy}
    for name, part in parts.items():
        actual = found.get(name)
        same = part in str(actual) if isinstance(part, str) and actual is not None else actual == part
        assert same, f"{name} is {actual!r}, not {part!r}, in: {caught.value}"
