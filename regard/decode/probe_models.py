"""Small models on which compiled loops are compared with the plain path; all loops are compiled and run.

Widths fill no tile. Steppers are walked with the same tokens, so that a near-tie between two tokens does not
matter; how tokens are chosen is compared on the same logits. For the process of `probe.py`, where nothing is
chosen by itself.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

import torch
from torch import Tensor

from regard.decode import loops
from regard.decode.lean import LeanStepper
from regard.decode.native import native_prompt_stepper, native_stepper
from regard.decode.search import best_continuations
from regard.decode.stepper import PromptStepper, Stepper
from regard.model.block import PreNorm
from regard.model.head import Vocabulary
from regard.model.mask import Causal, Ragged
from regard.model.position import Rotary, Sinusoidal
from regard.model.presets import Size, encoder_decoder, one_stack
from regard.model.quantize import quantize
from regard.model.transformer import EncoderDecoder, Transformer

_SIZE = Size(2, 2, 36, 76, 3, 0.0)
_VOCAB, _STEPS, _PLACES = 211, 7, 3
_FLOATS, _BYTES = 1e-4, 0.1
"""Of the largest logit: rounding; and 8 bits, where a sum that was rounded otherwise can be one level off."""
_LENGTHS = [9, 5, 7, 2, 6]

PLAIN = encoder_decoder(_SIZE, source_vocab=_VOCAB, target_vocab=_VOCAB)
"""Of the kind whose decoder becomes one loop nest."""

Difference = tuple[str, float, float]
"""What was tried, by how much it differed, and how much is allowed."""


@torch.inference_mode()
def differences() -> Iterator[Difference]:
    """By how much the compiled loops differ from torch in everything that decoding does with them."""
    torch.set_num_threads(1)
    torch.manual_seed(1)
    yield from _choices()
    rotary = encoder_decoder(
        _SIZE,
        source_vocab=_VOCAB,
        target_vocab=_VOCAB,
        position=Rotary(),
        placement=PreNorm(),
        activation="gelu",
    )
    gpt = one_stack(
        _SIZE, vocab=_VOCAB, mask=Causal(), head=Vocabulary(), position=Rotary(), placement=PreNorm()
    )
    after = replace(gpt, stack=replace(gpt.stack, placement=PLAIN.decoder.placement, position=Sinusoidal()))
    for name, config, walked in (
        ("translation", PLAIN, _translated),
        ("translation with rotary positions", rotary, _translated),
        ("text generation", gpt, _continued),
        ("text generation, norms after sums", after, _continued),
    ):
        model = built(config.build())
        yield f"{name}, float32", walked(model), _FLOATS
        yield f"{name}, int8", walked(quantize(model)), _BYTES


def built(model: torch.nn.Module) -> torch.nn.Module:
    """Weights that make answers unlike one another, and biases that are not 0."""
    for parameter in model.parameters():
        parameter.add_(torch.randn_like(parameter) * 0.1)
    return model.eval()


def _translated(model: torch.nn.Module) -> float:
    assert isinstance(model, EncoderDecoder)
    longest = max(_LENGTHS)
    source = torch.randint(_VOCAB, (len(_LENGTHS), longest))
    at = Ragged.from_lengths(torch.tensor(_LENGTHS), longest)
    compiled = native_stepper(model, source, at, _STEPS)
    assert compiled is not None
    return _walked(compiled, LeanStepper(model, source, at, _STEPS))


def _continued(model: torch.nn.Module) -> float:
    assert isinstance(model, Transformer)
    prompts = [torch.randint(_VOCAB, (length,)).tolist() for length in _LENGTHS]
    compiled = native_prompt_stepper(model, prompts, 2)
    assert compiled is not None
    return _walked(compiled, PromptStepper(model, prompts, 2))


def _walked(compiled: Stepper, plain: Stepper) -> float:
    """The largest difference of logits over some steps, of greedy search, of beams, and of fewer inputs."""
    inputs, worst = len(_LENGTHS), 0.0

    def step(rows: int) -> None:
        nonlocal worst
        tokens = torch.randint(_VOCAB, (rows,))
        got, want = compiled.step(tokens), plain.step(tokens)
        difference = (got - want).abs().max() / want.abs().max()
        worst = float(torch.maximum(torch.tensor(worst), difference))  # NaN stays

    def both(rows: Tensor, kept: Tensor | None = None) -> None:
        for stepper in (compiled, plain):
            if kept is None:
                stepper.reorder(rows)
            else:
                stepper.keep(kept, rows)

    step(inputs)
    both(torch.arange(inputs).repeat_interleave(_PLACES))
    for _ in range(_STEPS - 4):
        step(inputs * _PLACES)
        parents = torch.randint(_PLACES, (inputs, _PLACES)) + _PLACES * torch.arange(inputs)[:, None]
        both(parents.view(-1))
    left = torch.tensor([0, 3])
    both((left[:, None] * _PLACES + torch.arange(_PLACES)).view(-1), left)
    step(len(left) * _PLACES)
    both(torch.tensor([1]), torch.tensor([0]))
    step(1)
    return worst


def _choices() -> Iterator[Difference]:
    """How tokens are chosen from logits: exactly as torch does."""
    logits = torch.randn(2 * _PLACES, _VOCAB) * 3
    tokens = torch.empty(len(logits), dtype=torch.long)
    loops.most_likely(logits.numpy(), tokens.numpy())
    yield "the most likely token", float((tokens != logits.argmax(-1)).sum()), 0.0
    totals = torch.randn(2, _PLACES)
    want = best_continuations(logits, totals, 4)
    best, (parents, tokens) = torch.empty((2, 4)), torch.empty((2, 2, 4), dtype=torch.long)
    loops.continuations(*(x.numpy() for x in (logits, totals, best, parents, tokens)))
    yield "beams", float((best - want[0]).abs().max()), 1e-4
    different = (parents != want[1]).sum() + (tokens != want[2]).sum()
    yield "the tokens of beams", float(different), 0.0
