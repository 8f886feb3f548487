"""What a GPU makes of training and generation, beside other libraries: one script that ends in eight minutes.

Sections, each in a process of its own, ended when its time is over, so that the others have theirs:

- tests: those marked `cuda`,
- tiny, base: training of the translation model of that size, on made-up pairs, beside torch's own
  nn.Transformer, transformers' Marian and x-transformers (`training.py` has them),
- gpt2: training of GPT-2's geometry (124M), beside torch's own layers, transformers and, where its folder is
  given, nanoGPT,
- vit: training of ViT-B/16 beside torch's own layers and transformers,
- generation: GPT-2's geometry, greedily, beside transformers (`generation.py`),
- compiled: gpt2 by `torch.compile`.

All of a section get the same numbers, the same loss and torch's fused AdamW, in float32 (without TF32) and
under autocast in bfloat16. Times are medians of steps, each waited for. FLOP/s are those of the matrix
products of our model, three times its forward pass; the peak is what the maker of the card says of products
without sparsity.

Usage: python benchmarks/gpu.py [--out DIR] [--nanogpt DIR] [--only tiny,gpt2]
       python benchmarks/gpu.py --device cpu --smoke      every section at toy size: does it run?
"""

from __future__ import annotations

import argparse
import json
import statistics
import subprocess
import sys
import threading
import time
import warnings
from collections.abc import Callable, Iterator
from contextlib import nullcontext
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import generation
import torch
import training
from gpu_models import Fed, NanoGPT, OurGPT, OurViT, TheirGPT, TheirViT, TorchGPT, TorchViT
from torch import nn

from regard.model.describe import describe
from regard.model.device import synchronize
from regard.model.presets import ENCODER_DECODER, VIT, encoder_decoder, vit
from regard.tasks.translation import PairBatch, Translation, TranslationConfig

HERE = Path(__file__).parent
SECONDS = {"tests": 100, "tiny": 50, "base": 60, "gpt2": 70, "vit": 50, "generation": 60, "compiled": 80}
"""How long each section may take; 470 in all."""
PEAKS = {  # TFLOP/s of dense products: float32 without TF32, bfloat16
    "H200": (67, 989), "H100": (67, 989), "A100": (19.5, 312), "L40S": (91.6, 362), "L4": (30.3, 121),
    "RTX 4090": (82.6, 165), "A10": (31.2, 125), "RTX 3090": (35.6, 71), "B200": (75, 2250),
}  # fmt: skip
Row = dict[str, Any]


@dataclass(frozen=True)
class Sizes:
    """How much is computed."""

    pairs: dict[str, int]
    words: int
    """The longest sentence of a pair, in tokens."""
    texts: int
    context: int
    images: int
    side: int
    batches: tuple[int, ...]
    """Of generation."""
    steps: int


FULL = Sizes({"tiny": 1024, "base": 256}, 40, 16, 1024, 64, 224, (1, 64), 20)
SMOKE = Sizes({"tiny": 3, "base": 2}, 7, 2, 24, 2, 32, (1, 2), 2)


