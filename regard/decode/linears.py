"""Linears of a model as functions over memory that torch and the kernels share.

Products are made by the kernels (`kernels/`), whose weights are packed, that is copied, when they are first
used; float32 products of many rows are torch's where that is faster, and those of weights too large to be
copied. A product that does little but read its weights is cut by outputs for as many threads as torch uses.
"""

from __future__ import annotations

import functools
import math
import os
import sys
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn.utils import skip_init

from regard.decode.kernels import products
from regard.decode.kernels.family import LANES, STRIP
from regard.model.device import best_seconds
from regard.model.head import VocabularyHead
from regard.model.quantize import Int8Linear
from regard.threads import computing_with

COPIED = 2**30
"""Bytes of float32 weights up to which a model's are copied into the order of the kernels."""
_SHARED, _FEW = 2**21, 8
"""Bytes of packed weights from which, and rows up to which, threads share a product."""


@dataclass(frozen=True)
class Buffer:
    """Memory that torch and the loops both see."""

    tensor: Tensor
    array: np.ndarray

    @staticmethod
    def of(shape: tuple[int, ...]) -> Buffer:
        """New memory for float32."""
        tensor = torch.empty(shape, dtype=torch.float32)
        return Buffer(tensor, tensor.numpy())


Activation = Callable[[Tensor], Tensor]
Product = Callable[[Buffer, Buffer], None]
"""Writes into (R, N) what a linear makes of (R, D)."""
_Kernel = Callable[[np.ndarray, int, int, np.ndarray], None]
"""The same for outputs from one to another, into (R, of these)."""


def product(linear: nn.Module, activation: Activation | None = None, *, copied: bool = True) -> Product:
    """What a linear does, and an activation after it. `copied`: whether a float one's weights may be."""
    clipped = activation is nn.functional.relu
    if isinstance(linear, Int8Linear):
        made = _by_kernel(linear.weight, _kernel(linear, clipped))
    else:
        assert isinstance(linear, nn.Linear | VocabularyHead)
        by_torch, kernel = _by_torch(linear, clipped), _by_kernel(linear.weight, _kernel(linear, clipped))
        made = _either(kernel, by_torch) if copied else by_torch
    if activation is None or clipped:
        return made

    def activated(x: Buffer, y: Buffer) -> None:
        made(x, y)
        y.tensor.copy_(activation(y.tensor))

    return activated


def _either(few: Product, many: Product) -> Product:
    def made(x: Buffer, y: Buffer) -> None:
        (few if len(x.array) < torch_from() else many)(x, y)

    return made


def _by_torch(linear: nn.Linear | VocabularyHead, clipped: bool) -> Product:
    weight, bias = linear.weight.detach().t(), None if linear.bias is None else linear.bias.detach()

    def made(x: Buffer, y: Buffer) -> None:
        if bias is None:
            torch.mm(x.tensor, weight, out=y.tensor)
        else:
            torch.addmm(bias, x.tensor, weight, out=y.tensor)
        if clipped:
            y.tensor.relu_()

    return made


