"""Linears of 8-bit integers, applied to a loaded model; bundles stay float.

Weights: symmetric, one scale an output row, rounded to -127 … 127. Activations: the same, one scale a
row, taken from that very row when it comes (LLM.int8's vector-wise quantisation without its outliers,
arXiv 2208.07339, section 2). Products are summed in 32-bit integers, so that they are exact: what
is made of a row does not depend, to the bit, on which rows stand beside it.

All linears are replaced, of whatever size, and the parts that have an 8-bit form, such as vocabulary heads;
tables, norms and attention itself stay float.

This file does not know what is decoded.
"""

from __future__ import annotations

import functools
from typing import Protocol

import torch
from torch import Tensor, nn

from regard.model.device import best_seconds
from regard.model.part import Part

_LEVELS = 127
_CUDA_ROWS = 32
"""Fewer its kernel does not take: 17 by its own words, and a multiple of 8 is what all of them have."""


def quantize(model: nn.Module) -> nn.Module:
    """`model` with its linears and vocabulary heads replaced, in place, by int8 ones.

    For use only: what is replaced cannot be trained any further, and does not follow its table if it was
    tied. Returns the same model, in the same mode, with its taps.
    """
    for parent in list(model.modules()):
        for name, child in list(parent.named_children()):
            if isinstance(child, nn.Linear | Part):
                made = Int8Linear(child) if isinstance(child, nn.Linear) else child.int8()
                if made is not None:
                    setattr(parent, name, made.train(child.training))
    return model


def is_int8(model: nn.Module) -> bool:
    """Whether any of its products is of 8-bit integers, through which there is no gradient."""
    return any(isinstance(module, Int8Linear) for module in model.modules())


class Product(Protocol):
    """What has the weights of one matrix product: (N, D), and (N,) or None."""

    @property
    def weight(self) -> Tensor: ...
    @property
    def bias(self) -> Tensor | None: ...


class Int8Linear(nn.Module):
    """(…, D) → (…, N): what a float linear gives, within the rounding of 8 bits."""

    weight: Tensor
    scale: Tensor
    bias: Tensor | None

    @torch.no_grad()
    def __init__(self, linear: Product) -> None:
        super().__init__()
        weight, largest = to_int8(linear.weight.detach().to(torch.float32).contiguous())
        bias = None if linear.bias is None else linear.bias.detach().clone()
        self.register_buffer("weight", weight)  # (N, D) int8
        # (N,): of the weights and of a row's levels
        self.register_buffer("scale", largest[:, 0] / _LEVELS**2)
        self.register_buffer("bias", bias)

    def forward(self, x: Tensor) -> Tensor:
        rows, largest = to_int8(x.reshape(-1, x.shape[-1]).to(torch.float32))
        whole = int8_product(rows, self.weight)
        if whole.device.type == "cpu":
            # The sums become floats where they stand: new memory for them would cost as much as the product.
            y = whole.view(torch.float32).copy_(whole)
        else:
            y = whole.to(torch.float32)
        # No fused multiply-add: it would round differently in a vector loop and in what that leaves over.
        y.mul_(self.scale).mul_(largest)
        if self.bias is not None:
            y += self.bias
        return y.to(x.dtype).view(*x.shape[:-1], -1)


def to_int8(x: Tensor) -> tuple[Tensor, Tensor]:
    """(rows, D) numbers → (rows, D) int8, and (rows, 1) of each row's largest size: x ≈ int8 · largest / 127.

    Of a row of zeros the integers may be anything; its largest is 0, and so is what they stand for.
    """
    if x.numel() < 2**17:
        largest = x.abs().amax(-1, keepdim=True)
    else:  # the same numbers, without a copy of x
        largest = torch.maximum(x.amax(-1, keepdim=True), -x.amin(-1, keepdim=True))
    return (x * (_LEVELS / largest)).round_().to(torch.int8), largest


def int8_product(x: Tensor, weight: Tensor) -> Tensor:
    """(rows, D) int8 · (N, D) int8 → (rows, N) int32, exact."""
    if x.device.type == "cpu":
        return torch._int_mm(x, weight.t()) if _int_mm_is_fast() else _by_floats(x, weight)
    if x.device.type == "cuda" and weight.shape[0] % 8 == 0 and weight.shape[1] % 8 == 0:
        missing = max(_CUDA_ROWS, -(-len(x) // 8) * 8) - len(x)
        return torch._int_mm(nn.functional.pad(x, (0, 0, 0, missing)), weight.t())[: len(x)]
    return _by_floats(x, weight)


_EXACT = 2**24 // _LEVELS**2
"""Products of two numbers of 8 bits that a float32 can add up without rounding, in any order: 1,040."""


def _by_floats(x: Tensor, weight: Tensor) -> Tensor:
    """The same by float32 products of so few inputs at a time that they are exact."""
    total = torch.zeros((len(x), len(weight)), dtype=torch.int32, device=x.device)
    for few, theirs in zip(x.split(_EXACT, 1), weight.split(_EXACT, 1), strict=True):
        total += (few.to(torch.float32) @ theirs.to(torch.float32).t()).to(torch.int32)
    return total


def _int_mm_is_exact() -> bool:
    """Whether torch multiplies integers exactly. Where no instruction does, sums of two products of
    bytes may saturate."""
    x, weight = (torch.full((rows, 256), _LEVELS, dtype=torch.int8) for rows in (16, 256))
    return bool((torch._int_mm(x, weight.t()) == 256 * _LEVELS**2).all())


@functools.cache
def _int_mm_is_fast() -> bool:
    """Whether that is exact, and faster than floats: it may be a plain loop. Tried once, in some
    milliseconds."""
    if not _int_mm_is_exact():
        return False
    x, weight = (torch.full((rows, 256), _LEVELS, dtype=torch.int8) for rows in (16, 256))
    by_torch = best_seconds(lambda: torch._int_mm(x, weight.t()))
    return by_torch < best_seconds(lambda: _by_floats(x, weight))
