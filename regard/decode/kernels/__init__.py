"""Matrix products for decoding on a processor, one file a family of processors, chosen in one place.

A `Family` says which features a processor must report and how products are made there; `tile.py` writes the
loops around that, `products.py` compiles them for the family that is `chosen`. All families give the same
integers for 8 bits, to the bit, and the same floats within rounding. The best comes first below; the
last needs nothing.

Nothing is compiled for an instruction that the processor does not report. What it reports is asked of LLVM,
or is what `NUMBA_CPU_FEATURES` says, for which everything else is compiled, too.
"""

from __future__ import annotations

import functools
import os
import sys
from collections.abc import Callable
from typing import Any

import llvmlite.binding
import numba

from regard.decode.kernels.avx2 import AVX2
from regard.decode.kernels.avx512 import AVX512
from regard.decode.kernels.avx512_vnni import AVX512_VNNI
from regard.decode.kernels.avx_vnni import AVX_VNNI
from regard.decode.kernels.family import Family
from regard.decode.kernels.neon import NEON
from regard.decode.kernels.neon_dot import NEON_DOT
from regard.decode.kernels.portable import PORTABLE
from regard.errors import ConfigError, unknown

FAMILIES = {family.name: family for family in (AVX512_VNNI, AVX512, AVX_VNNI, AVX2, NEON_DOT, NEON, PORTABLE)}
"""All families by name, the best first."""

Loop = Any  # a function of arrays, compiled
ANY_ORDER = {"reassoc", "contract", "nsz", "arcp"}
"""Sums may be taken in any order, as in every matrix product; infinities and NaN keep their meaning."""

_AUTO = "auto"
_APPLE = frozenset({"neon", "dotprod"})
"""What every Mac with an Arm processor has; macOS does not let LLVM ask."""


def forced() -> str:
    """What the environment variable REGARD_KERNELS asks for: `auto`, `plain` (no compiled loops) or a family.

    Raises: ConfigError for another name.
    """
    name = os.environ.get("REGARD_KERNELS", "") or _AUTO
    known = [_AUTO, "plain", *FAMILIES]
    if name not in known:
        raise unknown(ConfigError, "REGARD_KERNELS", name, known)
    return name


@functools.cache
def features() -> frozenset[str]:
    """What code is compiled for, by LLVM's names: `avx2`, `dotprod`."""
    given: str | None = getattr(numba.config, "CPU_FEATURES", None)
    if given is not None:
        return frozenset(name[1:] for name in given.split(",") if name.startswith("+"))
    if sys.platform == "darwin" and llvmlite.binding.get_default_triple().startswith(("arm64", "aarch64")):
        return _APPLE
    try:
        return frozenset(name for name, has in llvmlite.binding.get_host_cpu_features().items() if has)
    except RuntimeError:  # LLVM cannot say it of this processor
        return frozenset()


@functools.cache
def chosen() -> Family:
    """The family to compile for: the one that is forced, else the best whose features are reported.

    Raises: ConfigError when the one that is forced needs features that are not reported.
    """
    name = forced()
    usable = [family for family in FAMILIES.values() if family.needs <= features()]
    if name not in FAMILIES:
        return usable[0]
    if FAMILIES[name] not in usable:
        missing = ", ".join(sorted(FAMILIES[name].needs - features()))
        sentence = "{key} is '{value}', but this processor does not report {features}; it can use {limit}"
        raise ConfigError(
            sentence, "REGARD_KERNELS", name, missing, ", ".join(family.name for family in usable)
        )
    return FAMILIES[name]


def compiled(signature: str, fastmath: set[str] | bool = ANY_ORDER) -> Callable[[Loop], Loop]:
    """Compile a function of arrays at once, without Python's lock, and keep the result on disk."""
    return numba.njit(signature, fastmath=fastmath, cache=True, nogil=True, error_model="numpy")
