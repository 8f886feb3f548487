"""A trained model made ready for use: its device, its type of numbers, its layout in memory."""

from __future__ import annotations

import torch
from torch import nn

from regard.errors import InputError
from regard.model.layout import lay_out
from regard.weights import not_finite


def prepared(model: nn.Module, device: torch.device, dtype: str) -> nn.Module:
    """`model`, changed in place. Raises: InputError for another `dtype`, or one too small for a weight."""
    if dtype == "int8":
        from regard.model.quantize import quantize

        return lay_out(quantize(model).to(device))
    if dtype not in ("float32", "bfloat16", "float16"):
        raise InputError(f"dtype '{dtype}' is not known; use float32, bfloat16, float16 or int8")
    model = model.to(device, getattr(torch, dtype))
    if dtype != "float32":
        for name, weight in model.named_parameters():
            if (value := not_finite(weight)) is not None:
                raise InputError(f"in {dtype} the weight '{name}' becomes {value}; use float32")
    return lay_out(model)
