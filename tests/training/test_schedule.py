"""Laws and formulas of learning-rate schedules."""

from __future__ import annotations

import math

import pytest

from regard.errors import ConfigError
from regard.registry import members_of
from regard.training.schedule import Constant, Cosine, InverseSqrt, Linear, Schedule
from tests.shared import refused

SCHEDULES = [kind() for kind in members_of(Schedule)]
EVERY = pytest.mark.parametrize("schedule", SCHEDULES, ids=lambda schedule: schedule.kind)


@EVERY
@pytest.mark.parametrize("warmup", [0, 1, 7, 200])
def test_every_schedule_starts_above_zero_peaks_at_one_and_is_never_above(
    schedule: Schedule, warmup: int
) -> None:
    schedule = type(schedule)(warmup=warmup)
    total = 1009
    factors = [schedule.factor(step, total) for step in range(1, total + 1)]
    assert factors[0] > 0
    assert max(factors) == 1
    assert factors.index(1.0) == max(warmup, 1) - 1
    assert min(factors) >= 0


@EVERY
def test_warming_up_is_linear(schedule: Schedule) -> None:
    schedule = type(schedule)(warmup=10)
    assert [schedule.factor(step, 100) for step in range(1, 11)] == pytest.approx(
        [s / 10 for s in range(1, 11)]
    )


@EVERY
def test_without_a_plan_no_schedule_falls_to_its_end(schedule: Schedule) -> None:
    """While a budget's speed is measured the end is not known: the rate must not decay as if it were now."""
    schedule = type(schedule)(warmup=10)
    expected = schedule.factor(500, 10**9)
    assert schedule.factor(500, None) == pytest.approx(expected, abs=1e-5)
    assert schedule.factor(500, None) > 0.1


def test_the_papers_formula_up_to_its_constant() -> None:
    """arXiv 1706.03762, equation 3: min(step^-0.5, step · warmup^-1.5), whose peak is warmup^-0.5."""
    schedule = InverseSqrt(warmup=4000)
    for step in (1, 100, 4000, 4001, 100_000):
        papers = min(step**-0.5, step * 4000**-1.5) * 4000**0.5
        assert schedule.factor(step, 100_000) == pytest.approx(papers)


def test_cosine_is_half_way_down_in_the_middle_and_ends_at_its_floor() -> None:
    schedule = Cosine(warmup=10, floor=0.2)
    assert schedule.factor(60, 110) == pytest.approx(0.6)
    assert schedule.factor(110, 110) == pytest.approx(0.2)
    assert schedule.factor(35, 110) == pytest.approx(0.2 + 0.8 * (1 + math.cos(math.pi / 4)) / 2)


def test_linear_falls_by_the_same_amount_each_step() -> None:
    schedule = Linear(warmup=10)
    falls = [schedule.factor(step, 110) - schedule.factor(step + 1, 110) for step in range(10, 110)]
    assert falls == pytest.approx([0.01] * 100)
    assert schedule.factor(110, 110) == 0


@pytest.mark.parametrize("schedule", [Cosine(), Linear()], ids=lambda schedule: schedule.kind)
def test_a_run_that_is_shorter_than_its_warm_up_still_learns_at_the_peak(schedule: Schedule) -> None:
    factors = [schedule.factor(step, 40) for step in range(1, 41)]
    assert factors.index(max(factors)) == 9
    assert max(factors) == 1
    assert factors[-1] < 0.01
    assert schedule.factor(1, 1) == 1


@pytest.mark.parametrize("kind", [Cosine, Linear])
def test_a_run_beyond_the_horizon_stays_below_the_peak_and_is_otherwise_the_same(
    kind: type[Cosine | Linear],
) -> None:
    plain, eased = kind(warmup=10, floor=0.1), kind(warmup=10, floor=0.1, horizon=500)
    for total in (100, 500):
        assert all(eased.factor(step, total) == plain.factor(step, total) for step in range(1, total + 1))
    assert eased.factor(300, None) == 1
    for step in (1, 10, 11, 1000, 4000):
        assert eased.factor(step, 4000) == pytest.approx(plain.factor(step, 4000) / 2)  # ∛8


def test_constant_stays() -> None:
    assert {Constant(warmup=5).factor(step, 100) for step in range(5, 101)} == {1.0}


@EVERY
def test_a_negative_warm_up_is_refused(schedule: Schedule) -> None:
    with refused(ConfigError, key="warmup", value=-1, limit="0 or more steps"):
        type(schedule)(warmup=-1)


@pytest.mark.parametrize("kind", [Cosine, Linear])
def test_a_negative_horizon_is_refused(kind: type[Cosine | Linear]) -> None:
    with refused(ConfigError, key="horizon", value=-1, limit="0 or more steps"):
        kind(horizon=-1)
