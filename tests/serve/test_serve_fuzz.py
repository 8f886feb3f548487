"""Whatever arrives, the answer is JSON: an answer, or one sentence that says what was wrong."""

from __future__ import annotations

import json
from typing import Any

from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from tests.serve.asking import INPUTS, state

SLOW = settings(
    max_examples=60,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
ROUTES = ["predict", "trace", "number", "step", "beam", "report", "json", "course/attention-by-hand"]
routes = st.sampled_from([f"/api/{name}" for name in ROUTES])
values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=12), inner, max_size=4),
    max_leaves=12,
)
MODELS = list(INPUTS)
PARTS = [
    "head.logits",
    "encoder.output",
    "decoder.blocks.0.cross.weights",
    "stack.blocks.0.attention.q",
    "x",
    "",
]
small = st.integers(-1, 9)
states = st.fixed_dictionaries(
    {"model": st.sampled_from(MODELS), "input": st.sampled_from(list(INPUTS.values()))},
    optional={
        "heads_off": st.lists(
            st.tuples(
                st.sampled_from(["stack", "encoder", "decoder"]),
                small,
                st.sampled_from(["attention", "cross"]),
                small,
            ),
            max_size=3,
        ),
        "temperature": st.floats(0.05, 20) | values,
        "edits": st.lists(
            st.fixed_dictionaries(
                {
                    "weight": st.sampled_from(["head.weight", "x"]),
                    "index": st.lists(small, max_size=3),
                    "value": st.floats(-9, 9),
                }
            ),
            max_size=2,
        ),
        "shuffle": st.none() | st.integers(0, 2**32),
        "beam": st.integers(0, 5),
        "length": st.integers(0, 8),
        "forced": st.lists(st.integers(-1, 400), max_size=4),
    },
)


def answered(client: Any, route: str, content: bytes) -> None:
    answer = client.post(route, content=content, headers={"content-type": "application/json"})
    assert answer.status_code in (200, 400, 413, 422), answer.text[:300]
    if answer.status_code != 200:
        said = answer.json()
        assert list(said) == ["error"]
        assert isinstance(said["error"], str)
        assert "\n" not in said["error"]
        assert len(said["error"]) < 1000
    elif not route.endswith("report"):
        json.loads(answer.content.decode("utf-8"), parse_constant=lambda name: 1 / 0)


@SLOW
@given(route=routes, content=st.binary(max_size=200))
def test_bytes(client: Any, route: str, content: bytes) -> None:
    answered(client, route, content)


@SLOW
@given(route=routes, value=values)
def test_any_json(client: Any, route: str, value: Any) -> None:
    answered(client, route, json.dumps(value).encode())


@SLOW
@given(
    route=routes, asked=states, part=st.sampled_from(PARTS), index=st.lists(small, max_size=4), more=values
)
@example("/api/trace", state("sentence-similarity"), "head.logits", [], None)  # which has many other parts
def test_requests_that_are_nearly_right(
    client: Any, route: str, asked: dict[str, Any], part: str, index: list[int], more: Any
) -> None:
    body: Any = asked
    if route.endswith(("trace", "report", "json", "number")):
        body = {"state": asked}
    if route.endswith("trace"):
        body |= {"parts": [part]}
    if route.endswith("number"):
        body |= {"part": part, "index": index, "which": "changed" if asked.get("shuffle") else "original"}
    if route.endswith("by-hand"):
        body = {"changes": {"scale": more}}
    answered(client, route, json.dumps(body).encode())


@SLOW
@given(text=st.text(max_size=60), model=st.sampled_from(MODELS))
def test_any_text(client: Any, text: str, model: str) -> None:
    kind = INPUTS[model]["kind"]
    given = (
        {"kind": "text", "text": text}
        if kind == "text"
        else {"kind": "pair", "first": text, "second": "b " + text}
    )
    answered(client, "/api/predict", json.dumps({"model": model, "input": given, "shuffle": 1}).encode())


def test_odd_json_is_refused(client: Any) -> None:
    body = json.dumps(state("translation"))
    more = body[:-1].encode() + b", "
    for odd in (
        b"",
        b"[" * 100_000,
        b"9" * 10_000,
        body.replace('"dcba"', '"\\ud800"').encode(),
        body.replace('"dcba"', "NaN").encode(),
        body[:-1].encode() + b', "temperature": NaN}',
        body[:-1].encode() + b', "temperature": 1e999}',
        body[:-1].encode() + b', "beam": "2"}',
        body[:-1].encode() + b', "beam": true}',
        body[:-1].encode() + b', "\\ud800": 1}',
        more + b'"model": "translation"}',
        more + b'"\\u0000": 1}',
        more + b'"forced": [' + b"9" * 4000 + b"]}",
        more + b'"forced": [-1e400]}',
        more + b'"forced": [0.5]}',
        more + b'"forced": {"0": 1}}',
        more + b'"edits": ' + b"[" * 900 + b"]" * 900 + b"}",
        more + b'"edits": [{"weight": "x", "index": [0], "index": [1], "value": 0}]}',
        more + b'"heads_off": "encoder"}',
        more + b'"temperature": "1"}',
        more + b'"shuffle": true}',
        more + b'"length": [1]}',
        body.encode("utf-16"),
        body.replace('"dcba"', '"\xff"').encode("latin-1"),
        body.encode() + body.encode(),
        "\ufeff".encode() + body.encode() + b"}",
    ):
        answer = client.post("/api/predict", content=odd, headers={"content-type": "application/json"})
        assert answer.status_code in (400, 422), odd[-40:]
        assert list(answer.json()) == ["error"]
