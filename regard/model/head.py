"""From a stack's vectors to predictions: a word for each of them, a class for all together, a span, a vector.

The loss over a vocabulary is the costliest step of a small model: its logits outweigh every other
tensor. `vocabulary_loss` therefore never holds them all: it goes through the positions in chunks and
computes the gradient in the same pass.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any, Literal

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from regard.model.feedforward import ACTIVATIONS, Activation
from regard.model.mask import PADDING, Positions, Ragged
from regard.model.norm import Norm
from regard.model.tap import tap

CHUNK_ELEMENTS = 2**21
"""Logits held at a time: few enough to stay in a processor's last cache, many enough for quick products …"""
DEVICE_CHUNK_ELEMENTS = 2**26
"""… and on other devices enough to keep all of their units busy: 256 MiB."""

_LOG2_E = 1 / math.log(2)


Pooling = Literal["mean", "first", "first-and-second", "first-and-mean"]
"""What stands for a sequence: the mean of its vectors or the first of them (BERT's `[CLS]`, a ViT's class
token); or, side by side, the first and the second (DeiT's distillation token), or the first and the mean of
the others (DINOv2)."""


@dataclass(frozen=True)
class Transform:
    """One more layer before the predictions: norm(activation(W x + b)), as in BERT."""

    activation: Activation = "tanh"
    """What makes it more than a matrix product."""
    norm: Norm | None = None
    """Which norm comes last; None for none."""

    def build(self, width: int, made: int | None = None) -> TransformLayer:
        """`made`: the width of its vectors, if it is another than theirs."""
        return TransformLayer(width, self, made)


@dataclass(frozen=True)
class Vocabulary:
    """A token of the vocabulary for each vector."""

    tied: bool = True
    """Whether its weights are the embedding's."""
    bias: bool = False
    """Whether each token has a number of its own added to its logit."""
    transform: Transform | None = None
    """A layer before the predictions; None for none."""
    kind: Literal["vocabulary"] = "vocabulary"

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


@dataclass(frozen=True)
class Classes:
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

    def build(self, width: int, table: nn.Parameter | None) -> ClassHead:
        return ClassHead(width, self)


@dataclass(frozen=True)
class Spans:
    """For each vector, whether the span that is looked for starts or ends there (arXiv 1810.04805, section
    4.2)."""

    kind: Literal["spans"] = "spans"

    def build(self, width: int, table: nn.Parameter | None) -> SpanHead:
        return SpanHead(width)


@dataclass(frozen=True)
class Vector:
    """One vector for the whole sequence (Sentence-BERT: arXiv 1908.10084, section 3)."""

    pooling: Pooling = "mean"
    """What stands for the sequence: the mean of its vectors, the first of them (BERT's `[CLS]`), or two such
    vectors side by side."""
    normalised: bool = True
    """Whether it is scaled to length 1, so that products are cosines."""
    kind: Literal["vector"] = "vector"

    def build(self, width: int, table: nn.Parameter | None) -> VectorHead:
        return VectorHead(self)


Head = Vocabulary | Classes | Spans | Vector


def pooled(x: Tensor, positions: Positions | None, pooling: Pooling, skipped: int = 0) -> Tensor:
    """(B, T, D) → (B, D), or (B, 2D) of two side by side: what `Pooling` says of each row, the mean of the
    others without the first `skipped` of these. Padding is left out; the mean of nothing is 0."""
    if isinstance(positions, Ragged):
        real = (positions.segment != PADDING).expand(x.shape[:2])
        place = real.cumsum(1) - 1
        means = {
            "first": lambda: _mean(x, real & (place == 0)),
            "second": lambda: _mean(x, real & (place == 1)),
            "others": lambda: _mean(x, real & (place > skipped)),
            "all": lambda: _mean(x, real),
        }
    else:
        means = {
            "first": lambda: x[:, 0],
            "second": lambda: x[:, 1:2].sum(1),
            "others": lambda: x[:, 1 + skipped :].sum(1) / max(1, x.shape[1] - 1 - skipped),
            "all": lambda: x.mean(1),
        }
    parts = [means[name]() for name in _POOLED[pooling]]
    return parts[0] if len(parts) == 1 else torch.cat(parts, -1)


_POOLED: dict[Pooling, tuple[str, ...]] = {
    "mean": ("all",),
    "first": ("first",),
    "first-and-second": ("first", "second"),
    "first-and-mean": ("first", "others"),
}


