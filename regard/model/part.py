"""What all alternatives have alike: a dataclass that says which one is meant, and the module that it builds.

An alternative is a frozen dataclass with a `kind`, a subclass of the base class of its registry (`MaskRule`,
`Head`, …). Where it builds a module it names that module's class, which is a `Part`: what its numbers start
from, what it costs and what can be observed of it are its own methods. An alternative that lacks one of them
is refused when it is registered. This file does not know any part.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from pkgutil import iter_modules
from typing import TYPE_CHECKING, Any, ClassVar

import torch
from torch import nn

from regard.errors import ConfigError

if TYPE_CHECKING:
    from regard.model.init import Init

FILES = tuple(f"{__package__}.{module.name}" for module in iter_modules([str(Path(__file__).parent)]))
"""The files of this folder, in any of which an alternative may stand."""


@dataclass(frozen=True)
class Origin:
    """How an observed value is made, and of what."""

    formula: str
    sources: tuple[str, ...] = ()


Origins = dict[str, Origin]
"""By the full names of observation points."""


class Named:
    """What people call the values of a part."""

    points: ClassVar[Mapping[str, tuple[str, str]]] = {}
    """Its own observation points, by the last word of their names: in English and in Chinese."""
    chinese: ClassVar[Mapping[str, str]] = {}
    """Those of its formulas that have words, in Chinese."""


class Part(nn.Module, Named, ABC):
    """A module that says of itself what others would have to ask of its type."""

    divided: ClassVar[bool] = False
    """Whether what is inside has rows of its own in a description."""

    @abstractmethod
    def initialise(self, init: Init, branches: int | None = None) -> None:
        """Fill the parameters of its own, not those of parts inside it; biases of linears are 0 already.

        `branches`: how many residual branches its stack has, by which what ends one may be scaled.
        """

    @abstractmethod
    def flops(self, T: int, S: int) -> int:
        """Multiplications and additions of its matrix products, for T tokens that look at S."""

    @property
    def tables(self) -> tuple[torch.Tensor, ...]:
        """Those of its parameters that are no matrices of the stream, though they have two axes."""
        return ()

    def lay_out(self) -> None:
        """Lay weights out for use instead of training; see `layout.py`."""

    def int8(self) -> nn.Module | None:
        """What stands for it among 8-bit products; None for itself, its linears replaced."""
        return None


class Productless(Part):
    """A part without matrix products of its own."""

    def flops(self, T: int, S: int) -> int:
        return 0


class Weightless(Productless):
    """A part without parameters of its own and without products."""

    def initialise(self, init: Init, branches: int | None = None) -> None:
        names = [name for name, _ in self.named_parameters(recurse=False)]
        if names:
            kind = type(self).__name__
            raise ValueError(f"{kind} is called weightless and has {', '.join(names)}; write its initialise")


class Alternative(Named, ABC):
    """The base of the bases of registries."""

    kind: str
    built: ClassVar[type[nn.Module] | None] = None
    """Of what `module` must be a subclass; None where no module is built."""
    module: ClassVar[type[Any]]
    """What `build` makes."""


def complete(member: type) -> None:
    """What a registry of alternatives checks. Raises: ConfigError naming what `member` does not say."""
    name, built = f"{member.__module__}.{member.__qualname__}", getattr(member, "built", None)
    parameters = getattr(member, "__dataclass_params__", None)
    if parameters is None or not parameters.frozen or "kind" not in member.__dataclass_fields__:  # type: ignore[attr-defined]
        raise ConfigError("{where} must be a frozen dataclass with a field {key}", name, "kind")
    module = getattr(member, "module", None)
    if built is not None and not (isinstance(module, type) and issubclass(module, built)):
        sentence = "{where} must name the class that it builds as {key}, a subclass of {limit}"
        raise ConfigError(sentence, name, "module", built.__name__)
    for owner in (member, module):
        lacking = ", ".join(sorted(getattr(owner, "__abstractmethods__", ())))
        if lacking:
            sentence = "{where} does not say {key}; give it these methods"
            raise ConfigError(sentence, getattr(owner, "__qualname__", owner), lacking)


def product_flops(linear: nn.Linear, tokens: int) -> int:
    """Of one linear."""
    return 2 * tokens * linear.in_features * linear.out_features


def linear_flops(part: nn.Module, tokens: int) -> int:
    """Of all linears in a part."""
    return sum(product_flops(module, tokens) for module in part.modules() if isinstance(module, nn.Linear))


def by_input(weight: torch.Tensor) -> torch.Tensor:
    """The same numbers, those of one input side by side."""
    return weight.t().contiguous().t()


def precise(weight: torch.Tensor) -> torch.Tensor:
    """In float64 on the host, where every device's numbers can be doubles."""
    return weight.detach().cpu().double()
