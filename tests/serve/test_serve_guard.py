"""Nobody but the server's own page is answered, nothing too large is read, and no path is taken."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from regard.serve.app import create_app
from regard.serve.assets_table import PLOTLY, asset, table
from regard.serve.guard import LARGEST_REQUEST
from regard.serve.requests import LONGEST_TEXT
from tests.serve.asking import client_of, said, state

JSON = {"content-type": "application/json"}


@pytest.mark.parametrize(
    "host",
    [
        "evil.example",
        "127.0.0.1.evil.example",
        "localhost.evil.example:8000",
        "127.0.0.2",
        "",
        "127.0.0.1@evil",
        "127.0.0.1:x",
        "[::2]",
        "127.0.0.1/..",
        "\xff",
    ],
)
def test_a_name_that_is_not_ours_is_refused(client: Any, host: str) -> None:
    for answer in (
        client.get("/api/models", headers={"host": host.encode("latin-1")}),
        client.post("/api/predict", headers={"host": host.encode("latin-1"), **JSON}, content=b"{}"),
    ):
        assert answer.status_code == 403
        assert list(answer.json()) == ["error"]


@pytest.mark.parametrize("host", ["127.0.0.1", "127.0.0.1:9", "localhost:8000", "LOCALHOST", "[::1]:8000"])
def test_every_name_of_this_machine_is_ours(client: Any, host: str) -> None:
    assert client.get("/api/models", headers={"host": host}).status_code == 200


@pytest.mark.parametrize(
    "origin",
    [
        "http://evil.example",
        "null",
        "http://127.0.0.1:9",
        "https://localhost:8000",
        "file://",
        "http://127.0.0.1:8000/x",
    ],
)
def test_pages_of_others_are_refused(client: Any, origin: str) -> None:
    body = state("translation")
    assert client.post("/api/predict", json=body, headers={"origin": origin}).status_code == 403
    own = {"origin": "http://127.0.0.1:8000", "sec-fetch-site": "same-origin"}
    assert client.post("/api/predict", json=body, headers=own).status_code == 200


@pytest.mark.parametrize("site", ["cross-site", "same-site"])
def test_a_browser_says_who_asks(client: Any, site: str) -> None:
    headers = {"sec-fetch-site": site, "sec-fetch-mode": "no-cors"}
    assert client.get("/api/models", headers=headers).status_code == 403
    assert client.get("/assets/x.js", headers=headers).status_code == 403
    followed = {"sec-fetch-site": site, "sec-fetch-mode": "navigate"}  # a link that somebody was sent
    assert client.get("/", headers=followed).status_code != 403
    assert client.post("/api/predict", json=state("translation"), headers=followed).status_code == 403


@pytest.mark.parametrize(
    "kind", ["text/plain", "application/x-www-form-urlencoded", "multipart/form-data", ""]
)
def test_a_body_must_say_that_it_is_json(client: Any, kind: str) -> None:
    answer = client.post("/api/predict", content=b"{}", headers={"content-type": kind})
    assert answer.status_code == 415


def test_too_large_a_body_is_refused_before_it_is_read(client: Any) -> None:
    taken = 0

    def endless() -> Any:
        nonlocal taken
        while taken < 4 * LARGEST_REQUEST:
            taken += 2**20
            yield b" " * 2**20

    assert (
        client.post("/api/predict", content=b"{}", headers={**JSON, "content-length": "9" * 9}).status_code
        == 413
    )
    assert client.post("/api/predict", content=endless(), headers=JSON).status_code == 413
    for size in ("-1", "x", "9" * 99):
        answer = client.post("/api/predict", content=b"{}", headers={**JSON, "content-length": size})
        assert answer.status_code == 413


def test_inputs_have_a_largest_size(client: Any) -> None:
    long = {"model": "translation", "input": {"kind": "text", "text": "a" * (LONGEST_TEXT + 1)}}
    assert "input.text.text" in said(client, "/api/predict", long, 422)["error"]
    for more in (
        {"beam": 17},
        {"length": 513},
        {"forced": [1] * 513},
        {"edits": [{"weight": "x", "index": [0], "value": 0}] * 65},
        {"shuffle": 2**32},
        {"temperature": 0},
    ):
        said(client, "/api/predict", state("translation", **more), 422)
    said(client, "/api/trace", {"state": state("translation"), "parts": ["x"] * 65}, 422)
    said(client, "/api/trace", {"state": state("translation"), "digits": 10}, 422)


def test_too_many_numbers_are_refused(client: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    import regard.looking.explorer as explorer
    import regard.serve.answers as answers
    import regard.serve.app as app

    body = {"state": state("translation"), "parts": ["head.logits"]}
    said(client, "/api/trace", body)
    monkeypatch.setattr(answers, "MOST_LISTED", 10)
    assert "at most 10" in said(client, "/api/trace", body, 400)["error"]
    said(client, "/api/trace", {**body, "encoding": "base64"})
    monkeypatch.setattr(answers, "MOST_NUMBERS", 11)
    assert "at most 11" in said(client, "/api/trace", {**body, "encoding": "base64"}, 400)["error"]
    monkeypatch.setattr(app, "MOST_REPORTED", 1000)
    for route in ("/api/json", "/api/report"):
        assert "layers" in said(client, route, {"state": state("translation")}, 400)["error"]
    monkeypatch.setattr(explorer, "_MOST", 1000)  # which is counted while they are kept
    assert "layers" in said(client, "/api/json", {"state": state("translation")}, 400)["error"]


@pytest.mark.parametrize(
    "path",
    [
        "../app.py",
        "..%2fapp.py",
        "%2e%2e/app.py",
        "....//app.py",
        "/etc/passwd",
        "%00",
        "index.html%00.js",
        "..\\app.py",
        "app.py",
        ".",
    ],
)
def test_only_files_of_the_table_are_given(client: Any, path: str) -> None:
    assert client.get(f"/assets/{path}").status_code in (404, 403)
    assert asset(path) is None


def test_what_is_in_the_table_is_given_with_its_kind(client: Any) -> None:
    for name in (*table(), PLOTLY):
        answer = client.get(f"/assets/{name}")
        assert answer.status_code == 200
        assert answer.content == asset(name)[0]  # type: ignore[index]
        assert answer.headers["x-content-type-options"] == "nosniff"


def test_no_file_that_a_request_names_is_opened(
    client: Any, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    secret = tmp_path / "secret.pgm"
    secret.write_bytes(b"P5 6 6 255\n" + bytes(36))
    opened: list[str] = []
    read = Path.read_bytes
    monkeypatch.setattr(Path, "read_bytes", lambda self: (opened.append(str(self)), read(self))[1])
    for data in (
        str(secret),
        f"data:image/pgm;base64,{secret}",
        f"file://{secret}",
        "digits#3",
        "data:image/png;base64,",
    ):
        given = {"kind": "image", "data": data}
        said(client, "/api/predict", {"model": "image-classification", "input": given}, 400)
    given = {"kind": "text", "text": str(secret)}
    said(client, "/api/predict", {"model": "image-classification", "input": given}, 400)
    assert not any("secret" in name for name in opened)


def test_every_answer_tells_browsers_what_they_may_do_with_it(client: Any) -> None:
    for answer in (
        client.get("/api/models"),
        client.get("/nothing"),
        client.get("/", headers={"host": "evil"}),
    ):
        policy = answer.headers["content-security-policy"]
        assert "default-src 'none'" in policy
        assert "script-src 'self';" in policy
        assert "frame-ancestors 'none'" in policy
        assert "access-control-allow-origin" not in answer.headers
        assert answer.headers["x-frame-options"] == "DENY"
    for path in ("/docs", "/redoc", "/openapi.json"):
        assert client.get(path).status_code == 404


def test_other_methods_are_refused(client: Any) -> None:
    assert client.get("/api/predict").status_code == 405
    assert client.options("/api/predict", headers={"origin": "http://evil.example"}).status_code == 403
    assert client.put("/api/models", json={}).status_code == 405


def test_a_server_for_others_is_asked_by_its_names_and_addresses_only(runs: dict[str, Any]) -> None:
    few = {"translation": runs["translation"]}
    client = client_of(create_app(few, hosts=["box"], addresses=True))
    for host, status in (("box:1", 200), ("10.1.2.3:8000", 200), ("[fe80::1]", 200), ("evil.example", 403)):
        assert client.get("/api/models", headers={"host": host}).status_code == status


def test_a_failure_is_one_sentence_without_a_trace(
    app: Any, client: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    from starlette.testclient import TestClient

    import regard.serve.app as module

    def broken(*anything: object) -> None:
        raise ZeroDivisionError(f"in {Path.cwd()!s}")

    monkeypatch.setattr(module, "prediction", broken)
    quiet = TestClient(app, base_url="http://127.0.0.1:8000", raise_server_exceptions=False)
    answer = quiet.post("/api/predict", json=state("translation"))
    assert answer.status_code == 500
    assert list(answer.json()) == ["error"]
    assert str(Path.cwd()) not in answer.text
    with pytest.raises(ZeroDivisionError):  # which its own terminal shows
        client.post("/api/predict", json=state("translation"))
