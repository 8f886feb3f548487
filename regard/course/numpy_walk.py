"""The walk that many tutorials take with numpy: four words as the numbers 1 to 16, and random matrices."""

from __future__ import annotations

import torch
from torch import Tensor

from regard.course.parts import REAL, WEIGHTS, Attention, example, random, seed, step
from regard.insight.parameters import Real
from regard.insight.worked import Cell, Computed, Product, Step, Table, Values, Words
from regard.model.norm import LayerNorm

_WORDS = ("思考", "编程", "很", "有趣")


@example(
    "numpy-walk",
    Words("The numpy walk: 思考 编程 很 有趣", "用 numpy 走一遍：思考 编程 很 有趣"),
    "Why unscaled inputs and weights give a one-hot softmax, and what the initialisation must do.",
    "输入和权重不控制大小，softmax 就会变成独热；初始化应当做到什么。",
    Real("size", Words("the inputs, times", "输入的倍数"), 1.0, 0.01, 10.0),
    seed(5),
)
def numpy_walk(size: float, seed: int) -> Computed:
    x = torch.arange(1, 17, dtype=REAL).reshape(4, 4) * size
    ws = tuple(random(4, 4, seed=seed + more) for more in range(3))
    with torch.no_grad():
        calm = LayerNorm().build(4).to(REAL)(x)
    even = (x - x.mean()) / x.std()
    small = tuple(w / len(w) ** 0.5 for w in ws)
    walks = {
        name: Attention(*(inputs @ w for w in weights), scale=scale)
        for name, inputs, weights, scale in (
            (Words("as it is: no scale", "原样：不缩放"), x, ws, 1.0),
            (Words("divided by √d_k", "除以 √d_k"), x, ws, None),
            (Words("and weights divided by √D", "再把权重除以 √D"), x, small, None),
            (Words("and each row normalised", "再把每一行归一化"), calm, small, None),
            (Words("or all 16 inputs together", "或把 16 个输入一起归一化"), even, small, None),
        )
    }
    raw = next(iter(walks.values()))
    proofs = tuple(steps.proof(name) for name, steps in walks.items())
    return (_inputs(x, ws, raw), _one_hot(raw), _initialisation(walks)), proofs


def _inputs(x: Tensor, ws: tuple[Tensor, ...], raw: Attention) -> Step:
    return step(
        Words("Four words as sixteen numbers", "四个词，十六个数"),
        "The rows 1..4, 5..8, 9..12, 13..16 stand for four words; three random matrices make"
        " queries, keys and values. The inputs are neither centred nor of size 1.",
        "用 1..4、5..8、9..12、13..16 四行代表四个词，再用三个随机矩阵得到查询、键和值。"
        "注意输入既没有居中，大小也远不是 1。",
        Values("X", x, rows=_WORDS),
        *(Values(f"W_{name}", w) for name, w in zip("QKV", ws, strict=True)),
        *(
            Values(name, projected, _WORDS, origin=Product(x, w))
            for name, projected, w in zip("QKV", (raw.q, raw.k, raw.v), ws, strict=True)
        ),
        formula="Q = X·W_Q    K = X·W_K    V = X·W_V",
    )


def _one_hot(raw: Attention) -> Step:
    return step(
        Words("The softmax becomes one-hot", "softmax 退化成了独热"),
        "Scores are in the tens or hundreds, and the softmax looks at differences: a difference of 20 is a"
        " factor of e^20. Every row picks one word and nothing of the others; its gradient is nearly 0.",
        "分数达到几十甚至几百，而 softmax 看的是差值：差 20 就是 e^20 倍。"
        "每一行几乎只选中一个词，其余全部丢掉，梯度也几乎为 0。",
        Values("Q·Kᵀ", raw.scores, _WORDS, _WORDS, origin=Product(raw.q, raw.k.T)),
        Values(WEIGHTS, raw.weights, _WORDS, _WORDS),
        formula="weights = softmax(Q·Kᵀ)",
    )


def _initialisation(walks: dict[Words, Attention]) -> Step:
    rows: list[tuple[Cell, ...]] = []
    for name, steps in walks.items():
        entropy = torch.special.entr(steps.weights).sum(-1).mean()
        rows.append((name, *map(float, (steps.scores.std(), steps.weights.amax(-1).mean(), entropy))))
    return step(
        Words("What the initialisation must do", "初始化应当做到什么"),
        "Scores should start with a deviation near 1. That takes all three: inputs of size 1 (a"
        " norm, or embeddings made so), weights of deviation 1/√D so that sums of D terms stay of"
        " size 1, and the division by √d_k. Entropy tells how many words a row looks at: ln 4 ="
        f" {float(torch.tensor(4.0).log()):.3f} is all of them evenly, 0 is one. Normalising each row"
        " goes too far here: these rows differ by nothing but a constant, which the norm takes away,"
        " so that all four words become the same. Inputs brought to mean 0 and deviation 1 together"
        " keep what tells them apart.",
        "起步时分数的标准差应在 1 左右。三件事缺一不可：输入大小约为 1（靠归一化或合适的词向量）；"
        "权重标准差取 1/√D，这样 D 项之和大小仍约为 1；最后再除以 √d_k。熵表示一行在看多少个词：ln"
        f" 4 = {float(torch.tensor(4.0).log()):.3f} 是平均看全部，0 是只看一个。"
        "这里对每一行单独归一化却过了头：四行之间只差一个常数，归一化正好把它减掉，四个词变得一模一样。"
        "把 16 个数一起变成均值 0、标准差 1，词与词的差别才保留下来。",
        Table(
            Words("one measure after another", "逐项改进"),
            (
                Words("what is done", "做法"),
                Words("deviation of scores", "分数的标准差"),
                Words("mean largest weight", "最大权重的平均"),
                Words("entropy (nats)", "熵（奈特）"),
            ),
            tuple(rows),
        ),
        Values(Words("weights in the end", "最终的权重"), steps.weights, _WORDS, _WORDS),
        Values(Words("output in the end", "最终的输出"), steps.out, _WORDS),
    )