def _mean(x: Tensor, chosen: Tensor) -> Tensor:
    """The mean of those of (B, T, D) that are (B, T) chosen."""
    summed = x.masked_fill(~chosen[:, :, None], 0.0).sum(1)
    return summed / chosen.sum(1, keepdim=True).clamp_min(1)


class TransformLayer(nn.Module):
    """See `Transform`. (…, D) → (…, D), or (…, E) of another width."""

    def __init__(self, width: int, config: Transform, made: int | None = None) -> None:
        super().__init__()
        self.dense = nn.Linear(width, made or width)
        self.activation = ACTIVATIONS[config.activation]
        self.norm = nn.Identity() if config.norm is None else config.norm.build(made or width)

    def forward(self, x: Tensor) -> Tensor:
        return tap(self, "out", self.norm(self.activation(self.dense(x))))


def _transform(width: int, config: Transform | None, made: int | None = None) -> nn.Module:
    return nn.Identity() if config is None else config.build(width, made)


class ClassHead(nn.Module):
    """See `Classes`. (B, T, D) → (B, K) logits."""

    def __init__(self, width: int, config: Classes) -> None:
        super().__init__()
        self.config = config
        width *= len(_POOLED[config.pooling])
        self.transform = _transform(width, config.transform)
        self.weight = nn.Parameter(torch.empty(config.count, width))
        self.bias = nn.Parameter(torch.zeros(config.count))

    def forward(self, x: Tensor, positions: Positions | None = None) -> Tensor:
        """`positions`: where the vectors stand; padding is left out."""
        c = self.config
        gathered = tap(self, "gathered", pooled(x, positions, c.pooling, c.skipped))
        vector = tap(self, "pooled", self.transform(gathered))
        return tap(self, "logits", F.linear(vector, self.weight, self.bias))


