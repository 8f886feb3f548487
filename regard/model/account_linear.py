"""The sums of matrix products: of a row of weights and a vector, in floats, or in integers of 8 bits as
`model/quantize.py` has them (LLM.int8, arXiv 2208.07339, section 2)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import torch
from torch import Tensor, nn

from regard.model.account import Factor, Made, Numbers, product, summed
from regard.model.part import precise
from regard.model.quantize import Int8Linear, to_int8


def linear(
    numbers: Numbers,
    x: Sequence[Factor],
    layer: str,
    symbol: str,
    row: int,
    labels: Sequence[str] | None = None,
) -> Made:
    """What row `row` of the weights of `layer`, (N, D), makes of the vector `x`, (D,): Σ x·W, and + b where
    there is one. `labels`: of the terms, their places by default.

    Of an int8 layer the terms are products of the integers that stand for x and for W. Their sum, which
    is exact, is multiplied by the row's scale and by the largest number of x, as when it was computed.
    """
    part, name = numbers.module(layer), f"{layer}.weight"
    whole = isinstance(part, Int8Linear)
    x, largest = _rounded(x) if whole else (x, 1.0)
    weights = numbers.tensor(name)[row].tolist()
    made = summed(
        [factor.value * weight for factor, weight in zip(x, weights, strict=True)],
        lambda place: product(
            str(place) if labels is None else labels[place],
            x[place],
            Factor(symbol, float(weights[place]), (row, place), weight=name),
        ),
    )
    if whole:
        made = made.times(f"× scale of {symbol}", numbers.weight("scale", f"{layer}.scale", row))
        made = made.times("× largest |x|", Factor("largest |x|", largest))
    if part.bias is None:
        return made
    return made.plus("+ b", numbers.weight("b", f"{layer}.bias", row))


def _rounded(x: Sequence[Factor]) -> tuple[list[Factor], float]:
    """The integers that stand for a vector in an int8 product, and its largest size."""
    whole, largest = to_int8(torch.tensor([[factor.value for factor in x]], dtype=torch.float32))
    stand = zip(x, whole[0].tolist(), strict=True)
    return [replace(factor, value=float(value), rounded=True) for factor, value in stand], float(largest)


def applied(layer: nn.Module, x: Tensor, rows: slice = slice(None)) -> Tensor:
    """What those rows of a linear make of the vector `x`, (D,), in float64: (N,)."""
    assert isinstance(layer, nn.Linear | Int8Linear)
    x, weight = x.double(), precise(layer.weight[rows])
    if isinstance(layer, Int8Linear):
        whole, largest = to_int8(x.float()[None])
        made = weight @ whole[0].double() * precise(layer.scale[rows]) * largest.double()[0]
    else:
        made = weight @ x
    return made if layer.bias is None else made + precise(layer.bias[rows])