def _kernel(linear: nn.Linear | VocabularyHead | Int8Linear, clipped: bool) -> _Kernel:
    bias, packed = bias_of(linear), functools.cache(lambda: pack(linear))
    scale = linear.scale.numpy() if isinstance(linear, Int8Linear) else None

    def made(x: np.ndarray, first: int, last: int, y: np.ndarray) -> None:
        weights, some = packed()[first // LANES : -(-last // LANES)], slice(first, last)
        if scale is None:
            products.linear(x, weights, bias[some], clipped, y)
        else:
            products.int8_linear(x, weights, scale[some], bias[some], clipped, y)

    return made


def pack(linear: nn.Module) -> np.ndarray:
    """A linear's weights in the order of the kernels: float32 or bytes, (blocks, steps, of a step)."""
    weight: Tensor = linear.weight  # type: ignore[assignment]
    multiply = products.FAMILY.bytes if isinstance(linear, Int8Linear) else products.FAMILY.floats
    packed = multiply.pack(weight.detach().numpy())
    return packed.view(np.uint8) if isinstance(linear, Int8Linear) else packed


def bias_of(linear: nn.Module) -> np.ndarray:
    """A linear's biases, zeros if it has none."""
    bias: Tensor | None = linear.bias  # type: ignore[assignment]
    weight: Tensor = linear.weight  # type: ignore[assignment]
    return np.zeros(len(weight), np.float32) if bias is None else bias.detach().numpy()


def _by_kernel(weight: Tensor, kernel: _Kernel) -> Product:
    """By one thread, or by several where most of the time goes into reading weights and that is faster."""
    outputs, trial = len(weight), _Trial()
    shareable = weight.nbytes >= _SHARED

    def made(x: Buffer, y: Buffer) -> None:
        threads = torch.get_num_threads() if shareable and len(x.array) <= _FEW else 1
        if threads == 1:
            kernel(x.array, 0, outputs, y.array)
            return
        with trial as shared:
            if shared:
                _share(kernel, threads, outputs, x, y)
            else:
                kernel(x.array, 0, outputs, y.array)

    return made


class _Trial:
    """Which of two ways to the same numbers is faster, tried now and then: a context that says the way."""

    _TRIED, _EVERY = 6, 512

    def __init__(self) -> None:
        self._calls, self._best, self._started = 0, {True: math.inf, False: math.inf}, 0.0

    def __enter__(self) -> bool:
        at = self._calls % self._EVERY
        if at == 0:
            self._best = dict.fromkeys(self._best, math.inf)
        self._way = at % 2 == 0 if at < self._TRIED else self._best[True] < self._best[False]
        self._started = time.perf_counter()
        return self._way

    def __exit__(self, *problem: object) -> None:
        if self._calls % self._EVERY < self._TRIED:
            self._best[self._way] = min(self._best[self._way], time.perf_counter() - self._started)
        self._calls += 1


def _share(kernel: _Kernel, threads: int, outputs: int, x: Buffer, y: Buffer) -> None:
    """By several threads, each of which makes some outputs."""
    share = LANES * STRIP * -(-outputs // (LANES * STRIP * threads))
    parts = [(first, min(outputs, first + share)) for first in range(0, outputs, share)]

    def take(part: tuple[int, int]) -> None:
        first, last = part
        made = np.empty((len(x.array), last - first), np.float32)
        kernel(x.array, first, last, made)
        y.array[:, first:last] = made

    others = [pool(threads).submit(take, part) for part in parts[1:]]
    take(parts[0])
    for other in others:
        other.result()


def pool(threads: int) -> ThreadPoolExecutor:
    """Threads of this process, for each of which torch uses no others."""
    return _pool(threads, os.getpid())  # a fork does not have them


@functools.lru_cache(maxsize=1)
def _pool(threads: int, process: int) -> ThreadPoolExecutor:
    return ThreadPoolExecutor(threads, initializer=torch.set_num_threads, initargs=(1,))


@functools.cache
def torch_from() -> int:
    """Rows from which torch's float32 products are faster than the kernels' on this processor.

    MKL's are, for many rows, on Intel's processors, and never on others. Measured once, in some
    milliseconds, on one thread.
    """
    rows, width = 64, 512
    x, y, linear = Buffer.of((rows, width)), Buffer.of((rows, width)), skip_init(nn.Linear, width, width)
    for tensor in (x.tensor, *(part.data for part in linear.parameters())):
        tensor.fill_(0.5)  # not at random: the user's random numbers stay what they are
    with computing_with(1), torch.inference_mode():
        by_kernel, by_torch = (
            best_seconds(functools.partial(made, x, y))
            for made in (_by_kernel(linear.weight, _kernel(linear, False)), _by_torch(linear, False))
        )
    return rows // 2 if by_torch < 0.9 * by_kernel else sys.maxsize
