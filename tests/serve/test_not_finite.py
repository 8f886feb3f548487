"""Numbers that are none: whatever a model computes, every route answers with JSON that says so."""

from __future__ import annotations

import json
from typing import Any

import pytest

import regard
from regard.run import Run
from regard.serve.app import create_app
from regard.tasks import TASKS
from tests.serve.asking import client_of, state

every = pytest.mark.parametrize("name", TASKS)
ROUTES = ("predict", "step", "beam", "trace", "report", "json", "number", "analysis")


@pytest.fixture(scope="module")
def half(runs: dict[str, Run]) -> Any:
    """The same models in float16, where one weight of a million is infinite."""
    return client_of(
        create_app({name: regard.load(run.folder, dtype="float16") for name, run in runs.items()})
    )


def strictly(answer: Any) -> Any:
    """What an answer says, by the letter of JSON. A refusal is one sentence."""
    assert answer.status_code in (200, 400, 409), answer.text[:300]
    if answer.headers["content-type"].startswith("text/html"):
        return None
    found = json.loads(answer.text, parse_constant=lambda name: pytest.fail(f"{name} is not JSON"))
    if answer.status_code != 200:
        assert list(found) == ["error"]
        assert "\n" not in found["error"]
    return found


def asked(client: Any, route: str, name: str, edits: list[Any]) -> list[Any]:
    """All that a route can be asked of a model with these edits."""
    beam = {"beam": 4} if route == "beam" else {}
    mine = state(name, edits=edits, **beam)
    model = next(one for one in client.get("/api/models").json()["models"] if one["name"] == name)
    if not {"beam": model["searches"], "step": model["writes"]}.get(route, True):
        return []
    if route in ("predict", "step", "beam"):
        return [mine]
    if route == "analysis":
        other = {"other": "abcd" if name == "translation" else "bab"}
        return [{"state": mine, "name": one["name"], **other} for one in model["analyses"]]
    if route == "number":
        parts = client.post("/api/trace", json={"state": state(name)}).json()["original"]["parts"]
        return [
            {"state": mine, "part": one["name"], "index": [0] * len(one["shape"]), "which": "changed"}
            for one in parts
        ]
    if route == "trace":
        parts = client.post("/api/trace", json={"state": state(name)}).json()["original"]["parts"]
        names = sorted({one["name"] for one in parts})
        cut = [names[at : at + 60] for at in range(0, len(names), 60)]
        return [
            {"state": mine, "parts": some, "encoding": encoding}
            for some in cut
            for encoding in ("lists", "base64")
        ]
    return [{"state": mine, "which": "changed"}]


@every
@pytest.mark.parametrize("route", ROUTES)
def test_an_infinite_weight_is_said_in_json(name: str, route: str, half: Any) -> None:
    weights = half.get(f"/api/weights/{name}").json()["weights"]
    for weight in (weights[0], weights[-1], next(one for one in weights if "out.weight" in one["name"])):
        edit = {"weight": weight["name"], "index": [0] * len(weight["shape"]), "value": 1e6}
        for body in asked(half, route, name, [edit]):
            strictly(half.post(f"/api/{route}", json=body))
