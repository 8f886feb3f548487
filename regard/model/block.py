"""One layer of a stack: attention, cross-attention if there is a memory, feed-forward.

Around each part goes a residual connection with a norm, 'Add & Norm' in the paper's figure 1. Where
the norm stands is a type: after the sum as in the paper (arXiv 1706.03762, section 3.1), before the
part (arXiv 2002.04745), or on both sides of it (arXiv 2105.13290); before it with what it adds scaled (arXiv
2103.17239).

A block is told everything through its arguments; it holds no mask, no position and no cache.
"""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar, Literal

import torch
from torch import Tensor, nn

from regard.model.account import Entry, Index, Made, Numbers, Reading, added, made_of, normed, one
from regard.model.attention import Attention
from regard.model.cache import LayerCache
from regard.model.dropout import drop_add
from regard.model.feedforward import FeedForwardLayer
from regard.model.init import Init
from regard.model.mask import Lowered
from regard.model.norm import Norm
from regard.model.part import FILES, Alternative, Origin, Origins, Productless, complete, precise
from regard.model.position import Rotation
from regard.model.tap import tap
from regard.registry import Registry, register

if TYPE_CHECKING:
    from regard.model.stack import StackConfig

Branch = Callable[[Tensor], Tensor]


class Residual(Productless):
    """x and what a part makes of it, added up: `forward(x, branch)`, (B, T, D) → (B, T, D)."""

    divided = alike = True  # all of a block are one row of a description
    normed_first: ClassVar[bool] = True
    """Whether the part is given what is tapped as `normed`, and not x itself."""
    answer: ClassVar[str] = "sum"
    """The observation point of what it gives."""

    def __init__(self, width: int, norm: Norm, dropout: float) -> None:
        super().__init__()
        self.norm = norm.build(width)
        self.dropout = dropout

    @abstractmethod
    def forward(self, x: Tensor, branch: Branch) -> Tensor: ...

    @abstractmethod
    def origins(self, name: str, x: str, made: str) -> Origins:
        """Of its observation points; `made` is what the part makes."""

    @abstractmethod
    def pull(self, read: Reading, part: str, g: Tensor) -> tuple[Tensor, Tensor]:
        """From a direction for its answer to those for what the part made and for what went past it. `part`:
        the part's name."""

    def account(self, numbers: Numbers, entry: Entry, index: Index) -> Made | None:
        """The sum behind a number of one of its points."""
        place, _, point = entry.name.rpartition(".")
        if point == "sum":
            return added(numbers, entry, index, "part")
        made = made_of([one(numbers.part("x", entry.sources[0], *index))])
        norms = {"normed": "norm", "normed_out": "norm_out"}
        if point not in norms:
            return made
        before = numbers.row(entry.sources[0], index[0])
        return normed(numbers, made, before, index[1], f"{place}.{norms[point]}")

    def initialise(self, init: Init, branches: int | None = None) -> None:
        """Norms fill their own."""

    def add(self, x: Tensor, y: Tensor) -> Tensor:
        return drop_add(x, y, self.dropout, self.training)


class PostResidual(Residual):
    normed_first, answer = False, "normed"

    def forward(self, x: Tensor, branch: Branch) -> Tensor:
        return tap(self, "normed", self.norm(tap(self, "sum", self.add(x, branch(x)))))

    def origins(self, name: str, x: str, made: str) -> Origins:
        total = f"{name}.sum"
        return {total: Origin("x + part", (x, made)), f"{name}.normed": Origin("norm(x + part)", (total,))}

    def pull(self, read: Reading, part: str, g: Tensor) -> tuple[Tensor, Tensor]:
        g = read.norm(f"{part}_residual.norm", self.norm, lambda: read.value(f"{part}_residual.sum"), g)
        return g, g


