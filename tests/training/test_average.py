"""Averages of weights: their formulas, and that judging by them changes nothing."""

from __future__ import annotations

from typing import get_args

import pytest
import torch
from torch import nn

from regard.training.average import EMA, Average, Averaging, NoAverage, Tail


def walk(config: Averaging, steps: int, total: int | None) -> tuple[Average, list[float]]:
    """One weight that is 1, 2, 3 … after each step, and its average."""
    model = nn.Linear(1, 1, bias=False)
    nn.init.zeros_(model.weight)
    average = Average(model, config)
    values = []
    for step in range(1, steps + 1):
        nn.init.constant_(model.weight, float(step))
        average.update(step, total)
        values.append(float(average.weights["weight"]))
    return average, values


def test_ema_moves_by_one_minus_decay_and_faster_at_first() -> None:
    _, values = walk(EMA(decay=0.9), 200, 200)
    expected = 0.0
    for step in range(1, 201):
        expected += (1 - min(0.9, step / (step + 10))) * (step - expected)
        assert values[step - 1] == pytest.approx(expected, rel=1e-5)


def test_tail_is_the_mean_of_the_last_part_of_the_plan() -> None:
    _, values = walk(Tail(fraction=0.25), 40, 40)
    assert values[-1] == pytest.approx(sum(range(31, 41)) / 10)
    assert values[29] == 30, "before its part begins it is the weights themselves"


def test_tail_of_a_run_without_a_plan_is_the_weights_themselves() -> None:
    _, values = walk(Tail(), 7, None)
    assert values == [1, 2, 3, 4, 5, 6, 7]


@pytest.mark.parametrize("config", [kind() for kind in get_args(Averaging)], ids=lambda config: config.kind)
def test_swapping_twice_is_the_identity_to_the_bit(config: Averaging) -> None:
    torch.manual_seed(1)
    model = nn.Linear(3, 5)
    average = Average(model, config)
    nn.init.normal_(model.weight)
    average.update(1, 10)
    nn.init.normal_(model.weight)
    live = {name: value.clone() for name, value in model.state_dict().items()}
    kept = {name: value.clone() for name, value in average.weights.items()}

    average.swap()
    for name, value in kept.items():
        assert torch.equal(model.state_dict()[name], value)
    average.swap()
    for name, value in live.items():
        assert torch.equal(model.state_dict()[name], value)
    for name, value in kept.items():
        assert torch.equal(average.weights[name], value)


def test_no_average_keeps_nothing() -> None:
    assert Average(nn.Linear(2, 2), NoAverage()).weights == {}
