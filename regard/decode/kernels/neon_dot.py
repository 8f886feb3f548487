"""Arm with the dot-product extension: `sdot` multiplies 16 signed bytes by 16 and adds them up by fours
(Armv8.4, all of Apple's processors for Macs, Cortex-A76, Neoverse)."""

from __future__ import annotations

from typing import Any

from regard.decode.kernels.family import BYTES, Family, Multiply, call_by_parts, fused
from regard.decode.kernels.neon import TILES


def _add(builder: Any, total: Any, weights: Any, row: Any) -> Any:
    vectors = total, weights, builder.bitcast(row, BYTES)
    return call_by_parts(builder, "llvm.aarch64.neon.sdot.v4i32.v16i8", 4, *vectors)


NEON_DOT = Family(
    "neon-dot",
    frozenset({"neon", "dotprod"}),
    fused(TILES),
    Multiply(BYTES, _add, TILES, inputs=4),
)
