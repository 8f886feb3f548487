"""Plans: how many steps a run takes, and when it is judged."""

from __future__ import annotations

import pytest

from regard.errors import ConfigError
from regard.train.config import TrainConfig
from regard.train.duration import seconds
from regard.train.plan import DEFAULT_EPOCHS, Pace, Plan, fixed_plan, revised


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


def test_a_pace_fills_what_is_left_of_the_budget() -> None:
    pace = Pace(TrainConfig(budget=100.0, evaluations=5))
    while not pace.settled:
        pace.note(0.5)
    plan = pace.plan(evaluation_seconds=2.0, elapsed=8.0)
    end = 8.0 + (plan.steps - 12) * 0.5 + 5 * 2.0
    assert 95 <= end <= 100


def test_a_pace_ignores_the_slow_first_steps() -> None:
    pace = Pace(TrainConfig(budget=100.0, evaluations=0))
    for duration in (3.0, 3.0, 3.0, *[0.1] * 30):
        pace.note(duration)
    assert pace.settled
    end = 12.0 + (pace.plan(0.0, elapsed=12.0).steps - 33) * 0.1
    assert 95 <= end <= 100, "near the end of the budget at the steady pace, and not beyond"


def test_a_run_resumed_before_its_plan_counts_the_steps_it_took() -> None:
    pace = Pace(TrainConfig(budget=10.0, evaluations=0), done=40)
    for _ in range(12):
        pace.note(0.1)
    assert pace.plan(0.0, elapsed=5.2).steps > 52


def test_a_step_that_eats_half_the_budget_settles_the_pace() -> None:
    pace = Pace(TrainConfig(budget=10.0))
    pace.note(6.0)
    assert pace.settled
    assert pace.plan(1.0, 7.0).steps == 2, "one more step is the least that a plan can hold"


@pytest.mark.parametrize(("elapsed", "kept"), [(19.0, False), (19.8, True), (20.4, True), (25.0, False)])
def test_a_plan_is_made_anew_only_if_it_would_miss_its_budget(elapsed: float, kept: bool) -> None:
    plan = Plan(500, 5)
    found = revised(plan, 100.0, 100, elapsed)
    assert (found == plan) == kept
    assert 95 <= found.steps * elapsed / 100 <= 103
    marks = [step for step in range(101, found.steps + 1) if found.evaluates_after(step)]
    assert len(marks) == 4, "five in all, of which one has been"
    assert marks[0] > 100 + (found.steps - 100) // 5, "and the next not at once"
    assert marks[-1] == found.steps
    assert revised(plan, 100.0, 400, 120.0).steps == 401, "too late: one more step, and the clock ends it"


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
    with pytest.raises(ConfigError, match="is not a duration; write 90s, 10m or 1h30m"):
        seconds(text)


@pytest.mark.parametrize("text", ["0", "0s", "0h0m", 0, -1, float("nan"), float("inf")])
def test_a_budget_of_nothing_is_refused(text: str | float) -> None:
    with pytest.raises(ConfigError, match="leaves no time to train"):
        seconds(text)
