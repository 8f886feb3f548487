"""Arm's vectors without dot products (Armv8.0: Cortex-A53, A72): `smull` multiplies 8 signed bytes by 8 into
16 bits, of which two are added up by `smlal`, where they just fit, and then by twos into 32 bits."""

from __future__ import annotations

from typing import Any

from regard.decode.kernels.family import BYTES, PRODUCTS, Family, Multiply, fused, sum_pairs, to_int16

TILES = {1: 4, 2: 2, 3: 1, 4: 1, 5: 1, 6: 1}
"""Of 32 registers, each of which holds a quarter of a block's sums."""


def _add(builder: Any, total: Any, weights: Any, row: Any) -> Any:
    """Products of the first and third input of four, and of the second and fourth, are added up in 16 bits:
    127² twice is less than 2^15."""
    numbers = to_int16(builder, weights), to_int16(builder, builder.bitcast(row, BYTES))
    pairs = builder.sext(sum_pairs(builder, builder.mul(*numbers)), PRODUCTS)
    return builder.add(total, sum_pairs(builder, pairs))


NEON = Family(
    "neon",
    frozenset({"neon"}),
    fused(TILES),
    Multiply(BYTES, _add, TILES, inputs=4),
)
