"""Drawing tokens: from logits to a distribution, and from that to a token.

In order: tokens that were written already are made less likely (Keskar et al. 2019, arXiv 1909.05858,
section 4.1), logits are divided by the temperature, and the unlikely are cut off: all but the k likeliest
(Fan et al. 2018, arXiv 1805.04833), all beyond a total probability of p (nucleus: Holtzman et al. 2019, arXiv
1904.09751), all below a part of the likeliest's probability (min-p: arXiv 2407.01082). Each cut sees what the
one before left, scaled back to a total of 1. The likeliest token always stays.

Nothing here knows models, prompts or text.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor

from regard.decode.finite import check_logits, marked
from regard.errors import require


@dataclass(frozen=True)
class Sampling:
    """How tokens are drawn. As it stands, from the model's own distribution."""

    temperature: float = 1.0
    """What logits are divided by: below 1 the likely become likelier; 0 takes the likeliest."""
    top_k: int = 0
    """Only so many of the likeliest; 0 for all."""
    top_p: float = 1.0
    """Only the likeliest that together reach this probability."""
    min_p: float = 0.0
    """Only those with at least this part of the likeliest's probability."""
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
    return torch.where(written, torch.where(logits > 0, logits / penalty, logits * penalty), logits)


def distribution(logits: Tensor, sampling: Sampling) -> Tensor:
    """(rows, V) logits → (rows, V) probabilities of being drawn."""
    logits = logits.float()
    if sampling.temperature == 0:
        return torch.nn.functional.one_hot(logits.argmax(-1), logits.shape[-1]).float()
    logits = logits / sampling.temperature
    if 0 < sampling.top_k < logits.shape[-1]:
        least = logits.topk(sampling.top_k).values[:, -1:]
        logits = logits.masked_fill(logits < least, float("-inf"))
    shares = logits.softmax(-1)
    if sampling.top_p < 1:
        likeliest, order = shares.sort(descending=True, stable=True)
        before = likeliest.cumsum(-1) - likeliest  # a token stays if those before it do not suffice
        shares = shares.masked_fill((before >= sampling.top_p).gather(1, order.argsort(1)), 0.0)
        shares = shares / shares.sum(-1, keepdim=True)
    if sampling.min_p > 0:
        shares = shares.masked_fill(shares < sampling.min_p * shares.amax(-1, keepdim=True), 0.0)
    return shares / shares.sum(-1, keepdim=True)


def generator_of(sampling: Sampling | None, device: torch.device) -> torch.Generator:
    """A new source of chance, as the seed says."""
    generator = torch.Generator(device)
    if sampling is None or sampling.seed is None:
        generator.seed()
    else:
        generator.manual_seed(sampling.seed)
    return generator


class Sampler:
    """Draws a token for each of some rows, step after step; remembers what each row has written."""

    def __init__(
        self,
        sampling: Sampling,
        rows: list[list[int]],
        vocabulary: int,
        device: torch.device,
        generator: torch.Generator | None = None,
    ) -> None:
        """`rows`: what stands before the first token that is drawn. `generator`: one to go on with."""
        self.sampling = sampling
        self.generator = generator_of(sampling, device) if generator is None else generator
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
            shares = distribution(lowered, self.sampling).nan_to_num_(
                1.0
            )  # a device ends where it draws of NaN
            tokens = torch.multinomial(shares, 1, generator=self.generator)[:, 0]
        self.written.scatter_(1, tokens[:, None], True)
        return marked(tokens, logits), logits.log_softmax(-1).gather(1, tokens[:, None])[:, 0]

    def keep(self, rows: Tensor) -> None:
        """Go on with these rows only."""
        self.written = self.written[rows]
