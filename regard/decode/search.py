"""From a stepper's logits to sequences: greedy and beam search.

Beam search with the length normalisation of GNMT (Wu et al. 2016, arXiv 1609.08144, section 7), which
'Attention Is All You Need' uses (section 6.1). What exactly is searched:

- A hypothesis is a sequence of tokens; its log-probability is the sum of theirs, the end token
  included. Its score is log-probability / ((5 + length) / 6)^alpha.
- Each input has `width` places. At every step the best continuations fill the places; one that ends
  keeps its place for good, so that the search narrows as hypotheses finish, and a width of one is
  greedy search. Hypotheses that say the same, in other tokens, are one: the better of them keeps its place,
  the other leaves its own to the search.
- A search ends when no place is open, when `limit` tokens were written (what is open then is cut
  there), or when no open hypothesis can still reach the n-th best finished one: log-probabilities only fall,
  so an open one can score at best its present log-probability over the largest possible
  normalisation. Stopping then changes nothing in the answer.

Nothing here knows models or caches: see `stepper.py`.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Hashable, Iterator
from dataclasses import dataclass, field
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from regard.decode.fast import have_loops
from regard.decode.finite import check_logits, check_tokens, marked
from regard.decode.stepper import Stepper
from regard.errors import NonFiniteOutputError
from regard.model.search_events import Step, emit, listening

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
    rows = [index for index, limit in enumerate(limits.limit) if limit > 0]  # inputs still in the batch …
    going = [True] * len(rows)  # … and which of them have not ended
    if len(rows) < len(limits.limit):
        _keep(stepper, rows, device)
    tokens = torch.full((len(rows),), limits.bos, device=device)
    step = 0
    log_probabilities: dict[int, float] = {}  # log-probabilities by input, for whoever listens
    while any(going):
        step += 1
        logits = stepper.step(tokens)
        check_logits(logits)
        tokens = marked(_most_likely(logits), logits)
        if listening():
            log_probabilities = _emit(logits, tokens, rows, log_probabilities, limits, step)
        written = [limits.eos] * len(limits.limit)
        for place, token in enumerate(check_tokens(tokens.tolist())):
            if going[place]:
                written[rows[place]] = token
                going[place] = token != limits.eos and step < limits.limit[rows[place]]
        yield written
        if 0 < sum(going) <= _SHRINK_BELOW * len(rows):
            kept = [place for place, goes_on in enumerate(going) if goes_on]
            rows, going = [rows[place] for place in kept], [True] * len(kept)
            tokens = tokens[_keep(stepper, kept, device)]


def _emit(
    logits: Tensor, tokens: Tensor, rows: list[int], before: dict[int, float], limits: Limits, step: int
) -> dict[int, float]:
    """Tell of one greedy step; `before` and what is returned: log-probabilities by input."""
    log_probabilities = logits.float().log_softmax(-1).gather(1, tokens[:, None])[:, 0].tolist()
    pairs = zip(rows, log_probabilities, strict=True)
    totals = {row: before.get(row, 0.0) + value for row, value in pairs}
    for row, token in zip(rows, tokens.tolist(), strict=True):
        done = token == limits.eos or step >= limits.limit[row]
        emit(Step(row, [0], [0], [token], [totals[row]], [totals[row]], [done]))
    return totals


def _keep(stepper: Stepper, inputs: list[int], device: torch.device) -> Tensor:
    kept = torch.tensor(inputs, dtype=torch.long, device=device)
    stepper.keep(kept, kept)
    return kept


def _most_likely(logits: Tensor) -> Tensor:
    """(rows, V) → (rows,); torch's argmax takes as long over a large matrix as the product that made it."""
    if _loops_take(logits):
        from regard.decode import loops

        tokens = torch.empty(len(logits), dtype=torch.long)
        loops.most_likely(logits.numpy(), tokens.numpy())
        return tokens
    return logits.argmax(-1) if logits.numel() < _WORTH else top(logits, 1)[1][:, 0]


def _loops_take(logits: Tensor) -> bool:
    here = logits.device.type == "cpu" and logits.dtype == torch.float32 and logits.is_contiguous()
    return here and have_loops()


