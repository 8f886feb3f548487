"""An engine in a process of its own, asked in turns with others so that all meet the same machine."""

from __future__ import annotations

import multiprocessing
from collections.abc import Callable
from multiprocessing.connection import Connection
from typing import Any

Serve = Callable[[Connection, str, int], None]
"""What the process does: answers what it is asked, for the engine of that name with so many threads, until it
is asked None."""


class Engine:
    """One engine, ready to be asked."""

    def __init__(self, serve: Serve, name: str, threads: int) -> None:
        context = multiprocessing.get_context("spawn")
        self.name = name
        self.pipe, theirs = context.Pipe()
        self.process = context.Process(target=serve, args=(theirs, name, threads), daemon=True)
        self.process.start()

    def ask(self, what: Any) -> Any:
        """Its answer; none to None, which ends it."""
        self.pipe.send(what)
        return None if what is None else self.pipe.recv()
