"""What this machine can do, and how near training and decoding come to it: `regard bench`.

Ceilings are the best of several runs: what the machine does when left alone. Speeds are medians. Training
is measured on made-up pairs of equal length, decoding with random weights and the end token out of reach,
so that nothing depends on data. For comparisons with other libraries see `benchmarks/`.
"""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable, Iterator
from typing import Any

import torch

from regard.decode.choose import shareable, stepper_for
from regard.decode.parallel import in_shares
from regard.decode.search import Limits, beam_search, greedy
from regard.errors import ConfigError, unknown
from regard.machine import keep_freed_memory
from regard.model.describe import describe
from regard.model.device import pick_device, slowdown, synchronize
from regard.model.layout import lay_out
from regard.model.mask import Contiguous
from regard.model.presets import ENCODER_DECODER, encoder_decoder
from regard.model.transformer import EncoderDecoder
from regard.strict_json import dumps
from regard.threads import use_threads

_VOCAB, _PAIRS, _TOKENS, _WRITTEN = 8000, 128, 16, 20
_CPU = torch.device("cpu")


def bench_lines(
    preset: str = "tiny", *, as_json: bool = False, threads: int | None = None, device: str | None = None
) -> Iterator[str]:
    """One line a figure as soon as it is known: text, or JSON objects of `what`, `value` and `unit`.

    Raises: ConfigError for a preset that does not exist.
    """
    if preset not in ENCODER_DECODER:
        raise unknown(ConfigError, "preset", preset, ENCODER_DECODER)
    use_threads(threads)
    keep_freed_memory()
    place = pick_device(device)
    config = encoder_decoder(ENCODER_DECODER[preset], source_vocab=_VOCAB, target_vocab=_VOCAB)
    if not as_json:
        yield f"{preset}, {torch.get_num_threads()} threads, {place}, torch {torch.__version__}"
    best = 0.0
    for what, value, unit in ceilings(place):
        best = max(best, value if "float32" in what else 0.0)
        yield _line(what, value, unit, as_json)
    model = config.build().to(place)
    for what, value, unit in _training(model, best, place):
        yield _line(what, value, unit, as_json)
    lay_out(model.eval().requires_grad_(False))
    for batch in (1, 64):
        for width in (1, 5):
            search = "greedy" if width == 1 else f"beam {width}"
            speed = _decoding(model, batch, width, place)
            yield _line(f"decoding, batch {batch}, {search}", speed, "tokens/s", as_json)


def _line(what: str, value: float, unit: str, as_json: bool) -> str:
    if as_json:
        return dumps({"what": what, "value": value, "unit": unit})
    return f"{what:44} {value:12,.1f} {unit}"


def ceilings(device: torch.device = _CPU) -> Iterator[tuple[str, float, str]]:
    """What was measured, its figure and unit: matrix products at the sizes that matter, and memory."""
    for dtype in (torch.float32, torch.bfloat16, torch.float16):
        for rows, inner, out in ((1024, 512, 2048), (2048, 128, 8000)):
            # What is emulated shows it sooner.
            rows = max(16, round(rows / max(1.0, slowdown(device, dtype))))
            a, b = (torch.randn(size, device=device).to(dtype) for size in ((rows, inner), (inner, out)))
            speed = 2 * rows * inner * out / _fastest(lambda a=a, b=b: a @ b, device) / 1e9  # type: ignore[misc]
            yield f"product {rows} x {inner} x {out}, {str(dtype)[6:]}", speed, "GFLOP/s"
    x = torch.ones(2**26, device=device)
    yield "memory, reading", x.numel() * x.element_size() / _fastest(x.sum, device) / 1e9, "GB/s"


def _training(
    model: EncoderDecoder, ceiling: float, device: torch.device
) -> Iterator[tuple[str, float, str]]:
    """Speed of whole steps, and the part of the ceiling that their matrix products come to."""
    optimizer = torch.optim.AdamW(model.parameters(), fused=True)
    source, target = (torch.randint(_VOCAB, (_PAIRS, _TOKENS), device=device) for _ in range(2))
    wanted = target.roll(-1, 1).flatten()

    def step() -> None:
        loss = model.head.loss(model.hidden(source, target).flatten(0, 1), wanted, 0.1) / wanted.numel()
        loss.backward()
        optimizer.step()
        optimizer.zero_grad()

    seconds = _median(step, device, 5.0)
    flops = 3 * _PAIRS * describe(model, source=_TOKENS, target=_TOKENS).flops
    yield f"training, {_PAIRS} pairs of {_TOKENS} tokens", wanted.numel() / seconds, "target tokens/s"
    yield "training, of the product ceiling", 100 * flops / seconds / 1e9 / ceiling, "%"


def _decoding(model: EncoderDecoder, batch: int, width: int, device: torch.device) -> float:
    source = torch.randint(_VOCAB, (batch, _TOKENS)).tolist()

    @torch.inference_mode()
    def share(inputs: list[list[int]]) -> list[Any]:
        ids, limits = torch.tensor(inputs, device=device), Limits(1, -1, [_WRITTEN] * len(inputs))
        stepper = stepper_for(model, ids, Contiguous(0, _TOKENS), _WRITTEN)
        if width == 1:
            return greedy(stepper, limits, device)
        return beam_search(stepper, limits, device, width=width)

    return batch * _WRITTEN / _median(lambda: in_shares(share, source, lambda: shareable(model)), device, 2.0)


def _times(work: Callable[[], object], device: torch.device, spend: float) -> list[float]:
    """Seconds of each call, for about `spend` seconds in all, at least three times."""
    work()
    times: list[float] = []
    while len(times) < 3 or sum(times) < spend:
        start = time.perf_counter()
        work()
        synchronize(device)
        times.append(time.perf_counter() - start)
    return times


def _fastest(work: Callable[[], object], device: torch.device) -> float:
    return min(_times(work, device, 0.3))


def _median(work: Callable[[], object], device: torch.device, spend: float) -> float:
    return statistics.median(_times(work, device, spend))
