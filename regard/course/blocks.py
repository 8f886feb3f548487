"""What stands around attention in a block: Add & Norm and the feed-forward part (arXiv 1706.03762, sections
3.1 and 3.3; where the norm stands: arXiv 2002.04745)."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn

from regard.course.parts import REAL, built, fused, named, observed, random, steps_of
from regard.insight.parameters import Whole
from regard.insight.plotting import graph_objects
from regard.insight.worked import Computed, Drawing, Example, Lang, Proof, Step, Table, Values, Words
from regard.model.attention import AttentionConfig
from regard.model.block import Block, BlockContext, Placement, PostNorm, PreNorm
from regard.model.feedforward import MLP, FeedForward
from regard.model.norm import LayerNorm

_WIDTH = 16


def _block(placement: Placement, width: int = _WIDTH) -> Block:
    return Block(width, AttentionConfig(heads=2), MLP(hidden=2 * width), LayerNorm(), placement, 0.0)


class _Bare(nn.Module):
    """The same parts with nothing around them: what a block would be without Add & Norm."""

    def __init__(self) -> None:
        super().__init__()
        self.attention = AttentionConfig(heads=2).build(_WIDTH)
        self.feedforward = MLP(hidden=2 * _WIDTH).build(_WIDTH)

    def forward(self, x: Tensor) -> Tensor:
        return self.feedforward(self.attention(x))


class _Stack(nn.Module):
    """Blocks one on another."""

    def __init__(self, blocks: list[nn.Module]) -> None:
        super().__init__()
        self.blocks = nn.ModuleList(blocks)

    def forward(self, x: Tensor) -> Tensor:
        for block in self.blocks:
            x = block(x, BlockContext(None)) if isinstance(block, Block) else block(x)
        return x


def _gradient(make: Any, depth: int) -> float:
    """The length of the gradient at the input, of a random direction at the output."""
    stack = built(3, lambda: _Stack([make() for _ in range(depth)]))
    x = random(1, 5, _WIDTH, seed=1).requires_grad_()
    (stack(x) * random(1, 5, _WIDTH, seed=2)).sum().backward()
    assert x.grad is not None
    return float(x.grad.norm())


def _add_and_norm(deepest: int) -> Computed:
    depths = tuple(2**power for power in range(deepest + 1))
    block = built(2, lambda: _block(PostNorm(), 4))
    x = random(1, 3, 4, seed=1)
    around = BlockContext(None)
    fused_out = block(x, around)
    _, seen = observed(block, "attention.*", call=lambda: block(x, around))
    with torch.no_grad():
        q, k, v = (seen[f"attention.{name}"][0] for name in "qkv")
        heads = steps_of(q, k, v).out
        made = block.attention.out(heads.transpose(0, 1).flatten(1))
        added = x[0] + made
        mean, deviation = added.mean(-1, keepdim=True), added.var(-1, correction=0, keepdim=True).sqrt()
        normed = (added - mean) / (added.var(-1, correction=0, keepdim=True) + 1e-5).sqrt()
        after = normed + block.feedforward(normed)
        last = torch.nn.functional.layer_norm(after, (4,))
    labels = named("x", 3)
    return (
        _added(made, added, x, labels),
        _normed(mean, deviation, normed, last, labels),
        _deeper(depths),
    ), (
        Proof.of(
            Words("the block in steps = the block, fused", "块逐步计算 = 块（融合算子）"), last, fused_out[0]
        ),
        Proof.of(
            Words("its attention in steps = attend()", "其中的注意力逐步计算 = attend()"),
            heads,
            fused(q, k, v),
        ),
    )


def _added(made: Tensor, added: Tensor, x: Tensor, labels: tuple[str, ...]) -> Step:
    return Step(
        Words("Add", "相加"),
        Words(
            "What attention makes is added to what it was given. The part has to learn only the change,"
            " and the gradient has a way past it.",
            "把注意力的输出加到它的输入上。这样该部分只需学习“改变量”，梯度也有了一条直路。",
        ),
        "x + attention(x)",
        (
            Values("x", x[0], rows=labels),
            Values("attention(x)", made, rows=labels),
            Values("x + attention(x)", added, rows=labels),
        ),
    )


def _normed(mean: Tensor, deviation: Tensor, normed: Tensor, last: Tensor, labels: tuple[str, ...]) -> Step:
    return Step(
        Words("Norm", "归一化"),
        Words(
            "Each row by itself is brought to mean 0 and deviation 1 over its width, then gets a"
            " learned gain and shift (1 and 0 here, as at the start).",
            "每一行各自在宽度方向上变成均值 0、标准差 1，再乘以可学习的增益、加上偏移（这里是初始的 1 和"
            " 0）。",
        ),
        "LayerNorm(y) = (y - mean) / √(variance + ε)·gain + shift",
        (
            Values(Words("mean", "均值"), mean, rows=labels),
            Values(Words("deviation", "标准差"), deviation, rows=labels),
            Values(Words("after the norm", "归一化之后"), normed, rows=labels),
            Values(Words("output of the block", "整个块的输出"), last, rows=labels),
        ),
    )


def _deeper(depths: tuple[int, ...]) -> Step:
    kinds = (
        (Words("neither", "都没有"), _Bare),
        (Words("after (paper)", "后置（论文）"), lambda: _block(PostNorm())),
        (Words("before", "前置"), lambda: _block(PreNorm())),
    )
    sizes = {name: [_gradient(make, depth) for depth in depths] for name, make in kinds}
    rows = tuple((depth, *(sizes[name][i] for name, _ in kinds)) for i, depth in enumerate(depths))
    return Step(
        Words("With and without: the gradient over depth", "有与没有：梯度随深度的变化"),
        Words(
            "The length of the gradient that reaches the input, through ever more blocks. With neither it"
            f" vanishes ({rows[-1][1]:.1e} at depth {depths[-1]}); with Add & Norm it arrives.",
            f"传回输入端的梯度长度，块数逐渐增多。两者都没有时梯度消失（深度 {depths[-1]} 时为"
            f" {rows[-1][1]:.1e}），有了 Add & Norm，梯度就能传到。",
        ),
        "",
        (
            Table(
                Words("length of the gradient at the input", "输入端梯度的长度"),
                (Words("depth", "深度"), *(name for name, _ in kinds)),
                rows,
                digits=4,
            ),
        ),
        Drawing(
            Words("gradient at the input over depth", "输入端的梯度随深度的变化"),
            lambda lang: _draw(depths, sizes, lang),
        ),
    )


def _draw(depths: tuple[int, ...], sizes: dict[Words, list[float]], lang: Lang) -> Any:
    go = graph_objects()
    lines = [go.Scatter(x=depths, y=y, name=name.of(lang), mode="lines+markers") for name, y in sizes.items()]
    depth = Words("depth", "深度").of(lang)
    layout = {
        "xaxis": {"title": {"text": depth}},
        "yaxis": {
            "type": "log",
            "exponentformat": "power",
            "title": {"text": Words("gradient", "梯度").of(lang)},
        },
    }
    return go.Figure(lines, layout)


def _feedforward(hidden_width: int, seed: int) -> Computed:
    module = built(4, lambda: FeedForward(4, MLP(hidden=hidden_width)))
    x = random(1, 3, 4, seed=seed)
    out, seen = observed(module, "hidden", call=lambda: module(x))
    with torch.no_grad():
        w1, w2 = module.up.weight.T, module.down.weight.T
        up = x[0] @ w1 + module.up.bias
        hidden = up.clamp_min(0)
        down = hidden @ w2 + module.down.bias
        alone = torch.cat([module(x[:, i : i + 1]) for i in range(3)], 1)
    labels = named("x", 3)
    off = float((hidden == 0).to(REAL).mean())
    return (
        Step(
            Words("Wider", "变宽"),
            Words(
                "Attention moves things between tokens; the feed-forward part works on each token by"
                " itself. First a matrix makes the vector wider.",
                "注意力在词元之间传递信息；前馈部分则对每个词元单独加工。先用一个矩阵把向量变宽。",
            ),
            "up = x·W_1 + b_1",
            (
                Values("x", x[0], rows=labels),
                Values("W_1", w1),
                Values("b_1", module.up.bias),
                Values("up", up, rows=labels),
            ),
        ),
        Step(
            Words("Bent: the activation", "激活函数"),
            Words(
                f"What is below 0 becomes 0 (ReLU): here {off:.0%} of all numbers. Without this the two"
                " matrices would be one.",
                f"小于 0 的变成 0（ReLU）：这里占 {off:.0%}。没有这一步非线性，两个矩阵就等于一个。",
            ),
            "hidden = max(0, up)",
            (Values("hidden", hidden, rows=labels),),
        ),
        Step(
            Words("Narrow again", "变回原宽"),
            Words(
                "A second matrix brings it back to the width of the stream.", "第二个矩阵把它变回原来的宽度。"
            ),
            "output = hidden·W_2 + b_2",
            (
                Values("W_2", w2),
                Values("b_2", module.down.bias),
                Values(Words("output", "输出"), down, rows=labels),
            ),
        ),
    ), (
        Proof.of(Words("in steps = the module", "逐步计算 = 模块"), down, out[0]),
        Proof.of(
            Words("hidden in steps = hidden observed", "逐步计算的隐藏值 = 观察到的"),
            hidden,
            seen["hidden"][0],
        ),
        Proof.of(Words("each token alone = all together", "单独计算 = 一起计算"), alone, out),
    )


ADD_AND_NORM = Example(
    "add-and-norm",
    Words("Add & Norm", "残差连接与层归一化（Add & Norm）"),
    Words(
        "A block in steps, and how the gradient changes with depth, with and without.",
        "逐步计算一个块，并比较有无残差与归一化时梯度随深度的变化。",
    ),
    _add_and_norm,
    (Whole("deepest", Words("the deepest, as a power of 2", "最深的层数（2 的幂次）"), 5, 1, 6),),
)
FEED_FORWARD = Example(
    "feed-forward",
    Words("The feed-forward part", "前馈网络"),
    Words("Wider, bent, narrow again: each token by itself.", "变宽、过激活函数、变回原宽：逐个词元加工。"),
    _feedforward,
    (
        Whole("hidden_width", Words("numbers in between", "中间的宽度"), 8, 4, 32),
        Whole("seed", Words("random numbers", "随机数种子"), 1, 1, 999),
    ),
)
