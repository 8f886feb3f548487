"""Processes that decode the references of a store ahead of their use.

What is decoded follows from seed, epoch and example alone (`store.decode_all`), so it is the same to the bit
however many processes there are, and with none. They load no torch. This file does not know what is decoded.
"""

from __future__ import annotations

import os
import signal
from collections import deque
from collections.abc import Iterable, Iterator
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager
from multiprocessing import get_context, parent_process
from multiprocessing.process import BaseProcess
from threading import Thread

import numpy as np
from numpy.typing import NDArray

from regard.data.store import ExampleStore, decode_all
from regard.errors import RegardError

_AHEAD = 2  # batches for each process
Step = tuple[int, NDArray[np.int64]]
"""An epoch, and the rows of a batch."""


class Loader:
    """`workers` processes that decode for a store, ended with the block; with 0 it is done in this one."""

    def __init__(self, store: ExampleStore, workers: int) -> None:
        self._store, self._workers = store, workers
        self._pool: ProcessPoolExecutor | None = None

    def __enter__(self) -> Loader:
        if self._workers:
            self._pool = ProcessPoolExecutor(self._workers, get_context("spawn"), _follow_parent)
        return self

    def __exit__(self, *error: object) -> None:
        if self._pool is not None:
            self._pool.shutdown(wait=True, cancel_futures=True)
        self._store.ready.clear()

    def ahead(self, steps: Iterable[Step]) -> Iterator[Step]:
        """The same steps, each when what it needs is decoded.

        Raises:
            DataError: what a reference names cannot be decoded.
            RegardError: a process has died.
        """
        if self._pool is None:
            yield from steps
            return
        waiting = deque[Step]()
        try:
            for step in steps:
                waiting.append(step)
                self._submit(self._pool, *step)
                if len(waiting) > _AHEAD * self._workers:
                    yield self._first(waiting)
            while waiting:
                yield self._first(waiting)
        except BrokenProcessPool as error:
            rows = waiting[0][1]
            first = self._store.references(rows[:1], self._store.referring[0].name)[0]
            sentence = (
                "a process that decoded {value} files, beginning with {where}, has died; give it more memory,"
                " or fewer --workers (a program that trains needs `if __name__ == '__main__':`)"
            )
            raise RegardError(sentence, len(rows), first) from error

    def _submit(self, pool: ProcessPoolExecutor, epoch: int, rows: NDArray[np.int64]) -> None:
        for field in self._store.referring:
            references = self._store.references(rows, field.name)
            with _interrupts_blocked():
                decoding = pool.submit(decode_all, field, references, self._store.seed, epoch, rows)
            self._store.ready[field.name, epoch, rows.tobytes()] = decoding

    def _first(self, waiting: deque[Step]) -> Step:
        """The next step, taken off once it is decoded."""
        epoch, rows = waiting[0]
        for field in self._store.referring:
            self._store.ready[field.name, epoch, rows.tobytes()].result()
        return waiting.popleft()


@contextmanager
def _interrupts_blocked() -> Iterator[None]:
    """Processes that begin here leave Ctrl-C to this one, which ends them when it is done."""
    if not hasattr(signal, "pthread_sigmask"):
        yield
        return
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def _follow_parent() -> None:
    """Leave interrupts to the process that began this one, and end with it, even if it is killed."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    parent = parent_process()
    assert parent is not None
    Thread(target=_end_after, args=(parent,), daemon=True).start()


def _end_after(parent: BaseProcess) -> None:
    parent.join()
    os._exit(1)
