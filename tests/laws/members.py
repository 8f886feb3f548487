"""A sample of every member of every registry, and small models made of each.

A new member that can be made without arguments is picked up by itself; one that needs arguments fails
here until it is given a sample.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import torch
from torch import Tensor

from regard.model.attention import AttentionConfig
from regard.model.block import Placement
from regard.model.embed import Embed, Patches, Tokens, TokenTypes
from regard.model.feedforward import FeedForwardPart
from regard.model.head import Classes, Head, TokenClasses, Transform, Vector, Vocabulary
from regard.model.init import Init
from regard.model.mask import Causal, Full, MaskRule, Prefix, Ragged, Window
from regard.model.norm import Norm, RMSNorm
from regard.model.position import (
    ALiBi,
    Learned,
    LearnedAndRelative,
    Position,
    RelativeBias,
    Rotary,
    Rotary2D,
    Sinusoidal2D,
)
from regard.model.rotary_scaling import Yarn
from regard.model.score import Score
from regard.model.stack import StackConfig
from regard.model.transformer import (
    EncoderDecoder,
    EncoderDecoderConfig,
    Transformer,
    TransformerConfig,
    Tying,
)
from regard.registry import members_of

V, D, DEPTH = 13, 20, 2

SAMPLES: dict[type, tuple[Any, ...]] = {
    Window: (Window(2), Window(0), Window(2, 1)),
    Prefix: (Prefix(3),),
    Learned: (Learned(37),),
    LearnedAndRelative: (LearnedAndRelative(37),),
    Rotary: (
        Rotary(),
        Rotary(base=100.0, fraction=0.5, interleaved=True),
        Rotary(base=100.0, scaling=Yarn(4.0, 3)),
    ),
    Sinusoidal2D: (Sinusoidal2D(columns=3, leading=1),),
    Rotary2D: (Rotary2D(columns=3, leading=1, base=10.0),),
    Vocabulary: (Vocabulary(), Vocabulary(tied=False)),
    Classes: (
        Classes(3),
        Classes(3, "first"),
        Classes(3, "first-and-second"),
        Classes(3, "first-and-mean", Transform("relu")),
        Classes(3, "first-and-mean", skipped=2),
    ),
    TokenClasses: (TokenClasses(3),),
    Vector: (Vector(), Vector("first", normalised=False)),
    Tokens: (
        Tokens(V),
        Tokens(V, scale=False),
        Tokens(V, types=TokenTypes(2, separator=3)),
        Tokens(V, types=TokenTypes(3, separator=None)),
    ),
    Patches: (
        Patches(3, 14, 22, 2),
        Patches(1, 10, 10, 5, class_token=False),
        Patches(1, 10, 10, 5, registers=2),
    ),
}


def members(base: type) -> list[Any]:
    return [sample for kind in members_of(base) or () for sample in SAMPLES.get(kind) or (kind(),)]


MASKS: list[MaskRule] = members(MaskRule)
POSITIONS: list[Position] = members(Position)
INITS: list[Init] = members(Init)
OUTPUTS: list[Head] = members(Head)
EMBEDS: list[Embed] = members(Embed)

STEPWISE: list[MaskRule] = [Causal(), Window(2), Window(0), Prefix(3)]
"""Rules under which a token never sees a later one, but for a prefix that comes at once."""

HEADS = {
    "multi-head": AttentionConfig(heads=5),
    "grouped": AttentionConfig(heads=6, kv_heads=2, head_width=4),
    "normed": AttentionConfig(heads=5, norm=RMSNorm(), out_bias=False),
    "multi-query": AttentionConfig(heads=3, kv_heads=1, head_width=4, bias=False),
}

BASE = StackConfig(D, DEPTH, HEADS["multi-head"], mask=Causal(), position=Rotary())


def name(member: Any) -> str:
    return repr(member).replace("()", "")


def parts() -> dict[str, StackConfig]:
    """`BASE` with each of its parts replaced by every other member of its union."""
    found = {f"{key}": replace(BASE, attention=heads) for key, heads in HEADS.items()}
    found |= {
        name(score): replace(BASE, attention=replace(HEADS["grouped"], score=score))
        for score in members(Score)
    }
    for field, union in (
        ("position", Position),
        ("norm", Norm),
        ("placement", Placement),
        ("feedforward", FeedForwardPart),
    ):
        found |= {name(member): replace(BASE, **{field: member}) for member in members(union)}
    found |= {
        f"cross {position.kind}": replace(BASE, position=position, cross_position=True)
        for position in (Rotary(), ALiBi(), RelativeBias(), Learned(37), Rotary2D(3))
    }
    return found | {
        "entry norm": replace(BASE, entry_norm=True),
        "narrow entry": replace(BASE, entry_width=8),
        "narrow entry, learned, normed": replace(BASE, entry_width=8, entry_norm=True, position=Learned(37)),
    }


PARTS = parts()
MASKED = {f"{name(mask)}-{key}": replace(part, mask=mask) for mask in MASKS for key, part in PARTS.items()}
"""Every mask with every part."""
STEPPED = {key: part for key, part in MASKED.items() if part.mask in STEPWISE}
STEPPED |= {
    "window, then all": replace(BASE, masks=(Window(2), Causal())),
    "all, then a window, grouped": replace(BASE, attention=HEADS["grouped"], masks=(Causal(), Window(1))),
}


def transformer(stack: StackConfig) -> Transformer:
    """With weights large enough that a mistake shows, and none left at zero or one."""
    return lively(TransformerConfig(Tokens(V), stack, Vocabulary(tied=stack.entry_width is None)).build())


def embedded(embed: Embed) -> tuple[Transformer, Tensor]:
    """A model that reads through it, and two inputs. What reads images, or types, sees all of them."""
    bare = isinstance(embed, Tokens) and embed.types is None
    stack = BASE if bare else replace(BASE, mask=Full())
    model = lively(TransformerConfig(embed, stack, Classes(3)).build())
    if isinstance(embed, Tokens):
        return model, ids(2, 5)
    return model, torch.randn(2, embed.channels, embed.pixel_rows, embed.pixel_columns)


def encoder_decoder(stack: StackConfig, source: MaskRule = Full()) -> EncoderDecoder:  # noqa: B008
    """Two stacks of the same parts; the decoder has `stack`'s mask."""
    encoder = replace(stack, mask=source)
    decoder = replace(stack, cross=replace(stack.attention, kv_heads=None))
    tying: Tying = "three-way" if stack.entry_width is None else "embeddings"
    return lively(EncoderDecoderConfig(Tokens(V), Tokens(V), encoder, decoder, tying).build())


def lively(model: Any) -> Any:
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.add_(torch.randn_like(parameter) * 0.2)
    return model.eval()


def ids(*shape: int) -> Tensor:
    return torch.randint(0, V, shape)


def sees(rule: MaskRule, query: int, key: int) -> bool:
    """Each rule once more, in plain words."""
    match rule:
        case Full():
            return True
        case Causal():
            return key <= query
        case Window():
            return query - rule.before <= key <= query + rule.after
        case Prefix():
            return key <= query or key < rule.length
    raise NotImplementedError(f"say here what {rule} means")


def left(lengths: Tensor, length: int) -> Ragged:
    return Ragged.from_lengths(lengths, length, "left")


def close(got: Tensor, want: Tensor) -> None:
    torch.testing.assert_close(got, want, atol=2e-5, rtol=1e-4)
