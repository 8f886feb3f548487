"""Plans: how many steps a run takes, and when it is judged."""

from __future__ import annotations

from itertools import pairwise

import pytest

from regard.errors import ConfigError
from regard.training.config import TrainConfig
from regard.training.duration import seconds
from regard.training.plan import DEFAULT_EPOCHS, Pace, Plan, fixed_plan
from tests.shared import refused


def uncounted() -> int:
    raise AssertionError("counting an epoch's steps is slow, and only epochs need it")


def test_steps_are_taken_as_given_without_counting_an_epoch() -> None:
    assert fixed_plan(TrainConfig(steps=17, evaluations=3), uncounted) == Plan(17, 3)


def test_a_budget_makes_no_plan_beforehand() -> None:
    assert fixed_plan(TrainConfig(budget=60.0), uncounted) is None


def test_epochs_are_turned_into_steps() -> None:
    assert fixed_plan(TrainConfig(epochs=2.5), lambda: 10) == Plan(25, 10)
    assert fixed_plan(TrainConfig(epochs=0.01), lambda: 10) == Plan(1, 10)
    assert fixed_plan(TrainConfig(), lambda: 10) == Plan(round(10 * DEFAULT_EPOCHS), 10)


@pytest.mark.parametrize("steps", [1, 2, 3, 7, 10, 97])
@pytest.mark.parametrize("times", [0, 1, 2, 3, 10])
def test_a_run_is_judged_so_many_times_and_always_at_its_end(steps: int, times: int) -> None:
    plan = Plan(steps, times)
    judged = [step for step in range(1, steps + 1) if plan.evaluates_after(step)]
    assert judged[-1] == steps
    assert len(judged) == min(steps, max(1, times))
    gaps = [after - before for before, after in zip([0, *judged], judged, strict=False)]
    assert max(gaps) - min(gaps) <= 1


@pytest.mark.parametrize(
    "wrong",
    [
        {"steps": 0},
        {"steps": -1},
        {"epochs": 0.0},
        {"budget": -3.0},
        {"budget": float("nan")},
        {"steps": 1, "budget": 5.0},
        {"accumulate": 0},
        {"tokens": 0},
        {"valid_rows": -1},
        {"seed": -1},
        {"save_seconds": -1.0},
        {"clip": -1.0},
    ],
    ids=str,
)
def test_a_plan_that_cannot_be_is_refused_by_name(wrong: dict[str, float]) -> None:
    with pytest.raises(ConfigError, match=next(iter(wrong))):
        TrainConfig(**wrong)  # type: ignore[arg-type]


@pytest.mark.parametrize("times", [1, 3, 10])
@pytest.mark.parametrize("revisions", [((40, 150),), ((40, 70),), ((10, 151), (60, 90), (61, 130))], ids=str)
def test_a_plan_made_anew_goes_on_from_what_is_done(
    times: int, revisions: tuple[tuple[int, int], ...]
) -> None:
    plan, done, judged, step = Plan(100, times), [0.0], [], 0
    for after, steps in (*revisions, (0, 0)):
        while step < (after or plan.steps):
            step += 1
            done.append(plan.done_after(step))
            judged += [step] if plan.evaluates_after(step) else []
        plan = plan.anew(step, steps) if after else plan
    assert done[-1] == pytest.approx(1)
    assert plan.scaled(step) == (pytest.approx(100), 100)
    assert all(0 < after - before < 0.03 for before, after in pairwise(done)), "no leap"
    assert len(judged) == times
    assert judged[-1] == step == plan.steps
    assert [done[step] for step in judged] == pytest.approx([(n + 1) / times for n in range(times)], abs=0.03)


def pace(budget: float, evaluations: int, *steps: float) -> Pace:
    """After single steps that took so long."""
    pace = Pace(TrainConfig(budget=budget, evaluations=evaluations))
    for seconds_ in steps:
        pace.note(1, seconds_)
    return pace


