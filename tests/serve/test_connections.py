"""A server on a real socket: nobody who dawdles, floods or goes away keeps another from being answered."""

from __future__ import annotations

import http.client
import json
import socket
import threading
import time
from collections.abc import Iterator
from contextlib import closing
from typing import Any
from urllib.parse import urlsplit

import pytest
from browsing import served

from regard.insight.progress import progressed
from regard.insight.worked import Computed, Example, Words
from regard.serve import connections, guard, jobs
from regard.serve.app import create_app

JSON = {"Content-Type": "application/json"}
WORDS = Words("waits", "等")
PROMPT = 5.0
"""Seconds, of what takes a fiftieth: this machine may be busy."""


class Waiting:
    """A worked example that is computed until it is told to end, or given up."""

    def __init__(self) -> None:
        self.begun, self.end, self.ended = threading.Event(), threading.Event(), threading.Event()

    def make(self) -> Computed:
        self.begun.set()
        try:
            for step in range(3000):
                progressed(min(1.0, step / 10))
                if self.end.wait(0.01):
                    break
        finally:
            self.ended.set()
        return (), ()


@pytest.fixture
def waiting() -> Waiting:
    return Waiting()


@pytest.fixture
def where(waiting: Waiting) -> Iterator[tuple[str, int]]:
    quick = Example("quick", WORDS, WORDS, lambda: ((), ()))
    course = {"quick": quick, "waits": Example("waits", WORDS, WORDS, waiting.make)}
    with served(create_app({}, course=course)) as address:
        parts = urlsplit(address)
        assert parts.hostname
        assert parts.port
        yield parts.hostname, parts.port
        waiting.end.set()


def asked(where: tuple[str, int], method: str, path: str, body: Any = None, **headers: str) -> Any:
    """(status, body) of one request."""
    with closing(http.client.HTTPConnection(*where, timeout=30)) as client:
        client.request(method, path, body, {**JSON, **headers})
        answer = client.getresponse()
        return answer.status, answer.read()


def head(where: tuple[str, int], *lines: str, method: str = "POST", path: str = "/api/course/quick") -> bytes:
    kind = "Content-Type: application/json"
    return "\r\n".join((f"{method} {path} HTTP/1.1", f"Host: {where[0]}:{where[1]}", kind, *lines)).encode()


def raw(where: tuple[str, int], data: bytes) -> bytes:
    """All that is answered to some bytes, until the server closes."""
    with closing(socket.create_connection(where, timeout=30)) as client:
        client.sendall(data)
        return b"".join(iter(lambda: client.recv(65536), b""))


# ---------------------------------------------------------------------- hostile bodies


