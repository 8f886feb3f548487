"""Which way a model is decoded: the fastest that does what the model's own modules do."""

from __future__ import annotations

from torch import Tensor

from regard.decode.fast import have_loops
from regard.decode.lean import LeanStepper, suits
from regard.decode.speculative import SpeculativeStepper
from regard.decode.stepper import EncoderDecoderStepper, KeptPrompt, PromptStepper, Stepper
from regard.model.mask import Positions
from regard.model.transformer import EncoderDecoder, Transformer


def stepper_for(model: EncoderDecoder, source: Tensor, positions: Positions | None, capacity: int) -> Stepper:
    """Decodes from (B, S) source ids, whose places are `positions`; `capacity` is how many tokens an output
    will have, if that is known."""
    if _looped(model):
        from regard.decode.native import native_stepper

        if (stepper := native_stepper(model, source, positions, capacity)) is not None:
            return stepper
    made = LeanStepper if suits(model, positions) else EncoderDecoderStepper
    return made(model, source, positions, capacity)


def _looped(model: EncoderDecoder | Transformer) -> bool:
    """Whether there are loops for it; on another device they would be compiled for nothing."""
    return next(model.parameters()).device.type == "cpu" and have_loops()


def prompt_stepper_for(
    model: Transformer, prompts: list[list[int]], capacity: int, kept: KeptPrompt | None = None
) -> Stepper:
    """Goes on from prompts; see `PromptStepper`."""
    if kept is None and (stepper := _native(model, prompts, capacity)) is not None:
        return stepper
    return PromptStepper(model, prompts, capacity, kept)


def speculative_stepper_for(
    model: Transformer, prompt: list[int], guess: list[int], capacity: int
) -> Stepper:
    """Goes on from one prompt, after which `guess` is likely to be written."""

    def otherwise(ids: list[int], read: KeptPrompt) -> Stepper:
        stepper = _native(model, [ids], capacity, read)
        return PromptStepper(model, [ids], capacity, read) if stepper is None else stepper

    return SpeculativeStepper(model, prompt, guess, capacity, otherwise)


def _native(
    model: Transformer, prompts: list[list[int]], capacity: int, read: KeptPrompt | None = None
) -> Stepper | None:
    """`read`: what was read of the prompt; the stepper does not add to it."""
    if not _looped(model):
        return None
    from regard.decode.native import native_prompt_stepper

    return native_prompt_stepper(model, prompts, capacity, read)


def shareable(model: EncoderDecoder) -> bool:
    """Whether several threads can decode at the same time (`parallel.py`)."""
    if not _looped(model):
        return False
    from regard.decode.native import suits_native

    return suits_native(model)
