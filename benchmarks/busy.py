"""Training and decoding beside another program: an endless loop that is bound to one processor.

Each kind of work is done by three processes, in turns within a round, so that a drifting machine treats all
alike; medians of rounds are printed.
- as it is: as many threads as `regard` takes by itself;
- one, free: one thread, bound to a processor that the loop leaves alone;
- spinning: as many threads, which wait as libgomp has them, since `regard` was told to leave that alone.

What is printed at the end: beside the loop, `as it is` against `one, free`; without it, against `spinning`.

Usage: python benchmarks/busy.py [--rounds 5] [--seconds 1] [--only training,quiet]
"""

from __future__ import annotations

import argparse
import itertools
import os
import statistics
import time
from collections.abc import Callable
from multiprocessing import Process
from multiprocessing.connection import Connection

from engines import Engine

from regard.machine import processor_name, usable_processors

WAYS = ("as it is", "one, free", "spinning")
VOCAB, PAIRS, LENGTH, WRITTEN = 8000, 128, 16, 20
SETTLE = 4.0  # seconds of work, before any is measured
Work = Callable[[], int]
"""Does some of it, and says how many tokens that were."""


def loop(processor: int) -> None:
    """The other program."""
    os.sched_setaffinity(0, {processor})
    while True:
        pass


def training() -> Work:
    """Steps of the tiny translation model, as `regard bench` takes them."""
    import torch

    from regard.model.presets import ENCODER_DECODER, encoder_decoder
    from regard.threads import free_threads

    config = encoder_decoder(ENCODER_DECODER["tiny"], source_vocab=VOCAB, target_vocab=VOCAB)
    model = config.build()
    optimizer = torch.optim.AdamW(model.parameters(), fused=True)
    source, target = (torch.randint(VOCAB, (PAIRS, LENGTH)) for _ in range(2))

    threads = torch.get_num_threads()

    def step() -> int:
        torch.set_num_threads(free_threads(threads))  # as a run with a time budget does
        hidden = model.hidden(source, target).flatten(0, 1)
        (model.head.loss(hidden, target.roll(-1, 1).flatten(), 0.1) / target.numel()).backward()
        optimizer.step()
        optimizer.zero_grad()
        return target.numel()

    return step


def decoding(batch: int, width: int, *, compiled: bool = True, dtype: str = "float32") -> Work:
    """Of the same model with random weights; `compiled`: with the extra `fast`, or as without it."""
    import torch

    from regard.decode.choose import shareable, stepper_for
    from regard.decode.lean import LeanStepper
    from regard.decode.parallel import in_shares
    from regard.decode.search import Limits, beam_search, greedy
    from regard.model.layout import lay_out
    from regard.model.mask import Contiguous
    from regard.model.presets import ENCODER_DECODER, encoder_decoder
    from regard.model.quantize import quantize

    config = encoder_decoder(ENCODER_DECODER["tiny"], source_vocab=VOCAB, target_vocab=VOCAB)
    model = config.build().eval().requires_grad_(False)
    model = lay_out(quantize(model) if dtype == "int8" else model)
    source = torch.randint(VOCAB, (batch, LENGTH)).tolist()
    made = stepper_for if compiled else LeanStepper

    @torch.inference_mode()
    def share(inputs: list[list[int]]) -> list[object]:
        ids, limits = torch.tensor(inputs), Limits(1, -1, [WRITTEN] * len(inputs))
        stepper = made(model, ids, Contiguous(0, LENGTH), WRITTEN)
        if width == 1:
            return list(greedy(stepper, limits, ids.device))
        return list(beam_search(stepper, limits, ids.device, width=width))

    def decode() -> int:
        return WRITTEN * len(in_shares(share, source, lambda: compiled and shareable(model)))

    return decode


