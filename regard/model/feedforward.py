"""The feed-forward part of a block: each position by itself, D → F → D.

Plain: arXiv 1706.03762, section 3.3. Gated: Shazeer 2020, arXiv 2002.05202.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from regard.model.dropout import dropout
from regard.model.tap import tap, wanted
from regard.model.wide import relu_mlp

Activation = Literal[
    "relu",
    "gelu",
    "gelu-tanh",
    "quick-gelu",
    "gelu-10",
    "silu",
    "tanh",
    "relu2",
    "relu6",
    "leaky-relu",
    "mish",
    "sigmoid",
    "hardswish",
    "laplace",
    "linear",
]

ACTIVATIONS: dict[Activation, Callable[[Tensor], Tensor]] = {
    "relu": F.relu,
    "gelu": F.gelu,
    "gelu-tanh": lambda x: F.gelu(x, approximate="tanh"),
    "quick-gelu": lambda x: x * torch.sigmoid(1.702 * x),
    "gelu-10": lambda x: F.gelu(x).clamp(-10.0, 10.0),
    "silu": F.silu,
    "tanh": torch.tanh,
    "relu2": lambda x: F.relu(x).square(),
    "relu6": F.relu6,
    "leaky-relu": F.leaky_relu,
    "mish": F.mish,
    "sigmoid": torch.sigmoid,
    "hardswish": F.hardswish,
    "laplace": lambda x: 0.5 * (1.0 + torch.erf((x - 0.707107) / (0.282095 * math.sqrt(2.0)))),
    "linear": lambda x: x,
}


@dataclass(frozen=True)
class MLP:
    """down(activation(up(x))). `hidden` is F; None means four times the width."""

    hidden: int | None = None
    activation: Activation = "relu"
    """What makes it more than a matrix product."""
    bias: bool = True
    """Whether the products are shifted."""
    dropout: float = 0.0
    """The rate on the hidden values."""
    kind: Literal["mlp"] = "mlp"

    def build(self, width: int) -> nn.Module:
        return FeedForward(width, self)


@dataclass(frozen=True)
class GatedMLP:
    """down(activation(gate(x)) * up(x)): SwiGLU with "silu", GeGLU with "gelu".

    `hidden` is F; None means 8/3 of the width, which gives as many weights as `MLP` has.
    """

    hidden: int | None = None
    activation: Activation = "silu"
    bias: bool = False
    dropout: float = 0.0
    kind: Literal["gated"] = "gated"

    def build(self, width: int) -> nn.Module:
        return GatedFeedForward(width, self)


_WIDE = 16
"""From so many times the width on, hidden values take longer to carry than to compute."""

FeedForwardPart = MLP | GatedMLP


class FeedForward(nn.Module):
    """See `MLP`. (B, T, D) → (B, T, D)."""

    def __init__(self, width: int, config: MLP) -> None:
        super().__init__()
        hidden = config.hidden or 4 * width
        self.up = nn.Linear(width, hidden, bias=config.bias)
        self.down = nn.Linear(hidden, width, bias=config.bias)
        self.activation = ACTIVATIONS[config.activation]
        self.dropout = config.dropout

    def forward(self, x: Tensor) -> Tensor:
        if self._wide(x):
            p = self.dropout if self.training else 0.0
            made = relu_mlp(x, self.up.weight, self.up.bias, self.down.weight, self.down.bias, p)
            return tap(self, "out", made)
        hidden = tap(self, "hidden", self.activation(tap(self, "up", self.up(x))))  # (B, T, F)
        return tap(self, "out", self.down(dropout(hidden, self.dropout, self.training)))

    def _wide(self, x: Tensor) -> bool:
        """Whether there is a quicker way to the same values and gradients, and nobody looks inside."""
        if not torch.is_grad_enabled():  # asked first, since it costs the least
            return False
        up, down = self.up, self.down
        plain = type(up) is nn.Linear and type(down) is nn.Linear and up.bias is not None
        if not plain or self.activation is not F.relu or up.out_features < _WIDE * up.in_features:
            return False
        return (
            x.device.type == "cpu"
            and x.dtype == up.weight.dtype == torch.float32
            and self.dropout < 1.0
            and not torch.is_autocast_enabled("cpu")
            and all(part.requires_grad for part in (*up.parameters(), *down.parameters()))
            and not wanted(self, "up", "hidden")
        )


class GatedFeedForward(nn.Module):
    """See `GatedMLP`. (B, T, D) → (B, T, D). Gate and up are one matrix product."""

    def __init__(self, width: int, config: GatedMLP) -> None:
        super().__init__()
        hidden = config.hidden or 8 * width // 3
        self.gate_up = nn.Linear(width, 2 * hidden, bias=config.bias)
        self.down = nn.Linear(hidden, width, bias=config.bias)
        self.activation = ACTIVATIONS[config.activation]
        self.dropout = config.dropout

    def forward(self, x: Tensor) -> Tensor:
        gate, up = self.gate_up(x).chunk(2, dim=-1)  # (B, T, F) each
        gate, up = tap(self, "gate", gate), tap(self, "up", up)
        hidden = tap(self, "hidden", self.activation(gate) * up)
        return tap(self, "out", self.down(dropout(hidden, self.dropout, self.training)))
