"""AVX-512 without VNNI: `vpmaddwd` multiplies 32 numbers of 16 bits and adds them up by twos, exactly."""

from __future__ import annotations

from typing import Any

from regard.decode.kernels.family import PAIRS, SUMS, WIDE, Family, Multiply, call, fused, to_int16

TILES = {1: 4, 2: 4, 3: 4, 4: 4, 5: 4, 6: 4}
"""Of 32 registers, 24 hold sums."""


def _add(builder: Any, total: Any, weights: Any, row: Any) -> Any:
    products = call(builder, "llvm.x86.avx512.pmaddw.d.512", SUMS, weights, builder.bitcast(row, WIDE))
    return builder.add(total, products)


AVX512 = Family(
    "avx512",
    frozenset({"avx512f", "avx512bw", "avx512vl", "fma"}),
    fused(TILES),
    Multiply(PAIRS, _add, TILES, inputs=2, widen=to_int16),
)
