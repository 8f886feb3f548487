"""Tensors and numbers for JSON."""

from __future__ import annotations

import base64
from typing import Any

import numpy as np
from torch import Tensor

from regard.strict_json import plain


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
    return plain(made.tolist())


def encoded(value: Tensor) -> dict[str, Any]:
    """The bytes of little-endian float32."""
    array = np.ascontiguousarray(value.float().numpy(), dtype="<f4")
    data = base64.b64encode(array.tobytes()).decode("ascii")
    return {"dtype": "float32", "shape": list(array.shape), "data": data}