def greedy(stepper: Stepper, limits: Limits, device: torch.device) -> list[list[int]]:
    """The most likely token at each step, for each input, without start and end."""
    written: list[list[int]] = [[] for _ in limits.limit]
    ended = [False] * len(written)
    for tokens in stream(stepper, limits, device):
        for row, token in enumerate(tokens):
            ended[row] = ended[row] or token == limits.eos
            if not ended[row]:
                written[row].append(token)
    return written


def beam_search(
    stepper: Stepper,
    limits: Limits,
    device: torch.device,
    *,
    width: int,
    alpha: float = 0.6,
    n: int = 1,
    text: Callable[[list[int]], str] | None = None,
) -> list[list[Hypothesis]]:
    """The `n` best hypotheses of each input, best first; `n` is at most `width`. `text`: what tokens say, so
    that no two hypotheses say the same.

    See the module's docstring for what is searched. The stepper is fed `width` neighbouring rows an
    input, after a first step of one row each.
    """
    assert 1 <= n <= width
    assert all(limit > 0 for limit in limits.limit)
    beams = [_Beam(limit, limits.eos, width, alpha, n, text or tuple) for limit in limits.limit]
    batch = list(range(len(beams)))  # the inputs still in the batch
    tokens = torch.full((len(batch), 1), limits.bos, device=device)
    totals = torch.zeros((len(batch), 1), device=device)  # (inputs, places) log-probabilities
    while batch:
        places = totals.shape[1]
        totals, parents, tokens = best_continuations(stepper.step(tokens.view(-1)), totals, width)
        closed = []
        grown = zip(batch, totals.tolist(), parents.tolist(), tokens.tolist(), strict=True)
        for row, (index, *step) in enumerate(grown):
            closed += [(row, place) for place in beams[index].grow(*step)]
            beams[index].emit(index, *step)
        open_rows = [row for row, index in enumerate(batch) if beams[index].open]
        if not open_rows:
            break
        if closed:
            rows, taken = torch.tensor(closed, device=device).unbind(1)
            totals[rows, taken] = float("-inf")
        rows = parents
        if len(batch) > 1:
            rows = torch.arange(len(batch), device=device)[:, None] * places + parents
        if len(open_rows) > _SHRINK_BELOW * len(batch):
            stepper.reorder(rows.view(-1))
        else:
            kept = torch.tensor(open_rows, device=device)
            stepper.keep(kept, rows[kept].view(-1))
            batch = [batch[row] for row in open_rows]
            totals, tokens = totals[kept], tokens[kept]
    return [beam.best() for beam in beams]


_Node = tuple[int, Any] | None
"""A token and the node before it: what was written shares its beginnings."""


@dataclass(eq=False)
class _Beam:
    """One input: what stands at each of its places, and what has finished."""

    limit: int
    eos: int
    width: int
    alpha: float
    n: int
    text: Callable[[list[int]], Hashable]
    places: list[_Node] = field(default_factory=lambda: [None])
    length: int = 0
    done: dict[Hashable, Hypothesis] = field(default_factory=dict)  # by what they say
    finished: list[int] = field(default_factory=list)  # the places that finished at the last step
    open: bool = True

    def grow(self, totals: list[float], parents: list[int], tokens: list[int]) -> list[int]:
        """One token more at each place, the best place first; returns the places that go no further."""
        if not self.open:
            return []
        if any(math.isnan(total) for total in totals):  # those of all places, so nothing goes on from here
            raise NonFiniteOutputError("the scores of the next token")
        self.length += 1
        self.finished = []
        self.places = [(token, self.places[parent]) for token, parent in zip(tokens, parents, strict=True)]
        free, at_limit = self.width - len(self.done), self.length >= self.limit
        closed, best_open = [], float("-inf")
        for place, total in enumerate(totals):
            ended = tokens[place] == self.eos
            beyond = place >= free or total == float("-inf")
            if not beyond and (ended or at_limit):
                free += not self._finish(place, total, ended)
            if beyond or ended:
                closed.append(place)
            else:
                best_open = max(best_open, total)
        self.open = not at_limit and not self._decided(best_open)
        return closed

    def _finish(self, place: int, total: float, ended: bool) -> bool:
        """Whether it says what none has said before."""
        tokens = []
        self.finished.append(place)
        node = self.places[place]
        while node is not None:
            token, node = node
            tokens.append(token)
        score = total / length_penalty(len(tokens), self.alpha)
        hypothesis = Hypothesis(tokens[: 0 if ended else None : -1], total, score, ended)
        key = self.text(hypothesis.tokens)
        other = self.done.get(key)
        if other is None or other.score < score:
            self.done[key] = hypothesis
        return other is None

    def _decided(self, best_open: float) -> bool:
        """Whether nothing open can still enter the n best."""
        if best_open == float("-inf"):
            return True
        if len(self.done) < self.n:
            return False
        at = self.limit if self.alpha >= 0 else self.length + 1
        return self.best()[-1].score >= best_open / length_penalty(at, self.alpha)

    def emit(self, index: int, totals: list[float], parents: list[int], tokens: list[int]) -> None:
        if listening():
            scores = [total / length_penalty(self.length, self.alpha) for total in totals]
            done = [place in self.finished for place in range(len(totals))]
            emit(Step(index, parents, parents, tokens, totals, scores, done))

    def best(self) -> list[Hypothesis]:
        return sorted(self.done.values(), key=lambda h: -h.score)[: self.n]


