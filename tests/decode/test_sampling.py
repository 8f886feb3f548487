"""Drawing tokens: the distribution is the one that was asked for, and draws follow it."""

from __future__ import annotations

import math
from typing import Any

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor

from regard.decode.sampling import Draws, Sampler, Sampling, distribution, penalised
from regard.errors import ConfigError

CPU = torch.device("cpu")
LOGITS = [2.0, -1.0, 0.5, 1.5, 0.0, -3.0, 1.0]


def plainly(logits: list[float], s: Sampling) -> list[float]:
    """The docstring of `sampling.py`, token by token."""
    if s.temperature == 0:
        return [float(i == logits.index(max(logits))) for i in range(len(logits))]
    weights = {i: math.exp(x / s.temperature) for i, x in enumerate(logits)}
    order = sorted(weights, key=lambda i: -weights[i])
    if s.top_k:
        order = order[: s.top_k]
    total = sum(weights[i] for i in order)
    shares = {i: weights[i] / total for i in order}
    kept, reached = [], 0.0
    for i in order:
        if reached < s.top_p:
            kept.append(i)
        reached += shares[i]
    total = sum(shares[i] for i in kept)
    shares = {i: shares[i] / total for i in kept}
    shares = {i: share for i, share in shares.items() if share >= s.min_p * max(shares.values())}
    total = sum(shares.values())
    return [shares.get(i, 0.0) / total for i in range(len(logits))]


@given(
    st.lists(st.integers(-40, 40), min_size=1, max_size=9, unique=True),
    st.sampled_from([0.0, 0.3, 1.0, 2.5]),
    st.integers(0, 10),
    st.sampled_from([0.013, 0.31, 0.77, 1.0]),
    st.sampled_from([0.0, 0.11, 1.0]),
)
def test_the_distribution_is_the_stated_one(
    tenths: list[int], temperature: float, top_k: int, top_p: float, min_p: float
) -> None:
    logits = [x / 10 for x in tenths]
    sampling = Sampling(temperature, top_k, top_p, min_p)
    got = distribution(torch.tensor([logits]), sampling)[0].tolist()
    assert got == pytest.approx(plainly(logits, sampling), abs=1e-5)
    assert got[logits.index(max(logits))] > 0  # the most likely always stays


@pytest.mark.parametrize(
    "sampling",
    [
        Sampling(seed=1),
        Sampling(0.5, 4, seed=2),
        Sampling(1.5, top_p=0.8, seed=3),
        Sampling(min_p=0.2, seed=4),
    ],
)
def test_draws_follow_it(sampling: Sampling) -> None:
    """Pearson's statistic of 20,000 draws; a right sampler exceeds this bound once in a million times."""
    count = 20_000
    rows = torch.tensor([LOGITS]).expand(count, -1)
    tokens, _ = Sampler(sampling, [[]] * count, len(LOGITS), CPU).draw(rows)
    found = torch.bincount(tokens, minlength=len(LOGITS)).double()
    wanted = torch.tensor(plainly(LOGITS, sampling)).double() * count
    assert (found[wanted == 0] == 0).all()
    real = wanted > 0
    assert float(((found - wanted)[real] ** 2 / wanted[real]).sum()) < 40


def test_a_seed_decides_every_draw_and_none_draws_anew() -> None:
    def drawn(seed: int | None) -> list[int]:
        sampler = Sampler(Sampling(seed=seed), [[]] * 50, len(LOGITS), CPU)
        return [token for _ in range(3) for token in sampler.draw(torch.tensor([LOGITS] * 50))[0].tolist()]

    assert drawn(7) == drawn(7)
    assert drawn(7) != drawn(8)
    assert drawn(None) != drawn(None)


def test_a_row_draws_the_same_whatever_stands_beside_it() -> None:
    """Its draws follow from the seed, its input and its sample alone: no two of those are the same."""

    def drawn(rows: list[Draws], keep: list[int], seed: int = 7) -> list[list[int]]:
        sampler = Sampler(Sampling(seed=seed), [[]] * len(rows), len(LOGITS), CPU, rows)
        first = [sampler.draw(torch.tensor([LOGITS] * len(rows)))[0].tolist() for _ in range(20)]
        sampler.keep(torch.tensor(keep))
        then = [sampler.draw(torch.tensor([LOGITS] * len(keep)))[0].tolist() for _ in range(20)]
        return [
            [*(step[row] for step in first), *(step[place] for step in then)]
            for place, row in enumerate(keep)
        ]

    rows = [Draws(number, sample) for number in (0, 1, 513, 10**12) for sample in (0, 1, 2)]
    alone = [drawn([row], [0])[0] for row in rows]
    assert len(set(map(tuple, alone))) == len(rows)
    assert drawn(rows, list(range(len(rows)))) == alone
    assert drawn(rows[::-1], [3, 0]) == [alone[::-1][3], alone[::-1][0]]
    assert drawn([Draws(0)], [0], seed=8)[0] != alone[0]


