"""Tensors and numbers for JSON."""

from __future__ import annotations

import base64
import math
from typing import Any

import numpy as np
from torch import Tensor

NAMES = {math.inf: "Infinity", -math.inf: "-Infinity"}


def plain(value: float | None) -> float | str | None:
    """A number, or the name of one that JSON does not have."""
    if value is None or math.isfinite(value):
        return value
    return NAMES.get(value, "NaN")


def rounded(value: Tensor, digits: int) -> Any:
    """Nested lists, each number with so many digits that matter; names for what JSON has no number for."""
    if not value.is_floating_point():
        return value.int().tolist()
    array = value.double().numpy()
    finite = np.isfinite(array)
    some = np.where(finite & (array != 0), np.abs(array), 1.0)
    places = digits - 1 - np.floor(np.log10(some)).astype(int)
    scale = 10.0 ** np.clip(places, -300, 300)
    made = np.where(finite, np.round(np.where(finite, array, 0.0) * scale) / scale, array)
    if finite.all():
        return made.tolist()
    return _named(made.tolist())


def _named(value: Any) -> Any:
    return [_named(one) for one in value] if isinstance(value, list) else plain(value)


def encoded(value: Tensor) -> dict[str, Any]:
    """The bytes of little-endian float32."""
    array = np.ascontiguousarray(value.float().numpy(), dtype="<f4")
    data = base64.b64encode(array.tobytes()).decode("ascii")
    return {"dtype": "float32", "shape": list(array.shape), "data": data}
