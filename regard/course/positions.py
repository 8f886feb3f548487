"""How order enters, and what happens without it: the ways of `model/position.py` side by side."""

from __future__ import annotations

from functools import partial
from typing import Any

import torch
from torch import Tensor

from regard.course.parts import REAL, Attention, build, example, random, step
from regard.insight.parameters import Real, Whole
from regard.insight.plotting import graph_objects
from regard.insight.worked import Cell, Computed, Drawing, Lang, Proof, Step, Table, Values, Words
from regard.model.mask import Contiguous
from regard.model.position import Learned, Rotary, Sinusoidal, rotate, sinusoids

_STARTS, _DISTANCES = (0, 5, 11), tuple(range(0, 17, 4))
_MEANING = ("猫", "喜欢", "吃", "鱼")
_SWAPPED = [3, 1, 2, 0]
"""Where each word of the one sentence stands in the other."""


@example(
    "positions",
    Words("Positional encoding", "位置编码"),
    "Sines and cosines, learned and rotary positions, and a permuted sentence.",
    "正余弦、可学习与旋转位置编码，以及打乱的句子。",
    Whole("length", Words("positions", "位置个数"), 32, 26, 128),
    Whole("pairs", Words("pairs of columns: half the width", "列的对数（宽度的一半）"), 8, 1, 32),
)
def positions(length: int, pairs: int) -> Computed:
    width = 2 * pairs
    table = sinusoids(torch.arange(length), width).to(REAL)
    zeros, positions = torch.zeros(1, length, width, dtype=REAL), Contiguous(0, length)
    learned, added = (
        build(3, partial(part.build, width, 1, width)).add(zeros, positions)[0].detach()
        for part in (Learned(length), Sinusoidal())
    )
    q, k = random(1, width, seed=1), random(1, width, seed=2)
    rotated = torch.stack([torch.stack([_rotary_score(q, k, s, s + d) for d in _DISTANCES]) for s in _STARTS])
    x = random(4, width, seed=4)
    order = torch.tensor([2, 0, 3, 1])
    return (_sines(table), _similarity(table, learned), _rotary(rotated), _permutation()), (
        Proof.of(Words("the formula = the library's position part", "公式 = 本库的位置模块"), table, added),
        Proof.of(
            Words("permuting the input permutes the output, fused", "打乱输入只会打乱输出（融合算子）"),
            _of_itself(x).out[order],
            _of_itself(x[order]).fused,
        ),
        Proof.of(
            Words("rotary scores depend on distance alone", "旋转编码的分数只取决于距离"),
            rotated,
            rotated[:1].expand_as(rotated),
        ),
        _of_itself(3 * (x + table[:4])).proof(),
    )


def _of_itself(x: Tensor) -> Attention:
    """Self-attention without projections."""
    return Attention(x, x, x)


def _sines(table: Tensor) -> Step:
    length, width = table.shape
    return step(
        Words("Sines and cosines of the position", "位置的正弦与余弦"),
        "Each pair of columns is a clock hand that turns at its own speed, from once in 2π"
        " positions to once in almost 10000·2π. Together they tell every position from every other.",
        "每两列是一根指针，各有各的转速：最快的每 2π 个位置转一圈，最慢的接近 10000·2π"
        " 个位置才转一圈。合在一起，任何两个位置都能区分。",
        Values("PE", table[:6], rows=tuple(map(str, range(6)))),
        formula="PE(p, 2i) = sin(p / 10000^(2i/D))    PE(p, 2i+1) = cos(p / 10000^(2i/D))",
        figure=Drawing(
            Words(f"PE: {length} positions, width {width}", f"PE：{length} 个位置，宽度 {width}"),
            lambda lang: _heat(table, lang),
        ),
    )


def _similarity(table: Tensor, learned: Tensor) -> Step:
    similar, tables = table @ table.T, (table @ table.T, learned @ learned.T)
    near = tuple((d, *(float(x[at, at + d]) for x in tables for at in (0, 9))) for d in _DISTANCES)
    return step(
        Words("Similarity depends on distance", "相似度取决于距离"),
        "PE(p)·PE(p + d) is Σ cos(d·rate): it depends on the distance d alone, not on p. A learned"
        " table has no such law before it is trained: its rows are random.",
        "PE(p)·PE(p + d) = Σ cos(d·频率)，只取决于距离 d，与 p 无关。"
        "可学习的位置表在训练之前没有这种规律：各行都是随机的。",
        Table(
            Words("similarity over distance", "相似度随距离的变化"),
            (
                Words("distance", "距离"),
                Words("sines, from 0", "正弦，从 0 起"),
                Words("sines, from 9", "正弦，从 9 起"),
                Words("learned, from 0", "可学习，从 0 起"),
                Words("learned, from 9", "可学习，从 9 起"),
            ),
            near,
        ),
        formula="PE(p)·PE(p + d) = Σ_i cos(d / 10000^(2i/D))",
        figure=Drawing(Words("PE·PEᵀ", "PE·PEᵀ"), lambda lang: _heat(similar, lang, square=True)),
    )


