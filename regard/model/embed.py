"""From what a model is given to vectors: (B, T) ids, or (B, C, H, W) images, → (B, T, D).

Only content: where a token or a patch stands is added by the stack (`position.py`).

Patches: ViT, arXiv 2010.11929, section 3.1.
"""

from __future__ import annotations

import math
from abc import abstractmethod
from dataclasses import dataclass
from typing import ClassVar, Literal

import torch
from torch import Tensor, nn

from regard.model.account import Entry, Factor, Index, Made, Numbers, made_of, one, product
from regard.model.init import Init
from regard.model.part import FILES, Alternative, Part, Productless, complete
from regard.model.tap import tap
from regard.registry import Registry, register


@dataclass(frozen=True)
class TokenTypes:
    """A vector for each stretch of the input, added to those of its tokens (BERT's segments, arXiv
    1810.04805, section 3.2). Which stretch a token is in follows from the separators before it, so that it
    needs the whole input at once."""

    count: int
    """How many stretches are told apart; what comes later belongs to the last."""
    separator: int | None
    """The id that ends a stretch, as its last token; None where all of an input is the first stretch, and the
    vectors of the others are only kept (RoBERTa)."""


class EmbedPart(Part):
    """Makes (B, T, D) of what is given, and taps it as `out`."""

    weight: nn.Parameter
    length: int | None = None
    """How many vectors it makes of any input; None where that depends on the input."""
    leading: int = 0
    """How many of them come before those of the input's own parts."""

    @property
    def table(self) -> nn.Parameter | None:
        """(V, D) vectors among which a head may choose; None where there are none."""
        return None

    @abstractmethod
    def example(self, device: torch.device) -> Tensor:
        """An input of one row, a short or an empty one."""

    @property
    def names(self) -> tuple[str, ...] | None:
        """How people call these, where it makes as many of any input."""
        return None

    @property
    @abstractmethod
    def formula(self) -> str:
        """How `out` is made of what is `given`."""

    def account(self, numbers: Numbers, entry: Entry, index: Index) -> Made | None:
        """The sum behind a number of `out`; None where it is not taken apart."""
        return None


class Embed(Alternative):
    """How what is given becomes vectors, as a part of a configuration."""

    built = EmbedPart
    module: ClassVar[type[EmbedPart]]

    @property
    def needs_all(self) -> bool:
        """Whether what a vector is depends on all of the input before it, so that nothing may be cached."""
        return False

    def build(self, width: int) -> EmbedPart:
        """The part that makes vectors of that width; by default `module(width, self)`."""
        return self.module(width, self)


EMBEDDINGS: Registry[type[Embed]] = Registry("embeddings", *FILES, base=Embed, check=complete)


class TokenEmbedding(Productless, EmbedPart):
    """See `Tokens`. (B, T) ids → (B, T, D)."""

    def __init__(self, width: int, config: Tokens) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.empty(config.vocab, width))
        self.factor = math.sqrt(width) if config.scale else 1.0
        separator = config.types.separator if config.types else None
        self.separator = -1 if separator is None else separator
        self.types = nn.Parameter(torch.empty(config.types.count, width)) if config.types else None

    @property
    def table(self) -> nn.Parameter:
        return self.weight

    def forward(self, ids: Tensor) -> Tensor:
        vectors = nn.functional.embedding(ids, self.weight)
        vectors = vectors if self.factor == 1.0 else vectors * self.factor
        if self.types is not None:
            vectors = vectors + nn.functional.embedding(self._type(ids), self.types)
        return tap(self, "out", vectors)

    def _type(self, ids: Tensor) -> Tensor:
        """How many separators stand before each of (B, T) ids."""
        assert self.types is not None
        ends = (ids == self.separator).long()
        return (ends.cumsum(-1) - ends).clamp_max(len(self.types) - 1)

    @torch.no_grad()
    def take_vectors(self, rows: Tensor, vectors: Tensor) -> None:
        """Put pretrained (n, D) vectors into the table at (n,) rows, as the model will see them."""
        self.weight[rows.to(self.weight.device)] = vectors.to(self.weight) / self.factor

    def initialise(self, init: Init, branches: int | None = None) -> None:
        for table in self.tables:
            init.table(table)

    def example(self, device: torch.device) -> Tensor:
        return torch.arange(3, device=device)[None]

    @property
    def tables(self) -> tuple[Tensor, ...]:
        return (self.weight,) if self.types is None else (self.weight, self.types)

    @property
    def formula(self) -> str:
        scaled = "" if self.factor == 1.0 else " · √D"
        return f"table[given]{scaled}" + ("" if self.types is None else " + types[which text]")

    def account(self, numbers: Numbers, entry: Entry, index: Index) -> Made:
        place, given = entry.name.rpartition(".")[0], numbers.entry(entry.sources[0]).value
        row = int(given[index[0]])
        made = made_of([one(numbers.weight("table", f"{place}.weight", row, index[1]))])
        if self.factor != 1.0:
            made = made.times("× √D", Factor("√D", self.factor))
        if self.types is not None:
            kind = int(self._type(given[None])[0, index[0]])
            made = made.plus("+ type", numbers.weight("types", f"{place}.types", kind, index[1]))
        return made


