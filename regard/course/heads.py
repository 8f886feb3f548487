"""Several heads: split, attend, concatenate, W_O; what they cost (arXiv 1706.03762, section 3.2.2), and dot
products beside additive scores (Bahdanau et al., arXiv 1409.0473)."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor

from regard.course import parts
from regard.course.parts import OUTPUT, SCORES, Attention, axis, example, random, step
from regard.insight.parameters import Choice, Whole
from regard.insight.worked import Computed, Product, Proof, Step, Table, Values, Words
from regard.model.attention import AttentionConfig
from regard.model.describe import describe

_WIDTH = 8


@example(
    "multi-head",
    Words("Multi-head attention", "多头注意力"),
    "Split, attend, concatenate, W_O; and what it costs, up to GPT-3.",
    "拆分、各自注意、拼接、W_O；以及代价，直到 GPT-3。",
    Whole("tokens", Words("tokens", "词元数"), 3, 2, 6),
    Choice("heads", Words("heads", "头数"), "2", tuple((n, Words(n, n)) for n in ("1", "2", "4", "8"))),
)
def multi_head(tokens: int, heads: str) -> Computed:
    count = int(heads)
    module = parts.build(5, lambda: AttentionConfig(heads=count).build(_WIDTH))
    x = random(1, tokens, _WIDTH, seed=1)
    plain = module(x).detach()
    out, seen = parts.observe_attention(module, "", lambda: module(x))
    steps = Attention(seen["q"], seen["k"], seen["v"])
    joined = torch.cat(list(steps.out), -1)
    mixed = joined @ module.out.weight.T + module.out.bias
    return (_split(x[0], seen), _heads(seen), _concatenation(joined, mixed, count), _cost()), (
        Proof.of(Words("steps = the module, fused", "逐步计算 = 模块（融合算子）"), mixed, plain[0]),
        Proof.of(Words("the module observed = not observed", "有观察 = 无观察"), out.detach(), plain, 0.0),
        steps.proof(Words("each head in steps = attend()", "各头逐步计算 = attend()")),
    )


def _split(x: Tensor, seen: Mapping[str, Tensor]) -> Step:
    """`x`: (T, D); `seen`: by the names of taps, (H, T, C) each."""
    count, labels = len(seen["q"]), axis("x", len(x))
    return step(
        Words("Project once, then split", "先投影一次，再拆分"),
        f"Width {_WIDTH} with {count} heads gives each head {_WIDTH // count} columns of Q, K and"
        " V. d_k is the width of a head, not of the embedding.",
        f"宽度 {_WIDTH}、{count} 个头，每个头分到 Q、K、V 的 {_WIDTH // count} 列。d_k 是每个头的宽"
        "度，不是词向量的宽度。",
        Values("X", x, rows=labels),
        *(Values(name.upper(), seen[name], labels, sheets=parts.head_names(count)) for name in "qkv"),
        formula="(B, T, D) → (B, H, T, C)    C = D / H",
    )


def _heads(seen: Mapping[str, Tensor]) -> Step:
    """`seen`: as for `_split`."""
    labels = axis("x", seen["q"].shape[1])
    return step(
        Words("Each head attends by itself", "每个头各自计算注意力"),
        "Every head has its own scores and its own softmax: two heads can look at two places at"
        " once, where one softmax must share its weight out.",
        "每个头有自己的分数和 softmax：两个头可以同时看两处，而一个 softmax 只能把权重分摊开。",
        *parts.head_values(seen, labels, labels),
        formula="head_h = softmax(Q_h·K_hᵀ / √C)·V_h",
    )


def _concatenation(joined: Tensor, mixed: Tensor, count: int) -> Step:
    labels = axis("x", len(mixed))
    return step(
        Words("Side by side, times W_O", "拼接，再乘 W_O"),
        "The heads' outputs are put side by side, and W_O mixes them.",
        "把各头的输出拼在一起，由 W_O 混合。",
        Values(Words("joined", "拼接结果"), joined, rows=labels),
        Values(OUTPUT, mixed, rows=labels),
        formula=f"output = [{', '.join(f'head_{i}' for i in range(1, count + 1))}]·W_O + b",
    )


def _cost() -> Step:
    """Counted by the library, on modules without memory."""
    rows = []
    with torch.device("meta"):
        for name, heads, width in (
            (Words("one head", "一个头"), 1, 512),
            (Words("8 heads of 64", "8 头，每头 64"), 8, 512),
            (Words("GPT-3: 96 heads of 128", "GPT-3：96 头，每头 128"), 96, 12288),
        ):
            size = describe(AttentionConfig(heads=heads).build(width), target=20)
            rows.append((name, width, heads, width // heads, f"{size.parameters:,}", f"{size.flops:,}"))
    return step(
        Words("What heads cost: nothing", "多头的代价：没有"),
        "The same matrices are cut into narrower pieces: parameters and multiplications are those of"
        " one wide head. FLOPs are of 20 tokens. One layer of GPT-3's attention, counted by the same"
        " code, has 96 heads of 128.",
        "同样的矩阵只是切成更窄的几块：参数量和乘法次数与一个宽头相同。FLOPs 按 20 个词元计。"
        "用同一段代码统计 GPT-3 一层的注意力：96 个头，每头宽 128。",
        Table(
            Words("parameters and FLOPs of one attention layer", "一层注意力的参数量与 FLOPs"),
            (Words("layer", "层"), "D", "H", "C", Words("parameters", "参数量"), "FLOPs"),
            tuple(rows),
        ),
    )


@example(
    "additive",
    Words("Dot product and additive attention", "点积注意力与加性注意力"),
    "Two ways to score, side by side on the same vectors.",
    "同一组向量上的两种打分方式。",
    parts.seed(),
)
def additive(seed: int) -> Computed:
    q, k, v = (random(3, 4, seed=seed + more) for more in range(3))
    learned = random(1, 4, seed=seed + 3)
    dot, added = Attention(q, k, v), Attention(q, k, v, additive=learned)
    one_by_one = torch.stack([torch.stack([(learned[0] * (a + b).tanh()).sum() for b in k]) for a in q])
    return (_inputs(added), _dot_products(dot), _additive_scores(added)), (
        dot.proof(Words("dot products in steps = attend(), fused", "点积逐步计算 = 融合算子 attend()")),
        added.proof(Words("additive in steps = attend(additive=v)", "加性逐步计算 = attend(additive=v)")),
        Proof.of(Words("additive scores pair by pair", "逐对计算的加性分数"), one_by_one, added.scores),
    )


def _inputs(steps: Attention) -> Step:
    assert steps.additive is not None
    return step(
        Words("The same queries, keys and values", "同样的查询、键和值"),
        "Random ones; only the way of scoring differs.",
        "随机生成；只有打分方式不同。",
        Values("Q", steps.q),
        Values("K", steps.k),
        Values("V", steps.v),
        Values("v", steps.additive),
    )


def _dot_products(steps: Attention) -> Step:
    return step(
        Words("Dot product", "点积"),
        "One matrix product scores all pairs, nothing to learn: this is what hardware is fastest at.",
        "一次矩阵乘法给所有词对打分，没有参数：硬件最擅长这个。",
        *_score_values(steps, Product(steps.q, steps.k.T, 0.5)),
        formula="score = q·k / √d_k",
    )


def _additive_scores(steps: Attention) -> Step:
    return step(
        Words("Additive", "加性"),
        "A small network scores each pair: q and k are added, squashed, and weighed by a learned"
        " vector v. It needs memory for T·S·C numbers where the dot product needs T·S. Scores are"
        " within ±Σ|v| and need no scale.",
        "用一个小网络给每个词对打分：q 与 k 相加、过 tanh，再用学到的向量 v 加权求和。"
        "它要存 T·S·C 个数，点积只要 T·S 个。分数不超过 ±Σ|v|，无需缩放。",
        *_score_values(steps),
        formula="score = v·tanh(q + k)",
    )


def _score_values(steps: Attention, origin: Product | None = None) -> tuple[Values, ...]:
    rows, columns = axis("q", 3), axis("k", 3)
    return (
        Values(SCORES, steps.scores, rows, columns, origin=origin),
        Values(Words("weights", "权重"), steps.weights, rows, columns),
        Values(OUTPUT, steps.out),
    )