class SpanHead(nn.Module):
    """See `Spans`. (B, T, D) → (B, T, 2) logits: of a start, of an end."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.empty(2, width))
        self.bias = nn.Parameter(torch.zeros(2))

    def forward(self, x: Tensor) -> Tensor:
        return tap(self, "logits", F.linear(x, self.weight, self.bias))


class VectorHead(nn.Module):
    """See `Vector`. (B, T, D) → (B, D), or (B, 2D) of two side by side; no weights of its own."""

    def __init__(self, config: Vector) -> None:
        super().__init__()
        self.config = config

    def forward(self, x: Tensor, positions: Positions | None = None) -> Tensor:
        """`positions`: where the vectors stand; padding is left out."""
        vector = tap(self, "pooled", pooled(x, positions, self.config.pooling))
        return tap(self, "vector", F.normalize(vector, dim=-1) if self.config.normalised else vector)


class VocabularyHead(nn.Module):
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
        self.transform = _transform(width, transform, made)
        inner = width if transform is None or made is None else made
        self.weight = nn.Parameter(torch.empty(vocab, inner)) if tied is None else tied
        self.bias = nn.Parameter(torch.zeros(vocab)) if bias else None

    @property
    def bare(self) -> bool:
        """Whether it is one product and nothing more."""
        return self.bias is None and isinstance(self.transform, nn.Identity)

    def forward(self, x: Tensor) -> Tensor:
        return tap(self, "logits", F.linear(self.transform(x), self.weight, self.bias))

    def loss(self, x: Tensor, target: Tensor, smoothing: float = 0.0) -> Tensor:
        """`vocabulary_loss` of these vectors."""
        return vocabulary_loss(self.transform(x), self.weight, target, smoothing=smoothing, bias=self.bias)


def vocabulary_loss(
    x: Tensor, weight: Tensor, target: Tensor, *, smoothing: float = 0.0, bias: Tensor | None = None
) -> Tensor:
    """Cross-entropy of `target` under softmax(x weightᵀ + bias), summed over positions, in nats.

    `x`: (n, D) vectors; `weight`: (V, D); `target`: (n,) ids, all of them real (leave padding out
    before). `smoothing` spreads that much of the target evenly over the vocabulary (arXiv
    1512.00567, section 7). Returns a scalar; divide by the number of tokens for a mean. Products are
    computed in what an open `torch.autocast` says, all else in float32.
    """
    kind = x.device.type
    if not (torch.amp.is_autocast_available(kind) and torch.is_autocast_enabled(kind)):
        return _VocabularyLoss.apply(x, weight, bias, target, smoothing, x.dtype)
    dtype = torch.get_autocast_dtype(kind)
    with torch.autocast(kind, enabled=False):
        return _VocabularyLoss.apply(x, weight, bias, target, smoothing, dtype)


def _binary_logits(x: Tensor, weight: Tensor, bias: Tensor | None, memory: Tensor) -> Tensor:
    """log₂ e · (x weightᵀ + bias), (n, V) in float32, in `memory`."""
    if x.dtype != torch.float32:
        return memory.copy_(F.linear(x, weight, bias)).mul_(_LOG2_E)
    if bias is None:
        return memory.addmm_(x, weight.t(), beta=0, alpha=_LOG2_E)
    return memory.copy_(bias).addmm_(x, weight.t(), beta=_LOG2_E, alpha=_LOG2_E)


class _VocabularyLoss(torch.autograd.Function):
    """Loss and gradient in one pass over chunks of positions.

    The gradient of the logits is softmax - target. Only e^logits is formed, in the memory of the logits:
    what it is divided by is one number a position and goes into the small factor of each product, and so
    does the smoothed part of the target, which is one number for the whole vocabulary. The memory is the
    same for every chunk, since the system takes as long to hand out new pages as a product takes to fill
    them; and logits are to the base of 2, whose powers torch forms in half the time on some processors.
    """

    @staticmethod
    def forward(
        ctx: Any,
        x: Tensor,
        weight: Tensor,
        bias: Tensor | None,
        target: Tensor,
        smoothing: float,
        dtype: torch.dtype,
    ) -> Tensor:
        ctx.dtypes = x.dtype, weight.dtype
        x, weight, bias = x.to(dtype), weight.to(dtype), None if bias is None else bias.to(dtype)
        grad_x = torch.empty_like(x)
        grad_weight = torch.zeros_like(weight, dtype=torch.float32)
        grad_bias = None if bias is None else torch.zeros_like(bias, dtype=torch.float32)
        total = x.new_zeros((), dtype=torch.float32)
        held = CHUNK_ELEMENTS if x.device.type == "cpu" else DEVICE_CHUNK_ELEMENTS
        rows = max(1, min(len(x), held // len(weight)))
        memory = x.new_empty((rows, len(weight)), dtype=torch.float32)
        for start in range(0, len(x), rows):
            part, wanted = x[start : start + rows], target[start : start + rows, None]
            logits = _binary_logits(part, weight, bias, memory[: len(part)])
            largest = logits.amax(1, keepdim=True)
            total -= (1 - smoothing) * logits.gather(1, wanted).sum()
            powers = logits.sub_(largest).exp2_()
            sums = powers.sum(1, keepdim=True)
            total += (largest + sums.log2()).sum()
            if x.dtype != torch.float32:  # halves: e^logits may add up to more than they can hold
                powers, sums = (powers / sums).to(x.dtype), torch.ones_like(sums)
            torch.mm(powers, weight, out=grad_x[start : start + rows]).div_(sums)
            shares = (part / sums).to(x.dtype)
            if x.dtype == torch.float32:
                grad_weight.addmm_(powers.t(), shares)
            else:
                grad_weight += powers.t() @ shares
            if grad_bias is not None:
                grad_bias += (powers.float().t() @ sums.reciprocal())[:, 0]
        total /= _LOG2_E
        spread = smoothing / len(weight)
        grad_x -= (1 - smoothing) * weight[target]
        grad_weight.index_add_(0, target, x.float(), alpha=smoothing - 1)
        if grad_bias is not None:
            grad_bias.index_add_(0, target, torch.ones_like(target, dtype=torch.float32), alpha=smoothing - 1)
        if smoothing:
            whole, along = weight.float().sum(0), x.float().sum(0)
            total -= spread * (whole @ along)
            grad_x -= spread * whole.to(x.dtype)
            grad_weight -= spread * along
            if bias is not None and grad_bias is not None:
                total -= spread * len(x) * bias.float().sum()
                grad_bias -= spread * len(x)
        ctx.save_for_backward(grad_x, grad_weight, grad_bias)
        return total

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor | None, ...]:
        grad_x, grad_weight, grad_bias = ctx.saved_tensors
        of_x, of_weight = ctx.dtypes
        return (
            grad_x.to(of_x) * grad.to(of_x),
            (grad_weight * grad).to(of_weight),
            None if grad_bias is None else (grad_bias * grad).to(of_weight),
            None,
            None,
            None,
        )
