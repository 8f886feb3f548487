"""Tiny Shakespeare by characters, side by side with nanoGPT's own code, at its setting for a CPU.

4 layers, 4 heads, width 128, context 64, batches of 12, 2,000 steps of AdamW, no dropout: the numbers of its
README and of `config/train_shakespeare_char.py`. Its model and its optimizer are imported from a checkout of
github.com/karpathy/nanoGPT; the loop around them repeats its `train.py` (random windows, cosine schedule,
clipping), without its evaluations and checkpoints. Ours is the recipe `tinyshakespeare-cpu`.

Speed: both train in turns within one process. Quality: nats per character on the whole last tenth, in windows
of 64 characters that do not overlap, so that both see the same context for every character. (Ours is cut at
the line border nearest to it.)

Usage: REGARD_DATA=… python benchmarks/shakespeare.py NANOGPT [--rounds 7] [--threads 2] [--seeds 1]
"""

from __future__ import annotations

import argparse
import importlib.util
import math
import statistics
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import torch
from torch import Tensor

import regard
from regard.data.named import NAMED, find
from regard.data.readers import open_data
from regard.data.store import write_store
from regard.recipes.reproduce import RECIPES
from regard.tasks.text_generation import TextGeneration
from regard.training.optim import Optimizer
from regard.training.resolve import Asked, resolve

RECIPE = RECIPES["tinyshakespeare-cpu"]
CONTEXT, ROWS, STEPS, WARMUP = 64, 12, 2000, 100
PEAK, LAST = 1e-3, 1e-4


class NanoGPT:
    """Its model and optimizer in its own loop."""

    def __init__(self, module: ModuleType, text: str, seed: int) -> None:
        ids = {character: number for number, character in enumerate(sorted(set(text)))}
        data = torch.tensor([ids[character] for character in text])
        self.train, self.valid = data[: int(0.9 * len(data))], data[int(0.9 * len(data)) :]
        torch.manual_seed(seed)
        config = module.GPTConfig(CONTEXT, len(ids), n_layer=4, n_head=4, n_embd=128, dropout=0.0, bias=False)
        self.model = module.GPT(config)
        self.optimizer = self.model.configure_optimizers(0.1, PEAK, (0.9, 0.99), "cpu")
        self.done = 0

    def step(self) -> None:
        for group in self.optimizer.param_groups:
            group["lr"] = self._rate()
        starts = torch.randint(len(self.train) - CONTEXT, (ROWS,)).tolist()
        given = torch.stack([self.train[start : start + CONTEXT] for start in starts])
        wanted = torch.stack([self.train[start + 1 : start + 1 + CONTEXT] for start in starts])
        _, loss = self.model(given, wanted)
        loss.backward()
        torch.nn.utils.clip_grad_norm_(self.model.parameters(), 1.0)
        self.optimizer.step()
        self.optimizer.zero_grad(set_to_none=True)
        self.done += 1

    def _rate(self) -> float:
        if self.done < WARMUP:
            return PEAK * (self.done + 1) / (WARMUP + 1)
        return LAST + 0.5 * (1 + math.cos(math.pi * (self.done - WARMUP) / (STEPS - WARMUP))) * (PEAK - LAST)

    @torch.no_grad()
    def nats(self) -> float:
        """A character, over the whole validation part in windows that do not overlap."""
        self.model.eval()
        total = 0.0
        for start in range(0, len(self.valid) - 1, CONTEXT):
            given = self.valid[start : start + CONTEXT]
            wanted = self.valid[start + 1 : start + 1 + CONTEXT]
            _, loss = self.model(given[None, : len(wanted)], wanted[None])
            total += float(loss) * len(wanted)
        return total / (len(self.valid) - 1)


class Ours:
    """The recipe's model, batches and optimizer."""

    def __init__(self, folder: Path, seed: int) -> None:
        config = resolve(Asked(RECIPE.task, RECIPE.data, settings=RECIPE.settings, steps=STEPS))
        rows = open_data(RECIPE.data, config.task.wanted).split("train")
        self.task: Any = TextGeneration.prepare(config.task, rows)  # type: ignore[arg-type]
        examples = (example for example in self.task.encode(rows) if example)
        self.store = write_store(folder / "ids", examples, self.task.fields)
        torch.manual_seed(seed)
        self.model = self.task.configure_model(config.model).build().train()
        self.optimizer, self.schedule = Optimizer(self.model, config.train.optimizer), config.train.schedule
        self.scaler = torch.amp.GradScaler("cpu", enabled=False)
        self.chance, self.done = np.random.default_rng(seed), 0

    def step(self) -> None:
        batch = self.task.batch(self.store, self.chance.integers(len(self.store), size=ROWS), self.done)
        loss: Tensor = self.task.loss(self.model, batch)["loss"] / batch.tokens
        loss.backward()
        torch.nn.utils.clip_grad_norm_(self.model.parameters(), 1.0)
        self.done += 1
        self.optimizer.step(self.schedule.factor(self.done, STEPS), self.scaler)
        self.optimizer.clear()


def timed(step: Callable[[], None], steps: int) -> float:
    """Characters a second."""
    started = time.perf_counter()
    for _ in range(steps):
        step()
    return steps * ROWS * CONTEXT / (time.perf_counter() - started)


def compare_speed(module: ModuleType, text: str, rounds: int, steps: int) -> None:
    with tempfile.TemporaryDirectory() as folder:
        ours, theirs = Ours(Path(folder), 1), NanoGPT(module, text, 1)
        timed(ours.step, 10), timed(theirs.step, 10)
        pairs = [(timed(ours.step, steps), timed(theirs.step, steps)) for _ in range(rounds)]
    mine, other = (statistics.median(side) for side in zip(*pairs, strict=True))
    ratio = statistics.median(a / b for a, b in pairs)
    print(
        f"characters/s: regard {mine:,.0f}, nanoGPT {other:,.0f}; median ratio of {rounds} pairs {ratio:.2f}"
    )


def compare_quality(module: ModuleType, text: str, seed: int) -> None:
    theirs = NanoGPT(module, text, seed)
    for _ in range(STEPS):
        theirs.step()
    with tempfile.TemporaryDirectory() as folder:
        options: dict[str, Any] = {"settings": RECIPE.settings, "steps": STEPS, "seed": seed, "quiet": True}
        regard.train(RECIPE.task, RECIPE.data, Path(folder) / "run", **options)
        run = regard.load(Path(folder) / "run")
        ours = run.evaluate(split="valid", baselines=False).metrics["nats"]
    print(f"seed {seed}: nats per character, all of valid: regard {ours:.4f}, nanoGPT {theirs.nats():.4f}")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("nanogpt", type=Path, help="a checkout of github.com/karpathy/nanoGPT")
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--steps", type=int, default=40)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--seeds", type=int, default=1)
    asked = parser.parse_args()
    torch.set_num_threads(asked.threads)
    spec = importlib.util.spec_from_file_location("nanogpt_model", asked.nanogpt / "model.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    text = (find(NAMED["tinyshakespeare"]) / "input.txt").read_text("utf-8")
    compare_speed(module, text, asked.rounds, asked.steps)
    for seed in range(1, asked.seeds + 1):
        compare_quality(module, text, seed)


if __name__ == "__main__":
    main()
