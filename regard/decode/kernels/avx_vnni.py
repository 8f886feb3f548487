"""AVX-VNNI: `vpdpbusd` as in `avx512_vnni.py`, on 32 bytes at once (Intel's processors since Alder Lake)."""

from __future__ import annotations

from typing import Any

from regard.decode.kernels.avx2 import TILES
from regard.decode.kernels.family import SUMS, Family, Multiply, call_by_parts, fused


def _add(builder: Any, total: Any, weights: Any, row: Any) -> Any:
    return call_by_parts(builder, "llvm.x86.avx512.vpdpbusd.256", 2, total, weights, row)


AVX_VNNI = Family(
    "avx-vnni",
    frozenset({"avx2", "fma", "avxvnni"}),
    fused(TILES),
    Multiply(SUMS, _add, TILES, inputs=4, offset=128),
)
