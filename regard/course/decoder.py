"""The masked decoder under teacher forcing, and cross-attention, in a tiny translator that learns one
sentence while one waits (arXiv 1706.03762, sections 3.1 and 3.2.3)."""

from __future__ import annotations

from collections.abc import Mapping
from functools import lru_cache
from itertools import pairwise

import torch
import torch.nn.functional as F
from torch import Tensor

from regard.course import parts
from regard.course.parts import Attention, example, step
from regard.insight.parameters import Whole
from regard.insight.worked import Computed, Proof, Step, Table, Values, Words
from regard.model.attention import AttentionConfig
from regard.model.embed import Tokens
from regard.model.feedforward import MLP
from regard.model.head import vocabulary_loss
from regard.model.mask import Causal
from regard.model.stack import StackConfig
from regard.model.transformer import EncoderDecoder, EncoderDecoderConfig

_SOURCE = ("I", "am", "a", "student")
_TARGET = ("<s>", "我", "是", "一个", "学生", "</s>")
_STEPS = (Whole("steps", Words("training steps", "训练步数"), 12, 0, 100),)


@lru_cache(8)
def _translator(steps: int) -> EncoderDecoder:
    """Width 16, one block a side, after so many steps of training on the one pair."""
    attention = AttentionConfig(heads=2)
    encoder = StackConfig(16, 1, attention, MLP(hidden=32), dropout=0.0)
    decoder = StackConfig(16, 1, attention, MLP(hidden=32), mask=Causal(), cross=attention, dropout=0.0)
    config = EncoderDecoderConfig(
        Tokens(len(_SOURCE)), Tokens(len(_TARGET)), encoder, decoder, tying="two-way"
    )
    model = parts.build(7, lambda: EncoderDecoder(config))
    source, inputs, targets = _ids()
    parts.gradient_descent(model, lambda: F.cross_entropy(model(source, inputs)[0], targets[0]), steps)
    return model


def _ids() -> tuple[Tensor, Tensor, Tensor]:
    """Ids of the source, the decoder's inputs and its targets: (1, T) each."""
    target = torch.arange(len(_TARGET))[None]
    return torch.arange(len(_SOURCE))[None], target[:, :-1], target[:, 1:]


@example(
    "teacher-forcing",
    Words("The masked decoder and teacher forcing", "掩码解码器与教师强制"),
    "I am a student → 我是一个学生: what each place is given, sees, predicts and loses.",
    "I am a student → 我是一个学生：每个位置的输入、可见范围、预测与损失。",
    *_STEPS,
)
@torch.no_grad()
def teacher_forcing(steps: int) -> Computed:
    source, inputs, targets = _ids()
    model = _translator(steps)
    call = lambda: model(source, inputs)  # noqa: E731
    logits, seen = parts.observe_attention(model, "decoder.blocks.0.attention", call)
    before = F.cross_entropy(_translator(0)(source, inputs)[0], targets[0], reduction="none")
    losses = F.cross_entropy(logits[0], targets[0], reduction="none")
    total = vocabulary_loss(model.hidden(source, inputs)[0], model.head.weight, targets[0]) / len(losses)
    stepwise = torch.cat([model(source, inputs[:, : n + 1])[:, -1:] for n in range(inputs.shape[1])], 1)
    masked = Attention(seen["q"], seen["k"], seen["v"], Causal())
    predicted = _predictions(losses, logits[0].softmax(-1), steps, before)
    return (_shift(), _mask(seen["weights"]), predicted), (
        Proof.of(
            Words("mean of the losses = the library's loss", "各位置损失的平均 = 本库的损失"),
            losses.mean(),
            total.double(),
        ),
        Proof.of(Words("all places at once = one word at a time", "一次算完 = 逐词计算"), logits, stepwise),
        masked.proof(
            Words("masked self-attention in steps = attend(), fused", "掩码自注意力逐步计算 = 融合算子")
        ),
    )


def _shift() -> Step:
    return step(
        Words("Shifted by one", "错开一位"),
        "I am a student → 我是一个学生. While training, the decoder is given the right words so"
        " far, not its own: that is teacher forcing. Its input is the target shifted right, with"
        " <s> first; at each place it should say the next word.",
        "I am a student → 我是一个学生。训练时给解码器看的是正确的前文，而不是它自己的输出，"
        "这就叫“教师强制”。输入是右移一位的目标，以 <s> 开头；每个位置都要说出下一个词。",
        Table(
            Words("input and target", "输入与目标"),
            (Words("place", "位置"), Words("input", "输入"), Words("target", "目标")),
            tuple((i, a, b) for i, (a, b) in enumerate(pairwise(_TARGET))),
        ),
    )


