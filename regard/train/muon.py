"""Muon: momentum, made orthogonal, for matrices (Jordan et al. 2024, kellerjordan.github.io/posts/muon).

An update is replaced by the nearest matrix whose singular values are all about 1, found by five
Newton-Schulz steps, so that every direction learns at the same pace. Its size is matched to Adam's as in
arXiv 2502.16982, section 2.2, so that one learning rate suits both.

Differs: torch.optim.Muon always orthogonalises in bfloat16, which takes several times as long as float32
on a processor that has no unit for it; here the device decides.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable

import torch
from torch import Tensor
from torch.optim import Optimizer

_COEFFICIENTS = (3.4445, -4.7750, 2.0315)
_STEPS = 5


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
            lr, momentum = group["lr"], group["momentum"]
            for parameter in group["params"]:
                if parameter.grad is None:
                    continue
                state = self.state[parameter]
                if not state:
                    state["momentum"] = torch.zeros_like(parameter)
                kept: Tensor = state["momentum"]
                kept.lerp_(parameter.grad, 1 - momentum)
                update = orthogonal(parameter.grad.lerp(kept, momentum))
                if group["weight_decay"]:
                    parameter.mul_(1 - lr * group["weight_decay"])
                parameter.add_(update, alpha=-lr * 0.2 * math.sqrt(max(parameter.shape)))
        return loss


def orthogonal(matrix: Tensor) -> Tensor:
    """(m, n) → (m, n): the same singular vectors, singular values of about 1."""
    a, b, c = _COEFFICIENTS
    x = matrix.to(torch.bfloat16 if matrix.device.type == "cuda" else torch.float32)
    tall = x.shape[0] > x.shape[1]
    x = x.T if tall else x
    x = x / (x.norm() + 1e-7)
    for _ in range(_STEPS):
        gram = x @ x.T
        x = torch.addmm(x, torch.addmm(gram, gram, gram, beta=b, alpha=c), x, beta=a)
    return (x.T if tall else x).to(matrix.dtype)
