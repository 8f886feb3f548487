"""How answers are written: JSON at once, or lines of JSON while a long job is under way."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Awaitable, Callable
from typing import Any

from fastapi import HTTPException, Response
from starlette.requests import ClientDisconnect
from starlette.types import Receive, Scope, Send

from regard.errors import RegardError

LINES = "application/x-ndjson"
"""The media type of lines of JSON, which a client asks for with Accept."""
_TICK = 0.2
"""Seconds between two lines."""


class Json(Response):
    """JSON whose numbers are finite, and whose texts may be anything."""

    media_type = "application/json"

    def render(self, content: Any) -> bytes:
        text = json.dumps(content, ensure_ascii=False, allow_nan=False, separators=(",", ":"))
        return text.encode("utf-8", "backslashreplace")


class InProgress(Response):
    """`{"progress": 0.25}` again and again, then a line that is the answer, or the sentence for an error.

    `job`: told how to say how much is done, from any thread, gives the answer. `refused`: the answer for
    what it raises.
    """

    def __init__(
        self,
        job: Callable[[Callable[[float], None]], Awaitable[Response]],
        refused: Callable[[Exception], Response],
    ) -> None:
        super().__init__(media_type=LINES)
        del self.headers["content-length"]
        self.job, self.refused = job, refused

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        done, sent, error = 0.0, -1.0, None

        def told(share: float) -> None:
            nonlocal done
            done = share

        async def line(content: bytes, more: bool) -> None:
            await send({"type": "http.response.body", "body": content + b"\n", "more_body": more})

        job = asyncio.ensure_future(self.job(told))
        await send({"type": "http.response.start", "status": 200, "headers": self.raw_headers})
        try:
            while not job.done():
                if done != sent:
                    sent = done
                    await line(bytes(Json({"progress": round(sent, 3)}).body), True)
                await asyncio.wait((job,), timeout=_TICK)
            try:
                answer = job.result()
            except Exception as problem:
                answer, error = self.refused(problem), problem
            await line(bytes(answer.body), False)
        finally:  # a task that is cancelled comes here too
            job.cancel()
        if error is not None and not isinstance(error, RegardError | HTTPException | ClientDisconnect):
            raise error  # which the terminal shows
