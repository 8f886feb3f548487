"""The dot product as an angle; how a softmax overflows; what a mask should be made of."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from regard.course.parts import REAL, Steps, named, proved, random, steps_of
from regard.insight.parameters import Real, Whole
from regard.insight.worked import Cell, Computed, Example, Proof, Step, Table, Values, Words
from regard.model.attention import attend, attention_scores, attention_weights, weigh

_LARGEST = 89
"""The first integer whose power of e is none in float32."""


def _angles(length: float) -> Computed:
    query = torch.tensor([[length, 0.0]], dtype=REAL)
    keys = torch.tensor([[3, 0], [1, 1], [0, 2], [-1, 1], [-1, 0]], dtype=REAL)
    steps = steps_of(query, keys, keys, scale=1.0)
    lengths, size = keys.norm(dim=-1), float(query.norm())
    cosines = steps.scores[0] / (lengths * size)
    words = (
        Words("parallel", "平行"),
        Words("45 degrees", "夹角 45°"),
        Words("orthogonal", "正交"),
        Words("135 degrees", "夹角 135°"),
        Words("opposite", "反向"),
    )
    rows = tuple(
        (
            word,
            *key.tolist(),
            float(dot),
            float(cosine),
            float(cosine.clamp(-1, 1).acos().rad2deg()),
            float(weight),
        )
        for word, key, dot, cosine, weight in zip(
            words, keys, steps.scores[0], cosines, steps.weights[0], strict=True
        )
    )
    heads = ("k1", "k2", "q·k", "cos", Words("angle", "角度（°）"), Words("weight", "权重"))
    step = Step(
        Words(f"q = [{length:g}, 0] beside five keys", f"q = [{length:g}, 0] 与五个键"),
        Words(
            "The dot product is the two lengths times the cosine of the angle: positive when they point the"
            " same way, 0 when they are orthogonal, negative when they point apart. Unlike the cosine it"
            " grows with length, so a long key is heard more.",
            "点积等于两个长度之积再乘以夹角的余弦：同向为正，正交为 0，反向为负。"
            "与余弦不同，点积随长度增大，所以长的键“声音更大”。",
        ),
        "q·k = |q|·|k|·cos θ    weights = softmax(q·k)",
        (Table(Words("keys", "各个键"), (Words("key", "键"), *heads), rows),),
    )
    return (step,), (proved(query, keys, keys, steps, scale=1.0),)


def _size(score: int) -> Words:
    if score < _LARGEST:
        return Words(f"e^{score} still fits", f"e^{score} 还装得下")
    return Words(f"e^{score} is too large", f"e^{score} 太大了")


def _overflow(first: int) -> Computed:
    scores = torch.tensor([[first, first + 1, first + 2]], dtype=torch.float32)
    powers = scores.exp()
    library = attention_weights(scores[None, None])[0, 0]
    shifted = (scores - scores.max()).exp()
    naive, stable = powers / powers.sum(), shifted / shifted.sum()
    one = torch.ones(1, 1, 1, 1)
    identity = torch.eye(3)[None, None]
    fused = attend(one, scores.view(1, 1, 3, 1), identity, scale=1.0)[0, 0]
    step = Step(
        _size(first),
        Words(
            "float32 ends near e^88.7. Beyond it e^x is ∞, and ∞/∞ is not a number. Taking the largest"
            " score from all of them first changes nothing, since numerator and denominator are divided by"
            " the same, and no power is above 1.",
            "float32 最大约为 e^88.7，再大就成了 ∞，而 ∞/∞ 不是数（NaN）。"
            "先让所有分数减去最大值，分子分母同除一个数，结果不变，幂也都不超过 1。",
        ),
        "e^s / Σ e^s = e^(s - max) / Σ e^(s - max)",
        (
            Values(Words("scores", "分数"), scores),
            Values("e^s", powers),
            Values(Words("naive softmax", "直接计算的 softmax"), naive),
            Values("e^(s - max)", shifted, digits=4),
            Values(Words("stable softmax", "稳定的 softmax"), stable, digits=4),
        ),
    )
    return (step,), (
        Proof.of(
            Words("max subtracted = attention_weights()", "减去最大值 = attention_weights()"), stable, library
        ),
        Proof.of(Words("max subtracted = attend(), fused", "减去最大值 = 融合算子 attend()"), stable, fused),
    )


def _masks(seed: int) -> Computed:
    q, k, v = (random(3, 2, seed=seed)[None, None] for seed in range(seed, seed + 3))
    allowed = torch.tensor([[True, True, False], [True, True, True], [False, False, False]])
    scores = attention_scores(q, k)
    weights = attention_weights(scores, allowed)
    steps = Steps(scores[0, 0], weights[0, 0], weigh(weights, v)[0, 0])
    labels: dict[str, Any] = {"rows": named("q", 3), "columns": named("k", 3)}
    fused = attend(q, k, v, allowed)[0, 0]
    return (
        _seen(allowed, labels, steps),
        _masked(allowed, scores, steps, labels),
    ), (
        Proof.of(Words("masked steps = attend(), fused", "加掩码逐步计算 = 融合算子"), steps.out, fused),
        Proof.of(
            Words("the row that sees nothing gives zeros", "什么也看不见的行输出为零"),
            fused[-1],
            torch.zeros(2, dtype=REAL),
        ),
    )


def _seen(allowed: Tensor, labels: dict[str, Any], steps: Steps) -> Step:
    return Step(
        Words("Who may see whom; the third query sees nothing", "谁能看见谁；第三个查询什么也看不见"),
        Words(
            "Such rows exist: padding asks too. A mask must make forbidden weights exactly 0, in every row.",
            "这种行确实存在：填充位置也会提问。掩码必须让被禁止的权重在每一行里都恰好为 0。",
        ),
        "",
        (
            Values(Words("allowed", "允许"), allowed, **labels),
            Values(Words("scores", "分数"), steps.scores, **labels),
        ),
    )


def _masked(allowed: Tensor, scores: Tensor, steps: Steps, labels: dict[str, Any]) -> Step:
    large = (scores[0, 0].float() + (~allowed) * -1e9).softmax(-1)
    infinite = scores[0, 0].masked_fill(~allowed, float("-inf")).softmax(-1)
    half = torch.tensor(-1e9).half()
    tokens = (Words("-1e9 in float32", "float32 中的 -1e9"), Words("-1e9 in float16", "float16 中的 -1e9"))
    cells: tuple[tuple[Cell, ...], ...] = (
        (tokens[0], float(torch.tensor(-1e9))),
        (tokens[1], float(half)),
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
    return Step(
        Words("-1e9, -inf, and neither", "-1e9、-inf，以及更好的办法"),
        Words(
            "Adding -1e9 works where something may be seen. In the empty row float32 loses the scores"
            " beside 1e9, all become equal, and the query takes the mean of what it may not see. In"
            " float16 -1e9 does not exist. With -inf the empty row is 0/0. The library fills with the"
            " lowest finite number and sets forbidden weights to 0 afterwards: zeros, and a gradient of"
            " 0.",
            "只要一行里还有可见的词元，加 -1e9 就没问题。但在全被遮住的行里，float32"
            " 的精度会让分数淹没在 1e9 中，所有分数变得相等，查询反而把不该看的内容平均了一遍。float16"
            " 里根本没有 -1e9。用 -inf，全遮的行就是 0/0。本库先填入最小的有限数，再把被禁止的权重置"
            " 0：结果是零，梯度也是零。",
        ),
        "",
        (
            Values(Words("weights, -1e9 added", "加 -1e9 的权重"), large, **labels),
            Values(Words("weights, -inf", "用 -inf 的权重"), infinite, **labels),
            Values(Words("weights, regard", "本库的权重"), steps.weights, **labels),
            Table(last, (Words("mask", "掩码"), last), sums),
            Table(
                Words("the number itself", "这个数本身"),
                (Words("number", "数"), Words("is", "实际值")),
                cells,
            ),
        ),
    )


ANGLES = Example(
    "dot-product",
    Words("The dot product as an angle", "点积就是角度"),
    Words(
        "Parallel, orthogonal and opposite vectors, and what a softmax makes of them.",
        "平行、正交、反向的向量，以及 softmax 之后的样子。",
    ),
    _angles,
    (Real("length", Words("length of the query", "查询的长度"), 2.0, 0.1, 20.0),),
)
OVERFLOW = Example(
    "softmax-overflow",
    Words("Softmax without overflow", "不溢出的 softmax"),
    Words("Why the largest score is subtracted first.", "为什么要先减去最大的分数。"),
    _overflow,
    (Whole("first", Words("the first score", "第一个分数"), 1000, 0, 2000),),
)
MASKS = Example(
    "masks",
    Words("-1e9, -inf, and the row that sees nothing", "-1e9、-inf 与全被遮住的行"),
    Words("What a mask should be made of, and what goes wrong otherwise.", "掩码该用什么数，用错了会怎样。"),
    _masks,
    (Whole("seed", Words("random numbers", "随机数种子"), 11, 1, 999),),
)
