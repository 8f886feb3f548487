"""Attention: a weighted mean of values, weighted by how well keys answer a query.

'Attention Is All You Need', arXiv 1706.03762, section 3.2. Grouped and single key/value heads: arXiv
2305.13245 and 1911.02150. How queries and keys are compared, and what makes weights of that, is `score.py`.

`attend` is the whole arithmetic. It has a fused path, which never forms the weights, and an explicit
one; they agree within rounding for every mask. `Attention` adds the projections. Neither knows how
order enters, nor whether its keys are new, cached or another stack's.

Layout inside is (B, H, T, C); keys and values have G heads, where G divides H.
"""

from __future__ import annotations

import functools
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from regard.model.account_attention import attention_account, attention_origins
from regard.model.cache import LayerCache
from regard.model.dropout import dropout as drop
from regard.model.init import Init
from regard.model.mask import Contiguous, Lowered, Rule, dense, lower
from regard.model.norm import Norm
from regard.model.part import Part, product_flops
from regard.model.position import Rotation, rotate
from regard.model.score import Additive, DotProduct, Score
from regard.model.short import short_attention, suits_short
from regard.model.sizes import check_numbers
from regard.model.tap import tap, wanted, watching

_STANDARD = DotProduct()


def attend(
    q: Tensor,
    k: Tensor,
    v: Tensor,
    mask: Rule | Lowered = None,
    *,
    score: Score = _STANDARD,
    scale: float | None = None,
    bias: Tensor | None = None,
    learned: Tensor | None = None,
    additive: Tensor | None = None,
    dropout: float = 0.0,
    explicit: bool = False,
) -> Tensor:
    """softmax(scale · q kᵀ + bias) v, over the keys that `mask` allows; or with weights by another `score`.

    `q`: (B, H, T, C); `k`: (B, G, S, C); `v`: (B, G, S, C'); all of one dtype and device. Without
    anything to learn it is `attend(x, x, x)`. Returns (B, H, T, C').

    `mask`: a rule such as `Causal()`, or any object with its method `sees`, for which the queries are the
    last T of the S places; booleans that broadcast to (B, H, T, S), True where a key may be seen; or None,
    all. A query that may see nothing gets zeros. `scale`: what is usual for the score by default, 1/√C of dot
    products. `bias`: added to the scores, broadcasts to (B, H, T, S). `learned`: the tensor of a score that
    learns one; `additive`: that of `Additive()`, which need not be named then. `dropout`: the probability of
    dropping a weight, always applied when not 0. `explicit` asks for the path that forms the weights.
    Raises ValueError: shapes that do not fit together, a mask of numbers or of what is no rule.
    """
    _check(q, k, v)
    T, S = q.shape[2], k.shape[2]
    lowered = _lowered(mask, T, S, q.device)
    if additive is not None:
        score, learned = Additive(), additive
    scale = score.scale if scale is None else scale
    same = None if explicit else score.fused(q, k, scale, learned)
    if same is not None and bias is None and dropout < 1.0 and suits_short(same[0], same[1], v):
        return short_attention(same[0], same[1], v, dense(lowered, T, S, q.device), same[2], dropout)
    if same is None or dropout > 0.0:
        scores = attention_scores(q, k, score=score, scale=scale, bias=bias, learned=learned)
        weights = attention_weights(scores, lowered, score=score, learned=learned, finite=bias is None)
        return weigh(drop(weights, dropout, training=True), v)
    q, k, scale = same
    grouped = q.shape[1] != k.shape[1]
    if bias is not None:
        lowered = _biased(bias, dense(lowered, T, S, q.device)).to(q.dtype)
    if isinstance(lowered, str):
        return F.scaled_dot_product_attention(q, k, v, is_causal=True, scale=scale, enable_gqa=grouped)
    return F.scaled_dot_product_attention(q, k, v, attn_mask=lowered, scale=scale, enable_gqa=grouped)


def attention_scores(
    q: Tensor,
    k: Tensor,
    *,
    score: Score = _STANDARD,
    scale: float | None = None,
    bias: Tensor | None = None,
    learned: Tensor | None = None,
) -> Tensor:
    """What `attend` makes weights of, before the mask: (B, H, T, S)."""
    groups = q.shape[1] // k.shape[1]
    k = k.repeat_interleave(groups, dim=1) if groups > 1 else k
    scores = score.compare(q, k, score.scale if scale is None else scale, learned)
    return scores if bias is None else scores + bias.to(scores.dtype)