def _mask(weights: Tensor) -> Step:
    inputs = _TARGET[:-1]
    return step(
        Words("What each place may see", "每个位置能看到什么"),
        "All places are computed at once; the mask keeps each from seeing what it should say. The"
        " weights are of the decoder's self-attention: above the diagonal they are 0.",
        "所有位置一次算完；掩码保证谁也看不到自己要说的词。下面是解码器自注意力的权重，对角线以上全为 0。",
        Values(parts.WEIGHTS, weights, inputs, inputs, parts.head_names(2)),
    )


def _predictions(losses: Tensor, probabilities: Tensor, steps: int, before: Tensor) -> Step:
    rows = []
    for place, (loss, p) in enumerate(zip(losses.tolist(), probabilities, strict=True)):
        best = zip(*(x.tolist() for x in p.topk(3)), strict=True)
        words = "  ".join(f"{_TARGET[i]}:{likely:.3f}" for likely, i in best)
        context, target = " ".join(_TARGET[: place + 1]), place + 1
        rows.append((_TARGET[place], context, words, _TARGET[target], float(p[target]), loss))
    return step(
        Words("Prediction and loss of each place", "每个位置的预测与损失"),
        f"This tiny model has been trained for {steps} steps on this one sentence, just now. The loss of a"
        " place is -ln of the probability that it gave the target; the loss of the sentence is their mean"
        f" ({float(losses.mean()):.4f}; before training {float(before.mean()):.4f}).",
        f"这个小模型刚刚在这一句上训练了 {steps} 步。每个位置的损失是目标词概率的负对数，"
        f"整句损失是它们的平均（{float(losses.mean()):.4f}；训练前为 {float(before.mean()):.4f}）。",
        Table(
            Words("places", "各个位置"),
            (
                Words("input", "输入"),
                Words("sees", "可见"),
                Words("top words", "概率最高的词"),
                Words("target", "目标"),
                "p",
                Words("loss", "损失"),
            ),
            tuple(rows),
            digits=4,
        ),
        formula="loss = mean over t of -ln p(y_t | y_<t, x)",
    )


@example(
    "cross-attention",
    Words("Encoder, decoder, cross-attention", "编码器、解码器与交叉注意力"),
    "How a decoder looks at what the encoder read.",
    "解码器怎样查看编码器读到的内容。",
    *_STEPS,
)
@torch.no_grad()
def cross_attention(steps: int) -> Computed:
    source, inputs, _ = _ids()
    model = _translator(steps)
    _, seen = parts.observe_attention(model, "decoder.blocks.0.cross", lambda: model(source, inputs))
    attention = Attention(seen["q"], seen["k"], seen["v"])
    return (_two_stacks(source, model.encode(source), seen), _cross_weights(attention, seen)), (
        Proof.of(
            Words("cross-attention in steps = the model's, fused", "交叉注意力逐步计算 = 模型中的融合算子"),
            attention.out,
            seen["heads"],
        ),
        Proof.of(
            Words("weights in steps = weights observed", "逐步计算的权重 = 观察到的权重"),
            attention.weights,
            seen["weights"],
        ),
    )


def _two_stacks(source: Tensor, memory: Tensor, seen: Mapping[str, Tensor]) -> Step:
    return step(
        Words("Two stacks", "两个堆叠"),
        "The encoder reads the source once, every word seeing every other. The decoder writes: its"
        " queries come from what is written so far, its keys and values from the encoder's output.",
        "编码器一次读完源句，词与词互相可见。解码器负责写：查询来自已写出的部分，键和值来自编码器的输出。",
        parts.shape_table(
            (Words("source ids", "源句 id"), source.shape),
            (Words("memory: the encoder's output", "记忆：编码器的输出"), memory.shape),
            (Words("keys and values, from memory", "键和值，来自记忆"), seen["k"][None].shape),
            (Words("queries, from the decoder", "查询，来自解码器"), seen["q"][None].shape),
            (Words("weights (B, H, T, S)", "权重 (B, H, T, S)"), seen["weights"][None].shape),
        ),
    )


def _cross_weights(attention: Attention, seen: Mapping[str, Tensor]) -> Step:
    heads = parts.head_names(2)
    return step(
        Words("Cross-attention", "交叉注意力"),
        "Rows are places of the decoder, columns words of the source. No mask: all of the source may"
        " be seen.",
        "行是解码器的位置，列是源句的词。没有掩码：源句全部可见。",
        Values("Q", seen["q"], _TARGET[:-1], sheets=heads),
        Values("K", seen["k"], _SOURCE, sheets=heads),
        Values("V", seen["v"], _SOURCE, sheets=heads),
        *parts.head_values({**seen, "scores": attention.scores}, _TARGET[:-1], _SOURCE),
        formula="softmax(Q_decoder·K_memoryᵀ / √C)·V_memory",
    )
