"""What inactive hooks cost: the same work with them, and with `tap`, `wanted` and `watching` replaced by
functions that do nothing, at every place that calls them.

Rounds alternate within one process, the order within a pair too, so that a drifting machine treats both
alike; what is counted is the processor time of the process. Each ratio is of one pair; printed are the median
of all, between which bounds the median lies with 95 % confidence (of order statistics: no distribution is
assumed), and the middle half. Beside it, the account: how often the work calls taps, times what a closed one
takes by itself, as a share of the work. The sizes are those at which taps weigh most: the tiny presets, and
one token at a time through the modules. What users decode with on a processor (`decode/native.py`) passes no
taps at all, and is here to show that.

Usage: python benchmarks/taps.py [--pairs 200] [--threads 1] [--only NAME]
"""

from __future__ import annotations

import argparse
import math
import statistics
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from typing import Any

import torch

from regard.decode.choose import stepper_for
from regard.decode.search import Limits, greedy
from regard.decode.stepper import EncoderDecoderStepper, PromptStepper
from regard.model import tap as taps
from regard.model.block import PreNorm
from regard.model.embed import Tokens
from regard.model.head import Classes
from regard.model.mask import Causal, Full
from regard.model.presets import ENCODER_DECODER, encoder_decoder, one_stack

V, ROWS, S, T = 8000, 64, 14, 15
SIZE = ENCODER_DECODER["tiny"]


def _nothing(module: object, point: str, value: Any) -> Any:
    return value


def _unwanted(module: object, *points: str) -> bool:
    return False


def _unwatched() -> bool:
    return False


def places() -> list[tuple[Any, str, Any]]:
    """Every module that calls a tap: itself, the name, and what stands there instead."""
    instead = {
        "tap": (taps.tap, _nothing),
        "wanted": (taps.wanted, _unwanted),
        "watching": (taps.watching, _unwatched),
    }
    modules = [x for name, x in sys.modules.items() if name.startswith("regard.") and x is not taps]
    return [
        (module, name, other)
        for module in modules
        for name, (own, other) in instead.items()
        if getattr(module, name, None) is own
    ]


@contextmanager
def without(found: list[tuple[Any, str, Any]]) -> Iterator[None]:
    """Taps do nothing in here."""
    kept = [getattr(module, name) for module, name, _ in found]
    for module, name, other in found:
        setattr(module, name, other)
    try:
        yield
    finally:
        for (module, name, _), own in zip(found, kept, strict=True):
            setattr(module, name, own)


def training() -> Callable[[], None]:
    """A step of the translation model: forward, loss, backward."""
    config = encoder_decoder(SIZE, placement=PreNorm())
    model = replace(config, source=Tokens(V), target=Tokens(V)).build().train()
    source, given, wanted = (torch.randint(0, V, (ROWS, length)) for length in (S, T, T))

    def step() -> None:
        hidden = model.hidden(source, given)
        model.head.loss(hidden.flatten(0, 1), wanted.flatten(), 0.1).backward()
        model.zero_grad()

    return step


def _one_stack(**options: Any) -> Any:
    config = one_stack(SIZE, placement=PreNorm(), **options)
    return replace(config, embed=Tokens(V)).build().eval()


def classifying() -> Callable[[], None]:
    """One sentence through an encoder and a head of classes."""
    model, ids = _one_stack(mask=Full(), head=Classes(5)), torch.randint(0, V, (1, S))

    def predict() -> None:
        with torch.inference_mode():
            model(ids)

    return predict


def generating() -> Callable[[], None]:
    """Eight tokens of a GPT, one at a time."""
    model, prompt = _one_stack(mask=Causal()), torch.randint(0, V, (S,)).tolist()

    def predict() -> None:
        stepper = PromptStepper(model, [prompt], S + T)
        for token in range(8):
            stepper.step(torch.tensor([token]))

    return predict


def _translator() -> Any:
    config = encoder_decoder(SIZE, placement=PreNorm())
    return replace(config, source=Tokens(V), target=Tokens(V)).build().eval()


