"""Members of the family: one line each, data only.

`base` and `big` are the paper's (arXiv 1706.03762, table 3). `tiny` and `small` are for small data on
small machines: more dropout, and in `tiny` a narrower feed-forward part than the paper's four times the
width. This file knows no task and no vocabulary.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

from regard.model.attention import AttentionConfig
from regard.model.block import Placement
from regard.model.embed import Tokens
from regard.model.feedforward import MLP, Activation
from regard.model.head import Head, Vocabulary
from regard.model.init import Init, Xavier
from regard.model.mask import Causal, Full, MaskRule
from regard.model.norm import Norm
from regard.model.position import Position
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
    encoder = _stack(size, Full(), placement, norm, position, activation)
    cross = encoder.attention
    decoder = replace(encoder, depth=size.decoder_depth, mask=Causal(), cross=cross)
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
    return TransformerConfig(
        Tokens(vocab), _stack(size, mask, placement, norm, position, activation), head, init
    )


def _stack(
    size: Size, mask: MaskRule, placement: Placement, norm: Norm, position: Position, activation: Activation
) -> StackConfig:
    return StackConfig(
        width=size.width,
        depth=size.encoder_depth,
        attention=AttentionConfig(heads=size.heads),
        feedforward=MLP(hidden=size.hidden, activation=activation),
        mask=mask,
        position=position,
        norm=norm,
        placement=placement,
        dropout=size.dropout,
    )
