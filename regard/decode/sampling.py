"""Drawing tokens: from logits to a distribution, and from that to a token.

In order: tokens that were written already are made less likely (Keskar et al. 2019, arXiv 1909.05858,
section 4.1), logits are divided by the temperature, and the unlikely are cut off: all but the k most likely
(Fan et al. 2018, arXiv 1805.04833), all beyond a total probability of p (nucleus: Holtzman et al. 2019, arXiv
1904.09751), all below a part of the largest probability (min-p: arXiv 2407.01082). Each cut sees what the
one before left, scaled back to a total of 1. The most likely token always stays.

What is drawn follows from the seed, the number of the input, the number of the sample and that of the token,
and from nothing else: not from what is drawn beside it. The numbers are SplitMix64's (Steele et al. 2014,
OOPSLA), which needs no state but a counter, so that all rows draw at once.

Nothing here knows models, prompts or text.
"""

from __future__ import annotations

import math
import secrets
from collections.abc import Sequence
from dataclasses import dataclass
from hashlib import blake2b

import torch
from torch import Tensor

from regard.decode.finite import check_logits, marked
from regard.errors import require


@dataclass(frozen=True)
class Sampling:
    """How tokens are drawn. As it stands, from the model's own distribution."""

    temperature: float = 1.0
    """What logits are divided by: below 1 the likely become likelier; 0 takes the most likely."""
    top_k: int = 0
    """Only so many of the most likely; 0 for all."""
    top_p: float = 1.0
    """Only the most likely that together reach this probability."""
    min_p: float = 0.0
    """Only those with at least this part of the most likely's probability."""
    repetition_penalty: float = 1.0
    """By how much the logit of a token that was written already is divided, or multiplied if negative."""
    seed: int | None = None
    """Decides every draw; None draws differently each time."""

    def __post_init__(self) -> None:
        finite = math.isfinite(self.temperature)
        require(finite and self.temperature >= 0, "temperature", self.temperature, "0 or more")
        require(self.top_k >= 0, "top_k", self.top_k, "0 or more")
        require(0 < self.top_p <= 1, "top_p", self.top_p, "more than 0 and at most 1")
        require(0 <= self.min_p <= 1, "min_p", self.min_p, "from 0 to 1")
        good = math.isfinite(self.repetition_penalty) and self.repetition_penalty > 0
        require(good, "repetition_penalty", self.repetition_penalty, "more than 0")


def penalised(logits: Tensor, written: Tensor, penalty: float) -> Tensor:
    """(rows, V) logits with those of `written`, (rows, V) booleans, lowered."""
    if penalty == 1.0:
        return logits
    penalty = min(max(penalty, _LEAST), _MOST)
    lowered = torch.where(logits > 0, logits / penalty, logits * penalty).clamp(max=_MOST)
    return torch.where(written, lowered, logits)


def distribution(logits: Tensor, sampling: Sampling) -> Tensor:
    """(rows, V) logits → (rows, V) probabilities of being drawn."""
    logits = logits.float()
    if sampling.temperature == 0:
        return torch.nn.functional.one_hot(logits.argmax(-1), logits.shape[-1]).float()
    # Below the largest, so that none exceeds what float32 holds however low the temperature is.
    below = logits - logits.amax(-1, keepdim=True)
    logits = below / min(max(sampling.temperature, _LEAST), _MOST)
    if 0 < sampling.top_k < logits.shape[-1]:
        least = logits.topk(sampling.top_k).values[:, -1:]
        logits = logits.masked_fill(logits < least, float("-inf"))
    probabilities = logits.softmax(-1)
    if sampling.top_p < 1:
        most_likely, order = probabilities.sort(descending=True, stable=True)
        before = most_likely.cumsum(-1) - most_likely  # a token stays if those before it do not suffice
        beyond = (before >= sampling.top_p) & (before > 0)
        probabilities = probabilities.masked_fill(beyond.gather(1, order.argsort(1)), 0.0)
        probabilities = probabilities / probabilities.sum(-1, keepdim=True)
    if sampling.min_p > 0:
        probabilities = probabilities.masked_fill(
            probabilities < sampling.min_p * probabilities.amax(-1, keepdim=True), 0.0
        )
    return probabilities / probabilities.sum(-1, keepdim=True)