def attention_weights(
    scores: Tensor,
    mask: Lowered = None,
    *,
    score: Score = _STANDARD,
    learned: Tensor | None = None,
    finite: bool = False,
) -> Tensor:
    """Weights of (B, H, T, S) scores over the keys allowed; a row that may see nothing is all zeros.

    A score of -inf (from a bias) is forbidden too; `finite` says that there is none.
    """
    allowed = dense(mask, scores.shape[-2], scores.shape[-1], scores.device)
    hidden = [] if allowed is None else [~allowed]
    hidden += [] if finite else [torch.isneginf(scores)]
    return score.normalise(scores, functools.reduce(torch.logical_or, hidden) if hidden else None, learned)


def weigh(weights: Tensor, v: Tensor) -> Tensor:
    """The weighted mean of values: (B, H, T, S) weights and (B, G, S, C) values → (B, H, T, C)."""
    groups = weights.shape[1] // v.shape[1]
    return weights @ (v.repeat_interleave(groups, dim=1) if groups > 1 else v)


def _lowered(mask: Rule | Lowered, T: int, S: int, device: torch.device) -> Lowered:
    if isinstance(mask, Tensor):
        if mask.dtype != torch.bool:
            raise ValueError(f"a mask holds booleans, not {mask.dtype}; pass numbers to add as bias")
        return mask
    if mask is None:
        return None
    if isinstance(mask, str):
        if mask != "causal" or T != S:
            raise ValueError(
                f"a causal flag needs as many keys as queries, not {S} and {T}; pass Causal()"
                if mask == "causal"
                else f"there is no mask '{mask}'; pass a rule such as Causal(), booleans or None"
            )
        return mask
    if isinstance(mask, type) or not callable(getattr(mask, "sees", None)):
        shown = mask.__name__ if isinstance(mask, type) else type(mask).__name__
        raise ValueError(f"a mask is a rule with a method sees, booleans or None, not {shown}; pass Causal()")
    return lower(mask, Contiguous(S - T, T), Contiguous(0, S), device)


def _check(q: Tensor, k: Tensor, v: Tensor) -> None:
    """Refuse what the kernels would misread: some of them do not look at the length of the values."""
    a, b, c = q.shape, k.shape, v.shape
    if not len(a) == len(b) == len(c) == 4:
        raise ValueError(f"attend takes (B, H, T, C) tensors, not {tuple(a)}, {tuple(b)}, {tuple(c)}")
    if a[0] != b[0] or a[3] != b[3] or b[:3] != c[:3] or b[1] == 0 or a[1] % b[1]:
        raise ValueError(
            f"queries {tuple(a)}, keys {tuple(b)} and values {tuple(c)} do not fit: they must be "
            "(B, H, T, C), (B, G, S, C) and (B, G, S, C'), and G must divide H"
        )


def _folded(mask: Tensor, rows: int, beams: int, T: int) -> Tensor:
    """A mask or bias for `beams` rows of T queries each as one for a row of beams · T queries."""
    if mask.shape[0] > rows:  # beams differ in where their tokens stand
        return mask.expand(-1, -1, T, -1).unflatten(0, (rows, beams)).transpose(1, 2).flatten(2, 3)
    return mask if mask.shape[2] == 1 else mask.repeat(1, 1, beams, 1)


def _biased(bias: Tensor, allowed: Tensor | None) -> Tensor:
    return bias if allowed is None else bias.masked_fill(~allowed, float("-inf"))


@dataclass(frozen=True)
class AttentionConfig:
    """What an attention layer is made of; the width comes from the stack."""

    heads: int = 8
    """H, the query heads."""
    kv_heads: int | None = None
    """G, the key/value heads: None means H (multi-head), 1 multi-query, between them grouped."""
    head_width: int | None = None
    """C; None means width / heads."""
    score: Score = DotProduct()
    """How a query is compared with a key, and what makes weights of that."""
    bias: bool = True
    """Whether the projections add a bias."""
    out_bias: bool | None = None
    """Whether the last one does; None means as the others (Qwen2's does not)."""
    norm: Norm | None = None
    """Which norm each head's queries and keys go through (arXiv 2010.04245); None for none."""
    dropout: float = 0.0
    """Probability of dropping an attention weight while training."""

    def build(self, width: int, *, cross: bool = False) -> Attention:
        return Attention(width, self, cross=cross)


