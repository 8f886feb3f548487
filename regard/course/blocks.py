"""What stands around attention in a block: Add & Norm and the feed-forward part (arXiv 1706.03762, sections
3.1 and 3.3; where the norm stands: arXiv 2002.04745)."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor, nn

from regard.course import parts
from regard.course.parts import OUTPUT, REAL, Attention, axis, example, random, seed, step
from regard.insight.parameters import Whole
from regard.insight.worked import Computed, Proof, Step, Table, Values, Words
from regard.model.attention import AttentionConfig
from regard.model.block import Block, BlockContext, Placement, PostNorm, PreNorm
from regard.model.feedforward import MLP, FeedForward
from regard.model.stack import StackConfig

_WIDTH = 16
_DEPTH = Words("depth", "深度")
_ROWS = axis("x", 3)


def _block(placement: Placement, width: int = _WIDTH) -> Block:
    parts = AttentionConfig(heads=2), MLP(hidden=2 * width)
    return Block(StackConfig(width, 1, *parts, placement=placement, dropout=0.0))


def _bare() -> nn.Module:
    """The same parts with nothing around them: what a block would be without Add & Norm."""
    return nn.Sequential(AttentionConfig(heads=2).build(_WIDTH), MLP(hidden=2 * _WIDTH).build(_WIDTH))


def _gradient(make: Callable[[], nn.Module], depth: int) -> float:
    """The length of the gradient at the input, of a random direction at the output."""
    blocks = parts.build(3, lambda: nn.ModuleList(make() for _ in range(depth)))
    y = x = random(1, 5, _WIDTH, seed=1).requires_grad_()
    for block in blocks:
        y = block(y, BlockContext(None)) if isinstance(block, Block) else block(y)
    return float(torch.autograd.grad((y * random(1, 5, _WIDTH, seed=2)).sum(), x)[0].norm())


@example(
    "add-and-norm",
    Words("Add & Norm", "残差连接与层归一化（Add & Norm）"),
    "A block in steps, and how the gradient changes with depth, with and without.",
    "逐步计算一个块，并比较有无残差与归一化时梯度随深度的变化。",
    Whole("deepest", Words("the deepest, as a power of 2", "最深的层数（2 的幂次）"), 5, 1, 6),
)
def add_and_norm(deepest: int) -> Computed:
    depths = tuple(2**power for power in range(deepest + 1))
    block = parts.build(2, lambda: _block(PostNorm(), 4))
    x = random(1, 3, 4, seed=1)
    around = BlockContext(None)
    fused = block(x, around)
    _, seen = parts.observe_attention(block, "attention", lambda: block(x, around))
    with torch.no_grad():
        attention = Attention(seen["q"], seen["k"], seen["v"])
        change = block.attention.out(attention.out.transpose(0, 1).flatten(1))
        added = x[0] + change
        mean, deviation = added.mean(-1, keepdim=True), added.var(-1, correction=0, keepdim=True).sqrt()
        normed = (added - mean) / (added.var(-1, correction=0, keepdim=True) + 1e-5).sqrt()
        after = normed + block.feedforward(normed)
        last = torch.nn.functional.layer_norm(after, (4,))
    return (_sum(x[0], change, added), _norm(mean, deviation, normed, last), _depths(depths)), (
        Proof.of(
            Words("the block in steps = the block, fused", "块逐步计算 = 块（融合算子）"), last, fused[0]
        ),
        attention.proof(Words("its attention in steps = attend()", "其中的注意力逐步计算 = attend()")),
    )


def _sum(x: Tensor, change: Tensor, added: Tensor) -> Step:
    return step(
        Words("Add", "相加"),
        "What attention makes is added to what it was given. The part has to learn only the change,"
        " and the gradient has a way past it.",
        "把注意力的输出加到它的输入上。这样该部分只需学习“改变量”，梯度也有了一条直路。",
        Values("x", x, _ROWS),
        Values("attention(x)", change, _ROWS),
        Values("x + attention(x)", added, _ROWS),
        formula="x + attention(x)",
    )


def _norm(mean: Tensor, deviation: Tensor, normed: Tensor, last: Tensor) -> Step:
    return step(
        Words("Norm", "归一化"),
        "Each row by itself is brought to mean 0 and deviation 1 over its width, then gets a"
        " learned gain and shift (1 and 0 here, as at the start).",
        "每一行各自在宽度方向上变成均值 0、标准差 1，再乘以可学习的增益、加上偏移（这里是初始的 1 和 0）。",
        Values(Words("mean", "均值"), mean, rows=_ROWS),
        Values(Words("deviation", "标准差"), deviation, rows=_ROWS),
        Values(Words("after the norm", "归一化之后"), normed, rows=_ROWS),
        Values(Words("output of the block", "整个块的输出"), last, rows=_ROWS),
        formula="LayerNorm(y) = (y - mean) / √(variance + ε)·gain + shift",
    )


def _depths(depths: tuple[int, ...]) -> Step:
    kinds = (
        (Words("neither", "都没有"), _bare),
        (Words("after (paper)", "后置（论文）"), lambda: _block(PostNorm())),
        (Words("before", "前置"), lambda: _block(PreNorm())),
    )
    sizes = {name: [_gradient(make, depth) for depth in depths] for name, make in kinds}
    rows = tuple((depth, *(sizes[name][i] for name, _ in kinds)) for i, depth in enumerate(depths))
    return step(
        Words("With and without: the gradient over depth", "有与没有：梯度随深度的变化"),
        "The length of the gradient that reaches the input, through ever more blocks. With neither it"
        f" vanishes ({rows[-1][1]:.1e} at depth {depths[-1]}); with Add & Norm it arrives.",
        f"传回输入端的梯度长度，块数逐渐增多。两者都没有时梯度消失（深度 {depths[-1]} 时为"
        f" {rows[-1][1]:.1e}），有了 Add & Norm，梯度就能传到。",
        Table(
            Words("length of the gradient at the input", "输入端梯度的长度"),
            (_DEPTH, *(name for name, _ in kinds)),
            rows,
            digits=4,
        ),
        figure=parts.log_lines(
            Words("gradient at the input over depth", "输入端的梯度随深度的变化"),
            sizes,
            _DEPTH,
            Words("gradient", "梯度"),
            x=depths,
            mode="lines+markers",
        ),
    )


@example(
    "feed-forward",
    Words("The feed-forward part", "前馈网络"),
    "Wider, bent, narrow again: each token by itself.",
    "变宽、过激活函数、变回原宽：逐个词元加工。",
    Whole("hidden_width", Words("numbers in between", "中间的宽度"), 8, 4, 32),
    seed(),
)
def feed_forward(hidden_width: int, seed: int) -> Computed:
    module = parts.build(4, lambda: FeedForward(4, MLP(hidden=hidden_width)))
    x = random(1, 3, 4, seed=seed)
    out, seen = parts.observe(module, lambda: module(x))
    with torch.no_grad():
        w2 = module.down.weight.T
        up = x[0] @ module.up.weight.T + module.up.bias
        hidden = up.clamp_min(0)
        down = hidden @ w2 + module.down.bias
        alone = torch.cat([module(x[:, i : i + 1]) for i in range(3)], 1)
    return (
        _up_projection(x[0], module, up),
        _activation(hidden),
        step(
            Words("Narrow again", "变回原宽"),
            "A second matrix brings it back to the width of the stream.",
            "第二个矩阵把它变回原来的宽度。",
            Values("W_2", w2),
            Values("b_2", module.down.bias),
            Values(OUTPUT, down, rows=_ROWS),
            formula="output = hidden·W_2 + b_2",
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


def _up_projection(x: Tensor, module: FeedForward, up: Tensor) -> Step:
    return step(
        Words("Wider", "变宽"),
        "Attention moves things between tokens; the feed-forward part works on each token by"
        " itself. First a matrix makes the vector wider.",
        "注意力在词元之间传递信息；前馈部分则对每个词元单独加工。先用一个矩阵把向量变宽。",
        Values("x", x, rows=_ROWS),
        Values("W_1", module.up.weight.T),
        Values("b_1", module.up.bias),
        Values("up", up, rows=_ROWS),
        formula="up = x·W_1 + b_1",
    )


def _activation(hidden: Tensor) -> Step:
    off = float((hidden == 0).to(REAL).mean())
    return step(
        Words("Bent: the activation", "激活函数"),
        f"What is below 0 becomes 0 (ReLU): here {off:.0%} of all numbers. Without this the two"
        " matrices would be one.",
        f"小于 0 的变成 0（ReLU）：这里占 {off:.0%}。没有这一步非线性，两个矩阵就等于一个。",
        Values("hidden", hidden, rows=_ROWS),
        formula="hidden = max(0, up)",
    )
