"""Arm's vectors without dot products (Armv8.0: Cortex-A53, A72): `smull` multiplies 8 signed bytes by 8 into
16 bits, of which two are added up by `smlal`, where they just fit, and then by twos into 32 bits."""

from __future__ import annotations

from typing import Any

import numpy as np
from llvmlite import ir

from regard.decode.kernels.family import INT8, INT16, INT32, LANES, SUMS, Family, Multiply, fused, places

TILES = {1: 4, 2: 2, 3: 1, 4: 1, 5: 1, 6: 1}
"""Of 32 registers, each of which holds a quarter of a block's sums."""
_BYTES, _WIDE = ir.VectorType(INT8, 4 * LANES), ir.VectorType(INT16, 4 * LANES)
_PAIRS = ir.VectorType(INT32, 2 * LANES)


def _add(builder: Any, total: Any, weights: Any, row: Any) -> Any:
    """Products of the first and third input of four, and of the second and fourth, are added up in 16 bits:
    127² twice is less than 2^15."""
    products = builder.mul(builder.sext(weights, _WIDE), builder.sext(builder.bitcast(row, _BYTES), _WIDE))
    undefined = ir.Constant(_WIDE, ir.Undefined)
    even, odd = (
        builder.shuffle_vector(products, undefined, places(range(start, 4 * LANES, 2))) for start in (0, 1)
    )
    pairs = builder.sext(builder.add(even, odd), _PAIRS)
    undefined = ir.Constant(_PAIRS, ir.Undefined)
    even, odd = (
        builder.shuffle_vector(pairs, undefined, places(range(start, 2 * LANES, 2))) for start in (0, 1)
    )
    return builder.add(total, builder.add(even, odd))


NEON = Family(
    "neon",
    frozenset({"neon"}),
    fused(TILES),
    Multiply(_BYTES, SUMS, _add, TILES, inputs=4, levels=np.int8),
)
