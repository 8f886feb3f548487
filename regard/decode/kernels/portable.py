"""Any processor: plain products of 16-bit numbers, which LLVM makes of whatever vectors there are.

Where one instruction multiplies and adds such pairs (SSE2 has `pmaddwd`), LLVM recognises them.
"""

from __future__ import annotations

from typing import Any

from regard.decode.kernels.family import PAIRS, PRODUCTS, WIDE, Family, Multiply, fused, sum_pairs, to_int16

_TILES = {1: 1, 2: 1}
"""Of 16 registers, each of which holds a quarter of a block's sums."""


def _add(builder: Any, total: Any, weights: Any, row: Any) -> Any:
    numbers = weights, builder.bitcast(row, WIDE)
    products = builder.mul(*(builder.sext(some, PRODUCTS) for some in numbers))
    return builder.add(total, sum_pairs(builder, products))


PORTABLE = Family(
    "portable",
    frozenset(),
    fused(_TILES),
    Multiply(PAIRS, _add, _TILES, inputs=2, widen=to_int16),
)
