"""Where questions are answered: in threads, beside the event loop, which only reads and writes.

Each kind of work (a model's, the course's, reading requests) has a queue of its own that does one job at a
time, so that what a job takes in memory is taken once. Queues are bounded: who comes to a full one is told to
come again. A job whose client has gone away leaves its queue, or is stopped where it reports its progress.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from threading import Event, Lock
from typing import TypeVar

from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect
from starlette.types import Receive

from regard.insight.progress import on_progress

LONGEST_QUEUE = 32
"""Jobs, that which is being done included."""

T = TypeVar("T")


class JobQueue:
    """Jobs that are done one after the other, in the order that they came."""

    def __init__(self, name: str, longest: int = LONGEST_QUEUE) -> None:
        self.longest, self._count, self._lock = longest, 0, Lock()
        self._pool = ThreadPoolExecutor(1, thread_name_prefix=f"regard-{name}")

    async def run(
        self, receive: Receive, job: Callable[[], T], report: Callable[[float], None] = lambda share: None
    ) -> T:
        """What `job` returns, or raises. `receive`: of a request whose body was read, to hear whether its
        client is still there. `report`: hears, in the job's thread, how much is done.

        Raises: HTTPException where there is too much to do; ClientDisconnect when the client has gone away.
        """
        stopped = Event()

        def heard(share: float | None) -> None:
            if stopped.is_set():
                raise ClientDisconnect
            if share is not None:
                report(share)

        def work() -> T:
            with on_progress(heard):
                return job()

        found = asyncio.wrap_future(self._submitted(work))
        gone = asyncio.ensure_future(_gone(receive))
        try:
            await asyncio.wait((found, gone), return_when=asyncio.FIRST_COMPLETED)
            if not found.done():
                raise ClientDisconnect
            return found.result()
        finally:  # a task that is cancelled comes here too
            stopped.set()
            found.cancel()
            gone.cancel()

    def _submitted(self, work: Callable[[], T]) -> Future[T]:
        with self._lock:
            if self._count >= self.longest:
                why = "the server has too much to do; ask again in a moment"
                raise HTTPException(503, why, {"Retry-After": "1"})
            self._count += 1
        future = self._pool.submit(work)
        future.add_done_callback(self._left)
        return future

    def _left(self, future: Future[T]) -> None:
        with self._lock:
            self._count -= 1


async def _gone(receive: Receive) -> None:
    while (await receive())["type"] != "http.disconnect":
        pass
