"""An image as a sentence: patches are words (ViT, arXiv 2010.11929, section 3.1)."""

from __future__ import annotations

from collections.abc import Mapping

import torch
import torch.nn.functional as F
from torch import Tensor

from regard.course.parts import Attention, Labels, build, example, observe, random, shape_table, step
from regard.insight.parameters import Choice
from regard.insight.worked import Computed, Proof, Step, Values, Words
from regard.model.attention import AttentionConfig
from regard.model.embed import PatchEmbedding, Patches
from regard.model.feedforward import MLP
from regard.model.head import Classes
from regard.model.mask import Contiguous
from regard.model.position import AddedTable, Learned, Sinusoidal2D
from regard.model.stack import StackConfig
from regard.model.transformer import TransformerConfig

_SIDE, _PATCH, _WIDTH = 28, 7, 16
_SHAPES = {
    "cross": Words("a drawn cross", "画了一个十字"),
    "bar": Words("a drawn bar", "画了一条横线"),
    "frame": Words("a drawn frame", "画了一个方框"),
}


@example(
    "image-as-sentence",
    Words("An image as a sentence", "把图像当作句子"),
    "28 × 28 pixels → 16 patches → + class token → (B, 17, D), shapes at each step.",
    "28 × 28 像素 → 16 个图块 → 加分类词元 → (B, 17, D)，每一步的形状。",
    Choice("drawn", Words("image", "图片"), "cross", tuple(_SHAPES.items())),
)
def image_as_sentence(drawn: str) -> Computed:
    patches = Patches(1, _SIDE, _SIDE, _PATCH)
    attention = AttentionConfig(heads=2)
    stack = StackConfig(_WIDTH, 2, attention, MLP(hidden=32), position=Learned(patches.length), dropout=0.0)
    model = build(1, lambda: TransformerConfig(patches, stack, Classes(10)).build())
    assert isinstance(model.embed, PatchEmbedding)
    assert isinstance(model.stack.position, AddedTable)
    image = _image(drawn)
    _, seen = observe(model, lambda: model(image))
    cut = image[0, 0].unflatten(1, (-1, _PATCH)).unflatten(0, (-1, _PATCH)).transpose(1, 2).flatten(0, 1)
    folded = F.conv2d(image, model.embed.weight, model.embed.bias, stride=_PATCH).flatten(2).transpose(1, 2)
    q, k, v, heads = (seen[f"stack.blocks.0.attention.{name}"][0] for name in ("q", "k", "v", "heads"))
    weights = seen["stack.blocks.0.attention.weights"][0]
    learned = model.stack.position.table.weight
    return (_patches(cut, drawn), _shapes(image, folded, seen), _weights(weights), _positions(learned)), (
        Proof.of(
            Words("patches times W = a convolution", "图块乘 W = 卷积"), folded, seen["embed.out"][:, 1:]
        ),
        Proof.of(
            Words("attention in steps = fused, in the model", "注意力逐步计算 = 模型中的融合算子"),
            Attention(q, k, v).out,
            heads,
        ),
    )


def _patches(cut: Tensor, drawn: str) -> Step:
    return step(
        Words("Cut into patches", "切成图块"),
        f"An image of {_SIDE} × {_SIDE} ({_SHAPES[drawn].en}) becomes 4 × 4 patches of {_PATCH} ×"
        f" {_PATCH}, read row by row like words. Shown is the second patch.",
        f"一张 {_SIDE} × {_SIDE} 的图（{_SHAPES[drawn].zh}）切成 4 × 4 个图块，每块 {_PATCH} ×"
        f" {_PATCH}，像读文字一样逐行读。下面是第二块。",
        Values(Words("patch 2", "第 2 块"), cut[1]),
    )


def _shapes(image: Tensor, folded: Tensor, seen: Mapping[str, Tensor]) -> Step:
    pooled = Words("mean of the vectors (or the class token alone)", "向量的平均（也可只取分类词元）")
    return step(
        Words("Shapes at each step", "每一步的形状"),
        "From pixels to classes; 17 = 16 patches and one class token.",
        "从像素到类别；17 = 16 个图块加一个分类词元。",
        shape_table(
            (Words("image (B, channels, H, W)", "图片 (B, 通道, 高, 宽)"), image.shape),
            (Words("16 patches of 49 pixels", "16 个图块，每块 49 个像素"), (1, 16, _PATCH**2)),
            (Words("times W: 16 vectors", "乘以 W：16 个向量"), folded.shape),
            (Words("+ class token", "加上分类词元"), seen["embed.out"].shape),
            (Words("+ positions", "加上位置"), seen["stack.input"].shape),
            (Words("after the blocks", "经过各块之后"), seen["stack.output"].shape),
            (pooled, seen["head.pooled"].shape),
            (Words("logits of 10 classes", "10 个类别的 logits"), seen["head.logits"].shape),
        ),
        formula="(B, 1, 28, 28) → (B, 16, 49) → (B, 16, D) → (B, 17, D) → (B, 10)",
    )


def _weights(weights: Tensor) -> Step:
    places: Labels = (Words("class", "分类"), *map(str, range(1, 17)))
    return step(
        Words("Patches attend to patches", "图块之间的注意力"),
        "The same attention as for words, with weights that are random still. Rows look at columns:"
        " the class token and patches 1 to 16.",
        "与文字完全相同的注意力，参数还是随机的。每行看各列：分类词元和第 1 到第 16 个图块。",
        Values(Words("weights, head 1", "权重，第 1 头"), weights[0], rows=places, columns=places),
    )


def _positions(learned: Tensor) -> Step:
    fixed = Sinusoidal2D(4, 1).build(_WIDTH, 2, 8).add(torch.zeros(1, 17, _WIDTH), Contiguous(0, 17))[0]
    grids = tuple(
        ((x @ x[6]) / x.norm(dim=1).clamp_min(1e-9) / x[6].norm())[1:].view(4, 4) for x in (fixed, learned)
    )
    return step(
        Words("Fixed and learned positions", "固定位置与可学习位置"),
        "Cosine of each patch's position with that of row 2, column 2. Fixed sines know the grid"
        " from the start (half of the width is for rows, half for columns); a learned table is"
        " random and must find it.",
        "每个图块的位置向量与第 2 行第 2 列那块的余弦。固定的正弦一开始就知道网格"
        "（一半宽度表示行，一半表示列）；可学习的表是随机的，要自己学出来。",
        Values(Words("fixed", "固定"), grids[0]),
        Values(Words("learned, untrained", "可学习，未训练"), grids[1]),
    )


def _image(shape: str) -> Tensor:
    """A shape with a little noise: (1, 1, 28, 28)."""
    image = 0.1 * random(1, 1, _SIDE, _SIDE, seed=3).abs()
    image[..., 12:16, 4:24] = 1
    if shape == "cross":
        image[..., 4:24, 12:16] = 1
    elif shape == "frame":
        image[..., 4:24, 4:24] = 1
        image[..., 8:20, 8:20] = 0
    return image