class Attention(Part):
    """Project to queries, keys and values, `attend`, join the heads, project back.

    Self-attention makes all three in one matrix product; cross-attention makes its keys and values
    from `memory`, the other stack's output.
    """

    def __init__(self, width: int, config: AttentionConfig, *, cross: bool = False) -> None:
        super().__init__()
        check_numbers(config)
        self.heads = config.heads
        self.kv_heads = config.kv_heads or config.heads
        self.head_width = config.head_width or width // config.heads
        if config.head_width is None and width % config.heads:
            raise ValueError(f"width {width} is not a multiple of {config.heads} heads; set head_width")
        if self.heads % self.kv_heads:
            raise ValueError(f"{self.heads} heads cannot share {self.kv_heads} key/value heads evenly")
        self.cross = cross
        self.dropout = config.dropout
        self.score = config.score
        inner, shared = self.heads * self.head_width, 2 * self.kv_heads * self.head_width
        if cross:
            self.q = nn.Linear(width, inner, bias=config.bias)
            self.kv = nn.Linear(width, shared, bias=config.bias)
        else:
            self.qkv = nn.Linear(width, inner + shared, bias=config.bias)
        out_bias = config.bias if config.out_bias is None else config.out_bias
        self.out = nn.Linear(inner, width, bias=out_bias)
        self.normed = config.norm is not None
        self.q_norm, self.k_norm = (
            nn.Identity() if config.norm is None else config.norm.build(self.head_width) for _ in range(2)
        )
        if self.score.learned is not None:
            shape = self.score.shape(self.heads, self.head_width)
            self.register_parameter(self.score.learned, nn.Parameter(torch.empty(shape)))

    def forward(
        self,
        x: Tensor,
        mask: Lowered = None,
        *,
        rotation: Rotation | None = None,
        bias: Tensor | None = None,
        cache: LayerCache | None = None,
        late: tuple[Rotation, Rotation] | None = None,
    ) -> Tensor:
        """Self-attention. (B, T, D) → (B, T, D); `cache` holds what came before x. `late`: how queries and
        all keys are rotated further."""
        B, T, _ = x.shape
        inner, shared = self.heads * self.head_width, self.kv_heads * self.head_width
        # Apart at once, so that on the way back their gradients are put together once.
        q, k, v = self.qkv(x).split([inner, shared, shared], dim=-1)
        q = q.view(B, T, self.heads, self.head_width).transpose(1, 2)  # (B, H, T, C)
        k, v = self._keys_and_values(k, v)
        q = self.q_norm(q) if self.normed else q
        if rotation is not None:
            if watching():
                q, k = tap(self, "q_pre_rotary", q), tap(self, "k_pre_rotary", k)
            q, k = rotate(q, rotation), rotate(k, rotation)
        if cache is not None:
            k, v = cache.append(k, v)
        if late is not None:
            q, k = rotate(q, late[0]), rotate(k, late[1])
        return self._attend(q, k, v, mask, bias)

    def cross_attend(
        self,
        x: Tensor,
        memory: tuple[Tensor, Tensor],
        mask: Lowered = None,
        *,
        rotation: Rotation | None = None,
        bias: Tensor | None = None,
    ) -> Tensor:
        """Cross-attention of (B, T, D) on the keys and values that `project_memory` made.

        x may have n rows for each row of memory (the beams of a sentence, next to each other): they
        are treated as more queries of that row, so memory is never copied.
        """
        B, T, _ = x.shape
        k, v = memory
        beams = B // k.shape[0]
        q = self.q(x).view(B, T, self.heads, self.head_width)
        q = self.q_norm(q) if self.normed else q
        if rotation is not None:
            q = tap(self, "q_pre_rotary", q.transpose(1, 2))
            q = rotate(q, rotation).transpose(1, 2)
        q = q.reshape(B // beams, beams * T, self.heads, self.head_width).transpose(1, 2)
        if beams > 1:
            mask = _folded(mask, len(k), beams, T) if isinstance(mask, Tensor) else mask
            bias = None if bias is None else _folded(bias, len(k), beams, T)
        return self._attend(q, k, v, mask, bias, shape=(B, T))

    def project_memory(self, memory: Tensor, rotation: Rotation | None = None) -> tuple[Tensor, Tensor]:
        """Keys, rotated, and values of (B, S, D) memory: (B, G, S, C) each."""
        k, v = self._keys_and_values(*self.kv(memory).chunk(2, dim=-1))
        return (k if rotation is None else rotate(tap(self, "k_pre_rotary", k), rotation)), v

    @property
    def plain(self) -> bool:
        """Whether it is softmax(scale · q kᵀ) v of its projections, and nothing more."""
        return self.score.standard and self.heads == self.kv_heads and not self.normed

    @property
    def learned(self) -> nn.Parameter | None:
        """What its score learns."""
        return None if self.score.learned is None else getattr(self, self.score.learned)

    @property
    def scale(self) -> float:
        """What q · k is multiplied by, where that is what a score is."""
        return self.head_width**-0.5 if self.score.scale is None else self.score.scale

    def initialise(self, init: Init, branches: int | None = None) -> None:
        """Queries, keys and values are one matrix but three projections, each filled by itself."""
        inner, shared = self.heads * self.head_width, self.kv_heads * self.head_width
        if self.cross:
            parts = [self.q.weight, *self.kv.weight.split([shared, shared])]
        else:
            parts = list(self.qkv.weight.split([inner, shared, shared]))
        for part in parts:
            init.matrix(part)
        init.matrix(self.out.weight, branches)
        if self.learned is not None:
            self.score.initialise(self.learned, init)

    def flops(self, T: int, S: int) -> int:
        S = S if self.cross else T
        projections = ((self.q, T), (self.kv, S)) if self.cross else ((self.qkv, T),)
        made = sum(product_flops(linear, tokens) for linear, tokens in projections)
        mean = 2 * T * S * self.heads * self.head_width
        return made + self.score.flops(T, S, self.heads, self.head_width) + mean + product_flops(self.out, T)

    origins = attention_origins
    account = attention_account

    def _keys_and_values(self, k: Tensor, v: Tensor) -> tuple[Tensor, Tensor]:
        """(B, S, G · C) each → (B, G, S, C); keys are normalised."""
        k, v = (x.unflatten(-1, (self.kv_heads, self.head_width)).transpose(1, 2) for x in (k, v))
        return (self.k_norm(k) if self.normed else k), v

    def _attend(
        self,
        q: Tensor,
        k: Tensor,
        v: Tensor,
        mask: Lowered,
        bias: Tensor | None,
        shape: tuple[int, int] | None = None,
    ) -> Tensor:
        watched = watching()  # asked once instead of at each point: a step of a small model is soon over
        if watched:
            q, k, v = tap(self, "q", q), tap(self, "k", k), tap(self, "v", v)
        p = self.dropout if self.training else 0.0
        z = attend(q, k, v, mask, score=self.score, bias=bias, learned=self.learned, dropout=p)
        if watched:
            if wanted(self, "scores", "mask", "weights"):
                z = self._observed(z, q, k, v, mask, bias)
            z = tap(self, "heads", z)  # (B, H, T, C)
        B, T = shape or (z.shape[0], z.shape[2])
        return tap(self, "out", self.out(z.transpose(1, 2).reshape(B, T, self.heads * self.head_width)))

    def _observed(
        self, z: Tensor, q: Tensor, k: Tensor, v: Tensor, mask: Lowered, bias: Tensor | None
    ) -> Tensor:
        """Form scores and weights beside the fused answer, which stands unless one was replaced."""
        scores = attention_scores(q, k, score=self.score, bias=bias, learned=self.learned)
        seen = tap(self, "scores", scores)
        allowed = dense(mask, q.shape[2], k.shape[2], q.device)
        if allowed is None:
            allowed = torch.ones((1, 1, q.shape[2], k.shape[2]), dtype=torch.bool, device=q.device)
        applied = tap(self, "mask", allowed)
        weights = attention_weights(seen, applied, score=self.score, learned=self.learned)
        used = tap(self, "weights", weights)
        same = seen is scores and applied is allowed and used is weights
        return z if same else weigh(used, v)