@dataclass(frozen=True)
class Bench:
    """What a section is told."""

    device: torch.device
    smoke: bool
    nanogpt: str | None
    ends: float
    """By the clock `time.monotonic`."""

    @property
    def sizes(self) -> Sizes:
        return SMOKE if self.smoke else FULL

    # ------------------------------------------------------------------ what is measured

    def trained(self, what: str, makers: dict[str, Callable[[], Any]], flops: float, n: int) -> Iterator[Row]:
        """A row for each contender and format. `makers` make a module that gives a loss; `flops` and `n`: of
        a forward pass, and how many tokens or images a step has."""
        for precision in ("bfloat16", "float32"):
            for name, make in makers.items():
                which = {"what": what, "contender": name, "precision": precision}
                if time.monotonic() > self.ends:
                    yield which | {"left out": "no time left"}
                    continue
                try:
                    yield which | self.row(precision, 3 * flops, n, self._steps(make, precision))
                except ImportError as missing:
                    yield which | {"left out": str(missing)}
                except torch.OutOfMemoryError:
                    yield which | {"left out": "no memory left"}

    def _steps(self, make: Callable[[], Any], precision: str) -> tuple[list[float], float]:
        """Seconds of each step, and the most memory that was held, in GiB."""
        torch.manual_seed(1)
        self.forget()
        model = make().to(self.device).train()
        optimizer = torch.optim.AdamW(model.parameters(), lr=1e-4, fused=True)
        low = torch.autocast(self.device.type, dtype=torch.bfloat16)

        def step() -> None:
            with low if precision == "bfloat16" else nullcontext():
                loss = model()
            loss.backward()
            nn.utils.clip_grad_norm_(model.parameters(), 1.0)
            optimizer.step()
            optimizer.zero_grad(set_to_none=True)

        times = self.timed(step, 3 if not self.smoke else 1, self.sizes.steps)
        return times, self.memory()

    def timed(self, work: Callable[[], object], warm: int, count: int) -> list[float]:
        """Seconds of each of some calls, after `warm` others; fewer where the time is over."""
        times: list[float] = []
        for number in range(warm + count):
            synchronize(self.device)
            started = time.perf_counter()
            work()
            synchronize(self.device)
            if number >= warm:
                times.append(time.perf_counter() - started)
            if times and time.monotonic() > self.ends:
                break
        return times

    def forget(self) -> None:
        if self.device.type == "cuda":
            torch.cuda.empty_cache()
            torch.cuda.reset_peak_memory_stats()

    def memory(self) -> float:
        return torch.cuda.max_memory_allocated() / 2**30 if self.device.type == "cuda" else 0.0

    def row(self, precision: str, flops: float, n: int, measured: tuple[list[float], float]) -> Row:
        """`measured`: seconds of each time, and GiB."""
        times, memory = measured
        seconds = statistics.median(times)
        row = {
            "milliseconds": round(1000 * seconds, 3),
            "a second": round(n / seconds, 1),
            "TFLOP/s": round(flops / seconds / 1e12, 3),
            "GiB": round(memory, 3),
        }
        peak = self._peak(precision)
        return row if peak is None else row | {"of the peak": round(flops / seconds / 1e12 / peak, 4)}

    def _peak(self, precision: str) -> float | None:
        card = torch.cuda.get_device_name() if self.device.type == "cuda" else ""
        return next((peaks[precision != "float32"] for name, peaks in PEAKS.items() if name in card), None)


# ------------------------------------------------------------------------------------ translation


def translation(size: str) -> Callable[[Bench], Iterator[Row]]:
    def section(bench: Bench) -> Iterator[Row]:
        training.SIZE = ENCODER_DECODER[size]
        vocabulary: Any = SimpleNamespace(size=8000 if not bench.smoke else 50, pad=0, bos=1, eos=2)
        task = Translation(TranslationConfig(), vocabulary, vocabulary)
        batch = _pairs(bench.sizes.pairs[size], bench.sizes.words, vocabulary.size).to(bench.device)
        model = task.configure_model(encoder_decoder(training.SIZE)).build()
        rows, length = batch.source.shape
        flops = rows * describe(model, source=length, target=batch.given.shape[1]).flops
        makers = {
            name: lambda make=make: Fed(make(task, 0.1), batch) for name, make in training.CONTENDERS.items()
        }
        yield from bench.trained(f"training {size} translation", makers, flops, batch.tokens)

    return section


