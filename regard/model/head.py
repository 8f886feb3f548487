"""From a stack's vectors to predictions: a word or a class for each, a class for all together, a span, a
vector.

What is made of a prediction, and what it costs to be wrong (`loss.py`), is not known here.
"""

from __future__ import annotations

from abc import abstractmethod
from dataclasses import dataclass, replace
from typing import Any, ClassVar, Literal

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from regard.model.account import Entry, Factor, Index, Made, Numbers, Reading, made_of, one, vector
from regard.model.account_linear import linear
from regard.model.init import Init
from regard.model.loss import vocabulary_loss
from regard.model.mask import Positions
from regard.model.part import (
    FILES,
    Alternative,
    Origin,
    Origins,
    Part,
    Weightless,
    by_input,
    complete,
    linear_flops,
)
from regard.model.pooling import POOLED, Pooling, pooled, pooled_account
from regard.model.quantize import Int8Linear
from regard.model.tap import tap
from regard.model.transform import Transform, TransformLayer, transform_layer
from regard.registry import Registry, register


class HeadPart(Part):
    """(B, T, D) → whatever is predicted."""

    pools: ClassVar[bool] = False
    """Whether it speaks of the whole sequence, so that `forward` is told where the vectors stand."""
    outputs: ClassVar[tuple[str, ...]] = ()
    """What it chooses among, where that is always the same: then of tokens, one for each of these."""
    weight: Tensor
    """(K, D), and (K,) or None, of those that end with a product."""
    bias: Any
    logits: ClassVar[bool] = True
    """Whether it taps `logits`, of which probabilities are made."""

    @abstractmethod
    def origins(self, x: str) -> Origins:
        """Of its observation points, which begin with `head.`; `x` is what it is given."""

    def account(self, numbers: Numbers, entry: Entry, index: Index) -> Made | None:
        """The sum behind a number of one of its points; None where it is not taken apart."""
        return None

    def pull(self, read: Reading, x: Tensor, g: Tensor) -> Tensor | None:
        """From (1, K), a direction at its `weight`, to (n, D): for the vectors `x` that it was given. None
        where logits are no sum of its `weight`."""
        return None


class Head(Alternative):
    """What is made of a stack's vectors, as a part of a configuration."""

    built = HeadPart
    module: ClassVar[type[HeadPart]]

    @abstractmethod
    def build(self, width: int, table: nn.Parameter | None) -> HeadPart:
        """The head for vectors of that width; `table`: the embedding's, if it has one."""

    def for_new_data(self, before: Head) -> Head:
        """The same where training goes on with other data, and with the body of a model whose head was
        `before`."""
        return self


HEADS: Registry[type[Head]] = Registry("heads", *FILES, base=Head, check=complete)


class ProductHead(HeadPart):
    """A head that ends with one product of a `weight`, (K, D), after a `transform`, if there is one.
    (B, T, D) → (B, T, K) logits."""

    transform: nn.Module

    def forward(self, x: Tensor) -> Tensor:
        return tap(self, "logits", F.linear(self.transform(x), self.weight, self.bias))

    def initialise(self, init: Init, branches: int | None = None) -> None:
        init.matrix(self.weight)

    def flops(self, T: int, S: int) -> int:
        return 2 * T * self.weight.numel() + linear_flops(self.transform, T)

    def account(self, numbers: Numbers, entry: Entry, index: Index) -> Made | None:
        return linear(numbers, vector(numbers, "x", entry.sources[0], *index[:-1]), "head", "W", index[-1])

    def origins(self, x: str) -> Origins:
        inner = x if isinstance(self.transform, nn.Identity) else "head.transform.out"
        bias = "" if self.bias is None else " + b"
        return {
            "head.transform.out": Origin("norm(f(x W + b))", (x,)),
            "head.logits": Origin(f"x Wᵀ{bias}", (inner,)),
            "head.probabilities": Origin("softmax(logits)", ("head.logits",)),
        }

    @property
    def tables(self) -> tuple[Tensor, ...]:
        return (self.weight,)

    def pull(self, read: Reading, x: Tensor, g: Tensor) -> Tensor | None:
        return self.transform.pull(read, x, g) if isinstance(self.transform, TransformLayer) else g


class LinearHead(ProductHead):
    """Weights of its own for so many outputs of each vector, and a bias."""

    def __init__(self, width: int, count: int, transform: Transform | None = None) -> None:
        super().__init__()
        self.transform = transform_layer(width, transform)
        self.weight = nn.Parameter(torch.empty(count, width))
        self.bias = nn.Parameter(torch.zeros(count))


