"""How queries are compared with keys, and how the scores that this gives become weights.

Scaled dot products: arXiv 1706.03762, section 3.2. Additive: Bahdanau et al., arXiv 1409.0473, appendix
A.1.2. Cosines: arXiv 2111.09883, section 3.3. Sigmoid: arXiv 2409.04431. Sinks: arXiv 2508.10925, section
2.2, and 2309.17453.

A score is a frozen dataclass. What it learns (one tensor, with a row for each head) an attention keeps for
it and gives it back as `learned`. Scores are (B, H, T, S). It knows neither masks nor projections.
"""

from __future__ import annotations

import math
from abc import abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar, Literal

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from regard.errors import ConfigError
from regard.model.account import Factor, Made, Term, made_of, product, softmax
from regard.model.init import Init
from regard.model.part import FILES, Alternative, complete
from regard.registry import Registry, register


class Score(Alternative):
    """A comparison and a normalisation."""

    standard: ClassVar[bool] = False
    """Whether it is softmax(scale · q kᵀ), which is what decoders' own kernels compute."""
    multiplies: ClassVar[bool] = False
    """Whether scores are q kᵀ times a scale."""
    learned: ClassVar[str | None] = None
    """What the parameter that it learns is called in an attention, if there is one."""
    symbol: ClassVar[str] = ""
    """What it is called in an account."""
    scale: float | None = None

    @abstractmethod
    def compare(self, q: Tensor, k: Tensor, scale: float | None, learned: Tensor | None) -> Tensor:
        """(B, H, T, C) queries and (B, H, S, C) keys → (B, H, T, S). `scale`: None is the usual one."""

    @abstractmethod
    def normalise(self, scores: Tensor, forbidden: Tensor | None, learned: Tensor | None) -> Tensor:
        """(B, H, T, S) scores → weights, exactly 0 where `forbidden` says so (None: nowhere); where a row is
        all forbidden its gradient is 0."""

    @abstractmethod
    def formulas(self, scale: float) -> tuple[str, str]:
        """How scores, and how weights, are made. `scale`: 1/√C, or what is set."""

    @abstractmethod
    def account_score(self, q: Sequence[Factor], k: Sequence[Factor], learned: Sequence[Factor]) -> Made:
        """The sum behind the score of one query and one key, not yet scaled. `learned`: the head's row."""

    @abstractmethod
    def account_weight(
        self, scores: Sequence[Factor], own: int, labels: Sequence[str], learned: Sequence[Factor]
    ) -> Made:
        """The sum behind weight `own` of a row whose scores are given, -inf where forbidden."""

    def fused(
        self, q: Tensor, k: Tensor, scale: float | None, learned: Tensor | None
    ) -> tuple[Tensor, Tensor, float | None] | None:
        """Queries, keys and a scale (None: 1/√C) of which softmax(scale · q kᵀ) is the same; None where there
        are none. Keys may have fewer heads."""
        return None

    def shape(self, heads: int, head_width: int) -> tuple[int, ...]:
        """Of the learned tensor: `heads` first."""
        raise NotImplementedError

    def initialise(self, learned: nn.Parameter, init: Init) -> None:
        """Fill the learned tensor."""
        raise NotImplementedError

    def flops(self, T: int, S: int, heads: int, head_width: int) -> int:
        """Of the comparison of T queries with S keys."""
        return 2 * T * S * heads * head_width


def _complete(member: type[Score]) -> None:
    complete(member)
    silent = [name for name in ("shape", "initialise") if getattr(member, name) is getattr(Score, name)]
    if member.learned is not None and silent:
        sentence = "{where} learns '{value}' and does not say {key}; give it these methods"
        raise ConfigError(sentence, member.__qualname__, member.learned, ", ".join(silent))


SCORES: Registry[type[Score]] = Registry("scores", *FILES, base=Score, check=_complete)


class Products(Score):
    """Half of a score: q · k times `scale`."""

    multiplies = True

    def compare(self, q: Tensor, k: Tensor, scale: float | None, learned: Tensor | None) -> Tensor:
        return (q @ k.transpose(-2, -1)) * (q.shape[-1] ** -0.5 if scale is None else scale)

    def account_score(self, q: Sequence[Factor], k: Sequence[Factor], learned: Sequence[Factor]) -> Made:
        return made_of(product(str(at), a, b) for at, (a, b) in enumerate(zip(q, k, strict=True)))


