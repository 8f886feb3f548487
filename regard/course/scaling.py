"""Why scores are divided by √d_k, measured (arXiv 1706.03762, section 3.2.1 and its footnote 4)."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from regard.course.parts import Attention, example, random, step
from regard.insight.parameters import Whole
from regard.insight.plotting import graph_objects
from regard.insight.worked import Computed, Drawing, Lang, Step, Table, Words
from regard.model.attention import attention_weights

_QUERIES = 200

Row = tuple[int, float, float, float, float, float, float]


@example(
    "square-root",
    Words("Why divide by √d_k", "为什么要除以 √d_k"),
    "Variance of scores, saturation and gradient for growing d_k, with and without the scale.",
    "d_k 增大时分数的方差、softmax 的饱和与梯度，缩放前后对比。",
    Whole("most", Words("the largest d_k, as a power of 4", "最大的 d_k（4 的幂次）"), 5, 2, 6),
    Whole("keys", Words("keys", "键的个数"), 16, 2, 64),
)
def square_root(most: int, keys: int) -> Computed:
    widths = tuple(4**power for power in range(1, most + 1))
    rows: list[Row] = []
    proofs = []
    for width in widths:
        q, k, v = (random(n, width, seed=seed) for n, seed in ((_QUERIES, 1), (keys, 2), (keys, 3)))
        plain, scaled = Attention(q, k, v, scale=1.0), Attention(q, k, v)
        figures = [float(plain.scores.var()), float(scaled.scores.var())]
        for steps in (plain, scaled):
            figures += [float(steps.weights.amax(-1).mean()), gradient(steps.scores)]
        rows.append((width, *figures))
        claim = Words(f"d_k = {width}: steps = fused", f"d_k = {width}：逐步 = 融合")
        proofs.append(scaled.proof(claim))
    return (_sum_of_products(), _measurements(keys, rows, widths), _limits()), tuple(proofs)


def _sum_of_products() -> Step:
    return step(
        Words("A sum of d_k products", "d_k 个乘积之和"),
        "A score is the sum of d_k products. If all numbers are independent, of mean 0 and variance"
        " 1, each product has variance 1 and the sum d_k; divided by √d_k it has 1 again.",
        "一个分数是 d_k 个乘积之和。若各数相互独立、均值 0、方差 1，每个乘积的方差就是 1，"
        "和的方差就是 d_k；除以 √d_k 后又回到 1。",
        formula="Var(q·k) = d_k    Var(q·k / √d_k) = 1",
    )


def _measurements(keys: int, rows: list[Row], widths: tuple[int, ...]) -> Step:
    without, scaled_too = Words("without", "不缩放"), Words("with", "缩放")
    heads = (
        "d_k",
        _compound(Words("variance", "方差"), without),
        _compound(Words("variance", "方差"), scaled_too),
        _compound(Words("largest weight", "最大权重"), without),
        _compound(Words("gradient", "梯度"), without),
        _compound(Words("largest weight", "最大权重"), scaled_too),
        _compound(Words("gradient", "梯度"), scaled_too),
    )
    return step(
        Words("Measured, for growing d_k", "实测：d_k 逐渐增大"),
        f"{_QUERIES} random queries and {keys} keys. Without the scale the softmax saturates: one"
        f" weight goes to 1, and the gradient that reaches the scores falls to {rows[-1][4]:.1e} at"
        f" d_k = {widths[-1]}, where it stays {rows[-1][6]:.1e} with it. The gradient is the mean"
        " length of d(weights·r)/d(scores) for a random direction r.",
        f"取 {_QUERIES} 个随机查询和 {keys} 个键。不缩放时 softmax 饱和：最大权重趋近 1，"
        f"d_k = {widths[-1]} 时传回分数的梯度只剩 {rows[-1][4]:.1e}；缩放后仍有 {rows[-1][6]:.1e}。"
        "这里的梯度指沿随机方向 r 的 d(权重·r)/d(分数) 的平均长度。",
        Table(Words("with and without the scale", "缩放与不缩放"), heads, tuple(rows), digits=4),
        figure=Drawing(
            Words("Saturation and gradient over d_k", "饱和程度与梯度随 d_k 的变化"),
            lambda lang: _draw(rows, lang),
        ),
    )


def _limits() -> Step:
    return step(
        Words("What it does not do", "它不能做什么"),
        "The scale keeps the softmax out of saturation at the start of training. It is no cure for"
        " vanishing gradients elsewhere, and training may make scores large again.",
        "缩放只是让 softmax 在训练初期不落入饱和区。它治不了别处的梯度消失，训练过程中分数也可能重新变大。",
    )


def _compound(one: Words, other: Words) -> Words:
    return Words(f"{one.en}, {other.en}", f"{other.zh}时 {one.zh}")


def gradient(scores: Tensor) -> float:
    """The mean length of the gradient that a random direction sends back through the softmax."""
    leaf = scores.clone().requires_grad_()
    weights = attention_weights(leaf[None, None])[0, 0]
    (slope,) = torch.autograd.grad((weights * random(*scores.shape, seed=4)).sum(), leaf)
    return float(slope.norm(dim=-1).mean())


def _draw(rows: list[Row], lang: Lang) -> Any:
    go = graph_objects()
    names = (
        Words("largest weight, without", "最大权重，不缩放"),
        Words("gradient, without", "梯度，不缩放"),
        Words("largest weight, with", "最大权重，缩放"),
        Words("gradient, with", "梯度，缩放"),
    )
    lines = [
        go.Scatter(
            x=[row[0] for row in rows],
            y=[row[place] for row in rows],
            name=name.of(lang),
            mode="lines+markers",
            line={"color": "#d2691e" if place < 5 else "#3b7dd8", "dash": "solid" if place % 2 else "dot"},
        )
        for place, name in enumerate(names, 3)
    ]
    layout = {"xaxis": {"type": "log", "title": {"text": "d_k"}}, "yaxis": {"rangemode": "tozero"}}
    return go.Figure(lines, layout)
