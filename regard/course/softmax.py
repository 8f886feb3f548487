"""The dot product as an angle; how a softmax overflows; what a mask should be made of."""

from __future__ import annotations

import torch
from torch import Tensor

from regard.course.parts import REAL, SCORES, Attention, axis, example, random, seed, step
from regard.insight.parameters import Real, Whole
from regard.insight.worked import Computed, Proof, Step, Table, Values, Words

_LARGEST = 89
"""The first integer whose power of e is none in float32."""
_PAIRS = axis("q", 3), axis("k", 3)


@example(
    "dot-product",
    Words("The dot product as an angle", "点积就是角度"),
    "Parallel, orthogonal and opposite vectors, and what a softmax makes of them.",
    "平行、正交、反向的向量，以及 softmax 之后的样子。",
    Real("length", Words("length of the query", "查询的长度"), 2.0, 0.1, 20.0),
)
def dot_product(length: float) -> Computed:
    query = torch.tensor([[length, 0.0]], dtype=REAL)
    keys = torch.tensor([[3, 0], [1, 1], [0, 2], [-1, 1], [-1, 0]], dtype=REAL)
    steps = Attention(query, keys, keys, scale=1.0)
    lengths, size = keys.norm(dim=-1), float(query.norm())
    cosines = steps.scores[0] / (lengths * size)
    words = (
        Words("parallel", "平行"),
        Words("45 degrees", "夹角 45°"),
        Words("orthogonal", "正交"),
        Words("135 degrees", "夹角 135°"),
        Words("opposite", "反向"),
    )
    angles = cosines.clamp(-1, 1).acos().rad2deg()
    columns = torch.stack((*keys.T, steps.scores[0], cosines, angles, steps.weights[0]), 1)
    rows = tuple((word, *row) for word, row in zip(words, columns.tolist(), strict=True))
    heads = ("k1", "k2", "q·k", "cos", Words("angle", "角度（°）"), Words("weight", "权重"))
    only = step(
        Words(f"q = [{length:g}, 0] beside five keys", f"q = [{length:g}, 0] 与五个键"),
        "The dot product is the two lengths times the cosine of the angle: positive when they point the"
        " same way, 0 when they are orthogonal, negative when they point apart. Unlike the cosine it"
        " grows with length, so a long key is heard more.",
        "点积等于两个长度之积再乘以夹角的余弦：同向为正，正交为 0，反向为负。"
        "与余弦不同，点积随长度增大，所以长的键“声音更大”。",
        Table(Words("keys", "各个键"), (Words("key", "键"), *heads), rows),
        formula="q·k = |q|·|k|·cos θ    weights = softmax(q·k)",
    )
    return (only,), (steps.proof(),)


def _size(score: int) -> Words:
    if score < _LARGEST:
        return Words(f"e^{score} still fits", f"e^{score} 还装得下")
    return Words(f"e^{score} is too large", f"e^{score} 太大了")


@example(
    "softmax-overflow",
    Words("Softmax without overflow", "不溢出的 softmax"),
    "Why the largest score is subtracted first.",
    "为什么要先减去最大的分数。",
    Whole("first", Words("the first score", "第一个分数"), 1000, 0, 2000),
)
def softmax_overflow(first: int) -> Computed:
    scores = torch.tensor([[first, first + 1, first + 2]], dtype=torch.float32)
    powers = scores.exp()
    shifted = (scores - scores.max()).exp()
    naive, stable = powers / powers.sum(), shifted / shifted.sum()
    library = Attention(torch.ones(1, 1), scores.T, torch.eye(3), scale=1.0)
    only = step(
        _size(first),
        "float32 ends near e^88.7. Beyond it e^x is ∞, and ∞/∞ is not a number. Taking the largest"
        " score from all of them first changes nothing, since numerator and denominator are divided by"
        " the same, and no power is above 1.",
        "float32 最大约为 e^88.7，再大就成了 ∞，而 ∞/∞ 不是数（NaN）。"
        "先让所有分数减去最大值，分子分母同除一个数，结果不变，幂也都不超过 1。",
        Values(SCORES, scores),
        Values("e^s", powers),
        Values(Words("naive softmax", "直接计算的 softmax"), naive),
        Values("e^(s - max)", shifted, digits=4),
        Values(Words("stable softmax", "稳定的 softmax"), stable, digits=4),
        formula="e^s / Σ e^s = e^(s - max) / Σ e^(s - max)",
    )
    weights = Words("max subtracted = attention_weights()", "减去最大值 = attention_weights()")
    fused = Words("max subtracted = attend(), fused", "减去最大值 = 融合算子 attend()")
    return (only,), (Proof.of(weights, stable, library.weights), Proof.of(fused, stable, library.fused))


