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

    def build(self, width: int) -> FeedForwardLayer:
        """The part for vectors of that width; by default `module(width, self)`."""
        return self.module(width, self)


FEED_FORWARDS: Registry[type[FeedForwardPart]] = Registry(
    "feed-forwards", *FILES, base=FeedForwardPart, check=complete
)


class HiddenLayer(FeedForwardLayer):
    """What has hidden values, of which one product, `down`, makes its answer, and another made what they are
    made of. (B, T, D) → (B, T, F) → (B, T, D)."""

    first: ClassVar[str]
    """The name of the product that x goes through."""
    stacked: ClassVar[tuple[str, ...]]
    """The points that it makes, side by side; the first is activated."""
    formula: ClassVar[str]
    """How hidden values are made of them, with `{f}` for the activation."""

    def __init__(self, width: int, hidden: int, config: MLP | GatedMLP) -> None:
        super().__init__()
        setattr(self, self.first, nn.Linear(width, len(self.stacked) * hidden, bias=config.bias))
        self.down = nn.Linear(hidden, width, bias=config.bias)
        self.activation = ACTIVATIONS[config.activation]
        self.dropout = config.dropout

    def _answer(self, hidden: Tensor) -> Tensor:
        hidden = tap(self, "hidden", hidden)
        return tap(self, "out", self.down(dropout(hidden, self.dropout, self.training)))

    def initialise(self, init: Init, branches: int | None = None) -> None:
        for part in self.get_parameter(f"{self.first}.weight").chunk(len(self.stacked)):
            init.matrix(part)
        init.matrix(self.down.weight, branches)

    def origins(self, name: str, x: str) -> Origins:
        points = {point: f"{name}.{point}" for point in self.stacked}
        function = activation_name(self.activation)
        return {
            **{full: Origin(f"x W_{point} + b", (x,)) for point, full in points.items()},
            f"{name}.hidden": Origin(self.formula.format(f=function), tuple(points.values())),
            f"{name}.out": Origin("hidden W_down + b", (f"{name}.hidden",)),
        }

    def account(self, numbers: Numbers, entry: Entry, index: Index) -> Made | None:
        (token, column), (place, _, point) = index, entry.name.rpartition(".")
        if point == "hidden":
            factors = [numbers.part(*pair, *index) for pair in zip(self.stacked, entry.sources, strict=True)]
            made = activated(made_of([one(factors[0])]), self.activation)
            return made.times("× up", factors[1]) if len(factors) > 1 else made
        x = vector(numbers, "hidden" if point == "out" else "x", entry.sources[0], token)
        if point == "out":
            return linear(numbers, x, f"{place}.down", "W_down", column)
        row = column + self.stacked.index(point) * entry.value.shape[-1]
        return linear(numbers, x, f"{place}.{self.first}", "W", row)


class FeedForward(HiddenLayer):
    """See `MLP`. (B, T, D) → (B, T, D)."""

    points: ClassVar = {
        "up": ("x · W_up", "x · W_up"),
        "hidden": ("activated", "激活后"),
    }
    first, stacked, formula = "up", ("up",), "{f}(up)"
    up: nn.Linear

    def __init__(self, width: int, config: MLP) -> None:
        super().__init__(width, config.hidden or 4 * width, config)

    def forward(self, x: Tensor) -> Tensor:
        if self._wide(x):
            p = self.dropout if self.training else 0.0
            made = relu_mlp(x, self.up.weight, self.up.bias, self.down.weight, self.down.bias, p)
            return tap(self, "out", made)
        return self._answer(self.activation(tap(self, "up", self.up(x))))

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


class GatedFeedForward(HiddenLayer):
    """See `GatedMLP`. (B, T, D) → (B, T, D). Gate and up are one matrix product."""

    points: ClassVar = {
        "up": ("x · W_up", "x · W_up"),
        "gate": ("gate", "门"),
        "hidden": ("activated", "激活后"),
    }
    first, stacked, formula = "gate_up", ("gate", "up"), "{f}(gate) * up"
    gate_up: nn.Linear

    def __init__(self, width: int, config: GatedMLP) -> None:
        super().__init__(width, config.hidden or 8 * width // 3, config)

    def forward(self, x: Tensor) -> Tensor:
        gate, up = self.gate_up(x).chunk(2, dim=-1)  # (B, T, F) each
        gate, up = tap(self, "gate", gate), tap(self, "up", up)
        return self._answer(self.activation(gate) * up)


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
