"""Arm with the dot-product extension: `sdot` multiplies 16 signed bytes by 16 and adds them up by fours
(Armv8.4, all of Apple's processors for Macs, Cortex-A76, Neoverse)."""

from __future__ import annotations

from typing import Any

import numpy as np
from llvmlite import ir

from regard.decode.kernels.family import (
    INT8,
    INT32,
    LANES,
    SUMS,
    Family,
    Multiply,
    call,
    fused,
    joined,
    parts,
)
from regard.decode.kernels.neon import TILES

_BYTES, _QUARTER = ir.VectorType(INT8, 4 * LANES), ir.VectorType(INT32, 4)


def _add(builder: Any, total: Any, weights: Any, row: Any) -> Any:
    vectors = total, weights, builder.bitcast(row, _BYTES)
    quarters = zip(*(parts(builder, x, 4) for x in vectors), strict=True)
    name = "llvm.aarch64.neon.sdot.v4i32.v16i8"
    return joined(builder, [call(builder, name, _QUARTER, *quarter) for quarter in quarters])


NEON_DOT = Family(
    "neon-dot",
    frozenset({"neon", "dotprod"}),
    fused(TILES),
    Multiply(_BYTES, SUMS, _add, TILES, inputs=4, levels=np.int8),
)