class PreResidual(Residual):
    def forward(self, x: Tensor, branch: Branch) -> Tensor:
        return tap(self, "sum", self.add(x, branch(tap(self, "normed", self.norm(x)))))

    def origins(self, name: str, x: str, made: str) -> Origins:
        return {f"{name}.normed": Origin("norm(x)", (x,)), f"{name}.sum": Origin("x + part", (x, made))}

    def pull(self, read: Reading, part: str, g: Tensor) -> tuple[Tensor, Tensor]:
        return g, g


class SandwichResidual(PreResidual):
    points: ClassVar = {
        "normed_out": ("norm of the part", "该部分归一化"),
    }

    def __init__(self, width: int, norm: Norm, dropout: float) -> None:
        super().__init__(width, norm, dropout)
        self.norm_out = norm.build(width)

    def forward(self, x: Tensor, branch: Branch) -> Tensor:
        made = self.norm_out(branch(tap(self, "normed", self.norm(x))))
        return tap(self, "sum", self.add(x, tap(self, "normed_out", made)))

    def origins(self, name: str, x: str, made: str) -> Origins:
        after = f"{name}.normed_out"
        return super().origins(name, x, after) | {after: Origin("norm(part)", (made,))}

    def pull(self, read: Reading, part: str, g: Tensor) -> tuple[Tensor, Tensor]:
        seen = lambda: read.value(f"{part}.out")  # noqa: E731
        return read.norm(f"{part}_residual.norm_out", self.norm_out, seen, g), g


class ScaledResidual(PreResidual):
    points: ClassVar = {
        "scaled": ("gain · part", "增益 · 该部分"),
    }

    def __init__(self, width: int, norm: Norm, dropout: float, start: float) -> None:
        super().__init__(width, norm, dropout)
        self.gain = nn.Parameter(torch.full((width,), start))

    def forward(self, x: Tensor, branch: Branch) -> Tensor:
        made = self.gain * branch(tap(self, "normed", self.norm(x)))
        return tap(self, "sum", self.add(x, tap(self, "scaled", made)))

    def origins(self, name: str, x: str, made: str) -> Origins:
        after = f"{name}.scaled"
        return super().origins(name, x, after) | {after: Origin("gain · part", (made,))}

    def pull(self, read: Reading, part: str, g: Tensor) -> tuple[Tensor, Tensor]:
        return g * precise(self.gain), g

    def account(self, numbers: Numbers, entry: Entry, index: Index) -> Made | None:
        made, (place, _, point) = super().account(numbers, entry, index), entry.name.rpartition(".")
        if made is None or point != "scaled":
            return made
        return made.times("× gain", numbers.weight("gain", f"{place}.gain", index[1]))


class Placement(Alternative):
    """Where norms stand, as a part of a configuration."""

    built = Residual
    module: ClassVar[type[Residual]]
    closes: ClassVar[bool] = False
    """Whether a block's answer is normed, so that a stack needs no norm after its last."""

    def build(self, width: int, norm: Norm, dropout: float) -> Residual:
        """What stands around a part."""
        return self.module(width, norm, dropout)


PLACEMENTS: Registry[type[Placement]] = Registry("placements", *FILES, base=Placement, check=complete)


@register
@dataclass(frozen=True)
class PostNorm(Placement):
    """norm(x + part(x)), as in the paper."""

    kind: Literal["post"] = "post"

    module = PostResidual
    closes = True


@register
@dataclass(frozen=True)
class PreNorm(Placement):
    """x + part(norm(x)): trains without warm-up and at any depth; the stack ends with a norm."""

    kind: Literal["pre"] = "pre"

    module = PreResidual


@register
@dataclass(frozen=True)
class SandwichNorm(Placement):
    """x + norm(part(norm(x))): also bounds what each part adds."""

    kind: Literal["sandwich"] = "sandwich"

    module = SandwichResidual


