"""An engine in a process of its own, asked in turns with others so that all meet the same machine."""

from __future__ import annotations

import multiprocessing
import statistics
from collections.abc import Callable
from multiprocessing.connection import Connection
from typing import Any, Protocol

Serve = Callable[[Connection, str, int], None]
"""What the process does: answers what it is asked, for the engine of that name with so many threads, until it
is asked None."""


class Engine:
    """One engine, ready to be asked."""

    def __init__(self, serve: Serve, name: str, threads: int) -> None:
        context = multiprocessing.get_context("spawn")
        self.name = name
        self.pipe, theirs = context.Pipe()
        self.process = context.Process(target=serve, args=(theirs, name, threads), daemon=True)
        self.process.start()

    def ask(self, what: Any) -> Any:
        """Its answer; none to None, which ends it."""
        self.pipe.send(what)
        return None if what is None else self.pipe.recv()


class Training(Protocol):
    """A model with its optimizer."""

    def speed(self, batches: list[Any]) -> float:
        """Of so many steps, in whatever a second."""


def serve_training(
    pipe: Connection, threads: int, prepare: Callable[[Any], tuple[Training, list[Any]]]
) -> None:
    """What a contender's process does: takes what to `prepare`, and says None, or why it cannot; then takes
    True and says its speed, until it is given the next, or None."""
    import torch

    torch.set_num_threads(threads)
    asked = pipe.recv()
    while asked is not None:
        try:
            one, batches = prepare(asked)
            one.speed(batches[:3])
            pipe.send(None)
        except ImportError as missing:
            pipe.send(str(missing))
        while (asked := pipe.recv()) is True:
            pipe.send(one.speed(batches))


def training_speeds(engines: list[Engine], asked: Any, rounds: int) -> dict[str, list[float]]:
    """Of each contender that can be had, by name, measured in turns; says which cannot."""
    there = []
    for engine in engines:
        if (why := engine.ask(asked)) is None:
            there.append(engine)
        else:
            print(f"  {engine.name} is left out: {why}")
    speeds: dict[str, list[float]] = {engine.name: [] for engine in there}
    for _ in range(rounds):
        for engine in there:
            speeds[engine.name].append(engine.ask(True))
    return speeds


def spread(name: str, speeds: dict[str, list[float]]) -> tuple[str, float]:
    """Median, least and most of a contender, written, and how many times as fast the first one is: the median
    over the rounds."""
    values = speeds[name]
    ratio = statistics.median(ours / theirs for ours, theirs in zip(speeds["regard"], values, strict=True))
    return f"{statistics.median(values):8,.0f}  ({min(values):,.0f}–{max(values):,.0f})", ratio
