"""What examples share: attention in steps by the library's own functions, and the proof that it is the fused
one."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple, TypeVar

import torch
from torch import Tensor, nn

from regard.insight.worked import Proof, Words
from regard.model.attention import attend, attention_scores, attention_weights, weigh
from regard.model.mask import Contiguous, MaskRule, dense, lower
from regard.model.score import Additive, DotProduct
from regard.model.tap import open_taps

Module = TypeVar("Module", bound=nn.Module)

REAL = torch.float64
"""Examples compute in double precision, so that what they print is not rounded by the arithmetic."""

FUSED = Words("step by step = attend(), fused", "逐步计算 = 融合算子 attend()")


class Steps(NamedTuple):
    """What attention computes on its way: (T, S), (T, S) and (T, C), or with H heads before them."""

    scores: Tensor
    weights: Tensor
    out: Tensor


def lifted(x: Tensor) -> Tensor:
    """(T, C) or (H, T, C) → (1, H, T, C), as the library wants it."""
    return x[None, None] if x.dim() == 2 else x[None]


def sees(rule: MaskRule | None, queries: int, keys: int) -> Tensor | None:
    """Who sees whom, as booleans (T, S); None for everyone."""
    if rule is None:
        return None
    allowed = dense(lower(rule, Contiguous(keys - queries, queries), Contiguous(0, keys)), queries, keys)
    return None if allowed is None else allowed.expand(1, 1, queries, keys)[0, 0]


def steps_of(
    q: Tensor,
    k: Tensor,
    v: Tensor,
    rule: MaskRule | None = None,
    *,
    scale: float | None = None,
    additive: Tensor | None = None,
) -> Steps:
    """Attention of (T, C) or (H, T, C), one step after the other; arguments as in `attend`."""
    q4, k4, v4 = map(lifted, (q, k, v))
    score = DotProduct() if additive is None else Additive()
    scores = attention_scores(q4, k4, score=score, scale=scale, learned=additive)
    weights = attention_weights(scores, sees(rule, q4.shape[2], k4.shape[2]))
    out = weigh(weights, v4)
    return Steps(*(x[0, 0] if q.dim() == 2 else x[0] for x in (scores, weights, out)))


def fused(
    q: Tensor,
    k: Tensor,
    v: Tensor,
    rule: MaskRule | None = None,
    *,
    scale: float | None = None,
    additive: Tensor | None = None,
) -> Tensor:
    """The same by `attend` in one go."""
    out = attend(lifted(q), lifted(k), lifted(v), rule, scale=scale, additive=additive)
    return out[0, 0] if q.dim() == 2 else out[0]


def proved(
    q: Tensor,
    k: Tensor,
    v: Tensor,
    steps: Steps,
    rule: MaskRule | None = None,
    *,
    scale: float | None = None,
    claim: Words = FUSED,
) -> Proof:
    """That these steps end where the fused path does."""
    return Proof.of(claim, steps.out, fused(q, k, v, rule, scale=scale))


def random(*shape: int, seed: int) -> Tensor:
    """Standard normal numbers that are the same each time."""
    return torch.randn(*shape, dtype=REAL, generator=torch.Generator().manual_seed(seed))


def named(letter: str, count: int) -> tuple[str, ...]:
    """x1, x2, …"""
    return tuple(f"{letter}{index}" for index in range(1, count + 1))


def built(seed: int, build: Callable[[], Module]) -> Module:
    """A module in double precision, not training, whose weights are the same each time; the chances of the
    caller's program stay as they are."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        return build().to(REAL).eval()


def observed(model: nn.Module, *points: str, call: Callable[[], Any]) -> tuple[Any, dict[str, Tensor]]:
    """What `call` returns, and what passes the named taps of `model` meanwhile, by name."""
    seen: dict[str, Tensor] = {}

    def see(name: str, value: Tensor) -> None:
        seen[name] = value

    with torch.no_grad(), open_taps(model, dict.fromkeys(points, see)):
        return call(), seen


def descend(model: nn.Module, loss: Callable[[], Tensor], steps: int, rate: float = 0.2) -> None:
    """Plain gradient descent, with no optimizer to load: enough for what a toy has to learn."""
    weights = list(model.parameters())
    for _ in range(steps):
        with torch.enable_grad():
            gradients = torch.autograd.grad(loss(), weights)
        with torch.no_grad():
            for weight, gradient in zip(weights, gradients, strict=True):
                weight.sub_(gradient, alpha=rate)