@example(
    "masks",
    Words("-1e9, -inf, and the row that sees nothing", "-1e9、-inf 与全被遮住的行"),
    "What a mask should be made of, and what goes wrong otherwise.",
    "掩码该用什么数，用错了会怎样。",
    seed(11),
)
def masks(seed: int) -> Computed:
    q, k, v = (random(3, 2, seed=seed + more) for more in range(3))
    allowed = torch.tensor([[True, True, False], [True, True, True], [False, False, False]])
    steps = Attention(q, k, v, allowed)
    return (_visibility(allowed, steps), _ways_to_mask(allowed, steps)), (
        steps.proof(Words("masked steps = attend(), fused", "加掩码逐步计算 = 融合算子")),
        Proof.of(
            Words("the row that sees nothing gives zeros", "什么也看不见的行输出为零"),
            steps.fused[-1],
            torch.zeros(2, dtype=REAL),
        ),
    )


def _visibility(allowed: Tensor, steps: Attention) -> Step:
    return step(
        Words("Who may see whom; the third query sees nothing", "谁能看见谁；第三个查询什么也看不见"),
        "Such rows exist: padding asks too. A mask must make forbidden weights exactly 0, in every row.",
        "这种行确实存在：填充位置也会提问。掩码必须让被禁止的权重在每一行里都恰好为 0。",
        Values(Words("allowed", "允许"), allowed, *_PAIRS),
        Values(SCORES, steps.scores, *_PAIRS),
    )


def _ways_to_mask(allowed: Tensor, steps: Attention) -> Step:
    large = (steps.scores.float() + (~allowed) * -1e9).softmax(-1)
    infinite = steps.scores.masked_fill(~allowed, float("-inf")).softmax(-1)
    numbers = (
        (Words("-1e9 in float32", "float32 中的 -1e9"), float(torch.tensor(-1e9))),
        (Words("-1e9 in float16", "float16 中的 -1e9"), float(torch.tensor(-1e9).half())),
        (Words("lowest number of float16", "float16 的最小数"), torch.finfo(torch.float16).min),
    )
    last = Words("the last row sums to", "最后一行之和")
    sums = tuple(
        (word, float(x[-1].sum()))
        for word, x in (
            (Words("adding -1e9", "加 -1e9"), large),
            (Words("-inf", "-inf"), infinite),
            (Words("regard", "regard"), steps.weights),
        )
    )
    return step(
        Words("-1e9, -inf, and neither", "-1e9、-inf，以及更好的办法"),
        "Adding -1e9 works where something may be seen. In the empty row float32 loses the scores beside"
        " 1e9, all become equal, and the query takes the mean of what it may not see. In float16 -1e9 does"
        " not exist. With -inf the empty row is 0/0. The library fills with the lowest finite number and"
        " sets forbidden weights to 0 afterwards: zeros, and a gradient of 0.",
        "只要一行里还有可见的词元，加 -1e9 就没问题。但在全被遮住的行里，float32 的精度会让分数淹没在 1e9"
        " 中，所有分数变得相等，查询反而把不该看的内容平均了一遍。float16 里根本没有 -1e9。用 -inf，全遮的行"
        "就是 0/0。本库先填入最小的有限数，再把被禁止的权重置 0：结果是零，梯度也是零。",
        Values(Words("weights, -1e9 added", "加 -1e9 的权重"), large, *_PAIRS),
        Values(Words("weights, -inf", "用 -inf 的权重"), infinite, *_PAIRS),
        Values(Words("weights, regard", "本库的权重"), steps.weights, *_PAIRS),
        Table(last, (Words("mask", "掩码"), last), sums),
        Table(
            Words("the number itself", "这个数本身"), (Words("number", "数"), Words("is", "实际值")), numbers
        ),
    )
