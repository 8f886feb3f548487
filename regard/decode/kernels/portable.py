"""Any processor: plain products of 16-bit numbers, which LLVM makes of whatever vectors there are.

Where one instruction multiplies and adds such pairs (SSE2 has `pmaddwd`), LLVM recognises them.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from llvmlite import ir

from regard.decode.kernels.family import INT8, INT16, INT32, LANES, SUMS, Family, Multiply, fused, places

_TILES = {1: 1, 2: 1}
"""Of 16 registers, each of which holds a quarter of a block's sums."""
_PAIRS, _WIDE = ir.VectorType(INT8, 2 * LANES), ir.VectorType(INT16, 2 * LANES)
_PRODUCTS = ir.VectorType(INT32, 2 * LANES)


def _add(builder: Any, total: Any, weights: Any, row: Any) -> Any:
    products = builder.mul(
        builder.sext(weights, _PRODUCTS), builder.sext(builder.bitcast(row, _WIDE), _PRODUCTS)
    )
    undefined = ir.Constant(_PRODUCTS, ir.Undefined)
    even, odd = (
        builder.shuffle_vector(products, undefined, places(range(start, 2 * LANES, 2))) for start in (0, 1)
    )
    return builder.add(total, builder.add(even, odd))


def _widen(builder: Any, weights: Any) -> Any:
    return builder.sext(weights, _WIDE)


PORTABLE = Family(
    "portable",
    frozenset(),
    fused(_TILES),
    Multiply(_PAIRS, SUMS, _add, _TILES, inputs=2, levels=np.int16, widen=_widen),
)
