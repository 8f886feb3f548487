"""What the explorer says is what the library says, of every task."""

from __future__ import annotations

import base64
import json
import math
from typing import Any

import numpy as np
import pytest
import torch

from regard.insight.ablation import Head, silencing
from regard.model.tap import open_taps
from regard.run import Run
from regard.serve.numbers import encoded, rounded
from regard.tasks import TASKS, Decoding
from tests.serve.asking import INPUTS, image, said, state

every = pytest.mark.parametrize("name", TASKS)
WRITERS = ("translation", "text-generation")


def first_stack(client: Any, name: str) -> str:
    models = client.get("/api/models").json()["models"]
    return next(model["stacks"][0]["name"] for model in models if model["name"] == name)


@every
def test_a_prediction_is_the_run_s_own(name: str, client: Any, runs: dict[str, Run]) -> None:
    found = said(client, "/api/predict", state(name))
    assert found["changed"] is None
    answer = found["original"]
    given = INPUTS.get(name, {})
    text = given.get("text") or "\t".join((given.get("first", ""), given.get("second", "")))
    text = image()["data"] if name.startswith("image") else text
    (want,) = runs[name].predictions([text], Decoding(max_length=7 if name in WRITERS else None))
    assert answer["answer"] == want.value.plain()
    assert answer["score"] == (None if want.score is None else pytest.approx(want.score, abs=1e-5))
    for choice in answer["choices"]:
        shares = [one["probability"] for one in choice["best"]]
        assert shares == sorted(shares, reverse=True)
        assert 0 < sum(shares) <= 1.001 or answer["independent"]
    if name in WRITERS:
        chosen = [choice["chosen"] for choice in answer["choices"] if choice["chosen"] is not None]
        assert chosen == [choice["best"][0]["id"] for choice in answer["choices"]][answer["begin"] - 1 :]
        assert len(chosen) <= 7
    assert [len(one["tokens"]) for one in answer["sequences"]] == [
        len(one["ids"] or one["tokens"]) for one in answer["sequences"]
    ]


