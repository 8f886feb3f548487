"""Why not a recurrent net: path length, steps in a row, and gradient over distance, beside `nn.LSTM`
(arXiv 1706.03762, section 4 and table 1)."""

from __future__ import annotations

import torch
from torch import nn

from regard.course.parts import Attention, build, example, log_lines, observe_attention, random, step
from regard.insight.parameters import Whole
from regard.insight.worked import Computed, Label, Step, Table, Words
from regard.model.attention import AttentionConfig

_WIDTH = 16
_KINDS: tuple[Label, ...] = ("LSTM", Words("attention", "注意力"))
_DISTANCE = Words("places back", "距离")


@example(
    "why-not-recurrent",
    Words("Why not a recurrent net", "为什么不用循环网络"),
    "Path length, steps in a row and gradient over distance, beside an LSTM.",
    "与 LSTM 对比：路径长度、先后步数、梯度随距离的变化。",
    Whole("length", Words("words", "词数"), 64, 4, 128),
)
def why_not_recurrent(length: int) -> Computed:
    powers = (2**power for power in range(8))
    distances = (0, *(at for at in powers if at < length - 1), length - 1)
    attention = build(2, lambda: AttentionConfig(heads=2).build(_WIDTH))
    lstm = build(2, lambda: nn.LSTM(_WIDTH, _WIDTH, batch_first=True))
    aim = random(_WIDTH, seed=3)
    x = random(1, length, _WIDTH, seed=1).requires_grad_()
    gradients = {}
    for name, call in zip(_KINDS, (lambda: lstm(x)[0], lambda: attention(x)), strict=True):
        (gradient,) = torch.autograd.grad((call()[0, -1] * aim).sum(), x)
        gradients[name] = gradient[0].norm(dim=-1).flip(0).tolist()
    _, seen = observe_attention(attention, "", lambda: attention(x))
    return (_path_lengths(length), _gradients(distances, gradients)), (
        Attention(seen["q"], seen["k"], seen["v"]).proof(),
    )


def _path_lengths(length: int) -> Step:
    n, d = length, _WIDTH
    costs = (
        (Words("longest path between two words", "两词间最长路径"), n - 1, 1),
        (Words("steps that must wait for each other", "必须先后进行的步数"), n, 1),
        (Words("multiplications, order of", "乘法次数的量级"), n * d * d, n * n * d),
    )
    return step(
        Words("Paths and waiting", "路径与等待"),
        f"{n} words of width {d}. A recurrent net hands everything on from word to word, so the first is"
        f" {n - 1} steps from the last and no step can begin before the one before it is done. Attention"
        " joins any two words directly, all at once; its cost grows with the square of the length instead.",
        f"{n} 个词，宽度 {d}。循环网络一个词一个词地往下传：首尾相隔 {n - 1} 步，前一步没完，"
        "后一步就不能开始。注意力让任意两个词直接相连，全部同时计算；代价是计算量随长度的平方增长。",
        Table(Words("costs", "代价"), (Words("what", "项目"), *_KINDS), costs),
        formula="LSTM: O(n·d²)    attention: O(n²·d)",
    )


def _gradients(distances: tuple[int, ...], gradients: dict[Label, list[float]]) -> Step:
    rows = tuple((distance, *(lengths[distance] for lengths in gradients.values())) for distance in distances)
    return step(
        Words("Gradient over distance", "梯度随距离的变化"),
        "Length of the gradient of the last word's output with respect to the word so many places"
        " back, both nets untrained. The LSTM forgets what is far before it has learned to keep it;"
        " attention hears all distances alike (without positions it cannot even tell them apart).",
        "最后一个词的输出对若干位置之前的词求梯度，梯度的长度如下，两个网络都未经训练。LSTM 还没学会记住，就"
        "先忘了远处的词；注意力对各种距离一视同仁（没有位置信息时甚至分不出远近）。",
        Table(Words("length of the gradient", "梯度的长度"), (_DISTANCE, *_KINDS), rows, digits=5),
        formula="|∂ output_n / ∂ x_(n-d)|",
        figure=log_lines(
            Words("gradient over distance", "梯度随距离的变化"), gradients, _DISTANCE, mode="lines"
        ),
    )