def _rotary(rotated: Tensor) -> Step:
    spread = float((rotated - rotated[0]).abs().max())
    return step(
        Words("Rotary: queries and keys are turned", "旋转位置编码：转动查询和键"),
        "Nothing is added. Query and key are turned by an angle that grows with their position, and the"
        f" score of the same two vectors depends on distance alone: rows differ by {spread:.1e} at most.",
        "不加任何东西，而是把查询和键按各自的位置转一个角度。同样两个向量的分数只取决于距离："
        f"各行最多相差 {spread:.1e}。",
        Values(
            Words("score of q at p and k at p + d", "q 在 p、k 在 p + d 时的分数"),
            rotated,
            rows=tuple(f"p = {s}" for s in _STARTS),
            columns=tuple(f"d = {d}" for d in _DISTANCES),
        ),
        formula="score = (R_p·q)·(R_{p+d}·k)",
    )


def _permutation() -> Step:
    return step(
        Words("A permuted sentence without positions", "没有位置信息时打乱句子"),
        "Without positions attention sees a bag of vectors: give it the tokens in another order and"
        " the same outputs come out in that order. The proof below holds to the last digits.",
        "没有位置信息，注意力看到的只是一堆不分先后的向量：换个顺序输入，输出只是跟着换顺序，数值不变。下面的验"
        "证精确到末位。",
        formula="attend(x[order]) = attend(x)[order]",
    )


def _rotary_score(q: Tensor, k: Tensor, at: int, other: int) -> Tensor:
    part = Rotary().build(q.shape[-1], 1, q.shape[-1]).to(REAL)
    rotations = (part.rotation(Contiguous(place, 1), q.device) for place in (at, other))
    pairs = zip((q, k), rotations, strict=True)
    one, two = (rotate(x[None, None], rotation)[0, 0, 0] for x, rotation in pairs if rotation is not None)
    return one @ two


def _heat(table: Tensor, lang: Lang, *, square: bool = False) -> Any:
    go = graph_objects()
    heat = go.Heatmap(z=table.tolist(), colorscale="RdBu", zmid=0, meta={"scale": "signed"})
    axes = [Words("column", "列"), Words("position", "位置")]
    layout = {
        "xaxis": {"title": {"text": axes[int(square)].of(lang)}},
        "yaxis": {"title": {"text": axes[1].of(lang)}, "autorange": "reversed"},
    }
    return go.Figure(heat, layout)


@example(
    "order-matters",
    Words("Order matters: 猫喜欢吃鱼, 鱼喜欢吃猫", "顺序很重要：猫喜欢吃鱼，鱼喜欢吃猫"),
    "The same words in another order, with and without positions.",
    "同样的词换个顺序，有无位置信息的差别。",
    Real("strength", Words("positions, times", "位置编码的倍数"), 1.0, 0.0, 5.0),
)
def order_matters(strength: float) -> Computed:
    one = random(4, 8, seed=6)
    other = one[_SWAPPED]
    at = sinusoids(torch.arange(4), 8).to(REAL) * strength
    bare = [_of_itself(x) for x in (one, other)]
    placed = [_of_itself(x + at) for x in (one, other)]
    return (_inputs(one, at), _distances(bare, placed)), (
        *(steps.proof() for steps in placed),
        Proof.of(
            Words(
                "without positions both sentences give the same, fused",
                "没有位置时两句的输出相同（融合算子）",
            ),
            bare[0].fused,
            bare[1].fused[_SWAPPED],
        ),
    )


def _inputs(one: Tensor, at: Tensor) -> Step:
    return step(
        Words("The same words, another meaning", "同样的词，不同的意思"),
        "猫喜欢吃鱼: cats like to eat fish. 鱼喜欢吃猫: fish like to eat cats. The vectors of the"
        " words are random, the same in both sentences.",
        "“猫喜欢吃鱼”与“鱼喜欢吃猫”：词一样，顺序不同。词向量是随机的，两句里相同。",
        Values("X", one, rows=_MEANING),
        Values(Words("positions", "位置编码"), at, rows=("0", "1", "2", "3")),
    )


def _distances(bare: list[Attention], placed: list[Attention]) -> Step:
    gaps = [(pair[0].out - pair[1].out[_SWAPPED]).norm(dim=1).tolist() for pair in (bare, placed)]
    rows: list[tuple[Cell, ...]] = list(zip(_MEANING, *gaps, strict=True))
    mean = [float((pair[0].out.mean(0) - pair[1].out.mean(0)).norm()) for pair in (bare, placed)]
    rows.append((Words("mean of the sentence", "整句平均"), *mean))
    swapped = tuple(_MEANING[i] for i in _SWAPPED)
    return step(
        Words("How far each word moved", "每个词变了多少"),
        "Distance between what a word becomes in one sentence and in the other. Without positions it is 0:"
        " the model cannot know who eats whom. With positions every word, and the sentence, is different.",
        "同一个词在两句中的输出相距多远。没有位置信息时距离为 0：模型无从知道谁吃谁。加上位置之后，每"
        "个词和整句都变了。",
        Table(
            Words("distances", "距离"),
            (Words("word", "词"), Words("without positions", "无位置"), Words("with positions", "有位置")),
            tuple(rows),
        ),
        *(
            Values(
                Words(f"weights, {''.join(x)}, with", f"“{''.join(x)}”的权重，有位置"), steps.weights, x, x
            )
            for steps, x in zip(placed, (_MEANING, swapped), strict=True)
        ),
        formula="|output(猫 in 猫喜欢吃鱼) - output(猫 in 鱼喜欢吃猫)|",
    )
