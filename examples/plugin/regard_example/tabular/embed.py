"""From a row of a table to vectors: the feature tokenizer of FT-Transformer (arXiv 2106.11959, section 3.3).

(B, F) numbers → (B, 1 + F, D): a learned vector (the paper's [CLS]), then x_j · W_j + b_j for a number, and
a row of the column's own table + b_j for a category. A missing value, NaN, is a vector of its column's own.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import accumulate
from typing import Any, ClassVar, Literal

import torch
from torch import Tensor, nn

from regard.model.account import Made, made_of, one, product
from regard.model.embed import Embed, EmbedPart
from regard.model.init import Init
from regard.model.tap import tap

_MOST = 1 << 24  # places that a float32 tells apart


class FeatureEmbedding(EmbedPart):
    """See `Features`."""

    chinese: ClassVar = {"[learned vector; x W + b; table[x] + b]": "[学到的向量；x W + b；表[x] + b]"}
    leading = 1

    def __init__(self, width: int, config: Features) -> None:
        super().__init__()
        self.config = config
        *starts, rows = accumulate((count + 1 for count in config.counts), initial=0)
        self.register_buffer("starts", torch.tensor(starts, dtype=torch.long), persistent=False)
        columns = len(config.numbers) + len(config.categories)
        self.weight = nn.Parameter(torch.empty(len(config.numbers), width))
        self.rows = nn.Parameter(torch.empty(rows, width))
        self.bias = nn.Parameter(torch.empty(columns, width))
        self.missing = nn.Parameter(torch.empty(columns, width))
        self.first = nn.Parameter(torch.empty(1, width))

    def forward(self, x: Tensor) -> Tensor:
        """(B, F) → (B, 1 + F, D)."""
        gone, split = x.isnan(), len(self.weight)
        filled = x.masked_fill(gone, 0.0)
        numbers = filled[:, :split, None].to(self.weight.dtype) * self.weight
        categories = nn.functional.embedding(filled[:, split:].long() + self.starts, self.rows)
        vectors = torch.cat((numbers, categories), 1) + self.bias
        vectors = torch.where(gone[:, :, None], self.missing, vectors)
        first = self.first.expand(len(x), 1, -1)
        return tap(self, "out", torch.cat((first, vectors), 1))

    @property
    def tables(self) -> tuple[Tensor, ...]:
        return (self.weight, self.rows, self.bias, self.missing, self.first)

    def initialise(self, init: Init, branches: int | None = None) -> None:
        for table in self.tables:
            init.table(table)

    def flops(self, T: int, S: int) -> int:
        return 2 * self.weight.numel()

    @property
    def length(self) -> int:
        return 1 + len(self.bias)

    @property
    def names(self) -> tuple[str, ...]:
        return ("[class]", *self.config.numbers, *self.config.categories)

    def example(self, device: torch.device) -> Tensor:
        return torch.zeros((1, len(self.bias)), device=device)

    @property
    def formula(self) -> str:
        return "[learned vector; x W + b; table[x] + b]"

    def account(self, numbers: Any, entry: Any, index: tuple[int, ...]) -> Made:
        (token, width), place, given = index, entry.name.rpartition(".")[0], entry.sources[0]
        if token == 0:
            return made_of([one(numbers.weight("learned vector", f"{place}.first", 0, width))])
        column, split = token - 1, len(self.weight)
        x = numbers.part("x", given, column)
        if x.value != x.value:  # NaN
            return made_of([one(numbers.weight("missing", f"{place}.missing", column, width))])
        if column < split:
            W = numbers.weight("W", f"{place}.weight", column, width)
            made = made_of([product(self.names[token], x, W)])
        else:
            row = int(x.value) + int(self.starts[column - split])
            made = made_of([one(numbers.weight("table", f"{place}.rows", row, width), self.names[token])])
        return made.plus("+ b", numbers.weight("b", f"{place}.bias", column, width))


@dataclass(frozen=True)
class Features(Embed):
    """A vector for each column of a row, behind a learned one."""

    numbers: tuple[str, ...] = ()
    """The columns that hold numbers, which come first; none in a plan that leaves them to the data."""
    categories: tuple[str, ...] = ()
    """The columns that hold categories; none in a plan that leaves them to the data."""
    counts: tuple[int, ...] = ()
    """How many categories each of those has."""
    kind: Literal["features"] = "features"

    module = FeatureEmbedding

    def __post_init__(self) -> None:
        if len(self.counts) != len(self.categories) or not all(0 <= count < _MOST for count in self.counts):
            raise ValueError(
                f"counts must be numbers from 0 to {_MOST - 1:,}, one for each of the categories"
            )

    def build(self, width: int) -> FeatureEmbedding:
        return FeatureEmbedding(width, self)