@register
@dataclass(frozen=True)
class LayerScale(Placement):
    """x + gains · part(norm(x)), with a learned gain for each number of a vector (arXiv 2103.17239, section
    2.1): what each part adds begins small. The stack ends with a norm."""

    start: float = 1e-4
    """The gains to begin with."""
    kind: Literal["layer-scale"] = "layer-scale"

    module = ScaledResidual

    def build(self, width: int, norm: Norm, dropout: float) -> Residual:
        return ScaledResidual(width, norm, dropout, self.start)


@dataclass
class BlockContext:
    """What the layers of one forward share besides x. The stack makes it; parts read it."""

    mask: Lowered
    rotation: Rotation | None = None
    late: tuple[Rotation, Rotation] | None = None
    """By how much more queries, and all keys, are rotated in an input that is so long."""
    bias: Tensor | None = None
    memory_mask: Lowered = None
    memory_rotation: Rotation | None = None
    """How queries are rotated before they look at the memory, whose keys `project_memory` rotated."""
    memory_bias: Tensor | None = None


class Block(nn.Module):
    """See the module's docstring. (B, T, D) → (B, T, D)."""

    def __init__(self, config: StackConfig) -> None:
        super().__init__()
        width, cross, around = config.width, config.cross, (config.width, config.norm, config.dropout)
        self.attention = config.attention.build(width)
        self.attention_residual = config.placement.build(*around)
        self.cross = None if cross is None else cross.build(width, cross=True)
        self.cross_residual = None if cross is None else config.placement.build(*around)
        self.feedforward = config.feedforward.build(width)
        self.feedforward_residual = config.placement.build(*around)

    def forward(
        self,
        x: Tensor,
        context: BlockContext,
        cache: LayerCache | None = None,
        memory: tuple[Tensor, Tensor] | None = None,
    ) -> Tensor:
        """`memory`: the keys and values that `project_memory` made, if the block attends to another stack."""
        attention, cross = self.attention, self.cross
        further: dict[str, Any] = {} if context.late is None else {"late": context.late}
        x = self.attention_residual(
            x,
            lambda h: attention(
                h, context.mask, rotation=context.rotation, bias=context.bias, cache=cache, **further
            ),
        )
        if cross is not None and self.cross_residual is not None and memory is not None:
            mask, turn, bias = context.memory_mask, context.memory_rotation, context.memory_bias
            x = self.cross_residual(
                x, lambda h: cross.cross_attend(h, memory, mask, rotation=turn, bias=bias)
            )
        x = self.feedforward_residual(x, self.feedforward)
        return tap(self, "residual", x)

    @property
    def parts(self) -> Iterator[tuple[str, Attention | FeedForwardLayer, Residual]]:
        """What it is made of, in the order of the computation, with what stands around each."""
        for name in ("attention", "cross", "feedforward"):
            if getattr(self, name) is not None:
                yield name, getattr(self, name), getattr(self, f"{name}_residual")

    def origins(
        self, name: str, x: str, memory: str | None, bias: str | None, memory_bias: str | None
    ) -> Origins:
        """Of all points inside. `x`, `memory`: what it is given; biases: what is added to scores."""
        origins: Origins = {}
        for part, module, residual in self.parts:
            inside, around = f"{name}.{part}", f"{name}.{part}_residual"
            given = f"{around}.normed" if residual.normed_first else x
            if isinstance(module, Attention):
                seen, added = (memory or given, memory_bias) if module.cross else (given, bias)
                origins |= module.origins(inside, given, seen, added)
            else:
                origins |= module.origins(inside, given)
            origins |= residual.origins(around, x, f"{inside}.out")
            x = f"{around}.{residual.answer}"
        return origins | {f"{name}.residual": Origin("what goes on to the next block", (x,))}

    def project_memory(self, memory: Tensor, rotation: Rotation | None = None) -> tuple[Tensor, Tensor]:
        """Cross-attention's keys and values of (B, S, D) memory, the keys turned."""
        assert self.cross is not None
        return self.cross.project_memory(memory, rotation)
