"""Texts that become longer token by token: what tasks that write have in common.

It does not know where prompts come from.
"""

from __future__ import annotations

import logging
from collections.abc import Iterator, Sequence

import torch
from torch import Tensor, nn

from regard.data.continuation import Continuation
from regard.data.tokenizer import Tokenizer
from regard.decode.choose import prompt_stepper_for, speculative_stepper_for
from regard.decode.constraints import NO_RULES, Rules
from regard.decode.finite import check_tokens
from regard.decode.sampling import Draws, Sampler, Sampling, seed_of
from regard.decode.stepper import Forced, KeptPrompt, Stepper
from regard.model.search_events import Step, emit, listening
from regard.model.transformer import Transformer
from regard.tasks.decoding import Decoding

_LOG = logging.getLogger(__name__)
_TIMES = 4  # tokens remembered for one that is read, since of each text one is computed at a time
_ROOM = 1024  # new tokens for which memory is taken in advance; a context may be many times that


def write_all(
    model: nn.Module, outputs: list[Output], decoding: Decoding, context: int, rules: Rules = NO_RULES
) -> None:
    """Write all outputs to their ends, so many side by side as memory should hold the keys and values of."""
    seed = seed_of(decoding.sampling)
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
        for _ in write(model, some, decoding, context, seed=seed, rules=rules):
            pass


@torch.inference_mode()
def write(
    model: nn.Module,
    outputs: list[Output],
    decoding: Decoding,
    context: int,
    kept: KeptPrompt | None = None,
    seed: int | None = None,
    rules: Rules = NO_RULES,
) -> Iterator[None]:
    """Make the outputs longer by a token each time; the model sees at most `context` tokens of each.

    `seed`: what decides the draws, where that is not said by `decoding`. `kept`: of a single one, what was
    read of its prompt before; in the end, of all of it. `rules`: what the model's outputs must be like.
    """
    assert isinstance(model, Transformer)
    device = model.device
    sampling = decoding.sampling or Sampling(temperature=0.0)
    vocabulary = model.embed.weight.shape[0]
    written = [output.ids for output in outputs]
    sampler = Sampler(sampling, written, vocabulary, device, [output.draws for output in outputs], seed)
    stepper: Stepper | None = None
    most, parents = rules.most(decoding.max_length or context), [0] * len(outputs)
    for number in range(most):
        if not outputs:
            return
        moved = [output.move(context) for output in outputs]
        grown = (model.stack.position.anew(len(output.ids) - output.start) for output in outputs)
        if stepper is None or any(moved) or any(grown):
            room = min(context, max(len(output.ids) - output.start for output in outputs) + _ROOM)
            stepper, tokens = _started(model, outputs, decoding, number, room, kept, rules)
        tokens, shares = sampler.draw(stepper.step(tokens))
        if kept is not None and kept.cache is not None:
            kept.ids = outputs[0].ids[outputs[0].start :][: kept.cache.length]
        for output, token, share in zip(outputs, check_tokens(tokens.tolist()), shares.tolist(), strict=True):
            output.add(token, share)
        if listening():
            done = [number + 1 == most or output.ended for output in outputs]
            totals, scores = [output.total for output in outputs], [output.score for output in outputs]
            names = list(range(len(outputs)))
            emit(Step(0, parents, names, tokens.tolist(), totals, scores, done, ranked=False))
        yield
        parents = rest = [row for row, output in enumerate(outputs) if not output.ended]
        if len(rest) < len(outputs):
            places = torch.tensor(rest, dtype=torch.long, device=device)
            if rest:
                stepper.keep(places, places)
                sampler.keep(places)
            outputs, tokens = [outputs[row] for row in rest], tokens[places]


def _started(
    model: Transformer,
    outputs: list[Output],
    decoding: Decoding,
    number: int,
    room: int,
    kept: KeptPrompt | None,
    rules: Rules,
) -> tuple[Stepper, Tensor]:
    """What steps on from all but the last tokens of what the model sees of the outputs, and these last ones.

    `number`: how many tokens were written before. `room`: for how many tokens memory is taken.
    """
    seen = [output.ids[output.start :] for output in outputs]
    guess, begin = decoding.guess[number:][: room - len(seen[0])], decoding.begin[number:]
    stepper: Stepper
    if guess and len(seen) == 1 and kept is None and not model.stack.position.stretches:
        stepper = speculative_stepper_for(model, seen[0], list(guess), room)
    else:
        stepper = prompt_stepper_for(model, seen, room, kept)
    written = [output.ids[:-1] for output in outputs]
    stepper = rules.around(stepper, written, outputs[0].tokenizer.ends, [output.begin for output in outputs])
    stepper = Forced(stepper, begin) if begin else stepper
    return stepper, torch.tensor([ids[-1] for ids in seen], device=model.device)


def say_unseen(outputs: Sequence[Output], context: int) -> None:
    """Log of which inputs, and of what was written, the model did not see all."""
    if long := [output for output in outputs if output.begin > context]:
        _LOG.warning(
            f"an input has {long[0].begin:,} tokens, of which the model sees the last {context:,}"
            + (f"; so it is with {len(long):,} of them" if len(long) > 1 else "")
        )
    if grown := [output for output in outputs if output.start and output.begin <= context]:
        _LOG.warning(
            f"what was written is longer than the {context:,} tokens that the model sees at once; since then"
            f" it saw the last {max(1, context // 2):,} of them at least"
            + (f"; so it is with {len(grown):,} of the answers" if len(grown) > 1 else "")
        )


class Output:
    """A prompt and what was written after it, until the end token or the first of some strings."""

    def __init__(
        self,
        prompt: list[int],
        tokenizer: Tokenizer,
        stop: tuple[str, ...],
        *,
        continues: bool = False,
        draws: Draws = Draws(),  # noqa: B008
    ) -> None:
        """`continues`: whether what is written goes on with the prompt's text, spaces included, and is no
        text of its own. `draws`: which those are that it is drawn by."""
        self.tokenizer, self.stop, self.draws = tokenizer, stop, draws
        self.ids, self.begin = list(prompt), len(prompt)
        self._text = Continuation(tokenizer, prompt if continues else ())
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
        """The text but for an end that may change: become one of the strings to stop at, or another text."""
        if self.ended:
            return self.text
        text = self._text.sure(self.ids[self.begin :])
        longest = max((len(string) for string in self.stop), default=0)
        for size in range(min(longest - 1, len(text)), 0, -1):
            if any(string.startswith(text[-size:]) for string in self.stop):
                return text[:-size]
        return text

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
        self.text = self._text.of(self.ids[self.begin :])
        found = [at for at in (self.text.find(string) for string in self.stop if string) if at >= 0]
        if found:
            self.text, self.ended = self.text[: min(found)], True
