"""A tiny task and a tiny model for it: words of a few letters, and the same words backwards."""

from __future__ import annotations

import random
from pathlib import Path

from regard.training.resolve import Asked

LETTERS = "abcdef"

MODEL = tuple(
    f"model.{side}.{key}"
    for side in ("encoder", "decoder")
    for key in ("width=32", "depth=1", "dropout=0.0", "attention.heads=2", "feedforward.hidden=64")
)
TASK = ("task.tokenizer=characters", "task.metric=exact", "task.unit=character", "task.smoothing=0.0")
QUICK = ("train.lr=5e-3", "train.schedule.warmup=20", "train.tokens=512", "train.evaluations=2")
SETTINGS = (*TASK, *MODEL, *QUICK)
"""`--set` for a model that learns the task in seconds."""


def write_pairs(path: Path, count: int = 600, seed: int = 1) -> Path:
    """A table of `count` different words and the same backwards."""
    chance = random.Random(seed)
    words: dict[str, None] = {}
    while len(words) < count:
        words["".join(chance.choices(LETTERS, k=chance.randint(3, 6)))] = None
    rows = [f"{word}\t{word[::-1]}" for word in words]
    path.write_text("\n".join(["source\ttarget", *rows]) + "\n", "utf-8")
    return path


def asked(data: Path, *settings: str, **wishes: object) -> Asked:
    """What `regard train` is asked for, with the tiny settings and others after them."""
    return Asked("translation", str(data), settings=(*SETTINGS, *settings), **wishes)  # type: ignore[arg-type]


def options(*settings: str) -> list[str]:
    """The same as options of the command line."""
    return ["--threads", "1", *(word for setting in (*SETTINGS, *settings) for word in ("--set", setting))]
