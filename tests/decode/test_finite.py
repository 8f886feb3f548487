"""Logits that are not finite are said, in every search; a token forbidden by -inf is no such thing."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from torch import Tensor

from regard.decode.sampling import Sampler, Sampling
from regard.decode.search import Limits, beam_search, greedy
from regard.errors import NonFiniteOutputError
from tests.shared import refused

V, EOS = 11, 2


class Told:
    """Gives the same logits for every row, and others from a step on."""

    def __init__(self, bad: Callable[[Tensor], None], at: int) -> None:
        self.bad, self.at, self.steps = bad, at, 0

    def step(self, tokens: Tensor) -> Tensor:
        self.steps += 1
        logits = torch.linspace(-1, 1, V).repeat(len(tokens), 1)
        logits[:, EOS] = -9
        if self.steps >= self.at:
            self.bad(logits)
        return logits

    def reorder(self, rows: Tensor) -> None:
        pass

    def keep(self, inputs: Tensor, rows: Tensor) -> None:
        pass


def fill(value: float, place: slice | int = slice(None)) -> Callable[[Tensor], None]:
    def change(logits: Tensor) -> None:
        logits[:, place] = value

    return change


BAD = {
    "all NaN": fill(float("nan")),
    "one NaN": fill(float("nan"), 3),
    "all infinite": fill(float("inf")),
    "one infinite": fill(float("inf"), 3),
}
LIMITS = Limits(bos=1, eos=EOS, limit=[6, 5, 7])
DEVICE = torch.device("cpu")


def sampled(stepper: Told, sampling: Sampling) -> None:
    sampler = Sampler(sampling, [[1]] * 3, V, DEVICE)
    tokens = torch.ones(3, dtype=torch.long)
    for _ in range(5):
        tokens, _ = sampler.draw(stepper.step(tokens))


SEARCHES: dict[str, Callable[[Told], object]] = {
    "greedy": lambda stepper: greedy(stepper, LIMITS, DEVICE),
    "beam 1": lambda stepper: beam_search(stepper, LIMITS, DEVICE, width=1),
    "beam 4": lambda stepper: beam_search(stepper, LIMITS, DEVICE, width=4, n=2),
    "beam wider than the vocabulary": lambda stepper: beam_search(stepper, LIMITS, DEVICE, width=V + 2),
    "drawn": lambda stepper: sampled(stepper, Sampling()),
    "drawn from few": lambda stepper: sampled(stepper, Sampling(0.7, top_k=3, top_p=0.9, min_p=0.1)),
    "the most likely": lambda stepper: sampled(stepper, Sampling(0.0, repetition_penalty=1.2)),
}


@pytest.mark.parametrize("loops", [True, False])
@pytest.mark.parametrize("at", [1, 3])
@pytest.mark.parametrize("bad", BAD)
@pytest.mark.parametrize("search", SEARCHES)
def test_a_search_says_that_there_is_no_answer(
    search: str, bad: str, at: int, loops: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    if not loops:
        monkeypatch.setattr("regard.decode.search.have_loops", lambda: False)
    with refused(NonFiniteOutputError, key="the scores of the next token"):
        SEARCHES[search](Told(BAD[bad], at))


@pytest.mark.parametrize("search", SEARCHES)
def test_a_forbidden_token_is_no_reason(search: str) -> None:
    SEARCHES[search](Told(fill(-float("inf"), slice(3, 7)), 1))
