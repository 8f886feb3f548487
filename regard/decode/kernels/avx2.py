"""AVX2: `vpmaddwd` multiplies 16 numbers of 16 bits and adds them up by twos, exactly.

`vpmaddubsw`, which takes bytes, would be quicker but saturates: two products of full 8-bit numbers do not
fit into 16 bits.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from llvmlite import ir

from regard.decode.kernels.family import (
    INT8,
    INT16,
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

TILES = {1: 4, 2: 2, 3: 2, 4: 1, 5: 1, 6: 1}
"""Of 16 registers, each of which holds half of a block's sums."""
_PAIRS, _WIDE = ir.VectorType(INT8, 2 * LANES), ir.VectorType(INT16, 2 * LANES)
_HALF = ir.VectorType(INT32, 8)


def _add(builder: Any, total: Any, weights: Any, row: Any) -> Any:
    halves = zip(parts(builder, weights, 2), parts(builder, builder.bitcast(row, _WIDE), 2), strict=True)
    products = [call(builder, "llvm.x86.avx2.pmadd.wd", _HALF, *half) for half in halves]
    return builder.add(total, joined(builder, products))


def _widen(builder: Any, weights: Any) -> Any:
    return builder.sext(weights, _WIDE)


AVX2 = Family(
    "avx2",
    frozenset({"avx2", "fma"}),
    fused(TILES),
    Multiply(_PAIRS, SUMS, _add, TILES, inputs=2, levels=np.int16, widen=_widen),
)
