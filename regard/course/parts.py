"""What examples share: attention in steps by the library's own functions, and the proof that it is the fused
one."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any, TypeVar

import torch
from torch import Tensor, nn

from regard.insight.parameters import Parameter, Whole
from regard.insight.plotting import graph_objects
from regard.insight.words import Label, Lang, Words, label_text
from regard.insight.worked import Computed, Content, Drawing, Example, Product, Proof, Step, Table, Values
from regard.model.attention import attend, attention_scores, attention_weights, weigh
from regard.model.mask import Contiguous, MaskRule, dense, lower
from regard.model.score import Additive, DotProduct
from regard.model.tap import open_taps

Module = TypeVar("Module", bound=nn.Module)
Labels = tuple[Label, ...]

REAL = torch.float64
"""Examples compute in double precision, so that what they print is not rounded by the arithmetic."""

SCORES, WEIGHTS, OUTPUT = Words("scores", "分数"), Words("weights", "注意力权重"), Words("output", "输出")
HEADS_OUTPUT = Words("output of the heads", "各头的输出")
FUSED = Words("step by step = attend(), fused", "逐步计算 = 融合算子 attend()")


@dataclass(frozen=True, eq=False)
class Attention:
    """Attention of (T, C) or (H, T, C), one step after the other, and in one go; arguments as in `attend`.

    `scores` and `weights` are (T, S), `out` and `fused` (T, C); of H heads, with H before them.
    """

    q: Tensor
    k: Tensor
    v: Tensor
    mask: MaskRule | Tensor | None = None
    """A rule, or booleans (T, S)."""
    scale: float | None = field(default=None, kw_only=True)
    additive: Tensor | None = field(default=None, kw_only=True)

    @cached_property
    def scores(self) -> Tensor:
        q, k = _batched(self.q), _batched(self.k)
        score = DotProduct() if self.additive is None else Additive()
        scores = attention_scores(q, k, score=score, scale=self.scale, learned=self.additive)
        return scores.reshape(self._shape)

    @cached_property
    def weights(self) -> Tensor:
        return attention_weights(_batched(self.scores), self.allowed).reshape(self._shape)

    @cached_property
    def out(self) -> Tensor:
        return weigh(_batched(self.weights), _batched(self.v)).reshape(*self._shape[:-1], -1)

    @property
    def fused(self) -> Tensor:
        """The output by `attend` in one go."""
        q, k, v = map(_batched, (self.q, self.k, self.v))
        return attend(q, k, v, self.mask, scale=self.scale, additive=self.additive).reshape(self.out.shape)

    @property
    def allowed(self) -> Tensor | None:
        """Who may see whom, as booleans (T, S); None for everyone."""
        if self.mask is None or isinstance(self.mask, Tensor):
            return self.mask
        T, S = self._shape[-2:]
        allowed = dense(lower(self.mask, Contiguous(S - T, T), Contiguous(0, S)), T, S)
        return None if allowed is None else allowed.expand(1, 1, T, S)[0, 0]

    @property
    def _shape(self) -> tuple[int, ...]:
        return *self.q.shape[:-1], self.k.shape[-2]

    def proof(self, claim: Words = FUSED) -> Proof:
        """That the steps end where the fused path does."""
        return Proof.of(claim, self.out, self.fused)


def _batched(x: Tensor) -> Tensor:
    """(T, C) or (H, T, C) → (1, H, T, C), as the library wants it."""
    return x[None, None] if x.dim() == 2 else x[None]


def random(*shape: int, seed: int) -> Tensor:
    """Standard normal numbers that are the same each time."""
    return torch.randn(*shape, dtype=REAL, generator=torch.Generator().manual_seed(seed))


def axis(letter: str, count: int) -> Labels:
    """x1, x2, …"""
    return tuple(f"{letter}{index}" for index in range(1, count + 1))


def head_names(count: int) -> Labels:
    """head 1, head 2, …"""
    return tuple(Words(f"head {index}", f"第 {index} 头") for index in range(1, count + 1))


def head_values(seen: Mapping[str, Tensor], rows: Labels, columns: Labels) -> tuple[Values, ...]:
    """Scores, weights and outputs of several heads; `seen`: by the names of taps, (H, T, C) each."""
    q, k, v, weights = (seen[name] for name in ("q", "k", "v", "weights"))
    heads, scores = head_names(len(q)), Product(q, k.transpose(1, 2), q.shape[-1] ** -0.5)
    return (
        Values(SCORES, seen["scores"], rows, columns, heads, origin=scores),
        Values(WEIGHTS, weights, rows, columns, heads),
        Values(HEADS_OUTPUT, seen["heads"], rows, sheets=heads, origin=Product(weights, v)),
    )


def shape_table(*shapes: tuple[Words, Sequence[int]]) -> Table:
    """What has which shape."""
    rows = tuple((name, str(tuple(shape))) for name, shape in shapes)
    return Table(Words("shapes", "形状"), (Words("what", "内容"), Words("shape", "形状")), rows)


def seed(default: int = 1) -> Whole:
    """The parameter of an example whose numbers are random."""
    return Whole("seed", Words("random numbers", "随机数种子"), default, 1, 999)


def log_lines(
    name: Words, lines: Mapping[Any, Sequence[float]], xaxis: Words, yaxis: Words | None = None, **style: Any
) -> Drawing:
    """Curves over a logarithmic axis; `style`: what Plotly's `Scatter` takes."""

    def draw(lang: Lang) -> Any:
        go = graph_objects()
        curves = [go.Scatter(y=y, name=label_text(line, lang), **style) for line, y in lines.items()]
        heights: dict[str, Any] = {"type": "log", "exponentformat": "power"}
        heights |= {"title": {"text": yaxis.of(lang)}} if yaxis else {}
        return go.Figure(curves, {"xaxis": {"title": {"text": xaxis.of(lang)}}, "yaxis": heights})

    return Drawing(name, draw)