@every
def test_numbers_of_a_trace_are_the_run_s_own(name: str, client: Any, runs: dict[str, Run]) -> None:
    found = said(client, "/api/trace", {"state": state(name)})["original"]
    names = [(part["sequence"], part["name"]) for part in found["parts"]]
    assert len(set(names)) == len(names)
    assert all(part["values"] is None for part in found["parts"])
    asked = [part for part in found["parts"] if part["sequence"] == found["parts"][-1]["sequence"]]
    asked = asked[:: max(1, len(asked) // 20)]
    body = {"state": state(name), "parts": [part["name"] for part in asked], "structure": False, "digits": 9}
    whole = json.loads(client.post("/api/json", json={"state": state(name)}).text)
    entries: dict[tuple[str, tuple[str, ...]], Any] = {}
    for one in whole["passes"]:
        entries |= {(entry["name"], tuple(one["tokens"])): entry for entry in one["entries"]}
    shown = said(client, "/api/trace", body)["original"]
    assert {part["name"] for part in shown["parts"]} == {part["name"] for part in asked}
    for part in shown["parts"]:
        tokens = tuple(shown["sequences"][part["sequence"]]["tokens"])
        want = np.array(plain(entries[part["name"], tokens]["value"]), dtype=float)
        got = np.array(plain(part["values"]), dtype=float)
        assert list(got.shape) == part["shape"]
        np.testing.assert_allclose(got, want, rtol=1e-5, atol=1e-6)


def plain(value: Any) -> Any:
    return [plain(one) for one in value] if isinstance(value, list) else float(value)


@every
def test_parts_stand_in_the_order_of_the_computation(name: str, client: Any) -> None:
    parts = said(client, "/api/trace", {"state": state(name)})["original"]["parts"]
    seen: set[str] = set()
    for part in parts:
        assert set(part["sources"]) <= seen, part["name"]
        seen.add(part["name"])
        assert (part["layer"] is None) == (
            part["section"] in ("embed", "position", "input", "output", "head")
        )
        assert len(part["axes"]) == len(part["shape"])
    sections = {part["section"] for part in parts}
    assert {"embed", "input", "attention", "attention_residual", "feedforward", "block", "head"} <= sections


@every
def test_changes_are_shown_beside_the_original_and_leave_the_run_alone(
    name: str, client: Any, runs: dict[str, Run]
) -> None:
    before = {key: value.clone() for key, value in runs[name].model.state_dict().items()}
    plain_answer = said(client, "/api/predict", state(name))["original"]
    weight = client.get(f"/api/weights/{name}").json()["weights"][0]
    changes = {
        "heads_off": [[first_stack(client, name), 0, "attention", 1]],
        "edits": [{"weight": weight["name"], "index": [0] * len(weight["shape"]), "value": 3.0}],
        "shuffle": 3,
    }
    found = said(client, "/api/predict", state(name, **changes))
    assert found["original"] == plain_answer
    assert found["changed"] is not None
    order = found["changed"]["positions"]
    assert sorted(order) == list(range(len(order)))
    assert said(client, "/api/predict", state(name))["original"] == plain_answer
    after = runs[name].model.state_dict()
    assert all(torch.equal(after[key], value) for key, value in before.items())


@every
def test_a_head_that_is_off_is_off(name: str, client: Any, runs: dict[str, Run]) -> None:
    stack = first_stack(client, name)
    part = f"{stack}.blocks.0.attention.heads"
    body = {"state": state(name, heads_off=[[stack, 0, "attention", 1]]), "parts": [part], "structure": False}
    found = said(client, "/api/trace", body)
    values = np.array(found["changed"]["parts"][0]["values"])
    assert not values[1].any()
    assert np.array_equal(values[0], np.array(found["original"]["parts"][0]["values"])[0])
    if name == "fill-mask":
        with open_taps(runs[name].model, silencing([Head(f"{stack}.blocks.0.attention", 1)])):
            (want,) = runs[name].predictions([INPUTS[name]["text"]])
        assert found["changed"]["answer"] == want.value.plain()
        assert found["changed"]["score"] == pytest.approx(want.score, abs=1e-5)


@pytest.mark.parametrize("name", [name for name in TASKS if name != "sentence-similarity"])
def test_a_temperature_makes_shares_more_even(name: str, client: Any) -> None:
    found = said(client, "/api/predict", state(name, temperature=8.0))
    most = [found[which]["choices"][0]["best"][0]["probability"] for which in ("original", "changed")]
    assert most[1] < most[0]
    said(client, "/api/predict", {**state("sentence-similarity"), "temperature": 8.0}, 400)


@every
def test_a_number_is_the_sum_behind_it(name: str, client: Any) -> None:
    found = said(client, "/api/trace", {"state": state(name)})["original"]
    for part in found["parts"][::4]:
        index = [size // 2 for size in part["shape"]]
        for changes in ({}, {"shuffle": 5, "heads_off": [[first_stack(client, name), 1, "attention", 0]]}):
            made = said(
                client,
                "/api/number",
                {
                    "state": state(name, **changes),
                    "part": part["name"],
                    "index": index,
                    "sequence": part["sequence"],
                    "which": "changed" if changes else "original",
                },
            )
            total, value = float(made["total"]), float(made["value"])
            assert total == pytest.approx(value, abs=1e-4, rel=1e-4)
            if made["terms"] and not made["stages"]:
                assert math.fsum(float(term["value"]) for term in made["terms"]) == pytest.approx(
                    value, abs=1e-4
                )


@pytest.mark.parametrize("name", WRITERS)
def test_steps_lead_to_the_answer(name: str, client: Any) -> None:
    want = said(client, "/api/predict", state(name))["original"]
    chosen = [choice["chosen"] for choice in want["choices"] if choice["chosen"] is not None]
    forced: list[int] = []
    for token in chosen:
        found = said(client, "/api/step", state(name, forced=forced))["original"]
        assert found["next"][0]["id"] == token
        assert [one["id"] for one in found["written"]] == forced
        assert all(one["rank"] == 1 for one in found["written"])
        assert not found["done"]
        forced.append(token)
    assert said(client, "/api/step", state(name, forced=forced))["original"]["text"] == want["answer"]


@pytest.mark.parametrize("name", WRITERS)
def test_another_token_is_forced_and_the_model_goes_on_from_it(name: str, client: Any) -> None:
    following = said(client, "/api/step", state(name))["original"]["next"]
    other = following[3]["id"]
    found = said(client, "/api/predict", state(name, forced=[other]))["original"]
    chosen = [choice["chosen"] for choice in found["choices"] if choice["chosen"] is not None]
    assert chosen[0] == other
    rest = said(client, "/api/step", state(name, forced=chosen[:1]))["original"]
    assert rest["written"][0]["rank"] == 4
    if len(chosen) > 1:
        assert rest["next"][0]["id"] == chosen[1]


def test_a_beam_is_a_tree_whose_best_leaf_is_the_answer(client: Any, runs: dict[str, Run]) -> None:
    found = said(client, "/api/beam", state("translation", beam=4))["original"]
    (want,) = runs["translation"].predictions(["dcba"], Decoding(beam=4, n=4, max_length=7))
    assert found["answer"] == want.value.plain() == found["hypotheses"][0]["text"]
    assert found["hypotheses"][0]["score"] == pytest.approx(want.score, abs=1e-4)
    assert [one["text"] for one in found["hypotheses"]][:4] == [value.plain() for value, _ in want.ranked]
    for step, nodes in enumerate(found["steps"]):
        assert [node["place"] for node in nodes] == list(range(len(nodes)))
        parents = 1 if step == 0 else len(found["steps"][step - 1])
        assert all(0 <= node["parent"] < parents for node in nodes)
        assert sum(node["chosen"] for node in nodes) == (step < len(found["path"]))
    said(client, "/api/beam", state("text-generation", beam=4), 400)
    said(client, "/api/predict", state("fill-mask", beam=4), 400)


def test_reports_stand_alone(client: Any) -> None:
    page = client.post("/api/report", json={"state": state("translation"), "lang": "zh"})
    assert page.headers["content-type"].startswith("text/html")
    assert page.headers["content-disposition"].startswith("attachment")
    assert 'data-lang="zh"' in page.text
    some = client.post("/api/json", json={"state": state("translation"), "layers": [1]})
    names = {entry["name"] for one in some.json()["passes"] for entry in one["entries"]}
    assert not any(".blocks.0." in name for name in names)
    assert any(".blocks.1." in name for name in names)
    said(client, "/api/json", {"state": state("translation"), "layers": [9]}, 400)


def test_values_can_be_cut_and_encoded(client: Any) -> None:
    name, asked = "decoder.blocks.0.cross.weights", state("translation")
    whole = said(client, "/api/trace", {"state": asked, "parts": [name], "digits": 9})["original"]
    values = next(np.array(part["values"]) for part in whole["parts"] if part["name"] == name)
    part = {"name": name, "at": {"head": 1, "query": 0}}
    cut = said(
        client, "/api/trace", {"state": asked, "parts": [part], "encoding": "base64", "structure": False}
    )
    made = cut["original"]["parts"][0]["values"]
    raw = np.frombuffer(base64.b64decode(made["data"]), "<f4").reshape(made["shape"])
    np.testing.assert_allclose(raw, values[1, 0], rtol=1e-6)
    for at in ({"head": 9}, {"colour": 0}):
        said(client, "/api/trace", {"state": asked, "parts": [{"name": name, "at": at}]}, 400)
    said(client, "/api/trace", {"state": asked, "parts": ["decoder.blocks.0.cross.weight"]}, 400)


def test_numbers_have_the_digits_that_are_asked_for() -> None:
    some = torch.tensor([1.23456, -0.000123456, 0.0, 12345.6, 1e-30])
    assert rounded(some, 3) == pytest.approx([1.23, -0.000123, 0.0, 12300.0, 1e-30], rel=1e-12, abs=0)
    assert rounded(torch.tensor([math.inf, -math.inf, math.nan]), 3) == ["Infinity", "-Infinity", "NaN"]
    assert rounded(torch.tensor([[True, False]]), 3) == [[1, 0]]
    assert encoded(some)["shape"] == [5]


def test_what_is_not_there_is_refused_by_name(client: Any) -> None:
    wrong: list[tuple[str, dict[str, Any]]] = [
        ("/api/predict", {**state("translation"), "model": "translatio"}),
        ("/api/predict", state("translation", heads_off=[["decoder", 0, "cross", 7]])),
        ("/api/predict", state("translation", heads_off=[["encoder", 0, "cross", 0]])),
        ("/api/predict", state("translation", edits=[{"weight": "x", "index": [0], "value": 1}])),
        ("/api/predict", state("translation", forced=[99999])),
        ("/api/predict", {"model": "translation", "input": image()}),
        ("/api/predict", {"model": "image-classification", "input": INPUTS["translation"]}),
        (
            "/api/predict",
            {
                "model": "image-classification",
                "input": {"kind": "image", "data": "data:image/png;base64,AAAA"},
            },
        ),
        (
            "/api/predict",
            {"model": "image-classification", "input": {"kind": "image", "data": "/etc/passwd"}},
        ),
        ("/api/predict", {"model": "fill-mask", "input": {"kind": "text", "text": "no hole"}}),
        ("/api/step", state("fill-mask")),
        ("/api/number", {"state": state("translation"), "part": "no.part", "index": [0]}),
        ("/api/number", {"state": state("translation"), "part": "encoder.output", "index": [99, 0]}),
        (
            "/api/number",
            {"state": state("translation"), "part": "encoder.output", "index": [0, 0], "sequence": 1},
        ),
        ("/api/course/nothing", {}),
        ("/api/course/attention-by-hand", {"changes": {"nothing": 1}}),
    ]
    for route, body in wrong:
        said(client, route, body, 400)
    assert client.get("/api/weights/nothing").status_code == 400
    assert client.get("/api/outputs/nothing").status_code == 400
    assert client.get("/api/nothing").json() == {"error": "Not Found"}


def test_an_empty_text_has_an_empty_answer(client: Any) -> None:
    found = said(client, "/api/predict", {"model": "translation", "input": {"kind": "text", "text": ""}})[
        "original"
    ]
    assert (found["answer"], found["sequences"], found["choices"]) == ("", [], [])
    for route in ("/api/step", "/api/beam"):
        said(client, route, {"model": "translation", "input": {"kind": "text", "text": ""}})


def test_the_course_shows_what_the_library_computes(client: Any) -> None:
    from regard.course import EXAMPLES
    from regard.insight.objects import as_object

    listed = client.get("/api/course").json()["examples"]
    assert [one["name"] for one in listed] == list(EXAMPLES)
    found = said(client, "/api/course/attention-by-hand", {})
    want = as_object(EXAMPLES["attention-by-hand"].worked(), origins=True)
    assert found["example"] == json.loads(json.dumps(want))
    assert len(found["figures"]) == len(found["example"]["steps"])
    assert any("origin" in value for step in found["example"]["steps"] for value in step["values"])
    drawn = said(client, "/api/course/positions", {"lang": "zh"})
    shown = [figure is not None for figure in drawn["figures"]]
    assert any(shown)
    assert shown == [step["figure"] is not None for step in drawn["example"]["steps"]]


def test_every_part_of_every_task_has_a_name_of_its_own_in_both_languages(client: Any) -> None:
    for model in client.get("/api/models").json()["models"]:
        body = {"state": {"model": model["name"], "input": model["examples"][0]}}
        for part in (parts := client.post("/api/trace", json=body).json()["original"]["parts"]):
            assert any("\u4e00" <= letter <= "\u9fff" for letter in part["title"]["zh"]), part["name"]
        for lang in ("en", "zh"):
            called = [(part["sequence"], part["title"][lang]) for part in parts]
            assert len(set(called)) == len(called), sorted(one for one in called if called.count(one) > 1)