def best_continuations(logits: Tensor, totals: Tensor, width: int) -> tuple[Tensor, Tensor, Tensor]:
    """The `width` most likely ways to go on from the places of each input.

    `logits`: (inputs · places, V); `totals`: (inputs, places). Returns (inputs, width) each, best first:
    log-probabilities, the places they come from, and their tokens. Where there are fewer ways, the rest
    has a log-probability of -inf.
    """
    logits = logits.float()
    inputs, vocab = len(totals), logits.shape[-1]
    if width <= vocab and _loops_take(logits):
        from regard.decode import loops

        best = torch.empty((inputs, width))
        parents, tokens = torch.empty((2, inputs, width), dtype=torch.long)
        arrays = (logits, totals.contiguous(), best, parents, tokens)
        loops.continuations(*(x.numpy() for x in arrays))
        return best, parents, tokens
    each = min(width, vocab)  # no more than these of one place can be among the best of all
    value, token = _likely(logits, each)
    reach = (totals.view(-1, 1) + value).view(inputs, -1)
    best, where = reach.topk(min(width, reach.shape[1]), dim=1)
    parents, tokens = where // each, token.view(inputs, -1).gather(1, where)
    if (missing := width - best.shape[1]) > 0:  # a vocabulary smaller than the beam
        best = F.pad(best, (0, missing), value=float("-inf"))
        parents, tokens = F.pad(parents, (0, missing)), F.pad(tokens, (0, missing))
    return best, parents, tokens


def _likely(logits: Tensor, k: int) -> tuple[Tensor, Tensor]:
    """Log-probabilities and ids of the `k` most likely of each row; without all the other log-probabilities,
    and some rows at a time, so that they stay in a processor's cache."""
    found = []
    at_once = max(1, _AT_ONCE // logits.shape[-1]) if logits.device.type == "cpu" else len(logits)
    for part in logits.split(max(1, at_once)):
        value, token = top(part, k)
        largest = value[:, :1]
        found.append((value - (part - largest).exp_().sum(-1, keepdim=True).log_().add_(largest), token))
    return torch.cat([value for value, _ in found]), torch.cat([token for _, token in found])


_AT_ONCE = 2**18
"""Logits looked at together: a megabyte."""
_GROUP = 16
"""Numbers of which `top` takes the largest first."""
_WORTH = 2**15
"""Numbers from which the extra operations of `top` are fewer than those they save."""


def top(x: Tensor, k: int) -> tuple[Tensor, Tensor]:
    """`x.topk(k)` of (rows, V), on a processor faster where V is large: the k largest numbers are in those k
    groups whose own largest numbers are the k largest."""
    rows, length = x.shape
    groups = length // _GROUP
    if 4 * k > groups or x.numel() < _WORTH or x.device.type != "cpu":
        return x.topk(k)
    whole = groups * _GROUP
    parts = x[:, :whole].view(rows, _GROUP, groups)  # group g: every `groups`-th number from g on
    among = parts.amax(1).topk(k, sorted=False).indices[:, None].expand(-1, _GROUP, -1)
    starts = torch.arange(0, whole, groups, device=x.device)[None, :, None]
    value, index = parts.gather(2, among).flatten(1), (among + starts).flatten(1)
    if whole < length:
        rest = torch.arange(whole, length, device=x.device).expand(rows, -1)
        value, index = torch.cat([value, x[:, whole:]], 1), torch.cat([index, rest], 1)
    best, where = value.topk(k)
    return best, index.gather(1, where)
