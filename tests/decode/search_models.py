"""Models of every variant that is decoded, and every way to decode them."""

from __future__ import annotations

import copy
from collections.abc import Callable
from dataclasses import replace

import pytest
import reference
import torch
from torch import Tensor

from regard.decode.choose import stepper_for
from regard.decode.lean import LeanStepper, suits
from regard.decode.native import NativeStepper
from regard.decode.search import Hypothesis, Limits, beam_search, greedy
from regard.decode.stepper import EncoderDecoderStepper, Stepper
from regard.model.attention import AttentionConfig
from regard.model.block import PreNorm, SandwichNorm
from regard.model.embed import Tokens
from regard.model.feedforward import MLP, GatedMLP
from regard.model.mask import Causal, Full, Positions, Ragged, Window
from regard.model.norm import RMSNorm
from regard.model.position import ALiBi, Learned, NoPosition, RelativeBias, Rotary, Sinusoidal
from regard.model.score import Additive, Cosine, Sigmoid, Sinks
from regard.model.stack import StackConfig
from regard.model.transformer import EncoderDecoder, EncoderDecoderConfig

BOS, EOS, V = 1, 2, 11
CPU = torch.device("cpu")
Make = Callable[[EncoderDecoder, Tensor, Positions | None, int], Stepper]

PLAIN = StackConfig(20, 2, AttentionConfig(5), MLP(23), Causal(), position=Sinusoidal(), dropout=0.1)
VARIANTS = {
    "sinusoidal": PLAIN,
    "learned": replace(PLAIN, position=Learned(19)),
    "none": replace(PLAIN, position=NoPosition()),
    "rotary": replace(PLAIN, position=Rotary()),
    "half rotary": replace(PLAIN, position=Rotary(100.0, 0.5, True), placement=PreNorm()),
    "cross rotary": replace(PLAIN, position=Rotary(), cross_position=True),
    "cross half rotary": replace(
        PLAIN, position=Rotary(50.0, 0.5, True), cross_position=True, placement=PreNorm()
    ),
    "cross relative": replace(PLAIN, position=RelativeBias(bidirectional=False), cross_position=True),
    "cross and grouped": replace(
        PLAIN, position=Rotary(), cross_position=True, attention=AttentionConfig(6, kv_heads=2, head_width=4)
    ),
    "alibi": replace(PLAIN, position=ALiBi()),
    "relative": replace(PLAIN, position=RelativeBias(bidirectional=False)),
    "pre": replace(PLAIN, placement=PreNorm()),
    "sandwich": replace(PLAIN, placement=SandwichNorm(), norm=RMSNorm()),
    "entry": replace(PLAIN, entry_norm=True, feedforward=GatedMLP(17)),
    "grouped": replace(PLAIN, attention=AttentionConfig(6, kv_heads=2, head_width=4)),
    "wide heads": replace(PLAIN, attention=AttentionConfig(3, head_width=8, bias=False)),
    "additive": replace(PLAIN, attention=AttentionConfig(5, score=Additive())),
    "window": replace(PLAIN, mask=Window(2)),
    **{
        score.kind: replace(PLAIN, attention=AttentionConfig(5, score=score))
        for score in (Cosine(), Sigmoid(), Sinks())
    },
}
NATIVE = {"sinusoidal", "learned", "none", "rotary", "half rotary", "pre", "wide heads"}
NATIVE |= {"cross rotary", "cross half rotary"}
BIASED = {"alibi", "relative", "cross relative"}
LEAN = (
    VARIANTS.keys()
    - BIASED
    - {"grouped", "cross and grouped", "additive", "window", "cosine", "sigmoid", "sinks"}
)
variants = pytest.mark.parametrize("variant", VARIANTS)

SOURCES = [[3, 4, 5, 6, 7, EOS], [8, EOS], [9, 10, 3, 3, EOS], [5, 5, 5, EOS], [4, EOS]]
LIMITS = [9, 7, 3, 8, 1]


def built(variant: str = "sinusoidal", vocab: int = V, sharp: float = 2.0) -> EncoderDecoder:
    """A model whose answers are neither all long nor all short, nor sure of themselves."""
    stack = VARIANTS[variant]
    cross = replace(stack.attention, kv_heads=None) if variant != "grouped" else stack.attention
    decoder = replace(stack, cross=cross)
    table = Tokens(vocab)
    model = EncoderDecoderConfig(table, table, replace(stack, mask=Full()), decoder, tying="none").build()
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.add_(torch.randn_like(parameter) * 0.2)
        model.head.weight.mul_(sharp)
        model.head.weight[EOS].mul_(2.0)
    return model.eval()


def batch(model: EncoderDecoder, sources: list[list[int]], make: Make, capacity: int = 3) -> Stepper:
    lengths = torch.tensor([len(source) for source in sources])
    longest = int(lengths.max())
    source = torch.tensor([ids + [0] * (longest - len(ids)) for ids in sources])
    padded = bool((lengths != longest).any())
    return make(model, source, Ragged.from_lengths(lengths, longest) if padded else None, capacity)


@torch.inference_mode()
def greedily(
    model: EncoderDecoder, sources: list[list[int]], limits: list[int], make: Make
) -> list[list[int]]:
    return greedy(batch(model, sources, make), Limits(BOS, EOS, limits), CPU)


@torch.inference_mode()
def beamed(
    model: EncoderDecoder,
    sources: list[list[int]] = SOURCES,
    limits: list[int] = LIMITS,
    make: Make = stepper_for,
    *,
    width: int,
    alpha: float = 0.6,
    n: int = 1,
) -> list[list[Hypothesis]]:
    stepper = batch(model, sources, make)
    return beam_search(stepper, Limits(BOS, EOS, limits), CPU, width=width, alpha=alpha, n=n)


def same(got: list[Hypothesis], want: list[reference.Found]) -> None:
    assert [h.tokens for h in got] == [f.tokens for f in want]
    assert [h.ended for h in got] == [f.ended for f in want]
    assert [h.log_probability for h in got] == pytest.approx([f.log_probability for f in want], abs=1e-4)
    assert [h.score for h in got] == pytest.approx([f.score for f in want], abs=1e-4)


def lean(model: EncoderDecoder, source: Tensor, positions: Positions | None, capacity: int) -> Stepper:
    """What is chosen where there are no compiled loops."""
    made = LeanStepper if suits(model, positions) else EncoderDecoderStepper
    return made(model, source, positions, capacity)


def by_parts(model: EncoderDecoder, source: Tensor, positions: Positions | None, capacity: int) -> Stepper:
    """What is chosen for many rows, and for large models."""
    stepper = stepper_for(model, source, positions, capacity)
    if isinstance(stepper, NativeStepper):
        stepper._engine = copy.copy(stepper._engine)
        stepper._engine.packed = None
    return stepper


WAYS = [stepper_for, by_parts, lean, EncoderDecoderStepper]
ways = pytest.mark.parametrize("make", WAYS, ids=["chosen", "by parts", "lean", "modules"])