def build(seed: int, make: Callable[[], Module]) -> Module:
    """A module in double precision, not training, whose weights are the same each time; the random state of
    the caller's program stays as it is."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        return make().to(REAL).eval()


def observe(model: nn.Module, call: Callable[[], Any], points: str = "*") -> tuple[Any, dict[str, Tensor]]:
    """What `call` returns, and what passes the taps of `model` meanwhile, by name."""
    seen: dict[str, Tensor] = {}
    with torch.no_grad(), open_taps(model, {points: seen.__setitem__}):
        return call(), seen


def observe_attention(model: nn.Module, path: str, call: Callable[[], Any]) -> tuple[Any, dict[str, Tensor]]:
    """What `call` returns, and what passes the attention at `path`: "q" (H, T, C), "weights" and others."""
    prefix = f"{path}." if path else ""
    result, seen = observe(model, call, f"{prefix}*")
    return result, {name.removeprefix(prefix): value[0] for name, value in seen.items()}


def gradient_descent(model: nn.Module, loss: Callable[[], Tensor], steps: int, rate: float = 0.2) -> None:
    """Plain gradient descent, with no optimizer to load: enough for what a toy has to learn."""
    weights = list(model.parameters())
    for _ in range(steps):
        with torch.enable_grad():
            gradients = torch.autograd.grad(loss(), weights)
        with torch.no_grad():
            for weight, gradient in zip(weights, gradients, strict=True):
                weight.sub_(gradient, alpha=rate)


def step(
    title: Words, en: str, zh: str, *values: Content, formula: str = "", figure: Drawing | None = None
) -> Step:
    """What is done and why in both languages, its numbers, its formula."""
    return Step(title, Words(en, zh), formula, values, figure)


def example(
    name: str, title: Words, en: str, zh: str, *parameters: Parameter
) -> Callable[[Callable[..., Computed]], Example]:
    """Makes an example of the function that computes it. `en`, `zh`: what it shows, in a sentence."""
    return lambda make: Example(name, title, Words(en, zh), make, parameters)
