"""What a command that trains says when Ctrl-C has ended it."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from regard.errors import RegardError


class StoppedError(RegardError):
    """Ctrl-C, and there is something to go on with."""

    exit_status = 130


@contextmanager
def resumable(out: Path) -> Iterator[None]:
    """A training into `out`. Raises: StoppedError after Ctrl-C, if that left what can be resumed."""
    from regard.training.folder import STATE

    try:
        yield
    except KeyboardInterrupt as stop:
        if not (out / STATE).is_dir():
            raise
        sentence = "stopped; go on with the same command and --resume (state is in {where})"
        raise StoppedError(sentence, out) from stop