def hostile() -> dict[str, bytes]:
    size = 980_000
    many = b",".join(b'"k%d":1' % number for number in range(size // 11))
    state = b'{"model":"x","input":{"kind":"text","text":"a"},'
    return {
        "unknown keys": b"{" + many + b"}",
        "lists": state + b'"forced":[' + b",".join([b"[]"] * (size // 3)) + b"]}",
        "objects": state + b'"forced":[' + b",".join([b"{}"] * (size // 3)) + b"]}",
        "heads": state + b'"heads_off":[' + b",".join([b"[0,0,0,0]"] * 4096) + b"]}",
        "unknown keys of each edit": state
        + b'"edits":['
        + b",".join([b"{" + b",".join(b'"k%d":1' % n for n in range(60)) + b"}"] * 64)
        + b"]}",
        "deep lists": b"[" * size,
        "deep objects": b'{"a":' * (size // 5),
        "digits": state + b'"beam":' + b"9" * size + b"}",
        "one key again and again": b"{" + b",".join([b'"model":1'] * (size // 10)) + b"}",
        "a long text": state[:-1] + b',"shuffle":"' + b"a" * size + b'"}',
        "escapes": b'{"model":"' + b"\\u0000" * (size // 6) + b'"}',
        "spaces": b" " * size,
        "an image that is none": b'{"model":"x","input":{"kind":"image","data":"data:image/png;base64,'
        + b"A" * 5_900_000
        + b'"}}',
    }


@pytest.mark.parametrize("name", hostile())
def test_others_are_answered_while_a_hostile_body_is_read(name: str, where: tuple[str, int]) -> None:
    body, done, answers = hostile()[name], threading.Event(), list[Any]()

    def attack() -> None:
        for _ in range(3):
            answers.append(asked(where, "POST", "/api/predict", body))
        done.set()

    thread = threading.Thread(target=attack)
    thread.start()
    slowest = 0.0
    while not done.wait(0.01):
        began = time.monotonic()
        assert asked(where, "GET", "/assets/look.css")[0] == 200
        slowest = max(slowest, time.monotonic() - began)
    thread.join()
    assert slowest < PROMPT
    for status, said in answers:
        assert status in (400, 413, 422)
        assert list(json.loads(said)) == ["error"]
        assert len(said) < 1000


def test_a_body_is_as_large_as_its_route_needs(where: tuple[str, int]) -> None:
    for path, size in (
        ("/api/course/quick", 64_001),
        ("/api/predict", 1_000_001),
        ("/api/predict", 7_000_001),
    ):
        assert asked(where, "POST", path, b" " * size)[0] == 413
    assert asked(where, "POST", "/api/course/quick", b"{}" + b" " * 63_000)[0] == 200


def test_large_bodies_share_a_bounded_memory(where: tuple[str, int], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(guard, "MOST_HELD", 300_000)
    large = b" " * 250_000
    with closing(socket.create_connection(where, timeout=30)) as client:
        client.sendall(head(where, "Content-Length: 250001", path="/api/predict") + b"\r\n\r\n" + large)
        until(lambda: asked(where, "POST", "/api/predict", large)[0] == 503)
        assert asked(where, "POST", "/api/course/quick", b"{}")[0] == 200
    until(lambda: asked(where, "POST", "/api/predict", large)[0] == 422)  # what was held is free again


def until(holds: Any) -> None:
    """Waits for what comes about in a moment."""
    last = time.monotonic() + 20
    while not holds():
        assert time.monotonic() < last
        time.sleep(0.02)


# ---------------------------------------------------------------------- who dawdles


@pytest.mark.parametrize(
    "sent",
    [
        b"",
        b"GET / HT",
        b"POST /api/course/quick HTTP/1.1\r\nHost: 127.0.0.1\r\nX",
        b"POST /api/course/quick HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Type: application/json\r\n"
        b"Content-Length: 50000\r\n\r\n{",
    ],
)
def test_who_does_not_finish_a_request_is_let_go(
    sent: bytes, where: tuple[str, int], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(connections, "HEAD_SECONDS", 0.3)
    monkeypatch.setattr(connections, "REQUEST_SECONDS", 0.5)
    monkeypatch.setattr(connections, "_TICK", 0.1)
    found, stop = list[bytes](), threading.Event()
    with closing(socket.create_connection(where, timeout=20)) as client:

        def drip() -> None:  # a byte now and then is no excuse
            while not stop.wait(0.05):
                try:
                    client.sendall(b" ")
                except OSError:
                    return

        client.sendall(sent)
        thread = threading.Thread(target=drip)
        if sent:
            thread.start()
        try:
            found = list(iter(lambda: client.recv(65536), b""))
        except ConnectionError:
            pass  # what was still on its way to a closed connection resets it
        finally:
            stop.set()
    assert not found or found[0].startswith((b"HTTP/1.1 408", b"HTTP/1.1 400"))


def test_open_connections_keep_nobody_out(where: tuple[str, int], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(connections, "MOST_CONNECTIONS", 5)
    held = []
    for _ in range(40):
        client = socket.create_connection(where, timeout=20)
        client.sendall(head(where)[:-7])
        held.append(client)
    assert asked(where, "POST", "/api/course/quick", b"{}")[0] == 200
    ended = 0
    for client in held:
        client.settimeout(0.05)
        try:
            ended += client.recv(65536)[:12] in (b"", b"HTTP/1.1 503")
        except TimeoutError:
            pass
        except ConnectionError:
            ended += 1
        client.close()
    assert ended >= 35


def test_who_does_not_read_its_answer_is_let_go(
    where: tuple[str, int], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(connections, "_TICK", 0.05)
    with closing(socket.socket()) as client:
        client.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        client.settimeout(20)
        client.connect(where)
        path = "/assets/plotly.min.js"
        client.sendall(head(where, method="GET", path=path) + b"\r\n\r\n")
        client.recv(100)
        time.sleep(1.5)
        got = 0
        try:
            while part := client.recv(65536):
                got += len(part)
        except ConnectionError:
            pass
    assert got < len(asked(where, "GET", path)[1])


# ---------------------------------------------------------------------- work


def test_work_is_given_up_when_its_client_goes_away(where: tuple[str, int], waiting: Waiting) -> None:
    with closing(socket.create_connection(where, timeout=20)) as client:
        client.sendall(head(where, "Content-Length: 2", path="/api/course/waits") + b"\r\n\r\n{}")
        assert waiting.begun.wait(20)
        assert not waiting.ended.is_set()
    assert waiting.ended.wait(20)
    assert asked(where, "POST", "/api/course/quick", b"{}")[0] == 200


def test_what_waits_in_a_queue_leaves_it_with_its_client(where: tuple[str, int], waiting: Waiting) -> None:
    with closing(socket.create_connection(where, timeout=20)) as first:
        first.sendall(head(where, "Content-Length: 2", path="/api/course/waits") + b"\r\n\r\n{}")
        assert waiting.begun.wait(20)
        for _ in range(3 * jobs.LONGEST_QUEUE):  # more than would find room
            with closing(socket.create_connection(where, timeout=20)) as client:
                client.sendall(head(where, "Content-Length: 2") + b"\r\n\r\n{}")
        waiting.end.set()
        until(lambda: asked(where, "POST", "/api/course/quick", b"{}")[0] == 200)


def test_a_full_queue_says_so(where: tuple[str, int], waiting: Waiting) -> None:
    held = []
    for _ in range(jobs.LONGEST_QUEUE):
        client = socket.create_connection(where, timeout=20)
        client.sendall(head(where, "Content-Length: 2", path="/api/course/waits") + b"\r\n\r\n{}")
        held.append(client)
    until(lambda: asked(where, "POST", "/api/course/waits", b"{}")[0] == 503)
    assert asked(where, "GET", "/api/models")[0] == 200
    for client in held:
        client.close()


def test_long_work_reports_its_progress_and_ends_with_its_answer(
    where: tuple[str, int], waiting: Waiting
) -> None:
    with closing(http.client.HTTPConnection(*where, timeout=30)) as client:
        client.request("POST", "/api/course/waits", b"{}", {**JSON, "Accept": "application/x-ndjson"})
        answer = client.getresponse()
        assert answer.headers["content-type"] == "application/x-ndjson"
        lines = [json.loads(answer.readline())]
        while lines[-1] != {"progress": 1.0}:
            lines.append(json.loads(answer.readline()))
        assert asked(where, "GET", "/api/models")[0] == 200  # others are answered meanwhile
        waiting.end.set()
        last = json.loads(answer.read().splitlines()[-1])
    shares = [line["progress"] for line in lines]
    assert shares == sorted(shares)
    assert last["example"]["name"] == "waits"
    assert last == json.loads(asked(where, "POST", "/api/course/waits", b"{}")[1])


def test_long_work_that_fails_ends_with_a_sentence(where: tuple[str, int]) -> None:
    status, said = asked(where, "POST", "/api/course/no", b"{}", Accept="application/x-ndjson")
    assert status == 400
    assert list(json.loads(said)) == ["error"]


def test_a_server_ends_while_work_is_under_way(waiting: Waiting) -> None:
    course = {"waits": Example("waits", WORDS, WORDS, waiting.make)}
    with served(create_app({}, course=course)) as address:
        parts = urlsplit(address)
        client = socket.create_connection((parts.hostname, parts.port), timeout=20)
        place = str(parts.hostname), int(parts.port or 0)
        client.sendall(head(place, "Content-Length: 2", path="/api/course/waits") + b"\r\n\r\n{}")
        assert waiting.begun.wait(20)
    assert waiting.ended.wait(20)
    client.close()


# ---------------------------------------------------------------------- odd requests


def test_pipelined_requests_are_each_looked_at(where: tuple[str, int]) -> None:
    first = head(where, "Content-Length: 2") + b"\r\n\r\n{}"
    second = first.replace(f"{where[0]}:{where[1]}".encode(), b"evil.example")
    last = head(where, "Content-Length: 2", "Connection: close") + b"\r\n\r\n{}"
    found = raw(where, first + second + last)
    assert [found.count(b"HTTP/1.1 %d" % status) for status in (200, 403)] == [2, 1]


@pytest.mark.parametrize(
    ("lines", "body", "status"),
    [
        (["Transfer-Encoding: chunked"], b"1\r\n{\r\n1\r\n}\r\n0\r\n\r\n", 200),
        (["Transfer-Encoding: chunked"], b"zz\r\n{}\r\n0\r\n\r\n", 400),
        (["Transfer-Encoding: chunked"], b"ffffffffffffffffffffff\r\n{}", 400),
        (["Transfer-Encoding: gzip"], b"{}", 400),
        (["Content-Length: 2", "Content-Length: 3"], b"{}", 400),
        (["Content-Length: +2"], b"{}", 400),
        (["Content-Length: -1"], b"{}", 400),
        (["Content-Length: 2", "X: " + "a" * 400_000], b"{}", 400),
        (["Content-Length: 2", "X: " + "a" * 17_000], b"{}", 400),
        (["Content-Length: 2", *(f"X-{i}: {i}" for i in range(2_000))], b"{}", 400),
        (["Content-Length: 2", "X: \0"], b"{}", 400),
        (["Content-Length: 2", "Upgrade: websocket", "Connection: Upgrade"], b"{}", 200),
        (["Content-Length: 2", "Expect: 100-continue"], b"{}", 200),
    ],
)
def test_odd_heads_are_refused_and_odd_bodies_read(
    lines: list[str], body: bytes, status: int, where: tuple[str, int]
) -> None:
    close = [] if any(line.startswith("Connection") for line in lines) else ["Connection: close"]
    with closing(socket.create_connection(where, timeout=30)) as client:
        client.sendall(head(where, *lines, *close) + b"\r\n\r\n" + body)
        found = client.recv(65536)
        while found.startswith(b"HTTP/1.1 100"):
            found = found.partition(b"\r\n\r\n")[2] or client.recv(65536)
    assert int(found.split()[1]) == status, found[:200]
    assert b"content-security-policy" in found
    for garbage in (bytes(range(256)) * 9, b"\x16\x03\x01\x02\x00\x01", b"GET / HTTP/9.9\r\n\r\n"):
        with closing(socket.create_connection(where, timeout=30)) as client:
            client.sendall(garbage)
            client.shutdown(socket.SHUT_WR)
            assert client.recv(65536)[9:12] in (b"400", b"403", b"")