class ClassHead(LinearHead):
    """See `Classes`. (B, T, D) → (B, K) logits."""

    pools = True
    points: ClassVar = {
        "gathered": ("pooled", "汇聚"),
    }

    def __init__(self, width: int, config: Classes) -> None:
        super().__init__(width * len(POOLED[config.pooling]), config.count, config.transform)
        self.config = config

    def forward(self, x: Tensor, positions: Positions | None = None) -> Tensor:
        """`positions`: where the vectors stand; padding is left out."""
        gathered = tap(self, "gathered", self._pooled(x, positions))
        vector = tap(self, "pooled", self.transform(gathered))
        return tap(self, "logits", F.linear(vector, self.weight, self.bias))

    def _pooled(self, x: Tensor, positions: Positions | None = None) -> Tensor:
        return pooled(x, positions, self.config.pooling, self.config.skipped)

    def flops(self, T: int, S: int) -> int:
        return super().flops(1, S)

    def origins(self, x: str) -> Origins:
        inner = "head.gathered" if isinstance(self.transform, nn.Identity) else "head.transform.out"
        return super().origins("head.gathered") | {
            "head.gathered": Origin(f"pooling: {self.config.pooling}", (x,)),
            "head.pooled": Origin("what stands for the whole", (inner,)),
            "head.logits": Origin("pooled Wᵀ + b", ("head.pooled",)),
        }

    def account(self, numbers: Numbers, entry: Entry, index: Index) -> Made | None:
        c, point, source = self.config, entry.name.rpartition(".")[2], entry.sources[0]
        if point == "pooled":
            return made_of([one(numbers.part("x", source, *index))])
        if point == "gathered":
            return pooled_account(numbers, source, index[0], c.pooling, c.skipped)
        return super().account(numbers, entry, index)

    def pull(self, read: Reading, x: Tensor, g: Tensor) -> Tensor:
        pulled = super().pull(read, self._pooled(x[None]), g)
        with torch.enable_grad():  # a mean is linear: its gradient is what each vector counts for
            x = x.clone().requires_grad_()
            (gradient,) = torch.autograd.grad(self._pooled(x[None]), x, pulled)
        return gradient


class SpanHead(LinearHead):
    """See `Spans`. (B, T, D) → (B, T, 2) logits: of a start, of an end."""

    outputs = ("start", "end")


class VectorHead(Weightless, HeadPart):
    """See `Vector`. (B, T, D) → (B, D), or (B, 2D) of two side by side; no weights of its own."""

    pools, logits = True, False
    points: ClassVar = {
        "vector": ("vector", "向量"),
    }

    def __init__(self, config: Vector) -> None:
        super().__init__()
        self.config = config

    def forward(self, x: Tensor, positions: Positions | None = None) -> Tensor:
        """`positions`: where the vectors stand; padding is left out."""
        vector = tap(self, "pooled", pooled(x, positions, self.config.pooling))
        return tap(self, "vector", F.normalize(vector, dim=-1) if self.config.normalised else vector)

    def origins(self, x: str) -> Origins:
        scaled = "pooled / |pooled|" if self.config.normalised else "pooled"
        return {
            "head.pooled": Origin(f"pooling: {self.config.pooling}", (x,)),
            "head.vector": Origin(scaled, ("head.pooled",)),
        }

    def account(self, numbers: Numbers, entry: Entry, index: Index) -> Made | None:
        source = entry.sources[0]
        if entry.name == "head.pooled":
            return pooled_account(numbers, source, index[0], self.config.pooling)
        made = made_of([one(numbers.part("pooled", source, *index))])
        if not self.config.normalised:
            return made
        length = max(float(numbers.row(source).norm()), 1e-12)
        return made.then("÷ length", made.last / length, Factor("length", length))


class VocabularyHead(ProductHead):
    """(B, T, D) → (B, T, V) logits; `weight` (V, D) may be an embedding's own table (tied)."""

    def __init__(
        self,
        width: int,
        vocab: int,
        *,
        tied: nn.Parameter | None = None,
        bias: bool = False,
        transform: Transform | None = None,
        made: int | None = None,
    ) -> None:
        """`made`: how many numbers `transform` makes of D, if it is another number."""
        super().__init__()
        self.transform = transform_layer(width, transform, made)
        inner = width if transform is None or made is None else made
        self.weight = nn.Parameter(torch.empty(vocab, inner)) if tied is None else tied
        self.bias = nn.Parameter(torch.zeros(vocab)) if bias else None

    @property
    def bare(self) -> bool:
        """Whether it is one product and nothing more."""
        return self.bias is None and isinstance(self.transform, nn.Identity)

    def loss(self, x: Tensor, target: Tensor, smoothing: float = 0.0) -> Tensor:
        """`vocabulary_loss` of these vectors."""
        return vocabulary_loss(self.transform(x), self.weight, target, smoothing=smoothing, bias=self.bias)

    def initialise(self, init: Init, branches: int | None = None) -> None:
        init.table(self.weight)

    def lay_out(self) -> None:
        """It gets weights of its own, if it was tied: a table is read by rows."""
        if self.weight.device.type == "cpu":
            self.weight = nn.Parameter(by_input(self.weight.data), requires_grad=False)

    def int8(self) -> nn.Module:
        return Int8VocabularyHead(self)


