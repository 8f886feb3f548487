"""Members of the family: one line each, data only.

`base` and `big` of `ENCODER_DECODER` are the paper's (arXiv 1706.03762, table 3). `tiny` and `small` are for
small data on small machines: more dropout, and in `tiny` a narrower feed-forward part than the paper's four
times the width. Those of `VIT` with a name like `vit-b16` are the papers' (arXiv 2010.11929, table 1; `ti`
and `s` arXiv 2012.12877, table 1), the others suit small images. This file knows no task and no vocabulary.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

from regard.model.attention import AttentionConfig
from regard.model.block import Placement, PreNorm
from regard.model.embed import Patches, Tokens
from regard.model.feedforward import MLP, Activation
from regard.model.head import Classes, Head, Vocabulary
from regard.model.init import Init, Xavier
from regard.model.mask import Causal, Full, MaskRule
from regard.model.norm import LayerNorm, Norm
from regard.model.position import Learned, Position
from regard.model.stack import StackConfig
from regard.model.transformer import EncoderDecoderConfig, TransformerConfig, Tying


@dataclass(frozen=True)
class Size:
    """What tells one member from another: N of both stacks, D, F, H and the dropout rate."""

    encoder_depth: int
    decoder_depth: int
    width: int
    hidden: int
    heads: int
    dropout: float


ENCODER_DECODER: dict[str, Size] = {
    "micro": Size(2, 2, 64, 256, 4, 0.1),
    "mini": Size(3, 3, 128, 512, 4, 0.1),
    "tiny": Size(4, 4, 128, 256, 4, 0.3),
    "small": Size(6, 6, 256, 1024, 4, 0.3),
    "base": Size(6, 6, 512, 2048, 8, 0.1),
    "big": Size(6, 6, 1024, 4096, 16, 0.3),
}


@dataclass(frozen=True)
class ImageSize:
    """What tells one Vision Transformer from another: N, D, F, H, the side of a patch and the dropout
    rate."""

    depth: int
    width: int
    hidden: int
    heads: int
    patch: int
    """0 leaves it to the images."""
    dropout: float


VIT: dict[str, ImageSize] = {
    "micro": ImageSize(2, 64, 128, 4, 0, 0.0),
    "mini": ImageSize(4, 64, 128, 4, 0, 0.0),
    "tiny": ImageSize(6, 64, 128, 4, 0, 0.0),
    "small": ImageSize(6, 128, 512, 4, 0, 0.1),
    "base": ImageSize(8, 256, 1024, 8, 0, 0.1),
    "big": ImageSize(12, 384, 1536, 6, 0, 0.1),
    "vit-ti16": ImageSize(12, 192, 768, 3, 16, 0.0),
    "vit-s16": ImageSize(12, 384, 1536, 6, 16, 0.0),
    "vit-b16": ImageSize(12, 768, 3072, 12, 16, 0.1),
    "vit-b32": ImageSize(12, 768, 3072, 12, 32, 0.1),
    "vit-l16": ImageSize(24, 1024, 4096, 16, 16, 0.1),
}

_LEARNED = Learned()
_PAPER = StackConfig(width=0, depth=0)  # a stack's own defaults are the paper's
_INIT = Xavier()
_HEAD = Vocabulary()


def encoder_decoder(
    size: Size,
    *,
    source_vocab: int = 0,
    target_vocab: int = 0,
    tying: Tying = "three-way",
    placement: Placement = _PAPER.placement,
    norm: Norm = _PAPER.norm,
    position: Position = _PAPER.position,
    activation: Activation = "relu",
    init: Init = _INIT,
) -> EncoderDecoderConfig:
    """An encoder–decoder of this size, everything else as in the paper unless said otherwise.

    A vocabulary of 0 is left to the tokenizer that is yet to come.
    """
    encoder = _stack(size, size.encoder_depth, Full(), placement, norm, position, activation)
    decoder = replace(encoder, depth=size.decoder_depth, mask=Causal(), cross=encoder.attention)
    return EncoderDecoderConfig(Tokens(source_vocab), Tokens(target_vocab), encoder, decoder, tying, init)


def one_stack(
    size: Size,
    *,
    vocab: int = 0,
    mask: MaskRule,
    head: Head = _HEAD,
    placement: Placement = _PAPER.placement,
    norm: Norm = _PAPER.norm,
    position: Position = _PAPER.position,
    activation: Activation = "relu",
    init: Init = _INIT,
) -> TransformerConfig:
    """One stack of this size: a GPT if its mask is causal, a BERT if it is full."""
    stack = _stack(size, size.encoder_depth, mask, placement, norm, position, activation)
    return TransformerConfig(Tokens(vocab), stack, head, init)


def vit(size: ImageSize, *, position: Position = _LEARNED, init: Init = _INIT) -> TransformerConfig:
    """A Vision Transformer (arXiv 2010.11929) of this size, for images and classes that are yet to come."""
    stack = _stack(size, size.depth, Full(), PreNorm(), LayerNorm(eps=1e-6), position, "gelu")
    return TransformerConfig(Patches(patch=size.patch), stack, Classes(pooling="first"), init)


def _stack(
    size: Size | ImageSize,
    depth: int,
    mask: MaskRule,
    placement: Placement,
    norm: Norm,
    position: Position,
    activation: Activation,
) -> StackConfig:
    return StackConfig(
        width=size.width,
        depth=depth,
        attention=AttentionConfig(heads=size.heads),
        feedforward=MLP(hidden=size.hidden, activation=activation),
        mask=mask,
        position=position,
        norm=norm,
        placement=placement,
        dropout=size.dropout,
    )
