"""How this server is reached: uvicorn, made to wait for nobody for long.

Whoever connects has so long to send the head of a request, so long for its body, and must take what it is
sent at some pace. There are so many connections at most; where they are all taken, the one that has been
silent longest gives way to whoever comes, so that open but idle connections keep nobody out.
"""

from __future__ import annotations

import asyncio
from socket import socket
from typing import Any

import h11
import uvicorn
from uvicorn.protocols.http.h11_impl import H11Protocol

from regard.serve.guard import HEADERS, LARGEST_HEAD, NO_REQUEST
from regard.serve.json_answers import Json

MOST_CONNECTIONS = 128
HEAD_SECONDS = 10.0
"""From the connection, or the answer before, to the end of a request's head."""
REQUEST_SECONDS = 60.0
"""The same, to the end of its body."""
SLOWEST_READER = 2_000
"""Bytes a second of an answer that are taken at least."""
_TICK = 1.0
_PATIENCE = 10
"""Ticks over which a reader's pace is taken."""


class Connection(H11Protocol):
    """One connection; see the module's docstring."""

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(transport)
        self.silent_since = self.loop.time()
        self._unsent: list[int] = []
        self._watch = self.loop.call_later(_TICK, self._tick)
        if len(self.connections) > MOST_CONNECTIONS:
            self._make_room()

    def connection_lost(self, exc: Exception | None) -> None:
        self._watch.cancel()
        super().connection_lost(exc)

    def on_response_complete(self) -> None:
        self.silent_since = self.loop.time()
        super().on_response_complete()

    def shutdown(self) -> None:
        """The server ends: who waits for an answer does so no more, and its work is given up."""
        self.transport.abort()

    def send_400_response(self, msg: str) -> None:
        self._refuse(400, NO_REQUEST)

    @property
    def waits(self) -> bool:
        """Whether it is the client's turn to send."""
        return self.conn.their_state in (h11.IDLE, h11.SEND_BODY)

    def _make_room(self) -> None:
        """Turn away whoever has been silent longest, or, where all are being answered, this one."""
        others = [one for one in self.connections if isinstance(one, Connection) and one.waits]
        oldest = min(others, key=lambda one: one.silent_since)
        oldest._refuse(503, "the server has too many connections; ask again in a moment")

    def _tick(self) -> None:
        self._watch = self.loop.call_later(_TICK, self._tick)
        seconds = self.loop.time() - self.silent_since
        in_head = self.conn.their_state is h11.IDLE
        if self.waits and seconds > (HEAD_SECONDS if in_head else REQUEST_SECONDS):
            self._refuse(408, "the request took too long to arrive")
            return
        unsent = self.transport.get_write_buffer_size()
        self._unsent = [*self._unsent, unsent][-_PATIENCE:] if unsent else []
        taken = self._unsent[0] - unsent if len(self._unsent) == _PATIENCE else None
        if taken is not None and taken < SLOWEST_READER * _TICK * _PATIENCE:
            self.transport.abort()

    def _refuse(self, status: int, why: str) -> None:
        """Say why, where no answer has begun, and close."""
        self.connections.discard(self)
        if (
            self.conn.our_state in (h11.IDLE, h11.SEND_RESPONSE, h11.ERROR)
            and not self.transport.is_closing()
        ):
            answer = Json({"error": why}, headers={**HEADERS, "connection": "close"})
            lines = b"".join(b"%s: %s\r\n" % pair for pair in answer.raw_headers)
            self.transport.write(b"HTTP/1.1 %d \r\n%s\r\n%s" % (status, lines, bytes(answer.body)))
        self.transport.close()
        self.loop.call_later(_TICK, self.transport.abort)  # who does not read it is not waited for


def server(app: Any) -> uvicorn.Server:
    """Ready to be run on a socket that listens."""
    return uvicorn.Server(
        uvicorn.Config(
            app,
            http=Connection,
            ws="none",
            lifespan="off",
            log_level="error",  # a warning for each odd request would let anybody fill a terminal
            access_log=False,
            server_header=False,
            proxy_headers=False,
            h11_max_incomplete_event_size=LARGEST_HEAD,
            backlog=MOST_CONNECTIONS,
        )
    )


def serve(app: Any, listener: socket) -> None:
    """Answer until Ctrl-C."""
    server(app).run(sockets=[listener])
