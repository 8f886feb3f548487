"""Any processor: plain products of 16-bit numbers, which LLVM makes of whatever vectors there are.

Where one instruction multiplies and adds such pairs (SSE2 has `pmaddwd`), LLVM recognises them.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from llvmlite import ir

from regard.decode.kernels.family import (
    INT32,
    LANES,
    PAIRS,
    SUMS,
    WIDE_PAIRS,
    Family,
    Multiply,
    fused,
    sums_of_two,
    widened,
)

_TILES = {1: 1, 2: 1}
"""Of 16 registers, each of which holds a quarter of a block's sums."""
_PRODUCTS = ir.VectorType(INT32, 2 * LANES)


def _add(builder: Any, total: Any, weights: Any, row: Any) -> Any:
    products = builder.mul(
        builder.sext(weights, _PRODUCTS), builder.sext(builder.bitcast(row, WIDE_PAIRS), _PRODUCTS)
    )
    return builder.add(total, sums_of_two(builder, products))


PORTABLE = Family(
    "portable",
    frozenset(),
    fused(_TILES),
    Multiply(PAIRS, SUMS, _add, _TILES, inputs=2, levels=np.int16, widen=widened),
)
