"""AVX-512 with VNNI: `vpdpbusd` multiplies 64 unsigned bytes by 64 signed ones and adds them up by fours.

The unsigned bytes are weights plus 128, the signed ones four numbers of a row; the 128 is taken off at the
end. All of that is exact.
"""

from __future__ import annotations

from typing import Any

from regard.decode.kernels.avx512 import TILES
from regard.decode.kernels.family import SUMS, Family, Multiply, call, fused


def _add(builder: Any, total: Any, weights: Any, row: Any) -> Any:
    return call(builder, "llvm.x86.avx512.vpdpbusd.512", SUMS, total, weights, row)


AVX512_VNNI = Family(
    "avx512-vnni",
    frozenset({"avx512f", "avx512bw", "avx512vl", "avx512vnni", "fma"}),
    fused(TILES),
    Multiply(SUMS, _add, TILES, inputs=4, offset=128),
)
