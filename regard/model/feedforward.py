"""The feed-forward part of a block: each position by itself, D → F → D.

Plain: arXiv 1706.03762, section 3.3. Gated: Shazeer 2020, arXiv 2002.05202.
"""

from __future__ import annotations

import math
from abc import abstractmethod
from collections.abc import Callable
from dataclasses import dataclass
from typing import ClassVar, Literal

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from regard.model.account import Entry, Index, Made, Numbers, made_of, one, vector
from regard.model.account_linear import linear
from regard.model.dropout import dropout
from regard.model.init import Init
from regard.model.part import FILES, Alternative, Origin, Origins, Part, complete, linear_flops
from regard.model.tap import tap, wanted
from regard.model.wide import relu_mlp
from regard.registry import Registry, register

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


def activation_name(function: Callable[[Tensor], Tensor]) -> str:
    """What it is called in a formula."""
    return next((name for name, known in ACTIVATIONS.items() if known is function), "f")


def activated(made: Made, function: Callable[[Tensor], Tensor]) -> Made:
    """With an activation as the next stage."""
    value = float(function(torch.tensor(made.last, dtype=torch.float64)))
    return made.then(activation_name(function), value)


_WIDE = 16
"""From so many times the width on, hidden values take longer to carry than to compute."""


class FeedForwardLayer(Part):
    """(B, T, D) → (B, T, D), each position by itself; it taps its answer as `out`."""

    @abstractmethod
    def origins(self, name: str, x: str) -> Origins:
        """Of its observation points; `x` is what it is given."""

    def account(self, numbers: Numbers, entry: Entry, index: Index) -> Made | None:
        """The sum behind a number of one of its points; None where it is not taken apart."""
        return None

    def flops(self, T: int, S: int) -> int:
        return linear_flops(self, T)


class FeedForwardPart(Alternative):
    """What stands between attentions, as a part of a configuration."""

    built = FeedForwardLayer
    module: ClassVar[type[FeedForwardLayer]]
    hidden: int | None
    activation: Activation
    """Of those that have them."""

    @abstractmethod
    def build(self, width: int) -> FeedForwardLayer:
        """The part for vectors of that width."""


FEED_FORWARDS: Registry[type[FeedForwardPart]] = Registry(
    "feed-forwards", *FILES, base=FeedForwardPart, check=complete
)


class FeedForward(FeedForwardLayer):
    """See `MLP`. (B, T, D) → (B, T, D)."""

    points: ClassVar = {
        "up": ("x · W_up", "x · W_up"),
        "hidden": ("activated", "激活后"),
    }

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

    def initialise(self, init: Init, branches: int | None = None) -> None:
        init.matrix(self.up.weight)
        init.matrix(self.down.weight, branches)

    def origins(self, name: str, x: str) -> Origins:
        function = activation_name(self.activation)
        return _around(name, x) | {f"{name}.hidden": Origin(f"{function}(up)", (f"{name}.up",))}

    def account(self, numbers: Numbers, entry: Entry, index: Index) -> Made | None:
        place, _, point = entry.name.rpartition(".")
        if point == "hidden":
            made = made_of([one(numbers.part("up", entry.sources[0], *index))])
            return activated(made, self.activation)
        x = vector(numbers, "hidden" if point == "out" else "x", entry.sources[0], index[0])
        layer, symbol = ("down", "W_down") if point == "out" else ("up", "W")
        return linear(numbers, x, f"{place}.{layer}", symbol, index[1])

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


class GatedFeedForward(FeedForwardLayer):
    """See `GatedMLP`. (B, T, D) → (B, T, D). Gate and up are one matrix product."""

    points: ClassVar = {
        "up": ("x · W_up", "x · W_up"),
        "gate": ("gate", "门"),
        "hidden": ("activated", "激活后"),
    }

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

    def initialise(self, init: Init, branches: int | None = None) -> None:
        for part in self.gate_up.weight.chunk(2):
            init.matrix(part)
        init.matrix(self.down.weight, branches)

    def origins(self, name: str, x: str) -> Origins:
        function = activation_name(self.activation)
        return _around(name, x) | {
            f"{name}.gate": Origin("x W_gate + b", (x,)),
            f"{name}.hidden": Origin(f"{function}(gate) * up", (f"{name}.gate", f"{name}.up")),
        }

    def account(self, numbers: Numbers, entry: Entry, index: Index) -> Made | None:
        (token, column), (place, _, point) = index, entry.name.rpartition(".")
        if point == "hidden":
            made = activated(made_of([one(numbers.part("gate", entry.sources[0], *index))]), self.activation)
            return made.times("× up", numbers.part("up", entry.sources[1], *index))
        x = vector(numbers, "hidden" if point == "out" else "x", entry.sources[0], token)
        if point == "out":
            return linear(numbers, x, f"{place}.down", "W_down", column)
        row = column + (entry.value.shape[-1] if point == "up" else 0)
        return linear(numbers, x, f"{place}.gate_up", "W", row)


def _around(name: str, x: str) -> Origins:
    return {
        f"{name}.up": Origin("x W_up + b", (x,)),
        f"{name}.out": Origin("hidden W_down + b", (f"{name}.hidden",)),
    }


@register
@dataclass(frozen=True)
class MLP(FeedForwardPart):
    """down(activation(up(x))). `hidden` is F; None means four times the width."""

    hidden: int | None = None
    activation: Activation = "relu"
    """What makes it more than a matrix product."""
    bias: bool = True
    """Whether the products are shifted."""
    dropout: float = 0.0
    """The rate on the hidden values."""
    kind: Literal["mlp"] = "mlp"

    module = FeedForward

    def build(self, width: int) -> FeedForwardLayer:
        return FeedForward(width, self)


@register
@dataclass(frozen=True)
class GatedMLP(FeedForwardPart):
    """down(activation(gate(x)) * up(x)): SwiGLU with "silu", GeGLU with "gelu".

    `hidden` is F; None means 8/3 of the width, which gives as many weights as `MLP` has.
    """

    hidden: int | None = None
    activation: Activation = "silu"
    bias: bool = False
    dropout: float = 0.0
    kind: Literal["gated"] = "gated"

    module = GatedFeedForward

    def build(self, width: int) -> FeedForwardLayer:
        return GatedFeedForward(width, self)