def translating(plain: bool) -> Callable[[], None]:
    """Fifteen tokens, greedily: through the modules, or as users decode on this machine."""
    model, source = _translator(), torch.randint(0, V, (1, S))
    limits = Limits(bos=1, eos=V, limit=[T])

    def predict() -> None:
        with torch.inference_mode():
            make = EncoderDecoderStepper if plain else stepper_for
            greedy(make(model, source, None, T), limits, torch.device("cpu"))

    return predict


WORK: dict[str, Callable[[], Callable[[], None]]] = {
    "training step": training,
    "classify one sentence": classifying,
    "generate 8 tokens": generating,
    "translate, by the modules": lambda: translating(True),
    "translate, as users do": lambda: translating(False),
}


@contextmanager
def counted(found: list[tuple[Any, str, Any]]) -> Iterator[dict[str, int]]:
    """How often each of the functions is called in here."""
    calls = dict.fromkeys(("tap", "wanted", "watching"), 0)

    def counting(name: str) -> Callable[..., Any]:
        own = getattr(taps, name)

        def call(*arguments: Any) -> Any:
            calls[name] += 1
            return own(*arguments)

        return call

    with without([(module, name, counting(name)) for module, name, _ in found]):
        yield calls


def call_seconds() -> dict[str, float]:
    """What a closed call takes, the least of several loops."""
    module, value, many = torch.nn.Identity(), torch.zeros(1), 20_000
    calls: dict[str, Callable[[], Any]] = {
        "tap": lambda: taps.tap(module, "weights", value),
        "wanted": lambda: taps.wanted(module, "scores", "weights"),
        "watching": taps.watching,
    }
    found = {}
    for name, call in calls.items():
        times = []
        for _ in range(9):
            started = time.perf_counter()
            for _ in range(many):
                call()
            times.append((time.perf_counter() - started) / many)
        found[name] = min(times)
    return found


def account(work: Callable[[], None], seconds: float) -> str:
    with counted(places()) as calls:
        work()
    cost = call_seconds()
    spent = sum(count * cost[name] for name, count in calls.items())
    return (
        f"{sum(calls.values())} calls, {1e6 * spent:.0f} µs of {1000 * seconds:.1f} ms: {spent / seconds:.3%}"
    )


def bounds(ratios: list[float]) -> tuple[float, float]:
    """Between which the median lies with 95 % confidence: n / 2 ± 0.98 √n of those in order."""
    ordered, half = sorted(ratios), 0.98 * math.sqrt(len(ratios))
    low, high = int(len(ratios) / 2 - half), math.ceil(len(ratios) / 2 + half)
    return ordered[max(0, low)], ordered[min(len(ordered) - 1, high)]


def compare(work: Callable[[], None], pairs: int) -> tuple[list[float], float]:
    """Time with taps over time without, pair by pair; and the median time, in seconds."""
    found, ratios, all_seconds = places(), [], []

    def timed() -> float:
        started = time.process_time()
        work()
        return time.process_time() - started

    for warm in range(6):
        with without(found if warm % 2 else []):
            work()
    for pair in range(pairs):
        seconds = {}
        for closed in (True, False) if pair % 2 else (False, True):
            with without([] if closed else found):
                seconds[closed] = timed()
        ratios.append(seconds[True] / seconds[False])
        all_seconds.append(seconds[True])
    return ratios, statistics.median(all_seconds)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--pairs", type=int, default=200)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--only", help="one of the names that are printed")
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    torch.manual_seed(1)
    print(
        f"{len(places())} modules call taps; {options.pairs} pairs each; time with inactive hooks / without"
    )
    for name, make in WORK.items():
        if options.only in (None, name):
            ratios, seconds = compare(work := make(), options.pairs)
            low, middle, high = statistics.quantiles(ratios, n=4)
            sure = "{:.4f} to {:.4f}".format(*bounds(ratios))
            print(f"{name:26} {middle:.4f}, surely {sure}; middle half {low:.4f} to {high:.4f}")
            print(f"{'':26} {account(work, seconds)}", flush=True)


if __name__ == "__main__":
    main()
