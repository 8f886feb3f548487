"""AVX-VNNI: `vpdpbusd` as in `avx512_vnni.py`, on 32 bytes at once (Intel's processors since Alder Lake)."""

from __future__ import annotations

from typing import Any

import numpy as np
from llvmlite import ir

from regard.decode.kernels.avx2 import TILES
from regard.decode.kernels.family import INT32, SUMS, Family, Multiply, call, fused, joined, parts

_HALF = ir.VectorType(INT32, 8)


def _add(builder: Any, total: Any, weights: Any, row: Any) -> Any:
    halves = zip(*(parts(builder, x, 2) for x in (total, weights, row)), strict=True)
    return joined(builder, [call(builder, "llvm.x86.avx512.vpdpbusd.256", _HALF, *half) for half in halves])


AVX_VNNI = Family(
    "avx-vnni",
    frozenset({"avx2", "fma", "avxvnni"}),
    fused(TILES),
    Multiply(SUMS, SUMS, _add, TILES, inputs=4, levels=np.int8, offset=128),
)