def _pairs(rows: int, longest: int, vocabulary: int) -> PairBatch:
    lengths = torch.randint(longest // 2, longest + 1, (2, rows))
    source, target = torch.randint(3, vocabulary, (2, rows, longest + 1))
    real = (torch.arange(longest) < lengths[1][:, None]).flatten().nonzero()[:, 0]
    wanted = target[:, 1:].flatten()[real]
    return PairBatch(source[:, :longest], lengths[0], target[:, :-1].contiguous(), wanted, real)


# ------------------------------------------------------------------------------------------ GPT-2


def gpt2(bench: Bench) -> Iterator[Row]:
    yield from _gpt2(bench, "training GPT-2 124M", lambda model: model)


def compiled(bench: Bench) -> Iterator[Row]:
    backend = "eager" if bench.smoke else "inductor"
    what = "training GPT-2 124M, compiled"
    yield from _gpt2(bench, what, lambda model: torch.compile(model, backend=backend))


def _gpt2(bench: Bench, what: str, wrap: Callable[[Any], Any]) -> Iterator[Row]:
    given = torch.randint(0, generation.VOCAB, (bench.sizes.texts, bench.sizes.context + 1))
    ids, wanted = given[:, :-1].contiguous().to(bench.device), given[:, 1:].flatten().to(bench.device)
    makers: dict[str, Callable[[], Any]]
    makers = {"regard": OurGPT, "torch's layers": TorchGPT, "transformers": TheirGPT}
    if bench.nanogpt:
        makers["nanoGPT"] = lambda: NanoGPT(bench.nanogpt or "")
    model = generation.config().build()
    flops = bench.sizes.texts * describe(model, bench.sizes.context, bench.sizes.context).flops
    fed = {name: lambda make=make: Fed(wrap(make()), ids, wanted) for name, make in makers.items()}
    yield from bench.trained(what, fed, flops, wanted.numel())


# ------------------------------------------------------------------------------------------ ViT-B


def vision(bench: Bench) -> Iterator[Row]:
    size = replace(VIT["vit-b16"], dropout=0.0)
    if bench.smoke:
        size = replace(size, depth=1, width=24, hidden=32, heads=2)
    side, count = bench.sizes.side, bench.sizes.images
    config: Any = vit(size)
    embed = replace(config.embed, channels=3, pixel_rows=side, pixel_columns=side)
    stack = replace(config.stack, position=replace(config.stack.position, length=embed.length))
    config = replace(config, embed=embed, stack=stack, head=replace(config.head, count=1000))
    images = torch.randn((count, 3, side, side), device=bench.device)
    wanted = torch.randint(0, 1000, (count,), device=bench.device)
    makers = {
        "regard": lambda: Fed(OurViT(config), images, wanted),
        "torch's layers": lambda: Fed(TorchViT(size, side), images, wanted),
        "transformers": lambda: Fed(TheirViT(size, side), images, wanted),
    }
    yield from bench.trained("training ViT-B/16", makers, count * describe(config.build()).flops, count)


# ------------------------------------------------------------------------------------- generation


def generated(bench: Bench) -> Iterator[Row]:
    peer, device = generation.gpt2(), str(bench.device)
    each = describe(generation.config().build(), 1, 1).flops * generation.WRITTEN
    for dtype in ("bfloat16", "float32", "int8"):
        makers = {"regard": lambda dtype=dtype: generation.regard_generate(peer, dtype, device)}
        if dtype != "int8":
            makers["transformers"] = lambda dtype=dtype: generation.transformers_generate(
                peer.to(device, getattr(torch, dtype)), device
            )
        for name, make in makers.items():
            generate = make()
            for batch in bench.sizes.batches:
                if time.monotonic() > bench.ends:
                    return
                bench.forget()
                given = generation.prompts(batch)
                times = bench.timed(partial(generate, given), 1, 2 if bench.smoke else 3)
                which = {"what": f"generation, batch {batch}", "contender": name, "precision": dtype}
                n, measured = batch * generation.WRITTEN, (times, bench.memory())
                yield which | bench.row(dtype, batch * each, n, measured)
            peer.to("cpu", torch.float32)


def tested(bench: Bench) -> Iterator[Row]:
    command = [sys.executable, "-m", "pytest", "--tb=short", "-p", "no:cacheprovider", "tests/cuda"]
    left = max(10.0, bench.ends - time.monotonic())
    try:
        done = subprocess.run(command, cwd=HERE.parent, capture_output=True, text=True, timeout=left)
        said = done.stdout.splitlines()
        yield {"what": "tests marked cuda", "status": done.returncode, "summary": said[-1] if said else ""}
        if done.returncode:
            yield {"what": "failures", "text": done.stdout[-8000:]}
    except subprocess.TimeoutExpired as late:
        text = late.stdout or b""
        text = text.decode("utf-8", "replace") if isinstance(text, bytes) else text
        yield {"what": "tests marked cuda", "status": None, "summary": "no time left", "text": text[-4000:]}


SECTIONS: dict[str, Callable[[Bench], Iterator[Row]]] = {
    "tests": tested, "tiny": translation("tiny"), "base": translation("base"), "gpt2": gpt2, "vit": vision,
    "generation": generated, "compiled": compiled,
}  # fmt: skip


# ------------------------------------------------------------------------------------- the whole


def shown(row: Row) -> str:
    """A line for people."""
    if "left out" in row:
        return f"  {row['contender']:20} {row['precision']:9} left out: {row['left out']}"
    if "milliseconds" not in row:
        return "  " + "  ".join(f"{key}: {value}" for key, value in row.items())
    peak = f" {row['of the peak']:6.1%} of the peak" if "of the peak" in row else ""
    return (
        f"  {row['what']:32} {row['contender']:20} {row['precision']:9} {row['milliseconds']:10,.2f} ms"
        f" {row['a second']:12,.0f}/s {row['TFLOP/s']:8.2f} TFLOP/s{peak} {row['GiB']:6.2f} GiB"
    )


def alone(section: str, bench: Bench) -> None:
    """A section in this process: its rows as JSON lines."""
    warnings.filterwarnings("ignore")
    for row in SECTIONS[section](bench):
        print(json.dumps({"section": section} | row), flush=True)


def in_turns(options: argparse.Namespace, names: list[str]) -> Iterator[tuple[str, Row]]:
    """The rows of all sections, each in a process of its own."""
    over = time.monotonic() + options.seconds
    for name in names:
        limit = min(SECONDS[name], over - time.monotonic())
        if limit < 5:
            yield name, {"what": name, "status": "left out", "why": "no time left"}
            continue
        command = [sys.executable, __file__, "--section", name, "--device", options.device]
        command += ["--seconds", f"{limit - 3}", *["--smoke"] * options.smoke]
        command += ["--nanogpt", options.nanogpt] if options.nanogpt else []
        with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as child:
            guard = threading.Timer(limit, child.kill)
            guard.start()
            assert child.stdout is not None
            for line in child.stdout:
                if line.startswith("{"):
                    yield name, json.loads(line)
            guard.cancel()
            status = child.wait()
        if status:
            why = "its time was over" if status == -9 else f"exit status {status}"
            yield name, {"what": name, "status": "ended early", "why": why}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--device", default="cuda")
    parser.add_argument("--out", type=Path, help="a folder for gpu.jsonl")
    parser.add_argument("--nanogpt", help="a checkout of nanoGPT")
    parser.add_argument("--only", default="", help="sections, with commas")
    parser.add_argument("--seconds", type=float, default=475, help="when to be done")
    parser.add_argument("--smoke", action="store_true", help="toy sizes")
    parser.add_argument("--section", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.device == "cuda" and not torch.cuda.is_available():
        print("there is no CUDA device here; try it with --device cpu --smoke", file=sys.stderr)
        raise SystemExit(2)
    if options.smoke:
        generation.shrink()
    if options.section:
        ends = time.monotonic() + options.seconds
        alone(options.section, Bench(torch.device(options.device), options.smoke, options.nanogpt, ends))
        return
    names = [name for name in SECTIONS if not options.only or name in options.only.split(",")]
    card = torch.cuda.get_device_name() if options.device == "cuda" else options.device
    print(f"{card}, torch {torch.__version__}", flush=True)
    file = None
    if options.out:
        options.out.mkdir(parents=True, exist_ok=True)
        file = (options.out / "gpu.jsonl").open("w", encoding="utf-8")
        print(json.dumps({"device": card, "torch": torch.__version__}), file=file, flush=True)
    for name, row in in_turns(options, names):
        print(f"{name:10}{shown(row)}", flush=True)
        if file is not None:
            print(json.dumps({"section": name} | row), file=file, flush=True)
    if file is not None:
        file.close()


if __name__ == "__main__":
    main()
