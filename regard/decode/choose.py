"""Which way a model is decoded: the fastest that does what the model's own modules do."""

from __future__ import annotations

from torch import Tensor

from regard.decode.fast import compiling, have_loops
from regard.decode.lean import LeanStepper, suits
from regard.decode.stepper import EncoderDecoderStepper, KeptPrompt, PromptStepper, Stepper
from regard.model.mask import Positions
from regard.model.transformer import EncoderDecoder, Transformer


def stepper_for(model: EncoderDecoder, source: Tensor, positions: Positions | None, capacity: int) -> Stepper:
    """Decodes from (B, S) source ids, whose places are `positions`; `capacity` is how many tokens an output
    will have, if that is known."""
    if have_loops():
        with compiling("the decoder's loops"):
            from regard.decode.native import native_stepper

        if (stepper := native_stepper(model, source, positions, capacity)) is not None:
            return stepper
    made = LeanStepper if suits(model, positions) else EncoderDecoderStepper
    return made(model, source, positions, capacity)


def prompt_stepper_for(
    model: Transformer, prompts: list[list[int]], capacity: int, kept: KeptPrompt | None = None
) -> Stepper:
    """Goes on from prompts; see `PromptStepper`."""
    if kept is None and have_loops():
        with compiling("the decoder's loops"):
            from regard.decode.native import native_prompt_stepper

        if (stepper := native_prompt_stepper(model, prompts, capacity)) is not None:
            return stepper
    return PromptStepper(model, prompts, capacity, kept)


def shareable(model: EncoderDecoder) -> bool:
    """Whether several threads can decode at the same time (`parallel.py`)."""
    if not have_loops():
        return False
    with compiling("the decoder's loops"):
        from regard.decode.native import suits_native

    return suits_native(model)
