"""AVX2: `vpmaddwd` multiplies 16 numbers of 16 bits and adds them up by twos, exactly.

`vpmaddubsw`, which takes bytes, would be quicker but saturates: two products of full 8-bit numbers do not
fit into 16 bits.
"""

from __future__ import annotations

from typing import Any

from regard.decode.kernels.family import PAIRS, WIDE, Family, Multiply, call_by_parts, fused, to_int16

TILES = {1: 4, 2: 2, 3: 2, 4: 1, 5: 1, 6: 1}
"""Of 16 registers, each of which holds half of a block's sums."""


def _add(builder: Any, total: Any, weights: Any, row: Any) -> Any:
    pairs = weights, builder.bitcast(row, WIDE)
    return builder.add(total, call_by_parts(builder, "llvm.x86.avx2.pmadd.wd", 2, *pairs))


AVX2 = Family(
    "avx2",
    frozenset({"avx2", "fma"}),
    fused(TILES),
    Multiply(PAIRS, _add, TILES, inputs=2, widen=to_int16),
)
