"""How the tests ask the server: as its own page does."""

from __future__ import annotations

from typing import Any

BASE = "http://127.0.0.1:8000"
INPUTS: dict[str, dict[str, Any]] = {
    "translation": {"kind": "text", "text": "dcba"},
    "text-generation": {"kind": "text", "text": "a man"},
    "fill-mask": {"kind": "text", "text": "a [MASK] is"},
    "text-classification": {"kind": "text", "text": "aab"},
    "question-answering": {"kind": "pair", "first": "after a ?", "second": "b a c"},
    "token-classification": {"kind": "text", "text": "a b"},
    "sentence-similarity": {"kind": "pair", "first": "dcba", "second": "ab"},
}
PIXELS = [[0] * 6, [0] * 6, [250] * 6, [9] * 6, [40] * 6, [0] * 6]


def client_of(app: Any) -> Any:
    from starlette.testclient import TestClient

    return TestClient(app, base_url=BASE)


def image() -> dict[str, Any]:
    import numpy as np

    from regard.data.readers.images import as_url

    return {"kind": "image", "data": as_url(np.array(PIXELS, dtype=np.uint8)[:, :, None])}


def state(model: str, **more: Any) -> dict[str, Any]:
    """Something to ask a model."""
    given = image() if model == "image-classification" else INPUTS[model]
    short = {"length": 7} if model in ("translation", "text-generation") else {}
    return {"model": model, "input": given, **short, **more}


def said(client: Any, route: str, body: Any, status: int = 200) -> Any:
    """What a route says. Whatever is refused says why in a sentence."""
    answer = client.post(route, json=body)
    assert answer.status_code == status, answer.text[:500]
    found = answer.json()
    if status != 200:
        assert list(found) == ["error"]
        assert found["error"]
        assert "Traceback" not in found["error"]
        assert "\n" not in found["error"]
    return found
