"""Attention by hand, on three small vectors or on the user's own matrices.

The classic example is from R. Karim, 'Illustrated: Self-Attention' (2019), which leaves out the scale and
rounds its weights.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import torch
from torch import Tensor

from regard.course.parts import OUTPUT, REAL, WEIGHTS, Attention, Labels, axis, example, step
from regard.errors import InputError
from regard.insight.parameters import Line
from regard.insight.worked import Computed, Example, Product, Step, Table, Values, Words
from regard.model.attention import weigh
from regard.model.mask import Causal

_LARGEST = 64
"""Rows and columns that can still be read."""
_HIGHEST = 100


@dataclass(frozen=True, eq=False)
class Matrices:
    """What attention is computed from: `x` (T, D), `wq` and `wk` (D, C), `wv` (D, C')."""

    x: Tensor
    wq: Tensor
    wk: Tensor
    wv: Tensor

    def __post_init__(self) -> None:
        """Raises InputError when the sizes do not fit together, or are too large to be read."""
        D = self.x.shape[1]
        for name, matrix in (("W_Q", self.wq), ("W_K", self.wk), ("W_V", self.wv)):
            if len(matrix) != D:
                sentence = "{key} has {value} rows; it must have {limit}, as many as the input has columns"
                raise InputError(sentence, name, len(matrix), D)
        if self.wq.shape[1] != self.wk.shape[1]:
            sentence = "{key} has {value} columns; it must have {limit}, as W_K: a query meets keys"
            raise InputError(sentence, "W_Q", self.wq.shape[1], self.wk.shape[1])
        largest = max(max(x.shape) for x in (self.x, self.wq, self.wk, self.wv))
        if largest > _LARGEST:
            raise InputError("a matrix has {value} rows or columns; show at most {limit}", largest, _LARGEST)

    def projected(self) -> tuple[Tensor, Tensor, Tensor]:
        """Queries and keys (T, C), and values (T, C')."""
        return self.x @ self.wq, self.x @ self.wk, self.x @ self.wv


def _matrix(*rows: tuple[float, ...]) -> Tensor:
    return torch.tensor(rows, dtype=REAL)


CLASSIC = Matrices(
    x=_matrix((1, 0, 1, 0), (0, 2, 0, 2), (1, 1, 1, 1)),
    wq=_matrix((1, 0, 1), (1, 0, 0), (0, 0, 1), (0, 1, 1)),
    wk=_matrix((0, 0, 1), (1, 1, 0), (0, 1, 0), (1, 1, 0)),
    wv=_matrix((0, 2, 0), (0, 3, 0), (1, 0, 3), (1, 1, 0)),
)
TEXTBOOK = _matrix((0, 0.5, 0.5))
"""To what the textbook rounds the first query's weights."""


def worked_by_hand(matrices: Matrices) -> Computed:
    """All steps for these matrices; the textbook's numbers beside them if they are the textbook's."""
    q, k, v = matrices.projected()
    scaled, masked = Attention(q, k, v), Attention(q, k, v, Causal())
    unscaled = Attention(q, k, v, scale=1.0)
    steps = [
        _inputs(matrices),
        _projections(matrices),
        _scores(unscaled),
        _softmax(unscaled),
        _mean(unscaled),
    ]
    if matrices is CLASSIC:
        steps.append(_rounding(unscaled))
    return (*steps, _scaling(unscaled, scaled), _masking(masked)), (
        unscaled.proof(_claim("scale=1", "scale=1")),
        scaled.proof(_claim("scale=1/√d_k", "scale=1/√d_k")),
        masked.proof(_claim("scaled and causal", "缩放并加因果掩码")),
    )


def _claim(en: str, zh: str) -> Words:
    return Words(f"step by step = attend(), {en}", f"逐步计算 = attend()，{zh}")


def _inputs(matrices: Matrices) -> Step:
    T, D = matrices.x.shape
    return step(
        Words("Inputs and weights", "输入与权重矩阵"),
        f"{T} tokens, each a vector of {D} numbers: one row of X a token. Three matrices, which training"
        " would learn, turn every token into a query, a key and a value.",
        f"共 {T} 个词元，每个是 {D} 个数组成的向量：X 的一行就是一个词元。"
        "三个矩阵（训练时学到的就是它们）把每个词元分别变成查询、键和值。",
        Values("X", matrices.x, rows=axis("x", T), columns=axis("d", D)),
        Values("W_Q", matrices.wq),
        Values("W_K", matrices.wk),
        Values("W_V", matrices.wv),
        formula="Q = X·W_Q    K = X·W_K    V = X·W_V",
    )


def _projections(matrices: Matrices) -> Step:
    products = zip("QKV", matrices.projected(), (matrices.wq, matrices.wk, matrices.wv), strict=True)
    return step(
        Words("Queries, keys, values", "查询、键、值"),
        "A query says what a token is looking for, a key what it can be found by, a value what it"
        " gives when it is found.",
        "查询表示“我在找什么”，键表示“凭什么能找到我”，值表示“找到我之后能拿走什么”。",
        *(
            Values(f"{name} = X·W_{name}", x, axis(name.lower(), len(x)), origin=Product(matrices.x, w))
            for name, x, w in products
        ),
    )


def _scores(steps: Attention) -> Step:
    return step(
        Words("Scores: every query with every key", "打分：每个查询与每个键做点积"),
        "Row i, column j is the dot product of query i and key j: how well token j answers what token i"
        " asks.",
        "第 i 行第 j 列是第 i 个查询与第 j 个键的点积：词元 j 有多符合词元 i 的需要。",
        Values("Q·Kᵀ", steps.scores, *_pairs(steps), origin=Product(steps.q, steps.k.T)),
        formula="scores = Q·Kᵀ",
    )


def _softmax(steps: Attention) -> Step:
    powers = (steps.scores - steps.scores.amax(-1, keepdim=True)).exp()
    return step(
        Words("Softmax: each row becomes shares", "Softmax：每一行变成份额"),
        "e to the power of each score (less the row's largest, which changes nothing and avoids"
        " overflow), divided by the row's sum. Each row adds up to 1.",
        "对每个分数取 e 的幂（先减去该行最大值：结果不变，却能防止溢出），再除以该行之和。每行加起来等于 1。",
        Values("e^(s - max)", powers, *_pairs(steps), digits=4),
        Values(WEIGHTS, steps.weights, *_pairs(steps), digits=4),
        formula="weights[i, j] = e^(s[i, j] - max s[i]) / Σ_j e^(s[i, j] - max s[i])",
    )


def _mean(steps: Attention) -> Step:
    return step(
        Words("Output: a weighted mean of the values", "输出：值的加权平均"),
        "Each row of the output is the values added up, each times its weight.",
        "输出的每一行，就是把各个值乘以各自的权重后相加。",
        _output(steps),
        formula="output = weights·V",
    )


def _pairs(steps: Attention) -> tuple[Labels, Labels]:
    """Names of the rows and columns of scores and weights."""
    return axis("q", len(steps.q)), axis("k", len(steps.k))


def _output(steps: Attention) -> Values:
    product = Product(steps.weights, steps.v)
    return Values(OUTPUT, steps.out, axis("z", len(steps.out)), digits=4, origin=product)


def _rounding(steps: Attention) -> Step:
    rounded = weigh(TEXTBOOK[None, None], steps.v[None, None])[0, 0]
    exact, off = steps.out[:1], float((rounded - steps.out[:1]).abs().max())
    rows = [
        (Words("the textbook's", "教科书的写法"), *TEXTBOOK[0].tolist(), *rounded[0].tolist()),
        (Words("exact", "精确值"), *steps.weights[0].tolist(), *exact[0].tolist()),
    ]
    return step(
        Words("Beside the textbook", "与教科书对照"),
        "The article that this example comes from rounds the first query's weights to 0, 0.5 and 0.5 before"
        f" it multiplies. That is its only difference, and it moves the output by up to {off:.3f}.",
        "这个例子出自一篇流传很广的文章。它先把第一个查询的权重取整为 0、0.5、0.5 再相乘。"
        f"差别只在这里，却让输出最多偏了 {off:.3f}。",
        Table(
            Words("first query, not scaled", "第一个查询，未缩放"),
            (Words("version", "版本"), *axis("w", 3), *axis("z", 3)),
            tuple(rows),
            digits=4,
        ),
    )


def _scaling(before: Attention, after: Attention) -> Step:
    width = after.k.shape[1]
    top = tuple(float(x.weights.amax(-1).mean()) for x in (before, after))
    return step(
        Words("Scaling by √d_k", "除以 √d_k"),
        f"Keys have d_k = {width} numbers, so scores are divided by √{width} = {width**0.5:.4f} before"
        f" the softmax. The mean largest weight of a row goes from {top[0]:.4f} to {top[1]:.4f}: shares"
        " become more even.",
        f"键的长度 d_k = {width}，所以进入 softmax 之前，分数要除以 √{width} = {width**0.5:.4f}。"
        f"各行最大权重的平均值从 {top[0]:.4f} 变为 {top[1]:.4f}：份额更均匀了。",
        Values("Q·Kᵀ / √d_k", after.scores, *_pairs(after), digits=4),
        Values(WEIGHTS, after.weights, *_pairs(after), digits=4),
        _output(after),
        formula="weights = softmax(Q·Kᵀ / √d_k)    output = weights·V",
    )


def _masking(steps: Attention) -> Step:
    assert steps.allowed is not None
    scores = steps.scores.masked_fill(~steps.allowed, float("-inf"))
    return step(
        Words("With a causal mask", "加上因果掩码"),
        "A decoder may not look ahead: scores of later tokens become -∞, whose share is 0. The first"
        " token sees only itself, so its output is its own value.",
        "解码器不能偷看后文：后面词元的分数变成 -∞，softmax 之后份额为 0。"
        "第一个词元只能看到自己，所以它的输出就是自己的值。",
        Values(Words("scores, masked", "加掩码后的分数"), scores, *_pairs(steps), digits=4),
        Values(WEIGHTS, steps.weights, *_pairs(steps), digits=4),
        _output(steps),
        formula="weights = softmax(Q·Kᵀ / √d_k + mask)",
    )


def _rows(text: str) -> Tensor:
    """`1 0 1 0; 0 2 0 2` as a matrix. Raises: InputError."""
    try:
        rows = [[float(cell) for cell in row.replace(",", " ").split()] for row in text.split(";")]
        matrix = torch.tensor(rows, dtype=REAL)
        if matrix.dim() == 2 and matrix.numel() and float(matrix.abs().max()) <= _HIGHEST:  # nor is NaN
            return matrix
    except ValueError:  # no number, or rows of several lengths
        pass
    sentence = "{key} must be rows of numbers from -{limit} to {limit}; write them as {example}"
    raise InputError(sentence, "inputs", _HIGHEST, "1 0 1 0; 0 2 0 2")


@example(
    "attention-by-hand",
    Words("Attention by hand", "手算注意力"),
    "From three small vectors to Q, K, V, scores, weights and output, each number shown.",
    "从三个小向量出发，一步步得到 Q、K、V、分数、权重和输出，每个数都列出来。",
    Line(
        "inputs",
        Words("inputs, a row of four numbers for each token", "输入：每个词元一行，四个数"),
        "1 0 1 0; 0 2 0 2; 1 1 1 1",
    ),
)
def attention_by_hand(inputs: str) -> Computed:
    x = _rows(inputs)
    same = x.shape == CLASSIC.x.shape and torch.equal(x, CLASSIC.x)
    return worked_by_hand(CLASSIC if same else replace(CLASSIC, x=x))


def of_matrices(matrices: Matrices) -> Example:
    """The same on matrices of one's own, with nothing to change."""
    return replace(attention_by_hand, make=lambda: worked_by_hand(matrices), parameters=())
