"""How long the explorer takes to answer, from the request's bytes to the answer's: models of 20 million
parameters, 20 tokens, one thread, a new input each time so that nothing is remembered. Processor time, since
other work on a machine would count as ours otherwise; with one thread, an idle machine takes as long by the
clock.

    python benchmarks/explorer.py [--depth 6] [--width 512] [--threads 1]

Models are untrained: what they compute costs the same. Median and worst of 15; the page then draws.
"""

from __future__ import annotations

import argparse
import random
import statistics
import tempfile
import time
from pathlib import Path
from typing import Any

import torch

import regard
from regard.serve.app import create_app

TOKENS, REPEATS = 20, 15
LETTERS = "abcdefghijklmnopqrstuvwxyz"


def made(task: str, folder: Path, width: int, depth: int) -> Any:
    """A run of random weights, of characters: a token a letter."""
    chance = random.Random(1)
    words = ["".join(chance.choices(LETTERS, k=8)) for _ in range(400)]
    rows = {"translation": "source\ttarget", "text-classification": "label\ttext"}
    data = folder / ("data.tsv" if task in rows else "data.txt")
    lines = [
        f"{word[:1]}\t{word}" if task == "text-classification" else f"{word}\t{word[::-1]}" for word in words
    ]
    text = [rows[task], *lines] if task in rows else words * 20
    data.write_text("\n".join(text) + "\n", "utf-8")
    size = (f"model.width={width}", f"model.depth={depth}", "model.heads=8", f"model.hidden={4 * width}")
    settings = (*size, "task.tokenizer=characters", "train.evaluations=1")
    regard.train(task, data, folder / "run", settings=settings, steps=1, quiet=True)
    return regard.load(folder / "run")


def main() -> None:
    from starlette.testclient import TestClient

    options = argparse.ArgumentParser()
    for name, value in (("--width", 512), ("--depth", 6), ("--threads", 1)):
        options.add_argument(name, type=int, default=value)
    asked = options.parse_args()
    torch.set_num_threads(asked.threads)
    chance = random.Random(2)
    for task, width in (
        ("text-generation", asked.width),
        ("text-classification", asked.width),
        ("translation", asked.width),
    ):
        depth = max(1, asked.depth // 2) if task == "translation" else asked.depth
        with tempfile.TemporaryDirectory() as folder:
            run = made(task, Path(folder), width, depth)
            client = TestClient(create_app({task: run}), base_url="http://127.0.0.1:8000")
            print(f"{task}: {run.bundle.parameters / 1e6:.1f} million parameters, {asked.threads} thread(s)")
            measure(client, task, chance, depth)


def measure(client: Any, task: str, chance: random.Random, depth: int) -> None:
    stack = "decoder" if task == "translation" else "stack"
    layer = f"{stack}.blocks.{depth - 1}.attention"
    parts = [
        f"{layer}.{point}" for point in ("q", "k", "v", "products", "scores", "masked", "weights", "heads")
    ]
    weights = [f"{stack}.blocks.{number}.attention.weights" for number in range(depth)]
    edit = [{"weight": f"{layer}.out.weight", "index": [0, 0], "value": 1.0}]
    changes: dict[str, dict[str, Any]] = {
        "as it is": {},
        "a head off": {"heads_off": [[stack, 0, "attention", 1]]},
        "a weight edited": {"edits": edit},
    }
    for said, change in changes.items():
        for name, route, more in (
            ("predict", "/api/predict", None),
            (
                "trace, all weights",
                "/api/trace",
                {"parts": weights, "encoding": "base64", "structure": False},
            ),
            ("trace, one layer", "/api/trace", {"parts": parts, "encoding": "base64", "structure": False}),
        ):
            times = [once(client, task, chance, route, more, change) for _ in range(REPEATS + 2)][2:]
            median, worst = 1000 * statistics.median(times), 1000 * max(times)
            print(f"  {said:16} {name:20} {median:7.1f} ms, worst {worst:7.1f}", flush=True)


def once(
    client: Any, task: str, chance: random.Random, route: str, more: Any, change: dict[str, Any]
) -> float:
    count = TOKENS // 2 if task == "text-generation" else TOKENS
    text = "".join(chance.choices(LETTERS, k=count))
    state: dict[str, Any] = {"model": task, "input": {"kind": "text", "text": text}, **change}
    if task != "text-classification":
        state["length"] = TOKENS - count or TOKENS
    started = time.process_time()
    answer = client.post(route, json=state if more is None else {"state": state, **more})
    taken = time.process_time() - started
    assert answer.status_code == 200, answer.text[:200]
    return taken


if __name__ == "__main__":
    main()