def test_a_pace_fills_what_is_left_of_the_budget() -> None:
    measured = pace(100.0, 5, *[0.5] * 11)
    assert not measured.settled
    measured.note(1, 0.5)
    assert measured.settled
    measured.note_evaluation(2.0)
    plan = measured.plan(12, elapsed=8.0)
    assert 95 <= 8.0 + (plan.steps - 12) * 0.5 + 5 * 2.0 <= 100
    assert 95 <= 8.0 + (measured.left(plan, 12) or 0) <= 100


def test_a_pace_ignores_the_slow_first_steps_and_single_ones_that_were_held_up() -> None:
    measured = pace(100.0, 0, 3.0, 3.0, 3.0, *[0.1] * 20, 5.0, *[0.1] * 10)
    assert measured.settled
    end = 17.0 + (measured.plan(34, elapsed=17.0).steps - 34) * 0.1
    assert 95 <= end <= 100, "near the end of the budget at the steady pace, and not beyond"


def test_a_run_resumed_before_its_plan_counts_the_steps_it_took() -> None:
    assert pace(10.0, 0, *[0.1] * 12).plan(52, elapsed=5.2).steps > 52


def test_a_step_that_eats_half_the_budget_settles_the_pace() -> None:
    measured = pace(10.0, 10, 6.0)
    assert measured.settled
    measured.note_evaluation(1.0)
    assert measured.plan(1, 7.0).steps == 2, "one more step is the least that a plan can hold"


@pytest.mark.parametrize(("elapsed", "kept"), [(5.0, False), (18.0, True), (20.4, True), (40.0, False)])
def test_a_plan_is_made_anew_only_if_it_would_miss_its_budget(elapsed: float, kept: bool) -> None:
    plan, measured = Plan(500, 5), pace(100.0, 5, *[0.2] * 100)
    steps = measured.steps(plan, 100, elapsed)
    assert (steps == plan.steps) == kept
    if not kept:
        assert elapsed + (steps - 100) * 0.2 == pytest.approx(98, abs=0.5)


def test_a_plan_does_not_leap_and_always_holds_one_more_step() -> None:
    plan = Plan(500, 5)
    slower, faster = ([each] * 100 for each in (0.8, 0.05))
    assert 250 < pace(100.0, 5, *slower).steps(plan, 100, 20.0) < 400
    assert 750 < pace(100.0, 5, *faster).steps(plan, 100, 20.0) < 1000
    assert 480 < pace(100.0, 5, *[0.2] * 100).steps(plan, 480, 120.0) < 500, "too late: the clock ends it"
    assert pace(100.0, 5, *[0.2] * 100).steps(plan, 499, 120.0) == 500
    assert pace(100.0, 5).steps(plan, 100, 90.0) == 500, "nothing was measured yet, as after a resume"


def test_the_clock_ends_a_run_in_time_for_its_last_evaluation() -> None:
    measured = pace(100.0, 5, *[0.2] * 20)
    assert [measured.late(elapsed) for elapsed in (98.0, 99.5)] == [False, True]
    measured.note_evaluation(2.0)
    assert [measured.late(elapsed) for elapsed in (96.5, 97.5)] == [False, True]
    measured.note_evaluation(30.0)
    assert not measured.late(94.0), "one that takes very long does not end a run before it has learned"
    assert not Pace(TrainConfig(steps=5)).late(1e9)


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("90s", 90),
        ("10m", 600),
        ("1h30m", 5400),
        ("45", 45),
        ("1.5m", 90),
        (" 2 h ", 7200),
        ("1H", 3600),
        (7, 7),
        (0.5, 0.5),
    ],
)
def test_durations_as_people_type_them(text: str | float, value: float) -> None:
    assert seconds(text) == value


@pytest.mark.parametrize("text", ["", "ten", "10x", "m", "-5m", "1m garbage", "5:00", "1e3", "nan", "inf"])
def test_what_is_no_duration_is_refused(text: str) -> None:
    with refused(ConfigError, limit="90s, 10m or 1h30m"):
        seconds(text)


@pytest.mark.parametrize("text", ["0", "0s", "0h0m", 0, -1, float("nan"), float("inf")])
def test_a_budget_of_nothing_is_refused(text: str | float) -> None:
    with refused(ConfigError, limit="more than 0, such as 10m"):
        seconds(text)
