"""Texts that become longer token by token: what tasks that write have in common.

It does not know where prompts come from.
"""

from __future__ import annotations

from collections.abc import Iterator

import torch
from torch import nn

from regard.data.tokenizer import Tokenizer
from regard.decode.choose import guessed_stepper_for, prompt_stepper_for
from regard.decode.constraints import NO_RULES, Rules
from regard.decode.finite import check_tokens
from regard.decode.sampling import Sampler, Sampling, generator_of
from regard.decode.stepper import Forced, KeptPrompt, Stepper
from regard.decode.witness import Step, listening, tell
from regard.model.transformer import Transformer
from regard.tasks.task import Decoding

_TIMES = 4  # tokens remembered for one that is read, since of each text one is computed at a time
_ROOM = 1024  # new tokens for which memory is taken in advance; a context may be many times that


def outputs_of(prompts: list[list[int]], tokenizer: Tokenizer, decoding: Decoding) -> list[Output]:
    """Nothing written yet."""
    return [Output(prompt, tokenizer, decoding.stop) for prompt in prompts]


def write_all(
    model: nn.Module, outputs: list[Output], decoding: Decoding, context: int, rules: Rules = NO_RULES
) -> None:
    """Write all outputs to their ends, so many side by side as memory should hold the keys and values of."""
    assert isinstance(model, Transformer)
    chance = generator_of(decoding.sampling, model.device)
    most = _TIMES * decoding.batch_tokens
    while outputs:
        longest = len(outputs[0].ids)
        count = 0
        for output in outputs:
            longest = max(longest, len(output.ids))
            seen = min(context, longest + (decoding.max_length or context))
            if count and (count + 1) * seen > most:
                break
            count += 1
        some, outputs = outputs[:count], outputs[count:]
        for _ in write(model, some, decoding, context, chance=chance, rules=rules):
            pass


@torch.inference_mode()
def write(
    model: nn.Module,
    outputs: list[Output],
    decoding: Decoding,
    context: int,
    kept: KeptPrompt | None = None,
    chance: torch.Generator | None = None,
    rules: Rules = NO_RULES,
) -> Iterator[None]:
    """Make the outputs longer by a token each time; the model sees at most `context` tokens of each.

    `chance`: what draws are made with, where others were made before. `kept`: of a single one, what was read
    of its prompt before; in the end, of all of it. `rules`: what the model's outputs must be like.
    """
    assert isinstance(model, Transformer)
    device = model.device
    sampling = decoding.sampling or Sampling(temperature=0.0)
    vocabulary = model.embed.weight.shape[0]
    sampler = Sampler(sampling, [output.ids for output in outputs], vocabulary, device, chance)
    stepper = None
    most, parents = rules.most(decoding.max_length or context), [0] * len(outputs)
    for number in range(most):
        if not outputs:
            return
        moved = [output.move(context) for output in outputs]
        grown = (model.stack.position.anew(len(output.ids) - output.start) for output in outputs)
        if stepper is None or any(moved) or any(grown):
            seen = [output.ids[output.start :] for output in outputs]
            room = min(context, len(max(seen, key=len)) + _ROOM)
            stepper = _stepper(model, seen, room, kept, decoding.guess[number:])
            written = [output.ids[:-1] for output in outputs]
            stepper = rules.around(
                stepper, written, outputs[0].tokenizer.ends, [output.begin for output in outputs]
            )
            stepper = Forced(stepper, decoding.begin[number:]) if decoding.begin[number:] else stepper
            tokens = torch.tensor([ids[-1] for ids in seen], device=device)
        tokens, shares = sampler.draw(stepper.step(tokens))
        if kept is not None and kept.cache is not None:
            kept.ids = outputs[0].ids[outputs[0].start :][: kept.cache.length]
        for output, token, share in zip(outputs, check_tokens(tokens.tolist()), shares.tolist(), strict=True):
            output.add(token, share)
        if listening():
            _tell(outputs, tokens.tolist(), parents, last=number + 1 == most)
        yield
        parents = rest = [row for row, output in enumerate(outputs) if not output.ended]
        if len(rest) < len(outputs):
            places = torch.tensor(rest, dtype=torch.long, device=device)
            if rest:
                stepper.keep(places, places)
                sampler.keep(places)
            outputs, tokens = [outputs[row] for row in rest], tokens[places]


def _stepper(
    model: Transformer, seen: list[list[int]], room: int, kept: KeptPrompt | None, guess: tuple[int, ...]
) -> Stepper:
    guess = guess[: room - len(seen[0])]
    if guess and len(seen) == 1 and kept is None and not model.stack.position.stretches:
        return guessed_stepper_for(model, seen[0], list(guess), room)
    return prompt_stepper_for(model, seen, room, kept)


def _tell(outputs: list[Output], tokens: list[int], parents: list[int], *, last: bool) -> None:
    totals, scores = [output.total for output in outputs], [output.score for output in outputs]
    done = [last or output.ended for output in outputs]
    tell(Step(0, parents, list(range(len(outputs))), tokens, totals, scores, done))


class Output:
    """A prompt and what was written after it, until the end token or the first of some strings."""

    def __init__(self, prompt: list[int], tokenizer: Tokenizer, stop: tuple[str, ...]) -> None:
        self.tokenizer, self.stop = tokenizer, stop
        self.ids, self.begin = list(prompt), len(prompt)
        self.start = 0
        """From where on the model sees it."""
        self.text = ""
        self.ended = False
        self.total = 0.0
        """Log-probability of its tokens, in nats, the end token included."""
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
    def sure(self) -> str:
        """The text but for an end that may become one of the strings to stop at."""
        longest = max((len(string) for string in self.stop), default=0)
        for size in range(min(longest - 1, len(self.text)), 0, -1):
            if not self.ended and any(string.startswith(self.text[-size:]) for string in self.stop):
                return self.text[:-size]
        return self.text

    @property
    def score(self) -> float:
        """The mean log-probability of its tokens, the end token included."""
        return self.total / max(1, self._count)

    def add(self, token: int, log_probability: float) -> None:
        self.total += log_probability
        self._count += 1
        if token in self.tokenizer.ends:
            self.ended = True
            return
        self.ids.append(token)
        self.text = self.tokenizer.decode(self.ids[self.begin :])
        found = [at for at in (self.text.find(string) for string in self.stop if string) if at >= 0]
        if found:
            self.text, self.ended = self.text[: min(found)], True
