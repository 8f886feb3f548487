"""From one-hot to embedding: a lookup is a product with a one-hot vector, and training moves like to like."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

from regard.course.parts import REAL, Attention, build, example, gradient_descent, observe_attention, step
from regard.insight.neighbours import nearest
from regard.insight.parameters import Whole
from regard.insight.worked import Computed, Product, Proof, Step, Table, Values, Words
from regard.model.attention import AttentionConfig
from regard.model.embed import Tokens
from regard.model.feedforward import MLP
from regard.model.mask import Causal
from regard.model.stack import StackConfig
from regard.model.transformer import TransformerConfig

_ANIMALS, _FOODS = ("cat", "dog", "bird"), ("fish", "bread", "seeds")
_VOCABULARY = ("the", "eats", *_ANIMALS, *_FOODS)


@example(
    "one-hot",
    Words("From one-hot to embedding", "从独热编码到词嵌入"),
    "Sparse vectors, a lookup as a product, nearest neighbours in a trained table.",
    "稀疏向量、查表就是矩阵乘法、训练后词表中的最近邻。",
    Whole("steps", Words("training steps", "训练步数"), 60, 0, 300),
)
def one_hot(steps: int) -> Computed:
    attention = AttentionConfig(heads=1)
    stack = StackConfig(8, 1, attention, MLP(hidden=16), mask=Causal(), dropout=0.0)
    model = build(1, lambda: TransformerConfig(Tokens(len(_VOCABULARY), scale=False), stack).build())
    sentences = [["the", a, "eats", "the", f] for a in _ANIMALS for f in _FOODS]
    ids = torch.tensor([[_VOCABULARY.index(word) for word in words] for words in sentences])
    before = model.embed.weight.detach().clone()
    gradient_descent(
        model, lambda: F.cross_entropy(model(ids[:, :-1]).flatten(0, 1), ids[:, 1:].flatten()), steps, 0.5
    )
    table = model.embed.weight.detach()
    hot = F.one_hot(ids[0], len(_VOCABULARY)).to(REAL)
    _, seen = observe_attention(model, "stack.blocks.0.attention", lambda: model(ids[:1]))
    labels = tuple(sentences[0])
    return (_one_hot(hot, labels), _lookup(table, hot, labels), _neighbours(before, table, steps)), (
        Proof.of(
            Words("one-hot · E = lookup by the model", "独热 · E = 模型查表"),
            hot @ table,
            model.embed(ids[0]),
        ),
        Proof.of(
            Words("the model's attention in steps = fused", "模型中的注意力逐步计算 = 融合算子"),
            Attention(seen["q"], seen["k"], seen["v"], Causal()).out,
            seen["heads"],
        ),
    )


def _one_hot(hot: Tensor, labels: tuple[str, ...]) -> Step:
    share = float((hot == 0).double().mean())
    return step(
        Words("One-hot", "独热编码"),
        f"A word as a vector of the vocabulary's length: one 1, the rest 0. Here {share:.1%} are"
        " zeros; with a vocabulary of 30,000 it would be 99.997 %. And any two words are"
        " orthogonal: none is like another.",
        f"用与词表一样长的向量表示一个词：一个 1，其余全是 0。这里 {share:.1%} 是 0；词表若有 30,000"
        " 个词，则是 99.997 %。而且任意两个词都正交：谁和谁都不像。",
        Values(Words("one-hot", "独热"), hot, rows=labels, columns=_VOCABULARY),
    )


def _lookup(table: Tensor, hot: Tensor, labels: tuple[str, ...]) -> Step:
    return step(
        Words("Lookup = product", "查表 = 矩阵乘法"),
        "A one-hot row times a table picks out one row of it. So the product need not be done: the"
        " row is looked up.",
        "独热行乘以一张表，恰好取出其中一行。所以不必真的相乘，直接查那一行就行。",
        Values("E", table, rows=_VOCABULARY),
        Values(Words("one-hot · E", "独热 · E"), hot @ table, rows=labels, origin=Product(hot, table)),
        formula="embedding = one_hot·E = E[id]",
    )


def _neighbours(before: Tensor, table: Tensor, steps: int) -> Step:
    near = tuple((word, *_closest(before, word), *_closest(table, word)) for word in (*_ANIMALS, *_FOODS))
    return step(
        Words("Nearest neighbours", "最近邻"),
        f"The table was trained just now for {steps} steps to predict the next word of nine sentences: the"
        " <animal> eats the <food>. Words that stand in the same places move together.",
        f"这张表刚刚训练了 {steps} 步，任务是预测九个句子（the <动物> eats the <食物>）的下一个词。"
        "出现在相同位置的词会彼此靠近。",
        Table(
            Words("nearest by cosine", "余弦最近"),
            (Words("word", "词"), Words("before", "训练前"), "cos", Words("after", "训练后"), "cos "),
            near,
        ),
        formula="cos(E[a], E[b])",
    )


def _closest(table: torch.Tensor, word: str) -> tuple[str, float]:
    """Another word, the nearest, and its cosine."""
    place = _VOCABULARY.index(word)
    cosines, places = nearest(table[place : place + 1], table, 2)
    return _VOCABULARY[int(places[0, 1])], float(cosines[0, 1])
