"""Several ask at once, each with changes of its own; nobody sees another's."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from typing import Any

import torch

from regard.run import Run
from tests.serve.asking import client_of, said, state


def wishes() -> list[tuple[str, dict[str, Any]]]:
    """Questions to two models, with all kinds of changes."""
    found: list[tuple[str, dict[str, Any]]] = []
    for seed in range(3):
        for name, stack in (("translation", "decoder"), ("text-classification", "stack")):
            for changes in (
                {"heads_off": [[stack, seed % 2, "attention", 0]]},
                {"temperature": 1.5 + seed},
                {
                    "edits": [
                        {"weight": f"{stack}.blocks.0.attention.out.weight", "index": [0, seed], "value": 5.0}
                    ]
                },
                {"shuffle": seed},
                {},
            ):
                part = f"{stack}.blocks.1.attention.heads"
                asked = {"state": state(name, **changes), "parts": [part, "head.logits"], "structure": False}
                found.append(("/api/trace", asked))
                found.append(("/api/predict", state(name, **changes)))
    return found


def test_answers_at_the_same_time_are_those_of_one_after_the_other(app: Any, runs: dict[str, Run]) -> None:
    before = {
        name: {key: value.clone() for key, value in run.model.state_dict().items()}
        for name, run in runs.items()
    }
    asked = wishes()
    alone = client_of(app)
    want = [said(alone, route, body) for route, body in asked]
    mixed = [asked[at] for at in sorted(range(len(asked)), key=lambda at: at * 7 % len(asked))]

    def ask(number: int) -> list[Any]:
        client = client_of(app)
        turned = mixed[number:] + mixed[:number]
        answers = {id(body): said(client, route, body) for route, body in turned}
        return [answers[id(body)] for _, body in asked]

    with ThreadPoolExecutor(6) as pool:
        for found in pool.map(ask, range(6)):
            assert found == want
    for name, run in runs.items():
        assert all(torch.equal(value, before[name][key]) for key, value in run.model.state_dict().items())