class Int8VocabularyHead(Int8Linear, ProductHead):
    """A `VocabularyHead` with 8-bit weights of its own: (B, T, D) → (B, T, V) logits."""

    def __init__(self, head: VocabularyHead) -> None:
        super().__init__(head)
        self.transform = head.transform

    def forward(self, x: Tensor) -> Tensor:
        return tap(self, "logits", super().forward(self.transform(x)))

    def initialise(self, init: Init, branches: int | None = None) -> None:
        raise ValueError("8-bit weights are made of others, not drawn")

    def pull(self, read: Reading, x: Tensor, g: Tensor) -> None:
        """Its weights are integers."""

    @property
    def tables(self) -> tuple[Tensor, ...]:
        return ()


@register
@dataclass(frozen=True)
class Vocabulary(Head):
    """A token of the vocabulary for each vector."""

    tied: bool = True
    """Whether its weights are the embedding's."""
    bias: bool = False
    """Whether each token has a number of its own added to its logit."""
    transform: Transform | None = None
    """A layer before the predictions; None for none."""
    kind: Literal["vocabulary"] = "vocabulary"

    module = VocabularyHead

    def build(self, width: int, table: nn.Parameter | None) -> VocabularyHead:
        """`table`: the embedding's. Raises ValueError when it has none, as for images, or is tied and of
        another width, and no transform bridges that."""
        if table is None:
            raise ValueError("the head 'vocabulary' needs an embedding of tokens; use 'classes'")
        tied = table if self.tied else None
        vocab, made = table.shape
        if tied is not None and made != width and self.transform is None:
            raise ValueError(f"a tied head needs a transform from {width} numbers to the {made} of its table")
        return VocabularyHead(width, vocab, tied=tied, bias=self.bias, transform=self.transform, made=made)


@register
@dataclass(frozen=True)
class Classes(Head):
    """One of some classes for the whole sequence."""

    count: int = 0
    """K, the number of classes; 0 in a plan that leaves it to the data."""
    pooling: Pooling = "mean"
    """What stands for the sequence: the mean of its vectors, the first of them (BERT's `[CLS]`, a ViT's class
    token), or, side by side, the first and the second, or the first and the mean of the others."""
    transform: Transform | None = None
    """A layer between that and the classes; None for none."""
    skipped: int = 0
    """How many vectors after the first the mean of the others leaves out: registers, which stand before the
    patches (arXiv 2309.16588)."""
    kind: Literal["classes"] = "classes"

    module = ClassHead

    def for_new_data(self, before: Head) -> Head:
        pooling = before.pooling if isinstance(before, Vector) else self.pooling  # what it has learned to say
        return replace(self, count=0, pooling=pooling)

    def build(self, width: int, table: nn.Parameter | None) -> ClassHead:
        return ClassHead(width, self)


@register
@dataclass(frozen=True)
class Spans(Head):
    """For each vector, whether the span that is looked for starts or ends there (arXiv 1810.04805, section
    4.2)."""

    kind: Literal["spans"] = "spans"

    module = SpanHead

    def build(self, width: int, table: nn.Parameter | None) -> SpanHead:
        return SpanHead(width, len(SpanHead.outputs))


@register
@dataclass(frozen=True)
class Vector(Head):
    """One vector for the whole sequence (Sentence-BERT: arXiv 1908.10084, section 3)."""

    pooling: Pooling = "mean"
    """What stands for the sequence: the mean of its vectors, the first of them (BERT's `[CLS]`), or two such
    vectors side by side."""
    normalised: bool = True
    """Whether it is scaled to length 1, so that products are cosines."""
    kind: Literal["vector"] = "vector"

    module = VectorHead

    def build(self, width: int, table: nn.Parameter | None) -> VectorHead:
        return VectorHead(self)


@register
@dataclass(frozen=True)
class TokenClasses(Head):
    """One of some classes for each vector (arXiv 1810.04805, section 5.3)."""

    count: int = 0
    """K, the number of classes; 0 in a plan that leaves it to the data."""
    kind: Literal["token-classes"] = "token-classes"

    module = LinearHead

    def for_new_data(self, before: Head) -> Head:
        return replace(self, count=0)

    def build(self, width: int, table: nn.Parameter | None) -> LinearHead:
        return LinearHead(width, self.count)