class Softmax(Score):
    """Half of a score: weights add up to 1."""

    def normalise(self, scores: Tensor, forbidden: Tensor | None, learned: Tensor | None) -> Tensor:
        if forbidden is None:
            return torch.softmax(scores, dim=-1)
        # Not -inf, so that a row that may see nothing has a gradient of zero instead of NaN.
        lowest = torch.finfo(scores.dtype).min
        return torch.softmax(scores.masked_fill(forbidden, lowest), dim=-1).masked_fill(forbidden, 0.0)

    def account_weight(
        self, scores: Sequence[Factor], own: int, labels: Sequence[str], learned: Sequence[Factor]
    ) -> Made:
        values = [factor.value for factor in scores]
        highest = max(values, default=-math.inf)
        row = torch.tensor(values, dtype=torch.float64)
        powers = ((row - highest).exp() if math.isfinite(highest) else torch.zeros_like(row)).tolist()
        return softmax(powers, own, lambda at: Term(labels[at], powers[at], (scores[at],)))


@register
@dataclass(frozen=True)
class DotProduct(Products, Softmax):
    """q · k times `scale`; None means 1/√C, T5 uses 1."""

    scale: float | None = None
    kind: Literal["dot-product"] = "dot-product"

    standard = True

    def formulas(self, scale: float) -> tuple[str, str]:
        return f"q kᵀ · {scale:.4g}", "softmax(scores) where the mask allows"

    def fused(
        self, q: Tensor, k: Tensor, scale: float | None, learned: Tensor | None
    ) -> tuple[Tensor, Tensor, float | None]:
        return q, k, scale


@register
@dataclass(frozen=True)
class Additive(Softmax):
    """v · tanh(q + k) with a learned v a head (Bahdanau)."""

    kind: Literal["additive"] = "additive"

    learned, symbol = "additive", "v"

    def shape(self, heads: int, head_width: int) -> tuple[int, ...]:
        return heads, head_width

    def initialise(self, learned: nn.Parameter, init: Init) -> None:
        init.matrix(learned)

    def compare(self, q: Tensor, k: Tensor, scale: float | None, learned: Tensor | None) -> Tensor:
        mixed = torch.tanh(q[:, :, :, None] + k[:, :, None])  # (B, H, T, S, C)
        return torch.einsum("bhtsc,hc->bhts", mixed, learned) * (1.0 if scale is None else scale)

    def formulas(self, scale: float) -> tuple[str, str]:
        return "v · tanh(q + k)", "softmax(scores) where the mask allows"

    def account_score(self, q: Sequence[Factor], k: Sequence[Factor], learned: Sequence[Factor]) -> Made:
        return made_of(
            Term(str(at), gain.value * math.tanh(a.value + b.value), (gain, a, b))
            for at, (a, b, gain) in enumerate(zip(q, k, learned, strict=True))
        )


@register
@dataclass(frozen=True)
class Cosine(Softmax):
    """The cosine of the angle between q and k, times a learned number a head, e^`log_gain`."""

    start: float = 10.0
    """What that number begins with."""
    kind: Literal["cosine"] = "cosine"

    learned, symbol = "log_gain", "log_gain"

    def shape(self, heads: int, head_width: int) -> tuple[int, ...]:
        return (heads,)

    def initialise(self, learned: nn.Parameter, init: Init) -> None:
        nn.init.constant_(learned, math.log(max(self.start, 1e-6)))

    def fused(
        self, q: Tensor, k: Tensor, scale: float | None, learned: Tensor | None
    ) -> tuple[Tensor, Tensor, float | None]:
        assert learned is not None
        gain = learned.clamp_max(_LARGEST_LOG_GAIN).exp()[:, None, None].to(q.dtype)
        return F.normalize(q, dim=-1) * gain, F.normalize(k, dim=-1), 1.0 if scale is None else scale

    def compare(self, q: Tensor, k: Tensor, scale: float | None, learned: Tensor | None) -> Tensor:
        q, k, factor = self.fused(q, k, scale, learned)
        assert factor is not None
        return (q @ k.transpose(-2, -1)) * factor

    def formulas(self, scale: float) -> tuple[str, str]:
        return "e^log_gain · cos(q, k)", "softmax(scores) where the mask allows"

    def account_score(self, q: Sequence[Factor], k: Sequence[Factor], learned: Sequence[Factor]) -> Made:
        made = made_of(product(str(at), a, b) for at, (a, b) in enumerate(zip(q, k, strict=True)))
        for symbol, side in (("|q|", q), ("|k|", k)):
            length = max(math.hypot(*(factor.value for factor in side)), 1e-12)
            made = made.then(f"÷ {symbol}", made.last / length, Factor(symbol, length))
        gain = math.exp(min(learned[0].value, _LARGEST_LOG_GAIN))
        return made.then("× e^log_gain", made.last * gain, learned[0])