def test_many_inputs_draw_evenly_at_every_step() -> None:
    """Of all inputs at one step, and of one input over all steps."""
    count = 20_000
    even = Sampler(Sampling(seed=5), [[]] * count, 16, CPU)
    steps = [even.draw(torch.zeros(count, 16))[0] for _ in range(3)]
    one = Sampler(Sampling(seed=5), [[]], 16, CPU)
    steps.append(torch.cat([one.draw(torch.zeros(1, 16))[0] for _ in range(count)]))
    for tokens in steps:
        found = torch.bincount(tokens, minlength=16).double()
        assert float(((found - count / 16) ** 2 / (count / 16)).sum()) < 60  # 15 degrees: once in a million
    pairs = torch.bincount(steps[0] * 16 + steps[1], minlength=256).double()
    assert float(((pairs - count / 256) ** 2 / (count / 256)).sum()) < 380  # 255 degrees


@pytest.mark.parametrize("temperature", [1e-320, 1e-300, 1e-38, 1e-20, 1e-3])
@pytest.mark.parametrize("scale", [1.0, 1e-30, 1e30])
def test_a_temperature_near_zero_takes_the_likeliest(temperature: float, scale: float) -> None:
    logits = torch.tensor([[*LOGITS, -math.inf]]) * scale
    if scale * 0.5 / max(temperature, 1e-37) < 40:
        pytest.skip("that temperature is not near zero for differences that small")
    for sampling in (
        Sampling(temperature, seed=1),
        Sampling(temperature, 3, 0.9, 0.1, seed=1),
        Sampling(temperature, top_p=1e-300, seed=1),
    ):
        assert distribution(logits, sampling).tolist() == [[1.0, *[0.0] * len(LOGITS)]]
        assert int(Sampler(sampling, [[]], 8, CPU).draw(logits)[0]) == 0


EXTREME: tuple[dict[str, float], ...] = (
    {"temperature": 1e300},
    {"temperature": 1e38},
    {"repetition_penalty": 1e300},
    {"repetition_penalty": 1e-320},
    {"top_p": 5e-324},
    {"min_p": 1e-320},
)


@pytest.mark.parametrize("how", EXTREME, ids=str)
def test_the_largest_and_smallest_numbers_give_a_distribution(how: dict[str, float]) -> None:
    logits = torch.tensor([[*LOGITS, 0.0, -math.inf], [*([-math.inf] * 8), 1.0]])
    sampling = Sampling(seed=1, **how)  # type: ignore[arg-type]
    written = torch.tensor([[True] * 9, [False] * 9])
    shares = distribution(penalised(logits, written, sampling.repetition_penalty), sampling)
    torch.testing.assert_close(shares.sum(-1), torch.ones(2))
    assert shares[0, -1] == 0
    assert shares[1, -1] == 1
    assert Sampler(sampling, [[0], []], 9, CPU).draw(logits)[0].tolist()[1] == 8


def test_no_draw_is_impossible() -> None:
    """Also where the number that is drawn is next to 1, and next to 0."""
    logits = torch.full((5000, 5), -math.inf)
    logits[:, 2] = 0.0
    logits[:, 1] = -80.0
    sampler = Sampler(Sampling(seed=3), [[]] * 5000, 5, CPU)
    for _ in range(20):
        assert set(sampler.draw(logits)[0].tolist()) == {2}


def test_what_was_written_becomes_less_likely() -> None:
    written = torch.tensor([[True, True, False, False]])
    got = penalised(torch.tensor([[3.0, -3.0, 3.0, -3.0]]), written, 1.5)
    assert got.tolist() == [[2.0, -4.5, 3.0, -3.0]]
    sampler = Sampler(Sampling(0.0, repetition_penalty=4.0), [[3]], 4, CPU)
    logits = torch.tensor([[1.0, 0.5, 0.3, 1.1]])
    assert [int(sampler.draw(logits)[0]) for _ in range(4)] == [0, 1, 2, 3]  # 3 is in the prompt


def test_the_score_of_a_draw_is_the_models_own() -> None:
    sampler = Sampler(Sampling(0.5, top_k=2, repetition_penalty=2.0, seed=1), [[0]], len(LOGITS), CPU)
    logits = torch.tensor([LOGITS])
    tokens, shares = sampler.draw(logits)
    torch.testing.assert_close(shares, logits.log_softmax(-1)[:, int(tokens)])


def test_rows_that_are_kept_keep_what_they_wrote() -> None:
    sampler = Sampler(Sampling(0.0, repetition_penalty=9.0), [[0], [1], [2]], 3, CPU)
    sampler.keep(torch.tensor([2, 0]))
    logits: Tensor = torch.tensor([[1.0, 1.1, 1.2]]).repeat(2, 1)
    assert sampler.draw(logits)[0].tolist() == [1, 2]


@pytest.mark.parametrize(
    "wrong",
    [
        {"temperature": -0.1},
        {"temperature": math.inf},
        {"top_k": -1},
        {"top_p": 0.0},
        {"top_p": 1.1},
        {"min_p": -0.1},
        {"min_p": 1.1},
        {"repetition_penalty": 0.0},
        {"repetition_penalty": math.nan},
    ],
    ids=str,
)
def test_what_makes_no_sense_is_refused(wrong: dict[str, Any]) -> None:
    with pytest.raises(ConfigError, match=f"{next(iter(wrong))} is .*; it must be"):
        Sampling(**wrong)
