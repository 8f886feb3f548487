"""The device that a model computes on, and how much slower that is in one number format than in another.

A processor without units for a format computes it by emulation, up to a hundred times slower than float32,
and says so nowhere: what it reports of its features does not tell which kernels a library has for them. So a
small product is timed, once a process for each device and format. It does not know what the product is for.
"""

from __future__ import annotations

import functools
import math
import time
from collections.abc import Callable

import torch
import torch.nn.functional as F
from torch import Tensor

from regard.errors import ConfigError

SLOW = 2.0
"""From so many times float32's time on, a format is not worth having: all it gives is half the memory."""
_SIZES = {"cpu": (64, 256, 256)}
"""8 million operations: 8 ms at a thousand million a second, which is what emulation comes to."""
_ELSEWHERE = (1024, 1024, 1024)
"""Less would be over before it is begun."""
_SPENT = 0.01
"""Seconds after which a format is not tried again."""
_TRIES = 5


def device_names() -> list[str]:
    """All that can be named here: `cpu`, `cuda:0` with the name of the card, `mps`."""
    cards = range(torch.cuda.device_count() if torch.cuda.is_available() else 0)
    others = ["mps"] if torch.backends.mps.is_available() else []
    return ["cpu", *(f"cuda:{i} {torch.cuda.get_device_name(i)}" for i in cards), *others]


def pick_device(name: str | torch.device | None = None) -> torch.device:
    """The named device; of None and "auto", the best that this machine has.

    Raises: ConfigError when it has no such device.
    """
    if name in (None, "auto"):
        if torch.cuda.is_available():
            name = "cuda"
        elif torch.backends.mps.is_available():
            name = "mps"
        else:
            name = "cpu"
    try:
        device = torch.device(name)
        torch.zeros(1, device=device).item()  # `meta`, which holds no numbers, cannot say it
    except (RuntimeError, AssertionError, NotImplementedError) as problem:
        sentence = "{key} '{value}' cannot be used here; this machine has {limit}"
        raise ConfigError(sentence, "device", name, ", ".join(device_names())) from problem
    return device


def moved(value: Tensor, device: torch.device) -> Tensor:
    """`value` on `device`, without waiting for the work that is still to be done there.

    On MPS it is waited for: there a copy reads the host's memory later, when it may belong to somebody else
    (github.com/pytorch/pytorch/issues/139550 and 189690). CUDA copies at once what stands in pinned memory,
    and that is given to nobody before it has been read; of other memory it waits for all that went before.
    """
    if device.type == "cuda" and value.device.type == "cpu":
        return value.pin_memory().to(device, non_blocking=True)
    return value.to(device)


def synchronize(device: torch.device) -> None:
    """Wait until all that was asked of a device is done; a processor does at once what it is asked."""
    if device.type != "cpu":
        torch.accelerator.synchronize(device)


@functools.cache
def slowdown(device: torch.device, dtype: torch.dtype) -> float:
    """How many times as long a product takes in `dtype` as in float32; less than 1 where it is faster.

    Measured on the first call for a device and a format, within 50 ms.
    """
    if dtype == torch.float32:
        return 1.0
    return _seconds(device, dtype) / _seconds(device, torch.float32)


def slow_warning(device: torch.device, dtype: torch.dtype, remedy: str) -> str | None:
    """One sentence where `dtype` is computed slowly: by how much, and `remedy`, the option that is faster."""
    ratio = slowdown(device, dtype)
    if ratio < SLOW:
        return None
    times = f"{ratio:.0f}" if ratio >= 10 else f"{ratio:.1f}"
    where = "processor" if device.type == "cpu" else "device"
    return f"{str(dtype)[6:]} is computed {times} times slower than float32 on this {where}; use {remedy}"


def best_seconds(work: Callable[[], object], enough: float = math.inf) -> float:
    """The best of some tries on the host, after one that does not count, of which no more are begun after
    `enough` seconds."""
    best, begun = math.inf, time.perf_counter()
    for number in range(_TRIES + 1):
        started = time.perf_counter()
        work()
        ended = time.perf_counter()
        if number:  # the first makes its kernel
            best = min(best, ended - started)
            if ended - begun > enough:
                break
    return best


def _seconds(device: torch.device, dtype: torch.dtype) -> float:
    rows, width, made = _SIZES.get(device.type, _ELSEWHERE)

    def work() -> None:
        F.linear(x, weight)
        synchronize(device)

    with torch.inference_mode():
        x, weight = (torch.ones(size, device=device, dtype=dtype) for size in ((rows, width), (made, width)))
        return best_seconds(work, _SPENT)
