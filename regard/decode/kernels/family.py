"""What a family of processors is to matrix products: the features it needs, and how it multiplies.

Weights are packed by blocks of 16 outputs. One step of a product takes `inputs` adjacent inputs of each of
them, and as many numbers of a row of x, which all 16 outputs share. This file does not know any processor.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from llvmlite import ir

LANES = 16
"""Outputs of a block."""
STRIP = 4
"""Blocks that are made together, by tiles as wide as a family likes."""

INT8, INT16, INT32, INT64 = (ir.IntType(bits) for bits in (8, 16, 32, 64))
FLOATS = ir.VectorType(ir.FloatType(), LANES)
SUMS = ir.VectorType(INT32, LANES)
PAIRS, WIDE, PRODUCTS = (ir.VectorType(kind, 2 * LANES) for kind in (INT8, INT16, INT32))
"""Two numbers for each output."""
BYTES = ir.VectorType(INT8, 4 * LANES)

Emit = Callable[..., Any]


@dataclass(frozen=True)
class Multiply:
    """One step of a product: 16 sums += 16 x `inputs` weights · `inputs` numbers of a row."""

    loaded: ir.VectorType
    """What packed weights of a block are at one step."""
    add: Emit
    """(builder, total, weights, row) → total; `row` is the row's 32 bits of this step, 16 times over."""
    tiles: Mapping[int, int]
    """Rows of x that a tile takes, each with the blocks it takes of a strip: sums must stay in registers."""
    inputs: int = 1
    offset: int = 0
    """What was added to each weight before it was packed."""
    total: ir.VectorType = SUMS
    """The 16 sums."""
    widen: Emit = lambda builder, weights: weights
    """(builder, loaded) → weights, once for all rows of a tile."""

    @property
    def levels(self) -> type:
        """What a row of x is made of; `inputs` of them have 32 bits."""
        return {1: np.float32, 2: np.int16, 4: np.int8}[self.inputs]

    @property
    def step_bytes(self) -> int:
        """Of a block's packed weights, at one step."""
        return LANES * self.inputs * (4 if self.levels is np.float32 else 1)

    def pack(self, weight: np.ndarray) -> np.ndarray:
        """(N, D) → (⌈N / 16⌉, ⌈D / inputs⌉, 16 · inputs), in the order in which tiles read it; what is
        missing is 0, and its `offset` is added to each."""
        outputs, width = weight.shape
        blocks, steps = -(-outputs // LANES), -(-width // self.inputs)
        kind = np.float32 if self.levels is np.float32 else np.uint8 if self.offset else np.int8
        padded = np.full((blocks * LANES, steps * self.inputs), self.offset, kind)
        padded[:outputs, :width] = weight if not self.offset else weight.astype(np.int16) + self.offset
        parts = padded.reshape(blocks, LANES, steps, self.inputs).transpose(0, 2, 1, 3)
        return np.ascontiguousarray(parts).reshape(blocks, steps, LANES * self.inputs)


@dataclass(frozen=True)
class Family:
    """Processors on which products are made in the same way."""

    name: str
    needs: frozenset[str]
    """LLVM's names of the features that a processor must report."""
    floats: Multiply
    """Products of float32."""
    bytes: Multiply
    """Exact products of integers from -127 to 127."""


def fused(tiles: Mapping[int, int]) -> Multiply:
    """Products of float32, in one rounding where the processor can."""

    def add(builder: Any, total: Any, weights: Any, row: Any) -> Any:
        return call(builder, "llvm.fmuladd.v16f32", FLOATS, weights, builder.bitcast(row, FLOATS), total)

    return Multiply(FLOATS, add, tiles, total=FLOATS)


def call(builder: Any, name: str, result: ir.Type, *args: Any, fastmath: tuple[str, ...] = ()) -> Any:
    """A call of what LLVM itself, or the processor, has by this name."""
    kind = ir.FunctionType(result, [arg.type for arg in args])
    known = builder.module.globals.get(name)
    function = ir.Function(builder.module, kind, name) if known is None else known
    return builder.call(function, list(args), fastmath=fastmath)


def call_by_parts(builder: Any, name: str, count: int, *vectors: Any) -> Any:
    """The 16 sums by so many calls, each of which takes an equal part of the vectors."""
    result = ir.VectorType(INT32, LANES // count)
    cut = zip(*(_parts(builder, vector, count) for vector in vectors), strict=True)
    return _joined(builder, [call(builder, name, result, *some) for some in cut])


def sum_pairs(builder: Any, vector: Any) -> Any:
    """The sum of the first number and the second, of the third and the fourth, …"""
    undefined = ir.Constant(vector.type, ir.Undefined)
    even, odd = (
        builder.shuffle_vector(vector, undefined, places(range(start, vector.type.count, 2)))
        for start in (0, 1)
    )
    return builder.add(even, odd)


def to_int16(builder: Any, weights: Any) -> Any:
    """Bytes as numbers of 16 bits."""
    return builder.sext(weights, ir.VectorType(INT16, weights.type.count))


def _parts(builder: Any, vector: Any, count: int) -> list[Any]:
    """A vector cut into `count` equal ones."""
    size = vector.type.count // count
    undefined = ir.Constant(vector.type, ir.Undefined)
    return [
        builder.shuffle_vector(vector, undefined, places(range(i * size, (i + 1) * size)))
        for i in range(count)
    ]


def _joined(builder: Any, vectors: list[Any]) -> Any:
    """The opposite of `_parts`, for a power of two of them."""
    while len(vectors) > 1:
        both = places(range(2 * vectors[0].type.count))
        pairs = zip(vectors[::2], vectors[1::2], strict=True)
        vectors = [builder.shuffle_vector(a, b, both) for a, b in pairs]
    return vectors[0]


def places(which: Any) -> ir.Constant:
    """What a shuffle takes."""
    which = list(which)
    return ir.Constant(ir.VectorType(INT32, len(which)), which)
