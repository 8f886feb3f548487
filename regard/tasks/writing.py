"""Texts that become longer token by token: what tasks that write have in common.

It does not know where prompts come from.
"""

from __future__ import annotations

from collections.abc import Iterator

import torch
from torch import nn

from regard.data.tokenizer import Tokenizer
from regard.decode.choose import prompt_stepper_for
from regard.decode.sampling import Sampler, Sampling
from regard.decode.stepper import KeptPrompt
from regard.errors import InputError
from regard.model.transformer import Transformer
from regard.tasks.task import Decoding

_ROOM = 1024  # new tokens for which memory is taken in advance; a context may be many times that


def outputs_of(prompts: list[list[int]], tokenizer: Tokenizer, decoding: Decoding) -> list[Output]:
    """Nothing written yet. Raises: InputError for a search that this is not."""
    if decoding.beam > decoding.n:
        raise InputError("text-generation draws its tokens one by one; it has no beam")
    return [Output(prompt, tokenizer, decoding.stop) for prompt in prompts]


@torch.inference_mode()
def write(
    model: nn.Module,
    outputs: list[Output],
    decoding: Decoding,
    context: int,
    kept: KeptPrompt | None = None,
) -> Iterator[None]:
    """Make the outputs longer by a token each time; the model sees at most `context` tokens of each.

    `kept`: of a single one, what was read of its prompt before; in the end, of all of it.
    """
    assert isinstance(model, Transformer)
    device = model.device
    sampling = decoding.sampling or Sampling(temperature=0.0)
    vocabulary = model.embed.weight.shape[0]
    sampler = Sampler(sampling, [output.ids for output in outputs], vocabulary, device)
    stepper = None
    for _ in range(decoding.max_length or context):
        if not outputs:
            return
        moved = [output.move(context) for output in outputs]
        if stepper is None or any(moved):
            seen = [output.ids[output.start :] for output in outputs]
            room = min(context, len(max(seen, key=len)) + _ROOM)
            stepper = prompt_stepper_for(model, seen, room, kept)
            tokens = torch.tensor([ids[-1] for ids in seen], device=device)
        tokens, shares = sampler.draw(stepper.step(tokens))
        if kept is not None and kept.cache is not None:
            kept.ids = outputs[0].ids[outputs[0].start :][: kept.cache.length]
        for output, token, share in zip(outputs, tokens.tolist(), shares.tolist(), strict=True):
            output.add(token, share)
        yield
        rest = [row for row, output in enumerate(outputs) if not output.ended]
        if len(rest) < len(outputs):
            places = torch.tensor(rest, dtype=torch.long, device=device)
            if rest:
                stepper.keep(places, places)
                sampler.keep(places)
            outputs, tokens = [outputs[row] for row in rest], tokens[places]


class Output:
    """A prompt and what was written after it, until the end token or the first of some strings."""

    def __init__(self, prompt: list[int], tokenizer: Tokenizer, stop: tuple[str, ...]) -> None:
        self.tokenizer, self.stop = tokenizer, stop
        self.ids, self.begin = list(prompt), len(prompt)
        self.start = 0
        """From where on the model sees it."""
        self.text = ""
        self.ended = False
        self._total = 0.0  # log-probability
        self._count = 0

    def move(self, context: int) -> bool:
        """Whether it has outgrown the context, so that only the last half of that is seen from now on. Of a
        prompt that is too long, as much is seen as there is room for."""
        if len(self.ids) - self.start <= context:
            return False
        keep = context if len(self.ids) == self.begin else max(1, context // 2)
        self.start = len(self.ids) - keep
        return True

    @property
    def score(self) -> float:
        """The mean log-probability of its tokens, the end token included."""
        return self._total / max(1, self._count)

    def add(self, token: int, log_probability: float) -> None:
        self._total += log_probability
        self._count += 1
        if token in self.tokenizer.ends:
            self.ended = True
            return
        self.ids.append(token)
        self.text = self.tokenizer.decode(self.ids[self.begin :])
        found = [at for at in (self.text.find(string) for string in self.stop if string) if at >= 0]
        if found:
            self.text, self.ended = self.text[: min(found)], True
