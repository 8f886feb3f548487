"""Whether the compiled loops can be had: the extra `fast`, which brings numba."""

from __future__ import annotations

import functools
import importlib.util


@functools.cache
def have_loops() -> bool:
    return importlib.util.find_spec("numba") is not None
