"""Muon: momentum, made orthogonal, for matrices (Jordan et al. 2024, kellerjordan.github.io/posts/muon).

An update is replaced by the nearest matrix whose singular values are all about 1, so that every direction
learns at the same pace. That matrix is found by a few odd polynomials of degree five, one after another,
each the best there is for what those before it left (Polar Express, arXiv 2505.16932, section 3). Its size
is matched to Adam's as in arXiv 2502.16982, section 2.2, so that one learning rate suits both.

Differs: torch.optim.Muon takes five equal steps, one matrix at a time, in bfloat16, which takes several
times as long as float32 on a processor that has no unit for it. Here matrices of one shape go together, the
device decides, and in float32 the steps are taken on x xᵀ, which is smaller where x is wide.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable

import torch
from torch import Tensor
from torch.optim import Optimizer

_POLYNOMIALS = (
    (8.4268, -24.9361, 18.4925),
    (4.1116, -3.0591, 0.5750),
    (3.7146, -2.7781, 0.5429),
    (2.7819, -2.0749, 0.4635),
)
"""a x + b x³ + c x⁵: together they bring all of 0.002 … 1 into 0.68 … 1.32."""
_ROOM = 1.01  # beyond 1 they grow steeply, and coefficients are rounded


class MuonOptimizer(Optimizer):
    """For parameters of two axes; a momentum of Nesterov's kind and decoupled weight decay."""

    def __init__(
        self, parameters: Iterable[Tensor], lr: float, momentum: float = 0.95, weight_decay: float = 0.0
    ) -> None:
        super().__init__(parameters, {"lr": lr, "momentum": momentum, "weight_decay": weight_decay})

    @torch.no_grad()
    def step(self, closure: Callable[[], float] | None = None) -> float | None:  # type: ignore[override]
        """One update of every parameter that has a gradient."""
        loss = None if closure is None else closure()
        for group in self.param_groups:
            for alike in _by_shape(group["params"]):
                self._step(alike, group["lr"], group["momentum"], group["weight_decay"])
        return loss

    def _step(self, parameters: list[Tensor], lr: float, momentum: float, weight_decay: float) -> None:
        """Update parameters of one shape, but for which way it lies."""
        gradients = [parameter.grad for parameter in parameters if parameter.grad is not None]
        momenta: list[Tensor] = []
        for parameter in parameters:
            state = self.state[parameter]
            if not state:
                state["momentum"] = torch.zeros_like(parameter)
            momenta.append(state["momentum"])
        torch._foreach_lerp_(momenta, gradients, 1 - momentum)
        lookahead = torch._foreach_lerp(gradients, momenta, momentum)
        updates = orthogonal(torch.stack([_wide(matrix) for matrix in lookahead]))
        if weight_decay:
            torch._foreach_mul_(parameters, 1 - lr * weight_decay)
        size = 0.2 * math.sqrt(max(parameters[0].shape))
        for parameter, update in zip(parameters, updates, strict=True):
            _wide(parameter).add_(update, alpha=-lr * size)


def orthogonal(matrices: Tensor) -> Tensor:
    """(k, m, n) with m ≤ n → (k, m, n): the same singular vectors, singular values of about 1."""
    x = matrices.to(torch.bfloat16 if _halves(matrices.device) else torch.float32)
    x = x / (_ROOM * torch.linalg.vector_norm(x, dim=(1, 2), keepdim=True) + 1e-7)
    wide = x.shape[2] >= 2 * x.shape[1] and x.dtype == torch.float32  # in bfloat16, x xᵀ forgets too much
    return (_by_square(x) if wide else _directly(x)).to(matrices.dtype)


def _halves(device: torch.device) -> bool:
    """Whether there are units for bfloat16; what a device says of itself is the same each time."""
    return device.type == "cuda" and torch.cuda.is_bf16_supported(including_emulation=False)


def _directly(x: Tensor) -> Tensor:
    for a, b, c in _POLYNOMIALS:
        square = x @ x.mT
        x = torch.baddbmm(x, torch.baddbmm(square, square, square, beta=b, alpha=c), x, beta=a)
    return x


def _by_square(x: Tensor) -> Tensor:
    """The same, as one factor: each polynomial is x times one of x xᵀ, and those commute."""
    square = x @ x.mT
    factor = step = _over_x(square, *_POLYNOMIALS[0])
    for coefficients in _POLYNOMIALS[1:]:
        square = step @ square @ step
        step = _over_x(square, *coefficients)
        factor = step @ factor
    return factor @ x


def _over_x(square: Tensor, a: float, b: float, c: float) -> Tensor:
    """a + b s + c s²: what a polynomial of x multiplies x by."""
    value = torch.baddbmm(square, square, square, beta=b, alpha=c)
    value.diagonal(dim1=1, dim2=2).add_(a)
    return value


def _by_shape(parameters: Iterable[Tensor]) -> list[list[Tensor]]:
    """Those that have a gradient, in lists of one shape each, whether they lie or stand."""
    groups: dict[tuple[object, ...], list[Tensor]] = {}
    for parameter in parameters:
        if parameter.grad is not None:
            key = (tuple(sorted(parameter.shape)), parameter.device, parameter.dtype)
            groups.setdefault(key, []).append(parameter)
    return list(groups.values())


def _wide(matrix: Tensor) -> Tensor:
    return matrix.T if matrix.shape[0] > matrix.shape[1] else matrix