@dataclass(frozen=True)
class Draws:
    """Which draws these are: the number of an input among all that share a seed, and of a sample of it."""

    input: int = 0
    sample: int = 0


def seed_of(sampling: Sampling | None) -> int:
    """What decides the draws: the seed that was given, or a new one."""
    given = None if sampling is None else sampling.seed
    return secrets.randbits(64) if given is None else given


class Sampler:
    """Draws a token for each of some rows, step after step; remembers what each row has written."""

    def __init__(
        self,
        sampling: Sampling,
        rows: list[list[int]],
        vocabulary: int,
        device: torch.device,
        draws: Sequence[Draws] | None = None,
        seed: int | None = None,
    ) -> None:
        """`rows`: what stands before the first token that is drawn. `draws`: which those of each row are, by
        default of an input each. `seed`: what decides them, `sampling`'s own by default."""
        self.sampling = sampling
        seed = seed_of(sampling) if seed is None else seed
        draws = [Draws(number) for number in range(len(rows))] if draws is None else draws
        self._counters = torch.tensor([_start(seed, one) for one in draws], dtype=torch.int64, device=device)
        self.written = torch.zeros((len(rows), vocabulary), dtype=torch.bool, device=device)
        for row, tokens in enumerate(rows):
            self.written[row, tokens] = True

    def draw(self, logits: Tensor) -> tuple[Tensor, Tensor]:
        """(rows, V) logits → (rows,) tokens, and what the model itself gives them: log-probabilities. See
        `finite.py` for logits that are not finite."""
        logits = logits.float()
        check_logits(logits)
        lowered = penalised(logits, self.written, self.sampling.repetition_penalty)
        if self.sampling.temperature == 0:
            tokens = lowered.argmax(-1)
        else:
            tokens = self._sample(distribution(lowered, self.sampling))
        self.written.scatter_(1, tokens[:, None], True)
        return marked(tokens, logits), logits.log_softmax(-1).gather(1, tokens[:, None])[:, 0]

    def _sample(self, probabilities: Tensor) -> Tensor:
        """(rows, V) probabilities → (rows,) tokens: where the sum of those up to a token passes a number
        from 0 to 1."""
        self._counters = self._counters + _STEP
        until = probabilities.cumsum(-1)
        place = _uniform(self._counters)[:, None] * until[:, -1:]
        # Rounding may take the number to the very sum; the last token that adds to it is the last one then.
        return torch.minimum((until <= place).sum(-1), until.argmax(-1))

    def keep(self, rows: Tensor) -> None:
        """Go on with these rows only."""
        self.written, self._counters = self.written[rows], self._counters[rows]


_LEAST, _MOST = torch.finfo(torch.float32).tiny, torch.finfo(torch.float32).max


def _signed(bits: int) -> int:
    """64 bits as a number of torch's, which has a sign."""
    return (bits & (1 << 64) - 1 ^ 1 << 63) - (1 << 63)


_STEP, _ONE, _OTHER = map(_signed, (0x9E3779B97F4A7C15, 0xBF58476D1CE4E5B9, 0x94D049BB133111EB))


def _start(seed: int, draws: Draws) -> int:
    """Where the counter of these draws starts."""
    name = f"{seed}/{draws.input}/{draws.sample}".encode()
    return _signed(int.from_bytes(blake2b(name, digest_size=8).digest()))


def _uniform(counters: Tensor) -> Tensor:
    """Well-mixed numbers, at least 0 and less than 1, of these counters."""
    mixed = (counters ^ _shift_right(counters, 30)) * _ONE
    mixed = (mixed ^ _shift_right(mixed, 27)) * _OTHER
    return _shift_right(mixed ^ _shift_right(mixed, 31), 40).float() / (1 << 24)


def _shift_right(bits: Tensor, by: int) -> Tensor:
    """To the right; torch's own shift keeps the sign."""
    return (bits >> by) & ((1 << 64 - by) - 1)
