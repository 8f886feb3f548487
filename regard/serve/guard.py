"""Who may ask: the page that this server gave out, and nobody else.

A page of another site can send requests to a server on one's own machine. Its own name arrives as `Origin`;
with DNS rebinding, which makes that name point here, as `Host`. So both must be ours, and a body must say
that it is JSON, which no form can. Sizes are checked while a body arrives, before memory is taken for it: its
own, and that of all that arrive together.
"""

from __future__ import annotations

import ipaddress
import itertools
import json
from collections.abc import Collection
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit

from starlette.requests import ClientDisconnect
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from regard.serve.bodies import LARGEST_BODY, LARGEST_IMAGE

LARGEST_HEAD = 16_384
"""Bytes of a request before its body."""
NO_REQUEST = "this is no request of HTTP/1.1 with a head of at most 16 kB"
LARGEST_REQUEST = LARGEST_BODY + LARGEST_IMAGE
"""Bytes of a body, whatever the route."""
LARGEST_COURSE = 64_000
"""Bytes of a body for the course, which asks for a few numbers."""
SMALL_BODY = 64_000
"""Bytes that every request may have, however many there are."""
MOST_HELD = 64_000_000
"""Bytes of all larger bodies that are held at one time."""
LOOPBACK = ("127.0.0.1", "localhost", "::1")

_POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self' 'unsafe-inline'; img-src 'self' data: blob:;"
    " connect-src 'self'; font-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)
HEADERS = [
    (b"content-security-policy", _POLICY.encode()),
    (b"x-content-type-options", b"nosniff"),
    (b"x-frame-options", b"DENY"),
    (b"referrer-policy", b"no-referrer"),
    (b"cross-origin-resource-policy", b"same-origin"),
    (b"cache-control", b"no-store"),
]


@dataclass(frozen=True)
class RefusedError(Exception):
    """Why somebody is turned away."""

    status: int
    why: str


class Guard:
    """ASGI middleware; see the module's docstring."""

    def __init__(self, app: ASGIApp, hosts: Collection[str], *, addresses: bool = False) -> None:
        """`hosts`: names, without port, under which the server may be asked. `addresses`: whether any IP
        address is such a name too, which no rebinding can use."""
        self.app, self.hosts, self.addresses = app, {host.lower() for host in hosts}, addresses
        self._held = 0

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            if scope["type"] == "lifespan":
                await self.app(scope, receive, send)
            return
        body = _Body(self, largest(scope["path"]))
        try:
            self.check(scope)
            if scope["method"] == "POST":
                receive = await body.received(receive)
            await self.app(scope, receive, _with_headers(send))
        except RefusedError as refused:
            await _answer(send, refused)
        except ClientDisconnect:
            pass  # while it sent its body, so that nobody is left to be answered
        finally:
            body.free()

    def hold(self, size: int) -> None:
        """Count bytes of a body. Raises: RefusedError where all together are too many."""
        if size > 0 and self._held + size > MOST_HELD:
            raise RefusedError(503, "the server has too many large requests to read; ask again in a moment")
        self._held += size

    def check(self, scope: Scope) -> None:
        """Raises: RefusedError."""
        parts = [scope["raw_path"], scope["query_string"], *itertools.chain(*scope["headers"])]
        if sum(map(len, parts)) > LARGEST_HEAD:  # which came at once: h11 measures what it waits for
            raise RefusedError(400, NO_REQUEST)
        headers: dict[bytes, list[bytes]] = {}
        for name, value in scope["headers"]:
            headers.setdefault(name.lower(), []).append(value)
        hosts = headers.get(b"host", [])
        if len(hosts) != 1 or not self._ours(hosts[0]):
            why = "this server is not asked under that name; open it by the address that it printed"
            raise RefusedError(403, why)
        for origin in headers.get(b"origin", []):
            split = _split(origin.decode("latin-1"))
            if (
                split is None
                or split[0] not in ("http", "https")
                or split[1].encode("latin-1") != hosts[0].lower()
            ):
                raise RefusedError(403, "pages of other sites may not ask this server")
        opened = scope["method"] == "GET" and headers.get(b"sec-fetch-mode") == [b"navigate"]
        if not opened and set(headers.get(b"sec-fetch-site", [])) & {b"cross-site", b"same-site"}:
            raise RefusedError(403, "pages of other sites may not ask this server")
        if scope["method"] == "POST":
            kind = b"".join(headers.get(b"content-type", [])).partition(b";")[0].strip().lower()
            if kind != b"application/json":
                raise RefusedError(415, "a request is JSON, with Content-Type: application/json")
            size, most = headers.get(b"content-length", [b"0"])[0], largest(scope["path"])
            if not size.isdigit() or len(size) > 12 or int(size) > most:
                raise _too_large(most)

    def _ours(self, host: bytes) -> bool:
        parts = _split(f"//{host.decode('latin-1')}")
        if parts is None:
            return False
        name = parts[2]
        if name in self.hosts:
            return True
        try:
            ipaddress.ip_address(name)
        except ValueError:
            return False
        return self.addresses


class _Body:
    """A body of at most so many bytes, as it arrives."""

    def __init__(self, guard: Guard, most: int) -> None:
        self.guard, self.most, self.held = guard, most, 0

    async def received(self, receive: Receive) -> Receive:
        """The whole body, to be received once more. Raises: RefusedError; ClientDisconnect."""
        parts, size, more = [], 0, True
        while more:
            message = await receive()
            if message["type"] != "http.request":
                raise ClientDisconnect
            parts.append(message.get("body", b""))
            size += len(parts[-1])
            more = message.get("more_body", False)
            if size > self.most:
                raise _too_large(self.most)
            self._hold(size)
        body, given = b"".join(parts), False
        parts.clear()

        async def again() -> Message:
            nonlocal given, body
            if given:
                return await receive()
            given, content, body = True, body, b""
            return {"type": "http.request", "body": content, "more_body": False}

        return again

    def _hold(self, size: int) -> None:
        large = max(0, size - SMALL_BODY)
        self.guard.hold(large - self.held)
        self.held = large

    def free(self) -> None:
        self.guard.hold(-self.held)


def largest(path: str) -> int:
    """Bytes that a body for this route may have."""
    return LARGEST_COURSE if path.startswith("/api/course/") else LARGEST_REQUEST


def _split(url: str) -> tuple[str, str, str] | None:
    """Scheme, host with port, and host without; None for what is no URL of a host alone."""
    try:
        parts = urlsplit(url)
        name, _ = parts.hostname, parts.port
    except ValueError:
        return None
    alone = not (parts.path or parts.query or parts.fragment or "@" in parts.netloc)
    return (parts.scheme, parts.netloc.lower(), name.lower()) if name and alone else None


def _too_large(most: int) -> RefusedError:
    return RefusedError(413, f"a request has at most {most:,} bytes")


async def _answer(send: Send, refused: RefusedError) -> None:
    body = json.dumps({"error": refused.why}).encode()
    headers = [(b"content-type", b"application/json"), (b"content-length", str(len(body)).encode())]
    await send({"type": "http.response.start", "status": refused.status, "headers": [*headers, *HEADERS]})
    await send({"type": "http.response.body", "body": body})


def _with_headers(send: Send) -> Send:
    async def sent(message: Any) -> None:
        if message["type"] == "http.response.start":
            known = {name.lower() for name, _ in message["headers"]}
            own = [(name, value) for name, value in HEADERS if name not in known]
            message = {**message, "headers": [*message["headers"], *own]}
        await send(message)

    return sent