class PatchEmbedding(EmbedPart):
    """See `Patches`. (B, C, H, W) numbers → (B, N, D), or (B, L + N, D) with L vectors before them."""

    def __init__(self, width: int, config: Patches) -> None:
        super().__init__()
        sides, patch = (config.pixel_rows, config.pixel_columns), config.patch
        if patch and any(side % patch for side in sides):
            raise ValueError(f"patches of {patch} pixels do not divide an image of {_shown(sides)}")
        self.config, self.length, self.leading = config, config.length, config.leading
        self.weight = nn.Parameter(torch.empty(width, config.channels, patch, patch))
        self.bias = nn.Parameter(torch.zeros(width))
        self.first = nn.Parameter(torch.empty(config.leading, width)) if config.leading else None

    def forward(self, images: Tensor) -> Tensor:
        c, found = self.config, tuple(images.shape[1:])
        if found != (c.channels, c.pixel_rows, c.pixel_columns):
            made = _shown((c.channels, c.pixel_rows, c.pixel_columns))
            raise ValueError(f"images of {_shown(found)} were given to a model of {made}")
        P = c.patch
        cut = images.to(self.weight.dtype).unflatten(3, (-1, P)).unflatten(2, (-1, P))  # (B, C, h, P, w, P)
        flat = cut.permute(0, 2, 4, 1, 3, 5).reshape(len(images), -1, c.channels * P * P)
        vectors = nn.functional.linear(flat, self.weight.flatten(1), self.bias)
        if self.first is not None:
            vectors = torch.cat((self.first.to(vectors.dtype).expand(len(vectors), -1, -1), vectors), 1)
        return tap(self, "out", vectors)

    def initialise(self, init: Init, branches: int | None = None) -> None:
        init.matrix(self.weight.flatten(1))  # a view of the same numbers
        if self.first is not None:
            init.table(self.first)

    def flops(self, T: int, S: int) -> int:
        return 2 * (self.config.length - self.leading) * self.weight.numel()

    def example(self, device: torch.device) -> Tensor:
        c = self.config
        return torch.zeros((1, c.channels, c.pixel_rows, c.pixel_columns), device=device)

    @property
    def names(self) -> tuple[str, ...]:
        """`[class]`, registers, then row and column of each patch."""
        c = self.config
        leading = ["[class]"] * c.class_token + [f"[register {number}]" for number in range(c.registers)]
        places = ((row, column) for row in range(c.pixel_rows // c.patch) for column in range(c.columns))
        return (*leading, *(f"{row},{column}" for row, column in places))

    @property
    def formula(self) -> str:
        return "patches W + b" if self.first is None else "[learned vectors; patches W + b]"

    def account(self, numbers: Numbers, entry: Entry, index: Index) -> Made:
        (token, width), place, config = index, entry.name.rpartition(".")[0], self.config
        if token < config.leading:
            return made_of([one(numbers.weight("learned vector", f"{place}.first", token, width))])
        P = config.patch
        top, left = (P * at for at in divmod(token - config.leading, config.columns))
        given = entry.sources[0]
        pixels = ((c, y, x) for c in range(config.channels) for y in range(P) for x in range(P))
        made = made_of(
            product(
                f"{c},{top + y},{left + x}",
                numbers.part("pixel", given, c, top + y, left + x),
                numbers.weight("W", f"{place}.weight", width, c, y, x),
            )
            for c, y, x in pixels
        )
        return made.plus("+ b", numbers.weight("b", f"{place}.bias", width))


def _shown(sizes: tuple[int, ...]) -> str:
    return " × ".join(map(str, sizes))


@register
@dataclass(frozen=True)
class Tokens(Embed):
    """A row of a table for each id."""

    vocab: int = 0
    """V, the number of ids; 0 in a plan that leaves it to the tokenizer."""
    scale: bool = True
    """Whether vectors are multiplied by √D (arXiv 1706.03762, section 3.4)."""
    types: TokenTypes | None = None
    """What tells the texts of a pair apart; None where nothing does."""
    kind: Literal["tokens"] = "tokens"

    module = TokenEmbedding

    @property
    def needs_all(self) -> bool:
        return self.types is not None

    def build(self, width: int) -> TokenEmbedding:
        return TokenEmbedding(width, self)


@register
@dataclass(frozen=True)
class Patches(Embed):
    """The patches of an image, row by row, each times one matrix: a convolution whose stride is its size."""

    channels: int = 0
    """Numbers a pixel: 1 for grey, 3 for colour; 0 in a plan that leaves it to the data."""
    pixel_rows: int = 0
    """Height of an image; 0 in a plan that leaves it to the data."""
    pixel_columns: int = 0
    """Width of an image; 0 in a plan that leaves it to the data."""
    patch: int = 0
    """Side of a patch in pixels, which divides both sides of an image; 0 in a plan that leaves it to the
    data."""
    class_token: bool = True
    """Whether a learned vector stands before the patches, to gather what the whole image is."""
    registers: int = 0
    """Further learned vectors between that and the patches (DeiT's distillation token: arXiv 2012.12877,
    section 4; registers: arXiv 2309.16588)."""
    kind: Literal["patches"] = "patches"

    module = PatchEmbedding

    @property
    def columns(self) -> int:
        """Patches side by side; 0 in a plan."""
        return self.pixel_columns // self.patch if self.patch else 0

    @property
    def leading(self) -> int:
        """Vectors before the patches."""
        return self.class_token + self.registers

    @property
    def length(self) -> int:
        """Vectors an image becomes; 0 in a plan."""
        rows = self.pixel_rows // self.patch if self.patch else 0
        return rows * self.columns + self.leading if rows else 0
