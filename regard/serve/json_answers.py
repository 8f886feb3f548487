"""How answers are written: JSON at once, or lines of JSON while a long job is under way."""

from __future__ import annotations

import asyncio
import json
import logging
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any

from fastapi import HTTPException, Response
from fastapi.responses import StreamingResponse
from starlette.requests import ClientDisconnect

from regard.errors import RegardError

LINES = "application/x-ndjson"
"""The media type of lines of JSON, which a client asks for with Accept."""
_TICK = 0.2
"""Seconds between two lines."""
_TERMINAL = logging.getLogger("uvicorn.error")


class Json(Response):
    """JSON whose numbers are finite, and whose texts may be anything."""

    media_type = "application/json"

    def render(self, content: Any) -> bytes:
        text = json.dumps(content, ensure_ascii=False, allow_nan=False, separators=(",", ":"))
        return text.encode("utf-8", "backslashreplace")


def in_progress(
    job: Callable[[Callable[[float], None]], Awaitable[Response]], refused: Callable[[Exception], Response]
) -> Response:
    """`{"progress": 0.25}` again and again, then a line that is the answer, or the sentence for an error.

    `job`: called with what it reports its progress to, from any thread, gives the answer. `refused`: the
    answer for what it raises.
    """

    async def lines() -> AsyncIterator[bytes]:
        done, sent = 0.0, -1.0

        def report(share: float) -> None:
            nonlocal done
            done = share

        under_way = asyncio.ensure_future(job(report))
        try:
            while not under_way.done():
                if done != sent:
                    sent = done
                    yield bytes(Json({"progress": round(sent, 3)}).body) + b"\n"
                await asyncio.wait((under_way,), timeout=_TICK)
            error = under_way.exception()
            answer = refused(error) if isinstance(error, Exception) else under_way.result()
            if error is not None and not isinstance(error, RegardError | HTTPException | ClientDisconnect):
                _TERMINAL.error("a long job failed", exc_info=error)
            yield bytes(answer.body) + b"\n"
        finally:  # a task that is cancelled comes here too
            under_way.cancel()

    return StreamingResponse(lines(), media_type=LINES)
