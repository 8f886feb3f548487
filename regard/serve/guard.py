"""Who may ask: the page that this server gave out, and nobody else.

A page of another site can send requests to a server on one's own machine. Its own name arrives as `Origin`;
with DNS rebinding, which makes that name point here, as `Host`. So both must be ours, and a body must say
that it is JSON, which no form can. Sizes are checked while a body arrives, before memory is taken for it: its
own, and that of all that arrive together.
"""

from __future__ import annotations

import ipaddress
import itertools
from collections.abc import Collection
from urllib.parse import urlsplit

from starlette.datastructures import Headers, MutableHeaders
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect, Request
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from regard.serve.bodies import BODY, LARGEST_BODY, LARGEST_IMAGE
from regard.serve.json_answers import Json

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
HEADERS = {
    "content-security-policy": _POLICY,
    "x-content-type-options": "nosniff",
    "x-frame-options": "DENY",
    "referrer-policy": "no-referrer",
    "cross-origin-resource-policy": "same-origin",
    "cache-control": "no-store",
}
_HELD = "regard.held"
"""In a request's scope: how many bytes of its body are counted."""


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
        send = _with_headers(send)
        try:
            self.check(scope)
            if scope["method"] == "POST":
                scope[BODY] = await self._body(scope, receive)
            await self.app(scope, receive, send)
        except HTTPException as refused:
            await Json({"error": refused.detail}, refused.status_code)(scope, receive, send)
        except ClientDisconnect:
            pass  # while it sent its body, so that nobody is left to be answered
        finally:
            self._hold(scope, 0)

    async def _body(self, scope: Scope, receive: Receive) -> bytes:
        """The whole body. Raises: HTTPException where it, or all of them, are too large; ClientDisconnect."""
        parts, size, most = [], 0, largest(scope["path"])
        async for part in Request(scope, receive).stream():
            parts.append(part)
            size += len(part)
            if size > most:
                raise _too_large(most)
            self._hold(scope, max(0, size - SMALL_BODY))
        return b"".join(parts)

    def _hold(self, scope: Scope, size: int) -> None:
        """Count so many bytes of a body. Raises: HTTPException where all together are too many."""
        more = size - scope.get(_HELD, 0)
        if more > 0 and self._held + more > MOST_HELD:
            raise HTTPException(503, "the server has too many large requests to read; ask again in a moment")
        self._held += more
        scope[_HELD] = size

    def check(self, scope: Scope) -> None:
        """Raises: HTTPException, which says why somebody is turned away."""
        parts = [scope["raw_path"], scope["query_string"], *itertools.chain(*scope["headers"])]
        if sum(map(len, parts)) > LARGEST_HEAD:  # which came at once: h11 measures what it waits for
            raise HTTPException(400, NO_REQUEST)
        headers = Headers(scope=scope)
        hosts = headers.getlist("host")
        if len(hosts) != 1 or not self._ours(hosts[0]):
            why = "this server is not asked under that name; open it by the address that it printed"
            raise HTTPException(403, why)
        own = [(scheme, hosts[0].lower()) for scheme in ("http", "https")]
        others = any((_split(origin) or ())[:2] not in own for origin in headers.getlist("origin"))
        opened = scope["method"] == "GET" and headers.getlist("sec-fetch-mode") == ["navigate"]
        if others or (not opened and {"cross-site", "same-site"} & {*headers.getlist("sec-fetch-site")}):
            raise HTTPException(403, "pages of other sites may not ask this server")
        if scope["method"] == "POST":
            kind = "".join(headers.getlist("content-type")).partition(";")[0].strip().lower()
            if kind != "application/json":
                raise HTTPException(415, "a request is JSON, with Content-Type: application/json")
            size, most = headers.get("content-length", "0"), largest(scope["path"])
            if not size.isdecimal() or len(size) > 12 or int(size) > most:
                raise _too_large(most)

    def _ours(self, host: str) -> bool:
        parts = _split(f"//{host}")
        if parts is None or parts[2] in self.hosts:
            return parts is not None
        try:
            ipaddress.ip_address(parts[2])
        except ValueError:
            return False
        return self.addresses


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


def _too_large(most: int) -> HTTPException:
    return HTTPException(413, f"a request has at most {most:,} bytes")


def _with_headers(send: Send) -> Send:
    async def sent(message: Message) -> None:
        if message["type"] == "http.response.start":
            headers = MutableHeaders(scope=message)
            for name, value in HEADERS.items():
                headers.setdefault(name, value)
        await send(message)

    return sent
