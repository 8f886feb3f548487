"""From a stepper's logits to sequences: greedy and beam search.

Beam search with the length normalisation of GNMT (Wu et al. 2016, arXiv 1609.08144, section 7), which
'Attention Is All You Need' uses (section 6.1). What exactly is searched:

- A hypothesis is a sequence of tokens; its log-probability is the sum of theirs, the end token
  included. Its score is log-probability / ((5 + length) / 6)^alpha.
- Each input has `width` places. At every step the best continuations fill the places; one that ends
  keeps its place for good, so that the search narrows as hypotheses finish, and a width of one is
  greedy search.
- A search ends when no place is open, when `limit` tokens were written (what is open then is cut
  there), or when no open hypothesis can still reach the n-th best finished one: log-probabilities only fall,
  so an open one can score at best its present log-probability over the largest possible
  normalisation. Stopping then changes nothing in the answer.

Nothing here knows models or caches: see `stepper.py`.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field

import torch
from torch import Tensor

from regard.decode.stepper import Stepper

_SHRINK_BELOW = 0.75
"""Finished inputs leave the batch when no more than this part of it is still open: leaving costs a copy."""


@dataclass(frozen=True)
class Hypothesis:
    """A finished sequence."""

    tokens: list[int]
    """Without the start and the end token."""
    log_probability: float
    """Natural logarithm, the end token included."""
    score: float
    """The log-probability, normalised by length; what hypotheses are ranked by."""
    ended: bool
    """Whether the model ended it, or the limit did."""


@dataclass(frozen=True)
class Limits:
    """How long outputs may grow: `limit` tokens, the end token included, for each input."""

    bos: int
    eos: int
    limit: list[int]


def length_penalty(length: int, alpha: float) -> float:
    """((5 + length) / 6)^alpha; `length` in tokens, the end token included."""
    return float(((5 + length) / 6) ** alpha)


def stream(stepper: Stepper, limits: Limits, device: torch.device) -> Iterator[list[int]]:
    """Greedy search, token by token: yields one token an input at each step, the end token once an
    input is done and after."""
    longest = torch.tensor(limits.limit)
    rows = (longest > 0).nonzero()[:, 0]  # the inputs still in the batch …
    going = torch.ones(len(rows), dtype=torch.bool)  # … and which of them have not ended
    if len(rows) < len(longest):
        stepper.keep(rows.to(device), rows.to(device))
    tokens = torch.full((len(rows),), limits.bos, device=device)
    step = 0
    while going.any():
        step += 1
        tokens = stepper.step(tokens).argmax(-1)
        seen = tokens.cpu()
        written = torch.full((len(longest),), limits.eos)
        written[rows[going]] = seen[going]
        yield written.tolist()
        going &= (seen != limits.eos) & (longest[rows] > step)
        if 0 < going.sum() <= _SHRINK_BELOW * len(rows):
            kept = going.nonzero()[:, 0]
            rows, going, tokens = rows[kept], going[kept], tokens[kept.to(device)]
            stepper.keep(kept.to(device), kept.to(device))


def greedy(stepper: Stepper, limits: Limits, device: torch.device) -> list[list[int]]:
    """The likeliest token at each step, for each input, without start and end."""
    written: list[list[int]] = [[] for _ in limits.limit]
    ended = [False] * len(written)
    for tokens in stream(stepper, limits, device):
        for row, token in enumerate(tokens):
            ended[row] = ended[row] or token == limits.eos
            if not ended[row]:
                written[row].append(token)
    return written


@dataclass
class _Input:
    """The finished hypotheses of one input."""

    done: list[Hypothesis] = field(default_factory=list)

    def nth_best(self, n: int) -> float:
        scores = sorted((h.score for h in self.done), reverse=True)
        return scores[n - 1] if len(scores) >= n else float("-inf")


def beam_search(
    stepper: Stepper, limits: Limits, device: torch.device, *, width: int, alpha: float = 0.6, n: int = 1
) -> list[list[Hypothesis]]:
    """The `n` best hypotheses of each input, best first; `n` is at most `width`.

    See the module's docstring for what is searched. The stepper is fed `width` neighbouring rows an
    input, after a first step of one row each.
    """
    assert 1 <= n <= width
    search = _Beams(limits, device, width, alpha, n)
    stepper_rows = torch.full((len(limits.limit),), limits.bos, device=device)
    while search.open:
        logits = stepper.step(stepper_rows)
        stepper_rows, parents, kept = search.advance(logits)
        if not search.open:
            break
        if kept is None:
            stepper.reorder(parents)
        else:
            stepper.keep(kept, parents)
    return search.best()


class _Beams:
    """The places of every open input: log-probabilities, tokens so far, and which are taken."""

    def __init__(self, limits: Limits, device: torch.device, width: int, alpha: float, n: int) -> None:
        count = len(limits.limit)
        assert all(limit > 0 for limit in limits.limit)
        self.limits, self.device, self.width, self.alpha, self.n = limits, device, width, alpha, n
        self.inputs = [_Input() for _ in range(count)]
        self.open = list(range(count))
        self.total = torch.zeros((count, 1), device=device)  # (inputs, places) log-probabilities
        self.written = torch.empty((count, 1, 0), dtype=torch.long, device=device)

    def advance(self, logits: Tensor) -> tuple[Tensor, Tensor, Tensor | None]:
        """One step: (rows, V) logits → next tokens, their parents' rows, and the inputs kept (None
        if all are)."""
        count, places = self.total.shape
        log_probability = torch.log_softmax(logits.float(), dim=-1).view(count, places, -1)
        vocab = log_probability.shape[-1]
        reach = (self.total[:, :, None] + log_probability).view(count, -1)
        top = min(self.width, reach.shape[1])
        self.total, flat = reach.topk(top, dim=1)
        parents, tokens = flat // vocab, flat % vocab  # (inputs, width)
        if top < self.width:  # a vocabulary smaller than the beam
            self.total, parents, tokens = self._fill(self.total, parents, tokens)
        history = self.written.gather(1, parents[:, :, None].expand(-1, -1, self.written.shape[2]))
        self.written = torch.cat([history, tokens[:, :, None]], dim=2)
        self._finish(tokens)
        rows = (torch.arange(count, device=self.device)[:, None] * places + parents).view(-1)
        return self._compact(tokens, rows)

    def _fill(self, *places: Tensor) -> tuple[Tensor, ...]:
        missing = self.width - places[0].shape[1]
        filled = [torch.cat([p, p[:, :1].expand(-1, missing)], dim=1) for p in places]
        filled[0][:, -missing:] = float("-inf")
        return tuple(filled)

    def _finish(self, tokens: Tensor) -> None:
        """Take what has ended out of the race; its place stays taken."""
        length = self.written.shape[2]
        totals = self.total.tolist()
        ends = (tokens == self.limits.eos).tolist()
        still = []
        taken = torch.zeros_like(self.total, dtype=torch.bool)
        for row, index in enumerate(self.open):
            room = self.width - len(self.inputs[index].done)
            at_limit = length >= self.limits.limit[index]
            for place in range(self.width):
                beyond = place >= room or totals[row][place] == float("-inf")
                if not beyond and (ends[row][place] or at_limit):
                    self._add(index, row, place, totals[row][place], ended=ends[row][place])
                if beyond or ends[row][place]:
                    taken[row, place] = True
                    totals[row][place] = float("-inf")
            if not at_limit and not self._decided(index, max(totals[row])):
                still.append(row)
        self.total = self.total.masked_fill(taken, float("-inf"))
        self._still = still

    def _add(self, index: int, row: int, place: int, total: float, *, ended: bool) -> None:
        tokens = self.written[row, place].tolist()
        score = total / length_penalty(len(tokens), self.alpha)
        text = tokens[:-1] if ended else tokens
        self.inputs[index].done.append(Hypothesis(text, total, score, ended))

    def _decided(self, index: int, best_open: float) -> bool:
        """Whether nothing open can still enter the n best."""
        if best_open == float("-inf"):
            return True
        longest = max(self.limits.limit[index], self.written.shape[2] + 1)
        at = longest if self.alpha >= 0 else self.written.shape[2] + 1
        return self.inputs[index].nth_best(self.n) >= best_open / length_penalty(at, self.alpha)

    def _compact(self, tokens: Tensor, rows: Tensor) -> tuple[Tensor, Tensor, Tensor | None]:
        if len(self._still) == len(self.open):
            return tokens.view(-1), rows, None
        self.open = [self.open[row] for row in self._still]
        kept = torch.tensor(self._still, dtype=torch.long, device=self.device)
        self.total, self.written = self.total[kept], self.written[kept]
        return tokens[kept].view(-1), rows.view(-1, self.width)[kept].view(-1), kept

    def best(self) -> list[list[Hypothesis]]:
        return [sorted(one.done, key=lambda h: -h.score)[: self.n] for one in self.inputs]