def generation(batch: int, dtype: str) -> Work:
    """Of a causal model of 40 million weights, which no cache holds."""
    import torch

    from regard.decode.choose import prompt_stepper_for
    from regard.decode.search import Limits, greedy
    from regard.model.layout import lay_out
    from regard.model.mask import Causal
    from regard.model.presets import Size, one_stack
    from regard.model.quantize import quantize

    size = Size(encoder_depth=8, decoder_depth=0, width=512, hidden=2048, heads=8, dropout=0.0)
    model = one_stack(size, vocab=32_000, mask=Causal()).build().eval().requires_grad_(False)
    model = lay_out(quantize(model) if dtype == "int8" else model)
    prompts = torch.randint(32_000, (batch, LENGTH)).tolist()

    @torch.inference_mode()
    def generate() -> int:
        stepper = prompt_stepper_for(model, prompts, LENGTH + WRITTEN)
        return sum(len(ids) for ids in greedy(stepper, Limits(1, -1, [WRITTEN] * batch), torch.device("cpu")))

    return generate


WORK: dict[str, Callable[[], Work]] = {
    "training": training,
    "decoding 64 greedy": lambda: decoding(64, 1),
    "decoding 64 beam 5": lambda: decoding(64, 5),
    "decoding 64 greedy int8": lambda: decoding(64, 1, dtype="int8"),
    "decoding 64 beam 5 without numba": lambda: decoding(64, 5, compiled=False),
    "generation 1 float32": lambda: generation(1, "float32"),
    "generation 16 float32": lambda: generation(16, "float32"),
    "generation 16 int8": lambda: generation(16, "int8"),
}


def serve(pipe: Connection, way: str, threads: int) -> None:
    """A process that works one way: takes a kind of work, or for how long to do it; gives tokens a second."""
    if way == "one, free":
        os.sched_setaffinity(0, {min(os.sched_getaffinity(0))})
    if way == "spinning":
        os.environ["GOMP_SPINCOUNT"] = "300000"  # what it is when nobody says anything
    import torch

    from regard.threads import use_threads

    use_threads(1 if way == "one, free" else None)
    torch.manual_seed(1)
    work: Work = lambda: 1  # noqa: E731
    threads = torch.get_num_threads()
    while (asked := pipe.recv()) is not None:
        if isinstance(asked, str):
            torch.set_num_threads(threads)  # which training has changed
            work = WORK[asked]()
            asked = SETTLE
        started, done = time.perf_counter(), 0
        while time.perf_counter() - started < asked or not done:
            done += work()
        pipe.send(done / (time.perf_counter() - started))


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--seconds", type=float, default=1.0, help="of work, each time")
    parser.add_argument("--only", default="", help="words that a line must have, with commas")
    options = parser.parse_args()
    wanted = set(filter(None, options.only.split(",")))
    threads, last = usable_processors(), max(os.sched_getaffinity(0))
    print(f"{processor_name()}, {threads} threads; tokens/s, median of {options.rounds} rounds")
    print(f"{'':42}" + "".join(f"{way:>12}" for way in WAYS))
    engines = [Engine(serve, way, threads) for way in WAYS]
    for engine in engines:
        engine.ask(0.0)  # until all have begun: that keeps a machine busy, too
    for what, state in itertools.product(WORK, ("quiet", "busy")):
        if not wanted <= {*what.split(), state}:
            continue
        other = Process(target=loop, args=(last,), daemon=True)
        if state == "busy":
            other.start()
        for engine in engines:  # and warm up
            engine.ask(what)
        speeds: dict[str, list[float]] = {way: [] for way in WAYS}
        for _ in range(options.rounds):
            for engine in engines:
                speeds[engine.name].append(engine.ask(options.seconds))
        if state == "busy":
            other.kill()
            other.join()
        medians = [statistics.median(values) for values in speeds.values()]
        peer = 1 if state == "busy" else 2
        ratio = medians[0] / medians[peer]
        row = "".join(f"{value:12,.0f}" for value in medians)
        print(f"{what:34} {state:6} {row}   {ratio:.2f} × {WAYS[peer]}", flush=True)
    for engine in engines:
        engine.ask(None)


if __name__ == "__main__":
    main()
