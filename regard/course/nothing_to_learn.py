"""Attention with nothing to learn: Q = K = V = X, again and again; then what the projections are for.

That repeated averaging makes all tokens alike: Dong et al., arXiv 2103.03404.
"""

from __future__ import annotations

from collections.abc import Sequence

from torch import Tensor

from regard.course.parts import OUTPUT, WEIGHTS, Attention, Labels, axis, example, random, seed, step
from regard.insight.parameters import Whole
from regard.insight.worked import Computed, Step, Table, Values, Words


@example(
    "nothing-to-learn",
    Words("Attention with nothing to learn", "没有参数的注意力"),
    "Q = K = V = X, round after round, and why projections are needed.",
    "令 Q = K = V = X 反复计算，看看会出什么问题，以及为什么需要投影。",
    Whole("tokens", Words("tokens", "词元数"), 4, 2, 8),
    Whole("width", Words("numbers of a vector", "向量长度"), 3, 1, 16),
    Whole("rounds", Words("rounds", "轮数"), 12, 1, 50),
    seed(),
)
def nothing_to_learn(tokens: int, width: int, rounds: int, seed: int) -> Computed:
    x = random(tokens, width, seed=seed)
    first = Attention(x, x, x)
    rows, proofs, now = [], [], x
    for count in range(rounds + 1):
        spread = float((now[:, None] - now[None]).norm(dim=-1).max())
        steps = Attention(now, now, now)
        rows.append((count, spread, float(steps.weights.diagonal().mean())))
        if count in (0, rounds):
            claim = Words(
                f"attend(x, x, x) in steps = fused, round {count + 1}",
                f"第 {count + 1} 轮：逐步计算 = 融合算子",
            )
            proofs.append(steps.proof(claim))
        last, now = now, steps.out
    projected = Attention(*(x @ random(width, width, seed=seed + more) for more in (1, 2, 3)))
    proofs.append(projected.proof(Words("with projections", "加上投影之后")))
    labels = axis("x", tokens)
    return (
        _without_projections(first, labels),
        _collapse(last, rows, labels),
        _with_projections(first, projected, labels),
    ), tuple(proofs)


def _without_projections(steps: Attention, labels: Labels) -> Step:
    return step(
        Words("The vectors ask, answer and give by themselves", "向量自己提问、自己应答、自己给出内容"),
        "With Q = K = V = X nothing is learned: there is not one parameter. The score of two tokens"
        " is their dot product, so a token mostly looks at itself and at what points the same way.",
        "令 Q = K = V = X，就没有任何要学的东西：一个参数也没有。两个词元的分数就是它们的点积，"
        "所以每个词元主要看自己，以及和自己方向相近的词元。",
        Values("X", steps.q, labels),
        Values(WEIGHTS, steps.weights, labels, labels),
        Values(OUTPUT, steps.out, labels),
        formula="output = softmax(X·Xᵀ / √d)·X",
    )


def _collapse(last: Tensor, rows: Sequence[tuple[int, float, float]], labels: Labels) -> Step:
    rounds = len(rows) - 1
    return step(
        Words("Round after round: everything becomes alike", "一轮又一轮：所有词元趋于相同"),
        "Each output is a mean, and means lie between the points they are taken of. The greatest distance"
        f" between two tokens shrinks from {rows[0][1]:.3f} to {rows[-1][1]:.6f} in {rounds} rounds.",
        "每个输出都是平均值，而平均值总落在被平均的点之间。"
        f"{rounds} 轮之后，两个词元间的最大距离从 {rows[0][1]:.3f} 缩小到 {rows[-1][1]:.6f}。",
        Table(
            Words("rounds", "各轮情况"),
            (
                Words("rounds done", "已进行的轮数"),
                Words("greatest distance", "最大距离"),
                Words("mean weight on itself", "看自己的平均权重"),
            ),
            tuple(rows),
            digits=5,
        ),
        Values(Words(f"X after {rounds} rounds", f"{rounds} 轮之后的 X"), last, rows=labels, digits=5),
    )


def _with_projections(first: Attention, projected: Attention, labels: Labels) -> Step:
    return step(
        Words("What the projections are for", "投影矩阵的作用"),
        "Without projections scores are symmetric: x1 asks x2 exactly what x2 asks x1. W_Q and W_K"
        " let a token look for something other than itself, W_V lets it give something other than"
        " what it is found by. These are self-attention's parameters (random ones here).",
        "没有投影时，分数是对称的：x1 问 x2 的，和 x2 问 x1 的完全一样。有了 W_Q 和 W_K，词元可以寻找与自己"
        "不同的东西；有了 W_V，给出的内容也可以与被找到的依据不同。自注意力的参数就在这里（此处是随机数）。",
        Values(Words("scores without", "无投影的分数"), first.scores, labels, labels),
        Values(Words("scores with", "有投影的分数"), projected.scores, labels, labels),
        Values(Words("weights with", "有投影的权重"), projected.weights, labels, labels),
        formula="scores = (X·W_Q)·(X·W_K)ᵀ / √d",
    )