_LARGEST_LOG_GAIN = math.log(100.0)


@register
@dataclass(frozen=True)
class Sigmoid(Products):
    """Each key by itself: weights are sigmoids of the scores less ln n, of a query that may see n keys, and
    need not add up to 1.

    Differs: in the paper n is the length of the input; here what comes later, or is padding, changes nothing.
    """

    scale: float | None = None
    """What q · k is multiplied by; None is 1/√C."""
    kind: Literal["sigmoid"] = "sigmoid"

    chinese: ClassVar = {
        "σ(scores - ln n) where the mask allows": "σ(分数 - ln n)，只在掩码允许处",
        "σ(masked - ln n)": "σ(加掩码的分数 - ln n)",
    }

    def normalise(self, scores: Tensor, forbidden: Tensor | None, learned: Tensor | None) -> Tensor:
        if forbidden is None:
            return torch.sigmoid(scores - math.log(scores.shape[-1]))
        forbidden = forbidden.expand(scores.shape)
        seen = (~forbidden).sum(-1, keepdim=True).clamp_min(1).to(scores.dtype)
        weights = torch.sigmoid(scores.masked_fill(forbidden, 0.0) - seen.log())
        return weights.masked_fill(forbidden, 0.0)

    def formulas(self, scale: float) -> tuple[str, str]:
        return f"q kᵀ · {scale:.4g}", "σ(scores - ln n) where the mask allows"

    def account_weight(
        self, scores: Sequence[Factor], own: int, labels: Sequence[str], learned: Sequence[Factor]
    ) -> Made:
        seen = max(1, sum(factor.value > -math.inf for factor in scores))
        made = made_of([Term(labels[own], scores[own].value, (scores[own],))])
        made = made.then("- ln n", made.last - math.log(seen), Factor("ln n", math.log(seen)))
        return made.then("σ", 1 / (1 + math.exp(-made.last)) if math.isfinite(made.last) else 0.0)


@register
@dataclass(frozen=True)
class Sinks(Products):
    """Softmax over the keys and one learned score a head, which is looked at instead of them: weights add up
    to less than 1."""

    scale: float | None = None
    """What q · k is multiplied by; None is 1/√C."""
    kind: Literal["sinks"] = "sinks"

    learned, symbol = "sinks", "sink"

    chinese: ClassVar = {
        "softmax(scores, sink) where the mask allows": "softmax(分数, 汇点)，只在掩码允许处",
        "softmax(masked, sink)": "softmax(加掩码的分数, 汇点)",
    }

    def shape(self, heads: int, head_width: int) -> tuple[int, ...]:
        return (heads,)

    def initialise(self, learned: nn.Parameter, init: Init) -> None:
        nn.init.zeros_(learned)

    def normalise(self, scores: Tensor, forbidden: Tensor | None, learned: Tensor | None) -> Tensor:
        assert learned is not None
        sink = learned[:, None, None].to(scores.dtype).expand(*scores.shape[:-1], 1)
        if forbidden is not None:
            scores = scores.masked_fill(forbidden, torch.finfo(scores.dtype).min)
        weights = torch.softmax(torch.cat((scores, sink), dim=-1), dim=-1)[..., :-1]
        return weights if forbidden is None else weights.masked_fill(forbidden, 0.0)

    def formulas(self, scale: float) -> tuple[str, str]:
        return f"q kᵀ · {scale:.4g}", "softmax(scores, sink) where the mask allows"

    def account_weight(
        self, scores: Sequence[Factor], own: int, labels: Sequence[str], learned: Sequence[Factor]
    ) -> Made:
        factors = [*scores, *learned]
        highest = max(factor.value for factor in factors)
        powers = [math.exp(factor.value - highest) for factor in factors]
        named = [*labels, "sink"]
        return softmax(powers, own, lambda at: Term(named[at], powers[at], (factors[at],)))
